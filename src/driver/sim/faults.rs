//! What may go wrong in a run, and how often.
//!
//! Each run draws its own probabilities, most of them zero (swarm testing): a run in which
//! everything fails a little finds less than many runs in which a few things fail a lot.

use fastrand::Rng;

/// Probabilities are per occasion, 0 to 1.
#[derive(Debug, Clone)]
pub(crate) struct Faults {
    /// A packet or a completion takes long.
    pub(crate) slow: f64,
    /// The longest it takes then, microseconds.
    pub(crate) slow_us_max: u64,
    /// A send finds less room than there was (memory pressure), so it is cut at any byte.
    pub(crate) short: f64,
    /// Smallest and largest send buffer, bytes; each socket draws its own.
    pub(crate) room_bytes: (usize, usize),
    /// A worker collects only some of what is ready.
    pub(crate) collect_some: f64,
    /// A worker wakes without a reason.
    pub(crate) wake_early: f64,
    /// A worker is not scheduled for a while.
    pub(crate) pause: f64,
    /// The longest such while, microseconds.
    pub(crate) pause_us_max: u64,
    /// An accept fails; the client waits on.
    pub(crate) accept_fails: f64,
    /// An accept finds the descriptor table full; the client is closed.
    pub(crate) table_full: f64,
    /// After a close, completions with the old id arrive.
    pub(crate) stale: f64,
    /// Receive buffers of one worker.
    pub(crate) buffers: u16,
    /// Bytes of each.
    pub(crate) buffer_bytes: usize,
    /// A receive that finds no buffer fails with ENOBUFS instead of waiting for one.
    pub(crate) buffers_fail: bool,
    /// A client stops reading.
    pub(crate) stall: f64,
    /// The longest stall, microseconds; every fourth lasts until the faults end.
    pub(crate) stall_us_max: u64,
    /// A client resets its connection.
    pub(crate) reset: f64,
    /// A client closes its connection.
    pub(crate) close: f64,
    /// A client shuts its half and reads on.
    pub(crate) half_close: f64,
    /// A client sends bytes nobody asked for.
    pub(crate) chatter: f64,
    /// A client sends its request in small pieces.
    pub(crate) drip: f64,
    /// Most bytes a client reads at once.
    pub(crate) read_bytes_max: usize,
}

impl Faults {
    /// Nothing goes wrong.
    #[must_use]
    pub(crate) fn none() -> Self {
        Self {
            slow: 0.0,
            slow_us_max: 1,
            short: 0.0,
            room_bytes: (128 << 10, 128 << 10),
            collect_some: 0.0,
            wake_early: 0.0,
            pause: 0.0,
            pause_us_max: 1,
            accept_fails: 0.0,
            table_full: 0.0,
            stale: 0.0,
            buffers: 16,
            buffer_bytes: 4_096,
            buffers_fail: false,
            stall: 0.0,
            stall_us_max: 1,
            reset: 0.0,
            close: 0.0,
            half_close: 0.0,
            chatter: 0.0,
            drip: 0.0,
            read_bytes_max: 64 << 10,
        }
    }

    /// Draws what goes wrong in one run.
    #[must_use]
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let room_bytes = match rng.u8(0..4) {
            0 => (24, 200),
            1 => (300, 3_000),
            2 => (64, 64 << 10),
            _ => (64 << 10, 256 << 10),
        };
        let mut sometimes = |most: f64| if rng.bool() { 0.0 } else { rng.f64() * most };
        let (slow, short, collect_some) = (sometimes(0.3), sometimes(0.5), sometimes(0.6));
        let (wake_early, pause) = (sometimes(0.2), sometimes(0.02));
        let (accept_fails, table_full, stale) = (sometimes(0.3), sometimes(0.2), sometimes(0.5));
        let (stall, reset, close) = (sometimes(0.3), sometimes(0.1), sometimes(0.1));
        let (half_close, chatter, drip) = (sometimes(0.05), sometimes(0.1), sometimes(0.6));
        Self {
            slow,
            slow_us_max: 10_u64.pow(rng.u32(2..6)),
            short,
            room_bytes,
            collect_some,
            wake_early,
            pause,
            pause_us_max: 10_u64.pow(rng.u32(3..7)),
            accept_fails,
            table_full,
            stale,
            buffers: if rng.bool() { rng.u16(1..4) } else { 64 },
            buffer_bytes: if rng.bool() { rng.usize(16..200) } else { 4_096 },
            buffers_fail: rng.bool(),
            stall,
            stall_us_max: 10_u64.pow(rng.u32(3..7)),
            reset,
            close,
            half_close,
            chatter,
            drip,
            read_bytes_max: if rng.bool() { rng.usize(1..600) } else { 64 << 10 },
        }
    }

    /// The same sizes, but nothing fails any more.
    #[must_use]
    pub(crate) fn quiet(&self) -> Self {
        Self {
            room_bytes: self.room_bytes,
            buffers: self.buffers,
            buffer_bytes: self.buffer_bytes,
            buffers_fail: self.buffers_fail,
            read_bytes_max: self.read_bytes_max.max(64),
            ..Self::none()
        }
    }
}
