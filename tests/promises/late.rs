//! Events that leave later than they came.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::rig::{Rig, SOON, assert_problem, assert_quiet, data_of, next};
use crate::support::wait_until;

const RATES: &str =
    "[namespaces.'chat.']\nrates = { 'chat:typing' = '1s', 'presence:update' = 1000 }\n";

#[test]
fn a_delayed_event_takes_its_place_when_it_is_due() {
    let mut rig = Rig::start();
    let mut stream = rig.open("/sse/a");
    let begun = Instant::now();
    let body = json!({"channel": "a", "data": "later", "delay_ms": 700}).to_string();
    let answer = rig.post("", "application/json", &body);
    assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
    let due = answer.json()["scheduled"].as_str().expect("a time").to_owned();
    assert!(due.ends_with('Z') && due.len() == 24, "{due}");
    assert_eq!(rig.post("/a?delay_ms=300", "text/plain", "soon").status, 202);
    let now = rig.publish("a", "now");
    assert_eq!(data_of(&mut stream, 2), ["now", "soon"]);
    let later = next(&mut stream);
    assert_eq!(later.data, "later");
    assert!(begun.elapsed() >= Duration::from_millis(700));
    // It has its id from then, so a resume finds all three in this order.
    assert_eq!(data_of(&mut rig.resume("/sse/a", &now), 2), ["soon", "later"]);
    for bad in [json!({"channel": "a", "delay_ms": -1}), json!({"channel": "a", "delay_ms": "x"})] {
        assert_problem(&rig.post("", "application/json", &bad.to_string()), 400, "delay_ms");
    }
    let month = json!({"channel": "a", "delay_ms": 2_592_000_000_u64});
    assert_problem(&rig.post("", "application/json", &month.to_string()), 400, "delay_ms");
}

#[test]
fn events_due_at_once_leave_in_the_order_in_which_they_came() {
    let rig = Rig::start();
    let mut stream = rig.open("/sse/a");
    let lines: Vec<String> = (0..500)
        .map(|n| json!({"channel": "a", "data": n.to_string(), "delay_ms": 200}).to_string())
        .collect();
    let answer = rig.post("", "application/x-ndjson", &lines.join("\n"));
    assert_eq!((answer.status, &answer.json()["scheduled"]), (200, &500.into()));
    let expected: Vec<String> = (0..500).map(|n: i32| n.to_string()).collect();
    assert_eq!(data_of(&mut stream, 500), expected);
}

#[test]
fn s098_s099_above_its_rate_the_last_event_leaves_when_the_window_opens() {
    let rig = Rig::start_file(RATES, &[]);
    let mut stream = rig.open("/sse/chat.1,chat.2");
    let typing = |channel: &str, data: &str| {
        let body = json!({"channel": channel, "event": "chat:typing", "data": data}).to_string();
        rig.post("", "application/json", &body)
    };
    assert_eq!(typing("chat.1", "a").status, 200);
    assert_eq!(next(&mut stream).data, "a");
    // From whichever core the publishes come, the window is one.
    for data in ["b", "c", "d"] {
        let answer = typing("chat.1", data);
        assert_eq!((answer.status, answer.json()), (202, json!({"held": true})));
    }
    // Other targets and events have windows of their own; those without a rate have none.
    assert_eq!(typing("chat.2", "x").status, 200);
    let other = json!({"channel": "chat.1", "event": "chat:message", "data": "y"}).to_string();
    assert_eq!(rig.post("", "application/json", &other).status, 200);
    assert_eq!(rig.post("", "application/json", &other).status, 200);
    assert_eq!(data_of(&mut stream, 3), ["x", "y", "y"]);
    let last = next(&mut stream);
    assert_eq!((&*last.event, &*last.data), ("chat:typing", "d"));
    assert_quiet(&mut stream);
    let counters = rig.server.get_admin("/stats/cores").json();
    let sum = |name: &str| -> u64 {
        let cores = counters["cores"].as_array().expect("cores");
        cores.iter().map(|core| core[name].as_u64().expect("a number")).sum()
    };
    assert_eq!((sum("publishes_held"), sum("publishes_superseded")), (3, 2));
    let told = || rig.server.output().contains("[SSE] Rate limit exceeded: chat:typing");
    assert!(wait_until(SOON, Duration::from_millis(100), told));
}

#[test]
fn an_event_of_several_targets_is_held_where_it_comes_too_soon_only() {
    let rig = Rig::start_file(RATES, &[]);
    let (mut one, mut two) = (rig.open("/sse/chat.1"), rig.open("/sse/other"));
    let publish = |data: &str| {
        let body = json!({"channels": ["chat.1", "other"], "event": "chat:typing", "data": data});
        rig.post("", "application/json", &body.to_string()).status
    };
    assert_eq!([publish("a"), publish("b"), publish("c")], [200, 200, 200]);
    assert_eq!(data_of(&mut two, 3), ["a", "b", "c"]);
    assert_eq!(data_of(&mut one, 2), ["a", "c"]);
}

#[test]
fn what_is_held_leaves_when_the_node_ends() {
    let text = "[namespaces.'']\nrates = { tick = '1h' }\n";
    let mut rig = Rig::start_file(text, &[]);
    let mut stream = rig.open("/sse/a");
    for data in ["first", "second", "last"] {
        rig.post("/a?event=tick", "text/plain", data);
    }
    assert_eq!(next(&mut stream).data, "first");
    rig.server.signal("TERM");
    assert_eq!(next(&mut stream).data, "last");
    assert_eq!(next(&mut stream).event, "sse.bye");
    assert!(rig.server.wait_exit(SOON).is_some_and(|status| status.success()));
}
