//! How many streams whom may have, how often they may connect, and how they are told.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::rig::{Rig, SOON, assert_problem, next};
use crate::support::http::{self, Response};
use crate::support::server::Server;
use crate::support::sse::Stream;
use crate::support::token::token;
use crate::support::wait_until;

const SECRET: &str = "a-secret-of-more-than-thirty-two-bytes-for-tests";

fn get(rig: &Rig, path: &str, headers: &[(&str, &str)]) -> Response {
    http::request(rig.address(), "GET", path, headers, b"").expect("an answer")
}

fn streams(rig: &Rig) -> u64 {
    rig.server.get("/stats").json()["activeConnections"].as_u64().expect("a number")
}

fn open(rig: &Rig, path: &str, headers: &[(&str, &str)]) -> Stream {
    Stream::open(rig.address(), path, headers).expect("an answer")
}

#[test]
fn s025_s092_the_oldest_stream_of_a_user_makes_room_on_whatever_core() {
    let rig = Rig::start_with(&[("JWT_SECRET", SECRET), ("SSE_MAX_CONNECTIONS_PER_USER", "3")]);
    let path = format!("/sse/a?token={}", token(SECRET, &["--sub", "u"]));
    let other = format!("/sse/a?token={}", token(SECRET, &["--sub", "v"]));
    let mut others: Vec<Stream> = (0..3).map(|_| open(&rig, &other, &[])).collect();
    // Each stream says where it begins, so they are open in this order.
    let mut all: Vec<Stream> = Vec::new();
    for number in 0..12 {
        let mut stream = open(&rig, &format!("{path}&control=on"), &[]);
        assert_eq!(next(&mut stream).event, "sse.open", "{number}");
        all.push(stream);
    }
    for (number, stream) in all.iter_mut().enumerate().take(9) {
        assert_eq!(next(stream).event, "sse.caught-up");
        let bye = next(stream);
        assert_eq!(bye.event, "sse.bye", "{number}");
        assert_eq!(bye.data, r#"{"reason":"evicted","reconnect":false}"#);
        assert!(bye.id.ends_with(".end"), "{bye:?}");
        assert!(stream.ends_within(SOON));
        // Coming again with that id ends it for good, so tabs do not evict each other for ever.
        let again = get(&rig, &format!("{path}&last_event_id={}", bye.id), &[]);
        assert_eq!(again.status, 204);
    }
    assert!(wait_until(SOON, Duration::from_millis(10), || streams(&rig) == 6));
    for stream in all.iter_mut().skip(9).chain(&mut others) {
        assert!(!stream.ends_within(Duration::from_millis(20)));
    }
    // Who leaves makes room.
    drop(all.pop());
    assert!(wait_until(SOON, Duration::from_millis(10), || streams(&rig) == 5));
    let mut one = open(&rig, &path, &[]);
    assert!(!one.ends_within(Duration::from_millis(50)));
    assert!(!all.last_mut().expect("a stream").ends_within(Duration::from_millis(50)));
}

#[test]
fn caps_that_reject_say_so_by_429() {
    let text = "[limits]\nper_user = 1\nper_user_on_limit = 'reject'\n\
                per_tenant = 2\nper_tenant_on_limit = 'reject'\n";
    let rig = Rig::start_file(text, &[("JWT_SECRET", SECRET)]);
    let of = |user: &str, tenant: &str| {
        format!("/sse/a?token={}", token(SECRET, &["--sub", user, "--tenant", tenant]))
    };
    let first = open(&rig, &of("a", "t"), &[]);
    let answer = get(&rig, &of("a", "s"), &[]);
    assert_problem(&answer, 429, "user");
    assert!(answer.header("retry-after").is_some());
    let _second = open(&rig, &of("b", "t"), &[]);
    assert_problem(&get(&rig, &of("c", "t"), &[]), 429, "tenant");
    // The refused one left no trace under its user's cap.
    let _third = open(&rig, &of("c", "s"), &[]);
    drop(first);
    assert!(wait_until(SOON, Duration::from_millis(20), || {
        open(&rig, &of("a", "t"), &[]).status == 200
    }));
}

#[test]
fn s039_s093_the_total_is_of_the_node_and_its_oldest_streams_go_first() {
    // On whatever core the others are, nobody is refused.
    let rig = Rig::start_with(&[("MAX_SSE_CLIENTS", "2")]);
    let all: Vec<Stream> = (0..30).map(|_| open(&rig, "/sse/a", &[])).collect();
    assert!(all.iter().all(|stream| stream.status == 200));
    assert!(wait_until(SOON, Duration::from_millis(10), || streams(&rig) <= 2));
    // Publishers and health checks have room beside them.
    assert_eq!(rig.server.get("/health").status, 200);
    // A core lets its own oldest go first; with one core that is the oldest of all.
    let server = Server::start(&["--workers", "1"], &[("MAX_SSE_CLIENTS", "3")]);
    let mut all: Vec<Stream> = Vec::new();
    for number in 0..8 {
        all.push(Stream::open(server.listen, "/sse/a?control=on", &[]).expect("an answer"));
        assert_eq!(next(&mut all[number]).event, "sse.open", "{number}");
        assert_eq!(next(&mut all[number]).event, "sse.caught-up", "{number}");
        if let Some(oldest) = number.checked_sub(3) {
            let bye = next(&mut all[oldest]);
            assert_eq!(bye.data, r#"{"reason":"evicted","reconnect":false}"#, "{oldest}");
            assert!(all[oldest].ends_within(SOON));
        }
    }
    for stream in all.iter_mut().skip(5) {
        assert!(!stream.ends_within(Duration::from_millis(30)));
    }
    let rig =
        Rig::start_file("[limits]\nconnections_max = 2\nconnections_on_limit = 'reject'\n", &[]);
    let _all: Vec<Stream> = (0..2).map(|_| open(&rig, "/sse/a", &[])).collect();
    assert_problem(&get(&rig, "/sse/a", &[]), 429, "node");
}

#[test]
fn s139_an_address_is_the_clients_own_behind_trusted_proxies() {
    let text = "[limits]\nper_ip = 2\nper_ip_on_limit = 'reject'\n\
                [proxy]\ntrusted = ['127.0.0.0/8']\n";
    let rig = Rig::start_file(text, &[]);
    let from = |address: &str| open(&rig, "/sse/a", &[("X-Forwarded-For", address)]);
    let _held = (from("192.0.2.1"), from("9.9.9.9, 192.0.2.1"));
    assert_eq!(from("192.0.2.1").status, 429);
    assert_eq!(from("192.0.2.1, 198.51.100.1").status, 200, "the rightmost one counts");
    let six = (from("2001:db8:1:2::1"), from("2001:db8:1:2:ffff::2"));
    assert_eq!((six.0.status, six.1.status), (200, 200));
    assert_eq!(from("2001:db8:1:2:abcd::3").status, 429, "a /64 is one subscriber");
    assert_eq!(from("2001:db8:1:3::1").status, 200);
    let real = |address: &str| open(&rig, "/sse/a", &[("X-Real-IP", address)]).status;
    assert_eq!((real("192.0.2.1"), real("192.0.2.77")), (429, 200));
    // Without a trusted proxy nobody is believed, and nobody forges another's address.
    let rig = Rig::start_file("[limits]\nper_ip = 1\nper_ip_on_limit = 'reject'\n", &[]);
    let all: Vec<u16> =
        (0..3).map(|_| open(&rig, "/sse/a", &[("X-Forwarded-For", "192.0.2.1")]).status).collect();
    assert_eq!(all, [200; 3], "loopback peers are exempt");
}

/// A connection from this address of the machine.
pub(crate) fn connect_from(source: [u8; 4], address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((source, 0)).into()).expect("a loopback address");
    socket.connect(&address.into()).expect("a connection");
    let socket = TcpStream::from(socket);
    socket.set_read_timeout(Some(SOON)).expect("a timeout");
    socket
}

#[test]
fn s139_proxy_protocol_of_both_versions() {
    let text = "[limits]\nper_ip = 1\nper_ip_on_limit = 'reject'\n\
                [proxy]\ntrusted = ['127.9.9.9']\nprotocol = true\n";
    let rig = Rig::start_file(text, &[]);
    let ask = |header: &[u8]| {
        let mut socket = connect_from([127, 9, 9, 9], rig.address());
        // In two parts: headers need not come in one piece.
        socket.write_all(&header[..5.min(header.len())]).expect("sent");
        std::thread::sleep(Duration::from_millis(20));
        socket.write_all(&header[5.min(header.len())..]).expect("sent");
        socket.write_all(b"GET /sse/a HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
        let mut answer = [0; 12];
        let status = socket.read_exact(&mut answer).ok().map(|()| answer[9..].to_vec());
        (status.map(|digits| String::from_utf8(digits).expect("digits")), socket)
    };
    let v1 = b"PROXY TCP4 192.0.2.7 192.0.2.8 4000 443\r\n";
    let (first, _held) = ask(v1);
    assert_eq!(first.as_deref(), Some("200"));
    assert_eq!(ask(v1).0.as_deref(), Some("429"));
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    v2.extend_from_slice(&[192, 0, 2, 7, 192, 0, 2, 8, 0x0f, 0xa0, 1, 187]);
    assert_eq!(ask(&v2).0.as_deref(), Some("429"), "the same client");
    v2[16 + 3] = 9;
    assert_eq!(ask(&v2).0.as_deref(), Some("200"), "another one");
    // The balancer's own health check.
    assert_eq!(ask(b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0").0.as_deref(), Some("200"));
    // No header: nobody is served.
    assert_eq!(ask(b"").0, None);
}

#[test]
fn s097_an_address_connects_so_often_in_a_sliding_window() {
    let text = "[limits.connect_rate]\ncount = 3\nwindow_ms = '2s'\n\
                [proxy]\ntrusted = ['127.0.0.0/8']\n";
    let rig = Rig::start_file(text, &[]);
    let from = |address: &str| get(&rig, "/sse/a", &[("X-Forwarded-For", address)]);
    let held: Vec<Stream> =
        (0..3).map(|_| open(&rig, "/sse/a", &[("X-Forwarded-For", "192.0.2.1")])).collect();
    assert!(held.iter().all(|stream| stream.status == 200));
    let answer = from("192.0.2.1");
    assert_problem(&answer, 429, "connect");
    let wait: u64 = answer.header("retry-after").and_then(|s| s.parse().ok()).expect("seconds");
    assert!((1..=2).contains(&wait));
    assert_eq!(open(&rig, "/sse/a", &[("X-Forwarded-For", "192.0.2.2")]).status, 200);
    // A trusted proxy's own requests are exempt.
    assert!((0..9).all(|_| open(&rig, "/sse/a", &[]).status == 200));
    assert!(wait_until(SOON, Duration::from_millis(100), || {
        open(&rig, "/sse/a", &[("X-Forwarded-For", "192.0.2.1")]).status == 200
    }));
}

#[test]
fn a_browser_is_told_in_band_what_will_pass() {
    let text = "[limits]\nconnections_max = 1\nconnections_on_limit = 'reject'\n\
                [namespaces.'plain:']\nrefuse = 'status'\n";
    let rig = Rig::start_file(text, &[]);
    let _held = open(&rig, "/sse/a", &[]);
    let browser = [("Sec-Fetch-Mode", "cors")];
    let mut stream = open(&rig, "/sse/a", &browser);
    assert_eq!(stream.status, 200);
    let bye = next(&mut stream);
    assert_eq!((&*bye.event, &*bye.data), ("sse.bye", r#"{"reason":"busy","reconnect":true}"#));
    assert!(stream.ends_within(SOON));
    let retry_ms = stream.parser.retry_ms.expect("a time");
    assert!((5_000..=10_000).contains(&retry_ms), "{retry_ms}");
    // What does not ask as a browser does gets the status, and everybody may choose.
    assert_eq!(open(&rig, "/sse/a", &[]).status, 429);
    assert_eq!(open(&rig, "/sse/a?refuse=status", &browser).status, 429);
    assert_eq!(open(&rig, "/sse/plain:a", &browser).status, 429);
    assert_eq!(open(&rig, "/sse/a?refuse=in-band", &[]).status, 200);
    // What is for ever stays a status.
    assert_eq!(open(&rig, "/sse/a%00?refuse=in-band", &browser).status, 400);
}
