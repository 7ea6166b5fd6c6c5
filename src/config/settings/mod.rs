//! The table of keys and the typed tree, in one piece: see `key.rs`.

mod access;
mod limits;
mod operate;

use std::net::SocketAddr;

pub use access::{Auth, Callback, ClaimPlaces, Cors, Encryption, Proxy};
pub use limits::{ConnectRate, Limits, Memory, OnLimit};
pub use operate::{
    Admin, Channels, Compression, Drain, Heartbeat, HeartbeatFormat, JournalBounds, Language, Log,
    LogFormat, LogLevel, Metrics, Poll, Publish, PublishAck, Stats, Storage, Stream,
};

use super::key::Force::{Later, Reload, Restart};
use super::key::{Key, Reading, Section, choice, section};
use super::kind::{Form, Kind};
use super::rows::{AliasSettings, NamespaceSettings};
use super::suggest;
use super::value::Secret;

choice! {
    /// How a temporary refusal reaches a browser.
    Refuse {
        /// In band where a browser's EventSource asks, by status elsewhere.
        Auto = "auto",
        /// Always by status.
        Status = "status",
        /// Always as a stream that says `sse.bye`.
        InBand = "in-band",
    }
}

section! {
    /// Everything ringcast can be told.
    Settings at "" => ROOT {
        /// Public addresses, at most 64. `PORT=n` alone: that port on all interfaces.
        listen: Vec<SocketAddr> = "127.0.0.1:8080,[::1]:8080", Kind::List(Form::Address), Restart,
            [("PORT", Reading::Port)];
        /// Worker threads; `auto` is one for each core.
        workers: Option<usize> = "auto", Kind::Or("auto", &Kind::Number(1, 1_024)), Restart;
        /// How a temporary 429 or 503 reaches a stream: by status, or as a stream that says
        /// `sse.bye` (a browser's EventSource gives up for ever on a status).
        refuse: Refuse = "auto", Kind::Choice(Refuse::NAMES), Reload;
        /// Size of the node-wide log from which patterns resume.
        recent_log_bytes: usize = "64MiB", Kind::Bytes(0, 1 << 40), Restart;
        /// URL of the engine that joins several nodes (`redis://`, `rediss://`, `nats://`), which
        /// may hold a password.
        engine: Option<Secret> = "", Kind::Or("", &Kind::Secret(1)), Later;
    }
    nested {
        /// The operators' address.
        admin: Admin,
        /// Log lines.
        log: Log,
        /// Who may do what.
        auth: Auth,
        /// Bounds of connections and requests.
        limits: Limits,
        /// Signs of life on silent streams.
        heartbeat: Heartbeat,
        /// The life of a stream.
        stream: Stream,
        /// Publishing.
        publish: Publish,
        /// Memory of the node.
        memory: Memory,
        /// Web origins.
        cors: Cors,
        /// Proxies in front.
        proxy: Proxy,
        /// Compressed streams.
        compression: Compression,
        /// Sealed data.
        encryption: Encryption,
        /// Channels as such.
        channels: Channels,
        /// The log between publishers and workers.
        journal: JournalBounds,
        /// Events on disk.
        storage: Storage,
        /// The way out.
        drain: Drain,
        /// Clients that poll.
        poll: Poll,
        /// The public statistics.
        stats: Stats,
        /// Metrics.
        metrics: Metrics,
        /// Options of channels by the beginning of their name.
        namespaces: Vec<NamespaceSettings>,
        /// Paths of systems that ringcast stands in for.
        aliases: Vec<AliasSettings>,
    }
}

/// All sections, in the order of pages.
pub(super) const SECTIONS: &[Section] = &[
    ROOT,
    operate::ADMIN,
    operate::LOG,
    access::AUTH,
    access::CLAIMS,
    access::CALLBACK,
    limits::LIMITS,
    limits::CONNECT_RATE,
    operate::HEARTBEAT,
    operate::STREAM,
    operate::PUBLISH,
    limits::MEMORY,
    access::CORS,
    access::PROXY,
    operate::COMPRESSION,
    access::ENCRYPTION,
    operate::CHANNELS,
    operate::JOURNAL,
    operate::STORAGE,
    operate::DRAIN,
    operate::POLL,
    operate::STATS,
    operate::METRICS,
];

/// All keys, in the order of pages.
pub(super) fn keys() -> impl Iterator<Item = &'static Key> {
    SECTIONS.iter().flat_map(|section| section.keys)
}

/// The key of this name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    keys().find(|key| key.name == name)
}

/// The name is that of a section, or of a section of sections.
pub(super) fn is_section(name: &str) -> bool {
    SECTIONS.iter().any(|section| section.name() == name)
}

/// The key somebody meant: near to its full name, to its last part, or to one of its variables.
pub(super) fn meant(name: &str) -> Option<&'static str> {
    if let Some(near) = suggest::nearest(name, keys().map(|key| key.name)) {
        return Some(near);
    }
    let last = name.rsplit('.').next().unwrap_or(name);
    let by_last = keys().map(|key| (key.name.rsplit('.').next().unwrap_or(key.name), key));
    let by_variable =
        keys().flat_map(|key| key.variables.iter().map(move |(variable, _)| (*variable, key)));
    let all: Vec<(&str, &Key)> = by_last.chain(by_variable).collect();
    let near = suggest::nearest(last, all.iter().map(|(name, _)| *name))?;
    all.iter().find(|(name, _)| *name == near).map(|(_, key)| key.name)
}

impl Settings {
    /// Worker threads on a machine of so many cores.
    #[must_use]
    pub fn worker_count(&self, cores: usize) -> usize {
        self.workers.unwrap_or(cores).clamp(1, 1_024)
    }

    /// Subscribers need no token: as set, else while nothing is that could tell who they are.
    #[must_use]
    pub fn anonymous(&self) -> bool {
        let known = self.auth.has_secret() || self.auth.callback.url.is_some();
        self.auth.anonymous.unwrap_or(!known)
    }
}
