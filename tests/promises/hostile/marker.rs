//! Secrets and tokens leave no trace: not in answers, log lines, pages nor on the screen.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use ring::digest::SHA256;

use super::forge::{HEADER, base64, parts, seal_by};
use super::traces::{Mark, traces};
use crate::rig::SOON;
use crate::support::server::{Server, command, free_address, new_folder};
use crate::support::wait_until;

const SECRET: &str = "zkJwtMark7Qp9x-and-so-many-more-bytes-that-it-is-not-weak";
/// The piece of it that is looked for.
const MARK: &str = "zkJwtMark7Qp9x";
const NAMED: &str = "zkNamedMark1Tz6e-and-so-many-more-bytes-that-it-is-not-weak";
const PUBLISH: &str = "zkAuthMark4Ht2m-the-fixed-publish-token";
const SEAL: &str = "zkSealMark8Ld5r-and-so-many-more-bytes-that-it-may-seal";

const ENV: [(&str, &str); 3] =
    [("JWT_SECRET", SECRET), ("AUTH_TOKEN", PUBLISH), ("SSE_ENCRYPTION_KEY", SEAL)];

/// What must appear nowhere: pieces of the secrets, of tokens and of what they say.
fn marks() -> Vec<Mark> {
    let mut marks: Vec<Mark> = [
        ("JWT_SECRET", MARK),
        ("auth.jwt_keys", "zkNamedMark1Tz6e"),
        ("AUTH_TOKEN", "zkAuthMark4Ht2m"),
        ("SSE_ENCRYPTION_KEY", "zkSealMark8Ld5r"),
        ("a subject", "zkSubMark2Ka9w"),
        ("a token's id", "zkIdMark5Fe3u"),
        ("a grant", "zkGrantMark5Yc1e"),
        ("a text in a token's place", "zkTokenMark3Bn6w"),
        ("a header", "zkHeadMark6Wd4i"),
    ]
    .into_iter()
    .map(|(name, text)| Mark::new(name, text))
    .collect();
    for token in tokens() {
        let signature = token.rsplit('.').next().filter(|text| text.len() > 20);
        marks.extend(signature.map(|text| Mark::exact("a signature", text)));
    }
    marks
}

fn sealed(header: &str, rest: &str, secret: &str) -> String {
    let claims = format!(
        r#"{{"sub":"zkSubMark2Ka9w","jti":"zkIdMark5Fe3u","channels":["a","zkGrantMark5Yc1e.**"],"publish":["a","zkGrantMark5Yc1e.**"]{rest}}}"#
    );
    seal_by(&SHA256, secret.as_bytes(), &parts(header, claims))
}

/// Good ones and bad ones of every sort.
fn tokens() -> Vec<String> {
    let good = sealed(HEADER, "", SECRET);
    vec![
        sealed(HEADER, r#","exp":4102444800,"admin":true"#, SECRET),
        sealed(r#"{"alg":"HS256","kid":"old"}"#, "", NAMED),
        sealed(HEADER, r#","exp":1"#, SECRET),
        sealed(HEADER, r#","nbf":4102444800"#, SECRET),
        sealed(HEADER, r#","subscription_active":false"#, SECRET),
        sealed(HEADER, r#","tenant":"zkSubMark2Ka9w *""#, SECRET),
        sealed(HEADER, r#","tenant":"t","tenant":"zkSubMark2Ka9w""#, SECRET),
        sealed(HEADER, "", "zkTokenMark3Bn6w-another-secret-of-32-bytes"),
        sealed(r#"{"alg":"zkHeadMark6Wd4i"}"#, "", SECRET),
        sealed(r#"{"alg":"HS256","kid":"zkHeadMark6Wd4i"}"#, "", SECRET),
        sealed(r#"{"alg":"HS256","typ":"zkHeadMark6Wd4i"}"#, "", SECRET),
        sealed(r#"{"alg":"HS256","crit":["zkHeadMark6Wd4i"]}"#, "", SECRET),
        format!("{}.{}.", base64(r#"{"alg":"none"}"#), base64(r#"{"sub":"zkSubMark2Ka9w"}"#)),
        format!("zkTokenMark3Bn6w{}", "A".repeat(9_000)),
        "zkTokenMark3Bn6w".to_owned(),
        "zkTokenMark3Bn6w.zkTokenMark3Bn6w.zkTokenMark3Bn6w".to_owned(),
        format!("{PUBLISH}-not-quite"),
        PUBLISH.to_owned(),
        good,
    ]
}

/// What was collected, each with where it came from.
#[derive(Default)]
struct Collected {
    texts: Vec<(String, String)>,
    statuses: Vec<u16>,
}

impl Collected {
    /// Sends a request and keeps all that comes until the server closes or `limit` has passed.
    fn send(&mut self, address: SocketAddr, request: &str, limit: Duration) {
        let text = exchange(address, request.as_bytes(), limit);
        let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
        self.statuses.extend(status.and_then(|digits| digits.parse::<u16>().ok()));
        self.keep(request, text);
    }

    fn keep(&mut self, from: &str, text: String) {
        let line = from.lines().next().unwrap_or_default();
        self.texts.push((line.chars().take(100).collect(), text));
    }

    fn run(&mut self, folder: &Path, args: &[&str]) -> Output {
        let output = command(folder, &ENV).args(args).output().expect("the binary runs");
        let text = [&*output.stdout, &output.stderr].concat();
        self.keep(&format!("ringcast {args:?}"), String::from_utf8_lossy(&text).into_owned());
        output
    }

    fn assert_clean(&self) {
        let marks = marks();
        let found: Vec<String> = self
            .texts
            .iter()
            .map(|(from, text)| (from, traces(&marks, text), text))
            .filter(|(_, traces, _)| !traces.is_empty())
            .map(|(from, traces, text)| format!("{traces:?} in the answer to {from}:\n{text}"))
            .collect();
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
}

fn exchange(address: SocketAddr, request: &[u8], limit: Duration) -> String {
    let end = Instant::now() + limit;
    let mut stream = TcpStream::connect_timeout(&address, SOON).expect("a connection");
    stream.write_all(request).expect("sent");
    let (mut out, mut buffer) = (Vec::new(), [0; 4096]);
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|l| !l.is_zero()) {
        stream.set_read_timeout(Some(left)).expect("a timeout");
        match stream.read(&mut buffer) {
            Ok(count @ 1..) => out.extend_from_slice(&buffer[..count]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The token in each place of a request: what the target and the fields get.
fn places(token: &str) -> Vec<(String, String)> {
    let mut places: Vec<(String, String)> = ["token", "access_token", "authorization"]
        .iter()
        .map(|name| (format!("{name}={token}"), String::new()))
        .collect();
    for field in [
        format!("Authorization: Bearer {token}\r\n"),
        format!("Authorization: Basic {token}\r\n"),
        format!("Authorization: {token}\r\n"),
        format!("Cookie: access_token={token}\r\n"),
        format!("Cookie: a=b; access_token=\"{token}\"; {token}\r\n"),
        format!("Cookie: access_token={token}\r\nOrigin: https://evil.example\r\n"),
        format!("Authorization: Bearer {token}\r\nOrigin: http://localhost:3000\r\n"),
    ] {
        places.push((String::new(), field));
    }
    places.push((format!("token={token}"), format!("Authorization: Bearer {token}\r\n")));
    places
}

/// Requests of all kinds, each with a token; all end by themselves.
fn requests(query: &str, fields: &str) -> Vec<String> {
    let end = format!("Host: localhost\r\nConnection: close\r\n{fields}");
    let mut all: Vec<String> = [
        "HEAD /sse/a?",
        "HEAD /sse?",
        "HEAD /sse/a,b?",
        // A poll ends where the token is good for it.
        "GET /sse/a?poll=1&",
        "GET /sse/user:other?poll=1&",
        "GET /sse/zkGrantMark5Yc1e.x?poll=1&",
        "GET /sse/other?poll=1&",
        "GET /sse/**?poll=1&",
        "GET /sse/a*b?poll=1&",
        "GET /sse/%zz?",
        "GET /poll/other?timeout=0&",
        "GET /nothing?",
        "GET /stats?",
        "PUT /sse/a?",
        "GET /publish/a?",
        "OPTIONS /sse/a?",
        "TRACE /sse/a?",
    ]
    .iter()
    .map(|line| format!("{line}{query} HTTP/1.1\r\n{end}\r\n"))
    .collect();
    for (path, media, body) in [
        ("/publish/a", "text/plain", "x"),
        ("/publish/other", "text/plain", "x"),
        ("/publish/a*b", "text/plain", "x"),
        ("/publish", "application/json", "{"),
        ("/publish", "application/json", r#"{"channel":"a","data":1,"tokn":1}"#),
        ("/publish", "application/x-ndjson", "{\"channel\":\"a\"}\n{\"channel\":\"b\"}\nx\n"),
    ] {
        let length = body.len();
        all.push(format!(
            "POST {path}?{query} HTTP/1.1\r\n{end}Content-Type: {media}\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
        all.push(format!("POST {path} HTTP/1.1\r\n{end}Content-Length: 9999999\r\n\r\n"));
    }
    let long = "x".repeat(17_000);
    all.push(format!("GET /sse/a?{query}&{long} HTTP/1.1\r\n{end}\r\n"));
    all.push(format!("GET /sse/a?{query} HTTP/1.1\r\n{end}X: {long}\r\n\r\n"));
    all.push(format!("GET /sse/a?{query}&x=%zz HTTP/1.1\r\n{end}\r\n"));
    all.push(format!("GET /sse/a?{query} HTTP/2.0\r\n{end}\r\n"));
    all.push(format!("GET /sse/a?{query} HTTP/1.1\r\n{end} folded\r\n\r\n"));
    all.push(format!("GET /sse/a?{query} HTTP/1.1\r\n{end}Transfer-Encoding: gzip\r\n\r\n"));
    all
}

/// Everything a stranger and an operator can look at.
fn look_around(server: &Server, collected: &mut Collected) {
    let get = |path: &str, host: &str, token: &str| {
        format!(
            "GET {path}?token={token} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
             Authorization: Bearer {token}\r\n\r\n"
        )
    };
    let public = ["/health", "/health/sse", "/livez", "/readyz", "/stats"];
    let own = ["/stats/cores", "/metrics", "/stats", "/health", "/livez", "/readyz", "/nothing"];
    let plain = |path: &str, host: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
    };
    for path in public {
        collected.send(server.listen, &plain(path, "localhost"), SOON);
    }
    for path in own {
        collected.send(server.admin, &plain(path, "localhost"), SOON);
        collected.send(server.admin, &plain(path, "zkTokenMark3Bn6w.example"), SOON);
    }
    for token in tokens() {
        collected.send(server.admin, &get("/stats/cores", "localhost", &token), SOON);
        collected.send(server.admin, &get("/stats", "localhost", &token), SOON);
    }
}

/// Provokes every answer there is.
fn provoke(server: &Server, collected: &mut Collected) {
    for token in tokens() {
        for (query, fields) in places(&token) {
            for request in requests(&query, &fields) {
                collected.send(server.listen, &request, SOON);
            }
        }
    }
    // Streams and polls that are open for a while, one with all control events.
    let good = tokens().pop().expect("one");
    for line in [
        format!("GET /sse/a?token={good}"),
        format!("GET /sse/zkGrantMark5Yc1e.x?token={good}"),
        format!("GET /poll/a?timeout=0&last=5&token={good}"),
    ] {
        let request = format!("{line} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        collected.send(server.listen, &request, Duration::from_millis(300));
    }
}

/// Runs a server whose log lines have this form and looks at all it ever says.
fn leaves_no_trace(format: &str) {
    let folder = new_folder();
    let file = folder.join("ringcast.toml");
    let good = format!("[auth.jwt_keys]\nold = \"{NAMED}\"\n");
    std::fs::write(&file, &good).expect("written");
    let args = ["--workers", "2", "--log-level", "debug", "--log-format", format];
    let args = [&args[..], &["--config", "ringcast.toml"]].concat();
    let mut server = Server::start_in(folder.clone(), &args, &ENV);
    let mut collected = Collected::default();
    // A head that does not end, answered after ten seconds.
    let (listen, good_token) = (server.listen, tokens().pop().expect("one"));
    let slow = std::thread::spawn(move || {
        let request = format!("GET /sse/a?token={good_token} HTTP/1.1\r\nCookie: {good_token}\r\n");
        exchange(listen, request.as_bytes(), SOON)
    });
    provoke(&server, &mut collected);
    look_around(&server, &mut collected);
    let slow = slow.join().expect("read");
    assert!(slow.contains(" 408 "), "{slow}");
    collected.keep("a head that does not end", slow);
    for status in [200, 400, 401, 403, 404, 405, 413, 414, 421, 431, 505] {
        assert!(collected.statuses.contains(&status), "no answer was {status}");
    }
    // The settings read again: as they are, then with a secret that is wrong.
    let says = |server: &Server, text: &str| {
        let said = || server.output().contains(text);
        assert!(wait_until(SOON, Duration::from_millis(50), said), "{text}:\n{}", server.output());
    };
    says(&server, "the last ten seconds");
    let bad = format!("[auth]\njwt_secret = [\"{SECRET}\"]\n[auth.jwt_keys]\nold = \"{NAMED}\n");
    std::fs::write(&file, bad).expect("written");
    server.signal("HUP");
    says(&server, "not reloaded");
    let other = format!("{good}new = \"{NAMED}-2\"\n[encryption.keys]\nk = \"{SEAL}-2\"\n");
    std::fs::write(&file, other).expect("written");
    server.signal("HUP");
    says(&server, "auth.jwt_keys");
    let shows = [&["config", "show"][..], &["check"]];
    for command in shows {
        for form in ["text", "json"] {
            let args = [command, &["--config", "ringcast.toml", "--format", form]].concat();
            let output = collected.run(&folder, &args);
            assert!(!output.stdout.is_empty(), "{args:?}");
        }
    }
    server.signal("TERM");
    assert!(server.wait_exit(SOON).is_some(), "{}", server.output());
    let output = server.output();
    assert!(!output.contains("eyJ"), "a token it made itself is shown:\n{output}");
    collected.keep("the server itself", output);
    collected.assert_clean();
}

#[test]
fn s084_s128_secrets_and_tokens_leave_no_trace_in_text() {
    leaves_no_trace("text");
}

#[test]
fn s084_s128_secrets_and_tokens_leave_no_trace_in_json() {
    leaves_no_trace("json");
}

#[test]
fn clients_on_the_terminal_do_not_repeat_their_token() {
    let server = Server::start(&["--workers", "1"], &ENV);
    let folder = new_folder();
    let mut collected = Collected::default();
    let (url, dead) = (server.url(""), format!("http://{}", free_address()));
    for token in ["zkTokenMark3Bn6w", &tokens()[2], &tokens()[8]] {
        let asked = [
            ["subscribe", "b", "--url", &url],
            ["publish", "b", "--url", &url],
            ["publish", "b", "--url", &dead],
            ["publish", "b", "--url", "ftp://nowhere"],
        ];
        for args in asked {
            let args = [&args[..], &["--token", token]].concat();
            let output = collected.run(&folder, &args);
            assert!(!output.status.success(), "{args:?}");
            let said = output.stdout.len() + output.stderr.len();
            assert!(said > 0, "{args:?} says nothing");
        }
    }
    // A line end would begin a field of its own.
    let token = "zkTokenMark3Bn6w\r\nX: y";
    let output = collected.run(&folder, &["publish", "b", "x", "--url", &url, "--token", token]);
    assert!(!output.status.success());
    let _ = std::fs::remove_dir_all(&folder);
    collected.assert_clean();
}

/// One setting that is wrong: a file, variables, arguments.
type Wrong<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);

#[test]
fn settings_that_are_wrong_do_not_show_their_secret() {
    let m = MARK;
    let files = [
        format!("[auth]\njwt_secret = \"{m}\nx = 1\n"),
        format!("[auth]\njwt_secret = {m}\n"),
        format!("[auth]\njwt_secret = '{m}' {m}\n"),
        format!("[auth]\njwt_secret = \"{m}\\q\"\n"),
        format!("[auth]\njwt_secret = [\"{m}\"]\n"),
        format!("[auth]\njwt_secret = {{ a = \"{m}\" }}\n"),
        format!("[auth]\njwt_secrett = \"{m}\"\n"),
        format!("jwt_secret = \"{m}\"\n"),
        format!("auth = \"{m}\"\n"),
        format!("[auth]\njwt_keys = \"{m}\"\n"),
        format!("[auth]\njwt_keys = [\"{m}\"]\n"),
        format!("[auth.jwt_keys]\na = [\"{m}\"]\n"),
        format!("[auth]\npublish_token = [\"{m}\"]\n"),
        format!("[encryption.keys]\na = \"{m}\"\n"),
        format!("[encryption]\nkeys = \"{m}\"\n"),
        format!("[encryption]\nkey = \"{m}\"\n"),
    ];
    let sets = [
        format!("auth.jwt_secrett={m}"),
        format!("jwt_secret={m}"),
        format!("auth.jwt_secret.x={m}"),
        format!("auth.jwt_keys={m}"),
        format!("auth.jwt_keys={m}{m},b=1"),
        format!("auth.jwt_keys={{a='{m}'"),
        format!("auth.jwt_keys={{a=['{m}']}}"),
        format!("encryption.keys=a={m}"),
        format!("encryption.keys={m}=short"),
        format!("encryption.keys={{a='{m}'}}"),
    ];
    let mut wrong: Vec<Wrong<'_>> = files.iter().map(|file| (&**file, &[][..], &[][..])).collect();
    let sets: Vec<[&str; 2]> = sets.iter().map(|set| ["--set", &**set]).collect();
    wrong.extend(sets.iter().map(|set| ("", &[][..], &set[..])));
    wrong.push(("", &[("SSE_ENCRYPTION_KEY", MARK)], &[]));
    wrong.push(("", &[("RINGCAST_ENCRYPTION__KEYS", MARK)], &[]));
    wrong.push(("", &[("RINGCAST_AUTH__JWT_KEYS", MARK)], &[]));
    for (file, env, args) in wrong {
        let folder = new_folder();
        std::fs::write(folder.join("ringcast.toml"), file).expect("written");
        for first in
            [&["check"][..], &["check", "--format", "json"], &["config", "show"], &["serve"]]
        {
            let all = [first, &["--config", "ringcast.toml"], args].concat();
            let output = command(&folder, env).args(&all).output().expect("the binary runs");
            let text = [&*output.stdout, &output.stderr].concat();
            let text = String::from_utf8_lossy(&text);
            assert_eq!(output.status.code(), Some(78), "{file}{env:?}{all:?}: {text}");
            assert!(traces(&marks(), &text).is_empty(), "{file}{env:?}{all:?}: {text}");
        }
        let _ = std::fs::remove_dir_all(&folder);
    }
}

/// Lines of `.env` and files of secrets that cannot be read.
#[test]
fn secrets_in_files_of_variables_are_not_shown() {
    let m = MARK;
    for text in [
        format!("JWT_SECRET {m}\n"),
        format!("JWT_SECRET='{m}\n"),
        format!("JWT_SECRET=\"{m}\" {m}\n"),
        format!("JWT_SECRET: {m}=\n"),
        format!("SSE_ENCRYPTION_KEY={m}\n"),
        format!("SSE_ENCRYPTION_KEY={m}#short\n"),
        format!("RINGCAST_AUTH__JWT_SECRETT={m}\nSSE_ENCRYPTION_KEY_FILE=key\n"),
    ] {
        let folder = new_folder();
        std::fs::write(folder.join(".env"), &text).expect("written");
        std::fs::write(folder.join("key"), m).expect("written");
        for args in [&["check"][..], &["config", "show"], &["serve"]] {
            let none: [(&str, &str); 0] = [];
            let output = command(&folder, &none).args(args).output().expect("the binary runs");
            let said = [&*output.stdout, &output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            assert_eq!(output.status.code(), Some(78), "{text} {args:?}: {said}");
            assert!(traces(&marks(), &said).is_empty(), "{text} {args:?}: {said}");
        }
        let _ = std::fs::remove_dir_all(&folder);
    }
}
