//! Variables of the environment and of `.env`.

use std::path::Path;

use super::Layer;
use super::node::{Data, Node, shorten};
use crate::config::finding::{Finding, Origin};
use crate::config::key::{Key, Reading};
use crate::config::kind::{Kind, quote};
use crate::config::rows::Table;
use crate::config::settings;
use crate::config::suggest::nearest;

/// Names that belong to the command line, not to the settings.
const OTHERS: [&str; 2] = ["RINGCAST_CONFIG", "RINGCAST_URL"];

/// A variable and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) origin: Origin,
}

/// Reads the file that a `..._FILE` variable names.
pub(crate) type ReadSecret<'r> = &'r dyn Fn(&Path) -> Result<String, String>;

impl Layer {
    /// Variables: first the names of their own, then `RINGCAST_...`, which count more.
    pub(crate) fn variables(variables: &[Variable], read: ReadSecret<'_>) -> Self {
        let mut layer = Self::default();
        let filled: Vec<&Variable> = variables.iter().filter(|v| !v.value.is_empty()).collect();
        for key in settings::keys() {
            for (name, reading) in key.variables {
                layer.own_name(key, name, *reading, &filled, read);
            }
        }
        for key in settings::keys() {
            let name = key.variable();
            layer.own_name(key, &name, Reading::Plain, &filled, read);
        }
        if let Some(key) = settings::find("admin.address") {
            layer.own_name(key, "RINGCAST_ADMIN", Reading::Plain, &filled, read);
        }
        for table in Table::ALL {
            let name = format!("RINGCAST_{}", table.name().to_ascii_uppercase());
            if let Some(variable) = filled.iter().find(|v| v.name == name) {
                layer.rows(table, Node::plain(&variable.value), &variable.origin);
            }
        }
        filled.iter().for_each(|variable| layer.warn_unknown(variable));
        layer
    }

    fn own_name(
        &mut self,
        key: &'static Key,
        name: &str,
        reading: Reading,
        variables: &[&Variable],
        read: ReadSecret<'_>,
    ) {
        let find = |name: &str| variables.iter().find(|variable| variable.name == name);
        let direct = find(name);
        let file = key.is_secret().then(|| find(&format!("{name}_FILE"))).flatten();
        match (direct, file) {
            (Some(variable), file) => {
                self.understand(key, reading, variable);
                if let Some(file) = file {
                    let problem = format!("{name} is set too and counts");
                    let cure = "unset one of them";
                    self.findings.push(Finding::warning(
                        file.origin.clone(),
                        key.name,
                        &problem,
                        cure,
                    ));
                }
            }
            (None, Some(file)) => match read(Path::new(&file.value)) {
                Ok(text) => {
                    let value = text.trim_end_matches(['\r', '\n']).to_owned();
                    let variable = Variable { value, ..(*file).clone() };
                    self.understand(key, reading, &variable);
                }
                Err(problem) => {
                    let cure = "name a file that can be read";
                    let shown = shorten(&quote(&file.value));
                    let finding = Finding::error(file.origin.clone(), key.name, &problem, cure);
                    self.findings.push(finding.with(shown));
                }
            },
            (None, None) => {}
        }
    }

    fn understand(&mut self, key: &'static Key, reading: Reading, variable: &Variable) {
        let Variable { value, origin, .. } = variable;
        let node = match reading {
            Reading::Plain => Some(Node::plain(value)),
            Reading::OnlyEntry => Some(Node {
                data: Data::Table(vec![(String::new(), Node::plain(value))]),
                ..Node::plain(value)
            }),
            Reading::ExactTrue => {
                if !["true", "false", "0"].contains(&&**value) {
                    let problem = "only the exact text true switches it on";
                    let cure = "write true or false; false is used";
                    let finding = Finding::warning(origin.clone(), key.name, problem, cure);
                    self.findings.push(finding.with(shorten(&quote(value))));
                }
                Some(Node::plain(if value == "true" { "true" } else { "false" }))
            }
            Reading::ParseInt => self.number(key, variable, bounds(&key.kind)).map(plain_number),
            Reading::Port => self.number(key, variable, (1, 65_535)).map(|port| {
                // A platform that gives a port wants it on all interfaces.
                Node::plain(&format!("0.0.0.0:{port},[::]:{port}"))
            }),
        };
        if let Some(node) = node {
            self.push(key, node, origin.clone());
        }
    }

    /// As `parseInt(x) || default` reads it: what cannot be read counts as not set; so that nothing
    /// goes by unseen, anything but a plain number is warned of.
    fn number(&mut self, key: &Key, variable: &Variable, bounds: (u64, u64)) -> Option<u64> {
        let text = &variable.value;
        let read = parse_int(text);
        let used = read.filter(|number| *number > 0).map(|number| number.clamp(bounds.0, bounds.1));
        // A port outside the range is no port; an amount is drawn to the bound.
        let used = used.filter(|used| bounds != (1, 65_535) || read == Some(*used));
        if used.map(|number| number.to_string()).as_deref() != Some(text) {
            let problem = "no plain number of the range";
            let cure = match used {
                Some(number) => format!("{number} is used; write it so"),
                None => "it counts as not set".to_owned(),
            };
            let finding = Finding::warning(variable.origin.clone(), key.name, problem, &cure);
            self.findings.push(finding.with(shorten(&quote(text))));
        }
        used
    }

    /// Other programs have variables too (`RINGCAST_SERVICE_HOST` in Kubernetes): only what looks
    /// like a key is spoken of.
    fn warn_unknown(&mut self, variable: &Variable) {
        let Some(rest) = variable.name.strip_prefix("RINGCAST_") else { return };
        let base = variable.name.strip_suffix("_FILE").unwrap_or(&variable.name);
        let known = |name: &str| {
            settings::keys().any(|key| key.variable() == name)
                || name == "RINGCAST_ADMIN"
                || Table::find(&rest.to_ascii_lowercase()).is_some()
        };
        if known(&variable.name) || known(base) || OTHERS.contains(&&*variable.name) {
            return;
        }
        let names: Vec<String> = settings::keys().map(Key::variable).collect();
        let near = nearest(&variable.name, names.iter().map(String::as_str));
        let cure = match near {
            Some(near) => format!("did you mean {near}?"),
            None if rest.contains("__") => "it is not used".to_owned(),
            None => return,
        };
        let origin = variable.origin.clone();
        self.findings.push(Finding::warning(origin, "", "unknown variable", &cure));
    }
}

fn plain_number(number: u64) -> Node {
    Node::plain(&number.to_string())
}

/// Bounds of a number or an amount.
fn bounds(kind: &Kind) -> (u64, u64) {
    match kind {
        Kind::Number(low, high)
        | Kind::Millis(low, high)
        | Kind::Seconds(low, high)
        | Kind::Bytes(low, high) => (*low, *high),
        Kind::Or(_, inner) => bounds(inner),
        _ => (0, u64::MAX),
    }
}

/// JavaScript's `parseInt`: white space, a sign, `0x`, then digits as far as they go. None for NaN
/// and for a number below zero, which no setting can use.
fn parse_int(text: &str) -> Option<u64> {
    let text = text.trim_start();
    let text = text.strip_prefix('+').unwrap_or(text);
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = hex.map_or((text, 10), |digits| (digits, 16));
    let end = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
    if end == 0 {
        return None;
    }
    // More digits than fit mean "as much as there is".
    Some(u64::from_str_radix(&digits[..end], radix).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_parse_int_reads_them() {
        for (text, number) in [
            ("30000", Some(30_000)),
            ("15000 # 15 s", Some(15_000)),
            (" 7px", Some(7)),
            ("1e3", Some(1)),
            ("0x10", Some(16)),
            ("+5", Some(5)),
            ("1.9", Some(1)),
            ("0", Some(0)),
            ("-5", None),
            ("soon", None),
            ("", None),
            ("99999999999999999999", Some(u64::MAX)),
        ] {
            assert_eq!(parse_int(text), number, "{text}");
        }
    }
}
