//! What a worker has to know of the settings.

use super::aliases::Alias;
use super::late::EventRates;
use super::pace::Pace;
use super::shape::Shapes;
use crate::hub::caps::OnLimit;
use crate::proto::forwarded::Trusted;
use crate::proto::http::HeadLimits;
use crate::proto::http::cors::Cors;
use crate::proto::prefixes::ByPrefix;
use crate::proto::sse::Heartbeat;

/// Who may subscribe to a channel; the fewer, the greater.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subscribers {
    /// Everybody, grant or none.
    Anyone,
    /// As everywhere: anonymous ones where they are welcome, and the grants of tokens.
    #[default]
    Default,
    /// Whoever has a valid token that grants it.
    Token,
    /// Admins.
    Admin,
}

/// How a temporary refusal (429, 503) reaches a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RefuseBy {
    /// In band where a browser's `EventSource` asks, which would give up for ever on a status.
    #[default]
    Auto,
    /// By its status.
    Status,
    /// As a stream that says `sse.bye`.
    InBand,
}

/// Options of the channels of a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelOptions {
    /// Their streams may be compressed.
    pub compress: bool,
    /// Heartbeats of streams whose first channel it is.
    pub heartbeat: Option<Heartbeat>,
    /// Who may subscribe.
    pub subscribe: Subscribers,
    /// Who comes and goes is remembered and told.
    pub presence: bool,
    /// How a temporary refusal reaches streams whose first channel it is.
    pub refuse: Option<RefuseBy>,
}

impl Default for ChannelOptions {
    fn default() -> Self {
        Self {
            compress: true,
            heartbeat: None,
            subscribe: Subscribers::Default,
            presence: false,
            refuse: None,
        }
    }
}

/// A bound of streams, and what happens there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cap {
    /// Most streams.
    pub max: usize,
    /// Who goes.
    pub on_limit: OnLimit,
}

/// How often one address may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectRateOptions {
    /// Connects in a window.
    pub count: u32,
    /// Its length, milliseconds.
    pub window_ms: u64,
}

/// Who may look at the operators' address without a token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AdminOptions {
    /// Host names beside those of the loopback, in small letters.
    pub hosts: Vec<String>,
    /// The metrics need no token.
    pub metrics_public: bool,
}

/// How many streams whom may have; none is no bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CapOptions {
    /// The whole node.
    pub total: Option<Cap>,
    /// One subject of tokens.
    pub per_user: Option<Cap>,
    /// One tenant.
    pub per_tenant: Option<Cap>,
    /// One address (IPv6: one /64).
    pub per_ip: Option<Cap>,
}

/// What a worker has to know of the settings.
#[derive(Debug, Clone)]
pub struct Options {
    /// Most connections of one worker.
    pub connections_max: usize,
    /// Bounds of a request head.
    pub head: HeadLimits,
    /// Most bytes of a request body.
    pub body_bytes_max: u64,
    /// A head must be complete so long after accept (or after the first byte of a later request).
    pub head_timeout_ms: u64,
    /// A body must go on within this time.
    pub body_timeout_ms: u64,
    /// An idle connection is closed after this time.
    pub idle_timeout_ms: u64,
    /// Silence on a stream after which a heartbeat is due.
    pub heartbeat_ms: u64,
    /// Longest such silence on a busy core; none: it is always the same.
    pub heartbeat_max_ms: Option<u64>,
    /// A stream ends (with a bye) after about this time; 10 % jitter. None: never.
    pub lifetime_max_ms: Option<u64>,
    /// A slow reader that takes nothing for so long is disconnected.
    pub stall_max_ms: u64,
    /// Reconnection time told to clients.
    pub retry_ms: u32,
    /// Most channels and patterns of one stream.
    pub channels_per_stream_max: usize,
    /// A publish waits so long for room.
    pub publish_timeout_ms: u64,
    /// How long input is drained after the last byte was sent.
    pub linger_ms: u64,
    /// Streams are told to leave within this time when the node drains.
    pub drain_ms: u64,
    /// Ended streams are noticed at once, at 256 bytes of kernel memory each; else by the heartbeats
    /// that fail.
    pub watch_hangup: bool,
    /// Pages of which origins may read answers, and whose cookies count.
    pub cors: Cors,
    /// What is done to published data.
    pub shapes: Shapes,
    /// Options of channels by the beginning of their name.
    pub channels: ByPrefix<ChannelOptions>,
    /// Paths of other systems.
    pub aliases: Vec<Alias>,
    /// Some channels tell who comes and goes.
    pub has_presence: bool,
    /// How often events may be sent.
    pub rates: ByPrefix<EventRates>,
    /// There are any.
    pub has_rates: bool,
    /// Event streams leave compressed to those who accept gzip, where their channels allow it.
    pub compress: bool,
    /// What heartbeats look like where a stream's first channel does not say.
    pub heartbeat: Heartbeat,
    /// How a temporary refusal reaches a stream where its first channel does not say.
    pub refuse: RefuseBy,
    /// How many streams whom may have.
    pub caps: CapOptions,
    /// How often one address may connect; none is no bound.
    pub connect_rate: Option<ConnectRateOptions>,
    /// Proxies that are believed.
    pub trusted: Trusted,
    /// Connections of theirs begin with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// Subscribers need no token.
    pub anonymous: bool,
    /// Cookies that may carry a token.
    pub cookies: Vec<String>,
    /// How much a worker takes on at once.
    pub pace: Pace,
    /// `/stats` gives its summary without a token.
    pub stats_public: bool,
    /// Most users with a sample of their own in the metrics.
    pub user_labels_max: usize,
    /// The operators' address.
    pub admin: AdminOptions,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connections_max: 16_384,
            head: HeadLimits::default(),
            body_bytes_max: 1 << 20,
            head_timeout_ms: 10_000,
            body_timeout_ms: 15_000,
            idle_timeout_ms: 75_000,
            heartbeat_ms: 30_000,
            heartbeat_max_ms: None,
            lifetime_max_ms: None,
            stall_max_ms: 300_000,
            retry_ms: 3_000,
            channels_per_stream_max: 64,
            publish_timeout_ms: 5_000,
            linger_ms: 2_000,
            drain_ms: 5_000,
            watch_hangup: true,
            cors: Cors::default(),
            shapes: Shapes::default(),
            channels: ByPrefix::default(),
            aliases: Vec::new(),
            has_presence: false,
            rates: ByPrefix::default(),
            has_rates: false,
            compress: false,
            heartbeat: Heartbeat::Short,
            refuse: RefuseBy::Auto,
            caps: CapOptions::default(),
            connect_rate: None,
            trusted: Trusted::default(),
            proxy_protocol: false,
            anonymous: true,
            cookies: vec!["access_token".to_owned()],
            pace: Pace::default(),
            stats_public: true,
            user_labels_max: 0,
            admin: AdminOptions::default(),
        }
    }
}
