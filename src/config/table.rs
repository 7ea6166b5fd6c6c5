//! Every setting, once: its names, default, unit and bounds, and what it does.

use std::fmt;

/// What a value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Addresses with ports, divided by commas.
    Addresses,
    /// One address with a port.
    Address,
    /// A whole number within bounds; where the default is `off`, also `off`.
    Number {
        /// Unit, for people.
        unit: &'static str,
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// A span of time such as `7d`.
    Span,
    /// `true` or `false`.
    Switch,
    /// One of these.
    Choice(&'static [&'static str]),
    /// Texts, divided by commas.
    List,
    /// A text that is never shown.
    Secret,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addresses => f.write_str("addresses"),
            Self::Address => f.write_str("address"),
            Self::Number { unit, min, max } => write!(f, "{unit}, {min} to {max}"),
            Self::Span => f.write_str("time span"),
            Self::Switch => f.write_str("`true` or `false`"),
            Self::Choice(all) => write!(f, "`{}`", all.join("`, `")),
            Self::List => f.write_str("list"),
            Self::Secret => f.write_str("secret"),
        }
    }
}

/// One setting.
#[derive(Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name: `--set KEY=VALUE`; as a variable `RINGCAST_` and the name in capitals with `__`
    /// for each dot.
    pub key: &'static str,
    /// A flag of its own.
    pub flag: Option<&'static str>,
    /// Variables of the systems that ringcast replaces. Their numbers are read leniently.
    pub names: &'static [&'static str],
    /// What holds when nothing is given, as one would write it, or in words.
    pub default: &'static str,
    /// What a value may be.
    pub kind: Kind,
    /// What it does.
    pub about: &'static str,
}

impl Setting {
    /// `RINGCAST_LOG__LEVEL` for `log.level`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("RINGCAST_{}", self.key.replace('.', "__").to_ascii_uppercase())
    }

    /// Its values must not be shown.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.kind == Kind::Secret
    }
}

/// `NAME = "key" [--flag] [VARIABLE ...] "default" kind, "what it does";`
macro_rules! settings {
    ($($id:ident = $key:literal $(flag $flag:literal)? [$($name:literal),*] $default:literal
       $kind:expr, $about:literal;)*) => {
        $(pub(super) const $id: Setting = Setting {
            key: $key,
            flag: settings!(@flag $($flag)?),
            names: &[$($name),*],
            default: $default,
            kind: $kind,
            about: $about,
        };)*
        /// All settings.
        pub const SETTINGS: &[Setting] = &[$($id),*];
    };
    (@flag) => { None };
    (@flag $flag:literal) => { Some($flag) };
}

const fn number(unit: &'static str, min: u64, max: u64) -> Kind {
    Kind::Number { unit, min, max }
}

const DAY_MS: u64 = 86_400_000;
const YEAR_MS: u64 = 365 * DAY_MS;
const MIB: u64 = 1 << 20;

settings! {
    LISTEN = "listen" flag "--listen" ["PORT"] "127.0.0.1:8080,[::1]:8080" Kind::Addresses,
        "Where streams and publishes are served. `PORT` alone binds all interfaces.";
    ADMIN = "admin" flag "--admin" [] "127.0.0.1:8081" Kind::Address,
        "Where operators look. Off loopback it asks for an admin's token.";
    WORKERS = "workers" flag "--workers" [] "one per core" number("threads", 1, 256),
        "Event loops, each pinned to a core.";
    JWT_SECRET = "auth.jwt_secret" ["JWT_SECRET"] "made for the run" Kind::Secret,
        "Verifies JWTs and signs those of `ringcast token`. Give it 32 bytes or more.";
    PUBLISH_TOKEN = "auth.publish_token" ["AUTH_TOKEN"] "none" Kind::Secret,
        "A fixed token that publishes everywhere.";
    TOKEN_TTL = "auth.token_ttl" ["JWT_SSE_EXPIRES_IN"] "7d" Kind::Span,
        "Life of tokens made by `ringcast token`.";
    ANONYMOUS = "auth.anonymous" [] "true while no JWT secret is set" Kind::Switch,
        "Subscribers need no token. Never for reserved names and patterns.";
    COOKIES = "auth.cookies" [] "access_token" Kind::List,
        "Cookies that may carry a subscriber's token.";
    AUDIENCE = "auth.audience" [] "any" Kind::List,
        "A token's `aud` must name one of these.";
    ISSUER = "auth.issuer" [] "any" Kind::List,
        "A token's `iss` must be one of these.";
    LEEWAY = "auth.leeway_s" [] "0" number("s", 0, 300),
        "Clock difference forgiven at `exp` and `nbf`.";
    HEARTBEAT = "heartbeat.interval_ms" ["SSE_HEARTBEAT_INTERVAL"] "30000"
        number("ms", 100, DAY_MS), "Silence on a stream after which a heartbeat is sent.";
    CONNECTIONS = "limits.connections_max" ["MAX_SSE_CLIENTS"] "what the rings hold"
        number("connections", 1, 100_000_000), "Most connections of the node.";
    LIFETIME = "limits.lifetime_max_ms" ["SSE_CONNECTION_TIMEOUT"] "off"
        number("ms", 1_000, YEAR_MS), "Longest life of a stream, within 10 %; then it is told to come again.";
    STALL = "limits.stall_max_ms" [] "300000" number("ms", 1_000, DAY_MS),
        "A reader that takes nothing for so long is told `sse.bye` and disconnected.";
    STREAM_CHANNELS = "limits.channels_per_stream_max" [] "64" number("channels", 1, 1_024),
        "Most channels and patterns of one stream.";
    HEAD_BYTES = "limits.head_bytes_max" [] "16384" number("bytes", 1_024, 65_536),
        "Largest request line with its fields; beyond it 431.";
    BODY_BYTES = "limits.body_bytes_max" [] "1048576" number("bytes", 1_024, 16 * MIB),
        "Largest body of a publish, and line of an NDJSON stream; beyond it 413.";
    HEAD_TIMEOUT = "limits.head_timeout_ms" [] "10000" number("ms", 100, 600_000),
        "A request's head must be complete so long after it began.";
    BODY_TIMEOUT = "limits.body_timeout_ms" [] "15000" number("ms", 100, 600_000),
        "A request's body must go on within this time.";
    IDLE_TIMEOUT = "limits.idle_timeout_ms" [] "75000" number("ms", 100, DAY_MS),
        "A connection between requests is closed after this time.";
    RETRY = "stream.retry_ms" [] "3000" number("ms", 0, 3_600_000),
        "Reconnection time told to clients.";
    WATCH_HANGUP = "stream.watch_hangup" [] "true" Kind::Switch,
        "Ended streams are noticed at once, at 256 bytes of kernel memory each; else by the heartbeats that fail.";
    HISTORY_EVENTS = "history.events_max" [] "1000" number("events", 0, 10_000_000),
        "Events kept of a channel; 0 keeps none.";
    HISTORY_AGE = "history.age_max_ms" [] "3600000" number("ms", 1, YEAR_MS),
        "Oldest age of a kept event.";
    HISTORY_BYTES = "history.bytes_max" [] "1048576" number("bytes", 0, 1 << 40),
        "Bytes kept of a channel; its newest event whatever its size.";
    HISTORY_MODE = "history.mode" [] "log" Kind::Choice(&["log", "latest"]),
        "`latest` keeps only the newest event of each `key`.";
    OVERFLOW = "history.overflow" [] "skip" Kind::Choice(&["skip", "conflate", "disconnect"]),
        "What happens to a reader that is further behind than the history reaches.";
    LAGGARD_BYTES = "history.laggard_bytes" [] "65536" number("bytes", 0, 1 << 40),
        "Kept of a channel for readers that lag, even where no history is.";
    RECENT_BYTES = "history.recent_bytes_max" [] "67108864" number("bytes", 0, 1 << 40),
        "The node's recent events, from which patterns resume.";
    CHANNEL_IDLE = "channels.idle_ms" [] "600000" number("ms", 1_000, YEAR_MS),
        "A channel without subscribers and events for so long is dropped.";
    CHANNELS = "channels.count_max" [] "4000000" number("channels", 1, 1 << 32),
        "Most channels.";
    JOURNAL_ENTRIES = "journal.entries_max" [] "65536" number("events", 64, 1 << 24),
        "Events between append and the slowest core; rounded up to a power of two.";
    JOURNAL_BYTES = "journal.bytes_max" [] "268435456" number("bytes", MIB, 1 << 40),
        "Their bytes. When it is full, publishers wait.";
    PUBLISH_TIMEOUT = "publish.timeout_ms" [] "5000" number("ms", 1, 600_000),
        "So long a publish waits for room; then 503, and it was not appended.";
    DRAIN = "drain.within_ms" [] "5000" number("ms", 0, 3_600_000),
        "At SIGTERM the streams are told to leave, spread over this time.";
    LOG_LEVEL = "log.level" flag "--log-level" [] "info"
        Kind::Choice(&["off", "error", "warn", "info", "debug"]),
        "Lines of this level and above are written to stderr.";
    LOG_FORMAT = "log.format" flag "--log-format" [] "text" Kind::Choice(&["text", "json"]),
        "For people, or one JSON object a line.";
}

/// Variables of the replaced systems, and our own, that this version does not follow: whoever sets
/// one is told so.
pub(super) const NOT_FOLLOWED: &[&str] = &[
    "SSE_MAX_CONNECTIONS_PER_USER",
    "SSE_CLEANUP_INTERVAL",
    "SSE_ENABLE_COMPRESSION",
    "SSE_CORS_ORIGINS",
    "SSE_ENCRYPTION_KEY",
    "FRONTEND_URL",
    "POLL_INTERVAL",
];

/// Variables that begin like ours and are no settings of the server.
pub(super) const NOT_SETTINGS: &[&str] = &["RINGCAST_URL", "RINGCAST_COMMIT", "RINGCAST_CONFIG"];

/// Settings of the history that a namespace may have of its own, in the file:
/// `[namespaces."PREFIX"]` and the part of the key behind `history.`.
pub(super) const OF_NAMESPACES: &[Setting] =
    &[HISTORY_EVENTS, HISTORY_AGE, HISTORY_BYTES, HISTORY_MODE, OVERFLOW, LAGGARD_BYTES];
