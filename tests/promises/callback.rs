//! Sessions that only another service knows.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use crate::rig::{Rig, SOON, TOKEN, assert_problem, assert_quiet, data_of, next};
use crate::support::http::{self, Client, Response};
use crate::support::server::{Server, new_folder};
use crate::support::sse::Stream;
use crate::support::token::token;
use crate::support::wait_until;

const SECRET: &str = "a-secret-of-more-than-thirty-two-bytes-for-tests";
const PAUSE: Duration = Duration::from_millis(20);

/// A service that knows sessions: what it was asked, and a script that answers.
struct Service {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

/// Status, body, and how long it thinks.
type Script = dyn Fn(&str) -> (u16, String, Duration) + Send + Sync;

impl Service {
    /// `script` gets the head of the request, names in lower case.
    fn start(script: impl Fn(&str) -> (u16, String, Duration) + Send + Sync + 'static) -> Self {
        Self::start_tls(None, script)
    }

    fn start_tls(
        tls: Option<Arc<ServerConfig>>,
        script: impl Fn(&str) -> (u16, String, Duration) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (script, told): (Arc<Script>, _) = (Arc::new(script), Arc::clone(&asked));
        // The threads end with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (script, told, tls) = (Arc::clone(&script), Arc::clone(&told), tls.clone());
                thread::spawn(move || match tls {
                    None => serve(stream, &*script, &told),
                    Some(tls) => {
                        let session = ServerConnection::new(tls).expect("a session");
                        serve(StreamOwned::new(session, stream), &*script, &told);
                    }
                });
            }
        });
        Self { address, asked }
    }

    fn url(&self) -> String {
        format!("http://{}/me?from=ringcast", self.address)
    }

    fn calls(&self) -> usize {
        self.asked.lock().expect("unpoisoned").len()
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("unpoisoned").clone()
    }
}

/// Answers until the other end closes.
fn serve(stream: impl Read + Write, script: &Script, asked: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        loop {
            let mut line = String::new();
            match reader.read_line(&mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) if line == "\r\n" => break,
                Ok(_) => head.push_str(&line),
            }
        }
        asked.lock().expect("unpoisoned").push(head.clone());
        let (status, body, pause) = script(&head);
        thread::sleep(pause);
        let answer = format!(
            "HTTP/1.1 {status} X\r\nLocation: /elsewhere\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if reader.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// By the cookie `session`: `u1` is a user, `slow` one that takes long, and so on.
fn usual(head: &str) -> (u16, String, Duration) {
    let session = head.split("session=").nth(1).unwrap_or_default();
    let name: String = session.chars().take_while(char::is_ascii_alphanumeric).collect();
    let now = Duration::ZERO;
    match &*name {
        "out" => (401, String::new(), now),
        "banned" => (403, String::new(), now),
        "unpaid" => (200, r#"{"sub":"u","subscription_active":false}"#.to_owned(), now),
        "none" => (200, "null".to_owned(), now),
        "broken" => (500, r#"{"sub":"u"}"#.to_owned(), now),
        "moved" => (302, r#"{"sub":"u"}"#.to_owned(), now),
        "html" => (200, "<html>".to_owned(), now),
        "large" => (200, format!(r#"{{"sub":"u","x":"{}"}}"#, "x".repeat(70_000)), now),
        "stuck" => (200, r#"{"sub":"stuck"}"#.to_owned(), Duration::from_secs(20)),
        name => {
            let body = format!(r#"{{"sub":"{name}","tenant":7,"publish":["**"]}}"#);
            (200, body, Duration::from_millis(if name.starts_with("slow") { 700 } else { 0 }))
        }
    }
}

fn rig_with(service: &Service, env: &[(&str, &str)]) -> Rig {
    let url = service.url();
    let mut all = vec![("RINGCAST_AUTH__CALLBACK__URL", &*url)];
    all.extend_from_slice(env);
    Rig::start_with(&all)
}

fn cookie(name: &str) -> String {
    format!("_ga=1; session={name}")
}

fn ask(rig: &Rig, path: &str, headers: &[(&str, &str)]) -> Response {
    http::request(rig.address(), "HEAD", path, headers, b"").expect("an answer")
}

fn status(rig: &Rig, path: &str, session: &str) -> u16 {
    ask(rig, path, &[("Cookie", &*cookie(session))]).status
}

fn get(rig: &Rig, path: &str, session: &str) -> Response {
    let cookie = cookie(session);
    http::request(rig.address(), "GET", path, &[("Cookie", &*cookie)], b"").expect("an answer")
}

/// A counter of all cores together.
fn counted(server: &Server, name: &str) -> u64 {
    let cores = server.get_admin("/stats/cores").json();
    let cores = cores["cores"].as_array().cloned().unwrap_or_default();
    cores.iter().filter_map(|core| core[name].as_u64()).sum()
}

#[test]
fn s018_a_session_gets_its_users_and_tenants_events() {
    let service = Service::start(usual);
    let mut rig = rig_with(&service, &[]);
    let mut one = rig.open_with("/sse", &[("Cookie", &*cookie("u1"))]);
    let mut two = rig.open_with("/sse/news", &[("Cookie", &*cookie("u2"))]);
    rig.publish("user:u1", "for one");
    rig.publish("tenant:7", "for both");
    rig.publish("news", "news");
    assert_eq!(data_of(&mut one, 2), ["for one", "for both"]);
    assert_eq!(data_of(&mut two, 2), ["for both", "news"]);
    assert_quiet(&mut one);
    // Grants hold as those of a token do.
    assert_eq!(status(&rig, "/sse/user:u1", "u1"), 200);
    assert_eq!(status(&rig, "/sse/user:u1", "u2"), 403);
    let head = &service.asked()[0];
    assert!(head.starts_with("GET /me?from=ringcast HTTP/1.1\r\n"), "{head}");
    for line in ["cookie: _ga=1; session=u1", "x-forwarded-for: 127.0.0.1", "x-original-uri: /sse"]
    {
        assert!(head.lines().any(|known| known.eq_ignore_ascii_case(line)), "{line} in {head}");
    }
}

#[test]
fn s077_refusals_and_what_is_no_answer() {
    let service = Service::start(usual);
    let rig = rig_with(&service, &[]);
    for (session, expected) in [("out", 401), ("banned", 403), ("unpaid", 403), ("none", 401)] {
        assert_problem(&get(&rig, "/sse/news", session), expected, "");
    }
    for session in ["broken", "moved", "html", "large"] {
        let answer = get(&rig, "/sse/news", session);
        assert_problem(&answer, 503, "session");
        assert_eq!(answer.header("retry-after"), Some("5"), "{session}");
    }
    assert_eq!(service.calls(), 8, "a redirect is not followed");
    assert_eq!(counted(&rig.server, "callback_failures"), 4);
    // An EventSource gives up for ever on a status: it is told in a stream.
    let headers = [("Cookie", &*cookie("broken")), ("Sec-Fetch-Mode", "cors")];
    let mut stream = rig.open_with("/sse/news", &headers);
    assert_eq!(next(&mut stream).event, "sse.bye");
    // Nobody there at all.
    let closed = Service { address: crate::support::server::free_address(), asked: Arc::default() };
    let rig = rig_with(&closed, &[]);
    assert_problem(&get(&rig, "/sse/news", "u1"), 503, "");
    assert!(rig.server.output().contains("auth.callback: client error"), "{}", rig.server.output());
}

#[test]
fn claims_stand_where_a_tokens_do() {
    let service = Service::start(|head| {
        let role = if head.contains("session=boss") { "admin" } else { "user" };
        let body = format!(r#"{{"user":{{"id":"x","role":"{role}"}},"expires":"2099-01-01"}}"#);
        (200, body, Duration::ZERO)
    });
    let text = format!(
        "[auth.callback]\nurl = '{}'\n[auth.claims]\nsubject = ['user.id']\n\
         admin = 'user.role=admin'\n[namespaces.'staff.']\nsubscribe = 'admin'\n",
        service.url()
    );
    let mut rig = Rig::start_file(&text, &[]);
    assert_eq!(
        (status(&rig, "/sse/staff.a", "boss"), status(&rig, "/sse/staff.a", "u")),
        (200, 403)
    );
    let mut stream = rig.open_with("/sse", &[("Cookie", &*cookie("u"))]);
    rig.publish("user:x", "hello");
    assert_eq!(data_of(&mut stream, 1), ["hello"]);
}

#[test]
fn caps_count_the_streams_of_a_session() {
    let service = Service::start(usual);
    let env =
        [("RINGCAST_LIMITS__PER_USER", "1"), ("RINGCAST_LIMITS__PER_USER_ON_LIMIT", "reject")];
    let rig = rig_with(&service, &env);
    let first = rig.open_with("/sse/a", &[("Cookie", &*cookie("slow"))]);
    assert_problem(&get(&rig, "/sse/a", "slow"), 429, "user");
    let _other = rig.open_with("/sse/a", &[("Cookie", &*cookie("u2"))]);
    drop(first);
    let again = || {
        let cookie = cookie("slow");
        Stream::open(rig.address(), "/sse/a", &[("Cookie", &*cookie)]).expect("an answer").status
    };
    assert!(wait_until(SOON, PAUSE, || again() == 200));
}

#[test]
fn a_stream_ends_with_its_session() {
    let service = Service::start(|_| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let exp = now.expect("after 1970").as_secs() + 2;
        (200, format!(r#"{{"sub":"u","exp":{exp}}}"#), Duration::ZERO)
    });
    let rig = rig_with(&service, &[]);
    let mut stream = rig.open_with("/sse/a", &[("Cookie", &*cookie("u"))]);
    let bye = next(&mut stream);
    assert_eq!(bye.event, "sse.bye");
    let bye: Value = serde_json::from_str(&bye.data).expect("JSON");
    assert_eq!(bye["reason"], "expired");
    // What was remembered has ended too.
    assert_eq!((status(&rig, "/sse/a", "u"), service.calls()), (200, 2));
}

#[test]
fn a_slow_answer_holds_nobody_up() {
    let service = Service::start(usual);
    let env = [("RINGCAST_AUTH__ANONYMOUS", "true"), ("RINGCAST_LIMITS__PER_USER", "off")];
    let mut rig = rig_with(&service, &env);
    let mut live: Vec<Stream> = (0..4).map(|_| rig.open("/sse/news")).collect();
    let address = rig.address();
    let slow: Vec<_> = (0..20)
        .map(|_| {
            thread::spawn(move || {
                let begun = Instant::now();
                let cookie = cookie("slow");
                let stream = Stream::open(address, "/sse/news", &[("Cookie", &*cookie)]);
                (stream.expect("an answer"), begun.elapsed())
            })
        })
        .collect();
    assert!(wait_until(SOON, PAUSE, || counted(&rig.server, "callback_waiting") == 20));
    let begun = Instant::now();
    for number in 0..5 {
        let data = number.to_string();
        rig.publish("news", &data);
        for stream in &mut live {
            assert_eq!(data_of(stream, 1), [&*data]);
        }
    }
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    let mut streams: Vec<Stream> = Vec::new();
    for one in slow {
        let (stream, took) = one.join().expect("no panic");
        assert!(stream.status == 200 && took >= Duration::from_millis(500), "{took:?}");
        streams.push(stream);
    }
    assert_eq!((service.calls(), counted(&rig.server, "callback_waiting")), (1, 0));
    rig.publish("user:slow", "x");
    for stream in &mut streams {
        assert_eq!(data_of(stream, 1), ["x"]);
    }
}

#[test]
fn no_answer_in_time_lets_nobody_in() {
    let service = Service::start(usual);
    let rig = rig_with(&service, &[("RINGCAST_AUTH__CALLBACK__TIMEOUT_MS", "300")]);
    let begun = Instant::now();
    let answer = get(&rig, "/sse/news", "stuck");
    assert_problem(&answer, 503, "session");
    assert!(answer.header("retry-after").is_some());
    let took = begun.elapsed();
    assert!((Duration::from_millis(250)..Duration::from_secs(5)).contains(&took), "{took:?}");
    assert_eq!(status(&rig, "/sse/news", "u1"), 200, "others are looked up");
}

#[test]
fn equal_sessions_are_asked_about_once() {
    let service = Service::start(usual);
    let rig = rig_with(&service, &[]);
    for _ in 0..20 {
        assert_eq!(status(&rig, "/sse/news", "u1"), 200);
    }
    assert_eq!(service.calls(), 1);
    assert_eq!(counted(&rig.server, "callback_calls"), 1);
    assert_eq!(counted(&rig.server, "callback_cache_hits"), 19);
    for _ in 0..5 {
        assert_eq!(status(&rig, "/sse/news", "out"), 401);
    }
    assert_eq!(service.calls(), 2, "refusals are remembered, for a while");
    assert!(wait_until(SOON, PAUSE * 10, || {
        status(&rig, "/sse/news", "out");
        service.calls() == 3
    }));
    let rig = rig_with(&service, &[("RINGCAST_AUTH__CALLBACK__CACHE_MS", "0")]);
    for calls in 4..7 {
        assert_eq!((status(&rig, "/sse/news", "u1"), service.calls()), (200, calls));
    }
}

#[test]
fn questions_at_once_are_bounded() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (under_way, seen) = (Arc::clone(&now), Arc::clone(&most));
    let service = Service::start(move |head| {
        seen.fetch_max(under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(50));
        under_way.fetch_sub(1, Ordering::SeqCst);
        usual(head)
    });
    let rig = rig_with(&service, &[("RINGCAST_AUTH__CALLBACK__IN_FLIGHT_MAX", "3")]);
    let address = rig.address();
    let all = (0..15).map(|number| {
        thread::spawn(move || {
            let cookie = cookie(&format!("n{number}"));
            http::request(address, "HEAD", "/sse/a", &[("Cookie", &*cookie)], b"")
        })
    });
    let all: Vec<_> = all.collect();
    for one in all {
        assert_eq!(one.join().expect("no panic").expect("an answer").status, 200);
    }
    assert_eq!((service.calls(), most.load(Ordering::SeqCst)), (15, 3));
}

#[test]
fn what_a_secret_verifies_is_not_asked_about() {
    let service = Service::start(|head| {
        let known = head.to_ascii_lowercase().contains("authorization: bearer opaque");
        if known { usual("session=opaque") } else { (401, String::new(), Duration::ZERO) }
    });
    let rig = rig_with(&service, &[("JWT_SECRET", SECRET)]);
    let bearer = |token: &str| format!("Bearer {token}");
    let with = |value: &str| ask(&rig, "/sse/a", &[("Authorization", value)]).status;
    let good = token(SECRET, &["--sub", "u"]);
    assert_eq!((with(&bearer(&good)), service.calls()), (200, 0));
    let old = token(SECRET, &["--sub", "u", "--ttl", "1s"]);
    thread::sleep(Duration::from_millis(2_100));
    assert_eq!((with(&bearer(&old)), service.calls()), (401, 0), "ours, and over");
    let foreign = token("another-secret-of-more-than-thirty-two-bytes", &["--sub", "u"]);
    assert_eq!((with(&bearer(&foreign)), service.calls()), (401, 1));
    assert_eq!((with(&bearer("opaque")), service.calls()), (200, 2));
    assert_eq!(ask(&rig, "/sse/a?token=opaque", &[]).status, 200);
    assert_eq!(service.calls(), 2, "the same token in the query");
    assert_eq!((with("Basic abc"), service.calls()), (401, 3));
    // Nothing to ask about.
    assert_eq!((with("Bearer"), ask(&rig, "/sse/a", &[]).status), (401, 401));
    assert_eq!(ask(&rig, "/sse/a?token=x%0d%0aHost:y", &[]).status, 401);
    assert_eq!(service.calls(), 3);
}

#[test]
fn a_session_never_publishes() {
    let service = Service::start(usual);
    let rig = rig_with(&service, &[]);
    let cookie = cookie("u1");
    for headers in [vec![("Cookie", &*cookie)], vec![("Authorization", "Bearer opaque")]] {
        let answer = http::request(rig.address(), "POST", "/publish/a", &headers, b"x");
        assert_eq!(answer.expect("an answer").status, 401);
    }
    assert_eq!(service.calls(), 0);
}

#[test]
fn cookies_count_only_for_pages_that_may() {
    let service = Service::start(usual);
    let rig = rig_with(&service, &[("SSE_CORS_ORIGINS", "https://app.example")]);
    let session = cookie("u1");
    let of =
        |origin: &str| ask(&rig, "/sse/a", &[("Cookie", &*session), ("Origin", origin)]).status;
    assert_eq!(
        (of("https://app.example"), of("https://evil.example"), of("null")),
        (200, 403, 403)
    );
    // A token of its own counts, the cookie does not go with it.
    let headers = [
        ("Cookie", &*session),
        ("Origin", "https://evil.example"),
        ("Authorization", "Bearer opaque"),
    ];
    ask(&rig, "/sse/a", &headers);
    let asked = service.asked();
    assert!(asked.len() == 2 && !asked[1].contains("session"), "{asked:?}");
    let rig = rig_with(&service, &[("SSE_CORS_ORIGINS", "*")]);
    let headers = [("Cookie", &*session), ("Origin", "https://evil.example")];
    assert_eq!((ask(&rig, "/sse/a", &headers).status, service.calls()), (401, 2));
}

#[test]
fn those_who_go_while_they_wait_leave_nothing() {
    let service = Service::start(usual);
    let rig = rig_with(&service, &[]);
    let request = |session: &str| {
        format!("GET /sse/a HTTP/1.1\r\nHost: x\r\nCookie: session={session}\r\n\r\n")
    };
    let gone: Vec<_> = (0..30)
        .map(|number| {
            let mut stream = std::net::TcpStream::connect(rig.address()).expect("a connection");
            let session = if number % 2 == 0 { "slow".to_owned() } else { format!("slow{number}") };
            stream.write_all(request(&session).as_bytes()).expect("sent");
            stream
        })
        .collect();
    assert!(wait_until(SOON, PAUSE, || service.calls() > 0));
    drop(gone);
    let idle = |rig: &Rig| {
        counted(&rig.server, "callback_waiting") == 0 && counted(&rig.server, "connections") == 0
    };
    assert!(wait_until(Duration::from_millis(600), PAUSE, || idle(&rig)), "noticed at once");
    assert_eq!(counted(&rig.server, "streams_begun"), 0);
    // A keep-alive connection whose polls wait, and what is pipelined behind one.
    let mut client = rig.client();
    let cookie = cookie("slow");
    let headers = [("Cookie", &*cookie)];
    client.send("GET", "/poll/a?timeout=1", &headers, b"").expect("sent");
    client.send("GET", "/livez", &[], b"").expect("sent");
    assert_eq!(client.read_answer(false).expect("an answer").status, 204);
    assert_eq!(client.read_answer(false).expect("an answer").body, b"ok\n");
}

#[test]
fn a_reload_asks_the_new_service() {
    let (old, new) = (Service::start(usual), Service::start(usual));
    let folder = new_folder();
    let write = |service: &Service| {
        let text = format!("auth.callback.url = '{}'\n", service.url());
        std::fs::write(folder.join("r.toml"), text).expect("written");
    };
    write(&old);
    let args = ["--workers", "2", "--config", "r.toml"];
    let server = Server::start_in(folder.clone(), &args, &[("AUTH_TOKEN", TOKEN)]);
    let rig = Rig { publisher: http::Publisher::new(server.listen, TOKEN), server };
    assert_eq!((status(&rig, "/sse/a", "u1"), old.calls()), (200, 1));
    let address = rig.address();
    let waits = thread::spawn(move || {
        let cookie = cookie("slow");
        Stream::open(address, "/sse/a", &[("Cookie", &*cookie)]).expect("an answer").status
    });
    assert!(wait_until(SOON, PAUSE, || old.calls() == 2));
    write(&new);
    rig.server.signal("HUP");
    let said = || rig.server.output().contains("configuration reloaded in_force=1");
    assert!(wait_until(SOON, PAUSE, said));
    let taken = || {
        status(&rig, "/sse/a", "u1");
        new.calls() == 1
    };
    assert!(wait_until(SOON, PAUSE, taken), "what the old one said is forgotten");
    assert_eq!(waits.join().expect("no panic"), 200, "who asked before is answered");
    assert_eq!((status(&rig, "/sse/a", "slow"), old.calls(), new.calls()), (200, 2, 2));
}

#[test]
fn a_node_that_drains_turns_away_those_who_wait() {
    let service = Service::start(usual);
    let env = [("RINGCAST_AUTH__CALLBACK__TIMEOUT_MS", "30000")];
    let mut rig = rig_with(&service, &env);
    let mut client = Client::connect(rig.address()).expect("a connection");
    let cookie = cookie("stuck");
    client.send("GET", "/sse/a", &[("Cookie", &*cookie)], b"").expect("sent");
    assert!(wait_until(SOON, PAUSE, || service.calls() == 1));
    rig.server.signal("TERM");
    assert_problem(&client.read_answer(false).expect("an answer"), 503, "emptied");
    let begun = Instant::now();
    assert!(rig.server.wait_exit(SOON).is_some_and(|status| status.success()));
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[test]
fn s084_credentials_never_appear_in_what_is_printed() {
    let service = Service::start(usual);
    let rig = rig_with(&service, &[("RINGCAST_LOG__LEVEL", "debug")]);
    for session in ["leakok", "out", "broken", "html", "stuck"] {
        let cookie = format!("session={session}; leak=leak-cookie");
        let headers = [("Cookie", &*cookie), ("Authorization", "Bearer leak-header")];
        ask(&rig, "/sse/a?x=leak-query", &headers);
        ask(&rig, "/sse/a?token=leak-token", &headers);
    }
    let output = rig.server.output();
    assert!(output.contains("auth.callback: "), "a failure is told: {output}");
    assert!(!output.contains("leak"), "{output}");
}

/// A certificate for 127.0.0.1 that nobody else has signed, and the server that shows it.
fn certificate(folder: &std::path::Path) -> Arc<ServerConfig> {
    let status = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2", "-subj", "/CN=test", "-keyout", "key.pem"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-out", "cert.pem"])
        .current_dir(folder)
        .stderr(std::process::Stdio::null())
        .status();
    assert!(status.expect("openssl runs").success());
    let certificate = CertificateDer::from_pem_file(folder.join("cert.pem")).expect("PEM");
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).expect("PEM");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().expect("versions");
    Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate], key).expect("a pair"))
}

#[test]
fn by_tls_it_is_asked_only_with_a_certificate_that_is_trusted() {
    let folder = new_folder();
    let service = Service::start_tls(Some(certificate(&folder)), usual);
    let url = format!("https://{}/me", service.address);
    let trusted = folder.join("cert.pem");
    let trusted = trusted.to_str().expect("UTF-8");
    let env = [("RINGCAST_AUTH__CALLBACK__URL", &*url), ("SSL_CERT_FILE", trusted)];
    let rig = Rig::start_with(&env);
    assert_eq!((status(&rig, "/sse/a", "u1"), service.calls()), (200, 1));
    let rig = Rig::start_with(&env[..1]);
    assert_eq!((status(&rig, "/sse/a", "u1"), service.calls()), (503, 1));
    let _ = std::fs::remove_dir_all(&folder);
}
