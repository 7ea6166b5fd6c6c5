//! Pages made from the table of keys.

mod manual;
mod sample;
mod schema;
mod show;

pub use manual::manual;
pub use sample::sample;
pub use schema::schema;
pub use show::{show_json, show_text};

use super::key::{Force, Key};

/// When a new value counts, for people.
fn force(key: &Key) -> &'static str {
    match key.force {
        Force::Reload => "on reload",
        Force::Restart => "on restart",
        Force::Later => "not in force in this version",
    }
}

/// The default, as it stands in a TOML file.
fn default_of(key: &Key) -> String {
    let value = key.kind.read(&super::layers::node::Node::plain(key.default));
    value.map_or_else(|_| super::kind::quote(key.default), |value| key.kind.show_human(&value))
}

/// Texts in lines of at most `width` characters.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        if let Some(line) = lines.last_mut() {
            if line.is_empty() {
                line.push_str(word);
                continue;
            }
            if line.chars().count() + 1 + word.chars().count() <= width {
                line.push(' ');
                line.push_str(word);
                continue;
            }
        }
        lines.push(word.to_owned());
    }
    lines
}
