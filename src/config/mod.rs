//! From flags, environment, `.env` and a file to settings.
//!
//! `table.rs` names every setting once; all else follows from it: what is read, what `config show`,
//! `config init` and `config schema` print, and docs/settings.md.

mod dotenv;
mod file;
mod print;
mod read;
mod sources;
mod table;

use std::fmt;
use std::net::SocketAddr;

use read::Reader;
pub use sources::{Origin, Sources};
pub use table::{Kind, SETTINGS, Setting};

use crate::auth::Rules;
use crate::journal::Namespace;

pub use print::{init, schema, show, show_json};

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
    /// Subscribers need no token; as a rule where there is no secret.
    pub anonymous: bool,
    /// Cookies that may carry a token.
    pub cookies: Vec<String>,
    /// Audiences a token may be for; none: any.
    pub audience: Vec<String>,
    /// Issuers a token may come from; none: any.
    pub issuer: Vec<String>,
    /// Clock difference forgiven, seconds.
    pub leeway_s: u64,
    /// Heartbeat interval, milliseconds.
    pub heartbeat_ms: u64,
    /// Reconnection time told to clients, milliseconds.
    pub retry_ms: u32,
    /// Ended streams are noticed at once, at 256 bytes of kernel memory each; else by the heartbeats
    /// that fail.
    pub watch_hangup: bool,
    /// Bounds.
    pub limits: Limits,
    /// What channels keep, by prefix.
    pub namespaces: Vec<Namespace>,
    /// Bounds of the log.
    pub journal: JournalLimits,
    /// A publish waits so long for room, milliseconds.
    pub publish_timeout_ms: u64,
    /// Streams are told to leave within this time at the end, milliseconds.
    pub drain_ms: u64,
    /// Which log lines are written.
    pub log_level: LogLevel,
    /// Their form.
    pub log_format: LogFormat,
    /// Values that were not usable and what is used instead.
    pub warnings: Vec<String>,
}

/// Bounds of connections and requests; times in milliseconds.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Most connections of the node; none: what the rings hold.
    pub connections_max: Option<usize>,
    /// Longest life of a stream.
    pub lifetime_max_ms: Option<u64>,
    /// A reader that takes nothing for so long is disconnected.
    pub stall_max_ms: u64,
    /// Most channels and patterns of one stream.
    pub channels_per_stream_max: usize,
    /// Largest head.
    pub head_bytes_max: usize,
    /// Largest body.
    pub body_bytes_max: u64,
    /// A head must be complete by then.
    pub head_timeout_ms: u64,
    /// A body must go on within this time.
    pub body_timeout_ms: u64,
    /// A connection between requests is closed after this time.
    pub idle_timeout_ms: u64,
}

/// Bounds of the log.
#[derive(Debug, Clone)]
pub struct JournalLimits {
    /// Events in flight.
    pub entries_max: usize,
    /// Their bytes.
    pub bytes_max: u64,
    /// Bytes of the recent log.
    pub recent_bytes_max: usize,
    /// Channels without subscribers and events for so long are dropped, milliseconds.
    pub channel_idle_ms: u64,
    /// Most channels.
    pub channels_max: usize,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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

/// A value that cannot be used: where it stands, which it is, and what cures it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Where it was given.
    pub origin: Origin,
    /// Flag, variable or key.
    pub key: String,
    /// Its value (never a secret's); empty where the key itself is wrong.
    pub value: String,
    /// What to write instead.
    pub cure: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, key, value, cure } = self;
        if value.is_empty() {
            return write!(f, "{origin}: {key}: {cure}");
        }
        write!(f, "{origin}: {key}={value:?}: {cure}")
    }
}

impl std::error::Error for ConfigError {}

/// What the command line says.
#[derive(Debug, Clone, Default)]
pub struct Flags {
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
    /// `--set key=value`, as often as wanted.
    pub set: Vec<String>,
}

impl Settings {
    /// Puts all layers together. `cores` is what `workers` is by default.
    ///
    /// # Errors
    /// All unusable values at once.
    pub fn load(flags: &Flags, sources: &Sources, cores: usize) -> Result<Self, Vec<ConfigError>> {
        let mut reader = Reader::new(flags, sources);
        let jwt_secret = reader.secret(&table::JWT_SECRET);
        let workers = reader.number(&table::WORKERS);
        let workers = workers.and_then(|workers| usize::try_from(workers).ok());
        let settings = Self {
            listen: reader.listen(),
            admin: reader.address(&table::ADMIN).unwrap_or(([127, 0, 0, 1], 0).into()),
            workers: workers.unwrap_or(cores).max(1),
            anonymous: reader.switch(&table::ANONYMOUS).unwrap_or(jwt_secret.is_none()),
            jwt_secret,
            publish_token: reader.secret(&table::PUBLISH_TOKEN),
            token_ttl_s: reader.span_s(&table::TOKEN_TTL),
            cookies: reader.list(&table::COOKIES),
            audience: reader.list(&table::AUDIENCE),
            issuer: reader.list(&table::ISSUER),
            leeway_s: reader.number(&table::LEEWAY).unwrap_or_default(),
            heartbeat_ms: reader.number(&table::HEARTBEAT).unwrap_or_default(),
            retry_ms: u32::try_from(reader.size(&table::RETRY)).unwrap_or(u32::MAX),
            watch_hangup: reader.switch(&table::WATCH_HANGUP).unwrap_or(true),
            limits: Limits::read(&mut reader),
            namespaces: reader.namespaces(),
            journal: JournalLimits::read(&mut reader),
            publish_timeout_ms: reader.number(&table::PUBLISH_TIMEOUT).unwrap_or_default(),
            drain_ms: reader.number(&table::DRAIN).unwrap_or_default(),
            log_level: reader.log_level(),
            log_format: reader.log_format(),
            warnings: std::mem::take(&mut reader.warnings),
        };
        if reader.errors.is_empty() {
            return Ok(settings);
        }
        // As one reads the file, and in it as one would mend them.
        reader.errors.sort_by_key(|error| match &error.origin {
            Origin::File { line, .. } | Origin::DotEnv { line } => *line,
            Origin::Environment | Origin::Flag => usize::MAX,
        });
        Err(reader.errors)
    }

    /// How claims are read.
    #[must_use]
    pub fn rules(&self) -> Rules {
        Rules {
            audience: self.audience.clone(),
            issuer: self.issuer.clone(),
            leeway_s: self.leeway_s,
            ..Rules::default()
        }
    }
}

impl Limits {
    fn read(reader: &mut Reader<'_>) -> Self {
        let mut number = |setting| reader.number(setting);
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Self {
            connections_max: number(&table::CONNECTIONS).map(size),
            lifetime_max_ms: number(&table::LIFETIME),
            stall_max_ms: number(&table::STALL).unwrap_or_default(),
            channels_per_stream_max: size(number(&table::STREAM_CHANNELS).unwrap_or_default()),
            head_bytes_max: size(number(&table::HEAD_BYTES).unwrap_or_default()),
            body_bytes_max: number(&table::BODY_BYTES).unwrap_or_default(),
            head_timeout_ms: number(&table::HEAD_TIMEOUT).unwrap_or_default(),
            body_timeout_ms: number(&table::BODY_TIMEOUT).unwrap_or_default(),
            idle_timeout_ms: number(&table::IDLE_TIMEOUT).unwrap_or_default(),
        }
    }
}

impl JournalLimits {
    fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            entries_max: reader.size(&table::JOURNAL_ENTRIES).next_power_of_two(),
            bytes_max: reader.number(&table::JOURNAL_BYTES).unwrap_or_default(),
            recent_bytes_max: reader.size(&table::RECENT_BYTES),
            channel_idle_ms: reader.number(&table::CHANNEL_IDLE).unwrap_or_default(),
            channels_max: reader.size(&table::CHANNELS),
        }
    }
}

#[cfg(test)]
mod tests;
