use serde_json::json;

use super::*;
use crate::auth::claims::{ClaimPath, ClaimTest};
use crate::proto::channel::Selector;

fn callback(rules: &Rules) -> Callback {
    let bounds = Bounds { timeout_ms: 1_000, cache_ms: 1_000, cache_entries: 10, in_flight_max: 1 };
    Callback::new("http://localhost/".to_owned(), bounds, rules).unwrap()
}

fn judge(body: &serde_json::Value) -> Result<Verdict, Unusable> {
    callback(&Rules::default()).judge(200, body.to_string().as_bytes(), 1_000)
}

fn accepted(verdict: Result<Verdict, Unusable>) -> Arc<Identity> {
    match verdict {
        Ok(Verdict::Accepted(identity)) => identity,
        other => panic!("{other:?}"),
    }
}

#[test]
fn claims_are_read_as_those_of_a_token_but_never_publish() {
    let claims = json!({"sub": 42, "tenant": "t", "admin": true, "channels": ["news"],
                        "publish": ["**"], "exp": 2_000});
    let who = accepted(judge(&claims));
    assert_eq!((who.subject.as_deref(), who.tenant.as_deref()), (Some("42"), Some("t")));
    assert!(who.admin && !who.is_anonymous());
    assert_eq!(who.expires_unix_s, Some(2_000));
    let news = Selector::parse("news").unwrap();
    assert!(who.may_subscribe(&news, false).is_ok() && who.may_publish(&news).is_err());
}

#[test]
fn the_session_of_auth_js_by_its_paths() {
    let rules = Rules {
        subject: vec![ClaimPath::parse("user.id").unwrap()],
        admin: ClaimTest::parse("user.role=admin").unwrap(),
        // An answer to this server needs not name it.
        audience: vec!["ringcast".to_owned()],
        issuer: vec!["us".to_owned()],
        ..Rules::default()
    };
    let body = br#"{"user":{"id":"u1","role":"admin"},"expires":"2099-01-01T00:00:00.000Z"}"#;
    let who = accepted(callback(&rules).judge(200, body, 1_000));
    assert!(who.subject.as_deref() == Some("u1") && who.admin);
    for none in ["null", " null\n", "{}", r#"{"expires":"x"}"#] {
        let verdict = callback(&rules).judge(200, none.as_bytes(), 1_000);
        assert_eq!(verdict, Ok(Verdict::Refused(Refusal::Nobody)), "{none}");
    }
}

#[test]
fn refusals_have_their_status() {
    let of = |status| callback(&Rules::default()).judge(status, b"{\"sub\":\"u\"}", 1_000);
    assert_eq!(of(401), Ok(Verdict::Refused(Refusal::Unauthorized)));
    assert_eq!(of(403), Ok(Verdict::Refused(Refusal::Forbidden)));
    for (claims, status) in [
        (json!({"sub": "u", "subscription_active": false}), 403),
        (json!({"sub": "u", "exp": 1_000}), 401),
        (json!({"sub": "a b"}), 401),
        (json!({}), 401),
    ] {
        match judge(&claims) {
            Ok(Verdict::Refused(why)) => assert_eq!(why.status(), status, "{claims}"),
            other => panic!("{claims}: {other:?}"),
        }
    }
    assert_eq!((Refusal::Unauthorized.status(), Refusal::Forbidden.status()), (401, 403));
}

#[test]
fn any_other_answer_lets_nobody_in() {
    let of = |status, body: &[u8]| callback(&Rules::default()).judge(status, body, 1_000);
    for status in [100, 204 + 100, 302, 400, 404, 429, 500, 503] {
        assert_eq!(of(status, b"{\"sub\":\"u\"}"), Err(Unusable::Status(status)));
    }
    for body in [&b""[..], b"[]", b"\"u\"", b"{\"sub\":\"u\"", b"<html>", b"{\"a\":1,\"a\":2}"] {
        assert_eq!(of(200, body), Err(Unusable::Body));
    }
}

#[test]
fn fingerprints_part_all_credentials_and_all_settings() {
    let (one, two) = (callback(&Rules::default()), callback(&Rules::default()));
    let new = |authorization: Option<&str>, cookie: Option<&str>| {
        Credentials::new(authorization.map(Into::into), cookie.map(Into::into)).unwrap()
    };
    let all = [
        one.fingerprint(&new(Some("ab"), None), 0),
        one.fingerprint(&new(None, Some("ab")), 0),
        one.fingerprint(&new(Some("a"), Some("b")), 0),
        one.fingerprint(&new(Some("ab"), None), 1),
        two.fingerprint(&new(Some("ab"), None), 0),
    ];
    let unique: std::collections::HashSet<_> = all.iter().collect();
    assert_eq!(unique.len(), all.len());
    assert_eq!(all[0], one.fingerprint(&new(Some("ab"), Some("")), 0), "an empty one is absent");
    assert!(Credentials::new(Some(String::new()), None).is_none());
}

#[test]
fn debug_hides_credentials() {
    let question = Question {
        callback: Arc::new(callback(&Rules::default())),
        credentials: Credentials::new(Some("s3cret".into()), Some("s3cret".into())).unwrap(),
        client: [127, 0, 0, 1].into(),
        path: "/sse".into(),
    };
    let shown = format!("{question:?}");
    assert!(!shown.contains("s3cret") && shown.contains("***"), "{shown}");
}
