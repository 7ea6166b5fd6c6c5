//! HTTP/1.1 on real sockets: what is served, and what is refused because proxies might read it
//! otherwise.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::rig::{Rig, SOON, TOKEN, data_of};

/// The statuses in a text of several answers.
fn statuses(text: &str) -> Vec<&str> {
    let mut heads = text.match_indices("HTTP/1.1 ");
    std::iter::from_fn(|| heads.next())
        .filter_map(|(at, mark)| text.get(at + mark.len()..)?.get(..4)?.strip_suffix(' '))
        .filter(|status| status.bytes().all(|b| b.is_ascii_digit()))
        .collect()
}

#[test]
fn smuggling_is_refused_and_the_connection_closed() {
    let rig = Rig::start();
    let post = format!("POST /publish/a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n");
    let cases = [
        format!("{post}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc"),
        format!("{post}Content-Length: +3\r\n\r\nabc"),
        format!("{post}Content-Length : 3\r\n\r\nabc"),
        format!("{post}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
        "GET /health HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n".to_owned(),
        "GET /health HTTP/1.1\r\nHost: x\rX: y\r\n\r\n".to_owned(),
        "GET /health HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n".to_owned(),
        "GET /health HTTP/1.1\r\n\r\n".to_owned(),
        "GET /health HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n".to_owned(),
    ];
    for case in cases {
        let follow = format!("{case}GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
        let text = rig.raw(follow.as_bytes(), SOON);
        let seen = statuses(&text);
        assert!(matches!(seen[..], ["400"] | ["501"]), "{case:?} was answered {seen:?}");
        assert!(text.contains("application/problem+json"), "{text}");
    }
}

#[test]
fn heads_that_are_too_long_are_414_and_431() {
    let rig = Rig::start();
    let target = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(17_000));
    assert_eq!(statuses(&rig.raw(target.as_bytes(), SOON)), ["414"]);
    let field = format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "a".repeat(17_000));
    assert_eq!(statuses(&rig.raw(field.as_bytes(), SOON)), ["431"]);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let rig = Rig::start();
    let mut stream = rig.open("/sse/p");
    let mut bytes = String::new();
    for n in 0..50 {
        let data = n.to_string();
        bytes.push_str(&format!(
            "POST /publish/p HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\
             Content-Length: {}\r\n\r\n{data}",
            data.len()
        ));
    }
    bytes.push_str("GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let text = rig.raw(bytes.as_bytes(), SOON);
    assert_eq!(statuses(&text).len(), 51);
    assert!(statuses(&text).iter().all(|status| *status == "200"), "{text}");
    let expected: Vec<String> = (0..50).map(|n| n.to_string()).collect();
    assert_eq!(data_of(&mut stream, 50), expected);
}

#[test]
fn a_last_request_with_a_body_is_read_and_answered() {
    let rig = Rig::start();
    let text = rig.raw(
        format!(
            "POST /publish/p HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\
             Connection: close\r\nContent-Length: 1\r\n\r\nx"
        )
        .as_bytes(),
        SOON,
    );
    assert_eq!(statuses(&text), ["200"]);
    assert!(text.to_ascii_lowercase().contains("connection: close"), "{text}");
}

#[test]
fn chunked_bodies_and_expect_continue() {
    let rig = Rig::start();
    let mut stream = rig.open("/sse/c");
    let mut socket = TcpStream::connect(rig.address()).expect("a connection");
    socket.set_read_timeout(Some(SOON)).expect("a timeout");
    let head = format!(
        "POST /publish/c HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\
         Expect: 100-continue\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).expect("sent");
    let mut buffer = [0; 25];
    socket.read_exact(&mut buffer).expect("an interim answer");
    assert_eq!(&buffer, b"HTTP/1.1 100 Continue\r\n\r\n");
    socket.write_all(b"2;ext=1\r\nab\r\n3\r\ncde\r\n0\r\nTrailer: x\r\n\r\n").expect("sent");
    let mut text = String::new();
    socket.read_to_string(&mut text).expect("an answer");
    assert_eq!(statuses(&text), ["200"]);
    assert_eq!(data_of(&mut stream, 1), ["abcde"]);
}

#[test]
fn a_head_that_drips_byte_by_byte_is_served() {
    let rig = Rig::start();
    let mut socket = TcpStream::connect(rig.address()).expect("a connection");
    socket.set_nodelay(true).expect("no delay");
    socket.set_read_timeout(Some(SOON)).expect("a timeout");
    for byte in b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" {
        socket.write_all(&[*byte]).expect("sent");
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut text = String::new();
    socket.read_to_string(&mut text).expect("an answer");
    assert_eq!(statuses(&text), ["200"]);
}

#[test]
fn http_1_0_and_upgrade_requests_are_served() {
    let rig = Rig::start();
    let old = rig.raw(b"GET /health HTTP/1.0\r\n\r\n", SOON);
    assert_eq!(statuses(&old), ["200"]);
    let upgrade = "GET /sse/a HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n";
    let text = rig.raw(upgrade.as_bytes(), Duration::from_millis(300));
    assert_eq!(statuses(&text), ["200"]);
    let old = rig.raw(b"GET /sse/a HTTP/1.0\r\n\r\n", Duration::from_millis(300));
    assert_eq!(statuses(&old), ["200"]);
}

#[test]
fn bytes_behind_a_streams_request_are_dropped_never_run() {
    let rig = Rig::start();
    let mut witness = rig.open("/sse/w");
    let sneak = format!(
        "GET /sse/a HTTP/1.1\r\nHost: x\r\n\r\n\
         POST /publish/w HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Length: 1\r\n\r\nx"
    );
    let text = rig.raw(sneak.as_bytes(), Duration::from_millis(400));
    assert_eq!(statuses(&text), ["200"]);
    crate::rig::assert_quiet(&mut witness);
}

#[test]
fn methods_and_paths_that_are_not_there() {
    let rig = Rig::start();
    let ask = |method: &str, path: &str| {
        crate::support::http::request(rig.address(), method, path, &[], b"").expect("an answer")
    };
    let answer = ask("PUT", "/sse/a");
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")));
    let answer = ask("GET", "/publish/a");
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
    assert_eq!(ask("GET", "/nothing/here").status, 404);
}

#[test]
fn visitors_that_say_nothing_are_closed_silently_and_slow_heads_told() {
    let rig = Rig::start();
    let begun = std::time::Instant::now();
    let silent = std::thread::spawn({
        let address = rig.address();
        move || crate::rig::raw(address, b"", SOON)
    });
    let slow = rig.raw(b"GET /health HT", SOON);
    assert_eq!(statuses(&slow), ["408"]);
    assert_eq!(silent.join().expect("read"), "");
    assert!(begun.elapsed() >= Duration::from_secs(9), "the promise is ten seconds");
}
