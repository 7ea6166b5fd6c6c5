//! From flags and environment to settings.

use std::net::SocketAddr;

use thiserror::Error;

use crate::auth::ttl;

/// What the server runs with.
#[derive(Clone)]
pub struct Settings {
    /// Public addresses.
    pub listen: Vec<SocketAddr>,
    /// The operators' address.
    pub admin: SocketAddr,
    /// Worker threads; one per core by default.
    pub workers: usize,
    /// Secret of token signatures.
    pub jwt_secret: Option<String>,
    /// The fixed publish token.
    pub publish_token: Option<String>,
    /// Life of tokens made by `ringcast token`, seconds.
    pub token_ttl_s: u64,
    /// Heartbeat interval, milliseconds.
    pub heartbeat_ms: u64,
    /// Longest life of a stream, milliseconds.
    pub lifetime_max_ms: Option<u64>,
    /// Ended streams are noticed at once, at 256 bytes of kernel memory each; else by the heartbeats
    /// that fail.
    pub watch_hangup: bool,
    /// Most connections of the node.
    pub connections_max: Option<usize>,
    /// Which log lines are written.
    pub log_level: LogLevel,
    /// Their form.
    pub log_format: LogFormat,
    /// Values that were not usable and what is used instead.
    pub warnings: Vec<String>,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("listen", &self.listen)
            .field("admin", &self.admin)
            .field("workers", &self.workers)
            .field("jwt_secret", &self.jwt_secret.as_ref().map(|_| "***"))
            .field("publish_token", &self.publish_token.as_ref().map(|_| "***"))
            .finish_non_exhaustive()
    }
}

/// Log lines of this level and above are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// None.
    Off,
    /// What ended the server.
    Error,
    /// What an operator should cure.
    Warn,
    /// Start, drain, stop.
    #[default]
    Info,
    /// A summary each ten seconds too.
    Debug,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// A value that cannot be used: which, and what cures it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{key}={value:?}: {cure}")]
pub struct ConfigError {
    /// Flag or variable.
    pub key: String,
    /// Its value (never a secret's).
    pub value: String,
    /// What to write instead.
    pub cure: String,
}

/// Flags of `serve`.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--listen`, as often as wanted.
    pub listen: Vec<String>,
    /// `--admin`.
    pub admin: Option<String>,
    /// `--workers`.
    pub workers: Option<usize>,
    /// `--log-level`.
    pub log_level: Option<String>,
    /// `--log-format`.
    pub log_format: Option<String>,
}

impl Settings {
    /// Puts defaults, environment and flags together.
    ///
    /// # Errors
    /// All unusable values at once.
    pub fn load(
        flags: &Flags,
        env: impl Fn(&str) -> Option<String>,
        cores: usize,
    ) -> Result<Self, Vec<ConfigError>> {
        let mut reader = Reader { env, errors: Vec::new(), warnings: Vec::new() };
        let listen = reader.listen(flags);
        let admin = flags.admin.clone().unwrap_or_else(|| "127.0.0.1:8081".to_owned());
        let admin = reader.address("--admin", &admin);
        let token_ttl_s = reader.ttl();
        let settings = Self {
            listen,
            admin: admin.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8081))),
            workers: flags.workers.unwrap_or(cores).clamp(1, 1_024),
            jwt_secret: reader.secret("JWT_SECRET"),
            publish_token: reader.secret("AUTH_TOKEN"),
            token_ttl_s,
            heartbeat_ms: reader.number("SSE_HEARTBEAT_INTERVAL").unwrap_or(30_000).max(100),
            lifetime_max_ms: reader.number("SSE_CONNECTION_TIMEOUT"),
            watch_hangup: reader.switch("RINGCAST_STREAM__WATCH_HANGUP", true),
            connections_max: reader
                .number("MAX_SSE_CLIENTS")
                .and_then(|number| usize::try_from(number).ok()),
            log_level: reader.log_level(flags),
            log_format: reader.log_format(flags),
            warnings: std::mem::take(&mut reader.warnings),
        };
        if reader.errors.is_empty() { Ok(settings) } else { Err(reader.errors) }
    }
}

struct Reader<E> {
    env: E,
    errors: Vec<ConfigError>,
    warnings: Vec<String>,
}

impl<E: Fn(&str) -> Option<String>> Reader<E> {
    fn address(&mut self, key: &str, value: &str) -> Option<SocketAddr> {
        let parsed = value.parse().ok();
        if parsed.is_none() {
            let cure = "write an address and a port, like 127.0.0.1:8080 or [::]:8080";
            self.error(key, value, cure);
        }
        parsed
    }

    fn error(&mut self, key: &str, value: &str, cure: &str) {
        let (key, value, cure) = (key.to_owned(), value.to_owned(), cure.to_owned());
        self.errors.push(ConfigError { key, value, cure });
    }

    fn listen(&mut self, flags: &Flags) -> Vec<SocketAddr> {
        if !flags.listen.is_empty() {
            return flags.listen.iter().filter_map(|a| self.address("--listen", a)).collect();
        }
        if let Some(port) = (self.env)("PORT").filter(|port| !port.trim().is_empty()) {
            match port.trim().parse::<u16>() {
                // A platform that gives a port wants it on all interfaces.
                Ok(port) => {
                    let v6 = SocketAddr::from(([0_u16; 8], port));
                    return vec![SocketAddr::from(([0; 4], port)), v6];
                }
                Err(_) => self.error("PORT", &port, "write a port number from 1 to 65535"),
            }
        }
        let v6 = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1_u16], 8080));
        vec![SocketAddr::from(([127, 0, 0, 1], 8080)), v6]
    }

    fn secret(&self, name: &str) -> Option<String> {
        let direct = (self.env)(name).filter(|value| !value.is_empty());
        direct.or_else(|| {
            let path = (self.env)(&format!("{name}_FILE"))?;
            let text = std::fs::read_to_string(path).ok()?;
            Some(text.trim_end_matches(['\r', '\n']).to_owned()).filter(|text| !text.is_empty())
        })
    }

    /// As `parseInt(x) || default` reads it: leading digits count, zero and garbage are the
    /// default, with a warning.
    fn number(&mut self, name: &str) -> Option<u64> {
        let text = (self.env)(name)?;
        let digits: String = text.trim_start().chars().take_while(char::is_ascii_digit).collect();
        let number = digits.parse().ok().filter(|number| *number > 0);
        if number.is_none() || digits != text {
            let used = number.map_or("the default".to_owned(), |number: u64| number.to_string());
            self.warnings.push(format!("{name}={text:?} is no plain number: {used} is used"));
        }
        number
    }

    fn switch(&mut self, name: &str, default: bool) -> bool {
        match (self.env)(name).as_deref() {
            None | Some("") => default,
            Some("true") => true,
            Some("false") => false,
            Some(other) => {
                self.error(name, other, "write true or false");
                default
            }
        }
    }

    /// A flag, or else its variable, with the name of the one that was given.
    fn choice(&self, flag: Option<&String>, names: [&str; 2]) -> Option<(String, String)> {
        let [flag_name, variable] = names;
        let from_flag = flag.map(|value| (flag_name.to_owned(), value.clone()));
        from_flag.or_else(|| Some((variable.to_owned(), (self.env)(variable)?)))
    }

    fn log_level(&mut self, flags: &Flags) -> LogLevel {
        let names = ["--log-level", "RINGCAST_LOG__LEVEL"];
        let Some((key, value)) = self.choice(flags.log_level.as_ref(), names) else {
            return LogLevel::default();
        };
        match &*value {
            "off" => LogLevel::Off,
            "error" => LogLevel::Error,
            "warn" => LogLevel::Warn,
            "info" => LogLevel::Info,
            "debug" => LogLevel::Debug,
            _ => {
                self.error(&key, &value, "write off, error, warn, info or debug");
                LogLevel::default()
            }
        }
    }

    fn log_format(&mut self, flags: &Flags) -> LogFormat {
        let names = ["--log-format", "RINGCAST_LOG__FORMAT"];
        let Some((key, value)) = self.choice(flags.log_format.as_ref(), names) else {
            return LogFormat::default();
        };
        match &*value {
            "text" => LogFormat::Text,
            "json" => LogFormat::Json,
            _ => {
                self.error(&key, &value, "write text or json");
                LogFormat::default()
            }
        }
    }

    fn ttl(&mut self) -> u64 {
        let text = (self.env)("JWT_SSE_EXPIRES_IN").unwrap_or_else(|| "7d".to_owned());
        ttl::parse(&text).unwrap_or_else(|_| {
            self.error("JWT_SSE_EXPIRES_IN", &text, "write a time span like 7d, 12h or 3600");
            0
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(flags: &Flags, env: &[(&str, &str)]) -> Result<Settings, Vec<ConfigError>> {
        let env = |name: &str| {
            env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Settings::load(flags, env, 4)
    }

    #[test]
    fn defaults_and_the_port() {
        let settings = load(&Flags::default(), &[]).unwrap();
        assert_eq!(settings.listen[0].to_string(), "127.0.0.1:8080");
        assert_eq!(
            (settings.workers, settings.heartbeat_ms, settings.token_ttl_s),
            (4, 30_000, 604_800)
        );
        let settings = load(&Flags::default(), &[("PORT", "3000")]).unwrap();
        assert_eq!(settings.listen[0].to_string(), "0.0.0.0:3000");
    }

    #[test]
    fn numbers_as_parse_int_reads_them() {
        let env = [("SSE_HEARTBEAT_INTERVAL", "15000 # 15 s"), ("SSE_CONNECTION_TIMEOUT", "0")];
        let settings = load(&Flags::default(), &env).unwrap();
        assert_eq!((settings.heartbeat_ms, settings.lifetime_max_ms), (15_000, None));
        assert_eq!(settings.warnings.len(), 2);
    }

    #[test]
    fn all_errors_at_once_and_no_secret_in_debug() {
        let flags =
            Flags { listen: vec!["nowhere".into()], admin: Some("x".into()), ..Flags::default() };
        let errors = load(&flags, &[("RINGCAST_LOG__LEVEL", "loud")]).unwrap_err();
        assert_eq!(errors.len(), 3);
        assert!(errors[2].to_string().contains("RINGCAST_LOG__LEVEL=\"loud\": write off"));
        let settings = load(&Flags::default(), &[("JWT_SECRET", "hush-hush")]).unwrap();
        assert!(!format!("{settings:?}").contains("hush"));
    }
}
