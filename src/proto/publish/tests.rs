//! Commands read and refused.

use super::*;

fn json(text: &str) -> Result<Command, PublishError> {
    Command::new().json(text.as_bytes())?.check()
}

#[test]
fn data_is_verbatim_or_compact() {
    let data = |text: &str| json(&format!("{{\"channel\":\"a\",\"data\":{text}}}")).unwrap().data;
    assert_eq!(data(r#""plain \n text""#), "plain \n text");
    assert_eq!(
        data(r#"{ "a" : 1.0, "b c" : [ 12345678901234567890123, "x \" y" ] }"#),
        r#"{"a":1.0,"b c":[12345678901234567890123,"x \" y"]}"#
    );
    assert_eq!(data("null"), "null");
}

#[test]
fn targets_of_all_kinds_each_once() {
    let command = json(
        r#"{"channels":["a","b","a"],"user":42,"users":["x","42"],"tenant":"t","broadcast":true}"#,
    );
    assert_eq!(command.unwrap().channels, ["a", "b", "user:42", "user:x", "tenant:t", "broadcast"]);
}

#[test]
fn of_two_members_with_one_name_the_later_counts() {
    let command = json(r#"{"channel":"a","data":"x","channel":"b","data":"y"}"#).unwrap();
    assert_eq!((command.channels, command.data), (vec!["b".to_owned()], "y".to_owned()));
    let escaped = json(r#"{"ch\u0061nnel":"\u00e9"}"#).unwrap();
    assert_eq!(escaped.channels, ["é"]);
    let many: String = (0..100_000).map(|n| format!("\"k{n}\":0,")).collect();
    let refused = json(&format!("{{\"channel\":\"a\",{many}\"z\":1}}")).unwrap_err();
    assert!(matches!(refused, PublishError::UnknownKey { .. }), "{refused}");
}

#[test]
fn wrong_commands_name_what_is_wrong() {
    let unknown = json(r#"{"chanel":"a"}"#).unwrap_err();
    assert!(unknown.to_string().contains("\"channel\""), "{unknown}");
    assert_eq!(json(r#"{"channel":"a","id":"1"}"#), Err(PublishError::OwnId));
    assert_eq!(json(r#"{"data":"x"}"#), Err(PublishError::NoTarget));
    assert_eq!(json(r#"{"channel":"a","event":""}"#), Err(PublishError::EventName));
    assert_eq!(json(r#"{"channel":"a","event":"a\nb"}"#), Err(PublishError::EventName));
    assert_eq!(json(r#"{"channel":"a","event":"sse.bye"}"#), Err(PublishError::EventReserved));
    assert!(matches!(json(r#"{"channel":"a b"}"#), Err(PublishError::Channel(..))));
    assert!(matches!(json("[1]"), Err(PublishError::Json(_))));
    assert!(matches!(json(r#"{"channel":"a","ttl_ms":-1}"#), Err(PublishError::Value(_))));
    assert_eq!(
        json(r#"{"channels":["a","b"],"expected_id":"abcdefgh-1"}"#),
        Err(PublishError::ExpectedTargets)
    );
}

#[test]
fn patterns_are_of_channels_only() {
    let command = json(r#"{"pattern":"orders.*"}"#).unwrap();
    assert_eq!(command.pattern.map(|p| p.as_str().to_owned()), Some("orders.*".to_owned()));
    assert_eq!(json(r#"{"pattern":"orders"}"#).unwrap().channels, ["orders"]);
    for bad in ["user:*", "tenant:**", "a*", "a b.*", "**.a"] {
        let refused = json(&format!("{{\"pattern\":\"{bad}\"}}")).unwrap_err();
        assert!(refused.to_string().contains("\"pattern\""), "{refused}");
    }
    assert!(matches!(json(r#"{"pattern":7}"#), Err(PublishError::Value(_))));
    assert_eq!(
        json(r#"{"pattern":"a.*","expected_id":"abcdefgh-1"}"#),
        Err(PublishError::ExpectedTargets)
    );
}

#[test]
fn channels_and_exclusions_are_counted() {
    let names = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
    let users = |count| serde_json::json!({ "users": names(count) }).to_string();
    assert_eq!(json(&users(TARGETS_MAX)).unwrap().channels.len(), TARGETS_MAX);
    assert_eq!(json(&users(TARGETS_MAX + 1)), Err(PublishError::TooManyTargets));
    let exclude = |count| {
        let all: Vec<String> = names(count).iter().map(|name| format!("user:{name}")).collect();
        serde_json::json!({ "channel": "a", "exclude": all }).to_string()
    };
    assert_eq!(json(&exclude(EXCLUDED_MAX)).unwrap().exclude.len(), EXCLUDED_MAX);
    assert_eq!(json(&exclude(EXCLUDED_MAX + 1)), Err(PublishError::TooManyExcluded));
    for bad in ["", "x", "user:", "conn:", "tenant:a", "user:a b"] {
        let text = serde_json::json!({ "channel": "a", "exclude": [bad] }).to_string();
        assert_eq!(json(&text), Err(PublishError::Excluded(bad.to_owned())));
    }
    let command = json(r#"{"channel":"a","exclude":["conn:0-1-2","user:a:b"]}"#).unwrap();
    let expected = [Excluded::Connection("0-1-2".to_owned()), Excluded::User("a:b".to_owned())];
    assert_eq!(command.exclude, expected);
}

#[test]
fn waits_and_spreads_have_bounds() {
    assert!(json(r#"{"channel":"a","wait":"written"}"#).unwrap().wait_written);
    assert_eq!(json(r#"{"channel":"a","spread_ms":60000}"#).unwrap().spread_ms, 60_000);
    for (text, key) in [
        (r#"{"channel":"a","wait":"read"}"#, "wait"),
        (r#"{"channel":"a","wait":true}"#, "wait"),
        (r#"{"channel":"a","spread_ms":60001}"#, "spread_ms"),
        (r#"{"channel":"a","spread_ms":-1}"#, "spread_ms"),
        (r#"{"channel":"a","exclude":"conn:1"}"#, "exclude"),
    ] {
        assert_eq!(json(text), Err(PublishError::Value(key.to_owned())), "{text}");
    }
    for late in ["delay_ms", "spread_ms"] {
        let text = format!("{{\"channel\":\"a\",\"wait\":\"written\",\"{late}\":5}}");
        assert_eq!(json(&text), Err(PublishError::WaitLate(late)));
    }
}
