//! The forms in which data leaves: envelopes, seals, heartbeats, compression.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::{QUIET, Rig, SOON, next};
use crate::support::http;
use crate::support::iron;
use crate::support::sse::{Event, Parser};
use crate::support::wait_until;

/// A stream that takes gzip, read through the decoder of another crate.
pub(crate) struct GzipStream {
    inflate: flate2::write::GzDecoder<Vec<u8>>,
    socket: TcpStream,
    parser: Parser,
    events: Vec<Event>,
    headers: Vec<(String, String)>,
    /// Bytes as they came over the wire, head aside.
    wire_bytes: usize,
}

impl GzipStream {
    pub(crate) fn open(rig: &Rig, path: &str, accepts: &str) -> Self {
        let mut socket = TcpStream::connect(rig.address()).expect("a connection");
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
        let headers = [("Accept-Encoding", accepts)];
        let head = http::head(rig.address(), "GET", path, &headers) + "\r\n";
        socket.write_all(head.as_bytes()).expect("sent");
        socket.set_read_timeout(Some(SOON)).expect("a timeout");
        // Byte by byte: what follows the head is not text.
        let mut text = Vec::new();
        while !text.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).expect("a head");
            text.push(byte[0]);
        }
        let (_, headers) = http::read_head(&mut BufReader::new(&*text)).expect("a head");
        Self {
            inflate: flate2::write::GzDecoder::new(Vec::new()),
            socket,
            parser: Parser::default(),
            events: Vec::new(),
            headers,
            wire_bytes: 0,
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// Reads until so many events have come.
    pub(crate) fn read(&mut self, count: usize) -> &[Event] {
        self.socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
        let mut buffer = [0; 64 * 1024];
        wait_until(SOON, Duration::ZERO, || {
            if let Ok(len @ 1..) = self.socket.read(&mut buffer) {
                self.wire_bytes += len;
                self.inflate.write_all(&buffer[..len]).expect("gzip");
                // Whatever was flushed can be read: an event never waits for the next one.
                self.inflate.flush().expect("gzip");
                let text = std::mem::take(self.inflate.get_mut());
                let events = &mut self.events;
                self.parser.feed(&text, &mut |event| events.push(event));
            }
            self.events.len() >= count
        });
        &self.events
    }
}

fn gzip_rig() -> Rig {
    Rig::start_with(&[("SSE_ENABLE_COMPRESSION", "true"), ("SSE_HEARTBEAT_INTERVAL", "200")])
}

#[test]
fn s027_a_stream_that_accepts_gzip_gets_each_event_at_once_whoever_else_reads() {
    let mut rig = gzip_rig();
    let story = "once upon a time ".repeat(200);
    rig.publish("a", "kept");
    let mut early = GzipStream::open(&rig, "/sse/a?last=1&control=on", "br, gzip;q=0.8");
    assert_eq!(early.header("content-encoding"), Some("gzip"));
    assert_eq!(early.header("content-type"), Some("text/event-stream"));
    let mut plain = rig.open("/sse/a");
    let names = |events: &[Event]| events.iter().map(|e| e.event.clone()).collect::<Vec<_>>();
    assert_eq!(names(early.read(3)), ["sse.open", "message", "sse.caught-up"]);
    let mut ids = Vec::new();
    for data in [&*story, "short", "two\nlines", "žluťoučký kůň"] {
        ids.push(rig.publish("a", data));
        let count = 3 + ids.len();
        let event = early.read(count).last().expect("an event").clone();
        assert_eq!((&event.data, &event.id), (&data.to_owned(), ids.last().expect("an id")));
        assert_eq!(next(&mut plain).data, data);
    }
    assert!(early.wire_bytes < story.len(), "{} bytes are not compressed", early.wire_bytes);
    // Whoever joins in the middle reads the same shared bytes.
    let mut late = GzipStream::open(&rig, &format!("/sse/a?last_event_id={}", ids[0]), "gzip");
    let seen: Vec<_> = late.read(3).iter().map(|event| event.data.clone()).collect();
    assert_eq!(seen, ["short", "two\nlines", "žluťoučký kůň"]);
    // Heartbeats, too, are part of the member.
    wait_until(SOON, Duration::ZERO, || {
        late.read(3);
        late.parser.comments > 2
    });
    assert!(late.parser.comments > 2);
}

#[test]
fn s027_s045_gzip_only_where_it_is_switched_on_and_asked_for() {
    let rig = gzip_rig();
    for accepts in ["identity", "gzip;q=0", "br", ""] {
        let stream = GzipStream::open(&rig, "/sse/a", accepts);
        assert_eq!(stream.header("content-encoding"), None, "{accepts:?}");
        let vary = stream.headers.iter().filter(|(name, _)| name == "vary");
        assert!(vary.clone().any(|(_, value)| value == "Accept-Encoding"), "{accepts:?}");
    }
    for off in ["1", "TRUE", "yes", "false", ""] {
        let rig = Rig::start_with(&[("SSE_ENABLE_COMPRESSION", off)]);
        let stream = GzipStream::open(&rig, "/sse/a", "gzip");
        assert_eq!(stream.header("content-encoding"), None, "{off:?}");
    }
    let rig =
        Rig::start_file("compression.enabled = true\n[namespaces.'img:']\ncompress = false\n", &[]);
    let coding = |path: &str| {
        GzipStream::open(&rig, path, "gzip").header("content-encoding").map(str::to_owned)
    };
    assert_eq!(coding("/sse/a").as_deref(), Some("gzip"));
    for path in ["/sse/img:a", "/sse/a,img:a", "/sse/img:*"] {
        assert_eq!(coding(path), None, "{path}");
    }
}

#[test]
fn s050_s162_envelopes_by_namespace() {
    let mut rig = Rig::start_file(
        "[namespaces.'ROULETTE:']\nenvelope = 'canal-json'\n\
         [namespaces.'note:']\nenvelope = 'typed'\n",
        &[],
    );
    let mut streams: Vec<_> = ["ROULETTE:1", "note:1", "x"]
        .iter()
        .map(|name| rig.open(&format!("/sse/{name}")))
        .collect();
    rig.publish("ROULETTE:1", "{\"n\":7}");
    let around: Value = serde_json::from_str(&next(&mut streams[0]).data).expect("JSON");
    assert_eq!(around["canal"], "ROULETTE:1");
    assert_eq!(around["mensagem"], "{\"n\":7}", "the message is the text, whatever it holds");
    assert!(around["timestamp"].as_str().is_some_and(|at| at.len() == 24 && at.ends_with('Z')));
    rig.command(&json!({"channel": "note:1", "event": "order", "data": {"title": "T", "x": 1}}));
    let around: Value = serde_json::from_str(&next(&mut streams[1]).data).expect("JSON");
    assert_eq!((&around["title"], &around["type"]), (&json!("T"), &json!("order")));
    assert!(around["id"].is_string() && around["timestamp"].is_string(), "{around}");
    rig.publish("x", "plain");
    assert_eq!(next(&mut streams[2]).data, "plain");
    let bad = json!({"channel": "note:1", "data": {"title": "T", "priority": "soon"}});
    let answer = rig.post("", "application/json", &bad.to_string());
    assert_eq!(answer.status, 400, "{}", String::from_utf8_lossy(&answer.body));
}

#[test]
fn s036_s078_s079_s180_data_is_sealed_where_there_is_a_key_and_only_its_holders_read_it() {
    let key = "a-sealing-password-of-at-least-thirty-two-characters";
    let rig = Rig::start_with(&[("SSE_ENCRYPTION_KEY", key)]);
    let mut stream = rig.open("/sse/a");
    rig.command(&json!({"channel": "a", "event": "secret", "data": {"pin": 1234}}));
    let event = next(&mut stream);
    assert_eq!(event.event, "secret", "the event's name stays readable");
    let parts: Vec<&str> = event.data.split('*').collect();
    assert_eq!((parts.len(), parts[0]), (8, "Fe26.2"));
    assert!(!event.data.contains("1234"));
    let opened = iron::open(&event.data, key).expect("sealed by this key");
    let opened: Value = serde_json::from_str(&opened).expect("JSON");
    assert_eq!(opened["pin"], 1234);
    assert!(opened["timestamp"].as_u64().is_some_and(|at| at > 1_600_000_000_000));
    // The same bytes for all, replayed ones too.
    let mut again = rig.open("/sse/a?last=1");
    assert_eq!(next(&mut again).data, event.data);
    // A namespace may be left open.
    let text = "[namespaces.'open:']\nseal = false\n";
    let mut rig = Rig::start_file(text, &[("SSE_ENCRYPTION_KEY", key)]);
    let mut stream = rig.open("/sse/open:a,b");
    rig.publish("open:a", "1");
    assert_eq!(next(&mut stream).data, "1");
    rig.command(&json!({"channels": ["open:a", "b"], "data": "2"}));
    assert!(next(&mut stream).data.starts_with("Fe26.2*"), "sealed where any channel is");
}

#[test]
fn s047_s048_the_forms_of_heartbeats() {
    let beats = |format: &str| {
        let text = format!("[heartbeat]\ninterval_ms = 200\nformat = '{format}'\n");
        Rig::start_file(&text, &[])
    };
    let raw = |rig: &Rig, path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        let text = rig.raw(request.as_bytes(), Duration::from_secs(1));
        text.split_once("retry: 3000\n").expect("a preamble").1.to_owned()
    };
    let short = raw(&beats("short"), "/sse/a");
    assert!(short.len() >= 4 && short.split_terminator('\n').all(|line| line == ":"), "{short:?}");
    let comment = raw(&beats("comment"), "/sse/a");
    assert!(comment.starts_with(":heartbeat\n\n:heartbeat\n\n"), "{comment:?}");
    for (format, name) in [("data", "message"), ("event", "heartbeat")] {
        let rig = beats(format);
        let event = next(&mut rig.open("/sse/a"));
        assert_eq!((&*event.event, &*event.id), (name, ""));
        let data: Value = serde_json::from_str(&event.data).expect("JSON");
        assert_eq!(data["type"], "heartbeat");
        assert!(data["timestamp"].as_str().is_some_and(|at| at.ends_with('Z')));
    }
    let text = "heartbeat.interval_ms = 200\n[namespaces.'old:']\nheartbeat_format = 'data'\n";
    let rig = Rig::start_file(text, &[]);
    assert_eq!(next(&mut rig.open("/sse/old:a,b")).event, "message");
    assert!(rig.open("/sse/b,old:a").next(QUIET * 3).is_none(), "the first channel says");
}

#[test]
fn s076_who_may_subscribe_by_namespace() {
    let secret = "a-secret-of-more-than-thirty-two-bytes-for-tests";
    let text = "[namespaces.'open.']\nsubscribe = 'anyone'\n\
                [namespaces.'open.not.']\nsubscribe = 'token'\n\
                [namespaces.'ops.']\nsubscribe = 'admin'\n";
    let rig = Rig::start_file(text, &[("JWT_SECRET", secret)]);
    let user = crate::support::token::token(secret, &["--sub", "u"]);
    let admin = crate::support::token::token(secret, &["--sub", "root", "--admin"]);
    let status = |path: &str, token: &str| {
        let path = if token.is_empty() { path.to_owned() } else { format!("{path}?token={token}") };
        http::request(rig.address(), "HEAD", &path, &[], b"").expect("an answer").status
    };
    for (path, nobody, somebody, operator) in [
        ("/sse/open.a", 200, 200, 200),
        ("/sse/open.a,b", 401, 200, 200),
        ("/sse/open.not.a", 401, 200, 200),
        ("/sse/open.**", 401, 200, 200),
        ("/sse/ops.a", 401, 403, 200),
        ("/sse/**", 401, 403, 200),
        ("/sse/b", 401, 200, 200),
    ] {
        let seen = (status(path, ""), status(path, &user), status(path, &admin));
        assert_eq!(seen, (nobody, somebody, operator), "{path}");
    }
}
