//! What the threads of a run tell each other.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Instant;

/// Counters and signals of one run.
#[derive(Debug)]
pub(super) struct Shared {
    /// All times count from here.
    pub(super) start: Instant,
    /// Streams whose answer was 200.
    pub(super) opened: AtomicU64,
    /// Streams that could not be opened.
    pub(super) failed: AtomicU64,
    /// Open streams that ended by themselves.
    pub(super) ended: AtomicU64,
    /// Events of this run read by streams, each counted once a stream.
    pub(super) arrived: AtomicU64,
    /// Publishes accepted.
    pub(super) published: AtomicU64,
    /// Reads that the publisher waits for, as a value of `arrived`.
    pub(super) awaited: AtomicU64,
    /// How much of its streams a ring may open by now, percent.
    pub(super) share_percent: AtomicU32,
    /// No more streams are opened; those not open by now have failed.
    pub(super) opening_over: AtomicBool,
    /// The publisher stops.
    pub(super) publishing_over: AtomicBool,
    /// Everything is closed.
    pub(super) over: AtomicBool,
    /// Open streams by channel.
    pub(super) listeners: Box<[AtomicU32]>,
    /// Who waits for `awaited`.
    pub(super) publisher: OnceLock<Thread>,
    error: Mutex<Option<String>>,
}

impl Shared {
    pub(super) fn new(channels: usize) -> Self {
        Self {
            start: Instant::now(),
            opened: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            arrived: AtomicU64::new(0),
            published: AtomicU64::new(0),
            awaited: AtomicU64::new(u64::MAX),
            share_percent: AtomicU32::new(0),
            opening_over: AtomicBool::new(false),
            publishing_over: AtomicBool::new(false),
            over: AtomicBool::new(false),
            listeners: (0..channels).map(|_| AtomicU32::new(0)).collect(),
            publisher: OnceLock::new(),
            error: Mutex::new(None),
        }
    }

    /// Nanoseconds since the start.
    pub(super) fn now_ns(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Adds reads, and wakes the publisher when these were the last it waits for.
    pub(super) fn arrive(&self, count: u64) {
        if count == 0 {
            return;
        }
        let before = self.arrived.fetch_add(count, Ordering::AcqRel);
        let awaited = self.awaited.load(Ordering::Acquire);
        if before < awaited
            && before + count >= awaited
            && let Some(publisher) = self.publisher.get()
        {
            publisher.unpark();
        }
    }

    /// Keeps the first error of opening streams.
    pub(super) fn say(&self, error: impl FnOnce() -> String) {
        let mut first = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        if first.is_none() {
            *first = Some(error());
        }
    }

    /// The first error of opening streams.
    pub(super) fn error(&self) -> Option<String> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
