//! Pages of other origins.

use crate::rig::{Rig, TOKEN, assert_problem};
use crate::support::http::{self, Response};
use crate::support::token::token;

const SECRET: &str = "a-secret-of-more-than-thirty-two-bytes-for-tests";
const GOOD: &str = "https://app.example";
const BAD: &str = "https://evil.example";
/// What pages may send.
const FIELDS: [&str; 8] = [
    "Origin",
    "X-Requested-With",
    "Content-Type",
    "Accept",
    "Authorization",
    "Cache-Control",
    "Last-Event-ID",
    "Idempotency-Key",
];

fn ask(rig: &Rig, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
    http::request(rig.address(), method, path, headers, b"").expect("an answer")
}

fn allowed(answer: &Response) -> Option<&str> {
    answer.header("access-control-allow-origin")
}

#[test]
fn s087_named_origins_read_with_credentials_and_others_do_not() {
    let rig = Rig::start_with(&[
        ("SSE_CORS_ORIGINS", "https://a.example,https://app.example"),
        ("FRONTEND_URL", "https://front.example"),
    ]);
    for path in ["/sse/a", "/health", "/nowhere", "/sse/a%00"] {
        for origin in [GOOD, "https://front.example"] {
            let answer = ask(&rig, "HEAD", path, &[("Origin", origin)]);
            assert_eq!(allowed(&answer), Some(origin), "{path}");
            assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
            assert_eq!(answer.header("vary"), Some("Origin"));
            assert_eq!(answer.header("access-control-expose-headers"), Some("Retry-After"));
        }
        for origin in [BAD, "null", "https://app.example.evil.example", "http://app.example"] {
            let answer = ask(&rig, "HEAD", path, &[("Origin", origin)]);
            assert_eq!(allowed(&answer), None, "{path} {origin}");
            assert_eq!(answer.header("vary"), Some("Origin"));
        }
    }
}

#[test]
fn s052_s088_s089_s175_a_preflight_needs_no_token_and_says_what_may_be_sent() {
    let rig = Rig::start_with(&[("JWT_SECRET", SECRET), ("SSE_CORS_ORIGINS", GOOD)]);
    let wanted = [
        ("Origin", GOOD),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "authorization"),
    ];
    for path in ["/sse/a", "/publish/a", "/connections/x/channels"] {
        let answer = ask(&rig, "OPTIONS", path, &wanted);
        assert_eq!((answer.status, allowed(&answer)), (204, Some(GOOD)), "{path}");
        let methods = answer.header("access-control-allow-methods").expect("methods");
        assert_eq!(methods, "GET, POST, PUT, DELETE, OPTIONS");
        let fields = answer.header("access-control-allow-headers").expect("fields");
        for field in FIELDS {
            assert!(fields.split(", ").any(|known| known == field), "{field} in {fields}");
        }
    }
    let answer = ask(&rig, "OPTIONS", "/sse/a", &[("Origin", BAD)]);
    assert_eq!((answer.status, allowed(&answer)), (204, None));
    assert_eq!(answer.header("access-control-allow-methods"), None);
}

#[test]
fn s091_any_origin_reads_without_credentials_and_its_cookies_do_not_count() {
    let rig = Rig::start_with(&[("JWT_SECRET", SECRET), ("SSE_CORS_ORIGINS", "*")]);
    let token = token(SECRET, &["--sub", "u"]);
    let bearer = format!("Bearer {token}");
    let answer = ask(&rig, "HEAD", "/sse/a", &[("Origin", BAD), ("Authorization", &bearer)]);
    assert_eq!((answer.status, allowed(&answer)), (200, Some("*")));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    let cookie = format!("access_token={token}");
    let answer = ask(&rig, "HEAD", "/sse/a", &[("Origin", BAD), ("Cookie", &cookie)]);
    assert_eq!((answer.status, allowed(&answer)), (401, Some("*")), "the cookie is left aside");
}

#[test]
fn s080_a_cookie_of_a_foreign_page_is_403_and_one_of_our_own_pages_counts() {
    let rig = Rig::start_with(&[("JWT_SECRET", SECRET), ("SSE_CORS_ORIGINS", GOOD)]);
    let cookie = format!("access_token={}", token(SECRET, &["--sub", "u"]));
    let status = |origin: Option<&str>| {
        let mut headers = vec![("Cookie", &*cookie)];
        headers.extend(origin.map(|origin| ("Origin", origin)));
        ask(&rig, "HEAD", "/sse/a", &headers).status
    };
    let own = format!("http://{}", rig.address());
    assert_eq!(status(None), 200);
    assert_eq!(status(Some(GOOD)), 200);
    assert_eq!(status(Some(&own)), 200);
    assert_eq!(status(Some(BAD)), 403);
    assert_eq!(status(Some("null")), 403);
    let answer = ask(&rig, "GET", "/sse/a", &[("Cookie", &cookie), ("Origin", BAD)]);
    assert_problem(&answer, 403, "origin");
}

#[test]
fn s080_a_foreign_page_does_not_publish() {
    let rig = Rig::start_with(&[("SSE_CORS_ORIGINS", GOOD)]);
    let bearer = format!("Bearer {TOKEN}");
    let publish = |origin: &str| {
        let headers = [("Authorization", &*bearer), ("Origin", origin)];
        http::request(rig.address(), "POST", "/publish/a", &headers, b"x").expect("an answer")
    };
    assert_problem(&publish(BAD), 403, "origin");
    let answer = publish(GOOD);
    assert_eq!((answer.status, allowed(&answer)), (200, Some(GOOD)));
}

#[test]
fn s090_the_one_origin_of_the_front_end_stands_in_place_of_the_default() {
    let rig = Rig::start_with(&[("FRONTEND_URL", GOOD)]);
    let preflight = |origin: &str, method: &str| {
        let wanted = [
            ("Origin", origin),
            ("Access-Control-Request-Method", method),
            ("Access-Control-Request-Headers", "content-type, authorization, cache-control"),
        ];
        ask(&rig, "OPTIONS", "/sse/a", &wanted)
    };
    for method in ["GET", "POST", "PUT", "DELETE"] {
        let answer = preflight(GOOD, method);
        assert_eq!((answer.status, allowed(&answer)), (204, Some(GOOD)));
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
        let lists = |name: &str, wanted: &str| {
            let value = answer.header(name).expect("a list");
            assert!(value.split(", ").any(|known| known == wanted), "{wanted} in {value}");
        };
        lists("access-control-allow-methods", method);
        for field in ["Content-Type", "Authorization", "Cache-Control"] {
            lists("access-control-allow-headers", field);
        }
    }
    for other in [BAD, "http://localhost:3000"] {
        assert_eq!(allowed(&preflight(other, "GET")), None, "{other}");
    }
}
