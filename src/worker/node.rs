//! What all workers of a node share.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::caps::Admission;
use super::handover::Handover;
use super::late::Held;
use super::options::Options;
use super::orders::Orders;
use super::pages::MemoryRead;
use super::presence::Present;
use super::session::Sessions;
use super::targets::Unreached;
use crate::auth::{
    Callback, ConnectionNames, Identity, Keys, PublisherToken, Revocations, Revoked, Rules,
};
use crate::journal::Journal;
use crate::obs::{Counters, EventNames, Measures};

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
    /// Knows the sessions that no key verifies.
    pub callback: Option<Arc<Callback>>,
}

/// One node: the log, who may do what, and what is counted.
#[derive(Debug)]
pub struct Node {
    live: Mutex<Arc<Live>>,
    /// How often `live` was replaced.
    replaced: AtomicU64,
    /// The log.
    pub journal: Arc<Journal>,
    /// What workers are asked to do.
    pub orders: Orders,
    /// Whether another process takes over.
    pub handover: Handover,
    /// The operator has switched the service off.
    pub(super) disabled: AtomicBool,
    /// Names of connections.
    pub names: ConnectionNames,
    pub(super) revocations: RwLock<Revocations>,
    pub(super) admission: Admission,
    pub(super) held: Held,
    pub(super) sessions: Sessions,
    pub(super) present: Present,
    pub(super) unreached: Unreached,
    pub(super) memory: MemoryRead,
    /// Counters by core.
    pub counters: Box<[Counters]>,
    /// Distributions by core.
    pub measures: Box<[Measures]>,
    /// Names by which events are counted.
    pub event_names: Arc<EventNames>,
    /// When it started, wall-clock milliseconds.
    pub started_unix_ms: u64,
    /// Raised when tokens are revoked: verified ones are looked at again.
    pub(super) revocation: AtomicU64,
    phase: AtomicU8,
    workers_left: AtomicUsize,
}

impl Node {
    /// A node that serves.
    #[must_use]
    pub fn new(
        live: Live,
        journal: Arc<Journal>,
        names: ConnectionNames,
        workers: usize,
        started_unix_ms: u64,
    ) -> Self {
        Self {
            live: Mutex::new(Arc::new(live)),
            replaced: AtomicU64::new(0),
            journal,
            orders: Orders::new(workers),
            handover: Handover::new(workers),
            disabled: AtomicBool::new(false),
            names,
            revocations: RwLock::default(),
            admission: Admission::default(),
            held: Held::default(),
            sessions: Sessions::default(),
            present: Present::default(),
            unreached: Unreached::default(),
            memory: MemoryRead::default(),
            counters: (0..workers).map(|_| Counters::default()).collect(),
            measures: (0..workers).map(|_| Measures::default()).collect(),
            event_names: Arc::default(),
            started_unix_ms,
            revocation: AtomicU64::new(0),
            phase: AtomicU8::new(Phase::Ready as u8),
            workers_left: AtomicUsize::new(workers),
        }
    }

    /// Revokes tokens for `keep_s` seconds; see [`Order::Revoke`] for streams that run. False: no
    /// more can be remembered.
    ///
    /// [`Order::Revoke`]: super::Order::Revoke
    pub fn revoke(&self, revoked: &Revoked, now_unix_s: u64, keep_s: u64) -> bool {
        let mut all = self.revocations.write().unwrap_or_else(PoisonError::into_inner);
        let added = all.add(revoked, now_unix_s, now_unix_s.saturating_add(keep_s));
        drop(all);
        self.revocation.fetch_add(1, Ordering::AcqRel);
        added
    }

    /// This identity's token was revoked.
    #[must_use]
    pub fn is_revoked(&self, identity: &Identity, now_unix_s: u64) -> bool {
        // Nothing was ever revoked: the usual case.
        self.revocation.load(Ordering::Acquire) > 0 && {
            let all = self.revocations.read().unwrap_or_else(PoisonError::into_inner);
            all.covers(identity, now_unix_s)
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

    /// Events that others have superseded because of their rate, by name, since the last call.
    pub fn take_superseded(&self) -> std::collections::BTreeMap<String, u64> {
        self.held.take_superseded()
    }

    /// Events for users of whom no stream was there, by user, since the last call; and the number
    /// of those beyond a bound of users.
    pub fn take_unreached(&self) -> (std::collections::BTreeMap<String, u64>, u64) {
        self.unreached.take()
    }

    /// Streams are refused, and those that are there ended, until it is switched on again.
    #[must_use]
    pub fn is_disabled(&self) -> bool {
        self.disabled.load(Ordering::Acquire)
    }

    /// Switches the service off or on. Workers see it within a tenth of a second. True if it was
    /// the other way before.
    pub fn set_disabled(&self, disabled: bool) -> bool {
        self.disabled.swap(disabled, Ordering::AcqRel) != disabled
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
