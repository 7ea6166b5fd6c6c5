//! The one order: a bounded ring that any worker appends to and every worker reads in order.
//!
//! Three marks rise for ever: `claimed` (places given to producers), per reader `done` (entries
//! given back) and `reclaimed` (slots empty again). `reclaimed <= min(done) <= published <=
//! claimed <= reclaimed + capacity` always holds.
#![allow(unsafe_code)]

mod primitive;

use std::sync::Arc;

use primitive::{AtomicU64, Mutex, Ordering, Slot};

use super::event::Event;
use super::recent::Recent;

/// On its own cache line, so that two writers do not share one.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded<T>(T);

/// The shared half of the ring.
#[derive(Debug)]
pub(super) struct Ring {
    slots: Box<[Slot<Arc<Event>>]>,
    mask: u64,
    bytes_max: u64,
    claimed: Padded<AtomicU64>,
    /// Bytes of entries claimed and not yet reclaimed.
    bytes: Padded<AtomicU64>,
    reclaimed: Padded<AtomicU64>,
    /// Where given-back entries go; who holds it is the only one to empty slots.
    recent: Mutex<Recent>,
    done: Box<[Padded<AtomicU64>]>,
}

/// A place in the order that must be published. Nothing that can wait or fail may stand between
/// claim and publish: all readers wait for this place.
#[derive(Debug)]
#[must_use]
pub(super) struct Claimed {
    pub(super) position: u64,
}

/// One worker's view of the ring.
#[derive(Debug)]
pub struct Reader {
    ring: Arc<Ring>,
    index: usize,
}

/// What a scan shows.
pub(super) enum Seen<'a> {
    Recent(&'a Recent),
    Entry(&'a Arc<Event>),
}

/// What a retired reader's mark says.
const RETIRED: u64 = u64::MAX;

impl Ring {
    /// A ring for `capacity` entries (rounded up to a power of two) and `readers` readers.
    pub(super) fn new(
        capacity: usize,
        bytes_max: u64,
        recent: Recent,
        readers: usize,
    ) -> (Arc<Self>, Vec<Reader>) {
        let capacity = capacity.max(2).next_power_of_two();
        let ring = Arc::new(Self {
            slots: (0..capacity).map(|_| Slot::new()).collect(),
            mask: capacity as u64 - 1,
            bytes_max,
            claimed: Padded::default(),
            bytes: Padded::default(),
            reclaimed: Padded::default(),
            recent: Mutex::new(recent),
            done: (0..readers).map(|_| Padded::default()).collect(),
        });
        let readers = (0..readers).map(|index| Reader { ring: Arc::clone(&ring), index }).collect();
        (ring, readers)
    }

    /// Claims the next place, or nothing when entries or bytes are at their bound. An entry larger
    /// than the bound goes through when it is alone.
    pub(super) fn claim(&self, bytes: u64) -> Option<Claimed> {
        let before = self.bytes.0.fetch_add(bytes, Ordering::AcqRel);
        if before > 0 && before + bytes > self.bytes_max {
            self.bytes.0.fetch_sub(bytes, Ordering::AcqRel);
            return None;
        }
        let mut position = self.claimed.0.load(Ordering::Acquire);
        loop {
            if position - self.reclaimed.0.load(Ordering::Acquire) > self.mask {
                self.bytes.0.fetch_sub(bytes, Ordering::AcqRel);
                return None;
            }
            match self.claimed.0.compare_exchange_weak(
                position,
                position + 1,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Some(Claimed { position }),
                Err(now) => position = now,
            }
        }
    }

    /// Makes a claimed entry visible to all readers.
    pub(super) fn publish(&self, claimed: Claimed, event: Arc<Event>) {
        let slot = self.slot(claimed.position);
        // SAFETY: the claim gave this place to us alone, and claim succeeded only because the
        // slot's former entry was taken out before `reclaimed` passed it (Release/Acquire).
        unsafe { slot.put(event) };
        slot.mark(claimed.position + 1);
    }

    /// How many places were given out.
    pub(super) fn claimed(&self) -> u64 {
        self.claimed.0.load(Ordering::Acquire)
    }

    /// How many slots were emptied.
    pub(super) fn reclaimed(&self) -> u64 {
        self.reclaimed.0.load(Ordering::Acquire)
    }

    /// A reader was dropped: it reads nothing any more.
    pub(super) fn has_left(&self, reader: usize) -> bool {
        self.done.get(reader).is_none_or(|done| done.0.load(Ordering::Acquire) == RETIRED)
    }

    fn slot(&self, position: u64) -> &Slot<Arc<Event>> {
        // The mask keeps it below the number of slots, which is a usize.
        &self.slots[usize::try_from(position & self.mask).unwrap_or(0)]
    }

    /// Moves what all readers have given back into the recent log, in order. Leaves it to the other
    /// when another thread is at it. True when room was made.
    pub(super) fn reclaim(&self) -> bool {
        let mut freed = false;
        // Marks that rose while another thread held the log: look again until they agree.
        while self.reclaimable() > self.reclaimed() {
            let Ok(mut recent) = self.recent.try_lock() else { return freed };
            let until = self.reclaimable();
            let mut position = self.reclaimed();
            while position < until {
                // SAFETY: every reader has given this place back and no producer may claim it
                // before `reclaimed` is stored below; the lock makes us the only reclaimer and
                // keeps `peek` away.
                if let Some(event) = unsafe { self.slot(position).take() } {
                    self.bytes.0.fetch_sub(event.ring_bytes(), Ordering::AcqRel);
                    recent.push(event);
                }
                position += 1;
                self.reclaimed.0.store(position, Ordering::Release);
                freed = true;
            }
        }
        freed
    }

    /// Looks at the recent log and, in order, at every published entry above it, until `look`
    /// says false.
    pub(super) fn scan(&self, mut look: impl FnMut(Seen<'_>) -> bool) {
        let Ok(log) = self.recent.lock() else { return };
        if !look(Seen::Recent(&log)) {
            return;
        }
        let mut position = self.reclaimed();
        while position < self.claimed() && self.slot(position).is_marked(position + 1) {
            // SAFETY: it is published (Acquire), and only a reclaimer empties it, which needs the
            // lock we hold.
            match unsafe { self.slot(position).get() } {
                Some(event) if look(Seen::Entry(event)) => position += 1,
                _ => return,
            }
        }
    }

    /// Below this every reader is done; no more than what is claimed.
    fn reclaimable(&self) -> u64 {
        let done = self.done.iter().map(|done| done.0.load(Ordering::Acquire)).min();
        done.unwrap_or(RETIRED).min(self.published())
    }

    /// With all readers retired nobody vouches for the entries: none is reclaimed then beyond what
    /// is surely published.
    fn published(&self) -> u64 {
        let mut position = self.reclaimed();
        let claimed = self.claimed();
        if self.done.iter().any(|done| done.0.load(Ordering::Acquire) != RETIRED) {
            return claimed;
        }
        while position < claimed && self.slot(position).is_marked(position + 1) {
            position += 1;
        }
        position
    }
}

impl Reader {
    /// The entry at `position`, once it is published. `position` must not be one that was given
    /// back.
    #[must_use]
    pub fn get(&self, position: u64) -> Option<&Arc<Event>> {
        let done = self.ring.done[self.index].0.load(Ordering::Relaxed);
        debug_assert!(done <= position, "entry {position} was given back ({done})");
        let slot = self.ring.slot(position);
        if position < done || !slot.is_marked(position + 1) {
            return None;
        }
        // SAFETY: the mark says the entry is published (Acquire); it stays until our `done` passes
        // it, and `finish` takes `&mut self`, so no reference given here outlives that.
        unsafe { slot.get() }
    }

    /// Gives back all entries below `position`.
    pub fn finish(&mut self, position: u64) {
        let done = &self.ring.done[self.index].0;
        if position > done.load(Ordering::Relaxed) {
            done.store(position, Ordering::Release);
        }
    }

    /// Entries below this were given back.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.ring.done[self.index].0.load(Ordering::Relaxed)
    }

    /// Which worker reads by it.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }
}

impl Drop for Reader {
    /// A worker that stopped does not hold the ring.
    fn drop(&mut self) {
        self.ring.done[self.index].0.store(RETIRED, Ordering::Release);
    }
}

#[cfg(test)]
mod tests;
