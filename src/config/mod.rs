//! Raw to settings: layers of text become one typed tree.
//!
//! Built-in default < TOML file < `.env` < environment < flags. Every key is written once, in the
//! table of `settings/` and `rows.rs`; readers, pages and the typed tree come from there. Nothing
//! here touches the machine but `files.rs`, which reads the files that somebody named.

mod checks;
mod files;
mod finding;
mod key;
mod kind;
mod layers;
mod print;
mod rows;
mod settings;
mod suggest;
mod value;
mod values;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

pub use finding::{Finding, Origin, Severity};
pub use key::{Force, Key};
pub use kind::{Form, Kind};
pub use print::{manual, sample, schema, show_json, show_text};
pub use rows::{Access, AliasSettings, Envelope, NamespaceSettings, Serves, Subscribers};
pub use settings::*;
pub use value::{Secret, Value};
pub use values::{Change, Effective, Item, Values};

use key::Build;
use layers::variables::Variable;
use layers::{Layer, dotenv};

/// The file of variables in the working folder.
const DOTENV: &str = ".env";

/// Flags of the command line that are settings.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--config`: the TOML file.
    pub config: Option<PathBuf>,
    /// `--set key=value`, as often as wanted.
    pub set: Vec<String>,
    /// `--listen`, as often as wanted.
    pub listen: Vec<String>,
    /// `--admin`.
    pub admin: Option<String>,
    /// `--workers`.
    pub workers: Option<String>,
    /// `--log-level`.
    pub log_level: Option<String>,
    /// `--log-format`.
    pub log_format: Option<String>,
}

/// Where settings are read from; kept to read them again.
#[derive(Clone, Default)]
pub struct Sources {
    /// The flags.
    pub flags: Flags,
    /// The environment.
    pub variables: Vec<(OsString, OsString)>,
    /// The working folder, where a `.env` may be.
    pub folder: PathBuf,
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// Settings that can be used.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The typed tree.
    pub settings: Settings,
    /// The same with where each value came from.
    pub values: Values,
    /// What is worth a look.
    pub warnings: Vec<Finding>,
}

/// Reads all layers.
///
/// # Errors
/// Everything that was found, at least one error among it.
pub fn load(sources: &Sources) -> Result<Loaded, Vec<Finding>> {
    let (mut values, mut findings) = Values::defaults();
    let dotenv = dotenv_variables(sources, &mut findings);
    let (environment, unreadable) = environment(sources);
    findings.extend(unreadable);
    let path = config_path(sources, &environment, &dotenv);
    if let Some((path, origin)) = path {
        let name = path.to_string_lossy();
        match files::read(&sources.folder.join(&path)) {
            Ok(text) => findings.extend(values.apply(Layer::file(&name, &text))),
            Err(problem) => {
                let cure = "name a TOML file that can be read (ringcast config init writes one)";
                let finding = Finding::error(origin, "config", &problem, cure);
                findings.push(finding.with(kind::quote(&name)));
            }
        }
    }
    let read = |path: &std::path::Path| files::read(&sources.folder.join(path));
    findings.extend(values.apply(Layer::variables(&dotenv, &read)));
    findings.extend(values.apply(Layer::variables(&environment, &read)));
    findings.extend(values.apply(Layer::flags(&sources.flags)));
    checks::derive(&mut values);
    let settings = values.settings();
    if let Some(settings) = &settings {
        findings.extend(checks::check(&values, settings));
    }
    findings.extend(values.not_in_force());
    finding::sort(&mut findings);
    let bad = findings.iter().any(|finding| finding.severity == Severity::Error);
    match settings {
        Some(settings) if !bad => Ok(Loaded { settings, values, warnings: findings }),
        _ => Err(findings),
    }
}

impl Values {
    /// The typed tree. None only where the table of keys contradicts it, which a test excludes.
    #[must_use]
    pub fn settings(&self) -> Option<Settings> {
        Settings::build(self)
    }
}

/// The variables of `.env`, if there is one.
fn dotenv_variables(sources: &Sources, findings: &mut Vec<Finding>) -> Vec<Variable> {
    let at = |line, name: &str| Origin::DotEnv { line, name: Arc::from(name) };
    let text = match files::read_if_there(&sources.folder.join(DOTENV)) {
        Ok(text) => text.unwrap_or_default(),
        Err(problem) => {
            let origin = Origin::File { path: Arc::from(DOTENV), line: 0 };
            findings.push(Finding::error(origin, "", &problem, "correct or remove the file"));
            return Vec::new();
        }
    };
    let (lines, errors) = dotenv::parse(&text);
    for (line, problem) in errors {
        let cure = "write NAME=value, with text that has spaces or # in quotes";
        findings.push(Finding::error(at(line, ""), "", problem, cure));
    }
    let lines = lines.into_iter().map(|line| {
        let origin = at(line.line, &line.name);
        if line.doubtful {
            let problem = "the # is part of the value";
            let cure = "put a value with a # in quotes, or white space before a comment";
            findings.push(Finding::warning(origin.clone(), "", problem, cure));
        }
        Variable { name: line.name, value: line.value, origin }
    });
    // Of a name that stands twice the last one counts.
    lines.rev().collect()
}

/// The environment as text. A value that is no UTF-8 is an error where the name is one of ours.
fn environment(sources: &Sources) -> (Vec<Variable>, Vec<Finding>) {
    let mut findings = Vec::new();
    let variables = sources.variables.iter().filter_map(|(name, value)| {
        let name = name.to_str()?;
        let origin = Origin::Variable(Arc::from(name));
        match value.to_str() {
            Some(value) => {
                Some(Variable { name: name.to_owned(), value: value.to_owned(), origin })
            }
            None => {
                let ours = name.starts_with("RINGCAST_")
                    || settings::keys()
                        .any(|key| key.variables.iter().any(|(own, _)| *own == name));
                if ours {
                    let cure = "write text in UTF-8";
                    findings.push(Finding::error(origin, "", "the value is no UTF-8 text", cure));
                }
                None
            }
        }
    });
    (variables.collect(), findings)
}

/// The TOML file and who named it.
fn config_path(
    sources: &Sources,
    environment: &[Variable],
    dotenv: &[Variable],
) -> Option<(PathBuf, Origin)> {
    if let Some(path) = &sources.flags.config {
        return Some((path.clone(), Origin::Flag(Arc::from("--config"))));
    }
    let mut both = environment.iter().chain(dotenv);
    let named = both.find(|v| v.name == "RINGCAST_CONFIG" && !v.value.is_empty())?;
    Some((PathBuf::from(&named.value), named.origin.clone()))
}

#[cfg(test)]
mod tests;
