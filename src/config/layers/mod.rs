//! The layers: each turns what was written into entries of the table of keys.

pub(crate) mod document;
pub(crate) mod dotenv;
pub(crate) mod node;
pub(crate) mod variables;

use std::sync::Arc;

use super::Flags;
use super::finding::{Finding, Origin};
use super::key::Key;
use super::rows::Table;
use super::settings;
use super::suggest::nearest;
use node::{Data, Node};

/// Which place of the settings a value is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Slot<'n> {
    Key(&'static Key),
    /// A column of the row of this name.
    Row(Table, &'n str, &'static Key),
}

/// A value for one place.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: &'static Key,
    pub(super) row: Option<(Table, String)>,
    pub(super) node: Node,
    pub(super) origin: Origin,
}

impl Entry {
    pub(super) fn slot(&self) -> Slot<'_> {
        match &self.row {
            Some((table, row)) => Slot::Row(*table, row, self.key),
            None => Slot::Key(self.key),
        }
    }

    /// Its full name.
    pub(super) fn name(&self) -> String {
        self.slot().name()
    }
}

impl Slot<'_> {
    /// The full name: `namespaces."user:".mode`.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Key(key) => key.name.to_owned(),
            Self::Row(table, row, key) => {
                format!("{}.{}.{}", table.name(), super::kind::bare(row), key.name)
            }
        }
    }
}

/// What a layer gave.
#[derive(Debug, Default)]
pub(super) struct Layer {
    pub(super) entries: Vec<Entry>,
    pub(super) findings: Vec<Finding>,
}

impl Layer {
    /// The TOML file.
    pub(super) fn file(path: &str, text: &str) -> Self {
        let mut layer = Self::default();
        let origin = Origin::File { path: Arc::from(path), line: 0 };
        let (entries, errors) = document::parse(text);
        layer.walk("", entries, &origin);
        // What was made of a line that is no TOML says nothing.
        let torn = |origin: &Origin| match origin {
            Origin::File { line, .. } => errors.iter().any(|(torn, _)| torn == line),
            _ => false,
        };
        layer.entries.retain(|entry| !torn(&entry.origin));
        layer.findings.retain(|finding| !torn(&finding.origin));
        for (line, problem) in errors {
            let cure = "correct the line (the form is TOML, see ringcast config init)";
            layer.findings.push(Finding::error(origin.at_line(line), "", &problem, cure));
        }
        layer
    }

    /// The flags.
    pub(super) fn flags(flags: &Flags) -> Self {
        let mut layer = Self::default();
        let listen = (!flags.listen.is_empty()).then(|| flags.listen.join(","));
        let named = [
            ("--listen", "listen", listen.as_ref()),
            ("--admin", "admin.address", flags.admin.as_ref()),
            ("--workers", "workers", flags.workers.as_ref()),
            ("--log-level", "log.level", flags.log_level.as_ref()),
            ("--log-format", "log.format", flags.log_format.as_ref()),
        ];
        // A flag of its own stands nearer than --set: it is added last and counts.
        for text in &flags.set {
            layer.set(text);
        }
        for (flag, name, text) in named {
            if let (Some(key), Some(text)) = (settings::find(name), text) {
                layer.push(key, Node::plain(text), Origin::Flag(Arc::from(flag)));
            }
        }
        layer
    }

    /// `key=value`.
    fn set(&mut self, text: &str) {
        let origin = Origin::Flag(Arc::from("--set"));
        let Some((name, value)) = split_outside_quotes(text) else {
            let problem = "no = in it";
            let cure = "write --set key=value, like --set limits.per_user=10";
            self.findings.push(Finding::error(origin, "", problem, cure));
            return;
        };
        if let Some(key) = settings::find(name) {
            return self.push(key, Node::plain(value), origin);
        }
        let quoted = super::kind::quote(value);
        let parsed = [value, &quoted].into_iter().find_map(|value| {
            let (entries, errors) = document::parse(&format!("{name} = {value}"));
            errors.is_empty().then_some(entries)
        });
        match parsed {
            Some(mut entries) => {
                entries.iter_mut().for_each(|(_, node)| document::forget_lines(node));
                self.walk("", entries, &origin);
            }
            None => self.unknown(name, origin),
        }
    }

    pub(super) fn push(&mut self, key: &'static Key, node: Node, origin: Origin) {
        self.entries.push(Entry { key, row: None, node, origin });
    }

    /// Goes through a table of a document.
    fn walk(&mut self, section: &str, entries: Vec<(String, Node)>, origin: &Origin) {
        for (part, node) in entries {
            let dot = if section.is_empty() { "" } else { "." };
            let name = format!("{section}{dot}{part}");
            let here = origin.at_line(node.line);
            if let Some(key) = settings::find(&name) {
                self.push(key, node, here);
            } else if let Some(table) = Table::find(&name) {
                self.rows(table, node, &here);
            } else {
                self.inner(&name, node, origin, here);
            }
        }
    }

    /// A name that is no key: a section, the short form of one, or unknown.
    fn inner(&mut self, name: &str, node: Node, origin: &Origin, here: Origin) {
        let known = settings::is_section(name);
        match node.data {
            Data::Table(entries) if known || !entries.is_empty() => {
                self.walk(name, entries, origin);
            }
            _ if known => match settings::find(&format!("{name}.address")) {
                Some(key) => self.push(key, node, here),
                None => {
                    let cure = format!("write its keys under [{name}]");
                    self.findings.push(Finding::error(here, name, "this is a section", &cure));
                }
            },
            _ => self.unknown(name, here),
        }
    }

    /// An unknown key. Its value is not repeated: it may be a secret under a wrong name.
    fn unknown(&mut self, name: &str, origin: Origin) {
        let cure = match settings::meant(name) {
            Some(near) => format!("did you mean {near}?"),
            None => "see ringcast config init for all keys".to_owned(),
        };
        self.findings.push(Finding::error(origin, name, "unknown key", &cure));
    }

    /// `[namespaces."user:"]`, or `[[namespaces]]` with `prefix = "user:"`.
    pub(super) fn rows(&mut self, table: Table, node: Node, origin: &Origin) {
        let node = node.inline().unwrap_or(node);
        let wrong = |at: &Origin, problem: &str| {
            let id = table.id_column();
            let name = table.name();
            let cure = format!("write [{name}.\"...\"], or [[{name}]] with {id} = \"...\"");
            Finding::error(at.clone(), name, problem, &cure)
        };
        match node.data {
            Data::Table(rows) => {
                for (row, node) in rows {
                    let here = origin.at_line(node.line);
                    match node.data {
                        Data::Table(columns) => self.columns(table, &row, columns, origin),
                        _ => self.findings.push(wrong(&here, "a row is a table")),
                    }
                }
            }
            Data::List(rows) => {
                let mut seen: Vec<String> = Vec::new();
                for node in rows {
                    let here = origin.at_line(node.line);
                    let Data::Table(columns) = node.data else {
                        self.findings.push(wrong(&here, "a row is a table"));
                        continue;
                    };
                    let id = columns.iter().find(|(name, _)| name == table.id_column());
                    match id.and_then(|(_, node)| node.text()).map(str::to_owned) {
                        Some(id) if seen.contains(&id) => {
                            self.findings.push(wrong(&here, "a second row of the same name"));
                        }
                        Some(id) => {
                            self.columns(table, &id, columns, origin);
                            seen.push(id);
                        }
                        None => self.findings.push(wrong(&here, "a row without its name")),
                    }
                }
            }
            _ => self.findings.push(wrong(origin, "a value of another type")),
        }
    }

    fn columns(&mut self, table: Table, row: &str, columns: Vec<(String, Node)>, origin: &Origin) {
        // A row with no columns is there all the same.
        let id = table.column(table.id_column()).map(|key| (key, Node::plain(row)));
        let here = origin.at_line(columns.first().map_or(0, |(_, node)| node.line));
        if let Some((key, node)) = id {
            let row = Some((table, row.to_owned()));
            self.entries.push(Entry { key, row, node, origin: here });
        }
        for (name, node) in columns.into_iter().filter(|(name, _)| name != table.id_column()) {
            let here = origin.at_line(node.line);
            match table.column(&name) {
                Some(key) => {
                    let row = Some((table, row.to_owned()));
                    self.entries.push(Entry { key, row, node, origin: here });
                }
                None => {
                    let near = nearest(&name, table.columns().iter().map(|key| key.name));
                    let cure = match near {
                        Some(near) => format!("did you mean {near}?"),
                        None => "see docs/settings.md for the keys of a row".to_owned(),
                    };
                    let name = format!("{}.{}.{name}", table.name(), super::kind::bare(row));
                    self.findings.push(Finding::error(here, &name, "unknown key", &cure));
                }
            }
        }
    }
}

fn split_outside_quotes(text: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '=') => return Some((text[..at].trim(), text[at + 1..].trim())),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests;
