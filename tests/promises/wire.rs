//! What the payloads of the five look like to their readers.

use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::{Rig, assert_problem, assert_quiet, data_of, next};
use crate::support::iron;

const KEY: &str = "a-sealing-password-of-at-least-thirty-two-characters";

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text:?}"))
}

/// `2026-01-02T03:04:05.678Z`, as `Date.toISOString` writes it.
fn is_iso(value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    let mask: String = text.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    mask == "9999-99-99T99:99:99.999Z"
}

#[test]
fn s049_an_update_of_a_roulette_arrives_sealed_and_whole() {
    let rig = Rig::start_with(&[("SSE_ENCRYPTION_KEY", KEY)]);
    let mut stream = rig.open("/sse/ROULETTE:123");
    let number = json!({"value": 25, "color": "red", "timestamp": "2026-01-02T03:04:05.678Z"});
    let data = json!({"update_type": "new_number", "number": number});
    rig.command(&json!({"channel": "ROULETTE:123", "event": "update", "data": data}));
    let event = next(&mut stream);
    assert_eq!(event.event, "update");
    let opened = json_of(&iron::open(&event.data, KEY).expect("the key opens it"));
    assert_eq!((&opened["update_type"], &opened["number"]), (&json!("new_number"), &number));
    assert_eq!(iron::open(&event.data, &KEY.to_uppercase()), None, "no other key does");
}

#[test]
fn s050_an_event_without_a_name_is_a_message_and_has_no_name_on_the_wire() {
    let mut rig = Rig::start();
    let mut stream = rig.open("/sse/chat");
    rig.publish("chat", "hello");
    let event = next(&mut stream);
    assert_eq!((&*event.event, &*event.data), ("message", "hello"));
    let request = "GET /sse/chat?since=earliest HTTP/1.1\r\nHost: x\r\n\r\n";
    let text = rig.raw(request.as_bytes(), Duration::from_millis(300));
    assert!(text.contains("\ndata: hello\n\n") && !text.contains("\nevent"), "{text}");
}

#[test]
fn s051_s161_s163_a_notification_is_completed_and_its_priority_checked() {
    let rig = Rig::start_file("[namespaces.'user:']\nenvelope = 'typed'\n", &[SECRET_ENV]);
    let token = crate::support::token::token(SECRET, &["--sub", "ana"]);
    let mut stream = rig.open(&format!("/sse?token={token}"));
    let mut send = |data: Value| {
        rig.command(&json!({"user": "ana", "event": "order", "data": data}));
        json_of(&next(&mut stream).data)
    };
    let given = json!({
        "id": "n-1", "userId": "ana", "type": "payment", "title": "T", "message": "M",
        "data": {"x": [1]}, "timestamp": "2026-01-02T03:04:05.678Z", "priority": "high",
    });
    assert_eq!(send(given.clone()), given, "what is complete stays as it is");
    let made = send(json!({"title": "T", "message": "M", "timestamp": 1_767_323_045_678_u64}));
    assert_eq!(made["timestamp"], "2026-01-02T03:04:05.678Z");
    assert_eq!((&made["userId"], &made["type"]), (&json!("ana"), &json!("order")));
    assert!(made["id"].as_str().is_some_and(|id| !id.is_empty()), "{made}");
    assert_eq!((made.get("data"), made.get("priority")), (None, None), "these are optional");
    assert!(is_iso(&send(json!({"title": "T"}))["timestamp"]));
    for priority in ["low", "medium", "high"] {
        assert_eq!(send(json!({"title": "T", "priority": priority}))["priority"], priority);
    }
    let bad = json!({"user": "ana", "data": {"title": "T", "priority": "urgent"}});
    assert_problem(&rig.post("", "application/json", &bad.to_string()), 400, "priority");
}

const SECRET: &str = "a-secret-of-more-than-thirty-two-bytes-for-tests";
const SECRET_ENV: (&str, &str) = ("JWT_SECRET", SECRET);

#[test]
fn s164_the_sample_events_arrive_as_they_were_sent() {
    let rig = Rig::start();
    let mut stream = rig.open("/sse/app");
    for (event, data) in [
        ("chat:message", json!({"conversationId": "7", "message": "hi"})),
        ("chat:typing", json!({"conversationId": "7", "userId": "ana"})),
        ("notification:new", json!({"id": "1", "title": "T", "message": "M"})),
        ("data:update", json!({"entity": "task", "action": "create", "id": 9, "data": {"a": 1}})),
        ("presence:update", json!({"userId": "ana", "online": true})),
        ("system:announcement", json!({"message": "soon", "type": "warning"})),
    ] {
        rig.command(&json!({"channel": "app", "event": event, "data": data}));
        let seen = next(&mut stream);
        assert_eq!((&*seen.event, json_of(&seen.data)), (event, data));
    }
}

#[test]
fn s083_what_is_published_cannot_break_out_of_its_event() {
    let mut rig = Rig::start();
    let mut stream = rig.open("/sse/a");
    let evil = "x\n\nevent: sse.bye\ndata: {}\r\n\r\nid: 9\rretry: 1\r\r: \u{feff}\u{2028}\u{85}";
    rig.publish("a", evil);
    let event = next(&mut stream);
    // Three kinds of line ends become LF; others are no line ends to a reader.
    assert_eq!(event.data, evil.replace("\r\n", "\n").replace('\r', "\n"));
    assert_eq!(event.event, "message");
    assert_ne!((&*event.id, stream.parser.retry_ms), ("9", Some(1)));
    // Names that could are refused, wherever they stand.
    for query in ["event=a%0Adata:%20x", "event=a%0D", "event=%00", "event=sse.gap"] {
        assert_eq!(rig.post(&format!("/a?{query}"), "text/plain", "x").status, 400, "{query}");
    }
    // Markup is text as any other: it is up to the page not to run it.
    let markup = "<script>alert('x')</script>";
    rig.publish("a", markup);
    assert_eq!(data_of(&mut stream, 1), [markup]);
    assert_quiet(&mut stream);
    assert!(!stream.ends_within(Duration::from_millis(50)));
}
