//! Paths of the systems that ringcast stands in for, and of channel lists too long for a query.

use serde_json::json;

use crate::rig::{Rig, SOON, TOKEN, assert_problem, data_of, next};
use crate::support::http;
use crate::support::sse::Stream;
use crate::support::token::token;

const SECRET: &str = "a-secret-of-more-than-thirty-two-bytes-for-tests";

fn strict() -> Rig {
    Rig::start_with(&[("JWT_SECRET", SECRET), ("SSE_HEARTBEAT_INTERVAL", "400")])
}

fn post(rig: &Rig, path: &str, headers: &[(&str, &str)], body: &str) -> http::Response {
    http::request(rig.address(), "POST", path, headers, body.as_bytes()).expect("an answer")
}

fn publish(rig: &Rig, path: &str, body: &str) -> u16 {
    let bearer = format!("Bearer {TOKEN}");
    post(rig, path, &[("Authorization", &bearer)], body).status
}

#[test]
fn s010_s013_s018_s179_old_paths_give_the_own_stream() {
    let rig = strict();
    let own = token(SECRET, &["--sub", "u1", "--tenant", "t1"]);
    let paths = ["/api/v1/notificacao/sse", "/notifications/stream", "/api/sse"];
    for path in paths {
        assert_problem(&rig.server.get(path), 401, "token");
        let mut stream = rig.open(&format!("{path}?token={own}"));
        for (target, data) in [("user:u1", "a"), ("user:u2", "b"), ("tenant:t1", "c")] {
            assert_eq!(publish(&rig, &format!("/publish/{target}"), data), 200);
        }
        assert_eq!(data_of(&mut stream, 2), ["a", "c"], "{path}");
    }
    // The first takes channels besides, the others do not.
    for (path, also) in [(paths[0], true), (paths[1], false)] {
        let mut stream = rig.open(&format!("{path}?channel=news&token={own}"));
        assert_eq!(publish(&rig, "/publish/news", "n"), 200);
        assert_eq!(publish(&rig, "/publish/user:u1", "own"), 200);
        assert_eq!(next(&mut stream).data, if also { "n" } else { "own" }, "{path}");
    }
    // A cookie is as good.
    let cookie = format!("access_token={own}");
    rig.open_with("/api/sse", &[("Cookie", &cookie)]);
    assert_eq!(post(&rig, "/api/sse", &[], "").status, 405);
}

#[test]
fn s047_s048_old_paths_have_their_own_heartbeats() {
    let rig = strict();
    let own = token(SECRET, &["--sub", "u1"]);
    let mut data = rig.open(&format!("/notifications/stream?token={own}"));
    let beat: serde_json::Value = serde_json::from_str(&next(&mut data).data).expect("JSON");
    assert_eq!(beat["type"], "heartbeat");
    assert!(beat["timestamp"].as_str().expect("a time").ends_with('Z'), "{beat}");
    let request = format!("GET /api/sse?token={own} HTTP/1.1\r\nHost: x\r\n\r\n");
    let text = rig.raw(request.as_bytes(), std::time::Duration::from_millis(1_200));
    assert!(text.contains("\n:heartbeat\n\n"), "{text:?}");
}

#[test]
fn s015_s016_rounds_are_channels_of_type_id_and_version() {
    let mut rig = strict();
    let own = token(SECRET, &["--sub", "u1"]);
    for data in ["1", "2", "3", "4"] {
        rig.publish("ROULETTE:123", data);
    }
    let path = "/stream/rounds/ROULETTE/123/v2/live";
    assert_problem(&rig.server.get(path), 401, "token");
    let mut stream = rig.open(&format!("{path}?k=3&token={own}"));
    assert_eq!(data_of(&mut stream, 3), ["2", "3", "4"]);
    rig.publish("ROULETTE:123:v1", "other version");
    rig.publish("ROULETTE:123:v2", "this version");
    assert_eq!(next(&mut stream).data, "this version");
    for bad in ["/stream/rounds/*/123/v2/live", "/stream/rounds/a/b/c/dead"] {
        assert_eq!(rig.server.get(&format!("{bad}?token={own}")).status, 404, "{bad}");
    }
}

#[test]
fn s016_rounds_need_a_token_even_where_nothing_else_does() {
    let rig = Rig::start();
    assert_problem(&rig.server.get("/stream/rounds/ROULETTE/1/v1/live"), 401, "token");
}

#[test]
fn s011_s012_s014_s017_s119_old_pages() {
    let rig = strict();
    let own = token(SECRET, &["--sub", "u1"]);
    let admin = token(SECRET, &["--sub", "root", "--admin"]);
    let status = |path: &str, token: &str| {
        let bearer = format!("Bearer {token}");
        let headers: &[(&str, &str)] =
            if token.is_empty() { &[] } else { &[("Authorization", &bearer)] };
        http::request(rig.address(), "GET", path, headers, b"").expect("an answer").status
    };
    let stats = "/api/v1/notificacao/sse/stats";
    assert_eq!([status(stats, ""), status(stats, "bad"), status(stats, &own)], [401, 401, 200]);
    let stats = "/notifications/sse/stats";
    assert_eq!([status(stats, ""), status(stats, &own), status(stats, &admin)], [401, 403, 200]);
    let good =
        [("/notifications/health/sse", "healthy"), ("/stream/status", "ok"), ("/health/sse", "ok")];
    for (path, status) in good {
        assert_eq!(rig.server.get(path).json()["status"], status, "{path}");
    }
}

#[test]
fn s176_s177_old_ways_to_publish() {
    let rig = strict();
    let own = token(SECRET, &["--sub", "u1", "--tenant", "t1"]);
    let mut stream = rig.open(&format!("/sse/G:7,G:7:v2?token={own}"));
    for (path, data) in [
        ("/publish/user/u1", "user"),
        ("/publish/tenant/t1", "tenant"),
        ("/publish/resource/G/7", "resource"),
        ("/publish/resource/G/7/v2", "version"),
    ] {
        assert_eq!(post(&rig, path, &[], data).status, 401, "{path}");
        assert_eq!(publish(&rig, path, data), 200, "{path}");
        assert_eq!(next(&mut stream).data, data);
    }
}

#[test]
fn aliases_are_rows_of_the_configuration() {
    let text = "[aliases.'/live/{room}']\nchannels = ['room.{room}']\n\
                [aliases.'/api/sse']\nenabled = false\n";
    let mut rig = Rig::start_file(text, &[]);
    let mut stream = rig.open("/live/7");
    rig.publish("room.7", "here");
    assert_eq!(next(&mut stream).data, "here");
    assert_eq!(rig.server.get("/api/sse").status, 404);
    assert_eq!(rig.server.get("/live/7/8").status, 404);
}

#[test]
fn a_long_list_of_channels_comes_as_json() {
    let mut rig = Rig::start_with(&[("RINGCAST_LIMITS__CHANNELS_PER_STREAM", "100")]);
    let names: Vec<String> = (0..100).map(|n| format!("{}-{n}", "c".repeat(240))).collect();
    let body = json!({ "channels": names }).to_string();
    assert!(body.len() > 20_000, "longer than a head may be");
    let json_type = ("Content-Type", "application/json");
    let before = rig.publish(&names[99], "missed");
    rig.publish(&names[3], "also missed");
    let headers = [json_type, ("Last-Event-ID", &*before)];
    let mut stream =
        Stream::open_post(rig.address(), "/sse", &headers, body.as_bytes()).expect("an answer");
    assert_eq!(stream.status, 200);
    assert_eq!(next(&mut stream).data, "also missed");
    rig.publish(&names[99], "now");
    assert_eq!(next(&mut stream).data, "now");
    for (body, part) in [("{", "channels"), ("{\"channels\":[\"a b\"]}", "a b"), ("[]", "channels")]
    {
        assert_problem(&post(&rig, "/sse", &[json_type], body), 400, part);
    }
    assert_problem(&post(&rig, "/sse", &[("Content-Type", "text/plain")], "a"), 415, "json");
    // Just this path: everything else below is read only.
    for path in ["/sse/", "/sse/a", "/poll/a"] {
        assert_eq!(post(&rig, path, &[json_type], &body).status, 405, "{path}");
    }
    // A poll reads the list too, and the connection goes on.
    let mut client = rig.client();
    let body = json!({ "channels": [names[99]] }).to_string();
    for _ in 0..2 {
        let answer = client.request("POST", "/sse?poll=1&last=1", &[json_type], body.as_bytes());
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["events"][0]["data"], "now");
    }
}

#[test]
fn a_signature_grants_a_channel_without_a_token() {
    let mut rig = strict();
    let mint = |args: &[&str]| {
        let folder = crate::support::server::new_folder();
        let output = crate::support::server::command(&folder, &[("JWT_SECRET", SECRET)])
            .arg("token")
            .args(args)
            .output()
            .expect("the binary runs");
        let _ = std::fs::remove_dir_all(&folder);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    };
    let all = mint(&["--grant", "orders.*", "--ttl", "1h"]);
    let mut stream = rig.open(&format!("/sse/orders.7,orders.8?{all}"));
    rig.publish("orders.8", "mine");
    assert_eq!(next(&mut stream).data, "mine");
    let signature = all.split_once("&s=").expect("a signature").1;
    for refused in [
        format!("/sse/orders.7?s={signature}"),
        format!("/sse/orders.7?grant=*&s={signature}"),
        format!("/sse/orders.7?grant=orders.*&s={signature}x"),
        format!("/sse/orders.7,orders.8?s={signature}"),
    ] {
        assert_problem(&rig.server.get(&refused), 401, "");
    }
    // It opens what it names and nothing else.
    assert_problem(&rig.server.get(&format!("/sse/other?{all}")), 401, "token");
    assert_problem(&rig.server.get(&format!("/sse/orders.7,other?{all}")), 401, "token");
    // A channel's own needs no `grant`; the stream ends with it.
    let short = mint(&["--grant", "user:5", "--ttl", "2s"]);
    let signature = short.split_once("&s=").expect("a signature").1;
    let mut stream = rig.open(&format!("/sse/user:5?s={signature}"));
    rig.publish("user:5", "five");
    assert_eq!(next(&mut stream).data, "five");
    let bye = next(&mut stream);
    assert_eq!(bye.event, "sse.bye");
    assert!(bye.data.contains("expired"), "{}", bye.data);
    assert!(stream.ends_within(SOON));
}

#[test]
fn s102_s178_a_switched_off_service_refuses_for_good() {
    let mut rig = Rig::start();
    let mut stream = rig.open("/sse/a");
    let act = |what: &str| {
        let path = format!("/admin/{what}");
        http::request(rig.server.admin, "POST", &path, &[], b"").expect("an answer")
    };
    assert_eq!(rig.server.get_admin("/admin/disable").status, 405);
    let foreign = [("Origin", "https://evil.example")];
    let forged = http::request(rig.server.admin, "POST", "/admin/disable", &foreign, b"");
    assert_eq!(forged.expect("an answer").status, 403);
    assert_eq!(act("disable").json(), json!({"disabled": true}));
    let bye = next(&mut stream);
    assert_eq!(bye.event, "sse.bye");
    assert!(bye.data.contains("\"disabled\"") && bye.data.contains("false"), "{}", bye.data);
    assert!(stream.ends_within(SOON));
    // The standard's own way to stop: its last id is answered with 204.
    assert!(bye.id.ends_with(".end"), "{}", bye.id);
    let browser = [("Accept", "text/event-stream"), ("Sec-Fetch-Mode", "cors")];
    for path in ["/sse/a", "/poll/a"] {
        let answer = http::request(rig.address(), "GET", path, &browser, b"").expect("an answer");
        assert_problem(&answer, 503, "switched");
        assert!(answer.json()["type"].as_str().expect("a type").ends_with("/disabled"));
        assert_eq!(answer.header("retry-after"), None);
    }
    assert_eq!(rig.server.get("/health").status, 200);
    // Publishers go on, and nothing of it is lost.
    rig.publish("a", "meanwhile");
    let act = |what: &str| {
        let path = format!("/admin/{what}");
        http::request(rig.server.admin, "POST", &path, &[], b"").expect("an answer")
    };
    assert_eq!(act("enable").json(), json!({"disabled": false}));
    assert_eq!(next(&mut rig.open("/sse/a?last=1")).data, "meanwhile");
}
