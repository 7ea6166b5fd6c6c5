use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

const NOW: u64 = 951_782_400_000;
const NOW_ISO: &str = "2000-02-29T00:00:00.000Z";

fn facts(channel: &str) -> Facts<'_> {
    Facts { channel, event: Some("order"), id: "n-1", now_unix_ms: NOW }
}

fn typed(data: &str, channel: &str) -> Result<String, EnvelopeError> {
    Envelope::Typed.wrap(data, &facts(channel)).map(Cow::into_owned)
}

#[test]
fn names() {
    for envelope in [Envelope::Raw, Envelope::CanalJson, Envelope::Typed] {
        assert_eq!(Envelope::parse(envelope.as_str()), Some(envelope));
    }
    assert_eq!(Envelope::parse("RAW"), None);
    assert_eq!(Envelope::default(), Envelope::Raw);
}

#[test]
fn raw_is_the_text() {
    let data = "any\n\"text\"";
    assert!(
        matches!(Envelope::Raw.wrap(data, &facts("a")), Ok(Cow::Borrowed(same)) if same == data)
    );
}

#[test]
fn canal_json() {
    for (data, expected) in [
        ("Olá", r#"{"canal":"news","mensagem":"Olá","timestamp":"2000-02-29T00:00:00.000Z"}"#),
        ("", r#"{"canal":"news","mensagem":"","timestamp":"2000-02-29T00:00:00.000Z"}"#),
        (
            "{\"a\":\n1}",
            r#"{"canal":"news","mensagem":"{\"a\":\n1}","timestamp":"2000-02-29T00:00:00.000Z"}"#,
        ),
    ] {
        assert_eq!(Envelope::CanalJson.wrap(data, &facts("news")).unwrap(), expected);
    }
}

#[test]
fn a_notification_is_completed() {
    assert_eq!(
        typed(r#"{"title":"T","message":"M"}"#, "user:42").unwrap(),
        r#"{"id":"n-1","userId":"42","type":"order","title":"T","message":"M","timestamp":"2000-02-29T00:00:00.000Z"}"#
    );
    // All given: only the order changes, and whose it is.
    assert_eq!(
        typed(
            r#" {"x": [1, 2],"priority":"high","timestamp":"then","data":{ "k":1.0 },"message":"M\u00e1",
                "title":"T","type":"t","userId":7,"id":9} "#,
            "user:42"
        )
        .unwrap(),
        r#"{"id":9,"userId":"42","type":"t","title":"T","message":"M\u00e1","data":{ "k":1.0 },"timestamp":"then","priority":"high","x":[1, 2]}"#
    );
    let read: Value = serde_json::from_str(&typed(r#"{"message":"M"}"#, "news").unwrap()).unwrap();
    assert_eq!((&read["userId"], &read["title"]), (&Value::Null, &json!("")));
    let no_event = Facts { event: None, ..facts("news") };
    let text = Envelope::Typed.wrap("hi", &no_event).unwrap();
    assert!(text.contains(r#""type":"message""#), "{text}");
}

#[test]
fn other_data_becomes_a_part_of_one() {
    let frame = |member: &str| {
        format!(
            r#"{{"id":"n-1","userId":null,"type":"order","title":"","message":{member},"timestamp":"{NOW_ISO}"}}"#
        )
    };
    for (data, member) in [
        (r#"{"value":25}"#, r#""","data":{"value":25}"#),
        (r#"{"type":"x"}"#, r#""","data":{"type":"x"}"#),
        ("[1, 2]", r#""","data":[1, 2]"#),
        ("25", r#""25""#),
        (r#""quoted""#, r#""\"quoted\"""#),
        ("{no json", r#""{no json""#),
        ("", r#""""#),
    ] {
        assert_eq!(typed(data, "news").unwrap(), frame(member), "{data}");
    }
}

#[test]
fn times_in_milliseconds_become_iso() {
    let text = typed(r#"{"message":"M","timestamp":951782400000}"#, "news").unwrap();
    assert!(text.contains(&format!(r#""timestamp":"{NOW_ISO}""#)), "{text}");
}

#[test]
fn notifications_that_are_refused() {
    for (data, error) in [
        (r#"{"message":"M","priority":"urgent"}"#, EnvelopeError::Priority),
        (r#"{"message":"M","priority":1}"#, EnvelopeError::Priority),
        (r#"{"message":{}}"#, EnvelopeError::NoText("message")),
        (r#"{"message":"M","title":null}"#, EnvelopeError::NoText("title")),
        (r#"{"message":"M","type":1}"#, EnvelopeError::NoText("type")),
        (r#"{"message":"M","timestamp":1.5}"#, EnvelopeError::Timestamp),
        (r#"{"message":"M","timestamp":null}"#, EnvelopeError::Timestamp),
        (r#"{"message":"M","message":"N"}"#, EnvelopeError::Twice("message")),
    ] {
        assert_eq!(typed(data, "news"), Err(error), "{data}");
    }
    let text = typed(r#"{"message":"M","priority":null,"data":null}"#, "news").unwrap();
    assert!(!text.contains("priority") && !text.contains("data"), "{text}");
}

fn member() -> impl Strategy<Value = (String, Value)> {
    let known = prop::sample::select(vec!["title", "message", "type", "id", "data", "x", "a\"b"]);
    let text = ".{0,8}".prop_map(Value::from);
    let other =
        prop_oneof![text.clone(), any::<i32>().prop_map(Value::from), Just(json!({"k":[1]}))];
    (known, text, other).prop_map(|(name, text, other)| {
        let value = if ["title", "message", "type"].contains(&name) { text } else { other };
        (name.to_owned(), value)
    })
}

proptest! {
    /// Against the same rules over parsed values.
    #[test]
    fn objects_read_as_completed_ones(
        members in prop::collection::vec(member(), 0..6),
        user in prop::option::of("[a-z0-9]{1,4}"),
    ) {
        let given: Map<String, Value> = members.into_iter().collect();
        let data = Value::Object(given.clone()).to_string();
        let channel = user.as_ref().map_or("news".to_owned(), |user| format!("user:{user}"));
        let is_one = given.contains_key("title") || given.contains_key("message");
        let mut expected = if is_one { given } else { Map::from_iter([("data".to_owned(), Value::Object(given))]) };
        for (name, value) in [
            ("id", json!("n-1")), ("type", json!("order")), ("title", json!("")),
            ("message", json!("")), ("timestamp", json!(NOW_ISO)),
        ] {
            expected.entry(name).or_insert(value);
        }
        expected.insert("userId".to_owned(), json!(user));
        let read: Value = serde_json::from_str(&typed(&data, &channel).unwrap()).unwrap();
        prop_assert_eq!(read, Value::Object(expected));
    }

    #[test]
    fn any_text_gives_json_that_holds_it(data in ".*", channel in "[a-z]{1,9}") {
        let read = |envelope: Envelope| -> Value {
            serde_json::from_str(&envelope.wrap(&data, &facts(&channel)).unwrap()).unwrap()
        };
        prop_assert_eq!(&read(Envelope::CanalJson)["mensagem"], &json!(data));
        if !data.trim_start().starts_with(['{', '[']) {
            prop_assert_eq!(&read(Envelope::Typed)["message"], &json!(data));
        }
    }
}
