//! One shard of the store: its channels, its tombstones, its idempotency keys.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use hashbrown::HashTable;

use super::channel::Channel;
use crate::journal::event::{ChannelKey, Event, KeyHasher};
use crate::journal::namespace::Namespaces;
use crate::proto::channel::{Pattern, is_reserved};

/// What is remembered of a dropped channel, so that a later resume is told of its hole.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tombstone {
    /// Nothing at or below this id can be had any more.
    pub(super) floor: u64,
    pub(super) until_ms: u64,
}

/// A publisher's scope and its own key.
pub(super) type Idempotency = (u64, Box<str>);

/// Bounds of the side tables of a shard.
#[derive(Debug, Clone, Copy)]
pub(super) struct ShardBounds {
    pub(super) tombstones: usize,
    pub(super) tombstone_age_ms: u64,
    pub(super) keys: usize,
    pub(super) key_age_ms: u64,
    pub(super) channels: usize,
    pub(super) idle_ms: u64,
}

/// A channel: who subscribes, and what was published, if anything was.
///
/// With a million users most channels are a user's own, with one subscriber and no event.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: Arc<str>,
    pub(super) subscribers: u32,
    namespace: u32,
    /// None: nothing was published since it is known, nor before.
    pub(super) kept: Option<Box<Channel>>,
}

#[derive(Debug)]
pub(super) struct Shard {
    /// For tables that grow: an entry does not keep its name's hash.
    hasher: KeyHasher,
    pub(super) channels: HashTable<Entry>,
    /// Names that a pattern can match, in order. Users and tenants, of whom there are most, are
    /// not among them.
    names: BTreeSet<Arc<str>>,
    pub(super) tombstones: HashMap<u64, Tombstone>,
    pub(super) tombstone_order: VecDeque<(u64, u64)>,
    /// Floor of channels nobody remembers.
    pub(super) floor: u64,
    pub(super) keys: HashMap<Idempotency, u64>,
    pub(super) key_order: VecDeque<(u64, Idempotency)>,
    sweep_at: usize,
}

impl Shard {
    pub(super) fn new(hasher: KeyHasher) -> Self {
        Self {
            hasher,
            channels: HashTable::new(),
            names: BTreeSet::new(),
            tombstones: HashMap::new(),
            tombstone_order: VecDeque::new(),
            floor: 0,
            keys: HashMap::new(),
            key_order: VecDeque::new(),
            sweep_at: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.channels.len()
    }

    pub(super) fn get(&self, key: &ChannelKey) -> Option<&Entry> {
        self.channels.find(key.hash, |entry| entry.name == key.name)
    }

    pub(super) fn get_mut(&mut self, key: &ChannelKey) -> Option<&mut Entry> {
        self.channels.find_mut(key.hash, |entry| entry.name == key.name)
    }

    /// What was published to a channel, if it is known.
    pub(super) fn kept(&self, key: &ChannelKey) -> Option<&Channel> {
        self.get(key)?.kept.as_deref()
    }

    /// Floor that a channel begins with: its tombstone's, or that of all forgotten ones.
    pub(super) fn floor_of(&self, key: &ChannelKey) -> u64 {
        self.tombstones.get(&key.hash).map_or(self.floor, |stone| stone.floor)
    }

    /// The channel, made on first use.
    pub(super) fn get_or_insert(
        &mut self,
        key: &ChannelKey,
        namespaces: &Namespaces,
        now_ms: u64,
    ) -> &mut Entry {
        let floor = if self.get(key).is_some() { 0 } else { self.floor_of(key) };
        let (hasher, names) = (self.hasher, &mut self.names);
        let entry = self.channels.entry(
            key.hash,
            |entry| entry.name == key.name,
            |entry| hasher.hash(&entry.name),
        );
        entry
            .or_insert_with(|| {
                if !is_reserved(&key.name) {
                    names.insert(Arc::clone(&key.name));
                }
                Entry {
                    name: Arc::clone(&key.name),
                    subscribers: 0,
                    namespace: u32::try_from(namespaces.index_of(&key.name)).unwrap_or(u32::MAX),
                    kept: (floor > 0).then(|| Box::new(Channel::new(floor, now_ms))),
                }
            })
            .into_mut()
    }

    /// Adds the channels that match. None when `found` would grow beyond `max`, or nothing is left
    /// of `looks_left`.
    pub(super) fn matching(
        &self,
        pattern: &Pattern,
        max: usize,
        looks_left: &mut usize,
        found: &mut Vec<ChannelKey>,
    ) -> Option<()> {
        let prefix = pattern.literal_prefix();
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let names = self.names.range::<str, _>(from);
        for name in names.take_while(|name| name.starts_with(prefix)) {
            *looks_left = looks_left.checked_sub(1)?;
            if pattern.matches(name) {
                if found.len() >= max {
                    return None;
                }
                found.push(ChannelKey { hash: self.hasher.hash(name), name: Arc::clone(name) });
            }
        }
        Some(())
    }

    /// Channels whose names begin with `prefix`, with their subscribers, if they have some.
    pub(super) fn subscribed(&self, prefix: &str) -> impl Iterator<Item = (&Arc<str>, u32)> {
        let of = self.channels.iter().filter(move |entry| entry.subscribers > 0);
        let of = of.filter(move |entry| entry.name.starts_with(prefix));
        of.map(|entry| (&entry.name, entry.subscribers))
    }

    /// A subscriber leaves. A channel nothing was published to goes with the last one. True if it
    /// was the last one.
    pub(super) fn detach(&mut self, key: &ChannelKey, now_ms: u64) -> bool {
        let Ok(mut found) = self.channels.find_entry(key.hash, |entry| entry.name == key.name)
        else {
            return false;
        };
        let entry = found.get_mut();
        let last = entry.subscribers == 1;
        entry.subscribers = entry.subscribers.saturating_sub(1);
        match &mut entry.kept {
            Some(channel) => channel.used_at_ms = now_ms,
            None if entry.subscribers == 0 => {
                let (entry, _) = found.remove();
                self.names.remove(&*entry.name);
            }
            None => {}
        }
        last
    }

    pub(super) fn has_room_for(&self, key: &ChannelKey, bounds: &ShardBounds) -> bool {
        self.channels.len() < bounds.channels || self.get(key).is_some()
    }

    pub(super) fn find_key(&self, key: &Idempotency) -> Option<u64> {
        self.keys.get(key).copied()
    }

    pub(super) fn remember_key(
        &mut self,
        key: Idempotency,
        seq: u64,
        now_ms: u64,
        bounds: &ShardBounds,
    ) {
        while self.keys.len() >= bounds.keys {
            let Some((_, old)) = self.key_order.pop_front() else { break };
            self.keys.remove(&old);
        }
        self.key_order.push_back((now_ms, key.clone()));
        self.keys.insert(key, seq);
    }

    /// Ages histories, drops idle channels (leaving tombstones), forgets old keys and stones.
    /// Returns the bytes freed.
    pub(super) fn sweep(
        &mut self,
        now_ms: u64,
        unix_ms: u64,
        namespaces: &Namespaces,
        bounds: &ShardBounds,
        leave_tombstones: bool,
    ) -> usize {
        let (mut freed, hasher, names) = (0, self.hasher, &mut self.names);
        let mut dropped = Vec::new();
        self.channels.retain(|entry| {
            let Some(channel) = entry.kept.as_mut() else {
                if entry.subscribers == 0 {
                    names.remove(&*entry.name);
                }
                return entry.subscribers > 0;
            };
            freed += channel.trim(namespaces.get(entry.namespace as usize), unix_ms);
            let idle = now_ms.saturating_sub(channel.used_at_ms) >= bounds.idle_ms;
            let keep = entry.subscribers > 0 || !idle;
            if !keep {
                freed += channel.window_bytes;
                names.remove(&*entry.name);
                dropped
                    .push((hasher.hash(&entry.name), channel.last_seq.max(channel.resume_floor)));
            }
            keep
        });
        for (hash, floor) in dropped.into_iter().filter(|_| leave_tombstones) {
            self.bury(hash, floor, now_ms, bounds);
        }
        while self.tombstone_order.front().is_some_and(|(until_ms, _)| *until_ms <= now_ms) {
            self.forget_oldest_tombstone();
        }
        while self.key_order.front().is_some_and(|(at, _)| now_ms - at >= bounds.key_age_ms) {
            let Some((_, key)) = self.key_order.pop_front() else { break };
            self.keys.remove(&key);
        }
        self.sweep_at += 1;
        freed
    }

    fn bury(&mut self, hash: u64, floor: u64, now_ms: u64, bounds: &ShardBounds) {
        let until_ms = now_ms + bounds.tombstone_age_ms;
        self.tombstones.insert(hash, Tombstone { floor, until_ms });
        self.tombstone_order.push_back((until_ms, hash));
        while self.tombstones.len() > bounds.tombstones {
            self.forget_oldest_tombstone();
        }
    }

    /// Forgetting makes every unknown channel's floor rise: a hole is announced rather too often
    /// than never.
    fn forget_oldest_tombstone(&mut self) {
        let Some((until_ms, hash)) = self.tombstone_order.pop_front() else { return };
        if self.tombstones.get(&hash).is_some_and(|stone| stone.until_ms == until_ms)
            && let Some(stone) = self.tombstones.remove(&hash)
        {
            self.floor = self.floor.max(stone.floor);
        }
    }

    pub(super) fn push(
        entry: &mut Entry,
        event: Arc<Event>,
        namespaces: &Namespaces,
        now_ms: u64,
    ) -> (usize, usize) {
        let Some(channel) = entry.kept.as_mut() else { return (0, 0) };
        let unix_ms = event.unix_ms;
        let added = event.size();
        channel.used_at_ms = now_ms;
        channel.push(event);
        (added, channel.trim(namespaces.get(entry.namespace as usize), unix_ms))
    }
}

impl Entry {
    /// What was published to it, with room for one more event, so that pushing it cannot allocate.
    pub(super) fn make_room(&mut self, now_ms: u64) -> &mut Channel {
        let channel = self.kept.get_or_insert_with(|| Box::new(Channel::new(0, now_ms)));
        channel.window.reserve(1);
        channel
    }
}
