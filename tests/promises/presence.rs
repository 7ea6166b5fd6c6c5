//! Who is there.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::rig::{Rig, SOON, assert_problem, assert_quiet, next};
use crate::support::http;
use crate::support::sse::Stream;
use crate::support::token::token;
use crate::support::wait_until;

const SECRET: &str = "a-secret-of-more-than-thirty-two-bytes-for-tests";
const ROOMS: &str = "[namespaces.'room.']\npresence = true\n";

fn start() -> Rig {
    let env = [("JWT_SECRET", SECRET), ("RINGCAST_AUTH__ANONYMOUS", "true")];
    Rig::start_file(ROOMS, &env)
}

fn open(rig: &Rig, channel: &str, user: &str) -> Stream {
    let token = token(SECRET, &["--sub", user]);
    rig.open(&format!("/sse/{channel}?token={token}"))
}

/// The next notice that `is` the one; those before it are of the same change in parts.
fn notice(stream: &mut Stream, is: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + SOON;
    while Instant::now() < end {
        let event = next(stream);
        if event.event != "sse.presence" {
            assert!(event.event.starts_with("sse."), "{event:?}");
            continue;
        }
        assert_eq!(event.id, "", "it is no event of a channel");
        let data: Value = serde_json::from_str(&event.data).expect("JSON");
        assert_eq!(data["channel"], "room.1");
        if is(&data) {
            return data;
        }
    }
    panic!("no such notice");
}

fn page(rig: &Rig, channel: &str) -> Value {
    rig.server.get_admin(&format!("/channels/{channel}/presence")).json()
}

#[test]
fn s117_users_who_come_and_go_are_told_to_those_who_listen() {
    let rig = start();
    let listener = token(SECRET, &["--sub", "zoe"]);
    let mut stream = rig.open(&format!("/sse/room.1?control=on&token={listener}"));
    assert_eq!(notice(&mut stream, |n| n["users"] == 1)["joined"], json!(["zoe"]));
    let mut plain = open(&rig, "room.1", "ana");
    assert_eq!(notice(&mut stream, |n| n["users"] == 2)["joined"], json!(["ana"]));
    // A second stream of the same user, and one of nobody: counts alone.
    let second = open(&rig, "room.1", "ana");
    let nameless = rig.open("/sse/room.1");
    let told = notice(&mut stream, |n| n["streams"] == 4);
    assert_eq!((&told["joined"], &told["users"]), (&json!([]), &json!(2)));
    let all = page(&rig, "room.1");
    assert_eq!((&all["streams"], &all["totalUsers"]), (&json!(4), &json!(2)));
    let users = json!([{"user": "ana", "streams": 2}, {"user": "zoe", "streams": 1}]);
    assert_eq!(all["users"], users);
    drop((second, nameless));
    notice(&mut stream, |n| n["streams"] == 2 && n["left"] == json!([]));
    // Whoever does not listen hears nothing of it, and events go their way.
    assert_quiet(&mut plain);
    drop(plain);
    let begun = Instant::now();
    let told = notice(&mut stream, |n| n["users"] == 1);
    assert_eq!(told["left"], json!(["ana"]));
    assert!(begun.elapsed() >= Duration::from_millis(1_500), "there is a grace");
    let all = page(&rig, "room.1");
    assert_eq!(all["users"], json!([{"user": "zoe", "streams": 1}]));
}

#[test]
fn who_reloads_a_page_was_not_away() {
    let rig = start();
    let listener = token(SECRET, &["--sub", "zoe"]);
    let mut stream = rig.open(&format!("/sse/room.1?control=on&token={listener}"));
    let mut other = open(&rig, "room.1", "ana");
    notice(&mut stream, |n| n["users"] == 2);
    for _ in 0..3 {
        drop(other);
        std::thread::sleep(Duration::from_millis(300));
        other = open(&rig, "room.1", "ana");
    }
    let end = Instant::now() + Duration::from_secs(3);
    while Instant::now() < end {
        let Some(event) = stream.next(Duration::from_millis(200)) else { continue };
        let data: Value = serde_json::from_str(&event.data).expect("JSON");
        assert_eq!((&data["joined"], &data["left"]), (&json!([]), &json!([])), "{data}");
    }
}

#[test]
fn a_storm_is_told_in_few_events_and_counted_exactly() {
    let rig = start();
    let listener = token(SECRET, &["--sub", "zoe"]);
    let mut stream = rig.open(&format!("/sse/room.1?control=on&token={listener}"));
    let tokens: Vec<String> =
        (0..20).map(|user| token(SECRET, &["--sub", &format!("u{user:02}")])).collect();
    let streams: Vec<Stream> = (0..300)
        .map(|n| rig.open(&format!("/sse/room.1,other?token={}", tokens[n % 20])))
        .collect();
    // Each user may have five of them: the others were ended.
    let told = notice(&mut stream, |n| n["users"] == 21 && n["streams"] == 101);
    assert!(told["joined"].as_array().expect("names").len() <= 21, "each once: {told}");
    let exact = || {
        let all = page(&rig, "room.1");
        all["totalUsers"] == 21 && all["streams"] == 101
    };
    assert!(wait_until(SOON, Duration::from_millis(50), exact), "{}", page(&rig, "room.1"));
    drop(streams);
    let told = notice(&mut stream, |n| n["users"] == 1);
    assert_eq!(told["streams"], 1);
}

#[test]
fn a_page_of_presence_is_for_those_who_may_subscribe() {
    let rig = start();
    let _stream = open(&rig, "room.1", "ana");
    let _other = open(&rig, "plain", "ana");
    let get = |path: &str, sub: &[&str]| {
        let bearer = format!("Bearer {}", token(SECRET, sub));
        let headers = [("Authorization", &*bearer)];
        http::request(rig.address(), "GET", path, &headers, b"").expect("an answer")
    };
    let path = "/channels/room.1/presence";
    assert_problem(&rig.server.get(path), 401, "token");
    assert_problem(&get(path, &["--sub", "u", "--channels", "x"]), 403, "grant");
    let answer = get(path, &["--sub", "u"]).json();
    assert_eq!(answer["users"], json!([{"user": "ana", "streams": 1}]));
    assert_eq!(get(&format!("{path}?after=ana"), &["--sub", "u"]).json()["users"], json!([]));
    // Where a namespace does not tell, there are counts alone.
    assert_eq!(page(&rig, "plain"), json!({"channel": "plain", "streams": 1}));
    assert_eq!(page(&rig, "nobody")["streams"], 0);
    assert_eq!(rig.server.get_admin("/channels/a%20b/presence").status, 400);
}

#[test]
fn s105_heartbeats_become_rarer_on_a_busy_core() {
    let env = [("SSE_HEARTBEAT_INTERVAL", "1000"), ("RINGCAST_HEARTBEAT__ADAPTIVE", "true")];
    let mut rig = Rig::start_with(&env);
    let interval = |rig: &Rig| -> u64 {
        let cores = rig.server.get_admin("/stats/cores").json();
        let all = cores["cores"].as_array().expect("cores").iter();
        all.map(|core| core["heartbeat_interval_ms"].as_u64().expect("a number")).max().unwrap_or(0)
    };
    let rests = || interval(&rig) == 1_000;
    assert!(wait_until(SOON, Duration::from_millis(100), rests));
    // One core has nothing but work for a few seconds.
    let address = rig.address();
    let end = Instant::now() + Duration::from_secs(6);
    let busy: Vec<_> = (0..3)
        .map(|_| {
            std::thread::spawn(move || {
                let mut client = http::Client::connect(address).expect("a connection");
                let lines = "{\"channel\":\"busy\",\"data\":\"x\"}\n".repeat(20_000);
                let bearer = format!("Bearer {}", crate::rig::TOKEN);
                let headers =
                    [("Authorization", &*bearer), ("Content-Type", "application/x-ndjson")];
                while Instant::now() < end {
                    let answer = client.request("POST", "/publish", &headers, lines.as_bytes());
                    assert_eq!(answer.expect("an answer").status, 200);
                }
            })
        })
        .collect();
    let grows =
        wait_until(Duration::from_secs(8), Duration::from_millis(100), || interval(&rig) > 1_000);
    for thread in busy {
        thread.join().expect("published");
    }
    assert!(grows, "a busy core beats as often as ever");
    assert!(interval(&rig) <= 2_000);
    assert!(wait_until(SOON, Duration::from_millis(100), || interval(&rig) == 1_000));
    rig.publish("busy", "done");
}
