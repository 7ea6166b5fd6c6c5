//! How often one event may be sent to one target.
//!
//! With a rate of one per `window_ms` the first event of a name leaves at once and opens a window;
//! what comes within it is held, each newer one in place of the one before, which is counted as
//! superseded; when the window is over the last one leaves, late but never lost, and opens the next.
//! Held events act before the journal: they have no id yet.
//!
//! The table is bounded in entries and in the bytes it holds back. What finds no room is given back
//! to the caller, who decides between a refusal (503) and letting it go at once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use serde::{Deserialize, Serialize};
use slab::Slab;

/// Bounds of a table.
#[derive(Debug, Clone, Copy)]
pub struct RateLimits {
    /// Most open windows.
    pub windows_max: usize,
    /// Most bytes of held events, as the caller weighs them.
    pub held_bytes_max: usize,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self { windows_max: 1 << 16, held_bytes_max: 64 << 20 }
    }
}

/// What becomes of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision<T> {
    /// It leaves now.
    Leave(T),
    /// It is held, and leaves when the window opens unless a newer one takes its place.
    Held {
        /// When, monotonic milliseconds.
        opens_at_ms: u64,
        /// The event whose place it took: it will not be sent. Worth a log line.
        superseded: Option<T>,
    },
    /// A bound of the table is reached.
    Full(T),
}

/// An event whose window is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due<T> {
    /// The target's name.
    pub target: Box<str>,
    /// The event's name.
    pub event: Box<str>,
    /// The last one that came.
    pub item: T,
    /// How many it took the place of.
    pub superseded: u64,
}

/// An open window.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Window<T> {
    target: Box<str>,
    event: Box<str>,
    window_ms: u64,
    opens_at_ms: u64,
    /// Held event and its weight.
    held: Option<(T, usize)>,
    superseded: u64,
}

/// The open windows of all targets.
#[derive(Debug)]
pub struct Rates<T> {
    limits: RateLimits,
    hasher: RandomState,
    windows: Slab<Window<T>>,
    index: HashTable<usize>,
    /// One entry for each window, when it opens and its place; the time may be earlier than true.
    openings: BinaryHeap<Reverse<(u64, usize)>>,
    held_bytes: usize,
}

impl<T> Rates<T> {
    /// An empty table.
    #[must_use]
    pub fn new(limits: RateLimits) -> Self {
        Self {
            limits,
            hasher: RandomState::default(),
            windows: Slab::new(),
            index: HashTable::new(),
            openings: BinaryHeap::new(),
            held_bytes: 0,
        }
    }

    /// Decides about an event at `now_ms`, monotonic milliseconds. `weight`: its bytes.
    ///
    /// `window_ms` counts from the next event that leaves; a window that is open keeps its length.
    /// 0 means no rate: the event leaves.
    pub fn offer(
        &mut self,
        target: &str,
        event: &str,
        window_ms: u64,
        now_ms: u64,
        item: T,
        weight: usize,
    ) -> Decision<T> {
        if window_ms == 0 {
            return Decision::Leave(item);
        }
        match self.find(target, event) {
            Some(at) => self.offer_again(at, window_ms, now_ms, item, weight),
            None if self.windows.len() >= self.limits.windows_max => Decision::Full(item),
            None => {
                self.open(target, event, window_ms, now_ms);
                Decision::Leave(item)
            }
        }
    }

    /// Takes the events out whose window is over by `now_ms`, the earliest first; each opens a new
    /// window at `now_ms`. Windows in which nothing was held end.
    ///
    /// Take all of them, or come again: what is not taken stays.
    pub fn due(&mut self, now_ms: u64) -> impl Iterator<Item = Due<T>> + '_ {
        std::iter::from_fn(move || self.next_due(now_ms))
    }

    /// When [`Rates::due`] may next have something to do, monotonic milliseconds; it may be told
    /// early, never late.
    #[must_use]
    pub fn due_at_ms(&self) -> Option<u64> {
        self.openings.peek().map(|Reverse((at_ms, _))| *at_ms)
    }

    /// All open windows with what they hold, for another process.
    pub fn windows(&self) -> impl Iterator<Item = &Window<T>> {
        self.windows.iter().map(|(_, window)| window)
    }

    /// Takes a window over from another process.
    pub fn take_over(&mut self, window: Window<T>) {
        let hash = self.hasher.hash_one((&*window.target, &*window.event));
        self.held_bytes += window.held.as_ref().map_or(0, |(_, weight)| *weight);
        let opens_at_ms = window.opens_at_ms;
        let at = self.windows.insert(window);
        let (hasher, windows) = (&self.hasher, &self.windows);
        self.index.insert_unique(hash, at, |other| hash_of(hasher, windows, *other));
        self.openings.push(Reverse((opens_at_ms, at)));
    }

    /// Open windows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.windows.len()
    }

    /// No window is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// Bytes of held events.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Bytes of the table itself, names and held events aside.
    #[must_use]
    pub fn table_bytes(&self) -> usize {
        self.windows.capacity() * size_of::<Window<T>>()
            + self.index.allocation_size()
            + self.openings.capacity() * size_of::<(u64, usize)>()
    }

    fn offer_again(
        &mut self,
        at: usize,
        window_ms: u64,
        now_ms: u64,
        item: T,
        weight: usize,
    ) -> Decision<T> {
        let Some(window) = self.windows.get_mut(at) else { return Decision::Leave(item) };
        if window.held.is_none() && window.opens_at_ms <= now_ms {
            // Over, and nobody has looked yet. Its entry in the queue is corrected when it comes up.
            window.window_ms = window_ms;
            window.opens_at_ms = now_ms.saturating_add(window_ms);
            return Decision::Leave(item);
        }
        let freed = window.held.as_ref().map_or(0, |(_, weight)| *weight);
        if self.held_bytes - freed + weight > self.limits.held_bytes_max {
            return Decision::Full(item);
        }
        self.held_bytes = self.held_bytes - freed + weight;
        let superseded = window.held.replace((item, weight)).map(|(item, _)| item);
        window.superseded += u64::from(superseded.is_some());
        Decision::Held { opens_at_ms: window.opens_at_ms, superseded }
    }

    fn open(&mut self, target: &str, event: &str, window_ms: u64, now_ms: u64) {
        let opens_at_ms = now_ms.saturating_add(window_ms);
        let at = self.windows.insert(Window {
            target: target.into(),
            event: event.into(),
            window_ms,
            opens_at_ms,
            held: None,
            superseded: 0,
        });
        let (hasher, windows) = (&self.hasher, &self.windows);
        let hash = hasher.hash_one((target, event));
        self.index.insert_unique(hash, at, |other| hash_of(hasher, windows, *other));
        self.openings.push(Reverse((opens_at_ms, at)));
    }

    fn find(&self, target: &str, event: &str) -> Option<usize> {
        let hash = self.hasher.hash_one((target, event));
        let same = |at: &usize| {
            let window = self.windows.get(*at);
            window.is_some_and(|window| &*window.target == target && &*window.event == event)
        };
        self.index.find(hash, same).copied()
    }

    fn next_due(&mut self, now_ms: u64) -> Option<Due<T>> {
        while let Some(&Reverse((at_ms, at))) = self.openings.peek() {
            if at_ms > now_ms {
                break;
            }
            self.openings.pop();
            let Some(window) = self.windows.get_mut(at) else { continue };
            if window.opens_at_ms > now_ms {
                self.openings.push(Reverse((window.opens_at_ms, at)));
                continue;
            }
            let Some((item, weight)) = window.held.take() else {
                self.close(at);
                continue;
            };
            self.held_bytes -= weight;
            window.opens_at_ms = now_ms.saturating_add(window.window_ms);
            self.openings.push(Reverse((window.opens_at_ms, at)));
            let superseded = std::mem::take(&mut window.superseded);
            let (target, event) = (window.target.clone(), window.event.clone());
            return Some(Due { target, event, item, superseded });
        }
        self.shrink();
        None
    }

    fn close(&mut self, at: usize) {
        let hash = hash_of(&self.hasher, &self.windows, at);
        if let Ok(entry) = self.index.find_entry(hash, |other| *other == at) {
            entry.remove();
        }
        self.windows.remove(at);
    }

    /// Gives memory back after a rush. A slab shrinks only behind its last entry, so it is packed.
    fn shrink(&mut self) {
        if self.windows.capacity() <= 64 || self.windows.len() >= self.windows.capacity() / 4 {
            return;
        }
        let (mut packed, mut openings) = (Slab::with_capacity(self.windows.len()), Vec::new());
        self.index = HashTable::with_capacity(self.windows.len());
        for window in std::mem::take(&mut self.windows).into_iter().map(|(_, window)| window) {
            let opens_at_ms = window.opens_at_ms;
            let hash = self.hasher.hash_one((&*window.target, &*window.event));
            let at = packed.insert(window);
            self.index.insert_unique(hash, at, |other| hash_of(&self.hasher, &packed, *other));
            openings.push(Reverse((opens_at_ms, at)));
        }
        self.windows = packed;
        self.openings = openings.into();
    }
}

fn hash_of<T>(hasher: &RandomState, windows: &Slab<Window<T>>, at: usize) -> u64 {
    windows.get(at).map_or(0, |window| hasher.hash_one((&*window.target, &*window.event)))
}

#[cfg(test)]
mod tests;
