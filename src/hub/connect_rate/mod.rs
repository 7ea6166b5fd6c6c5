//! How often one address may connect.
//!
//! A sliding window: of the last `window_ms` at most `max` connects of one address are admitted.
//! Refused ones do not count, so a client that keeps trying gets in as soon as its oldest connect
//! is out of the window, and an address nobody knows is refused.
//!
//! Admissions stand in one queue by time, which sweeps itself: each call first forgets what left the
//! window. The queue is bounded; above `admissions_max` the oldest is forgotten early, so under
//! a flood from very many addresses the limit gets milder, and memory does not grow.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::proto::forwarded::IpKey;

/// Answer of [`ConnectRate::admit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It may connect, and this counts.
    Admitted,
    /// Too many: 429.
    Refused {
        /// Milliseconds until the next one can be admitted, at least 1.
        retry_after_ms: u64,
    },
    /// No address is known, so nothing can be counted: refused. Exempt peers are not asked about.
    Unknown,
}

/// One connect within the window.
#[derive(Debug)]
struct Entry {
    at_ms: u64,
    key: IpKey,
    /// Number of the same key's next connect, if there is one.
    next: u64,
}

/// The connects of one key within the window.
#[derive(Debug)]
struct Record {
    count: u32,
    /// Numbers of its first and last connect.
    first: u64,
    last: u64,
}

/// The connects of all addresses within the window. It belongs to one owner; a node has one behind
/// a lock, or several by hash of the key.
#[derive(Debug)]
pub struct ConnectRate<S = RandomState> {
    max: u32,
    window_ms: u64,
    admissions_max: usize,
    entries: VecDeque<Entry>,
    /// Number of the queue's first entry; entries are numbered in order.
    first_number: u64,
    records: HashMap<IpKey, Record, S>,
}

impl ConnectRate {
    /// Admits `max` connects (at least 1) per address and `window_ms`, and remembers at most
    /// `admissions_max` (at least 1) of all addresses: 32 bytes each, and 40 to 170 for each
    /// address.
    #[must_use]
    pub fn new(max: u32, window_ms: u64, admissions_max: usize) -> Self {
        Self {
            max: max.max(1),
            window_ms,
            admissions_max: admissions_max.max(1),
            entries: VecDeque::new(),
            first_number: 0,
            records: HashMap::default(),
        }
    }
}

impl<S: BuildHasher> ConnectRate<S> {
    /// Decides about a connect at `now_ms`, monotonic milliseconds.
    pub fn admit(&mut self, key: Option<IpKey>, now_ms: u64) -> Admission {
        self.sweep(now_ms);
        let Some(key) = key else { return Admission::Unknown };
        if let Some(record) = self.records.get(&key).filter(|record| record.count >= self.max) {
            let oldest_at_ms = self.entry(record.first).map_or(now_ms, |entry| entry.at_ms);
            // What is still there is not out of the window yet.
            let retry_after_ms =
                oldest_at_ms.saturating_add(self.window_ms).saturating_sub(now_ms).max(1);
            return Admission::Refused { retry_after_ms };
        }
        if self.entries.len() == self.admissions_max {
            self.forget_oldest();
        }
        self.push(key, now_ms);
        Admission::Admitted
    }

    /// Forgets what left the window. [`ConnectRate::admit`] does this too; called now and then, it
    /// gives memory back while nobody connects.
    pub fn sweep(&mut self, now_ms: u64) {
        let window_ms = self.window_ms;
        let is_over = |entry: &Entry| entry.at_ms.saturating_add(window_ms) <= now_ms;
        while self.entries.front().is_some_and(is_over) {
            self.forget_oldest();
        }
        if self.entries.capacity() > 64 && self.entries.len() < self.entries.capacity() / 4 {
            self.entries.shrink_to(self.entries.len() * 2);
            self.records.shrink_to(self.records.len() * 2);
        }
    }

    /// Connects that are remembered.
    #[must_use]
    pub fn admissions(&self) -> usize {
        self.entries.len()
    }

    /// Addresses they came from.
    #[must_use]
    pub fn addresses(&self) -> usize {
        self.records.len()
    }

    /// Bytes of memory held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>() + self.records.allocation_size()
    }

    fn entry(&self, number: u64) -> Option<&Entry> {
        self.entries.get(self.place(number))
    }

    fn place(&self, number: u64) -> usize {
        // The queue is in memory, so its places fit.
        usize::try_from(number - self.first_number).unwrap_or(usize::MAX)
    }

    fn push(&mut self, key: IpKey, at_ms: u64) {
        // A clock seen late by another core must not make the queue run backwards.
        let at_ms = self.entries.back().map_or(at_ms, |last| last.at_ms.max(at_ms));
        let number = self.first_number + self.entries.len() as u64;
        self.entries.push_back(Entry { at_ms, key, next: 0 });
        let fresh = Record { count: 0, first: number, last: number };
        let record = self.records.entry(key).or_insert(fresh);
        record.count += 1;
        let before = std::mem::replace(&mut record.last, number);
        let place = self.place(before);
        if let Some(entry) = self.entries.get_mut(place) {
            entry.next = number;
        }
    }

    fn forget_oldest(&mut self) {
        let Some(entry) = self.entries.pop_front() else { return };
        self.first_number += 1;
        let hashbrown::hash_map::Entry::Occupied(mut record) = self.records.entry(entry.key) else {
            return;
        };
        if record.get().count == 1 {
            record.remove();
        } else {
            record.get_mut().count -= 1;
            record.get_mut().first = entry.next;
        }
    }
}

#[cfg(test)]
mod tests;
