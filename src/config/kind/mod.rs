//! Which values a key takes: read, described and shown in one place.

mod form;
mod units;

pub use form::Form;

use super::layers::node::{Data, Node};
use super::suggest::nearest;
use super::value::{Secret, Value};
use crate::auth::ttl;

/// Which values a key takes.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// `true` or `false`.
    Switch,
    /// A whole number between two bounds, both allowed.
    Number(u64, u64),
    /// A time; a plain number counts milliseconds.
    Millis(u64, u64),
    /// A time; a plain number counts seconds.
    Seconds(u64, u64),
    /// A size; a plain number counts bytes.
    Bytes(u64, u64),
    /// One of these names.
    Choice(&'static [&'static str]),
    /// A text of a form.
    Text(Form),
    /// A text of at least so many bytes that is never shown.
    Secret(usize),
    /// Texts of a form; in one text separated by commas.
    List(Form),
    /// Values by name; in one text `name=value`, separated by commas.
    Map(&'static Self),
    /// The word for "none" or "by itself", or a value of the other kind.
    Or(&'static str, &'static Self),
}

/// Why a value is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// What is wrong with it.
    pub(super) problem: String,
    /// What to write.
    pub(super) cure: String,
    /// The part of a list or table that is wrong: its line and text.
    pub(super) part: Option<(usize, String)>,
}

impl Wrong {
    fn new(problem: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { problem: problem.into(), cure: cure.into(), part: None }
    }

    /// Of an entry of a table.
    fn within(mut self, name: &str) -> Self {
        if !name.is_empty() {
            self.problem = format!("{}: {}", bare(name), self.problem);
        }
        self
    }

    fn at(mut self, node: &Node) -> Self {
        self.part.get_or_insert_with(|| (node.line, node.shown.clone()));
        self
    }
}

impl Kind {
    /// Its value, or anything inside it, must never be shown.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        match self {
            Self::Secret(_) => true,
            Self::Map(inner) | Self::Or(_, inner) => inner.is_secret(),
            _ => false,
        }
    }

    /// What to write, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Switch => "true or false".to_owned(),
            Self::Number(low, high) => format!("a whole number from {low} to {high}"),
            Self::Millis(low, high) => format!(
                "a time like 30s or a number of milliseconds, from {} to {}",
                units::show_millis(*low),
                units::show_millis(*high)
            ),
            Self::Seconds(low, high) => format!(
                "a time like 12h or a number of seconds, from {} to {}",
                units::show_millis(low * 1_000),
                units::show_millis(high * 1_000)
            ),
            Self::Bytes(low, high) => format!(
                "a size like 64KiB or a number of bytes, from {} to {}",
                units::show_bytes(*low),
                units::show_bytes(*high)
            ),
            Self::Choice(names) => format!("one of {}", names.join(", ")),
            Self::Text(form) => form.describe().to_owned(),
            Self::Secret(0 | 1) => "a secret text".to_owned(),
            Self::Secret(least) => format!("a secret of at least {least} bytes"),
            Self::List(form) => format!("a list, each {}", form.describe()),
            Self::Map(inner) => format!("a table of names, each with {}", inner.describe()),
            Self::Or("", inner) => inner.describe(),
            Self::Or(word, inner) => format!("{}, or \"{word}\"", inner.describe()),
        }
    }

    /// Reads a value; of a list or table every part that is wrong is told.
    pub(super) fn read(&self, node: &Node) -> Result<Value, Vec<Wrong>> {
        match self {
            Self::List(form) => self.read_list(node, *form),
            Self::Map(inner) => self.read_map(node, inner),
            _ => self.read_one(node).map_err(|wrong| vec![wrong]),
        }
    }

    fn read_one(&self, node: &Node) -> Result<Value, Wrong> {
        match self {
            Self::Or(word, inner) => match node.text() {
                Some(text) if text == *word => Ok(Value::Unset),
                _ => inner.read_one(node).map_err(|wrong| Wrong { cure: self.cure(), ..wrong }),
            },
            Self::Switch => self.read_switch(node),
            Self::Number(low, high) => self.in_range(self.number(node)?, *low, *high),
            Self::Millis(low, high) => {
                self.in_range(self.amount(node, units::millis)?, *low, *high)
            }
            Self::Seconds(low, high) => {
                let read = |text: &str| ttl::parse(text).ok();
                self.in_range(self.amount(node, read)?, *low, *high)
            }
            Self::Bytes(low, high) => self.in_range(self.amount(node, units::bytes)?, *low, *high),
            Self::Choice(names) => self.read_choice(node, names),
            Self::Text(form) => {
                let text = node.text().ok_or_else(|| self.wrong_type())?;
                let kept = form.check(text.trim());
                kept.map(Value::Text)
                    .ok_or_else(|| Wrong::new(format!("not {}", short(*form)), self.cure()))
            }
            Self::Secret(least) => {
                let text = node.text().ok_or_else(|| self.wrong_type())?;
                if text.len() < *least {
                    let problem = format!("{} bytes are too few", text.len());
                    return Err(Wrong::new(problem, self.cure()));
                }
                Ok(Value::Secret(Secret::new(text)))
            }
            // No kind of a part or with a word is one of these.
            Self::List(_) | Self::Map(_) => Err(self.wrong_type()),
        }
    }

    fn cure(&self) -> String {
        format!("write {}", self.describe())
    }

    fn wrong_type(&self) -> Wrong {
        Wrong::new("a value of another type", self.cure())
    }

    fn in_range(&self, number: u64, low: u64, high: u64) -> Result<Value, Wrong> {
        let problem = match number {
            _ if number < low => "too small",
            _ if number > high => "too large",
            _ => return Ok(Value::Number(number)),
        };
        Err(Wrong::new(problem, self.cure()))
    }

    fn read_switch(&self, node: &Node) -> Result<Value, Wrong> {
        match &node.data {
            Data::Switch(on) => Ok(Value::Switch(*on)),
            Data::Plain(text) if text == "true" => Ok(Value::Switch(true)),
            Data::Plain(text) if text == "false" => Ok(Value::Switch(false)),
            Data::Plain(_) => Err(Wrong::new("neither true nor false", self.cure())),
            Data::Text(text) if text == "true" || text == "false" => {
                Err(Wrong::new("a text, not a switch", format!("write {text} without quotes")))
            }
            _ => Err(self.wrong_type()),
        }
    }

    fn number(&self, node: &Node) -> Result<u64, Wrong> {
        match &node.data {
            Data::Number(text) => text.parse().map_err(|_| self.not_whole()),
            Data::Plain(text) => text.trim().parse().map_err(|_| self.not_whole()),
            Data::Text(text) if text.parse::<u64>().is_ok() => {
                Err(Wrong::new("a text, not a number", format!("write {text} without quotes")))
            }
            _ => Err(self.wrong_type()),
        }
    }

    fn not_whole(&self) -> Wrong {
        Wrong::new("not a whole number of zero or more", self.cure())
    }

    /// A plain number, or a text with units.
    fn amount(&self, node: &Node, read: impl Fn(&str) -> Option<u64>) -> Result<u64, Wrong> {
        match &node.data {
            Data::Number(text) => text.parse().map_err(|_| self.not_whole()),
            Data::Plain(text) | Data::Text(text) => {
                let plain = text.trim().parse().ok();
                let units = || Wrong::new("a number or its unit cannot be read", self.cure());
                plain.or_else(|| read(text)).ok_or_else(units)
            }
            _ => Err(self.wrong_type()),
        }
    }

    fn read_choice(&self, node: &Node, names: &[&'static str]) -> Result<Value, Wrong> {
        let text = node.text().ok_or_else(|| self.wrong_type())?;
        if names.contains(&text) {
            return Ok(Value::Text(text.to_owned()));
        }
        let near = nearest(text, names.iter().copied());
        let cure =
            near.map_or_else(|| self.cure(), |near| format!("write {near} ({})", self.describe()));
        Err(Wrong::new("no such choice", cure))
    }

    fn read_list(&self, node: &Node, form: Form) -> Result<Value, Vec<Wrong>> {
        if let Some(inner) = node.inline() {
            return self.read_list(&inner, form);
        }
        let wrong =
            || Wrong::new(format!("not {}", short(form)), format!("write {}", form.describe()));
        let part = |one: &Node| {
            let text = one.text().ok_or_else(|| self.wrong_type().at(one))?;
            form.check(text).ok_or_else(|| wrong().at(one))
        };
        let read = match &node.data {
            Data::List(nodes) => nodes.iter().map(part).collect(),
            Data::Plain(text) | Data::Text(text) => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                parts.map(|text| part(&Node { line: node.line, ..Node::plain(text) })).collect()
            }
            _ => vec![Err(self.wrong_type())],
        };
        all(read).map(Value::List)
    }

    fn read_map(&self, node: &Node, inner: &Self) -> Result<Value, Vec<Wrong>> {
        if let Some(inner_node) = node.inline() {
            return self.read_map(&inner_node, inner);
        }
        let part = |name: &str, one: &Node| match inner.read_one(one) {
            Ok(value) => Ok((name.to_owned(), value)),
            Err(wrong) => Err(wrong.within(name).at(one)),
        };
        let read = match &node.data {
            Data::Table(entries) => entries.iter().map(|(name, one)| part(name, one)).collect(),
            Data::Plain(text) if text.trim_start().starts_with('{') => {
                vec![Err(Wrong::new("no table as TOML writes it", self.cure()))]
            }
            Data::Plain(text) => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                let named = parts.enumerate().map(|(at, text)| match text.split_once('=') {
                    // What stands for a name may be a piece of a secret.
                    Some((name, value)) if inner.is_secret() => {
                        let value = inner.read_one(&Node::plain(value.trim()));
                        value
                            .map(|value| (name.trim().to_owned(), value))
                            .map_err(|wrong| wrong.within(&format!("entry {}", at + 1)))
                    }
                    Some((name, value)) => part(name.trim(), &Node::plain(value.trim())),
                    None => Err(self.wrong_type()),
                });
                named.collect()
            }
            _ => vec![Err(self.wrong_type())],
        };
        all(read).map(|entries| Value::Map(entries.into_iter().collect()))
    }

    /// As it would stand in a TOML file, in one line; secrets as `"***"`.
    #[must_use]
    pub fn show(&self, value: &Value) -> String {
        match (self, value) {
            (Self::Or(word, _), Value::Unset) => quote(word),
            (Self::Or(_, inner), _) => inner.show(value),
            (Self::Map(inner), Value::Map(map)) => {
                let entries =
                    map.iter().map(|(name, v)| format!("{} = {}", bare(name), inner.show(v)));
                let entries: Vec<String> = entries.collect();
                if entries.is_empty() {
                    "{}".to_owned()
                } else {
                    format!("{{ {} }}", entries.join(", "))
                }
            }
            (_, Value::Switch(on)) => on.to_string(),
            (_, Value::Number(number)) => number.to_string(),
            (_, Value::Text(text)) => quote(text),
            (_, Value::List(list)) => {
                format!("[{}]", list.iter().map(|text| quote(text)).collect::<Vec<_>>().join(", "))
            }
            (_, Value::Secret(_) | Value::Map(_) | Value::Unset) => quote("***"),
        }
    }

    /// Like [`Kind::show`], with units where a person would write them.
    #[must_use]
    pub fn show_human(&self, value: &Value) -> String {
        match (self, value) {
            (Self::Or(_, inner), value) if *value != Value::Unset => inner.show_human(value),
            (Self::Millis(..), Value::Number(ms)) => quote(&units::show_millis(*ms)),
            (Self::Seconds(..), Value::Number(s)) => quote(&units::show_millis(s * 1_000)),
            (Self::Bytes(..), Value::Number(bytes)) => quote(&units::show_bytes(*bytes)),
            _ => self.show(value),
        }
    }
}

/// All parts, or everything that is wrong with them.
fn all<T>(parts: Vec<Result<T, Wrong>>) -> Result<Vec<T>, Vec<Wrong>> {
    let (mut good, mut wrong) = (Vec::new(), Vec::new());
    for part in parts {
        match part {
            Ok(part) => good.push(part),
            Err(part) => wrong.push(part),
        }
    }
    if wrong.is_empty() { Ok(good) } else { Err(wrong) }
}

/// A form's name without its examples.
fn short(form: Form) -> &'static str {
    form.describe().split([',', ':']).next().unwrap_or_default()
}

/// A text in double quotes; its escapes are those of TOML and JSON alike.
#[must_use]
pub(super) fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A name as a TOML key: bare where that is allowed.
#[must_use]
pub(super) fn bare(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(plain) { name.to_owned() } else { quote(name) }
}

#[cfg(test)]
mod tests;
