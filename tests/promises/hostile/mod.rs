//! Tokens that an attacker or a broken issuer sends, through every door that takes one.

mod cases;
mod forge;
mod marker;
mod said;
mod shaped;
mod traces;

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use cases::{Case, harmless, hostile};
use forge::{AUDIENCE, HEADER, ISSUER, NAMED, SECRET, claims, good_claims, token};

use crate::rig::{Rig, assert_problem};
use crate::support::http::{self, Response, TIMEOUT};

/// Longest time a refusal may take.
const ONE_MAX: Duration = Duration::from_secs(1);
/// Longest time all of them may take, also on a machine that has other work.
const ALL_MAX: Duration = Duration::from_secs(120);
/// `limits.head_bytes_max` by default.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Where a token is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Query,
    Header,
    Cookie,
    /// The header of a publish.
    Publish,
    /// The header of a request to the operators' address.
    Admin,
}

impl Door {
    const ALL: [Self; 5] = [Self::Query, Self::Header, Self::Cookie, Self::Publish, Self::Admin];
    /// Those of a subscriber.
    const SUBSCRIBE: [Self; 3] = [Self::Query, Self::Header, Self::Cookie];

    fn address(self, rig: &Rig) -> SocketAddr {
        if self == Self::Admin { rig.server.admin } else { rig.address() }
    }

    /// None: HTTP cannot carry it there.
    fn request(self, token: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = match self {
            Self::Query => {
                let mut escaped = String::new();
                for byte in token {
                    match byte {
                        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                            escaped.push(char::from(*byte));
                        }
                        _ => escaped.push_str(&format!("%{byte:02X}")),
                    }
                }
                return Some(
                    format!("GET /sse/room?token={escaped} HTTP/1.1\r\nHost: localhost\r\n\r\n")
                        .into_bytes(),
                );
            }
            Self::Header => "GET /sse/room HTTP/1.1\r\nAuthorization: Bearer ",
            Self::Cookie => "GET /sse/room HTTP/1.1\r\nCookie: a=b; access_token=",
            Self::Publish => {
                "POST /publish/room HTTP/1.1\r\nContent-Length: 0\r\nAuthorization: Bearer "
            }
            Self::Admin => "GET /stats/cores HTTP/1.1\r\nAuthorization: Bearer ",
        }
        .as_bytes()
        .to_vec();
        // Line ends end the field, and what stands around a value is not part of it.
        let cookie = self == Self::Cookie;
        let around = |byte: &u8| matches!(byte, b' ' | b'\t');
        let cut = |byte: &u8| matches!(byte, b'\r' | b'\n') || (cookie && *byte == b';');
        let quoted = cookie && token.starts_with(b"\"") && token.ends_with(b"\"");
        let edges = [token.first(), token.last()];
        if quoted || edges.into_iter().flatten().any(around) || token.iter().any(cut) {
            return None;
        }
        bytes.extend_from_slice(token);
        bytes.extend_from_slice(b"\r\nHost: localhost\r\n\r\n");
        Some(bytes)
    }

    /// The statuses that the documents promise.
    fn promised(self, case: &Case, request: &[u8], has_keys: bool) -> &'static [u16] {
        let control = |byte: &u8| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f;
        if request.len() > HEAD_BYTES_MAX {
            &[414, 431]
        } else if std::str::from_utf8(&case.token).is_err()
            || (self != Self::Query && case.token.iter().any(control))
        {
            &[400]
        } else if case.inactive && has_keys {
            &[403]
        } else {
            &[401]
        }
    }
}

/// With several secrets, an audience, an issuer and a fixed publish token.
fn strict() -> Rig {
    let mut text =
        format!("[auth]\naudience = [\"{AUDIENCE}\"]\nissuer = [\"{ISSUER}\"]\n[auth.jwt_keys]\n");
    let text_of = |key: &'static [u8]| std::str::from_utf8(key).expect("text");
    for (kid, key) in NAMED {
        text.push_str(&format!("{kid} = \"{}\"\n", text_of(key)));
    }
    Rig::start_file(&text, &[("JWT_SECRET", text_of(SECRET))])
}

/// Sends a request; its answer (a stream's without a body) and the time until it was whole.
fn ask(address: SocketAddr, request: &[u8]) -> std::io::Result<(Response, Duration)> {
    let begun = Instant::now();
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(request)?;
    let mut reader = BufReader::new(stream);
    let (status, headers) = http::read_head(&mut reader)?;
    let mut answer = Response { status, headers, body: Vec::new() };
    if let Some(length) = answer.header("content-length").map(str::parse) {
        answer.body.resize(length.expect("a number"), 0);
        reader.read_exact(&mut answer.body)?;
    }
    Ok((answer, begun.elapsed()))
}

/// A good token is admitted everywhere.
fn assert_serves(rig: &Rig) {
    let good = token(HEADER, claims(r#""sub":"u","publish":["**"],"admin":true"#));
    for door in Door::ALL {
        let request = door.request(good.as_bytes()).expect("text");
        let (answer, _) = ask(door.address(rig), &request).expect("an answer");
        assert_eq!(answer.status, 200, "{door:?}: {}", String::from_utf8_lossy(&answer.body));
    }
}

/// Shows every hostile token at these doors; what went wrong, and how many were shown.
fn refuse_all(rig: &Rig, doors: &[Door], has_keys: bool) -> (Vec<String>, usize) {
    let begun = Instant::now();
    let (mut faults, mut shown) = (Vec::new(), 0);
    for case in hostile() {
        let doors = doors.iter().filter_map(|door| Some((*door, door.request(&case.token)?)));
        for (door, request) in doors {
            shown += 1;
            let promised = door.promised(&case, &request, has_keys);
            if let Err(fault) = refused(door.address(rig), &request, promised, &case.token) {
                faults.push(format!("{}, {door:?}: {fault}", case.name));
            }
        }
    }
    assert!(begun.elapsed() < ALL_MAX, "{shown} took {:?}", begun.elapsed());
    (faults, shown)
}

fn refused(
    address: SocketAddr,
    request: &[u8],
    promised: &[u16],
    token: &[u8],
) -> Result<(), String> {
    let (answer, mut took) = ask(address, request).map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    if !promised.contains(&answer.status) {
        return Err(format!("{} in place of {promised:?}: {text}", answer.status));
    }
    if answer.header("content-type") != Some("application/problem+json")
        || answer.json()["status"] != answer.status
    {
        return Err(format!("no problem document: {:?} {text}", answer.headers));
    }
    if answer.status == 401 && answer.header("www-authenticate") != Some("Bearer") {
        return Err(format!("no WWW-Authenticate: {:?}", answer.headers));
    }
    if token.len() > 8 && text.contains(&*String::from_utf8_lossy(token)) {
        return Err(format!("the answer repeats the token: {text}"));
    }
    // Another program may have had the core: what is slow by itself is slow each time.
    for _ in 0..3 {
        if took <= ONE_MAX {
            return Ok(());
        }
        took = ask(address, request).map_err(|error| error.to_string())?.1;
    }
    Err(format!("it took {took:?}"))
}

#[test]
fn hostile_tokens_are_refused_at_every_door() {
    let rig = strict();
    assert_serves(&rig);
    let (faults, shown) = refuse_all(&rig, &Door::ALL, true);
    assert!(faults.is_empty(), "{} of {shown}:\n{}", faults.len(), faults.join("\n"));
    assert!(hostile().len() >= 200 && shown >= 800, "{shown} shown");
    // The same process, and what was refused has not been remembered as good or as bad.
    assert_serves(&rig);
    let (faults, _) = refuse_all(&rig, &[Door::Header], true);
    assert!(faults.is_empty(), "the second time:\n{}", faults.join("\n"));
    assert_serves(&rig);
    assert!(!rig.server.output().contains("panicked"), "{}", rig.server.output());
}

/// Where nobody needs a token a bad one is refused all the same, never taken for none.
#[test]
fn hostile_tokens_are_never_anonymous() {
    let rig = Rig::start();
    let anonymous = b"GET /sse/room HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_eq!(ask(rig.address(), anonymous).expect("an answer").0.status, 200);
    let (faults, shown) = refuse_all(&rig, &Door::SUBSCRIBE, false);
    assert!(faults.is_empty(), "{} of {shown}:\n{}", faults.len(), faults.join("\n"));
    assert_eq!(ask(rig.address(), anonymous).expect("an answer").0.status, 200);
}

#[test]
fn harmless_tokens_like_the_hostile_ones_are_admitted() {
    let rig = strict();
    for (name, token) in harmless() {
        for door in Door::SUBSCRIBE {
            let request = door.request(token.as_bytes()).expect("text");
            let (answer, _) = ask(rig.address(), &request).expect("an answer");
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            assert_eq!(answer.status, 200, "{name}, {door:?}: {text}");
        }
    }
}

/// Only the boolean makes an admin; the rest are good tokens without that right.
#[test]
fn near_admins_are_refused_at_the_operators_address() {
    let rig = strict();
    for rest in [
        r#""admin":false"#,
        r#""admin":"true""#,
        r#""admin":1"#,
        r#""admin":null"#,
        r#""admin":[true]"#,
        r#""admin":{"admin":true}"#,
        r#""Admin":true"#,
        r#""ADMIN":true"#,
        r#""admin ":true"#,
        r#""role":"admin""#,
        r#""x":{"admin":true}"#,
    ] {
        let token = token(HEADER, claims(&format!(r#""sub":"admin",{rest}"#)));
        let request = Door::Admin.request(token.as_bytes()).expect("text");
        let (answer, _) = ask(rig.server.admin, &request).expect("an answer");
        assert_problem(&answer, 403, "admin");
    }
    assert_serves(&rig);
}

/// A bad token ends the search: what is good further on does not count.
#[test]
fn a_good_token_behind_a_hostile_one_is_not_looked_at() {
    let rig = strict();
    let good = token(HEADER, good_claims());
    let field = |query: &str, header: &str, cookie: &str| {
        format!("GET /sse/room?{query} HTTP/1.1\r\nHost: localhost\r\n{header}{cookie}\r\n")
    };
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let cookie = |token: &str| format!("Cookie: access_token={token}\r\n");
    for bad in ["x", "a.b.c", "null"] {
        for request in [
            field(&format!("token={bad}"), &bearer(&good), &cookie(&good)),
            field(&format!("token={bad}&token={good}"), "", ""),
            field(&format!("token={bad}&access_token={good}"), "", ""),
            field("", &bearer(bad), &cookie(&good)),
            field("", &format!("{}{}", bearer(bad), bearer(&good)), ""),
            field("", "", &format!("{}{}", cookie(bad), cookie(&good))),
            field("", "", &cookie(&format!("{bad}; access_token={good}"))),
        ] {
            let (answer, _) = ask(rig.address(), request.as_bytes()).expect("an answer");
            assert_eq!(answer.status, 401, "{request}");
        }
    }
}
