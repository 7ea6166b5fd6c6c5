//! The TOML file: its values by key, with the lines they stand in.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use super::ConfigError;
use super::sources::Origin;
use super::table::{OF_NAMESPACES, SETTINGS};
use crate::proto::nearest;

/// What to write where a value is.
const SCALARS: &str = "write a text, a number, true, false or a list";

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) path: String,
    /// Line and value by key; lists as texts divided by commas.
    pub(super) values: BTreeMap<String, (usize, String)>,
    /// The same by prefix and the part of the key behind `history.`.
    pub(super) namespaces: BTreeMap<String, BTreeMap<String, (usize, String)>>,
    pub(super) errors: Vec<ConfigError>,
}

impl File {
    /// Reads a file's text. What is wrong with it stands in `errors`, all of it.
    pub(super) fn parse(path: &str, text: &str) -> Self {
        let mut file = Self { path: path.to_owned(), ..Self::default() };
        match DeTable::parse(text) {
            Ok(table) => file.take(&[], table.get_ref(), text),
            Err(error) => {
                let line = error.span().map_or(1, |span| line_of(text, span.start));
                let cure = format!("not TOML: {}", error.message().replace('\n', "; "));
                file.error(line, "file", path, cure);
            }
        }
        file
    }

    fn origin(&self, line: usize) -> Origin {
        Origin::File { path: self.path.clone(), line }
    }

    fn error(&mut self, line: usize, key: &str, value: &str, cure: impl Into<String>) {
        let (key, value, cure) = (key.to_owned(), value.to_owned(), cure.into());
        self.errors.push(ConfigError { origin: self.origin(line), key, value, cure });
    }

    fn take(&mut self, path: &[&str], table: &DeTable<'_>, text: &str) {
        for (name, value) in table {
            let line = line_of(text, name.span().start);
            let name = name.get_ref();
            let within: Vec<&str> = path.iter().copied().chain([&**name]).collect();
            let key = within.join(".");
            match (&within[..], value.get_ref()) {
                (["namespaces"], DeValue::Table(_)) => {}
                (["namespaces", prefix], DeValue::Table(own)) => {
                    self.take_namespace(prefix, own, text);
                    continue;
                }
                (["namespaces", ..], _) => {
                    let cure = "write [namespaces.\"PREFIX\"] and its settings below";
                    self.error(line, &key, "", cure);
                    continue;
                }
                _ => {}
            }
            match value.get_ref() {
                DeValue::Table(inner) => self.take(&within, inner, text),
                value => match scalar(value) {
                    _ if !SETTINGS.iter().any(|setting| setting.key == key) => {
                        let known = nearest(&key, SETTINGS.iter().map(|setting| setting.key));
                        self.unknown(line, &key, known);
                    }
                    Some(value) => drop(self.values.insert(key, (line, value))),
                    None => self.error(line, &key, "", SCALARS),
                },
            }
        }
    }

    fn take_namespace(&mut self, prefix: &str, table: &DeTable<'_>, text: &str) {
        let mut own = BTreeMap::new();
        for (name, value) in table {
            let line = line_of(text, name.span().start);
            let name = name.get_ref();
            let known = || OF_NAMESPACES.iter().map(|setting| short(setting.key));
            let key = format!("namespaces.{prefix:?}.{name}");
            match scalar(value.get_ref()) {
                _ if !known().any(|known| known == &**name) => {
                    let meant = nearest(name, known());
                    self.unknown(line, &key, meant);
                }
                Some(value) => drop(own.insert(name.to_string(), (line, value))),
                None => self.error(line, &key, "", SCALARS),
            }
        }
        self.namespaces.insert(prefix.to_owned(), own);
    }

    fn unknown(&mut self, line: usize, key: &str, meant: Option<&str>) {
        let cure = match meant {
            Some(meant) => format!("no such setting, did you mean {meant}?"),
            None => "no such setting: docs/settings.md lists them".to_owned(),
        };
        self.error(line, key, "", cure);
    }
}

/// The name of a namespace's setting.
pub(super) fn short(key: &str) -> &str {
    key.strip_prefix("history.").unwrap_or(key)
}

fn line_of(text: &str, at: usize) -> usize {
    text.get(..at).unwrap_or(text).matches('\n').count() + 1
}

/// A value as one would write it on the command line.
fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => {
            let digits = number.as_str();
            i128::from_str_radix(digits, number.radix()).ok().map(|number| number.to_string())
        }
        DeValue::Boolean(value) => Some(value.to_string()),
        DeValue::Array(all) => {
            let all: Option<Vec<String>> = all.iter().map(|one| scalar(one.get_ref())).collect();
            all.map(|all| all.join(","))
        }
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_with_their_lines() {
        let text = "# a comment\nworkers = 3\n[log]\nlevel = \"debug\"\n[auth]\ncookies = [\"a\", \"b\"]\n\
                    [namespaces.\"ROULETTE:\"]\nevents_max = 1_000\n";
        let file = File::parse("x.toml", text);
        assert!(file.errors.is_empty(), "{:?}", file.errors);
        let value = |key: &str| file.values.get(key).cloned();
        assert_eq!(value("workers"), Some((2, "3".to_owned())));
        assert_eq!(value("log.level"), Some((4, "debug".to_owned())));
        assert_eq!(value("auth.cookies"), Some((6, "a,b".to_owned())));
        assert_eq!(file.namespaces["ROULETTE:"]["events_max"], (8, "1000".to_owned()));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_all_at_once() {
        let text = "worker = 3\n[log]\nlevle = 1\ncolour = 2.5\n[namespaces]\nx = 1\n\
                    [namespaces.\"a\"]\nevent_max = 1\n";
        let errors: Vec<String> =
            File::parse("x.toml", text).errors.iter().map(ToString::to_string).collect();
        for expected in [
            "x.toml:1: worker: no such setting, did you mean workers?",
            "x.toml:3: log.levle: no such setting, did you mean log.level?",
            "x.toml:4: log.colour: no such setting: docs/settings.md lists them",
            "x.toml:6: namespaces.x: write [namespaces.\"PREFIX\"] and its settings below",
            "x.toml:8: namespaces.\"a\".event_max: no such setting, did you mean events_max?",
        ] {
            assert!(errors.iter().any(|error| error == expected), "{expected} in {errors:#?}");
        }
        let broken = File::parse("x.toml", "a = 1\nb = = 2\n");
        assert!(broken.errors[0].to_string().starts_with("x.toml:2: file=\"x.toml\": not TOML"));
    }
}
