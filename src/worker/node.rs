//! What all workers of a node share.

use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::pace::Pace;
use crate::auth::{Keys, PublisherToken, Rules};
use crate::journal::Journal;
use crate::obs::Counters;
use crate::proto::http::HeadLimits;

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
    /// Subscribers need no token.
    pub anonymous: bool,
    /// Cookies that may carry a token.
    pub cookies: Vec<String>,
    /// How much a worker takes on at once.
    pub pace: Pace,
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
            lifetime_max_ms: None,
            stall_max_ms: 300_000,
            retry_ms: 3_000,
            channels_per_stream_max: 64,
            publish_timeout_ms: 5_000,
            linger_ms: 2_000,
            drain_ms: 5_000,
            anonymous: true,
            cookies: vec!["access_token".to_owned()],
            pace: Pace::default(),
        }
    }
}

/// Where the node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Serves.
    Ready = 0,
    /// Streams are told to leave, nothing new is taken.
    Draining = 1,
    /// Everything ends now.
    Stopping = 2,
}

/// What a reload may change: one value, replaced as a whole. A worker keeps the one it has for a
/// turn, so that nothing changes under its hands.
#[derive(Debug)]
pub struct Live {
    /// What a worker has to know of the settings. What a worker was built with (its connections)
    /// stays whatever is said here.
    pub options: Options,
    /// Keys of tokens.
    pub keys: Keys,
    /// How claims are read.
    pub rules: Rules,
    /// The fixed publish token.
    pub publisher: Option<PublisherToken>,
}

/// One node: the log, who may do what, and what is counted.
#[derive(Debug)]
pub struct Node {
    live: Mutex<Arc<Live>>,
    /// How often `live` was replaced.
    replaced: AtomicU64,
    /// The log.
    pub journal: Arc<Journal>,
    /// Counters by core.
    pub counters: Box<[Counters]>,
    /// When it started, wall-clock milliseconds.
    pub started_unix_ms: u64,
    /// Raised when tokens are revoked: verified ones are looked at again.
    pub revocation: AtomicU64,
    phase: AtomicU8,
    workers_left: AtomicUsize,
}

impl Node {
    /// A node that serves.
    #[must_use]
    pub fn new(
        options: Options,
        journal: Arc<Journal>,
        keys: Keys,
        rules: Rules,
        publisher: Option<PublisherToken>,
        workers: usize,
        started_unix_ms: u64,
    ) -> Self {
        Self {
            live: Mutex::new(Arc::new(Live { options, keys, rules, publisher })),
            replaced: AtomicU64::new(0),
            journal,
            counters: (0..workers).map(|_| Counters::default()).collect(),
            started_unix_ms,
            revocation: AtomicU64::new(0),
            phase: AtomicU8::new(Phase::Ready as u8),
            workers_left: AtomicUsize::new(workers),
        }
    }

    /// What is in force now.
    #[must_use]
    pub fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How often it was replaced: a worker that has seen another number takes the new one.
    #[must_use]
    pub fn replaced(&self) -> u64 {
        self.replaced.load(Ordering::Acquire)
    }

    /// Puts something else in force. Workers take it with their next turn, which begins within
    /// 100 ms.
    pub fn replace(&self, live: Live) {
        *self.live.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(live);
        self.replaced.fetch_add(1, Ordering::Release);
    }

    /// Where it stands.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Ready,
            1 => Phase::Draining,
            _ => Phase::Stopping,
        }
    }

    /// All workers have ended.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.workers_left.load(Ordering::Acquire) == 0
    }

    /// A worker has ended.
    pub fn worker_left(&self) {
        self.workers_left.fetch_sub(1, Ordering::AcqRel);
    }

    /// Goes on to a later phase; never back.
    pub fn advance(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::AcqRel);
    }
}
