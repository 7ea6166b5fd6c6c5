//! What is counted. One writer per counter, any reader.

mod histogram;
mod measures;

use std::sync::atomic::{AtomicU64, Ordering};

pub use histogram::{Distribution, Histogram};
pub use measures::{EventKind, EventNames, KnownNames, Measured, Measures, NAMED_MAX};

/// A number that one thread raises and any thread reads.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Raises it. Only its one writer may call this: no read-modify-write is needed.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// Sets it (gauges).
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// Reads it.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[doc = $doc:literal])* $name:ident: $kind:ident,)*) => {
        /// The counters of one core, on cache lines of their own.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct Counters { $($(#[doc = $doc])* pub $name: Counter,)* }

        /// The counters of one core (or of all, added up) at one moment.
        #[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Serialize)]
        pub struct CoreSnapshot { $($(#[doc = $doc])* pub $name: u64,)* }

        impl Counters {
            /// Reads all.
            #[must_use]
            pub fn snapshot(&self) -> CoreSnapshot {
                CoreSnapshot { $($name: self.$name.get(),)* }
            }
        }

        impl CoreSnapshot {
            /// Name, kind (`counter` or `gauge`), help text, value.
            #[must_use]
            pub fn fields(&self) -> Vec<(&'static str, &'static str, &'static str, u64)> {
                vec![$((stringify!($name), stringify!($kind), concat!($($doc,)*), self.$name),)*]
            }

            /// Adds another core's.
            pub fn add(&mut self, other: &Self) {
                $(self.$name = self.$name.saturating_add(other.$name);)*
            }
        }
    };
}

counters! {
    /// Open connections.
    connections: gauge,
    /// Open event streams and waiting long-polls.
    streams: gauge,
    /// Streams that are catching up.
    lagging: gauge,
    /// Topics with subscribers on this core.
    topics: gauge,
    /// Interval of heartbeats in force, milliseconds, where it follows the load.
    heartbeat_interval_ms: gauge,
    /// How much later than due streams are looked at for heartbeats, milliseconds.
    heartbeat_lag_ms: gauge,
    /// Share of the last second in which the loop did not sleep, thousandths.
    busy_permille: gauge,
    /// Time in which the loop slept, microseconds.
    asleep_us: counter,
    /// Journal entries not yet read by this core.
    journal_depth: gauge,
    /// Connections accepted.
    accepts: counter,
    /// Accepts that failed.
    accept_failures: counter,
    /// Requests with a complete head.
    requests: counter,
    /// Requests refused with a status of 400 or more.
    refusals: counter,
    /// Connects refused because their address connects too often.
    connects_limited: counter,
    /// Streams refused at a cap.
    streams_refused: counter,
    /// Streams ended for others at a cap.
    evictions: counter,
    /// Events put aside for a later time.
    publishes_delayed: counter,
    /// Events held because of their rate.
    publishes_held: counter,
    /// Held events that a later one took the place of.
    publishes_superseded: counter,
    /// Events for a later time that were lost: the node ended before.
    late_lost: counter,
    /// Subscriptions that wait for the callback.
    callback_waiting: gauge,
    /// Questions to the callback.
    callback_calls: counter,
    /// Subscriptions for which the callback's answer was remembered.
    callback_cache_hits: counter,
    /// Subscriptions refused because the callback gave no usable answer.
    callback_failures: counter,
    /// Streams begun.
    streams_begun: counter,
    /// Events appended.
    publishes: counter,
    /// Publishes that had to wait for room.
    publishes_parked: counter,
    /// Publishes that found no room in time.
    publishes_timed_out: counter,
    /// Events sent, counted per stream.
    deliveries: counter,
    /// Bytes handed to the kernel.
    sent_bytes: counter,
    /// Sends handed to the kernel.
    sends: counter,
    /// Sends the kernel took only in part.
    sends_short: counter,
    /// Sends to connections that were gone.
    sends_failed: counter,
    /// Sends in batches: how often the kernel was entered for them.
    flushes: counter,
    /// Times the kernel was entered: system calls of the loop.
    enters: counter,
    /// Completions taken.
    completions: counter,
    /// Turns of the loop.
    turns: counter,
    /// Doorbells rung at other cores.
    doorbells_rung: counter,
    /// Doorbells heard.
    doorbells_heard: counter,
    /// Gaps announced.
    gaps: counter,
    /// Heartbeats sent.
    heartbeats: counter,
    /// Streams ended by the server.
    byes: counter,
    /// Connections closed.
    closes: counter,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_the_sum_of_the_parts() {
        let (one, two) = (Counters::default(), Counters::default());
        one.sends.add(3);
        two.sends.add(4);
        two.streams.set(9);
        let mut all = one.snapshot();
        all.add(&two.snapshot());
        assert_eq!((all.sends, all.streams, all.gaps), (7, 9, 0));
        let sends = all.fields().into_iter().find(|field| field.0 == "sends").unwrap();
        assert_eq!((sends.1, sends.3), ("counter", 7));
    }
}
