//! Who may do what.

use serde_json::json;

use crate::rig::{Rig, SOON, TOKEN, assert_problem, data_of};
use crate::support::http::{self, Publisher, Response};
use crate::support::server::{Server, new_folder};
use crate::support::sse::Stream;
use crate::support::token::{claims, sign, token};
use crate::support::{iron, wait_until};

const SECRET: &str = "a-secret-of-more-than-thirty-two-bytes-for-tests";

fn get(server: &Server, path: &str, headers: &[(&str, &str)]) -> Response {
    // HEAD runs all checks and ends by itself.
    http::request(server.listen, "HEAD", path, headers, b"").expect("an answer")
}

fn status(server: &Server, path: &str, headers: &[(&str, &str)]) -> u16 {
    get(server, path, headers).status
}

fn strict() -> Rig {
    Rig::start_with(&[("JWT_SECRET", SECRET)])
}

#[test]
fn s071_the_first_token_found_counts_query_header_cookie() {
    let rig = strict();
    let good = token(SECRET, &["--sub", "u"]);
    let bearer = format!("Bearer {good}");
    let cookie = format!("a=b; access_token={good}");
    for name in ["token", "access_token", "authorization"] {
        assert_eq!(status(&rig.server, &format!("/sse/a?{name}={good}"), &[]), 200, "{name}");
    }
    assert_eq!(status(&rig.server, "/sse/a", &[("Authorization", &bearer)]), 200);
    assert_eq!(status(&rig.server, "/sse/a", &[("Cookie", &cookie)]), 200);
    // An empty one counts as absent, a bad one never falls through to the next place.
    assert_eq!(status(&rig.server, "/sse/a?token=", &[("Authorization", &bearer)]), 200);
    assert_eq!(status(&rig.server, "/sse/a?token=bad", &[("Authorization", &bearer)]), 401);
    assert_eq!(
        status(&rig.server, "/sse/a", &[("Authorization", "Bearer bad"), ("Cookie", &cookie)]),
        401
    );
}

#[test]
fn s072_s073_missing_bad_and_expired_tokens_are_401() {
    let rig = strict();
    let answer = rig.server.get("/sse/a");
    assert_problem(&answer, 401, "token");
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    let other = token("another-secret-of-more-than-thirty-two-bytes", &["--sub", "u"]);
    let good = token(SECRET, &["--sub", "u"]);
    let cut = &good[..good.len() - 1];
    for bad in [&*other, "x", "a.b.c", cut] {
        assert_problem(&rig.server.get(&format!("/sse/a?token={bad}")), 401, "");
    }
    let short = token(SECRET, &["--sub", "u", "--ttl", "1s"]);
    std::thread::sleep(std::time::Duration::from_millis(2_100));
    assert_problem(&rig.server.get(&format!("/sse/a?token={short}")), 401, "expired");
}

#[test]
fn s085_a_stream_ends_with_a_bye_when_its_token_does() {
    let rig = strict();
    let short = token(SECRET, &["--sub", "u", "--ttl", "2s"]);
    let mut stream = rig.open(&format!("/sse/a?token={short}"));
    let bye = crate::rig::next(&mut stream);
    assert_eq!(bye.event, "sse.bye");
    let value: serde_json::Value = serde_json::from_str(&bye.data).expect("JSON");
    assert_eq!(value["reason"], "expired");
    assert!(stream.ends_within(crate::rig::SOON));
}

#[test]
fn s076_grants_bound_what_may_be_subscribed() {
    let rig = strict();
    let some = token(SECRET, &["--sub", "u", "--channels", "news,room.*,deep.**"]);
    let all = token(SECRET, &["--sub", "u"]);
    let users = token(SECRET, &["--sub", "u", "--channels", "user:*"]);
    let ask = |path: &str, token: &str| status(&rig.server, &format!("{path}?token={token}"), &[]);
    for path in ["/sse/news", "/sse/room.1", "/sse/room.*", "/sse/deep.1.2", "/sse/deep.**"] {
        assert_eq!(ask(path, &some), 200, "{path}");
    }
    for path in ["/sse/other", "/sse/room.1.2", "/sse/room.**", "/sse/**", "/sse/news,other"] {
        assert_eq!(ask(path, &some), 403, "{path}");
    }
    // No list: every unreserved name. Reserved ones only by their own spelling, or as one's own.
    assert_eq!(ask("/sse/anything.at.all", &all), 200);
    assert_eq!(ask("/sse/user:u", &all), 200);
    assert_eq!(ask("/sse/user:other", &all), 403);
    assert_eq!(ask("/sse/tenant:t", &all), 403);
    assert_eq!(ask("/sse/user:other", &users), 200);
    assert_eq!(ask("/sse/tenant:t", &users), 403);
}

#[test]
fn anonymous_subscribers_only_without_a_secret_and_never_for_reserved_names() {
    let open = Rig::start();
    assert_eq!(status(&open.server, "/sse/a", &[]), 200);
    for path in ["/sse/broadcast", "/sse/user:1", "/sse/tenant:1", "/sse/a.*", "/sse/**", "/sse"] {
        assert_eq!(status(&open.server, path, &[]), 401, "{path}");
    }
    // A bad token is never anonymous.
    assert_eq!(status(&open.server, "/sse/a?token=bad", &[]), 401);
}

#[test]
fn s075_publishing_needs_a_token_in_the_header_and_a_grant() {
    let rig = strict();
    let post = |path: &str, bearer: Option<&str>| {
        let bearer = bearer.map(|token| format!("Bearer {token}"));
        let headers: Vec<_> = bearer.iter().map(|value| ("Authorization", &**value)).collect();
        http::request(rig.address(), "POST", path, &headers, b"x").expect("an answer")
    };
    assert_problem(&post("/publish/a", None), 401, "Authorization");
    assert_problem(&post(&format!("/publish/a?token={TOKEN}"), None), 401, "Authorization");
    assert_problem(&post("/publish/a", Some("wrong")), 401, "");
    let none = token(SECRET, &["--sub", "u"]);
    assert_problem(&post("/publish/a", Some(&none)), 403, "");
    let some = token(SECRET, &["--sub", "u", "--publish", "a,b.*"]);
    assert_eq!(post("/publish/a", Some(&some)).status, 200);
    assert_eq!(post("/publish/b.1", Some(&some)).status, 200);
    for path in ["/publish/c", "/publish/b", "/publish/broadcast", "/publish/user:u"] {
        assert_problem(&post(path, Some(&some)), 403, "");
    }
    let everything = token(SECRET, &["--sub", "u", "--publish", "**"]);
    assert_eq!(post("/publish/c", Some(&everything)).status, 200);
    assert_problem(&post("/publish/broadcast", Some(&everything)), 403, "");
    assert_problem(&post("/publish/user:1", Some(&everything)), 403, "");
    let reserved = token(SECRET, &["--sub", "u", "--publish", "broadcast,user:*"]);
    assert_eq!(post("/publish/broadcast", Some(&reserved)).status, 200);
    assert_eq!(post("/publish/user:1", Some(&reserved)).status, 200);
    // The fixed token publishes everywhere.
    assert_eq!(post("/publish/tenant:1", Some(TOKEN)).status, 200);
}

#[test]
fn a_keep_alive_publisher_is_refused_once_its_token_has_expired() {
    let rig = strict();
    let short = token(SECRET, &["--sub", "u", "--publish", "**", "--ttl", "2s"]);
    let bearer = format!("Bearer {short}");
    let headers = [("Authorization", &*bearer)];
    let mut client = rig.client();
    let mut post = || client.request("POST", "/publish/a", &headers, b"x").expect("an answer");
    assert_eq!(post().status, 200);
    assert_eq!(post().status, 200);
    std::thread::sleep(std::time::Duration::from_millis(3_100));
    assert_eq!(post().status, 401);
}

#[test]
fn a_first_run_makes_a_secret_and_prints_lines_that_work() {
    let server = Server::start(&["--workers", "1"], &[]);
    let output = server.output();
    let line = |word: &str| {
        output.lines().find(|line| line.contains("curl") && line.contains(word)).map(str::trim)
    };
    let publish = line("/publish").expect("a line to paste");
    assert!(line("/sse").is_some(), "{output}");
    let mut stream = {
        let subscribe = line("/sse").expect("a line to paste");
        let path = subscribe.split(&server.listen.to_string()).nth(1).expect("a path");
        let path = path.split(['"', '\'', ' ']).next().expect("a path");
        crate::support::sse::Stream::open(server.listen, path, &[]).expect("a stream")
    };
    assert_eq!(stream.status, 200);
    let status = std::process::Command::new("sh")
        .args(["-c", publish])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status();
    assert!(status.expect("sh runs").success(), "{publish}");
    assert_eq!(data_of(&mut stream, 1).len(), 1, "the pasted line publishes");
    assert!(output.contains("JWT_SECRET"), "it says how to set a lasting one:\n{output}");
}

#[test]
fn s074_without_a_session_the_answer_is_401_unauthorized() {
    let rig = strict();
    let text = rig.raw(b"GET /sse/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", SOON);
    assert!(text.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{text}");
    assert!(text.contains("\"title\":\"Unauthorized\""), "{text}");
}

#[test]
fn s081_keys_are_changed_while_both_are_known() {
    let [old, new] = ["the-older-key", "the-newer-key"].map(|name| format!("{name}-{SECRET}"));
    let file = |sealing: &[(&str, &str)], signing: &[(&str, &str)]| {
        let table = |keys: &[(&str, &str)]| {
            keys.iter().map(|(id, key)| format!("{id} = '{key}'\n")).collect::<String>()
        };
        format!("[encryption.keys]\n{}[auth.jwt_keys]\n{}", table(sealing), table(signing))
    };
    let folder = new_folder();
    let write = |text: &str| std::fs::write(folder.join("r.toml"), text).expect("written");
    write(&file(&[("k2", &old)], &[("k2", &old)]));
    let env = [("AUTH_TOKEN", TOKEN)];
    let server = Server::start_in(folder.clone(), &["--workers", "2", "--config", "r.toml"], &env);
    let [by_old, by_new] = [("k2", &old), ("k1", &new)].map(|(id, key)| {
        let claims = json!({"sub": "u"});
        sign(key, Some(id), &claims)
    });
    let allowed =
        || [&by_old, &by_new].map(|token| status(&server, &format!("/sse/a?token={token}"), &[]));
    assert_eq!(allowed(), [200, 401]);
    let mut stream =
        Stream::open(server.listen, &format!("/sse/a?token={by_old}"), &[]).expect("an answer");
    let mut publisher = Publisher::new(server.listen, TOKEN);
    let mut sealed = || {
        publisher.publish("a", br#"{"n":1}"#);
        crate::rig::next(&mut stream).data
    };
    let first = sealed();
    assert_eq!(iron::key_id(&first), Some("k2"));
    assert!(iron::open(&first, &old).is_some() && iron::open(&first, &new).is_none());
    // The new ones beside the old ones: the first by name seals, every one of them verifies.
    write(&file(&[("k1", &new), ("k2", &old)], &[("k1", &new), ("k2", &old)]));
    server.signal("HUP");
    let mut last = String::new();
    let pause = std::time::Duration::from_millis(50);
    let changed = wait_until(SOON, pause, || {
        last = sealed();
        iron::key_id(&last) == Some("k1")
    });
    assert!(changed && iron::open(&last, &new).is_some_and(|text| text.contains("\"n\":1")));
    assert_eq!(allowed(), [200, 200]);
    write(&file(&[("k1", &new)], &[("k1", &new)]));
    server.signal("HUP");
    assert!(wait_until(SOON, pause, || allowed() == [401, 200]), "{:?}", allowed());
}

#[test]
fn s085_a_token_lives_for_seven_days() {
    let made = claims(&token(SECRET, &["--sub", "u"]));
    let [from, to] = ["iat", "exp"].map(|name| made[name].as_u64().expect("a time"));
    assert_eq!(to - from, 7 * 24 * 3_600);
}

#[test]
fn s086_a_token_may_be_percent_encoded() {
    let rig = strict();
    let good = token(SECRET, &["--sub", "u"]);
    let encoded: String = good.bytes().map(|byte| format!("%{byte:02x}")).collect();
    assert_eq!(status(&rig.server, &format!("/sse/a?token={encoded}"), &[]), 200);
    let twice = encoded.replace('%', "%25");
    assert_eq!(status(&rig.server, &format!("/sse/a?token={twice}"), &[]), 401);
}
