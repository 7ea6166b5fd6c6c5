//! Publishers that wait until their event is written.
//!
//! A worker notes who is subscribed when it reads such an event. Once its walks are past it, it
//! looks what became of each of those streams, tells the receipt, and rings the publisher's worker.

use std::sync::Arc;

use smallvec::SmallVec;

use super::Worker;
use crate::conn::Operation;
use crate::driver::{ConnId, Driver};
use crate::hub::{Hub, TopicId};
use crate::journal::{Event, Written};

/// Streams under watch on one core, 4 bytes each. Beyond, they count as lagging at once: nothing
/// better is known of them.
const WATCHED_MAX: usize = 1 << 22;
/// Streams looked at in one turn: about a millisecond.
const LOOKS_MAX: usize = 16_384;

/// An event whose publisher waits.
#[derive(Debug)]
struct Watch {
    event: Arc<Event>,
    position: u64,
    /// Connections of this generation and later ones came after it.
    generation: u32,
    /// Who is still to be looked at.
    slots: Vec<u32>,
    found: Written,
    /// Its publisher waits no longer than this, monotonic ms.
    until_ms: u64,
}

/// Those of one core.
#[derive(Debug, Default)]
pub(super) struct Watches {
    all: Vec<Watch>,
    /// The last look ended at its bound, or settled something that this core waits for.
    more: bool,
}

impl Watches {
    /// Nobody waits for this core.
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Something could be done about them now.
    pub(super) fn has_more(&self) -> bool {
        self.more
    }

    fn slots(&self) -> usize {
        self.all.iter().map(|watch| watch.slots.len()).sum()
    }
}

impl<D: Driver> Worker<D> {
    /// Notes who is to get an event whose publisher waits: the members of `topics`.
    pub(super) fn watch_event(&mut self, event: Arc<Event>, topics: &SmallVec<[TopicId; 8]>) {
        let mut slots = Vec::new();
        for topic in topics {
            if *topic == Hub::BROADCAST {
                slots.extend(self.conns.linked());
            } else if let Some(topic) = self.hub.topic(*topic) {
                slots.extend((0..topic.len()).filter_map(|at| topic.member(at)));
            }
        }
        if topics.len() > 1 {
            slots.sort_unstable();
            slots.dedup();
        }
        let mut found = Written::default();
        if self.watches.slots() + slots.len() > WATCHED_MAX {
            found.lagging = slots.len() as u64;
            slots = Vec::new();
        }
        let generation = self.conns.next_generation();
        let until_ms = self.now.mono_ms + self.live.options.publish_timeout_ms;
        let watch = Watch { event, position: self.position, generation, slots, found, until_ms };
        self.watches.all.push(watch);
    }

    /// Looks what became of the events under watch; call it when nothing is planned.
    pub(super) fn look_at_watches(&mut self) {
        self.watches.more = false;
        if self.watches.is_empty() {
            return;
        }
        let mut settled_own = false;
        let mut looks_left = LOOKS_MAX;
        let mut watches = std::mem::take(&mut self.watches.all);
        watches.retain_mut(|watch| {
            let is_late = self.now.mono_ms >= watch.until_ms;
            // Above that some topic is not past it.
            if self.reader.done() > watch.position {
                self.look(watch, &mut looks_left);
            }
            if is_late {
                watch.found.lagging += watch.slots.len() as u64;
            } else if !watch.slots.is_empty() || self.reader.done() <= watch.position {
                return true;
            }
            if let Some(receipt) = watch.event.aim.as_ref().and_then(|aim| aim.receipt.as_ref()) {
                receipt.settle(self.index, watch.found);
                settled_own |= receipt.owner() == self.index;
                if receipt.owner() != self.index {
                    self.driver.ring(receipt.owner());
                    self.node.counters[self.index].doorbells_rung.add(1);
                }
            }
            false
        });
        self.watches.all = watches;
        self.watches.more = looks_left == 0 || settled_own;
    }

    fn look(&self, watch: &mut Watch, looks_left: &mut usize) {
        let mut slots = std::mem::take(&mut watch.slots);
        slots.retain(|slot| {
            let Some(left) = looks_left.checked_sub(1) else { return true };
            *looks_left = left;
            let found = &mut watch.found;
            match self.became_of(*slot, &watch.event, watch.generation) {
                Became::Nothing => {}
                Became::Written => found.written += 1,
                Became::Lagging => found.lagging += 1,
                Became::Dropped => found.dropped += 1,
                Became::Unsettled => return true,
            }
            false
        });
        watch.slots = slots;
    }

    fn became_of(&self, slot: u32, event: &Event, generation: u32) -> Became {
        let Some(conn) = self.conns.at(slot) else { return Became::Dropped };
        if is_from(conn.generation, generation) {
            return Became::Dropped;
        }
        if !self.is_for(slot, event) {
            return Became::Nothing;
        }
        if conn.position >= event.seq {
            return Became::Written;
        }
        if !conn.state.is_subscribed() {
            return Became::Dropped;
        }
        if conn.armed.contains(Operation::Writable) { Became::Lagging } else { Became::Unsettled }
    }
}

/// What became of an event on one stream.
#[derive(Debug)]
enum Became {
    /// It was not for this stream.
    Nothing,
    Written,
    Lagging,
    Dropped,
    /// It is under way.
    Unsettled,
}

/// A generation is `first` or a later one. They wrap.
fn is_from(generation: u32, first: u32) -> bool {
    let ahead = generation.wrapping_sub(first) & ConnId::GENERATION_MASK;
    ahead <= ConnId::GENERATION_MASK / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_wrap() {
        assert!(is_from(5, 5) && is_from(6, 5) && !is_from(4, 5));
        assert!(is_from(0, ConnId::GENERATION_MASK) && !is_from(ConnId::GENERATION_MASK, 0));
    }
}
