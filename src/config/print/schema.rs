//! `ringcast config schema`.

use serde_json::{Map, Value as Json, json};

use crate::config::key::Key;
use crate::config::kind::Kind;
use crate::config::layers::node::Node;
use crate::config::rows::Table;
use crate::config::settings::SECTIONS;

/// A JSON Schema (2020-12) of the TOML file.
#[must_use]
pub fn schema() -> String {
    let mut root = object("Everything ringcast can be told.");
    for section in SECTIONS {
        for key in section.keys {
            let parts: Vec<&str> = key.name.split('.').collect();
            place(&mut root, &parts, section.about.trim(), of_key(key));
        }
    }
    for table in Table::ALL {
        let mut row = object(table.about());
        for key in table.columns() {
            place(&mut row, &[key.name], "", of_key(key));
        }
        let rows = json!({
            "description": table.about(),
            "anyOf": [
                { "type": "object", "additionalProperties": row },
                { "type": "array", "items": row },
            ],
        });
        place(&mut root, &[table.name()], "", rows);
    }
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["title"] = json!("ringcast");
    format!("{root:#}\n")
}

fn object(about: &str) -> Json {
    json!({
        "type": "object",
        "description": about,
        "properties": {},
        "additionalProperties": false,
    })
}

/// Puts a schema under its name, with the objects on the way there.
fn place(root: &mut Json, parts: &[&str], about: &str, schema: Json) {
    let Some((first, rest)) = parts.split_first() else { return };
    let Some(properties) = root["properties"].as_object_mut() else { return };
    if rest.is_empty() {
        properties.insert((*first).to_owned(), schema);
        return;
    }
    let inner = properties.entry((*first).to_owned()).or_insert_with(|| object(about));
    place(inner, rest, about, schema);
}

fn of_key(key: &Key) -> Json {
    let mut schema = of_kind(&key.kind);
    schema.insert("description".to_owned(), json!(key.doc.trim()));
    let usual = key.kind.read(&Node::plain(key.default));
    if let Some(usual) = usual.ok().filter(|_| !key.is_secret()) {
        let shown = key.kind.show(&usual);
        // A TOML value in one line is JSON too, but for tables.
        if let Ok(usual) = serde_json::from_str(&shown) {
            schema.insert("default".to_owned(), usual);
        }
    }
    Json::Object(schema)
}

fn of_kind(kind: &Kind) -> Map<String, Json> {
    let amount = |low: &u64, high: &u64, pattern: &str| {
        json!({ "anyOf": [
            { "type": "integer", "minimum": low, "maximum": high },
            { "type": "string", "pattern": pattern },
        ] })
    };
    let schema = match kind {
        Kind::Switch => json!({ "type": "boolean" }),
        Kind::Number(low, high) => json!({ "type": "integer", "minimum": low, "maximum": high }),
        Kind::Millis(low, high) | Kind::Seconds(low, high) => {
            amount(low, high, "^([0-9.]+ *[A-Za-z]+ *)+$")
        }
        Kind::Bytes(low, high) => amount(low, high, "^[0-9]+ *([KMGTkmgt][Ii]?)?[Bb]$"),
        Kind::Choice(names) => json!({ "enum": names }),
        Kind::Text(_) => json!({ "type": "string" }),
        Kind::Secret(least) => json!({ "type": "string", "minLength": least, "writeOnly": true }),
        Kind::List(_) => json!({ "anyOf": [
            { "type": "array", "items": { "type": "string" } },
            { "type": "string" },
        ] }),
        Kind::Map(inner) => {
            json!({ "type": "object", "additionalProperties": Json::Object(of_kind(inner)) })
        }
        Kind::Or(word, inner) => {
            json!({ "anyOf": [{ "const": word }, Json::Object(of_kind(inner))] })
        }
    };
    match schema {
        Json::Object(map) => map,
        _ => Map::new(),
    }
}
