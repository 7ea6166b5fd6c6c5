//! Channels come and go with those who use them; pages of health.

use std::time::Duration;

use serde_json::Value;

use crate::rig::{Rig, SOON, data_of, next};
use crate::support::http;
use crate::support::wait_until;

fn channels(rig: &Rig) -> u64 {
    rig.server.get("/stats").json()["activeChannels"].as_u64().expect("a number")
}

#[test]
fn s012_the_streams_health_has_a_path_of_its_own() {
    let rig = Rig::start();
    let _streams = [rig.open("/sse/a"), rig.open("/sse/b")];
    for answer in [rig.server.get("/health/sse"), rig.server.get_admin("/health/sse")] {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let health = answer.json();
        assert_eq!(
            (&health["status"], &health["connections"]["active"]),
            (&"ok".into(), &2.into())
        );
    }
}

#[test]
fn s065_s173_a_channel_is_made_by_its_first_stream_and_goes_when_it_is_idle() {
    let mut rig = Rig::start_file("[channels]\nidle_expire = '1s'\n", &[]);
    assert_eq!(channels(&rig), 0);
    let mut kept = rig.open("/sse/kept");
    let stream = rig.open("/sse/passing");
    assert_eq!(channels(&rig), 2);
    let [first, last] = ["x", "lost"].map(|data| rig.publish("passing", data));
    rig.publish("kept", "1");
    drop(stream);
    assert!(wait_until(SOON, Duration::from_millis(100), || channels(&rig) == 1));
    // One with clients stays, however long nothing is sent.
    rig.publish("kept", "2");
    assert_eq!(data_of(&mut kept, 2), ["1", "2"]);
    assert_eq!(data_of(&mut rig.open("/sse/kept?last=9"), 2), ["1", "2"]);
    // What went with the other one is told.
    rig.publish("passing", "y");
    let mut again = rig.open("/sse/passing?since=earliest");
    assert_eq!(data_of(&mut again, 1), ["y"]);
    let mut resumed = rig.resume("/sse/passing", &first);
    let gap = next(&mut resumed);
    let told: Value = serde_json::from_str(&gap.data).expect("JSON");
    assert_eq!((&*gap.event, &told["reason"]), ("sse.gap", &Value::from("expired")));
    assert_eq!(next(&mut resumed).data, "y");
    // Who had all of it missed nothing.
    assert_eq!(next(&mut rig.resume("/sse/passing", &last)).data, "y");
}

#[test]
fn s174_a_channel_without_clients_may_be_published_to() {
    let mut rig = Rig::start();
    for data in ["one", "two"] {
        assert_eq!(rig.publisher.publish("nobody", data.as_bytes()).subscribers, 0);
    }
    assert_eq!(data_of(&mut rig.open("/sse/nobody?since=earliest"), 2), ["one", "two"]);
}

/// Paths of the specification with their methods and tag.
fn specified() -> Vec<(String, String, String)> {
    let text = include_str!("../../docs/openapi.yaml");
    let mut all: Vec<(String, String, String)> = Vec::new();
    let mut path = String::new();
    let paths = text.split("\npaths:\n").nth(1).expect("paths").split("\ncomponents:\n");
    for line in paths.into_iter().next().expect("paths").lines() {
        let inner = line.trim_start();
        let depth = line.len() - inner.len();
        let method = inner.split(':').next().unwrap_or_default();
        if depth == 2 {
            path = inner.trim_end_matches(':').to_owned();
        } else if depth == 4 && matches!(method, "get" | "post" | "delete") {
            all.push((path.clone(), method.to_ascii_uppercase(), String::new()));
        }
        if let Some(tag) = inner.split("tags: [").nth(1).and_then(|rest| rest.split(']').next()) {
            all.last_mut().expect("a method").2 = tag.to_owned();
        }
    }
    all
}

#[test]
fn s019_the_specification_is_valid_and_every_path_in_it_is_served() {
    let checked = std::process::Command::new(crate::support::program::python())
        .args(["-m", "openapi_spec_validator", "docs/openapi.yaml"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("the validator runs");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    let rig = Rig::start();
    let served = rig.server.get_admin("/openapi.yaml");
    assert_eq!(served.body, include_bytes!("../../docs/openapi.yaml"));
    let all = specified();
    assert!(all.len() > 20, "{all:?}");
    // The last, so that nothing after it is refused.
    for (path, method, tag) in all.iter().filter(|(path, ..)| path != "/admin/disable") {
        let name = path.split('{').nth(1).and_then(|rest| rest.split('}').next());
        let path = name.map_or(path.clone(), |name| path.replace(&format!("{{{name}}}"), "a"));
        let address = if tag == "operators" { rig.server.admin } else { rig.address() };
        let method = if method == "GET" { "HEAD" } else { method };
        let answer = http::request(address, method, &path, &[], b"").expect("an answer");
        assert_ne!(answer.status, 405, "{method} {path}");
        if answer.status == 404 {
            let kind = answer.json()["type"].as_str().expect("a type").to_owned();
            assert!(!kind.ends_with("/not-found"), "{method} {path}");
        }
    }
}

#[test]
fn s009_a_page_shows_the_numbers_as_they_move() {
    let mut rig = Rig::start();
    let page = rig.server.get_admin("/");
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let text = String::from_utf8(page.body).expect("UTF-8");
    assert!(!text.contains("style=") && !text.contains("onclick="), "the policy forbids it");
    let _streams: Vec<_> = (0..3).map(|n| rig.open(&format!("/sse/page-{n}"))).collect();
    for number in 0..7 {
        rig.publish("page-1", &number.to_string());
    }
    // A browser that runs the page, and prints what it has become.
    let url = format!("http://{}/", rig.server.admin);
    let shown = crate::support::browser::dump(&url, Duration::from_secs(4));
    let of = |id: &str| {
        let rest = shown.split(&format!("id=\"{id}\">")).nth(1).unwrap_or_default();
        rest.split('<').next().unwrap_or_default().to_owned()
    };
    let found = ["activeChannels", "connectedClients", "publishedMessages", "state"].map(of);
    let expected = ["3", "3", "7"].iter().all(|number| found.contains(&(*number).to_owned()));
    assert!(expected && found[1] == "3" && found[2] == "7", "{found:?}\n{shown}");
}
