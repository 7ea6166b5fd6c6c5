//! The histories: channel to bounded window of shared events, sharded.
//!
//! Touched by publish, replay and laggards, never by a healthy delivery. Every critical section is
//! short; locks of several shards are taken in ascending order only.

mod channel;
mod shard;
mod snapshot;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use smallvec::SmallVec;

pub use channel::{Purpose, Range, Span};
use shard::{Shard, ShardBounds};
pub(super) use snapshot::StoreRecord;

use super::event::{ChannelKey, Event, KeyHasher};
use super::namespace::{Namespaces, Overflow};
use crate::proto::channel::{Pattern, TENANT, USER};

const SHARDS: usize = 64;
/// Names that one pattern is held against at most: about a millisecond.
const LOOKS_MAX: usize = 16_384;

/// Bounds of the store.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    /// Options of channels.
    pub namespaces: Namespaces,
    /// Most channels with a history or subscribers.
    pub channels_max: usize,
    /// Channels without subscribers and events for so long are dropped, milliseconds.
    pub idle_ms: u64,
    /// Most tombstones of dropped channels.
    pub tombstones_max: usize,
    /// How long a tombstone stands, milliseconds.
    pub tombstone_age_ms: u64,
    /// Most idempotency keys.
    pub keys_max: usize,
    /// How long an idempotency key is known, milliseconds.
    pub key_age_ms: u64,
    /// Dropped channels leave tombstones. False only to show what they are for.
    #[doc(hidden)]
    pub leave_tombstones: bool,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            namespaces: Namespaces::new(Vec::new()),
            channels_max: 4_000_000,
            idle_ms: 600_000,
            tombstones_max: 1 << 20,
            tombstone_age_ms: 86_400_000,
            keys_max: 1 << 20,
            key_age_ms: 600_000,
            leave_tombstones: true,
        }
    }
}

/// All channels of the node.
#[derive(Debug)]
pub(super) struct Store {
    shards: Box<[Mutex<Shard>]>,
    settings: StoreSettings,
    bounds: ShardBounds,
    bytes: AtomicUsize,
    /// Users, and tenants, of whom somebody subscribes.
    users: AtomicUsize,
    tenants: AtomicUsize,
}

/// The locked shards of one append, ascending.
pub(super) struct Locked<'s> {
    store: &'s Store,
    guards: smallvec::SmallVec<[(usize, MutexGuard<'s, Shard>); 2]>,
}

/// Why an append may not be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may.
    Fresh,
    /// It was appended before, under this id.
    Duplicate(u64),
    /// The channel's last id is another one.
    Conflict(u64),
    /// No more channels.
    TooManyChannels,
}

impl Store {
    pub(super) fn new(settings: StoreSettings, hasher: KeyHasher) -> Self {
        let share = |total: usize| (total / SHARDS).max(1);
        let bounds = ShardBounds {
            tombstones: share(settings.tombstones_max),
            tombstone_age_ms: settings.tombstone_age_ms,
            keys: share(settings.keys_max),
            key_age_ms: settings.key_age_ms,
            channels: share(settings.channels_max),
            idle_ms: settings.idle_ms,
        };
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard::new(hasher))).collect();
        Self {
            shards,
            settings,
            bounds,
            bytes: AtomicUsize::new(0),
            users: AtomicUsize::new(0),
            tenants: AtomicUsize::new(0),
        }
    }

    pub(super) fn namespaces(&self) -> &Namespaces {
        &self.settings.namespaces
    }

    /// A thread that panicked under the lock left whole values behind: the data is still good.
    fn lock(&self, shard: usize) -> MutexGuard<'_, Shard> {
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shard_of(hash: u64) -> usize {
        // The high bits; the low ones place it in the shard's table.
        usize::try_from(hash >> 58).unwrap_or(0) % SHARDS
    }

    fn of(&self, key: &ChannelKey) -> MutexGuard<'_, Shard> {
        self.lock(Self::shard_of(key.hash))
    }

    /// Locks all shards an append touches.
    pub(super) fn lock_for(&self, targets: &[ChannelKey], scope: Option<u64>) -> Locked<'_> {
        let mut shards: smallvec::SmallVec<[usize; 4]> = targets
            .iter()
            .map(|key| Self::shard_of(key.hash))
            .chain(scope.map(Self::shard_of))
            .collect();
        shards.sort_unstable();
        shards.dedup();
        let guards = shards.into_iter().map(|shard| (shard, self.lock(shard))).collect();
        Locked { store: self, guards }
    }

    /// A subscriber joins: the channel appears on first use. Returns false at the bound.
    pub(super) fn attach(&self, key: &ChannelKey, now_ms: u64) -> bool {
        let mut shard = self.of(key);
        if !shard.has_room_for(key, &self.bounds) {
            return false;
        }
        let entry = shard.get_or_insert(key, self.namespaces(), now_ms);
        entry.subscribers += 1;
        if let Some(present) = self.present(&key.name).filter(|_| entry.subscribers == 1) {
            present.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(channel) = entry.kept.as_mut() {
            channel.used_at_ms = now_ms;
        }
        true
    }

    pub(super) fn detach(&self, key: &ChannelKey, now_ms: u64) {
        let mut shard = self.of(key);
        if shard.detach(key, now_ms)
            && let Some(present) = self.present(&key.name)
        {
            present.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Where a name is counted while it has subscribers.
    fn present(&self, name: &str) -> Option<&AtomicUsize> {
        match name {
            user if user.starts_with(USER) => Some(&self.users),
            tenant if tenant.starts_with(TENANT) => Some(&self.tenants),
            _ => None,
        }
    }

    /// Users, then tenants, of whom somebody subscribes.
    pub(super) fn present_now(&self) -> (usize, usize) {
        (self.users.load(Ordering::Relaxed), self.tenants.load(Ordering::Relaxed))
    }

    /// The channels of most subscribers among those whose names begin with `prefix`, the most
    /// first, then by name. Looks at all channels: for operators only.
    pub(super) fn most_subscribed(&self, prefix: &str, max: usize) -> Vec<(Arc<str>, u32)> {
        let mut most = BinaryHeap::with_capacity(max + 1);
        for shard in 0..SHARDS {
            for (name, subscribers) in self.lock(shard).subscribed(prefix) {
                let least: Option<&(Reverse<u32>, Arc<str>)> = most.peek();
                if most.len() < max || least.is_some_and(|(least, _)| subscribers >= least.0) {
                    most.push((Reverse(subscribers), Arc::clone(name)));
                    if most.len() > max {
                        most.pop();
                    }
                }
            }
        }
        let most = most.into_sorted_vec().into_iter();
        most.map(|(Reverse(subscribers), name)| (name, subscribers)).collect()
    }

    pub(super) fn read(
        &self,
        key: &ChannelKey,
        range: Range,
        out: &mut Vec<Arc<Event>>,
    ) -> (Span, Overflow) {
        let shard = self.of(key);
        let overflow = self.namespaces().lookup(&key.name).overflow;
        let span = match shard.get(key) {
            Some(entry) => match &entry.kept {
                Some(channel) => channel.read(range, out),
                None => Span { floor: 0, complete: true },
            },
            None => Span { floor: shard.floor_of(key), complete: true },
        };
        (span, overflow)
    }

    pub(super) fn start_of_last(&self, key: &ChannelKey, n: usize, upto: u64, unix: u64) -> u64 {
        self.of(key).kept(key).map_or(upto, |channel| channel.start_of_last(n, upto, unix))
    }

    pub(super) fn start_of_since(&self, key: &ChannelKey, since_unix_ms: u64, upto: u64) -> u64 {
        let shard = self.of(key);
        shard.kept(key).map_or(upto, |channel| channel.start_of_since(since_unix_ms, upto))
    }

    pub(super) fn subscribers(&self, key: &ChannelKey) -> u32 {
        self.of(key).get(key).map_or(0, |entry| entry.subscribers)
    }

    pub(super) fn last_seq(&self, key: &ChannelKey) -> Option<u64> {
        self.of(key).kept(key).and_then(|channel| channel.window.back().map(|event| event.seq))
    }

    /// Channels that match, each shard under its lock for as long as its part of them takes.
    pub(super) fn matching(&self, pattern: &Pattern, max: usize) -> Option<Vec<ChannelKey>> {
        let (mut found, mut looks_left) = (Vec::new(), LOOKS_MAX);
        for shard in 0..SHARDS {
            self.lock(shard).matching(pattern, max, &mut looks_left, &mut found)?;
        }
        Some(found)
    }

    /// Bytes of all histories.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Channels that exist now.
    pub(super) fn channels(&self) -> usize {
        (0..SHARDS).map(|shard| self.lock(shard).len()).sum()
    }

    /// Sweeps one shard; call it round and round.
    pub(super) fn sweep(&self, shard: usize, now_ms: u64, unix_ms: u64) {
        let freed = self.lock(shard % SHARDS).sweep(
            now_ms,
            unix_ms,
            self.namespaces(),
            &self.bounds,
            self.settings.leave_tombstones,
        );
        self.bytes.fetch_sub(freed, Ordering::Relaxed);
    }
}

impl Locked<'_> {
    fn shard(&mut self, hash: u64) -> Option<&mut Shard> {
        let wanted = Store::shard_of(hash);
        let found = self.guards.iter_mut().find(|(shard, _)| *shard == wanted);
        found.map(|(_, guard)| &mut **guard)
    }

    /// Decides, and makes all room the push will need.
    pub(super) fn prepare(
        &mut self,
        targets: &[ChannelKey],
        idempotency: Option<&(u64, Box<str>)>,
        expected: Option<u64>,
        now_ms: u64,
    ) -> Verdict {
        if let Some(key) = idempotency
            && let Some(seq) = self.shard(key.0).and_then(|shard| shard.find_key(key))
        {
            return Verdict::Duplicate(seq);
        }
        let store = self.store;
        for key in targets {
            let Some(shard) = self.shard(key.hash) else { continue };
            if !shard.has_room_for(key, &store.bounds) {
                return Verdict::TooManyChannels;
            }
            let entry = shard.get_or_insert(key, store.namespaces(), now_ms);
            let channel = entry.make_room(now_ms);
            if let Some(expected) = expected
                && channel.last_seq != expected
            {
                return Verdict::Conflict(channel.last_seq);
            }
        }
        Verdict::Fresh
    }

    /// Pushes the event into the histories of its targets. Returns how many subscribe, and the
    /// users of whom none does.
    pub(super) fn push(
        &mut self,
        event: &Arc<Event>,
        idempotency: Option<(u64, Box<str>)>,
        now_ms: u64,
    ) -> (u32, SmallVec<[Arc<str>; 1]>) {
        let store = self.store;
        let (mut subscribers, mut unreached) = (0_u32, SmallVec::new());
        for key in &event.targets {
            let Some(entry) = self.shard(key.hash).and_then(|shard| shard.get_mut(key)) else {
                continue;
            };
            subscribers = subscribers.saturating_add(entry.subscribers);
            if entry.subscribers == 0 && key.name.starts_with(USER) {
                unreached.push(Arc::clone(&key.name));
            }
            let (added, freed) = Shard::push(entry, Arc::clone(event), store.namespaces(), now_ms);
            store.bytes.fetch_add(added, Ordering::Relaxed);
            store.bytes.fetch_sub(freed, Ordering::Relaxed);
        }
        if let Some(key) = idempotency {
            let (seq, bounds) = (event.seq, store.bounds);
            if let Some(shard) = self.shard(key.0) {
                shard.remember_key(key, seq, now_ms, &bounds);
            }
        }
        (subscribers, unreached)
    }
}

#[cfg(test)]
mod tests;
