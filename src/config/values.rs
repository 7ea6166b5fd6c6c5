//! The layers put together: one value for each place, with where it came from.

use std::collections::BTreeMap;

use super::finding::{Finding, Origin};
use super::key::{Force, Key, Lookup};
use super::kind::quote;
use super::layers::node::{Node, shorten};
use super::layers::{Entry, Layer, Slot};
use super::rows::Table;
use super::settings;
use super::value::Value;

/// The value in force of one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// It.
    pub value: Value,
    /// Where it came from.
    pub origin: Origin,
}

/// Columns of a row that were set.
type Row = BTreeMap<&'static str, Effective>;

/// All values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Values {
    keys: BTreeMap<&'static str, Effective>,
    rows: BTreeMap<(Table, String), Row>,
}

/// One place and its value, for pages.
#[derive(Debug)]
pub struct Item<'v> {
    /// Its full name.
    pub name: String,
    /// What is known of it.
    pub key: &'static Key,
    /// Its value.
    pub effective: &'v Effective,
}

/// A value that differs between two states.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    /// The full name.
    pub name: String,
    /// As it was, `"***"` for a secret.
    pub from: String,
    /// As it is to be.
    pub to: String,
    /// When it counts.
    pub force: Force,
}

/// A row with all its columns.
#[derive(Debug, Default)]
pub(super) struct FullRow(BTreeMap<&'static str, Value>);

impl Lookup for FullRow {
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }
}

impl Lookup for Values {
    fn get(&self, name: &str) -> Option<&Value> {
        self.keys.get(name).map(|effective| &effective.value)
    }

    fn rows(&self, table: Table) -> Vec<FullRow> {
        let mut names: Vec<&str> = self.row_names(table).collect();
        // Channels outside all prefixes have options too.
        if table == Table::Namespaces && !names.contains(&"") {
            names.insert(0, "");
        }
        names.into_iter().map(|name| self.full_row(table, name)).collect()
    }
}

impl Values {
    /// The built-in defaults. The findings are faults of the table.
    pub(super) fn defaults() -> (Self, Vec<Finding>) {
        let mut values = Self::default();
        let mut layer = Layer::default();
        for key in settings::keys() {
            layer.push(key, Node::plain(key.default), Origin::Default);
        }
        let mut findings = values.apply(layer);
        for table in Table::ALL {
            let mut layer = Layer::file("", &format!("[{}]\n{}", table.name(), table.shipped()));
            for entry in &mut layer.entries {
                entry.origin = Origin::Default;
            }
            findings.extend(values.apply(layer));
        }
        (values, findings)
    }

    /// Lays a layer on top; gives what was found in it.
    pub(super) fn apply(&mut self, layer: Layer) -> Vec<Finding> {
        let mut findings = layer.findings;
        for entry in layer.entries {
            findings.extend(self.set(entry));
        }
        findings
    }

    /// Gives what is wrong with the value.
    fn set(&mut self, entry: Entry) -> Vec<Finding> {
        let name = entry.name();
        let Entry { key, row, node, origin } = entry;
        match key.kind.read(&node) {
            Ok(value) => {
                let effective = Effective { value, origin };
                match row {
                    Some(row) => self.rows.entry(row).or_default().insert(key.name, effective),
                    None => self.keys.insert(key.name, effective),
                };
                Vec::new()
            }
            Err(wrongs) => wrongs
                .into_iter()
                .map(|wrong| {
                    let (line, shown) = wrong.part.unwrap_or_else(|| (0, node.shown.clone()));
                    let shown = if key.is_secret() { "***".to_owned() } else { shorten(&shown) };
                    let origin = origin.at_line(line);
                    Finding::error(origin, &name, &wrong.problem, &wrong.cure).with(shown)
                })
                .collect(),
        }
    }

    /// Sets a value that follows from others.
    pub(super) fn derive(&mut self, name: &'static str, value: Value, origin: Origin) {
        self.keys.insert(name, Effective { value, origin });
    }

    /// The value of a key with its origin.
    pub(super) fn of(&self, name: &str) -> Option<&Effective> {
        self.keys.get(name)
    }

    /// Where the value of a key came from.
    pub(super) fn origin(&self, name: &str) -> Origin {
        self.of(name).map_or(Origin::Default, |effective| effective.origin.clone())
    }

    /// The column of a row, if that row sets it.
    pub(super) fn cell(&self, table: Table, row: &str, column: &str) -> Option<&Effective> {
        self.rows.get(&(table, row.to_owned()))?.get(column)
    }

    /// Names of rows.
    pub(super) fn row_names(&self, table: Table) -> impl Iterator<Item = &str> {
        self.rows.keys().filter(move |(of, _)| *of == table).map(|(_, name)| &**name)
    }

    fn full_row(&self, table: Table, name: &str) -> FullRow {
        let mut full = FullRow::default();
        for key in table.columns() {
            let own = self.cell(table, name, key.name).map(|cell| cell.value.clone());
            let value = own.or_else(|| self.inherited(table, name, key));
            let usual = || key.kind.read(&Node::plain(key.default)).ok();
            if let Some(value) = value.or_else(usual) {
                full.0.insert(key.name, value);
            }
        }
        full
    }

    /// From the longest shorter prefix that sets the option.
    fn inherited(&self, table: Table, name: &str, key: &Key) -> Option<Value> {
        if table != Table::Namespaces || key.name == table.id_column() {
            return None;
        }
        let shorter = self.row_names(table).filter(|prefix| name.starts_with(prefix));
        let set =
            shorter.filter_map(|prefix| Some((prefix.len(), self.cell(table, prefix, key.name)?)));
        set.max_by_key(|(len, _)| *len).map(|(_, cell)| cell.value.clone())
    }

    /// Every place, in the order of pages; of rows only what was set.
    #[must_use]
    pub fn items(&self) -> Vec<Item<'_>> {
        let keys = settings::keys().filter_map(|key| {
            Some(Item { name: key.name.to_owned(), key, effective: self.of(key.name)? })
        });
        let mut items: Vec<Item<'_>> = keys.collect();
        for ((table, row), cells) in &self.rows {
            for key in table.columns().iter().filter(|key| key.name != table.id_column()) {
                if let Some(effective) = cells.get(key.name) {
                    let name = Slot::Row(*table, row, key).name();
                    items.push(Item { name, key, effective });
                }
            }
        }
        items
    }

    /// What differs in `next`.
    #[must_use]
    pub fn changes(&self, next: &Self) -> Vec<Change> {
        let (old, new) = (self.items(), next.items());
        let shown = |item: &Item<'_>| item.key.kind.show(&item.effective.value);
        let mut changes = Vec::new();
        for item in &new {
            let before = old.iter().find(|before| before.name == item.name);
            if before.is_some_and(|before| before.effective.value == item.effective.value) {
                continue;
            }
            let from = before.map_or_else(|| "(not set)".to_owned(), &shown);
            let (name, force) = (item.name.clone(), item.key.force);
            changes.push(Change { name, from, to: shown(item), force });
        }
        for item in old.iter().filter(|item| !new.iter().any(|other| other.name == item.name)) {
            let (name, force) = (item.name.clone(), item.key.force);
            changes.push(Change { name, from: shown(item), to: "(not set)".to_owned(), force });
        }
        changes
    }

    /// Takes from `next` what a running server can take.
    pub fn take_reloadable(&mut self, next: &Self) {
        for key in settings::keys().filter(|key| key.force == Force::Reload) {
            if let Some(effective) = next.of(key.name) {
                self.keys.insert(key.name, effective.clone());
            }
        }
    }

    /// A warning for each value that was set and that nothing reads yet.
    pub(super) fn not_in_force(&self) -> Vec<Finding> {
        let later = self.items().into_iter().filter(|item| {
            let usual = item.key.kind.read(&Node::plain(item.key.default));
            item.key.force == Force::Later
                && item.effective.origin != Origin::Default
                && usual.ok().as_ref() != Some(&item.effective.value)
        });
        let warn = |item: Item<'_>| {
            let shown = item.key.kind.show(&item.effective.value);
            let shown = if item.key.is_secret() { quote("***") } else { shorten(&shown) };
            let origin = item.effective.origin.clone();
            let problem = "not in force in this version";
            let cure = "the value is checked and kept, nothing reads it yet";
            Finding::warning(origin, &item.name, problem, cure).with(shown)
        };
        later.map(warn).collect()
    }
}

#[cfg(test)]
mod tests;
