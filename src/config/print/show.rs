//! `ringcast config show`.

use std::fmt::Write;

use serde_json::{Map, Value as Json, json};

use crate::config::kind::Kind;
use crate::config::value::Value;
use crate::config::values::Values;

/// The values in force as a TOML document, each with its origin; secrets are masked.
#[must_use]
pub fn show_text(values: &Values) -> String {
    let mut text = String::new();
    for item in values.items() {
        let shown = item.key.kind.show(&item.effective.value);
        let _ = writeln!(text, "{} = {shown}  # {}", item.name, item.effective.origin);
    }
    text
}

/// The same as a JSON object: each full name with `value`, `origin` and `secret`.
#[must_use]
pub fn show_json(values: &Values) -> String {
    let entries = values.items().into_iter().map(|item| {
        let shown = json!({
            "value": to_json(&item.key.kind, &item.effective.value),
            "origin": item.effective.origin.to_string(),
            "secret": item.key.is_secret(),
        });
        (item.name, shown)
    });
    let object: Map<String, Json> = entries.collect();
    format!("{:#}\n", Json::Object(object))
}

fn to_json(kind: &Kind, value: &Value) -> Json {
    match (kind, value) {
        (Kind::Or(word, _), Value::Unset) => Json::from(*word),
        (Kind::Or(_, inner), _) => to_json(inner, value),
        (Kind::Map(inner), Value::Map(map)) => {
            map.iter().map(|(name, value)| (name.clone(), to_json(inner, value))).collect()
        }
        (_, Value::Switch(on)) => Json::from(*on),
        (_, Value::Number(number)) => Json::from(*number),
        (_, Value::Text(text)) => Json::from(text.clone()),
        (_, Value::List(list)) => Json::from(list.clone()),
        (_, Value::Secret(_) | Value::Map(_) | Value::Unset) => Json::from("***"),
    }
}
