//! What ends, is refused or is cleared away so that the rest can go on.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::rig::{Rig, SOON, assert_problem, data_of, next};
use crate::support::wait_until;
use crate::support::{http, token::token};

fn streams(rig: &Rig) -> u64 {
    rig.server.get("/stats").json()["activeConnections"].as_u64().expect("a number")
}

/// A number of `/stats/cores`, all cores together.
fn sum(rig: &Rig, name: &str) -> u64 {
    let cores = rig.server.get_admin("/stats/cores").json();
    let cores = cores["cores"].as_array().expect("cores").clone();
    cores.iter().map(|core| core[name].as_u64().expect("a number")).sum()
}

/// A stream that is begun and then never read, with a small buffer on its side.
fn stalled(rig: &Rig, path: &str) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(16 << 10).expect("a size");
    socket.connect(&rig.address().into()).expect("a connection");
    let mut socket = TcpStream::from(socket);
    socket.set_read_timeout(Some(SOON)).expect("a timeout");
    let request = http::head(rig.address(), "GET", path, &[]) + "\r\n";
    socket.write_all(request.as_bytes()).expect("sent");
    socket.read_exact(&mut [0]).expect("an answer");
    socket
}

#[test]
fn s095_s096_a_reader_that_takes_nothing_is_found_and_removed() {
    let text = "[stream]\nidle_timeout_ms = '1s'\n[heartbeat]\ninterval_ms = 200\n";
    let mut rig = Rig::start_file(text, &[]);
    let mut reader = rig.open("/sse/a");
    let _idle = stalled(&rig, "/sse/a");
    // One to whom nothing is sent is not one that takes nothing.
    let mut silent = rig.open("/sse/b");
    assert_eq!(streams(&rig), 3);
    let begun = Instant::now();
    // More than the buffers of the kernel hold.
    let data = "x".repeat(512 << 10);
    for _ in 0..40 {
        rig.publish("a", &data);
        assert_eq!(next(&mut reader).data.len(), data.len());
    }
    assert!(wait_until(SOON, Duration::from_millis(20), || streams(&rig) == 2));
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    assert!(!silent.ends_within(Duration::from_millis(300)));
    rig.publish("a", "on");
    assert_eq!(data_of(&mut reader, 1), ["on"]);
}

#[test]
fn s101_who_is_refused_is_told_what_an_operator_can_do() {
    let text = "[limits]\nconnections_max = 2\nconnections_on_limit = 'reject'\n\
                per_user = 1\nper_user_on_limit = 'reject'\n";
    let secret = "a-secret-of-more-than-thirty-two-bytes-for-tests";
    let rig = Rig::start_file(text, &[("JWT_SECRET", secret)]);
    let path = |user: &str| format!("/sse/a?token={}", token(secret, &["--sub", user]));
    let hint = |user: &str, whose: &str| {
        let answer = http::get(rig.address(), &path(user)).expect("an answer");
        assert_problem(&answer, 429, whose);
        answer.json()["hint"].as_str().expect("a hint").to_owned()
    };
    let _one = rig.open(&path("ana"));
    let told = hint("ana", "user");
    assert!(told.contains("SSE_MAX_CONNECTIONS_PER_USER"), "{told}");
    let _two = rig.open(&path("bob"));
    let told = hint("eve", "node");
    for cure in ["MAX_SSE_CLIENTS", "stream.idle_timeout_ms", "one stream"] {
        assert!(told.contains(cure), "{cure:?} is missing: {told}");
    }
}

#[test]
fn s103_a_connection_to_which_a_send_fails_is_removed() {
    // Nothing else finds them: no watch, and the next heartbeat is an hour away.
    let env = [("RINGCAST_STREAM__WATCH_HANGUP", "false"), ("SSE_HEARTBEAT_INTERVAL", "3600000")];
    let mut rig = Rig::start_with(&env);
    let mut kept = rig.open("/sse/a");
    let other = rig.open("/sse/b");
    let gone: Vec<_> = (0..20).map(|_| rig.open("/sse/a")).collect();
    drop(gone);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(streams(&rig), 22, "nobody has noticed yet");
    let mut sent = 0;
    let removed = wait_until(SOON, Duration::from_millis(20), || {
        rig.publish("a", "x");
        sent += 1;
        streams(&rig) == 2
    });
    assert!(removed, "{} are left", streams(&rig));
    assert_eq!(data_of(&mut kept, sent), vec!["x"; sent]);
    assert!(sum(&rig, "sends_failed") >= 20);
    drop(other);
}

#[test]
fn s104_nothing_of_a_connection_stays_after_it() {
    let secret = "a-secret-of-more-than-thirty-two-bytes-for-tests";
    let rig = Rig::start_with(&[("JWT_SECRET", secret)]);
    for round in 0..3 {
        let all: Vec<_> = (0..50)
            .map(|n| {
                let token = crate::support::token::sign(
                    secret,
                    None,
                    &serde_json::json!({"sub": format!("u{round}-{n}"), "tenant": "t"}),
                );
                rig.open(&format!("/sse/c{round}-{n},room.*?token={token}"))
            })
            .collect();
        assert!(sum(&rig, "topics") > 100 && streams(&rig) == 50);
        // Half of them leave properly, the others break off.
        for (n, stream) in all.into_iter().enumerate() {
            if n % 2 == 0 {
                stream.reset();
            }
        }
        let names = ["streams", "topics", "lagging", "journal_depth"];
        let left = || names.map(|name| sum(&rig, name));
        let clear = || left() == [0; 4] && sum(&rig, "connections") <= 1;
        assert!(wait_until(SOON, Duration::from_millis(20), clear), "{names:?}: {:?}", left());
        let channels = || rig.server.get("/stats").json()["activeChannels"] == 0;
        assert!(wait_until(SOON, Duration::from_millis(20), channels), "channels are left");
    }
}
