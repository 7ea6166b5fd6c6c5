//! SIGHUP on a running server.

use std::path::Path;
use std::time::Duration;

use crate::support::http;
use crate::support::server::{Server, new_folder};
use crate::support::sse::Stream;
use crate::support::wait_until;

const SOON: Duration = Duration::from_secs(20);
const OLD: &str = "old-publish-token-of-this-test";
const NEW: &str = "new-publish-token-of-this-test";

fn write(folder: &Path, text: &str) {
    std::fs::write(folder.join("r.toml"), text).expect("written");
}

fn says(server: &Server, part: &str) {
    let said = wait_until(SOON, Duration::from_millis(20), || server.output().contains(part));
    assert!(said, "{part:?} is missing");
}

fn publish(server: &Server, token: &str, data: &str) -> u16 {
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", &*bearer)];
    let answer = http::request(server.listen, "POST", "/publish/a", &headers, data.as_bytes());
    answer.expect("an answer").status
}

#[test]
fn a_good_file_counts_and_a_bad_one_changes_nothing_and_streams_stay() {
    let folder = new_folder();
    write(&folder, &format!("auth.publish_token = '{OLD}'\n"));
    let args = ["--workers", "2", "--config", "r.toml"];
    let server = Server::start_in(folder.clone(), &args, &[]);
    let mut stream = Stream::open(server.listen, "/sse/a", &[]).expect("an answer");
    assert_eq!((publish(&server, OLD, "one"), publish(&server, NEW, "none")), (200, 401));
    assert_eq!(stream.next(SOON).map(|event| event.data).as_deref(), Some("one"));

    write(
        &folder,
        &format!(
            "recent_log_bytes = '1MiB'\n[auth]\npublish_token = '{NEW}'\n[heartbeat]\n\
             interval_ms = 200\n[memory]\nbudget_bytes = '64MiB'\n"
        ),
    );
    server.signal("HUP");
    for part in [
        "heartbeat.interval_ms: 30000 -> 200, in force now",
        "auth.publish_token: \"***\" -> \"***\", in force now",
        "recent_log_bytes: 67108864 -> 1048576, needs a restart",
        "memory.budget_bytes: \"off\" -> 67108864, not in force in this version",
        "configuration reloaded in_force=2 need_restart=1 not_in_force=1",
    ] {
        says(&server, part);
    }
    let mut answers = (0, 0);
    let taken = wait_until(SOON, Duration::from_millis(20), || {
        answers = (publish(&server, OLD, "none"), publish(&server, NEW, "two"));
        answers == (401, 200)
    });
    assert!(taken, "{answers:?}");
    while stream.next(SOON).expect("an event").data != "two" {}
    let before = stream.comments();
    let beats = wait_until(SOON, Duration::from_millis(10), || {
        let _ = stream.next(Duration::from_millis(300));
        stream.comments() >= before + 3
    });
    assert!(beats, "heartbeats come at the new pace");

    write(&folder, &format!("[auth]\npublish_tokn = '{OLD}'\n[heartbeat]\ninterval_ms = 1\n"));
    server.signal("HUP");
    for part in [
        "error: r.toml:2: auth.publish_tokn: unknown key; did you mean auth.publish_token?",
        "error: r.toml:4: heartbeat.interval_ms = 1: too small;",
        "configuration not reloaded: what was in force stays errors=2",
    ] {
        says(&server, part);
    }
    assert_eq!((publish(&server, OLD, "none"), publish(&server, NEW, "three")), (401, 200));
    while stream.next(SOON).expect("an event").data != "three" {}
    let output = server.output();
    assert!(!output.contains(OLD) && !output.contains(NEW), "a secret is shown");
}

#[test]
fn a_level_of_log_lines_changes_while_running() {
    let folder = new_folder();
    write(&folder, "log.level = 'error'\n");
    let server = Server::start_in(folder.clone(), &["--config", "r.toml"], &[]);
    write(&folder, "log.level = 'info'\n");
    server.signal("HUP");
    says(&server, "log.level: \"error\" -> \"info\", in force now");
    assert!(!server.output().contains("info: started"));
}
