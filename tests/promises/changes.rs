//! Running streams that change: channels, tokens, revocation.

use serde_json::{Value, json};

use crate::rig::{Rig, SOON, assert_problem, assert_quiet, data_of, next};
use crate::support::http::{self, Response};
use crate::support::sse::Stream;
use crate::support::token::token;
use crate::support::wait_until;

const SECRET: &str = "a-secret-of-more-than-thirty-two-bytes-for-tests";
/// Workers differ, so that requests and streams mostly meet on different ones.
const ATTEMPTS: usize = 8;

fn strict() -> Rig {
    Rig::start_with(&[("JWT_SECRET", SECRET)])
}

/// The stream and the name `sse.open` tells it.
fn open(rig: &Rig, path: &str) -> (Stream, String) {
    let join = if path.contains('?') { '&' } else { '?' };
    let mut stream = rig.open(&format!("{path}{join}control=on"));
    let mut name = None;
    loop {
        let event = next(&mut stream);
        let data: Value = serde_json::from_str(&event.data).expect("JSON");
        match &*event.event {
            "sse.open" => name = data["connection"].as_str().map(str::to_owned),
            "sse.caught-up" => return (stream, name.expect("a name")),
            other => panic!("{other}"),
        }
    }
}

fn ask(rig: &Rig, method: &str, path: &str, bearer: &str, body: &Value) -> Response {
    let bearer = format!("Bearer {bearer}");
    let mut headers = vec![("Content-Type", "application/json")];
    if bearer.len() > 7 {
        headers.push(("Authorization", &bearer));
    }
    let body = if body.is_null() { String::new() } else { body.to_string() };
    http::request(rig.address(), method, path, &headers, body.as_bytes()).expect("an answer")
}

fn channels(rig: &Rig, method: &str, name: &str, bearer: &str, body: &Value) -> Response {
    ask(rig, method, &format!("/connections/{name}/channels"), bearer, body)
}

fn names(answer: &Response) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    let channels = answer.json()["channels"].clone();
    serde_json::from_value(channels).expect("names")
}

#[test]
fn channels_come_to_a_running_stream_with_their_backlog_and_go() {
    let mut rig = Rig::start();
    for data in ["1", "2", "3"] {
        rig.publish("b", data);
    }
    for attempt in 0..ATTEMPTS {
        let (mut stream, name) = open(&rig, "/sse/a");
        rig.publish("a", "first");
        assert_eq!(next(&mut stream).data, "first");
        let answer = channels(&rig, "POST", &name, "", &json!({"channels": ["b"], "last": 2}));
        assert_eq!(names(&answer), ["a", "b"], "{attempt}");
        assert_eq!(data_of(&mut stream, 2), ["2", "3"]);
        assert_eq!(next(&mut stream).event, "sse.caught-up");
        // Live from then on, on both, in order, each once.
        for data in ["x", "y"] {
            rig.publish("a", data);
            rig.publish("b", data);
        }
        assert_eq!(data_of(&mut stream, 4), ["x", "x", "y", "y"]);
        // Without a start, only what is new.
        let answer = channels(&rig, "POST", &name, "", &json!({"channels": ["c.*", "b"]}));
        assert_eq!(answer.status, 401, "patterns are not for anonymous ones");
        let answer = channels(&rig, "POST", &name, "", &json!({"channels": ["c", "b"]}));
        assert_eq!(names(&answer), ["a", "b", "c"]);
        assert_eq!(next(&mut stream).event, "sse.caught-up");
        rig.publish("c", "new");
        assert_eq!(next(&mut stream).data, "new");
        // And away.
        let path = format!("/connections/{name}/channels?channel=a");
        let answer = ask(&rig, "DELETE", &path, "", &json!({"channels": ["c"]}));
        assert_eq!(names(&answer), ["b"]);
        rig.publish("a", "unheard");
        rig.publish("c", "unheard");
        let heard = rig.publish("b", "heard");
        assert_eq!(next(&mut stream).data, "heard");
        // One id still resumes exactly.
        drop(stream);
        rig.publish("b", "later");
        assert_eq!(data_of(&mut rig.resume("/sse/b", &heard), 1), ["later"]);
        // The next round finds the same backlog.
        for data in ["1", "2", "3"] {
            rig.publish("b", data);
        }
    }
}

#[test]
fn many_links_and_unlinks_lose_nothing() {
    let mut rig = Rig::start_with(&[("RINGCAST_LIMITS__CHANNELS_PER_STREAM", "8")]);
    let (mut stream, name) = open(&rig, "/sse/base");
    let mut client = rig.client();
    let path = format!("/connections/{name}/channels");
    for round in 0..40 {
        let channel = format!("c{}", round % 5);
        let body = json!({ "channels": [channel] }).to_string();
        let json_type = [("Content-Type", "application/json")];
        let answer = client.request("POST", &path, &json_type, body.as_bytes()).expect("an answer");
        if answer.status == 409 {
            // It has not caught up with the round before: the answer says when to try again.
            assert_eq!(answer.header("retry-after"), Some("1"));
            std::thread::sleep(std::time::Duration::from_millis(20));
            continue;
        }
        assert!(names(&answer).contains(&channel));
        rig.publish(&channel, &format!("in {round}"));
        rig.publish("base", &format!("base {round}"));
        let mut seen = Vec::new();
        while seen.len() < 2 {
            let event = next(&mut stream);
            if event.event != "sse.caught-up" {
                seen.push(event.data);
            }
        }
        assert_eq!(seen, [format!("in {round}"), format!("base {round}")]);
        let answer =
            client.request("DELETE", &path, &json_type, body.as_bytes()).expect("an answer");
        assert_eq!(names(&answer), ["base"]);
        rig.publish(&channel, "unheard");
    }
    let many: Vec<String> = (0..10).map(|n| format!("m{n}")).collect();
    let answer = channels(&rig, "POST", &name, "", &json!({ "channels": many }));
    assert_problem(&answer, 400, "channels");
}

#[test]
fn a_stream_obeys_its_owner_alone() {
    let rig = strict();
    let of = |args: &[&str]| token(SECRET, args);
    let own = of(&["--sub", "u1", "--channels", "a,b"]);
    let other = of(&["--sub", "u2"]);
    let admin = of(&["--sub", "root", "--admin"]);
    let (mut stream, name) = open(&rig, &format!("/sse/a?token={own}"));
    let body = json!({"channels": ["b"]});
    assert_problem(&channels(&rig, "POST", &name, &other, &body), 403, "somebody else");
    assert_problem(&channels(&rig, "POST", &name, "", &body), 401, "token");
    assert_problem(&channels(&rig, "DELETE", &name, "", &json!({"channels": ["a"]})), 403, "else");
    assert_problem(&channels(&rig, "POST", &name, "bad", &body), 401, "");
    // What the token does not grant stays closed, to the owner too.
    assert_problem(&channels(&rig, "POST", &name, &own, &json!({"channels": ["c"]})), 403, "grant");
    let foreign = json!({"channels": ["user:u2"]});
    assert_problem(&channels(&rig, "POST", &name, &own, &foreign), 403, "grant");
    let own_one = json!({"channels": ["user:u1"]});
    assert_problem(&channels(&rig, "DELETE", &name, &own, &own_one), 400, "user:u1");
    assert_eq!(names(&channels(&rig, "POST", &name, &own, &body)), ["a", "user:u1", "b"]);
    assert_eq!(next(&mut stream).event, "sse.caught-up");
    assert_eq!(names(&channels(&rig, "POST", &name, &admin, &json!({"channels": ["z"]}))).len(), 4);
    // A name cannot be guessed or changed.
    let mut guess = name.clone();
    let last = if guess.pop() == Some('A') { 'B' } else { 'A' };
    guess.push(last);
    for wrong in [&*guess, "0-0-1", "0-0-1-", "x", "0-0-1-AAAAAAAAAAAAAAAAAAAAAA"] {
        assert_problem(&channels(&rig, "POST", wrong, &own, &body), 404, "stream");
    }
    for (method, part, status) in
        [("GET", "channels", 405), ("DELETE", "token", 405), ("POST", "other", 404)]
    {
        let path = format!("/connections/{name}/{part}");
        assert_eq!(ask(&rig, method, &path, &own, &Value::Null).status, status, "{method} {part}");
    }
    for bad in [json!({}), json!({"channels": "a"}), json!({"channels": ["a b"]}), json!({"x": 1})]
    {
        assert_eq!(channels(&rig, "POST", &name, &own, &bad).status, 400, "{bad}");
    }
    drop(stream);
    let gone = || channels(&rig, "POST", &name, &own, &body).status == 404;
    assert!(wait_until(SOON, std::time::Duration::from_millis(20), gone), "the stream has ended");
}

#[test]
fn pages_of_other_sites_change_nothing() {
    let rig = strict();
    let own = token(SECRET, &["--sub", "u1"]);
    let (_stream, name) = open(&rig, &format!("/sse/a?token={own}"));
    let path = format!("/connections/{name}/channels");
    let cookie = format!("access_token={own}");
    let send = |origin: &str| {
        let headers = [("Cookie", &*cookie), ("Origin", origin)];
        let body = b"{\"channels\":[\"b\"]}";
        http::request(rig.address(), "POST", &path, &headers, body).expect("an answer")
    };
    assert_problem(&send("https://evil.example"), 403, "origin");
    let answer = send("http://localhost:3000");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("http://localhost:3000"));
}

#[test]
fn a_new_token_takes_the_place_of_one_that_ends() {
    let rig = strict();
    let of = |args: &[&str]| token(SECRET, args);
    let short = of(&["--sub", "u1", "--tenant", "t", "--ttl", "4s"]);
    let (mut stream, name) = open(&rig, &format!("/sse/a,b?token={short}"));
    let path = format!("/connections/{name}/token");
    for (wrong, status) in [
        (of(&["--sub", "u2", "--tenant", "t"]), 403),
        (of(&["--sub", "u1", "--tenant", "other"]), 403),
        ("bad".to_owned(), 401),
    ] {
        let answer = ask(&rig, "POST", &path, "", &json!({"token": wrong}));
        assert_eq!(answer.status, status, "{}", String::from_utf8_lossy(&answer.body));
    }
    assert_eq!(ask(&rig, "POST", &path, "", &Value::Null).status, 401);
    let long = of(&["--sub", "u1", "--tenant", "t", "--channels", "a", "--ttl", "1h"]);
    let answer = ask(&rig, "POST", &path, "", &json!({"token": long}));
    // What the new one does not grant is gone.
    let mut left = names(&answer);
    left.sort();
    assert_eq!(left, ["a", "tenant:t", "user:u1"]);
    assert!(answer.json()["expires"].as_u64().expect("a second") > 0);
    std::thread::sleep(std::time::Duration::from_secs(5));
    let mut rig = rig;
    rig.publish("b", "unheard");
    rig.publish("a", "still here");
    assert_eq!(next(&mut stream).data, "still here");
}

#[test]
fn the_end_of_a_token_is_announced_to_those_who_listen() {
    let rig = Rig::start_with(&[("JWT_SECRET", SECRET), ("SSE_HEARTBEAT_INTERVAL", "400")]);
    let short = token(SECRET, &["--sub", "u1", "--ttl", "3s"]);
    let mut plain = rig.open(&format!("/sse/a?token={short}"));
    let (mut stream, _) = open(&rig, &format!("/sse/a?token={short}"));
    let soon = next(&mut stream);
    assert_eq!(soon.event, "sse.token-expiring");
    assert_eq!(soon.id, "", "it is no event of a channel");
    let data: Value = serde_json::from_str(&soon.data).expect("JSON");
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let left = data["expires"].as_u64().expect("a second").abs_diff(now.as_secs());
    assert!(left <= 4, "{data}");
    for stream in [&mut stream, &mut plain] {
        let bye = next(stream);
        assert_eq!(bye.event, "sse.bye");
        assert!(bye.data.contains("expired"), "{}", bye.data);
    }
}

#[test]
fn revoked_tokens_end_and_are_refused() {
    let rig = strict();
    let revoke = |body: Value| {
        let body = body.to_string();
        http::request(rig.server.admin, "POST", "/admin/revoke", &[], body.as_bytes())
            .expect("an answer")
    };
    let of = |sub: &str| token(SECRET, &["--sub", sub, "--channels", "a"]);
    let status = |token: &str| {
        let path = format!("/sse/a?token={token}");
        http::request(rig.address(), "HEAD", &path, &[], b"").expect("an answer").status
    };
    let (one, two) = (of("u1"), of("u2"));
    let mut ended = rig.open(&format!("/sse/a?token={one}"));
    let mut kept = rig.open(&format!("/sse/a?token={two}"));
    assert_eq!(revoke(json!({"sub": "u1", "for": "1h"})).json()["for_s"], 3_600);
    let bye = next(&mut ended);
    assert_eq!(bye.event, "sse.bye");
    assert!(ended.ends_within(SOON));
    assert_quiet(&mut kept);
    assert_eq!((status(&one), status(&two)), (401, 200));
    assert_problem(&rig.server.get(&format!("/sse/a?token={one}")), 401, "revoked");
    // A login after it counts.
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    assert_eq!(status(&of("u1")), 200);

    let far = 4_000_000_000_u64;
    assert_eq!(revoke(json!({"issued_before": far})).status, 200);
    assert_eq!(next(&mut kept).event, "sse.bye");
    assert_eq!(status(&two), 401);
    for bad in [json!({}), json!({"sub": ""}), json!({"sub": "a", "jti": "b"}), json!({"x": 1})] {
        assert_problem(&revoke(bad), 400, "");
    }
    assert_problem(&revoke(json!({"sub": "u", "for": "soon"})), 400, "for");
}

#[test]
fn a_token_is_revoked_by_its_id() {
    let rig = strict();
    let claims = |id: &str| {
        let claims = json!({"sub": "u1", "jti": id, "channels": ["a"]});
        crate::support::token::sign(SECRET, None, &claims)
    };
    let (one, two) = (claims("one"), claims("two"));
    let mut ended = rig.open(&format!("/sse/a?token={one}"));
    let mut kept = rig.open(&format!("/sse/a?token={two}"));
    let body = br#"{"jti":"one"}"#;
    let answer = http::request(rig.server.admin, "POST", "/admin/revoke", &[], body);
    assert_eq!(answer.expect("an answer").status, 200);
    assert_eq!(next(&mut ended).event, "sse.bye");
    assert_quiet(&mut kept);
    assert_problem(&rig.server.get(&format!("/sse/a?token={one}")), 401, "revoked");
}
