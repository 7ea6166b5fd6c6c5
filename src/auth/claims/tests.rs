use serde_json::json;

use super::*;

const NOW: u64 = 1_800_000_000;

fn read_with(claims: Value, rules: &Rules) -> Result<Claims, TokenError> {
    read(claims.as_object().unwrap(), rules, NOW)
}

fn take(claims: Value) -> Result<Claims, TokenError> {
    read_with(claims, &Rules::default())
}

fn path(text: &str) -> ClaimPath {
    ClaimPath::parse(text).unwrap()
}

#[test]
fn absent_claims_have_their_defaults() {
    let claims = take(json!({})).unwrap();
    assert_eq!((claims.subject, claims.tenant, claims.jti), (None, None, None));
    assert_eq!((claims.expires_unix_s, claims.iat_unix_s), (None, None));
    assert!(!claims.admin);
    assert_eq!(claims.channels, Grants::everything_unreserved());
    assert_eq!(claims.publish, Grants::none());
}

#[test]
fn ids_are_texts_or_whole_numbers() {
    for (value, id) in [
        (json!("42"), "42"),
        (json!(42), "42"),
        (json!(-7), "-7"),
        (json!(u64::MAX), "18446744073709551615"),
        (json!("ana@example.com"), "ana@example.com"),
        (json!("auth0|5f7c8ec7c33c6c004bbafe82"), "auth0|5f7c8ec7c33c6c004bbafe82"),
        (json!("José"), "José"),
        (json!("x".repeat(248)), &*"x".repeat(248)),
    ] {
        let claims = take(json!({"sub": value, "tenant": value})).unwrap();
        assert_eq!((claims.subject.as_deref(), claims.tenant.as_deref()), (Some(id), Some(id)));
    }
}

#[test]
fn the_first_spelling_counts_and_null_is_absent() {
    let claims = take(json!({"id": 1, "sub": "2", "tenantId": "b", "tenant": "a"})).unwrap();
    assert_eq!((claims.subject.as_deref(), claims.tenant.as_deref()), (Some("2"), Some("a")));
    let claims = take(json!({"id": 1, "sub": null, "tenantId": null, "publish": null})).unwrap();
    assert_eq!((claims.subject.as_deref(), claims.tenant), (Some("1"), None));
}

#[test]
fn an_empty_list_grants_nothing() {
    let claims = take(json!({"channels": [], "publish": []})).unwrap();
    assert_eq!((claims.channels, claims.publish), (Grants::none(), Grants::none()));
}

#[test]
fn one_text_is_one_grant() {
    let claims = take(json!({"channels": "a.*", "publish": "user:*"})).unwrap();
    assert!(claims.channels.covers_name("a.b") && !claims.channels.covers_name("a"));
    assert!(claims.publish.covers_name("user:1") && !claims.publish.covers_name("a.b"));
}

#[test]
fn admin_is_boolean_true_only() {
    for value in [json!("true"), json!(1), json!("admin"), json!(["admin"]), json!(null)] {
        assert!(!take(json!({"admin": value})).unwrap().admin);
    }
    assert!(take(json!({"admin": true})).unwrap().admin);
}

#[test]
fn admin_by_role() {
    let rules = Rules { admin: ClaimTest::parse("realm.roles=admin").unwrap(), ..Rules::default() };
    let admin = |claims| read_with(claims, &rules).unwrap().admin;
    assert!(admin(json!({"realm": {"roles": "admin"}})));
    assert!(admin(json!({"realm": {"roles": ["user", "admin"]}})));
    assert!(admin(json!({"realm.roles": "admin"})));
    for claims in [
        json!({"admin": true}),
        json!({"realm": {"roles": true}}),
        json!({"realm": {"roles": "administrator"}}),
        json!({"realm": {"roles": ["user", "Admin"]}}),
        json!({"realm": {"roles": [["admin"]]}}),
        json!({"roles": "admin"}),
    ] {
        assert!(!admin(claims.clone()), "{claims}");
    }
    for text in ["", "=admin", "role="] {
        assert_eq!(ClaimTest::parse(text), None, "{text}");
    }
}

#[test]
fn paths_reach_into_objects() {
    let rules = Rules {
        subject: vec![path("user.id")],
        tenant: vec![path("https://example.com/tenant"), path("lastActiveTenantId")],
        channels: path("acl.channels"),
        subscription_active: path("user.plan.active"),
        ..Rules::default()
    };
    let claims = json!({
        "sub": "not this", "user": {"id": 9, "plan": {"active": true}},
        "https://example.com/tenant": "t", "acl": {"channels": ["a"]}, "channels": ["b"],
    });
    let read = read_with(claims, &rules).unwrap();
    assert_eq!((read.subject.as_deref(), read.tenant.as_deref()), (Some("9"), Some("t")));
    assert!(read.channels.covers_name("a") && !read.channels.covers_name("b"));
    let read = read_with(json!({"user": "9", "lastActiveTenantId": "x"}), &rules).unwrap();
    assert_eq!((read.subject, read.tenant.as_deref()), (None, Some("x")));
    let inactive = read_with(json!({"user": {"plan": {"active": false}}}), &rules).unwrap_err();
    assert_eq!((inactive, inactive.status()), (TokenError::SubscriptionInactive, 403));
    assert_eq!(ClaimPath::parse(""), None);
}

#[test]
fn audience_and_issuer_count_where_set() {
    assert!(take(json!({"aud": "other", "iss": 5})).is_ok());
    let rules = Rules {
        audience: vec!["a".into(), "b".into()],
        issuer: vec!["me".into(), "us".into()],
        ..Rules::default()
    };
    let answer = |aud: Value, iss: Value| read_with(json!({"aud": aud, "iss": iss}), &rules).err();
    assert_eq!(answer(json!("b"), json!("us")), None);
    assert_eq!(answer(json!(["x", "a"]), json!("me")), None);
    for aud in [json!(null), json!("x"), json!(["x"]), json!([]), json!({"a": 1}), json!("a,b")] {
        assert_eq!(answer(aud, json!("me")), Some(TokenError::Audience));
    }
    for iss in [json!(null), json!("Me"), json!(["me"]), json!("")] {
        assert_eq!(answer(json!("a"), iss), Some(TokenError::Issuer));
    }
    assert_eq!(read_with(json!({"iss": "me"}), &rules).err(), Some(TokenError::Audience));
}

#[test]
fn leeway_widens_both_ends() {
    let rules = Rules { leeway_s: 30, ..Rules::default() };
    let claims = read_with(json!({"exp": NOW - 29, "nbf": NOW + 30}), &rules).unwrap();
    assert_eq!(claims.expires_unix_s, Some(NOW + 1));
    let late = read_with(json!({"exp": NOW - 30}), &rules);
    assert_eq!(late.err(), Some(TokenError::Expired { ago_s: 30 }));
    let early = read_with(json!({"nbf": NOW + 31}), &rules);
    assert_eq!(early.err(), Some(TokenError::NotYet { in_s: 31 }));
}

#[test]
fn far_times_saturate() {
    let rules = Rules { leeway_s: u64::MAX, ..Rules::default() };
    for far in [json!(u64::MAX), json!(1e300), json!(1e19)] {
        for rules in [&rules, &Rules::default()] {
            assert!(read_with(json!({"exp": far, "iat": far}), rules).is_ok());
        }
    }
    let claims = take(json!({"exp": 1e300, "nbf": -1e300, "iat": -5})).unwrap();
    assert_eq!((claims.expires_unix_s, claims.iat_unix_s), (Some(u64::MAX), Some(0)));
    assert!(read_with(json!({"exp": -5, "nbf": 1e300}), &rules).is_ok());
}
