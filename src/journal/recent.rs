//! The node-wide recent log: what the ring gave back, in order, within a byte bound.
//!
//! Patterns resume from here: no scan of all channels in a reconnect storm.

use std::collections::VecDeque;
use std::sync::Arc;

use super::event::Event;
use super::store::Purpose;

/// Newest events of all channels.
#[derive(Debug)]
pub(super) struct Recent {
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    bytes_max: usize,
    floor: u64,
}

impl Recent {
    pub(super) fn new(bytes_max: usize, floor: u64) -> Self {
        Self { events: VecDeque::new(), bytes: 0, bytes_max, floor }
    }

    pub(super) fn push(&mut self, event: Arc<Event>) {
        self.bytes += event.size();
        self.events.push_back(event);
        while self.bytes > self.bytes_max {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= oldest.size();
            self.floor = oldest.seq;
        }
    }

    /// All of it, oldest first.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Event>> {
        self.events.iter()
    }

    /// Newest id no longer here.
    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    /// Events in `(after, upto]`.
    pub(super) fn range(&self, after: u64, upto: u64) -> impl Iterator<Item = &Arc<Event>> {
        let first = self.events.partition_point(|event| event.seq <= after);
        self.events.iter().skip(first).take_while(move |event| event.seq <= upto)
    }
}

/// Takes matching events into `out` until the byte bound; false when it was reached.
pub(super) struct Taker<'a> {
    pub(super) purpose: Purpose,
    pub(super) unix_ms: u64,
    pub(super) bytes_left: usize,
    pub(super) taken: usize,
    pub(super) wanted: &'a dyn Fn(&Event) -> bool,
    pub(super) out: &'a mut Vec<Arc<Event>>,
}

impl Taker<'_> {
    pub(super) fn take(&mut self, event: &Arc<Event>) -> bool {
        let hidden = self.purpose == Purpose::Resume && !event.store;
        if hidden || event.expires_unix_ms <= self.unix_ms || !(self.wanted)(event) {
            return true;
        }
        let size = event.frame.wire().len();
        if self.taken > 0 && size > self.bytes_left {
            return false;
        }
        self.bytes_left = self.bytes_left.saturating_sub(size);
        self.taken += 1;
        self.out.push(Arc::clone(event));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::testing::event;

    #[test]
    fn the_oldest_go_and_the_floor_tells() {
        let size = event(1, "c", "x").frame.size();
        let mut recent = Recent::new(size * 3, 0);
        for seq in 1..=5 {
            recent.push(event(seq, "c", "x"));
        }
        assert_eq!(recent.floor(), 2);
        let seqs: Vec<u64> = recent.range(3, 4).map(|event| event.seq).collect();
        assert_eq!(seqs, [4]);
    }
}
