//! When connections want to be looked at: a heap whose stale entries are swept now and then.
//!
//! Most entries are deadlines of heads, and most connections become streams long before. Left
//! alone, those entries would stay for the whole head timeout, 24 bytes each, and a burst of
//! connects would leave their room behind for good.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::driver::ConnId;

/// Entries that are not worth a sweep; few in tests, so that the simulation sweeps too.
const SWEEP_MIN: usize = if cfg!(test) { 8 } else { 2_048 };

/// Moments (monotonic ms) and who asked for them; the earliest first.
#[derive(Debug)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(u64, u32, u32)>>,
    /// Sweep when so many are there.
    sweep_at: usize,
}

impl Timers {
    pub(super) fn new() -> Self {
        Self { heap: BinaryHeap::new(), sweep_at: SWEEP_MIN }
    }

    pub(super) fn push(&mut self, at_ms: u64, id: ConnId) {
        self.heap.push(Reverse((at_ms, id.slot, id.generation)));
    }

    pub(super) fn peek(&self) -> Option<(u64, ConnId)> {
        let Reverse((at_ms, slot, generation)) = *self.heap.peek()?;
        Some((at_ms, ConnId { slot, generation }))
    }

    pub(super) fn pop(&mut self) {
        self.heap.pop();
    }

    /// So many entries have come that a sweep pays.
    pub(super) fn is_crowded(&self) -> bool {
        self.heap.len() >= self.sweep_at
    }

    /// Drops the entries that `keep` does not want. The next sweep comes when there are twice as
    /// many as are left, so an entry pays for a bounded number of them.
    pub(super) fn sweep(&mut self, mut keep: impl FnMut(u64, ConnId) -> bool) {
        self.heap.retain(|Reverse((at_ms, slot, generation))| {
            keep(*at_ms, ConnId { slot: *slot, generation: *generation })
        });
        self.sweep_at = (self.heap.len() * 2).max(SWEEP_MIN);
        self.heap.shrink_to(self.sweep_at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(slot: u32) -> ConnId {
        ConnId { slot, generation: 1 }
    }

    #[test]
    fn a_burst_of_short_lived_entries_needs_little_room() {
        let mut timers = Timers::new();
        for slot in 0..100_000 {
            timers.push(u64::from(slot), id(slot));
            if timers.is_crowded() {
                // Only the newest are still waiting.
                timers.sweep(|at_ms, _| at_ms + 3 > u64::from(slot));
            }
            assert!(timers.heap.len() <= SWEEP_MIN);
        }
        assert!(timers.heap.capacity() <= 2 * SWEEP_MIN);
    }

    #[test]
    fn what_is_kept_still_comes_in_order() {
        let mut timers = Timers::new();
        let moment = |slot: u32| u64::from(slot) * 7_919 % 10_007;
        (0..10_000).for_each(|slot| timers.push(moment(slot), id(slot)));
        timers.sweep(|_, id| id.slot % 3 == 0);
        assert!(!timers.is_crowded());
        let mut expected: Vec<u64> = (0..10_000).filter(|slot| slot % 3 == 0).map(moment).collect();
        expected.sort_unstable();
        let mut got = Vec::new();
        while let Some((at_ms, id)) = timers.peek() {
            assert_eq!(at_ms, moment(id.slot));
            got.push(at_ms);
            timers.pop();
        }
        assert_eq!(got, expected);
    }
}
