//! Streams: who receives what, in which form.

use std::time::Duration;

use serde_json::json;

use crate::rig::{Rig, SOON, assert_problem, assert_quiet, data_of, next};
use crate::support::http;

#[test]
fn s001_s002_s003_path_query_and_list_forms_reach_the_same_channels() {
    let mut rig = Rig::start();
    let forms = [
        "/sse/news,chat",
        "/sse?channel=news&channel=chat",
        "/sse?canal=news,chat",
        "/sse?topic=chat&channels=news",
        "/sse/news?channel=chat",
    ];
    let mut streams: Vec<_> = forms.iter().map(|form| rig.open(form)).collect();
    rig.publish("news", "one");
    rig.publish("elsewhere", "not for these");
    rig.publish("chat", "two");
    for (stream, form) in streams.iter_mut().zip(forms) {
        assert_eq!(data_of(stream, 2), ["one", "two"], "{form}");
    }
}

#[test]
fn s041_s042_s043_s044_s045_the_head_is_what_proxies_and_browsers_need() {
    let rig = Rig::start();
    let stream = rig.open("/sse/news");
    let header = |name: &str| {
        stream.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    };
    assert_eq!(header("content-type"), Some("text/event-stream"));
    assert_eq!(header("cache-control"), Some("no-cache, no-transform"));
    assert_eq!(header("connection"), Some("keep-alive"));
    assert_eq!(header("x-accel-buffering"), Some("no"));
    assert_eq!(header("x-content-type-options"), Some("nosniff"));
    assert_eq!(header("content-encoding"), None);
    assert_eq!(header("content-length"), None);
    assert_eq!(header("transfer-encoding"), None);
}

#[test]
fn s046_frames_and_the_preamble_byte_for_byte() {
    let mut rig = Rig::start();
    let id = rig.publish("wire", "first");
    let request = "GET /sse/wire?since=earliest HTTP/1.1\r\nHost: x\r\n\r\n";
    let text = rig.raw(request.as_bytes(), Duration::from_millis(500));
    let (_, body) = text.split_once("\r\n\r\n").expect("a head");
    let rest = body.strip_prefix(":ok\nretry: ").expect("the preamble, no BOM before it");
    let (retry, blocks) = rest.split_once('\n').expect("a line");
    assert!(retry.parse::<u32>().is_ok_and(|ms| ms > 0), "{retry}");
    assert_eq!(blocks, format!("id: {id}\ndata: first\n\n"));
    let (epoch, seq) = id.split_once('-').expect("epoch and number");
    assert!(epoch.len() == 8 && epoch.bytes().all(|b| b.is_ascii_alphanumeric()), "{id}");
    assert_eq!(seq.parse::<u64>().ok(), Some(1));
}

#[test]
fn s054_s069_event_names_with_colons_and_filters_by_name() {
    let mut rig = Rig::start();
    let mut all = rig.open("/sse/room");
    let mut some = rig.open("/sse/room?events=chat:message,message");
    rig.publish("room?event=chat:typing", "t");
    rig.publish("room?event=chat:message", "m");
    rig.publish("room", "unnamed");
    let names: Vec<_> = (0..3).map(|_| next(&mut all).event).collect();
    assert_eq!(names, ["chat:typing", "chat:message", "message"]);
    assert_eq!(data_of(&mut some, 2), ["m", "unnamed"]);
    assert_quiet(&mut some);
}

#[test]
fn s064_a_broadcast_reaches_every_stream_whatever_its_channels() {
    let mut rig = Rig::start_with(&[("JWT_SECRET", SECRET)]);
    let token = crate::support::token::token(SECRET, &["--sub", "u1"]);
    let paths = ["/sse/a", "/sse/b.c", "/sse/broadcast"];
    let mut streams: Vec<_> =
        paths.iter().map(|path| rig.open(&format!("{path}?token={token}"))).collect();
    rig.publish("a", "only a");
    rig.publish("broadcast", "everybody");
    assert_eq!(data_of(&mut streams[0], 2), ["only a", "everybody"]);
    assert_eq!(data_of(&mut streams[1], 1), ["everybody"]);
    assert_eq!(data_of(&mut streams[2], 1), ["everybody"]);
}

const SECRET: &str = "a-secret-of-more-than-thirty-two-bytes-for-tests";

#[test]
fn patterns_take_one_part_or_all_the_rest() {
    let mut rig = Rig::start_with(&[("JWT_SECRET", SECRET)]);
    let token = crate::support::token::token(SECRET, &["--sub", "u1"]);
    let mut one = rig.open(&format!("/sse/sensor.*.temp?token={token}"));
    let mut rest = rig.open(&format!("/sse/sensor.**?token={token}"));
    for channel in ["sensor.1.temp", "sensor.1.hum", "sensor.2.temp", "other.1.temp"] {
        rig.publish(channel, channel);
    }
    assert_eq!(data_of(&mut one, 2), ["sensor.1.temp", "sensor.2.temp"]);
    assert_eq!(data_of(&mut rest, 3), ["sensor.1.temp", "sensor.1.hum", "sensor.2.temp"]);
    assert_quiet(&mut one);
}

#[test]
fn an_event_for_several_channels_of_a_stream_arrives_once() {
    let rig = Rig::start();
    let mut stream = rig.open("/sse/a,b");
    rig.command(&json!({ "channels": ["a", "b"], "data": "once" }));
    rig.command(&json!({ "channel": "b", "data": "then" }));
    assert_eq!(data_of(&mut stream, 2), ["once", "then"]);
}

#[test]
fn s022_names_and_data_keep_every_letter() {
    let mut rig = Rig::start();
    let mut stream = rig.open("/sse/not%C3%ADcias");
    let answer = rig.post("?canal=not%C3%ADcias&msg=Ol%C3%A1%20%F0%9F%8E%89+1", "text/plain", "");
    assert_eq!(answer.status, 200);
    rig.publish("not%C3%ADcias", "São Paulo");
    assert_eq!(data_of(&mut stream, 2), ["Olá 🎉 1", "São Paulo"]);
}

#[test]
fn bad_names_and_too_many_channels_are_told_apart() {
    let rig = Rig::start();
    let get = |path: &str| rig.server.get(path);
    assert_problem(&get("/sse/a%20b"), 400, "a b");
    assert_problem(&get("/sse/a%00b"), 400, "");
    assert_problem(&get("/sse/%FF"), 400, "");
    assert_problem(&get(&format!("/sse/{}", "x".repeat(256))), 400, "255");
    let many: Vec<String> = (0..1_000).map(|n| format!("c{n}")).collect();
    assert_problem(&get(&format!("/sse/{}", many.join(","))), 400, "at most");
    assert_problem(&get("/sse"), 401, "token");
    assert_problem(&get("/sse/a*b"), 400, "");
}

#[test]
fn s023_a_silent_stream_hears_a_heartbeat_of_two_bytes() {
    let rig = Rig::start_with(&[("SSE_HEARTBEAT_INTERVAL", "200")]);
    let request = "GET /sse/quiet HTTP/1.1\r\nHost: x\r\n\r\n";
    let text = rig.raw(request.as_bytes(), Duration::from_millis(1_500));
    let (_, body) = text.split_once("\r\n\r\n").expect("a head");
    let beats = body.lines().filter(|line| *line == ":").count();
    assert!(beats >= 3, "{body:?}");
    assert!(body.ends_with(":\n"));
}

#[test]
fn s024_s094_a_stream_lives_as_long_as_it_may_and_says_bye() {
    let rig =
        Rig::start_with(&[("SSE_CONNECTION_TIMEOUT", "1000"), ("SSE_HEARTBEAT_INTERVAL", "200")]);
    let mut stream = rig.open("/sse/a");
    let bye = next(&mut stream);
    assert_eq!(bye.event, "sse.bye");
    let value: serde_json::Value = serde_json::from_str(&bye.data).expect("JSON");
    assert_eq!(value, json!({ "reason": "lifetime", "reconnect": true }));
    assert!(stream.ends_within(SOON));
}

#[test]
fn control_events_on_and_off() {
    let mut rig = Rig::start();
    rig.publish("c", "old");
    let mut on = rig.open("/sse/c?since=earliest&control=on");
    let open = next(&mut on);
    assert_eq!(open.event, "sse.open");
    let value: serde_json::Value = serde_json::from_str(&open.data).expect("JSON");
    assert_eq!(value["channels"], json!(["c"]));
    assert_eq!(value["heartbeat_ms"], 30_000);
    assert!(value["connection"].is_string() && value["epoch"].is_string());
    assert_eq!(next(&mut on).data, "old");
    assert_eq!(next(&mut on).event, "sse.caught-up");
    let mut off = rig.open_with("/sse/c?control=off", &[("Last-Event-ID", "zzzzzzzz-9")]);
    assert_eq!(next(&mut off).data, "old");
    let mut plain = rig.open_with("/sse/c", &[("Last-Event-ID", "zzzzzzzz-9")]);
    assert_eq!(next(&mut plain).event, "sse.gap");
}

#[test]
fn a_browser_stops_for_ever_at_an_id_that_ends() {
    let mut rig = Rig::start();
    let id = rig.publish("c", "x");
    let answer = http::request(
        rig.address(),
        "GET",
        "/sse/c",
        &[("Last-Event-ID", &format!("{id}.end"))],
        b"",
    );
    assert_eq!(answer.expect("an answer").status, 204);
}

#[test]
fn long_polls_wait_answer_and_go_on_exactly() {
    let mut rig = Rig::start();
    let mut client = rig.client();
    let first = rig.publish("p", "one");
    let ask = |client: &mut http::Client, query: &str| {
        client.request("GET", &format!("/poll/p?{query}"), &[], b"").expect("an answer")
    };
    let answer = ask(&mut client, "since=earliest&timeout=5");
    assert_eq!(
        answer.json(),
        json!({
            "events": [{ "id": first, "event": "message", "data": "one", "channel": "p" }],
            "last_event_id": first,
        })
    );
    let nothing = ask(&mut client, &format!("last_event_id={first}&timeout=0"));
    assert_eq!(nothing.status, 204);
    client
        .send("GET", &format!("/poll/p?last_event_id={first}&timeout=20"), &[], b"")
        .expect("sent");
    std::thread::sleep(Duration::from_millis(200));
    let second = rig.publish("p?event=e", "two");
    let answer = client.read_answer(false).expect("an answer").json();
    assert_eq!(answer["events"][0]["event"], "e");
    assert_eq!(answer["last_event_id"], *second);
    let once = rig.server.get("/sse/p?since=earliest&poll=1").json();
    assert_eq!(once["events"].as_array().map(Vec::len), Some(2));
}

#[test]
fn ndjson_streams_hold_one_object_a_line() {
    let mut rig = Rig::start();
    let id = rig.publish("n?event=e", "a\nb");
    let request = "GET /sse/n?since=earliest HTTP/1.1\r\nHost: x\r\n\
                   Accept: application/x-ndjson\r\n\r\n";
    let text = rig.raw(request.as_bytes(), Duration::from_millis(500));
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains("Content-Type: application/x-ndjson"), "{head}");
    let value: serde_json::Value = serde_json::from_str(body.trim()).expect("one object");
    assert_eq!(value, json!({ "id": id, "event": "e", "data": "a\nb", "channel": "n" }));
}

#[test]
fn s175_head_answers_the_headers_and_takes_no_slot() {
    let rig = Rig::start();
    let answer = http::request(rig.address(), "HEAD", "/sse/a", &[], b"");
    // The end of the connection is the end of the answer.
    let answer = answer.expect("an answer");
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert_eq!(rig.server.get_admin("/stats/cores").status, 200);
}
