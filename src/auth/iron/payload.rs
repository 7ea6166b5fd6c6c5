//! What is put under the seal.

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

/// The JSON text to seal for an event's data, with the time of sealing in it: a reader can tell
/// an event that somebody recorded and plays again.
///
/// - Data that is a JSON object stays as it is written; `"timestamp"` is added as its last member
///   unless it has one of its own at the top. The reader sees its own fields, as from the packages'
///   `seal(object)`.
/// - Any other data (text, a number, an array, JSON nested more than 128 deep) becomes
///   `{"data":"...","timestamp":...}`: the text a reader of an unsealed stream would see, and a
///   place for the time.
///
/// The time is a number, milliseconds since 1970, as `Date.now()` gives it.
#[must_use]
pub fn payload(data: &str, now_unix_ms: u64) -> String {
    let Some(members) = Members::of(data) else {
        return serde_json::json!({ "data": data, "timestamp": now_unix_ms }).to_string();
    };
    let open = data.trim_end().strip_suffix('}').filter(|_| !members.has_timestamp);
    let Some(open) = open else { return data.to_owned() };
    let comma = if members.is_empty { "" } else { "," };
    format!("{open}{comma}\"timestamp\":{now_unix_ms}}}")
}

/// What of a JSON object's top level counts.
struct Members {
    is_empty: bool,
    has_timestamp: bool,
}

impl Members {
    /// `None` for anything but one JSON object.
    fn of(data: &str) -> Option<Self> {
        // Cheaper than an error, for all that is plain text.
        if !data.trim_start().starts_with('{') {
            return None;
        }
        let mut reader = serde_json::Deserializer::from_str(data);
        let members = reader.deserialize_map(TopLevel).ok()?;
        reader.end().ok().map(|()| members)
    }
}

struct TopLevel;

impl<'de> Visitor<'de> for TopLevel {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Members { is_empty: true, has_timestamp: false };
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            members.is_empty = false;
            members.has_timestamp |= name == "timestamp";
            map.next_value::<IgnoredAny>()?;
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    #[test]
    fn objects_keep_their_text_and_get_a_time() {
        for (data, expected) in [
            ("{}", r#"{"timestamp":5}"#),
            (" { } \n", r#" { "timestamp":5}"#),
            (r#"{"a":1}"#, r#"{"a":1,"timestamp":5}"#),
            (r#"{"a": {"timestamp":1} }"#, r#"{"a": {"timestamp":1} ,"timestamp":5}"#),
            (r#"{"timestamp":"own"}"#, r#"{"timestamp":"own"}"#),
            (r#"{"time\u0073tamp":1}"#, r#"{"time\u0073tamp":1}"#),
            (
                r#"{"update_type":"new_number","number":{"value":25,"color":"red"}}"#,
                r#"{"update_type":"new_number","number":{"value":25,"color":"red"},"timestamp":5}"#,
            ),
        ] {
            assert_eq!(payload(data, 5), expected);
        }
    }

    #[test]
    fn anything_else_is_wrapped_as_text() {
        let deep = format!("{}{}", "{\"a\":".repeat(200), "1}".repeat(200));
        for data in
            ["", "hello", "25", "null", "[1]", "\"x\"", "{", "{a}", "{}{}", "{\"a\":1,}", &deep]
        {
            let read: Value = serde_json::from_str(&payload(data, 5)).unwrap();
            assert_eq!(read, json!({ "data": data, "timestamp": 5 }));
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            ".*".prop_map(Value::from)
        ];
        let name = prop_oneof!["timestamp", "[a-c]", ".*"];
        leaf.prop_recursive(3, 12, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(name.clone(), inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// Against parsing, changing and comparing values.
        #[test]
        fn reads_as_the_value_with_a_time(value in value(), now in any::<u64>(), pretty in any::<bool>()) {
            let data = if pretty { format!("{value:#}") } else { value.to_string() };
            let mut expected = match value {
                Value::Object(_) => value,
                _ => json!({ "data": data }),
            };
            if expected.get("timestamp").is_none() {
                expected["timestamp"] = now.into();
            }
            let read: Value = serde_json::from_str(&payload(&data, now)).unwrap();
            prop_assert_eq!(read, expected);
        }

        #[test]
        fn any_text_gives_json(data in ".*") {
            let read: Value = serde_json::from_str(&payload(&data, 1)).unwrap();
            prop_assert!(read.get("timestamp").is_some());
        }
    }
}
