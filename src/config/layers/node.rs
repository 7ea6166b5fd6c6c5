//! A value as it was written, with its line.

use super::document;
use crate::config::kind::quote;

/// Longest value that an error repeats, characters.
const SHOWN_MAX: usize = 60;

/// A value as it was written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    /// Line of a file; 0 elsewhere.
    pub(crate) line: usize,
    /// As an error repeats it.
    pub(crate) shown: String,
    pub(crate) data: Data,
}

/// What was written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Data {
    Switch(bool),
    /// A TOML number, in decimal digits where it is a whole one.
    Number(String),
    /// A TOML string.
    Text(String),
    /// The text of a variable or a flag: its type is the key's.
    Plain(String),
    List(Vec<Node>),
    Table(Vec<(String, Node)>),
    /// A TOML date or time.
    Other,
}

impl Node {
    /// The text of a variable or a flag.
    pub(crate) fn plain(text: &str) -> Self {
        Self { line: 0, shown: shorten(&quote(text)), data: Data::Plain(text.to_owned()) }
    }

    /// The text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Plain(text) | Data::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A list or table written into a variable or a flag.
    pub(crate) fn inline(&self) -> Option<Self> {
        match &self.data {
            Data::Plain(text) if text.trim_start().starts_with(['[', '{']) => document::value(text),
            _ => None,
        }
    }
}

/// The first line, cut at [`SHOWN_MAX`].
pub(crate) fn shorten(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    match line.char_indices().nth(SHOWN_MAX) {
        Some((at, _)) => format!("{}...", &line[..at]),
        None if line.len() < text.trim().len() => format!("{line}..."),
        None => line.to_owned(),
    }
}
