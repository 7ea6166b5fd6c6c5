//! Events that reach their streams little by little.
//!
//! Such an event is in the histories at once. A live stream gets it at a moment of its own, or
//! earlier, with the next event for it: until then its position stays below. No timer is needed for
//! that: at each tick the slots of one residue are visited, in an order of residues that spreads
//! neighbours far apart.

use std::sync::Arc;

use smallvec::SmallVec;

use super::Worker;
use super::conns::Form;
use super::planted::{Planted, is_planted};
use crate::driver::Driver;
use crate::hub::TopicName;
use crate::journal::Event;
use crate::proto::channel::BROADCAST;

/// Events under way on one core. Further ones leave at once.
const SPREADS_MAX: usize = 64;
/// Most moments of one event, and the least time between two, milliseconds.
const TICKS_MAX: u32 = 4_096;
const TICK_MS_MIN: u32 = 10;
/// Slots visited in one turn.
const VISITS_MAX: usize = 4_096;

/// One event on its way.
#[derive(Debug)]
struct Spread {
    event: Arc<Event>,
    begun_ms: u64,
    length_ms: u64,
    /// A power of two: slots of one residue modulo this have one moment.
    ticks: u32,
    /// Next tick, and where its visits have come to.
    tick: u32,
    cursor: Option<u32>,
    /// Undoes the step from one residue's tick to the next one's.
    inverse: u32,
    shift: u32,
}

/// Those of one core, in order.
#[derive(Debug, Default)]
pub(super) struct Spreads {
    all: Vec<Spread>,
}

impl Spread {
    fn new(event: Arc<Event>, begun_ms: u64, length_ms: u32) -> Self {
        let ticks = (length_ms / TICK_MS_MIN).clamp(1, TICKS_MAX);
        let ticks = 1 << ticks.ilog2();
        // The golden ratio of a turn: the moments of neighbours lie as far apart as can be.
        let step = u32::try_from((u64::from(ticks) * 0x9e37_79b9) >> 32).unwrap_or(0) | 1;
        // Newton's iteration; three bits are right to begin with.
        let inverse = (0..4).fold(step, |inverse, _| {
            inverse.wrapping_mul(2_u32.wrapping_sub(step.wrapping_mul(inverse)))
        });
        let mixed = event.seq.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let shift = u32::try_from(mixed).unwrap_or(0);
        let length_ms = length_ms.into();
        Self { event, begun_ms, length_ms, ticks, tick: 0, cursor: None, inverse, shift }
    }

    /// When the next visits are due, monotonic ms.
    fn due_ms(&self) -> u64 {
        match self.cursor {
            Some(_) => 0,
            None => self.begun_ms + self.length_ms * u64::from(self.tick) / u64::from(self.ticks),
        }
    }

    fn is_over(&self) -> bool {
        self.tick >= self.ticks && self.cursor.is_none()
    }

    /// The next slot to visit below `slots`, none until the next tick.
    fn next(&mut self, now_ms: u64, slots: u32) -> Option<u32> {
        loop {
            let slot = match self.cursor {
                Some(slot) => slot,
                None if self.is_over() || now_ms < self.due_ms() => return None,
                None => {
                    let residue = self.tick.wrapping_sub(self.shift).wrapping_mul(self.inverse);
                    self.tick += 1;
                    residue & (self.ticks - 1)
                }
            };
            if slot < slots {
                self.cursor = Some(slot + self.ticks);
                return Some(slot);
            }
            self.cursor = None;
        }
    }
}

impl Spreads {
    /// Nothing is on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// All moments are now.
    pub(super) fn hurry(&mut self) {
        self.all.iter_mut().for_each(|spread| spread.length_ms = 0);
    }

    /// When something is due, monotonic ms.
    pub(super) fn due_at_ms(&self) -> u64 {
        self.all.iter().map(Spread::due_ms).min().unwrap_or(u64::MAX)
    }
}

impl<D: Driver> Worker<D> {
    /// Takes an event that is not to leave at once. False: it has to.
    pub(super) fn spread(&mut self, event: &Arc<Event>) -> bool {
        let length_ms = event.aim.as_ref().map_or(0, |aim| aim.spread_ms);
        if length_ms == 0 || self.spreads.all.len() >= SPREADS_MAX {
            return false;
        }
        self.spreads.all.push(Spread::new(Arc::clone(event), self.now.mono_ms, length_ms));
        true
    }

    /// Visits the streams whose moment it is.
    pub(super) fn spread_on(&mut self) {
        let (now_ms, slots) = (self.now.mono_ms, self.conns.slots());
        for _ in 0..VISITS_MAX {
            if self.outbox.is_full(self.pace.sends_max) {
                return;
            }
            let mut all = self.spreads.all.iter_mut();
            let next = all.find_map(|one| Some((one.next(now_ms, slots)?, Arc::clone(&one.event))));
            let Some((slot, event)) = next else { break };
            self.visit_for(slot, &event);
        }
        self.spreads.all.retain(|one| !one.is_over());
    }

    fn visit_for(&mut self, slot: u32, event: &Event) {
        if !self.is_due(slot, event.seq) || !self.is_member(slot, event) {
            return;
        }
        if self.conns.at(slot).is_some_and(|conn| conn.planned == self.outbox.number) {
            self.flush();
        }
        let Some(conn) = self.conns.at(slot).filter(|conn| !conn.behind) else { return };
        if conn.form == Form::Poll {
            return self.fall_behind(slot);
        }
        let custom = conn.is_custom();
        self.gather(slot, custom);
    }

    /// Some event on its way has not reached this stream.
    pub(super) fn awaits_spread(&self, slot: u32) -> bool {
        !self.spreads.all.is_empty()
            && !self.spread_for(slot).is_empty()
            && !is_planted(Planted::PassSpread)
    }

    /// Events on their way that a live stream has not got, in order.
    pub(super) fn spread_for(&self, slot: u32) -> SmallVec<[Arc<Event>; 1]> {
        let position = self.conns.at(slot).map_or(u64::MAX, |conn| conn.position);
        let all = self.spreads.all.iter().map(|one| &one.event);
        let owed = all.filter(|event| event.seq > position && self.is_member(slot, event));
        owed.map(Arc::clone).collect()
    }

    /// The stream belongs to one of the event's channels.
    fn is_member(&self, slot: u32, event: &Event) -> bool {
        let has = |name: &str| event.targets.iter().any(|key| *key.name == *name);
        let is = |topic| match self.hub.topic(topic).map(|topic| &topic.name) {
            Some(TopicName::Channel(known)) => has(known),
            Some(TopicName::Pattern(known)) => event.reaches(known),
            None => false,
        };
        has(BROADCAST) || self.hub.topics_of(slot).any(is)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::testing::event;

    fn spread(seq: u64, length_ms: u32) -> Spread {
        Spread::new(event(seq, "a", "x"), 1_000, length_ms)
    }

    /// When each slot is visited.
    fn moments(mut spread: Spread, slots: u32) -> Vec<u64> {
        let mut moments = vec![Vec::new(); slots as usize];
        for now_ms in 1_000..=1_000 + spread.length_ms {
            while let Some(slot) = spread.next(now_ms, slots) {
                moments[slot as usize].push(now_ms - 1_000);
            }
        }
        assert!(spread.is_over());
        moments.into_iter().map(|of| if let [one] = *of { one } else { panic!("{of:?}") }).collect()
    }

    #[test]
    fn every_slot_has_one_moment_within_the_time() {
        for (seq, length_ms) in [(1, 1), (2, 9), (3, 25), (4, 1_000), (5, 60_000)] {
            let moments = moments(spread(seq, length_ms), 10_000);
            assert!(moments.iter().all(|ms| *ms <= u64::from(length_ms)));
        }
    }

    #[test]
    fn neighbours_are_far_apart_and_each_event_draws_anew() {
        let mut first = moments(spread(1, 60_000), 16);
        assert_ne!(first, moments(spread(2, 60_000), 16));
        first.sort_unstable();
        assert!(first.windows(2).all(|pair| pair[1] - pair[0] > 1_500), "{first:?}");
    }

    #[test]
    fn crowds_are_spread_evenly() {
        let moments = moments(spread(9, 10_000), 100_000);
        for tenth in 0..10 {
            let within = moments.iter().filter(|ms| **ms / 1_000 == tenth).count();
            assert!((9_000..11_000).contains(&within), "{tenth}: {within}");
        }
    }
}
