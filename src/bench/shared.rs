//! What the threads of a run tell each other.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::Thread;
use std::time::Instant;

/// Counters and signals of one run.
#[derive(Debug)]
pub(super) struct Shared {
    /// All times count from here.
    pub(super) start: Instant,
    /// Streams whose answer was 200; those that come again do not count again.
    pub(super) opened: AtomicU64,
    /// Streams that have come again.
    pub(super) returned: AtomicU64,
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
    /// The last order, and how many there were.
    order: AtomicU64,
    /// Rings that have followed it.
    pub(super) obeyed: AtomicU64,
    /// Latencies count for events published from here on, ns since the start.
    pub(super) latency_from_ns: AtomicU64,
    /// The publisher stops.
    pub(super) publishing_over: AtomicBool,
    /// Everything is closed.
    pub(super) over: AtomicBool,
    /// Open streams by channel.
    pub(super) listeners: Box<[AtomicU32]>,
    /// Who waits for `awaited`.
    publisher: Mutex<Option<Thread>>,
    error: Mutex<Option<String>>,
}

/// What streams are told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Those that stall read no more.
    Stall,
    /// They read again.
    Resume,
    /// Those that reconnect break off.
    Leave,
    /// They come again, with their last ids.
    Return,
}

impl Order {
    const KINDS: u64 = 4;
}

impl Shared {
    pub(super) fn new(channels: usize) -> Self {
        Self {
            start: Instant::now(),
            opened: AtomicU64::new(0),
            returned: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            arrived: AtomicU64::new(0),
            published: AtomicU64::new(0),
            awaited: AtomicU64::new(u64::MAX),
            share_percent: AtomicU32::new(0),
            opening_over: AtomicBool::new(false),
            order: AtomicU64::new(0),
            obeyed: AtomicU64::new(0),
            latency_from_ns: AtomicU64::new(0),
            publishing_over: AtomicBool::new(false),
            over: AtomicBool::new(false),
            listeners: (0..channels).map(|_| AtomicU32::new(0)).collect(),
            publisher: Mutex::new(None),
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
        if before < awaited && before + count >= awaited {
            let publisher = self.publisher.lock().unwrap_or_else(PoisonError::into_inner);
            publisher.as_ref().inspect(|thread| thread.unpark());
        }
    }

    /// Who is woken when all that it waits for has been read.
    pub(super) fn publisher_is(&self, thread: Thread) {
        *self.publisher.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
    }

    /// Tells all rings what to do; `obeyed` counts those that have done it.
    pub(super) fn give(&self, order: Order) {
        self.obeyed.store(0, Ordering::Release);
        let count = self.order.load(Ordering::Acquire) / Order::KINDS + 1;
        self.order.store(count * Order::KINDS + order as u64, Ordering::Release);
    }

    /// The last order that is not yet known to who has seen `seen`.
    pub(super) fn order(&self, seen: &mut u64) -> Option<Order> {
        let order = self.order.load(Ordering::Acquire);
        if std::mem::replace(seen, order) == order {
            return None;
        }
        Some(match order % Order::KINDS {
            0 => Order::Stall,
            1 => Order::Resume,
            2 => Order::Leave,
            _ => Order::Return,
        })
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
