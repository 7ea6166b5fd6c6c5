//! Publishing in all its forms.

use serde_json::{Value, json};

use crate::rig::{Rig, SOON, TOKEN, assert_problem, assert_quiet, data_of, next};
use crate::support::http;

#[test]
fn s004_the_body_is_the_data_verbatim_whatever_its_type() {
    let mut rig = Rig::start();
    let mut stream = rig.open("/sse/raw");
    let bodies = ["{\"a\":1}", "msg=1&x=2", " spaces ", "a\nb\r\nc\rd", "", "é\u{feff}"];
    for (body, media) in bodies.iter().zip(["application/json", "text/plain"].iter().cycle()) {
        let answer = rig.post("/raw", media, body);
        assert_eq!(answer.status, 200);
    }
    // Line ends arrive as LF, by the standard.
    let expected = ["{\"a\":1}", "msg=1&x=2", " spaces ", "a\nb\nc\nd", "", "é\u{feff}"];
    assert_eq!(data_of(&mut stream, 6), expected);
    rig.publish("raw", "last");
    assert_eq!(next(&mut stream).data, "last");
}

#[test]
fn s005_s006_query_and_form_publish() {
    let rig = Rig::start();
    let mut stream = rig.open("/sse/news");
    for (query, media, body) in [
        ("?canal=news&msg=one", "text/plain", ""),
        ("?channel=news&data=two", "text/plain", ""),
        ("?canal=broadcast&msg=three", "text/plain", ""),
        ("", "application/x-www-form-urlencoded", "canal=news&msg=four+4"),
    ] {
        let answer = rig.post(query, media, body);
        assert_eq!(answer.status, 200, "{query} {body}");
        assert!(answer.json()["id"].is_string());
    }
    assert_eq!(data_of(&mut stream, 4), ["one", "two", "three", "four 4"]);
    // No body needs no length.
    let text = rig.raw(
        format!(
            "POST /publish?canal=news&msg=five HTTP/1.1\r\nHost: x\r\n\
             Authorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n"
        )
        .as_bytes(),
        SOON,
    );
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    assert_eq!(data_of(&mut stream, 1), ["five"]);
}

#[test]
fn s158_json_commands_single_and_batch() {
    let rig = Rig::start();
    let mut stream = rig.open("/sse/a,b");
    let one = rig.command(&json!({ "channel": "a", "data": "text", "event": "e" }));
    assert_eq!(one["subscribers"], 1);
    let batch = r#"[ {"channel": "a", "data": { "z": 1, "a": [1, 2.50] } },
        {"channel": "a", "oops": 1}, {"channels": ["a", "b"], "data": null} ]"#;
    let many = rig.post("", "application/json", batch).json();
    let many = many.as_array().expect("one result each");
    assert_eq!(many.len(), 3);
    assert!(many[0]["id"].is_string() && many[2]["id"].is_string());
    assert_eq!(many[1]["status"], 400);
    assert!(many[1]["detail"].as_str().is_some_and(|detail| detail.contains("oops")));
    let event = next(&mut stream);
    assert_eq!((&*event.event, &*event.data), ("e", "text"));
    // Other JSON is compact, its own order and digits kept.
    assert_eq!(data_of(&mut stream, 2), ["{\"z\":1,\"a\":[1,2.50]}", "null"]);
}

#[test]
fn unknown_keys_are_named_with_the_nearest_known_one() {
    let rig = Rig::start();
    let post = |body: &Value| rig.post("", "application/json", &body.to_string());
    assert_problem(&post(&json!({ "chanel": "a", "data": "x" })), 400, "channel");
    assert_problem(
        &post(&json!({ "channel": "a", "id": "1", "data": "x" })),
        400,
        "idempotency_key",
    );
    assert_problem(&post(&json!({ "data": "x" })), 400, "");
    assert_problem(&rig.post("", "application/json", "{"), 400, "");
    assert_problem(&post(&json!({ "channel": "a", "event": "sse.bye", "data": "" })), 400, "sse.");
    assert_problem(&post(&json!({ "channel": "a", "event": "a\nb", "data": "" })), 400, "event");
    assert_problem(&post(&json!({ "channel": "a", "event": "", "data": "" })), 400, "event");
    let bearer = format!("Bearer {TOKEN}");
    let answer = http::request(
        rig.address(),
        "POST",
        "/publish/a",
        &[("Authorization", &bearer)],
        b"\xff\xfe",
    );
    assert_problem(&answer.expect("an answer"), 400, "UTF-8");
}

#[test]
fn ndjson_publishes_each_line_in_order_and_reports_the_bad_ones() {
    let rig = Rig::start();
    let mut stream = rig.open("/sse/n");
    let mut body = String::new();
    for n in 0..2_000 {
        body.push_str(&json!({ "channel": "n", "data": n.to_string() }).to_string());
        body.push('\n');
        if n == 1_000 {
            body.push_str("{\"channel\":\"n\",\"nonsense\":1}\n\n");
        }
    }
    let answer = rig.post("", "application/x-ndjson", &body);
    assert_eq!(answer.status, 200);
    let report = answer.json();
    assert_eq!((&report["published"], &report["failed"]), (&json!(2_000), &json!(1)));
    assert_eq!(report["errors"][0]["line"], 1_002);
    assert!(report["first_id"].is_string() && report["last_id"].is_string());
    let expected: Vec<String> = (0..2_000).map(|n| n.to_string()).collect();
    assert_eq!(data_of(&mut stream, 2_000), expected);
}

#[test]
fn an_ndjson_line_that_is_too_long_costs_only_itself_and_what_follows() {
    let rig = Rig::start();
    let mut stream = rig.open("/sse/a");
    let line = |data: &str| format!("{}\n", json!({ "channel": "a", "data": data }));
    let long = "x".repeat(2 << 20);
    let body = line("1") + &line("2") + &line(&long) + &line("4");
    let answer = rig.post("", "application/x-ndjson", &body);
    let told = answer.json();
    assert_eq!((answer.status, &told["published"], &told["failed"]), (200, &2.into(), &1.into()));
    assert_eq!(
        (&told["errors"][0]["status"], &told["errors"][0]["line"]),
        (&413.into(), &3.into())
    );
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(data_of(&mut stream, 2), ["1", "2"]);
    // Nothing before it: refused as a whole.
    assert_eq!(rig.post("", "application/x-ndjson", &line(&long)).status, 413);
}

#[test]
fn ndjson_in_chunks_is_published_while_it_comes() {
    use std::io::Write;
    let rig = Rig::start();
    let mut stream = rig.open("/sse/n");
    let mut socket = std::net::TcpStream::connect(rig.address()).expect("a connection");
    let head = format!(
        "POST /publish?channel=n HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).expect("sent");
    for data in ["one", "two"] {
        let line = format!("{{\"data\":\"{data}\"}}\n");
        write!(socket, "{:x}\r\n{line}\r\n", line.len()).expect("sent");
        assert_eq!(next(&mut stream).data, data, "before the body ends");
    }
}

#[test]
fn a_retried_publish_with_its_key_happens_once() {
    let mut rig = Rig::start();
    let mut stream = rig.open("/sse/k");
    let first = rig.publish("k?idempotency_key=one", "x");
    assert_eq!(rig.publish("k?idempotency_key=one", "x"), first);
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("Authorization", &*bearer), ("Idempotency-Key", "one")];
    let again = http::request(rig.address(), "POST", "/publish/k", &headers, b"x");
    assert_eq!(again.expect("an answer").json()["id"], *first);
    assert_ne!(rig.publish("k?idempotency_key=two", "y"), first);
    assert_eq!(data_of(&mut stream, 2), ["x", "y"]);
    assert_quiet(&mut stream);
}

#[test]
fn expected_id_lets_one_of_two_writers_win() {
    let mut rig = Rig::start();
    let first = rig.publish("x", "1");
    let second = rig.publish(&format!("x?expected_id={first}"), "2");
    let body = json!({ "channel": "x", "data": "3", "expected_id": first }).to_string();
    assert_problem(&rig.post("", "application/json", &body), 409, &second);
    rig.publish("elsewhere", "does not count");
    rig.publish(&format!("x?expected_id={second}"), "3");
    let mut stream = rig.open("/sse/x?since=earliest");
    assert_eq!(data_of(&mut stream, 3), ["1", "2", "3"]);
}

#[test]
fn ttl_and_store_decide_what_a_later_stream_gets() {
    let mut rig = Rig::start();
    let mut live = rig.open("/sse/t");
    rig.publish("t", "kept");
    rig.publish("t?store=false", "fleeting");
    rig.publish("t?ttl_ms=50", "short");
    rig.publish("t?ttl_ms=600000", "long");
    assert_eq!(data_of(&mut live, 4), ["kept", "fleeting", "short", "long"]);
    std::thread::sleep(std::time::Duration::from_millis(120));
    let mut later = rig.open("/sse/t?since=earliest");
    assert_eq!(data_of(&mut later, 2), ["kept", "long"]);
    assert_quiet(&mut later);
}

#[test]
fn retry_and_event_travel_with_the_event() {
    let rig = Rig::start();
    let mut stream = rig.open("/sse/r");
    rig.command(&json!({ "channel": "r", "data": "x", "event": "e", "retry": 1234 }));
    assert_eq!(next(&mut stream).event, "e");
    assert_eq!(stream.parser.retry_ms, Some(1234));
}

#[test]
fn s066_targets_of_users_and_tenants() {
    let mut rig = Rig::start_with(&[("JWT_SECRET", SECRET)]);
    let token = |sub: &str, tenant: &str| {
        crate::support::token::token(SECRET, &["--sub", sub, "--tenant", tenant])
    };
    let mut ana = rig.open(&format!("/sse?token={}", token("ana", "t1")));
    let mut bob = rig.open(&format!("/sse?token={}", token("bob", "t1")));
    let mut eve = rig.open(&format!("/sse?token={}", token("eve", "t2")));
    rig.publish("user:ana", "to ana");
    rig.publish("tenant:t1", "to t1");
    rig.command(&json!({ "user": "bob", "data": "to bob" }));
    rig.command(&json!({ "userId": "ana", "data": "to ana again" }));
    rig.command(&json!({ "users": ["ana", "eve"], "data": "to two" }));
    rig.command(&json!({ "tenantId": "t2", "data": "to t2" }));
    rig.command(&json!({ "broadcast": true, "data": "to all" }));
    assert_eq!(data_of(&mut ana, 5), ["to ana", "to t1", "to ana again", "to two", "to all"]);
    assert_eq!(data_of(&mut bob, 3), ["to t1", "to bob", "to all"]);
    assert_eq!(data_of(&mut eve, 3), ["to two", "to t2", "to all"]);
}

const SECRET: &str = "a-secret-of-more-than-thirty-two-bytes-for-tests";

#[test]
fn a_body_over_the_cap_is_413_and_the_cap_counts_bytes() {
    let rig = Rig::start();
    let fits = "x".repeat(1 << 20);
    assert_eq!(rig.post("/big", "text/plain", &fits).status, 200);
    let request = format!(
        "POST /publish/big HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Length: {}\r\n\r\n",
        (1 << 20) + 1
    );
    let text = rig.raw(request.as_bytes(), SOON);
    assert!(text.starts_with("HTTP/1.1 413 "), "{text}");
    assert!(text.contains("application/problem+json"), "{text}");
}

#[test]
fn subscribers_are_counted_in_the_answer() {
    let mut rig = Rig::start();
    let count = |rig: &mut Rig| rig.publisher.publish("s", b"x").subscribers;
    assert_eq!(count(&mut rig), 0);
    let streams: Vec<_> = (0..3).map(|_| rig.open("/sse/s")).collect();
    assert_eq!(count(&mut rig), 3);
    drop(streams);
    let gone = crate::support::wait_until(SOON, std::time::Duration::from_millis(20), || {
        count(&mut rig) == 0
    });
    assert!(gone, "closed streams are still counted");
}
