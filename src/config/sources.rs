//! Where values come from: flags before the environment, the environment before `.env`, that
//! before the file.

use std::collections::BTreeMap;
use std::fmt;

use super::dotenv::{self, Assignment};
use super::file::File;
use super::table::{NOT_FOLLOWED, NOT_SETTINGS, SETTINGS, Setting};
use super::{ConfigError, Flags};
use crate::proto::nearest;

/// Where a value was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In the TOML file.
    File {
        /// Its path as it was given.
        path: String,
        /// Line, from 1.
        line: usize,
    },
    /// On the command line.
    Flag,
    /// In the environment.
    Environment,
    /// In `.env` of the working folder.
    DotEnv {
        /// Line, from 1; 0: the file as a whole.
        line: usize,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{path}:{line}"),
            Self::Flag => f.write_str("command line"),
            Self::Environment => f.write_str("environment"),
            Self::DotEnv { line: 0 } => f.write_str(".env"),
            Self::DotEnv { line } => write!(f, ".env:{line}"),
        }
    }
}

/// A value as it was given.
#[derive(Debug, Clone)]
pub(super) struct Given {
    pub(super) origin: Origin,
    /// The flag, key or variable.
    pub(super) name: String,
    pub(super) value: String,
    /// It is a variable of a replaced system: its numbers are read as `parseInt(x) || default`.
    pub(super) lenient: bool,
    /// The value is the name of a file that holds it.
    pub(super) is_file: bool,
}

/// The layers below the flags.
#[derive(Debug, Default)]
pub struct Sources {
    environment: BTreeMap<String, String>,
    /// What `.env` says, when there is one.
    dotenv: BTreeMap<String, (usize, String)>,
    pub(super) file: File,
    broken: Vec<ConfigError>,
}

impl Sources {
    /// Of these variables and this `.env`; of a name that stands there twice the last one counts.
    #[must_use]
    pub fn new(environment: BTreeMap<String, String>, dotenv: Option<&str>) -> Self {
        let lines = dotenv.map(dotenv::parse).unwrap_or_default();
        let dotenv =
            lines.into_iter().map(|Assignment { line, name, value }| (name, (line, value)));
        Self { environment, dotenv: dotenv.collect(), ..Self::default() }
    }

    /// With a TOML file below all of them.
    #[must_use]
    pub fn with_file(self, path: &str, text: &str) -> Self {
        Self { file: File::parse(path, text), ..self }
    }

    /// This process's environment (variables that are no UTF-8 are left out), the `.env` of its
    /// working folder, and the file that `--config` or else `RINGCAST_CONFIG` names.
    #[must_use]
    pub fn of_process(config: Option<&str>) -> Self {
        let text = |text: std::ffi::OsString| text.into_string().ok();
        let environment: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((text(name)?, text(value)?)))
            .collect();
        let named = environment.get("RINGCAST_CONFIG").filter(|path| !path.is_empty());
        let path = config.map(str::to_owned).or_else(|| named.cloned());
        let (dotenv, broken) = match std::fs::read_to_string(".env") {
            Ok(dotenv) => (Some(dotenv), None),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => (None, None),
            Err(error) => (None, Some(error.to_string())),
        };
        let mut sources = Self::new(environment, dotenv.as_deref());
        if let Some(value) = broken {
            let cure = "make the file readable UTF-8 text, or take it away".to_owned();
            let (origin, key) = (Origin::DotEnv { line: 0 }, "file".to_owned());
            sources.broken.push(ConfigError { origin, key, value, cure });
        }
        let Some(path) = path else { return sources };
        match std::fs::read_to_string(&path) {
            Ok(text) => sources.with_file(&path, &text),
            Err(error) => {
                let origin = if config.is_some() { Origin::Flag } else { Origin::Environment };
                let key = if config.is_some() { "--config" } else { "RINGCAST_CONFIG" };
                let cure = format!("the file cannot be read ({error}): name one that can");
                sources.broken.push(ConfigError { origin, key: key.to_owned(), value: path, cure });
                sources
            }
        }
    }

    /// Files that are there and cannot be used.
    pub(super) fn check(&self) -> Vec<ConfigError> {
        self.broken.iter().chain(&self.file.errors).cloned().collect()
    }

    /// The value that counts: the first of command line, environment, `.env`, file; in each our own
    /// name before those of the replaced systems. Empty variables count as absent.
    pub(super) fn find(&self, setting: &Setting, flags: &Flags) -> Option<Given> {
        flags.find(setting).or_else(|| {
            self.variable(setting, |name| {
                Some((Origin::Environment, self.environment.get(name)?.clone()))
            })
            .or_else(|| {
                self.variable(setting, |name| {
                    let (line, value) = self.dotenv.get(name)?;
                    Some((Origin::DotEnv { line: *line }, value.clone()))
                })
            })
            .or_else(|| {
                let (line, value) = self.file.values.get(setting.key)?;
                Some(self.in_file(setting.key.to_owned(), *line, value))
            })
        })
    }

    /// A value of the file.
    pub(super) fn in_file(&self, name: String, line: usize, value: &str) -> Given {
        let origin = Origin::File { path: self.file.path.clone(), line };
        Given { origin, name, value: value.to_owned(), lenient: false, is_file: false }
    }

    fn variable(
        &self,
        setting: &Setting,
        get: impl Fn(&str) -> Option<(Origin, String)>,
    ) -> Option<Given> {
        let own = (setting.variable(), false);
        let known = setting.names.iter().map(|name| ((*name).to_owned(), true));
        std::iter::once(own).chain(known).find_map(|(name, lenient)| {
            let look = |name: String, is_file| {
                let (origin, value) = get(&name).filter(|(_, value)| !value.trim().is_empty())?;
                Some(Given { origin, name, value, lenient, is_file })
            };
            let direct = look(name.clone(), false);
            direct.or_else(|| {
                setting.is_secret().then(|| look(format!("{name}_FILE"), true)).flatten()
            })
        })
    }

    /// Names that look like settings and are none, or not of this version.
    pub(super) fn warnings(&self) -> Vec<String> {
        let names = self.environment.iter();
        let names = names.map(|(name, value)| (name, value, Origin::Environment));
        let in_file = self
            .dotenv
            .iter()
            .map(|(name, (line, value))| (name, value, Origin::DotEnv { line: *line }));
        let mut warnings = Vec::new();
        for (name, value, origin) in names.chain(in_file) {
            if NOT_FOLLOWED.contains(&name.as_str()) && !value.trim().is_empty() {
                warnings.push(format!("{origin}: {name} is not followed by this version"));
            } else if name.starts_with("RINGCAST_") && !is_known(name) {
                let known: Vec<String> = SETTINGS.iter().map(Setting::variable).collect();
                let meant = nearest(name, known.iter().map(String::as_str));
                let hint = meant.map(|meant| format!(", did you mean {meant}?"));
                let hint = hint.unwrap_or_default();
                warnings.push(format!("{origin}: {name} is no setting{hint}"));
            }
        }
        warnings
    }
}

fn is_known(name: &str) -> bool {
    let is_setting = |setting: &Setting| {
        let variable = setting.variable();
        name == variable || (setting.is_secret() && name == format!("{variable}_FILE"))
    };
    NOT_SETTINGS.contains(&name)
        || ["RINGCAST_TEST_", "RINGCAST_SIM_"].iter().any(|begin| name.starts_with(begin))
        || SETTINGS.iter().any(is_setting)
}

impl Flags {
    /// The value of a setting on the command line: its own flag, or else the last `--set`.
    fn find(&self, setting: &Setting) -> Option<Given> {
        let own = match setting.key {
            "listen" => (!self.listen.is_empty()).then(|| self.listen.join(",")),
            "admin" => self.admin.clone(),
            "workers" => self.workers.clone(),
            "log.level" => self.log_level.clone(),
            "log.format" => self.log_format.clone(),
            _ => None,
        };
        let given = |name: &str, value: String| Given {
            origin: Origin::Flag,
            name: name.to_owned(),
            value,
            lenient: false,
            is_file: false,
        };
        if let (Some(flag), Some(value)) = (setting.flag, own) {
            return Some(given(flag, value));
        }
        let pairs = self.set.iter().rev().filter_map(|pair| pair.split_once('='));
        let mut found = pairs.filter(|(key, _)| key.trim() == setting.key);
        found.next().map(|(_, value)| given(setting.key, value.to_owned()))
    }

    /// What `--set` names and is no setting, or not of the form `key=value`.
    pub(super) fn check(&self) -> Vec<ConfigError> {
        let keys = || SETTINGS.iter().map(|setting| setting.key);
        let wrong = self.set.iter().filter_map(|pair| {
            let cure = match pair.split_once('=') {
                Some((key, _)) if keys().any(|known| known == key.trim()) => return None,
                Some((key, _)) => match nearest(key.trim(), keys()) {
                    Some(meant) => format!("no such setting, did you mean {meant}?"),
                    None => "no such setting: docs/settings.md lists them".to_owned(),
                },
                None => "write --set key=value".to_owned(),
            };
            // What stands behind the sign may be a secret.
            let value = pair.split('=').next().unwrap_or_default().to_owned();
            Some(ConfigError { origin: Origin::Flag, key: "--set".to_owned(), value, cure })
        });
        wrong.collect()
    }
}
