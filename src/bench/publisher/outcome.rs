//! What a publisher reports.

use std::time::Duration;

use crate::bench::tally::Times;

/// What was published.
#[derive(Debug)]
pub(in crate::bench) struct Outcome {
    /// By unit: how many events were tried.
    pub(in crate::bench) tried: Vec<u64>,
    /// Events whose publish failed, sorted: nobody knows whether they are there.
    pub(in crate::bench) failed: Vec<u64>,
    pub(in crate::bench) accepted: u64,
    /// From the first call to the last answer.
    pub(in crate::bench) time: Duration,
    /// From publish call to its answer.
    pub(in crate::bench) answers: Times,
    /// Processor time of its thread.
    pub(in crate::bench) cpu: Duration,
    /// The first refusal or error.
    pub(in crate::bench) error: Option<String>,
    /// Why it stopped before the last event.
    pub(in crate::bench) stopped: Option<&'static str>,
}

impl Outcome {
    /// Adds what was published after or beside it.
    pub(in crate::bench) fn add(&mut self, other: Self) {
        for (all, tried) in self.tried.iter_mut().zip(&other.tried) {
            *all = (*all).max(*tried);
        }
        self.failed.extend(other.failed);
        self.failed.sort_unstable();
        self.accepted += other.accepted;
        self.time += other.time;
        self.answers.add(&other.answers);
        self.cpu += other.cpu;
        self.error = self.error.take().or(other.error);
        self.stopped = self.stopped.take().or(other.stopped);
    }
}
