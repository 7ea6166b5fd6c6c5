//! How large a run is and how its clients behave, drawn from the seed.

use fastrand::Rng;

use super::faults::Faults;

/// The fixed publish token of all runs.
pub(crate) const PUBLISH_TOKEN: &str = "simulated";

/// One run.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) workers: usize,
    /// Descriptors of each worker.
    pub(crate) descriptors: usize,
    /// Named channels; the broadcast comes on top.
    pub(crate) channels: usize,
    pub(crate) subscribers: usize,
    pub(crate) publishers: usize,
    /// Events of each publisher.
    pub(crate) events: usize,
    /// Largest payload, bytes.
    pub(crate) data_bytes_max: usize,
    /// Longest pause of a publisher, microseconds.
    pub(crate) pause_us_max: u64,
    /// How often a subscriber opens the connection of its next stream beforehand.
    pub(crate) spare: f64,
    /// Share of events that go to everybody.
    pub(crate) broadcast: f64,
    /// Everything published is kept long enough: a gap is a flaw.
    pub(crate) ample: bool,
    /// A reader that lags gets only the newest event of each key.
    pub(crate) conflates: bool,
    /// The node is drained at the end, instead of the clients leaving.
    pub(crate) drain: bool,
    /// Allows to subscribe to everything.
    pub(crate) token: String,
    pub(crate) faults: Faults,
}

impl Script {
    /// Draws a run.
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        Self {
            workers: rng.usize(1..=3),
            descriptors: rng.usize(12..40),
            channels: rng.usize(1..=4),
            subscribers: rng.usize(1..=7),
            publishers: rng.usize(1..=3),
            events: rng.usize(3..=25),
            data_bytes_max: if rng.u8(0..8) == 0 { 20_000 } else { rng.usize(20..400) },
            pause_us_max: 10_u64.pow(rng.u32(1..5)),
            spare: if rng.bool() { 0.0 } else { rng.f64() },
            broadcast: if rng.bool() { 0.0 } else { rng.f64() },
            ample: rng.u8(0..3) != 0,
            conflates: rng.u8(0..3) == 0,
            drain: rng.u8(0..4) == 0,
            token: String::new(),
            faults: if rng.u8(0..8) == 0 { Faults::none() } else { Faults::draw(rng) },
        }
    }
}
