//! A given text becomes a value, or an error that says what to write instead.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::file::short;
use super::sources::{Given, Sources};
use super::table::{
    HISTORY_AGE, HISTORY_BYTES, HISTORY_EVENTS, HISTORY_MODE, Kind, LAGGARD_BYTES, LISTEN,
    LOG_FORMAT, LOG_LEVEL, OVERFLOW, Setting,
};
use super::{ConfigError, Flags, LogFormat, LogLevel};
use crate::auth::ttl;
use crate::journal::{Mode, Namespace, Overflow};

const ADDRESS_CURE: &str = "write an address and a port, like 127.0.0.1:8080 or [::]:8080";

/// Reads settings one by one and gathers what is wrong with them.
pub(super) struct Reader<'a> {
    flags: &'a Flags,
    sources: &'a Sources,
    pub(super) errors: Vec<ConfigError>,
    pub(super) warnings: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(flags: &'a Flags, sources: &'a Sources) -> Self {
        let mut errors = flags.check();
        errors.extend(sources.check());
        Self { flags, sources, errors, warnings: sources.warnings() }
    }

    fn find(&self, setting: &Setting) -> Option<Given> {
        self.sources.find(setting, self.flags)
    }

    fn error(&mut self, given: &Given, value: &str, cure: impl Into<String>) {
        let (origin, key) = (given.origin.clone(), given.name.clone());
        self.errors.push(ConfigError { origin, key, value: value.to_owned(), cure: cure.into() });
    }

    fn addresses_in(&mut self, given: &Given) -> Vec<SocketAddr> {
        let mut addresses = Vec::new();
        for text in split(&given.value) {
            match text.parse() {
                Ok(address) => addresses.push(address),
                Err(_) => self.error(given, text, ADDRESS_CURE),
            }
        }
        if addresses.is_empty() && self.errors.is_empty() {
            self.error(given, &given.value, ADDRESS_CURE);
        }
        addresses
    }

    /// Public addresses. A platform that gives a `PORT` wants it on all interfaces.
    pub(super) fn listen(&mut self) -> Vec<SocketAddr> {
        let given = self.find(&LISTEN);
        match given {
            Some(given) if given.lenient => {
                let port = self.parse_int(&given).and_then(|port| u16::try_from(port).ok());
                match port {
                    Some(port) => {
                        let v6 = SocketAddr::from(([0_u16; 8], port));
                        vec![SocketAddr::from(([0; 4], port)), v6]
                    }
                    None => self.default_addresses(),
                }
            }
            Some(given) => self.addresses_in(&given),
            None => self.default_addresses(),
        }
    }

    fn default_addresses(&self) -> Vec<SocketAddr> {
        split(LISTEN.default).filter_map(|text| text.parse().ok()).collect()
    }

    /// One address; nothing when it cannot be read.
    pub(super) fn address(&mut self, setting: &Setting) -> Option<SocketAddr> {
        let Some(given) = self.find(setting) else { return setting.default.parse().ok() };
        let parsed = given.value.trim().parse().ok();
        if parsed.is_none() {
            self.error(&given, &given.value, ADDRESS_CURE);
        }
        parsed
    }

    /// A number within its bounds. Nothing where none is given and the default is in words.
    pub(super) fn number(&mut self, setting: &Setting) -> Option<u64> {
        let given = self.find(setting);
        self.number_in(setting, given)
    }

    fn number_in(&mut self, setting: &Setting, given: Option<Given>) -> Option<u64> {
        let default = setting.default.parse().ok();
        let Kind::Number { unit, min, max } = setting.kind else { return default };
        let Some(given) = given else { return default };
        if given.lenient {
            let number = self.parse_int(&given);
            return number.map(|number| self.clamp(&given, number, min, max)).or(default);
        }
        let text = given.value.trim();
        let has_off = setting.default == "off";
        if has_off && text == "off" {
            return None;
        }
        let number = text.parse().ok().filter(|number| (min..=max).contains(number));
        if number.is_none() {
            let or_off = if has_off { ", or off" } else { "" };
            let cure = format!("write a whole number from {min} to {max} ({unit}){or_off}");
            self.error(&given, &given.value, cure);
        }
        number.or(default)
    }

    /// The same where a default is always there.
    pub(super) fn size(&mut self, setting: &Setting) -> usize {
        let number = self.number(setting).unwrap_or_default();
        usize::try_from(number).unwrap_or(usize::MAX)
    }

    /// As `parseInt(x) || default` reads it: leading digits count, zero and garbage are the
    /// default; with a warning.
    fn parse_int(&mut self, given: &Given) -> Option<u64> {
        let Given { origin, name, value, .. } = given;
        let digits: String = value.trim_start().chars().take_while(char::is_ascii_digit).collect();
        let number = digits.parse().ok().filter(|number| *number > 0);
        if number.is_none() || digits != value.trim() {
            let used = number.map_or("the default".to_owned(), |number: u64| number.to_string());
            let warning = format!("{origin}: {name}={value:?} is no plain number: {used} is used");
            self.warnings.push(warning);
        }
        number
    }

    fn clamp(&mut self, given: &Given, number: u64, min: u64, max: u64) -> u64 {
        let Given { origin, name, .. } = given;
        let used = number.clamp(min, max);
        if used != number {
            let warning = format!("{origin}: {name}={number} is out of bounds: {used} is used");
            self.warnings.push(warning);
        }
        used
    }

    /// The given one of a choice, or its default.
    pub(super) fn choice(&mut self, setting: &Setting) -> &'static str {
        let given = self.find(setting);
        self.choice_in(setting, given)
    }

    fn choice_in(&mut self, setting: &Setting, given: Option<Given>) -> &'static str {
        let Kind::Choice(all) = setting.kind else { return setting.default };
        let Some(given) = given else { return setting.default };
        let found = all.iter().find(|one| **one == given.value.trim());
        found.copied().unwrap_or_else(|| {
            let cure = format!("write one of {}", all.join(", "));
            self.error(&given, &given.value, cure);
            setting.default
        })
    }

    /// What channels keep: those of the file by their prefix, and all others.
    pub(super) fn namespaces(&mut self) -> Vec<Namespace> {
        let sources = self.sources;
        let mut all = vec![self.namespace("", &BTreeMap::new())];
        for (prefix, own) in &sources.file.namespaces {
            let namespace = self.namespace(prefix, own);
            if prefix.is_empty() {
                all.clear();
            }
            all.push(namespace);
        }
        all
    }

    /// What is not its own is as for all.
    fn namespace(&mut self, prefix: &str, own: &BTreeMap<String, (usize, String)>) -> Namespace {
        let sources = self.sources;
        let given = |reader: &Self, setting: &Setting| match own.get(short(setting.key)) {
            Some((line, value)) => {
                let name = format!("namespaces.{prefix:?}.{}", short(setting.key));
                Some(sources.in_file(name, *line, value))
            }
            None => reader.find(setting),
        };
        let mut number = |setting| {
            let given = given(self, setting);
            self.number_in(setting, given).unwrap_or_default()
        };
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let (events, bytes) = (number(&HISTORY_EVENTS), number(&HISTORY_BYTES));
        let (age_ms, laggard) = (number(&HISTORY_AGE), number(&LAGGARD_BYTES));
        let mode = given(self, &HISTORY_MODE);
        let overflow = given(self, &OVERFLOW);
        Namespace {
            prefix: prefix.to_owned(),
            history_events: size(events),
            history_age_ms: age_ms,
            history_bytes: size(bytes),
            mode: match self.choice_in(&HISTORY_MODE, mode) {
                "latest" => Mode::Latest,
                _ => Mode::Log,
            },
            overflow: match self.choice_in(&OVERFLOW, overflow) {
                "conflate" => Overflow::Conflate,
                "disconnect" => Overflow::Disconnect,
                _ => Overflow::Skip,
            },
            laggard_window_bytes: size(laggard),
        }
    }

    /// `true`, `false`, or nothing where nothing is given.
    pub(super) fn switch(&mut self, setting: &Setting) -> Option<bool> {
        let given = self.find(setting)?;
        let value = given.value.trim().parse().ok();
        if value.is_none() {
            self.error(&given, &given.value, "write true or false");
        }
        value
    }

    /// Texts divided by commas; a default `any` is none.
    pub(super) fn list(&mut self, setting: &Setting) -> Vec<String> {
        let given = self.find(setting);
        let default = if setting.default == "any" { "" } else { setting.default };
        split(given.as_ref().map_or(default, |given| &given.value)).map(str::to_owned).collect()
    }

    pub(super) fn log_level(&mut self) -> LogLevel {
        match self.choice(&LOG_LEVEL) {
            "off" => LogLevel::Off,
            "error" => LogLevel::Error,
            "warn" => LogLevel::Warn,
            "debug" => LogLevel::Debug,
            _ => LogLevel::Info,
        }
    }

    pub(super) fn log_format(&mut self) -> LogFormat {
        if self.choice(&LOG_FORMAT) == "json" { LogFormat::Json } else { LogFormat::Text }
    }

    /// Seconds.
    pub(super) fn span_s(&mut self, setting: &Setting) -> u64 {
        let given = self.find(setting);
        let text = given.as_ref().map_or(setting.default, |given| &given.value);
        ttl::parse(text).unwrap_or_else(|_| {
            if let Some(given) = &given {
                self.error(given, text, "write a time span like 7d, 12h or 3600");
            }
            0
        })
    }

    /// A secret, from its variable or from the file that `.._FILE` names; one line end at the
    /// end of a file does not belong to it.
    pub(super) fn secret(&mut self, setting: &Setting) -> Option<String> {
        let given = self.find(setting)?;
        if !given.is_file {
            return Some(given.value);
        }
        // A secret that was meant and cannot be had must not become one made for the run.
        match std::fs::read_to_string(given.value.trim()) {
            Ok(text) => {
                let secret = text.trim_end_matches(['\r', '\n']);
                if secret.is_empty() {
                    self.error(&given, &given.value, "the file is empty: write the secret into it");
                }
                Some(secret.to_owned())
            }
            Err(error) => {
                let cure = format!("the file cannot be read ({error}): name one that can");
                self.error(&given, &given.value, cure);
                None
            }
        }
    }
}

fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}
