//! Settings as text: what holds and why, a file to begin with, its schema, the table of the docs.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::sources::{Given, Sources};
use super::table::{Kind, OF_NAMESPACES, SETTINGS, Setting};
use super::{Flags, file};

/// What a value is shown as: never a secret.
fn shown(setting: &Setting, given: Option<&Given>) -> String {
    match given {
        Some(given) if given.is_file => format!("the content of {}", given.value),
        Some(_) if setting.is_secret() => "***".to_owned(),
        Some(given) => given.value.clone(),
        None => setting.default.to_owned(),
    }
}

/// Every setting with its value and where that comes from, a line each.
#[must_use]
pub fn show(flags: &Flags, sources: &Sources) -> String {
    let mut text = String::new();
    for setting in SETTINGS {
        let given = sources.find(setting, flags);
        let origin =
            given.as_ref().map_or("default".to_owned(), |given| match given.name.as_str() {
                name if name == setting.key => given.origin.to_string(),
                name => format!("{}, {name}", given.origin),
            });
        let _ = writeln!(text, "{} = {}  ({origin})", setting.key, shown(setting, given.as_ref()));
    }
    for (prefix, own) in &sources.file.namespaces {
        for (name, (line, value)) in own {
            let path = &sources.file.path;
            let _ = writeln!(text, "namespaces.{prefix:?}.{name} = {value}  ({path}:{line})");
        }
    }
    text
}

/// The same as one JSON object: key to value and origin.
#[must_use]
pub fn show_json(flags: &Flags, sources: &Sources) -> String {
    let mut all = Map::new();
    for setting in SETTINGS {
        let given = sources.find(setting, flags);
        let origin = given.as_ref().map_or("default".to_owned(), |given| given.origin.to_string());
        let value = shown(setting, given.as_ref());
        all.insert(setting.key.to_owned(), json!({ "value": value, "origin": origin }));
    }
    for (prefix, own) in &sources.file.namespaces {
        for (name, (line, value)) in own {
            let origin = format!("{}:{line}", sources.file.path);
            let key = format!("namespaces.{prefix:?}.{name}");
            all.insert(key, json!({ "value": value, "origin": origin }));
        }
    }
    serde_json::to_string_pretty(&Value::Object(all)).unwrap_or_default()
}

/// A TOML file with every setting, commented out.
#[must_use]
pub fn init() -> String {
    let mut text = String::from("# Settings of ringcast. What is commented out is the default.\n");
    let mut section = "";
    for setting in SETTINGS {
        let (own, name) = setting.key.rsplit_once('.').unwrap_or(("", setting.key));
        if own != section {
            section = own;
            let _ = write!(text, "\n[{section}]\n");
        }
        let _ = write!(text, "\n# {}\n", setting.about);
        let _ = writeln!(text, "# {name} = {}", toml_value(setting));
    }
    text.push_str(
        "\n# Channels whose names begin so have their own:\n#\n# [namespaces.\"ROULETTE:\"]\n",
    );
    for setting in OF_NAMESPACES {
        let _ = writeln!(text, "# {} = {}", file::short(setting.key), toml_value(setting));
    }
    text
}

/// A default as TOML; in words where it is no value.
fn toml_value(setting: &Setting) -> String {
    let is_value = match setting.kind {
        Kind::Number { .. } => setting.default.parse::<u64>().is_ok(),
        Kind::Switch => setting.default.parse::<bool>().is_ok(),
        _ => false,
    };
    if is_value { setting.default.to_owned() } else { format!("{:?}", setting.default) }
}

/// The JSON Schema (draft 2020-12) of the file.
#[must_use]
pub fn schema() -> String {
    let mut root = Map::new();
    for setting in SETTINGS {
        let (section, name) = setting.key.split_once('.').unwrap_or(("", setting.key));
        if section.is_empty() {
            root.insert(name.to_owned(), schema_of(setting));
            continue;
        }
        let inner = root.entry(section).or_insert_with(
            || json!({ "type": "object", "additionalProperties": false, "properties": {} }),
        );
        inner["properties"][name] = schema_of(setting);
    }
    let own = OF_NAMESPACES
        .iter()
        .map(|setting| (file::short(setting.key).to_owned(), schema_of(setting)));
    root.insert(
        "namespaces".to_owned(),
        json!({
            "type": "object",
            "description": "Options of the channels whose names begin with the key.",
            "additionalProperties": {
                "type": "object",
                "additionalProperties": false,
                "properties": own.collect::<Map<String, Value>>(),
            },
        }),
    );
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ringcast",
        "type": "object",
        "additionalProperties": false,
        "properties": root,
    });
    serde_json::to_string_pretty(&schema).unwrap_or_default()
}

fn schema_of(setting: &Setting) -> Value {
    let mut schema = match setting.kind {
        Kind::Number { min, max, .. } => {
            let number = json!({ "type": "integer", "minimum": min, "maximum": max });
            match setting.default {
                "off" => json!({ "anyOf": [number, { "const": "off" }] }),
                _ => number,
            }
        }
        Kind::Switch => json!({ "type": "boolean" }),
        Kind::Choice(all) => json!({ "enum": all }),
        Kind::List | Kind::Addresses => json!({
            "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }]
        }),
        Kind::Address | Kind::Span | Kind::Secret => json!({ "type": "string" }),
    };
    schema["description"] = setting.about.into();
    schema
}

/// docs/settings.md.
#[cfg(test)]
pub(super) fn markdown() -> String {
    let mut text = String::from(
        "# Settings\n\nOrder, the later wins: default, TOML file (`--config FILE` or \
         `RINGCAST_CONFIG`), `.env` in the working folder,\nenvironment, flags. In the environment \
         a key is written `RINGCAST_` and the key in capitals with `__` for each dot:\n\
         `RINGCAST_LIMITS__CONNECTIONS_MAX`; on the command line `--set limits.connections_max=5000`. \
         Secrets may also stand in a\nfile that `NAME_FILE` names. The variables in the last column \
         are those of the systems ringcast replaces; numbers in\nthem are read as \
         `parseInt(x) || default`.\n\nOptions of channels may differ by the beginning of their \
         names; the longest that fits wins:\n\n```toml\n[namespaces.\"ROULETTE:\"]\n\
         events_max = 50\nmode = \"latest\"\n```\n\n",
    );
    text.push_str("| key | default | values | what it does | other names |\n");
    text.push_str("| --- | --- | --- | --- | --- |\n");
    for setting in SETTINGS {
        let flag = setting.flag.into_iter();
        let names: Vec<String> =
            flag.chain(setting.names.iter().copied()).map(|name| format!("`{name}`")).collect();
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {} |",
            setting.key,
            setting.default,
            setting.kind,
            setting.about,
            names.join(", ")
        );
    }
    text
}
