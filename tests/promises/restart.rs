//! A new process takes over, and no connection notices.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::forms::GzipStream;
use crate::rig::{Rig, SOON, TOKEN, assert_quiet, data_of, next};
use crate::support::http::{self, Publisher};
use crate::support::server::{BINARY, Server, new_folder};
use crate::support::sse::Stream;
use crate::support::token::{sign, token};
use crate::support::wait_until;

const SECRET: &str = "a-secret-of-more-than-thirty-two-bytes-for-tests";
/// A process starts and takes over within this time, beside other tests.
const TAKEN_OVER: Duration = Duration::from_secs(20);

/// Has a new process take over.
fn restart(rig: &mut Rig) {
    let before = rig.server.pid();
    rig.server.signal("USR2");
    let after = rig.server.follow(TAKEN_OVER);
    assert!(after.is_some_and(|after| after != before), "nobody has taken over");
}

fn numbers(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|n| n.to_string()).collect()
}

#[test]
fn streams_get_each_event_once_and_in_order_through_three_restarts_under_load() {
    let mut rig = Rig::start_with(&[("JWT_SECRET", SECRET)]);
    let mut streams: Vec<Stream> = Vec::new();
    for n in 0..40 {
        let reader = token(SECRET, &["--sub", &format!("reader-{n}"), "--channels", "**"]);
        let reader = format!("Bearer {reader}");
        let path = match n % 4 {
            0 => "/sse/news.eu",
            1 => "/sse/news.*",
            2 => "/sse/other,news.eu",
            _ => "/sse/**,other",
        };
        streams.push(rig.open_with(path, &[("Authorization", &reader)]));
    }
    let stop = AtomicBool::new(false);
    let address = rig.address();
    let published = thread::scope(|scope| {
        let publisher = scope.spawn(|| {
            let mut publisher = Publisher::new(address, TOKEN);
            let mut count = 0;
            while count < 100 || !stop.load(Ordering::Relaxed) {
                // Of one connection, which lives through all of it: each is answered.
                publisher.publish("news.eu", count.to_string().as_bytes());
                count += 1;
                thread::sleep(Duration::from_micros(300));
            }
            count
        });
        for _ in 0..3 {
            restart(&mut rig);
        }
        thread::sleep(Duration::from_millis(50));
        stop.store(true, Ordering::Relaxed);
        publisher.join().expect("it publishes")
    });
    for (n, stream) in streams.iter_mut().enumerate() {
        assert_eq!(data_of(stream, published), numbers(0, published), "stream {n}");
    }
    rig.publish("news.eu", "last");
    for stream in &mut streams {
        let event = next(stream);
        let number = event.id.rsplit('-').next();
        assert_eq!((&*event.data, number), ("last", Some(&*(published + 1).to_string())));
    }
    let stats = rig.server.get_admin("/stats").json();
    assert_eq!(stats["totalConnections"], 40);
}

/// A connection on which bytes are sent and read as they are.
struct Raw {
    socket: TcpStream,
    text: String,
}

impl Raw {
    fn send(rig: &Rig, bytes: &[u8]) -> Self {
        let mut socket = TcpStream::connect(rig.address()).expect("a connection");
        socket.set_read_timeout(Some(SOON)).expect("a timeout");
        socket.write_all(bytes).expect("sent");
        Self { socket, text: String::new() }
    }

    fn get(rig: &Rig, path: &str, fields: &[(&str, &str)]) -> Self {
        Self::send(rig, (http::head(rig.address(), "GET", path, fields) + "\r\n").as_bytes())
    }

    fn more(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).expect("sent");
    }

    /// Reads until this comes; everything up to it.
    fn read_to(&mut self, end: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            if let Some(at) = self.text.find(end) {
                return self.text.drain(..at + end.len()).collect();
            }
            let count = self.socket.read(&mut buffer).expect("more to read");
            assert!(count > 0, "closed before {end:?}: {}", self.text);
            self.text.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    }
}

/// Waits until so many streams and long-polls are there.
fn streams(rig: &Rig, count: u64) {
    let there = || rig.server.get_admin("/stats").json()["totalConnections"] == count;
    assert!(wait_until(SOON, Duration::from_millis(5), there), "{count} streams");
}

#[test]
fn every_form_of_stream_goes_on() {
    let mut rig = Rig::start_with(&[
        ("JWT_SECRET", SECRET),
        ("SSE_ENABLE_COMPRESSION", "true"),
        ("RINGCAST_AUTH__ANONYMOUS", "true"),
    ]);
    let ana = format!("Bearer {}", token(SECRET, &["--sub", "ana", "--tenant", "t1"]));
    let mut user = rig.open_with("/sse", &[("Authorization", &ana)]);
    let mut filtered = rig.open("/sse/news?events=goal");
    let mut packed = GzipStream::open(&rig, "/sse/news", "gzip");
    let mut lines = Raw::get(&rig, "/sse/news", &[("Accept", "application/x-ndjson")]);
    let mut poll = Raw::get(&rig, "/poll/news?timeout=20", &[]);
    streams(&rig, 5);
    restart(&mut rig);
    let goal = json!({"channel": "news", "event": "goal", "data": "one"}).to_string();
    assert_eq!(rig.post("", "application/json", &goal).status, 200);
    rig.publish("user:ana", "hers");
    rig.publish("tenant:t1", "theirs");
    rig.publish("news", "two");
    assert_eq!(data_of(&mut user, 2), ["hers", "theirs"]);
    assert_eq!(next(&mut filtered).data, "one");
    assert_quiet(&mut filtered);
    let packed: Vec<_> = packed.read(2).iter().map(|event| event.data.clone()).collect();
    assert_eq!(packed, ["one", "two"]);
    lines.read_to("\"one\"");
    lines.read_to("\"two\"");
    poll.read_to("\"one\"");
}

#[test]
fn requests_that_are_half_read_are_answered_by_the_new_process() {
    let mut rig = Rig::start();
    let mut stream = rig.open("/sse/a");
    let head = |rest: &str| {
        format!(
            "POST /publish{rest}\r\nHost: {}\r\nAuthorization: Bearer {TOKEN}\r\n",
            rig.address()
        )
    };
    let mut in_head = Raw::send(&rig, b"GET /hea");
    let mut in_body = Raw::send(
        &rig,
        (head("/a HTTP/1.1") + "Content-Type: text/plain\r\nContent-Length: 10\r\n\r\nhalf ")
            .as_bytes(),
    );
    let lines = head(" HTTP/1.1")
        + "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n";
    let first = "{\"channel\":\"a\",\"data\":\"line 1\"}\n{\"bad\n{\"channel\":\"a\",\"da";
    let mut in_lines =
        Raw::send(&rig, (lines + &format!("{:x}\r\n{first}\r\n1", first.len())).as_bytes());
    let mut idle = Raw::get(&rig, "/livez", &[]);
    idle.read_to("ok\n");
    assert_eq!(next(&mut stream).data, "line 1");
    restart(&mut rig);
    let rest = "ta\":\"line 2\"}\n";
    let rest_len = format!("{:x}", rest.len());
    // The first digit of this size has come before.
    assert!(rest_len.len() == 1);
    in_lines
        .more(format!("\r\nt\r\n{:x}\r\n{}\r\n0\r\n\r\n", rest.len() - 1, &rest[1..]).as_bytes());
    let answer = in_lines.read_to("\"scheduled\":0}");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let body: Value =
        serde_json::from_str(answer.split("\r\n\r\n").nth(1).expect("a body")).expect("JSON");
    assert_eq!((&body["published"], &body["failed"]), (&json!(2), &json!(1)), "{body}");
    assert_eq!(body["errors"][0]["line"], 2);
    in_body.more(b"whole");
    let answer = in_body.read_to("}");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"id\""), "{answer}");
    in_head.more(b"lth HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(in_head.read_to("}").starts_with("HTTP/1.1 200"));
    idle.more(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(idle.read_to("ok\n").starts_with("HTTP/1.1 200"));
    assert_eq!(data_of(&mut stream, 2), ["line 2", "half whole"]);
}

#[test]
fn what_is_remembered_goes_with_the_streams() {
    let config = "limits.per_user = 1\n[namespaces.'chat.']\nrates = { 'chat:typing' = '2s' }\n\
                  [namespaces.'room.']\npresence = true\n";
    let mut rig =
        Rig::start_file(config, &[("JWT_SECRET", SECRET), ("RINGCAST_AUTH__ANONYMOUS", "true")]);
    let bearer = |args: &[&str]| format!("Bearer {}", token(SECRET, args));
    let (ana, bob) = (bearer(&["--sub", "ana"]), bearer(&["--sub", "bob", "--channels", "room.*"]));
    let mut kept = Vec::new();
    for n in 0..5 {
        kept.push(rig.publish("a", &n.to_string()));
    }
    let once =
        |rig: &Rig| rig.command(&json!({"channel": "a", "data": "once", "idempotency_key": "k1"}));
    let first = once(&rig);
    let typing = |rig: &Rig, data: &str| {
        let body = json!({"channel": "chat.1", "event": "chat:typing", "data": data});
        rig.post("", "application/json", &body.to_string()).status
    };
    let mut chat = rig.open("/sse/chat.1");
    assert_eq!((typing(&rig, "now"), typing(&rig, "held")), (200, 202));
    assert_eq!(rig.post("/a?delay_ms=1500", "text/plain", "delayed").status, 202);
    let mut old = rig.open_with("/sse", &[("Authorization", &ana)]);
    let mut room = rig.open_with("/sse/room.1", &[("Authorization", &bob)]);
    let mut named = rig.open("/sse/b?control=on");
    let open: Value = serde_json::from_str(&next(&mut named).data).expect("JSON");
    let name = open["connection"].as_str().expect("a name").to_owned();
    let revoke = http::request(
        rig.server.admin,
        "POST",
        "/admin/revoke",
        &[("Content-Type", "application/json")],
        b"{\"sub\":\"eve\"}",
    );
    assert_eq!(revoke.expect("an answer").status, 200);
    let eve = sign_at(SECRET, "eve", 60);
    restart(&mut rig);

    assert_eq!(once(&rig)["id"], first["id"], "the key is known");
    assert_eq!(data_of(&mut rig.resume("/sse/a", &kept[1]), 4), ["2", "3", "4", "once"]);
    assert_eq!(data_of(&mut chat, 2), ["now", "held"]);
    assert_eq!(
        data_of(&mut rig.resume("/sse/a", first["id"].as_str().expect("an id")), 1),
        ["delayed"]
    );
    let path = format!("/connections/{name}/channels");
    let body = json!({"channels": ["c"]}).to_string();
    let fields = [("Content-Type", "application/json")];
    let more = http::request(rig.address(), "POST", &path, &fields, body.as_bytes());
    assert_eq!(more.expect("an answer").status, 200, "its name still names it");
    rig.publish("c", "linked");
    while next(&mut named).data != "linked" {}
    let page = rig.server.get_admin("/channels/room.1/presence").json();
    assert_eq!((&page["streams"], &page["users"][0]["user"]), (&json!(1), &json!("bob")), "{page}");
    // The cap of a user evicts the stream that came before the restart.
    let mut newer = rig.open_with("/sse", &[("Authorization", &ana)]);
    assert_eq!(next(&mut old).event, "sse.bye");
    rig.publish("user:ana", "to the newer");
    assert_eq!(next(&mut newer).data, "to the newer");
    let refused = http::request(
        rig.address(),
        "GET",
        "/sse/a",
        &[("Authorization", &format!("Bearer {eve}"))],
        b"",
    );
    assert_eq!(refused.expect("an answer").status, 401, "it stays revoked");
    rig.publish("room.1", "still there");
    while next(&mut room).data != "still there" {}
}

/// A token that was issued `ago_s` seconds ago.
fn sign_at(secret: &str, subject: &str, ago_s: u64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock");
    let issued = now.as_secs() - ago_s;
    sign(secret, None, &json!({"sub": subject, "iat": issued, "exp": issued + 3_600}))
}

#[test]
fn a_stalled_reader_gets_the_rest_of_its_half_sent_event() {
    let mut rig = Rig::start_file(
        "[namespaces.'big']\nhistory_bytes = '64MiB'\nlaggard_window_bytes = '64MiB'\n",
        &[],
    );
    let mut stalled = rig.open("/sse/big");
    let data: Vec<String> = (0..20).map(|n| format!("{n} {}", "x".repeat(900_000))).collect();
    for data in &data {
        rig.publish("big", data);
    }
    for _ in 0..2 {
        restart(&mut rig);
    }
    rig.publish("big", "last");
    for data in &data {
        assert!(next(&mut stalled).data == *data, "{}", &data[..8]);
    }
    assert_eq!(next(&mut stalled).data, "last");
}

/// `ringcast restart`.
fn command(rig: &Rig) -> (Option<i32>, String) {
    let output = Command::new(BINARY)
        .args(["restart", "--timeout", "20", "--admin", &format!("http://{}", rig.server.admin)])
        .env_clear()
        .output()
        .expect("it runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn the_command_says_who_serves_now() {
    let mut rig = Rig::start();
    let mut stream = rig.open("/sse/a");
    let before = rig.server.pid();
    let (code, text) = command(&rig);
    let after = rig.server.follow(TAKEN_OVER).expect("a new process");
    assert_eq!(code, Some(0), "{text}");
    let told = format!("process {after} serves in place of {before}: 1 streams\n");
    assert_eq!(text, told);
    rig.publish("a", "on");
    assert_eq!(next(&mut stream).data, "on");
}

#[test]
fn a_start_that_fails_leaves_the_old_process_serving() {
    let folder = new_folder();
    let config = folder.join("ringcast.toml");
    std::fs::write(&config, "stream.retry_ms = 2000\n").expect("written");
    let binary = folder.join("ringcast");
    let copied = Command::new("cp").arg(BINARY).arg(&binary).status().expect("cp(1) runs");
    assert!(copied.success());
    let mut rig = Rig::of(Server::start_binary(
        &binary,
        folder,
        &["--workers", "2", "--config", "ringcast.toml"],
        &[("AUTH_TOKEN", TOKEN)],
    ));
    let mut stream = rig.open("/sse/a");
    let pid = rig.server.pid();
    let mut count = 0;
    let mut goes_on = |rig: &mut Rig, part: &str| {
        let (code, text) = command(rig);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains(part), "{text} has no {part}");
        let stats = rig.server.get_admin("/stats").json();
        assert_eq!(stats["process"]["pid"], pid);
        assert!(stats["process"]["restartFailed"]["why"].as_str().expect("why").contains(part));
        rig.publish("a", &count.to_string());
        assert_eq!(next(&mut stream).data, count.to_string());
        count += 1;
    };
    std::fs::write(&config, "stream.retry_ms = 'soon'\n").expect("written");
    goes_on(&mut rig, "read its settings");
    std::fs::write(&config, "stream.retry_ms = 3000\n").expect("written");
    std::fs::remove_file(&binary).expect("removed");
    goes_on(&mut rig, "cannot be started");
    std::fs::write(&binary, "#!/bin/sh\nexit 3\n").expect("written");
    let mode = Command::new("chmod").arg("755").arg(&binary).status().expect("chmod(1) runs");
    assert!(mode.success());
    goes_on(&mut rig, "ended, or said nothing");
    std::fs::remove_file(&binary).expect("removed");
    let copied = Command::new("cp").arg(BINARY).arg(&binary).status().expect("cp(1) runs");
    assert!(copied.success());
    let (code, text) = command(&rig);
    assert_eq!(code, Some(0), "{text}");
    rig.server.follow(TAKEN_OVER).expect("a new process");
    rig.publish("a", "by the new one");
    assert_eq!(next(&mut stream).data, "by the new one");
}
