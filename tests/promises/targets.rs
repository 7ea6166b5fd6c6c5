//! Whom an event reaches, and whom it must not.

use std::io::Read;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::rig::{Rig, SOON, TOKEN, assert_problem, assert_quiet, data_of, next};
use crate::support::http;
use crate::support::sse::Stream;
use crate::support::token::token;
use crate::support::wait_until;

const SECRET: &str = "a-secret-of-more-than-thirty-two-bytes-for-tests";

fn with_tokens() -> Rig {
    Rig::start_file("[auth]\nanonymous = true\n", &[("JWT_SECRET", SECRET)])
}

fn user(name: &str) -> String {
    token(SECRET, &["--sub", name])
}

/// A stream that tells its own name, and that name.
fn open_named(rig: &Rig, path: &str) -> (Stream, String) {
    let mut stream = rig.open(path);
    let open = next(&mut stream);
    assert_eq!(open.event, "sse.open");
    let told: Value = serde_json::from_str(&open.data).expect("JSON");
    let name = told["connection"].as_str().expect("a name").to_owned();
    assert_eq!(next(&mut stream).event, "sse.caught-up");
    (stream, name)
}

fn refused(rig: &Rig, body: &Value) -> http::Response {
    rig.post("", "application/json", &body.to_string())
}

#[test]
fn several_channels_and_users_are_one_delivery_per_stream() {
    let rig = with_tokens();
    let mut ana = rig.open(&format!("/sse/a,b?token={}", user("ana")));
    let mut bob = rig.open(&format!("/sse/b?token={}", user("bob")));
    rig.command(&json!({
        "channels": ["a", "b"], "users": ["ana", "bob", "eve"], "tenant": "t", "data": "one",
    }));
    rig.command(&json!({ "broadcast": true, "channel": "a", "user": "ana", "data": "two" }));
    assert_eq!(data_of(&mut ana, 2), ["one", "two"]);
    assert_eq!(data_of(&mut bob, 2), ["one", "two"]);
    for stream in [&mut ana, &mut bob] {
        assert_quiet(stream);
    }
    let many: Vec<String> = (0..1_001).map(|n| n.to_string()).collect();
    assert_problem(&refused(&rig, &json!({ "users": many, "data": "" })), 400, "users");
}

#[test]
fn s056_each_copy_of_a_notification_names_its_user() {
    let text = "[auth]\nanonymous = true\n[namespaces.'user:']\nenvelope = 'typed'\n";
    let rig = Rig::start_file(text, &[("JWT_SECRET", SECRET)]);
    let mut ana = rig.open(&format!("/sse/news?token={}", user("ana")));
    let mut bob = rig.open(&format!("/sse?token={}", user("bob")));
    let mut other = rig.open("/sse/news");
    let body = json!({
        "users": ["ana", "bob", "gone"], "channel": "news", "idempotency_key": "k",
        "data": { "title": "hi", "message": "there" },
    });
    let answer = rig.command(&body);
    assert_eq!(answer["subscribers"], 4, "two of users, two of the channel: {answer}");
    let copy =
        |stream: &mut Stream| -> Value { serde_json::from_str(&next(stream).data).expect("JSON") };
    let (first, second) = (copy(&mut ana), copy(&mut bob));
    assert_eq!((&first["userId"], &second["userId"]), (&json!("ana"), &json!("bob")));
    assert_eq!(first["id"], second["id"], "it is one notification");
    assert_eq!(first["title"], "hi");
    // The channel's own readers get what is published there; who has a copy has no second one.
    assert_eq!(copy(&mut other), json!({ "title": "hi", "message": "there" }));
    // All copies together are appended once.
    assert_eq!(rig.command(&body)["id"], answer["id"]);
    // A batch has one result for each command, however many copies it makes.
    let batch = json!([{ "users": ["ana", "bob"], "data": "x" }, { "channel": "n", "data": "y" }]);
    let many = rig.post("", "application/json", &batch.to_string()).json();
    assert_eq!(many.as_array().map(Vec::len), Some(2), "{many}");
    let lines = "{\"users\":[\"ana\",\"bob\"],\"data\":\"z\"}\n".repeat(3);
    assert_eq!(rig.post("", "application/x-ndjson", &lines).json()["published"], 3);
    for stream in [&mut ana, &mut bob] {
        let messages: Vec<Value> = (0..4).map(|_| copy(stream)["message"].clone()).collect();
        assert_eq!(messages, ["x", "z", "z", "z"]);
        assert_quiet(stream);
    }
    assert_quiet(&mut other);
}

#[test]
fn s057_a_user_without_a_connection_is_a_warning_and_no_error() {
    let mut rig = with_tokens();
    let _here = rig.open(&format!("/sse?token={}", user("here")));
    rig.publish("user:here", "x");
    assert_eq!(rig.publisher.publish("user:nobody-7", b"x").subscribers, 0);
    rig.command(&json!({ "users": ["here", "nobody-8"], "data": "x" }));
    let told = |user: &str| {
        let line = format!("Usuário {user} não tem conexões ativas");
        rig.server.output().contains(&line)
    };
    let both = || told("nobody-7") && told("nobody-8");
    assert!(wait_until(SOON, Duration::from_millis(100), both), "{}", rig.server.output());
    assert!(!told("here"));
}

#[test]
fn a_pattern_reaches_every_channel_that_matches_once_per_stream() {
    let mut rig = with_tokens();
    let own = user("u");
    let mut both = rig.open("/sse/orders.eu,orders.us");
    let mut one = rig.open("/sse/orders.eu");
    let mut deeper = rig.open("/sse/orders.eu.paris");
    let mut matching = rig.open(&format!("/sse/orders.*?token={own}"));
    let mut overlapping = rig.open(&format!("/sse/*.br?token={own}"));
    let mut apart = rig.open(&format!("/sse/stock.*?token={own}"));
    // Without a stream, it has a history.
    let before = rig.publish("orders.cl", "before");
    let answer = rig.command(&json!({ "pattern": "orders.*", "data": "x" }));
    assert!(answer["id"].is_string());
    assert_eq!(rig.post("?pattern=orders.*", "text/plain", "y").status, 200);
    for stream in [&mut both, &mut one, &mut overlapping] {
        assert_eq!(data_of(stream, 2), ["x", "y"]);
        assert_quiet(stream);
    }
    assert_eq!(data_of(&mut matching, 3), ["before", "x", "y"]);
    assert_quiet(&mut matching);
    assert_eq!(data_of(&mut rig.resume("/sse/orders.cl", &before), 2), ["x", "y"]);
    let again = format!("/sse/*.br?token={own}");
    assert_eq!(data_of(&mut rig.resume(&again, &before), 2), ["x", "y"]);
    for stream in [&mut deeper, &mut apart] {
        assert_quiet(stream);
    }
    // No channel at all: streams of patterns get it all the same.
    rig.command(&json!({ "pattern": "stock.**", "data": "z" }));
    assert_eq!(data_of(&mut apart, 1), ["z"]);
    // Only where it is named with others does a channel count twice.
    rig.command(&json!({ "pattern": "orders.*", "channels": ["orders.eu", "new"], "data": "w" }));
    assert_eq!(data_of(&mut one, 1), ["w"]);
    assert_quiet(&mut one);
}

#[test]
fn a_pattern_is_bounded_and_needs_a_grant_that_covers_it() {
    let rig = with_tokens();
    let body = |n: usize| json!({ "channel": format!("many.{n}"), "data": "" }).to_string();
    let lines: Vec<String> = (0..1_001).map(body).collect();
    assert_eq!(rig.post("", "application/x-ndjson", &lines.join("\n")).json()["published"], 1_001);
    assert_problem(&refused(&rig, &json!({ "pattern": "many.*", "data": "" })), 400, "\"pattern\"");
    assert_eq!(refused(&rig, &json!({ "pattern": "few.*", "data": "" })).status, 200);
    for bad in ["user:*", "tenant:**", "a*", "**.b"] {
        assert_problem(&refused(&rig, &json!({ "pattern": bad, "data": "" })), 400, "pattern");
    }
    let own = token(SECRET, &["--sub", "u", "--publish", "few.*"]);
    let bearer = format!("Bearer {own}");
    let status = |pattern: &str| {
        let headers = [("Authorization", &*bearer), ("Content-Type", "application/json")];
        let body = json!({ "pattern": pattern, "data": "" }).to_string();
        let answer = http::request(rig.address(), "POST", "/publish", &headers, body.as_bytes());
        answer.expect("an answer").status
    };
    assert_eq!(
        [status("few.*"), status("few.**"), status("*"), status("**")],
        [200, 403, 403, 403]
    );
}

#[test]
fn a_delayed_pattern_reaches_what_matches_when_it_is_due() {
    let rig = Rig::start();
    let body = json!({ "pattern": "late.*", "data": "x", "delay_ms": 400 }).to_string();
    assert_eq!(rig.post("", "application/json", &body).status, 202);
    let mut stream = rig.open("/sse/late.a");
    assert_eq!(data_of(&mut stream, 1), ["x"]);
}

#[test]
fn excluded_connections_do_not_get_it_and_are_told_no_gap() {
    let mut rig = Rig::start();
    let (mut sender, name) = open_named(&rig, "/sse/room,side?control=on");
    let mut others: Vec<Stream> = (0..6).map(|_| rig.open("/sse/room")).collect();
    let exclude = [format!("conn:{name}")];
    rig.command(&json!({ "channel": "room", "data": "1", "exclude": exclude }));
    rig.publish("room", "2");
    rig.command(&json!({ "broadcast": true, "data": "3", "exclude": exclude }));
    rig.command(&json!({ "channels": ["room", "side"], "data": "4", "exclude": exclude }));
    let last = rig.publish("side", "5");
    let got = [next(&mut sender), next(&mut sender)];
    assert_eq!([&*got[0].data, &*got[1].data], ["2", "5"]);
    assert_eq!(got[1].id, last);
    assert_quiet(&mut sender);
    for stream in &mut others {
        assert_eq!(data_of(stream, 4), ["1", "2", "3", "4"]);
    }
    // A reconnect is another connection: only users stay excluded.
    let again = data_of(&mut rig.open("/sse/room?since=earliest"), 3);
    assert_eq!(again, ["1", "2", "3"]);
}

#[test]
fn excluded_users_stay_excluded_after_a_reconnect() {
    let mut rig = with_tokens();
    let (ana, bob) = (user("ana"), user("bob"));
    let watcher = token(SECRET, &["--sub", "watch", "--channels", "room,user:ana"]);
    let path = |token: &str| format!("/sse/room?token={token}");
    let mut first = rig.open(&path(&ana));
    let mut second = rig.open(&path(&ana));
    let mut other = rig.open(&path(&bob));
    // Reading ana's channel does not make one ana.
    let mut watch = rig.open(&format!("/sse/room,user:ana?token={watcher}"));
    let before = rig.publish("room", "0");
    rig.command(&json!({ "channel": "room", "data": "1", "exclude": ["user:ana"] }));
    rig.command(&json!({ "channel": "room", "data": "2" }));
    for stream in [&mut first, &mut second] {
        assert_eq!(data_of(stream, 2), ["0", "2"]);
        assert_quiet(stream);
    }
    assert_eq!(data_of(&mut other, 3), ["0", "1", "2"]);
    assert_eq!(data_of(&mut watch, 3), ["0", "1", "2"]);
    let mut again = rig.resume(&path(&ana), &before);
    let event = next(&mut again);
    assert_eq!((&*event.event, &*event.data), ("message", "2"));
    assert_quiet(&mut again);
    assert_eq!(data_of(&mut rig.resume(&path(&bob), &before), 2), ["1", "2"]);
    let poll = |token: &str| {
        let answer = rig.server.get(&format!("/poll/room?last_event_id={before}&token={token}"));
        let events = answer.json()["events"].as_array().expect("events").clone();
        events.iter().map(|event| event["data"].clone()).collect::<Vec<_>>()
    };
    assert_eq!((poll(&ana), poll(&bob)), (vec![json!("2")], vec![json!("1"), json!("2")]));
    // Nor does an event put off forget whom it leaves out.
    let late = json!({ "channel": "room", "data": "3", "exclude": ["user:ana"], "delay_ms": 50 });
    assert_eq!(refused(&rig, &late).status, 202);
    assert_eq!(data_of(&mut other, 1), ["3"]);
    assert_quiet(&mut first);
}

#[test]
fn what_is_wrong_with_exclude_is_said() {
    let rig = Rig::start();
    let post =
        |exclude: Value| refused(&rig, &json!({ "channel": "a", "data": "", "exclude": exclude }));
    for bad in [json!("conn:0-0-0"), json!(["x"]), json!(["conn:"]), json!([7]), json!(["conn:%"])]
    {
        assert_problem(&post(bad), 400, "exclude");
    }
    let many: Vec<String> = (0..101).map(|n| format!("user:{n}")).collect();
    assert_problem(&post(json!(many)), 400, "exclude");
    assert_eq!(post(json!(many[..100])).status, 200);
}

fn written(rig: &Rig, body: &Value) -> Value {
    let answer = rig.command(body);
    assert!(answer["id"].is_string(), "{answer}");
    let sum = ["written", "lagging", "dropped"].map(|key| answer[key].as_u64().expect("a number"));
    assert_eq!(answer["matched"], sum.iter().sum::<u64>(), "{answer}");
    answer
}

#[test]
fn wait_written_says_what_became_of_it_on_every_core() {
    let rig = with_tokens();
    let own = user("u");
    let mut streams: Vec<Stream> = (0..12).map(|_| rig.open("/sse/w,v")).collect();
    streams.extend((0..4).map(|_| rig.open(&format!("/sse/w.*,w?token={own}"))));
    let mut filtered = rig.open("/sse/w?events=other");
    let (mut excluded, name) = open_named(&rig, "/sse/w?control=on");
    let body = json!({ "channel": "w", "data": "x", "wait": "written" });
    let answer = written(&rig, &body);
    assert_eq!((&answer["matched"], &answer["written"]), (&json!(17), &json!(17)), "{answer}");
    assert_eq!(answer.as_object().map(serde_json::Map::len), Some(5), "{answer}");
    let twice = json!({
        "channels": ["w", "v"], "broadcast": true, "data": "y", "wait": "written",
        "exclude": [format!("conn:{name}")],
    });
    assert_eq!(written(&rig, &twice)["written"], 16, "one delivery per stream");
    let nobody = written(&rig, &json!({ "channel": "none", "data": "", "wait": "written" }));
    assert_eq!((&nobody["matched"], &nobody["written"]), (&json!(0), &json!(0)));
    let query = rig.post("/w?wait=written", "text/plain", "z");
    assert_eq!(query.json()["written"], 17);
    assert_eq!(data_of(&mut excluded, 2), ["x", "z"]);
    for stream in &mut streams {
        assert_eq!(data_of(stream, 3), ["x", "y", "z"]);
    }
    assert_quiet(&mut filtered);
    // For one event only, and not for one that is late.
    let batch = json!([body, { "channel": "w", "data": "b" }]).to_string();
    let many = rig.post("", "application/json", &batch).json();
    assert_eq!((&many[0]["status"], many[1]["id"].is_string()), (&json!(400), true), "{many}");
    for wrong in [json!({ "wait": "read" }), json!({ "wait": "written", "delay_ms": 5 })] {
        let mut body = wrong;
        body["channel"] = "w".into();
        assert_problem(&refused(&rig, &body), 400, "wait");
    }
}

#[test]
fn wait_written_counts_readers_that_take_nothing_as_lagging() {
    let mut rig = Rig::start();
    let mut slow: Vec<_> = (0..3)
        .map(|_| {
            let mut socket = std::net::TcpStream::connect(rig.address()).expect("a connection");
            std::io::Write::write_all(&mut socket, b"GET /sse/s HTTP/1.1\r\nHost: x\r\n\r\n")
                .expect("sent");
            let mut head = [0; 16];
            socket.read_exact(&mut head).expect("a head");
            socket
        })
        .collect();
    let mut quick = rig.open("/sse/s");
    let reader =
        std::thread::spawn(move || while quick.next(SOON).is_some_and(|e| e.data != "end") {});
    // Fills what the kernel holds for those who do not read.
    let block = "x".repeat(256 << 10);
    for _ in 0..64 {
        written(&rig, &json!({ "channel": "s", "data": block, "wait": "written" }));
    }
    // The one who reads has soon caught up, and takes small ones whole.
    let only_slow = || {
        let answer = written(&rig, &json!({ "channel": "s", "data": "y", "wait": "written" }));
        answer["lagging"] == 3
    };
    assert!(wait_until(SOON, Duration::from_millis(20), only_slow));
    // Whoever goes is dropped or was never counted: the answer comes all the same.
    slow.clear();
    let answer = written(&rig, &json!({ "channel": "s", "data": "last", "wait": "written" }));
    assert!(answer["written"].as_u64() >= Some(1), "{answer}");
    rig.publish("s", "end");
    reader.join().expect("read");
}

#[test]
fn wait_written_is_answered_while_the_node_drains() {
    let rig = Rig::start();
    let _streams: Vec<Stream> = (0..8).map(|_| rig.open("/sse/d")).collect();
    let mut client = rig.client();
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("Authorization", &*bearer)];
    let first = client.request("POST", "/publish/d?wait=written", &headers, b"1");
    assert_eq!(first.expect("an answer").status, 200);
    client.send("POST", "/publish/d?wait=written", &headers, b"2").expect("sent");
    rig.server.signal("TERM");
    let begun = Instant::now();
    let answer = client.read_answer(false).expect("an answer");
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    assert!(begun.elapsed() < SOON);
}

#[test]
fn an_event_spread_over_time_reaches_each_stream_once_and_in_order() {
    let mut rig = with_tokens();
    let first = rig.publish("s", "0");
    let mut streams: Vec<Stream> = (0..16).map(|_| rig.open("/sse/s,side")).collect();
    let mut busy = rig.open("/sse/s,busy");
    let (mut out, name) = open_named(&rig, "/sse/s?control=on");
    let body = json!({
        "channel": "s", "data": "1", "spread_ms": 1_500, "exclude": [format!("conn:{name}")],
    });
    let begun = Instant::now();
    let id = rig.command(&body)["id"].as_str().expect("an id").to_owned();
    // The history has it at once, and the next event takes it along.
    assert_eq!(next(&mut rig.resume("/sse/s", &first)).id, id);
    let after = rig.publish("busy", "2");
    let got = [next(&mut busy), next(&mut busy)];
    assert_eq!((&*got[0].id, &*got[1].id), (&*id, &*after));
    assert!(begun.elapsed() < Duration::from_millis(1_400));
    let times: Vec<_> = streams
        .drain(..)
        .map(|mut stream| {
            std::thread::spawn(move || {
                let event = next(&mut stream);
                let at = Instant::now();
                assert_quiet(&mut stream);
                (event.data, at, stream)
            })
        })
        .collect();
    let mut moments = Vec::new();
    for thread in times {
        let (data, at, stream) = thread.join().expect("an event");
        assert_eq!(data, "1");
        moments.push(at.duration_since(begun));
        streams.push(stream);
    }
    moments.sort_unstable();
    assert!(moments[15] - moments[0] > Duration::from_millis(600), "{moments:?}");
    // Whoever reconnects within the time has it from the history, once.
    rig.command(&json!({ "channel": "s", "data": "3", "spread_ms": 60_000 }));
    let mut again = rig.resume("/sse/s", &id);
    assert_eq!(data_of(&mut again, 1), ["3"]);
    rig.publish("s", "4");
    assert_eq!(data_of(&mut again, 1), ["4"]);
    for stream in &mut streams {
        assert_eq!(data_of(stream, 2), ["3", "4"]);
        assert_quiet(stream);
    }
    assert_eq!(data_of(&mut out, 2), ["3", "4"]);
    for bad in [json!(60_001), json!(-1), json!("x")] {
        let body = json!({ "channel": "s", "data": "", "spread_ms": bad });
        assert_problem(&refused(&rig, &body), 400, "spread_ms");
    }
}

#[test]
fn a_reader_is_told_only_channels_of_its_own() {
    let rig = with_tokens();
    let lines = [("Accept", "application/x-ndjson")];
    let request = format!("/sse?token={}", user("bob"));
    let mut socket = std::net::TcpStream::connect(rig.address()).expect("a connection");
    let head =
        format!("GET {request} HTTP/1.1\r\nHost: x\r\n{}: {}\r\n\r\n", lines[0].0, lines[0].1);
    std::io::Write::write_all(&mut socket, head.as_bytes()).expect("sent");
    let mut text = String::new();
    let mut buffer = [0; 4_096];
    let count = socket.read(&mut buffer).expect("a head");
    text.push_str(&String::from_utf8_lossy(&buffer[..count]));
    let before = rig.command(&json!({ "user": "bob", "data": "first" }));
    rig.command(&json!({ "users": ["ana", "bob"], "tenant": "other", "data": "second" }));
    while !text.contains("second") {
        let count = socket.read(&mut buffer).expect("an event");
        assert!(count > 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    assert!(!text.contains("ana") && !text.contains("tenant:"), "{text}");
    let id = before["id"].as_str().expect("an id");
    let poll = format!("/poll?last_event_id={id}&token={}", user("bob"));
    let poll = rig.server.get(&poll).json();
    assert_eq!(poll["events"][0]["channel"], "user:bob", "{poll}");
}

/// Two tenants: ana of the first with a stream, eve of the second.
struct Tenants {
    rig: Rig,
    insider: Stream,
    eve: String,
    /// Ids of what ana has got already.
    theirs: [String; 2],
}

impl Tenants {
    fn start() -> Self {
        let env = [("JWT_SECRET", SECRET), ("SSE_MAX_CONNECTIONS_PER_USER", "100")];
        let mut rig = Rig::start_file("[auth]\nanonymous = true\n", &env);
        let ana = token(SECRET, &["--sub", "ana", "--tenant", "t1"]);
        let eve = token(SECRET, &["--sub", "eve", "--tenant", "t2", "--publish", "news,news.*"]);
        let mut insider = rig.open(&format!("/sse?token={ana}"));
        for target in ["tenant:t1", "user:ana"] {
            rig.publish(target, "secret");
        }
        let theirs = [next(&mut insider).id, next(&mut insider).id];
        Self { rig, insider, eve, theirs }
    }

    /// What eve's publish is answered with.
    fn publish(&self, body: &Value) -> u16 {
        let bearer = format!("Bearer {}", self.eve);
        let headers = [("Authorization", &*bearer), ("Content-Type", "application/json")];
        let (address, body) = (self.rig.address(), body.to_string());
        let answer = http::request(address, "POST", "/publish", &headers, body.as_bytes());
        answer.expect("an answer").status
    }
}

#[test]
fn s067_channels_of_another_tenant_are_refused_wherever_they_are_named() {
    let Tenants { rig, eve, .. } = Tenants::start();
    let names =
        ["tenant:t1", "user:ana", "tenant:*", "tenant:**", "user:*", "user:**", "news,tenant:t1"];
    for name in names {
        for path in ["/sse", "/poll", "/api/v1/notificacao/sse"] {
            for query in ["since=earliest", "last=10", "k=3", "poll=1"] {
                let path = format!("{path}?channel={name}&{query}&token={eve}");
                assert_eq!(rig.server.get(&path).status, 403, "{path}");
            }
        }
        assert_eq!(rig.server.get(&format!("/sse/{name}?token={eve}")).status, 403, "{name}");
        let list = json!({ "channels": name.split(',').collect::<Vec<_>>() }).to_string();
        let headers = [("Content-Type", "application/json")];
        let path = format!("/sse?since=earliest&token={eve}");
        let answer = http::request(rig.address(), "POST", &path, &headers, list.as_bytes());
        assert_eq!(answer.expect("an answer").status, 403, "{name}");
        // Nor with no token at all.
        assert_eq!(rig.server.get(&format!("/sse?channel={name}")).status, 401, "{name}");
    }
    for rounds in ["/stream/rounds/tenant/t1/v1/live", "/stream/rounds/user/ana/v1/live"] {
        assert_eq!(rig.server.get(&format!("{rounds}?k=3&token={eve}")).status, 403, "{rounds}");
    }
}

#[test]
fn s067_from_whatever_position_a_stream_starts_it_stays_in_its_tenant() {
    let Tenants { rig, mut insider, eve, theirs } = Tenants::start();
    // Positions are the node's, events are not.
    let mut streams = Vec::new();
    for path in ["/sse/*,**", "/sse/broadcast", "/sse", "/api/sse", "/notifications/stream"] {
        for query in ["since=earliest", "since=10m", "last=100"] {
            streams.push(rig.open(&format!("{path}?{query}&token={eve}")));
        }
        for id in &theirs {
            streams.push(rig.resume(&format!("{path}?token={eve}"), id));
        }
    }
    for query in ["since=earliest", "last=100", &format!("last_event_id={}", theirs[0])] {
        let answer = rig.server.get(&format!("/poll/*,**?{query}&poll=1&token={eve}"));
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(!text.contains("secret"), "{query}: {text}");
    }
    rig.command(&json!({
        "channels": ["tenant:t1", "user:ana"], "data": "secret", "exclude": ["user:nobody"],
    }));
    rig.command(&json!({ "tenant": "t1", "spread_ms": 50, "data": "secret 2" }));
    rig.command(&json!({ "tenant": "t2", "data": "for t2" }));
    assert_eq!(data_of(&mut insider, 2), ["secret", "secret 2"]);
    assert_quiet(&mut insider);
    for stream in &mut streams {
        let event = next(stream);
        assert_eq!((&*event.event, &*event.data), ("message", "for t2"));
    }
}

#[test]
fn s067_nothing_can_be_published_into_another_tenant() {
    let mut tenants = Tenants::start();
    for target in [
        json!({ "tenant": "t1" }),
        json!({ "user": "ana" }),
        json!({ "channels": ["news", "tenant:t1"] }),
        json!({ "channel": "news", "users": ["eve", "ana"] }),
        json!({ "pattern": "**" }),
        json!({ "channel": "news", "pattern": "*" }),
        json!({ "broadcast": true }),
    ] {
        let mut body = target;
        body["data"] = "forged".into();
        assert_eq!(tenants.publish(&body), 403, "{body}");
    }
    assert_eq!(tenants.publish(&json!({ "pattern": "tenant:*", "data": "forged" })), 400);
    // To leave others out of her own event is her right, and tells her nothing.
    let hers = json!({ "channel": "news", "exclude": ["user:ana"], "wait": "written", "data": "" });
    assert_eq!(tenants.publish(&hers), 200);
    assert_quiet(&mut tenants.insider);
}
