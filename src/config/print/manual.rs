//! docs/settings.md.

use std::fmt::Write;

use super::{default_of, force};
use crate::config::key::Key;
use crate::config::rows::Table;
use crate::config::settings::SECTIONS;

const HEAD: &str = "\
# Settings

This page is made from the table of keys; a test holds them equal.

Built-in default < TOML file (`--config FILE` or `RINGCAST_CONFIG`) < `.env` in the working folder
< environment < flags (`--set key=value`, as often as wanted).

- The variable of a key is `RINGCAST_` and its name with `__` between the parts:
  `RINGCAST_LIMITS__PER_USER`. Some keys have a variable of their own too; where both are set,
  `RINGCAST_...` counts. Of a secret `..._FILE` names a file that holds it. An empty variable counts
  as not set.
- Numbers in variables of their own are read as `parseInt(x) || default` does, with a warning for
  anything but a plain number. Everything else that cannot be read is an error.
- In `.env` an inline comment is cut off, quotes and `export` are understood.
- Times may be written like `30s`, `10m` or `1h30m`, sizes like `64KiB` or `10MB`; plain numbers
  count in the unit of the key. In variables and flags lists are separated by commas, tables
  written `name=value,name=value`; both may be written as in TOML too.
- `ringcast config init` prints a file with every key, `ringcast config show` the values in force
  with their origins, `ringcast config schema` a JSON Schema, `ringcast check` all findings.
- SIGHUP reads all layers again. A bad configuration changes nothing; of a good one the keys that
  count *on reload* change at once, streams stay, and the log tells what needs a restart.
";

/// The page about all keys, in Markdown.
#[must_use]
pub fn manual() -> String {
    let mut text = HEAD.to_owned();
    for section in SECTIONS {
        let title = if section.name().is_empty() { "top" } else { section.name() };
        head(title, section.about.trim(), &mut text);
        section.keys.iter().for_each(|key| row(key, &mut text));
    }
    for table in Table::ALL {
        head(table.name(), table.about(), &mut text);
        table.columns().iter().for_each(|key| row(key, &mut text));
        if !table.shipped().is_empty() {
            let _ = write!(text, "\nShipped rows:\n\n```toml\n[{}]", table.name());
            let _ = writeln!(text, "{}```", table.shipped());
        }
    }
    text
}

fn head(title: &str, about: &str, text: &mut String) {
    let _ = writeln!(text, "\n## {title}\n{about}\n");
    text.push_str("| key | what | values | default | counts |\n| --- | --- | --- | --- | --- |\n");
}

fn row(key: &Key, text: &mut String) {
    let own: Vec<String> = key.variables.iter().map(|(name, _)| format!("`{name}`")).collect();
    let own = if own.is_empty() { String::new() } else { format!("<br>{}", own.join(", ")) };
    let (doc, values) = (key.doc.trim(), key.kind.describe());
    let default = default_of(key);
    let cell = |text: &str| text.replace('|', "\\|");
    let (doc, values) = (cell(doc), cell(&values));
    let name = key.name;
    let _ = writeln!(text, "| `{name}`{own} | {doc} | {values} | `{default}` | {} |", force(key));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `RINGCAST_BLESS=1 cargo test` writes the page anew.
    #[test]
    fn the_page_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/settings.md");
        if std::env::var_os("RINGCAST_BLESS").is_some() {
            std::fs::write(path, manual()).expect("written");
        }
        let page = std::fs::read_to_string(path).expect("docs/settings.md");
        assert!(page == manual(), "write it anew: RINGCAST_BLESS=1 cargo test --lib config");
    }
}
