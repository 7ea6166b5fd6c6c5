//! Tables of rows: namespaces and aliases. Their columns are keys like all others.

use std::collections::BTreeMap;

use super::key::Force::{Reload, Restart};
use super::key::{Build, Key, Lookup, choice, section};
use super::kind::{Form, Kind};
use super::settings::{HeartbeatFormat, Refuse};
use crate::journal::{Mode, Namespace, Overflow};

/// A table whose rows have names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Table {
    /// Options of channels.
    Namespaces,
    /// Paths of other systems.
    Aliases,
}

impl Table {
    /// All of them.
    pub(super) const ALL: [Self; 2] = [Self::Namespaces, Self::Aliases];

    /// Its name.
    #[must_use]
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Namespaces => "namespaces",
            Self::Aliases => "aliases",
        }
    }

    /// The table of this name.
    pub(super) fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }

    /// Its columns.
    pub(super) fn columns(self) -> &'static [Key] {
        match self {
            Self::Namespaces => NAMESPACE.keys,
            Self::Aliases => ALIAS.keys,
        }
    }

    /// The column that names a row.
    pub(super) fn id_column(self) -> &'static str {
        match self {
            Self::Namespaces => "prefix",
            Self::Aliases => "path",
        }
    }

    /// The column of this name.
    pub(super) fn column(self, name: &str) -> Option<&'static Key> {
        self.columns().iter().find(|key| key.name == name)
    }

    /// What it is about.
    pub(super) fn about(self) -> &'static str {
        match self {
            Self::Namespaces => {
                "Options of channels by the literal beginning of their name, one row for each \
                 prefix. For every option the longest prefix that sets it wins; \
                 `[namespaces.\"\"]` is for all channels."
            }
            Self::Aliases => {
                "Paths of systems that ringcast stands in for. `{name}` in a path takes one part \
                 of it; `enabled = false` takes a shipped row out."
            }
        }
    }

    /// The rows that are there by default, as TOML.
    pub(super) fn shipped(self) -> &'static str {
        match self {
            Self::Namespaces => "",
            Self::Aliases => SHIPPED_ALIASES,
        }
    }
}

choice! {
    /// Who may subscribe in a namespace.
    Subscribers {
        /// As everywhere: `auth.anonymous` and the grants of tokens.
        Default = "default",
        /// Everybody.
        Anyone = "anyone",
        /// Whoever has a valid token that grants it.
        Token = "token",
        /// Admins.
        Admin = "admin",
    }
}

choice! {
    /// What is around the data of an event.
    Envelope {
        /// Nothing.
        Raw = "raw",
        /// `{"canal","mensagem","timestamp"}`.
        CanalJson = "canal-json",
        /// A notification: id, type, title, message, timestamp.
        Typed = "typed",
    }
}

choice! {
    /// What a path serves.
    Serves {
        /// A stream.
        Stream = "stream",
        /// The statistics.
        Stats = "stats",
        /// The state of the server.
        Health = "health",
        /// Publishing.
        Publish = "publish",
    }
}

choice! {
    /// Who may use a path.
    Access {
        /// As its page says.
        Default = "default",
        /// Whoever has a valid token.
        Token = "token",
        /// Admins.
        Admin = "admin",
    }
}

/// The names of the journal's modes.
const MODES: &[&str] = &["log", "latest"];
/// The names of the journal's policies.
const OVERFLOWS: &[&str] = &["disconnect", "skip", "conflate"];

section! {
    /// Options of the channels whose names begin with a prefix.
    NamespaceSettings at "" => NAMESPACE {
        /// The literal beginning of the names; empty for all channels.
        prefix: Option<String> = "", Kind::Or("", &Kind::Text(Form::Any)), Restart;
        /// Most events kept for a reconnect; 0 keeps none.
        history_events: usize = "1000", Kind::Number(0, 1 << 30), Restart;
        /// Oldest age of a kept event.
        history_age_ms: u64 = "1h", Kind::Millis(0, 31_536_000_000), Restart;
        /// Most bytes of kept events; the newest one is kept whatever its size.
        history_bytes: usize = "1MiB", Kind::Bytes(0, 1 << 40), Restart;
        /// `log` keeps all events within these bounds, `latest` the newest of each key.
        mode: Mode = "log", Kind::Choice(MODES), Restart;
        /// What happens to a reader that is further behind than the history reaches: it is told
        /// to come again, jumps (told by `sse.gap`), or gets the newest of each key.
        overflow: Overflow = "skip", Kind::Choice(OVERFLOWS), Restart;
        /// Size kept for connected readers that lag, even without a history.
        laggard_window_bytes: usize = "64KiB", Kind::Bytes(0, 1 << 40), Restart;
        /// Least time between two events of a name, for each target, milliseconds.
        rates: BTreeMap<String, u64> = "", Kind::Map(&Kind::Millis(1, 86_400_000)), Reload;
        /// What is around the data.
        envelope: Envelope = "raw", Kind::Choice(Envelope::NAMES), Reload;
        /// Data is sealed; `auto` is true while there is an encryption key.
        seal: Option<bool> = "auto", Kind::Or("auto", &Kind::Switch), Reload;
        /// Events may be compressed where `compression.enabled` is on.
        compress: bool = "true", Kind::Switch, Reload;
        /// Form of heartbeats; `auto` is `heartbeat.format`.
        heartbeat_format: Option<HeartbeatFormat> = "auto",
            Kind::Or("auto", &Kind::Choice(HeartbeatFormat::NAMES)), Reload;
        /// Who may subscribe.
        subscribe: Subscribers = "default", Kind::Choice(Subscribers::NAMES), Reload;
        /// Which users are there is remembered, and told to subscribers with `control=on`.
        presence: bool = "false", Kind::Switch, Restart;
        /// How a temporary refusal reaches a stream; `auto` is the top `refuse`.
        refuse: Refuse = "auto", Kind::Choice(Refuse::NAMES), Reload;
    }
}

section! {
    /// A path of a system that ringcast stands in for.
    AliasSettings at "" => ALIAS {
        /// The path; `{name}` takes one part of it.
        path: Option<String> = "", Kind::Or("", &Kind::Text(Form::Any)), Reload;
        /// What it serves.
        serves: Serves = "stream", Kind::Choice(Serves::NAMES), Reload;
        /// The path is served at all.
        enabled: bool = "true", Kind::Switch, Reload;
        /// Channels of the stream, or the target of the publish, with parts of the path.
        channels: Vec<String> = "", Kind::List(Form::Template), Reload;
        /// The query may name channels.
        query_channels: bool = "false", Kind::Switch, Reload;
        /// Parameter of the query that asks for the last events; empty for `last` alone.
        last: Option<String> = "", Kind::Or("", &Kind::Text(Form::Name)), Reload;
        /// Who may use it. `token`: also where anonymous subscribers are welcome.
        access: Access = "default", Kind::Choice(Access::NAMES), Reload;
        /// Form of heartbeats; `auto` is `heartbeat.format`.
        heartbeat_format: Option<HeartbeatFormat> = "auto",
            Kind::Or("auto", &Kind::Choice(HeartbeatFormat::NAMES)), Reload;
        /// What its `status` says of a good server.
        healthy: String = "ok", Kind::Text(Form::Any), Reload;
    }
}

const SHIPPED_ALIASES: &str = r#"
"/api/v1/notificacao/sse" = { query_channels = true, access = "token" }
"/api/v1/notificacao/sse/stats" = { serves = "stats", access = "token" }
"/notifications/stream" = { access = "token", heartbeat_format = "data" }
"/notifications/sse/stats" = { serves = "stats", access = "admin" }
"/notifications/health/sse" = { serves = "health", healthy = "healthy" }
"/stream/rounds/{type}/{id}/{version}/live" = { channels = ["{type}:{id}", "{type}:{id}:{version}"], access = "token", last = "k" }
"/stream/status" = { serves = "health" }
"/api/sse" = { access = "token", heartbeat_format = "comment" }
"/publish/user/{id}" = { serves = "publish", channels = ["user:{id}"] }
"/publish/tenant/{id}" = { serves = "publish", channels = ["tenant:{id}"] }
"/publish/resource/{type}/{id}" = { serves = "publish", channels = ["{type}:{id}"] }
"/publish/resource/{type}/{id}/{version}" = { serves = "publish", channels = ["{type}:{id}:{version}"] }
"#;

impl Build for Vec<NamespaceSettings> {
    fn build(values: &dyn Lookup) -> Option<Self> {
        values.rows(Table::Namespaces).iter().map(|row| NamespaceSettings::build(row)).collect()
    }
}

impl Build for Vec<AliasSettings> {
    fn build(values: &dyn Lookup) -> Option<Self> {
        values.rows(Table::Aliases).iter().map(|row| AliasSettings::build(row)).collect()
    }
}

impl NamespaceSettings {
    /// What the histories have to know of it.
    #[must_use]
    pub fn journal(&self) -> Namespace {
        Namespace {
            prefix: self.prefix.clone().unwrap_or_default(),
            history_events: self.history_events,
            history_age_ms: self.history_age_ms,
            history_bytes: self.history_bytes,
            mode: self.mode,
            overflow: self.overflow,
            laggard_window_bytes: self.laggard_window_bytes,
        }
    }
}
