//! `ringcast config init`.

use std::fmt::Write;

use super::{default_of, force, wrap};
use crate::config::key::{Force, Key};
use crate::config::rows::Table;
use crate::config::settings::SECTIONS;

const HEAD: &str = "\
# Settings of ringcast. Every key is here with its default; take away the # in front of a key to
# set it. Times may be written like \"30s\" or \"10m\", sizes like \"64KiB\". Over this file count, in
# this order: .env in the working folder, the environment, flags.
# Look at the result with: ringcast config show --config FILE
";

/// A TOML file with every key as a comment.
#[must_use]
pub fn sample() -> String {
    let mut text = HEAD.to_owned();
    for section in SECTIONS {
        if !section.name().is_empty() {
            let _ = writeln!(text, "\n\n# {}", section.about.trim());
            let _ = writeln!(text, "[{}]", section.name());
        }
        for key in section.keys {
            describe(key, key.name.rsplit('.').next().unwrap_or(key.name), &mut text);
        }
    }
    for table in Table::ALL {
        text.push_str("\n\n");
        comment(table.about(), &mut text);
        let example = match table {
            Table::Namespaces => "ROULETTE:",
            Table::Aliases => "/live/{room}",
        };
        let _ = writeln!(text, "#[{}.{}]", table.name(), crate::config::kind::bare(example));
        for key in table.columns().iter().filter(|key| key.name != table.id_column()) {
            describe(key, key.name, &mut text);
        }
    }
    text
}

fn comment(about: &str, text: &mut String) {
    for line in wrap(about, 96) {
        let _ = writeln!(text, "# {line}");
    }
}

fn describe(key: &Key, name: &str, text: &mut String) {
    text.push('\n');
    comment(key.doc.trim(), text);
    let counts = if key.force == Force::Later { "Is" } else { "Counts" };
    comment(&format!("Write {}. {counts} {}.", key.kind.describe(), force(key)), text);
    let own: Vec<&str> = key.variables.iter().map(|(name, _)| *name).collect();
    if !own.is_empty() {
        comment(&format!("Variable: {}.", own.join(", ")), text);
    }
    let _ = writeln!(text, "#{name} = {}", default_of(key));
}
