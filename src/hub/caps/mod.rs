//! How many streams a user, a tenant, an address or the whole node may have at once.
//!
//! The cap is one of the node, and its streams are on all cores, so this is a table that cores share:
//! shards behind mutexes, each held for one look-up and a few moves, at the beginning and the end of
//! a stream only. Nothing of a delivery comes here.
//!
//! A record knows its streams in the order in which they entered. When one has to go for another,
//! the table drops it at once and tells the caller which; the stream itself ends a little later on
//! its own core, and its [`Caps::leave`] then finds nothing. So the counts never exceed the cap, and
//! leaving twice does no harm.
//!
//! **Bytes**: a key with one stream is 16 bytes and one of the table, which is 44 to 88 % full: 19 to
//! 39 bytes for a user; with two or three, 32 bytes and one: 38 to 76. A million users with three
//! streams each take 66 MiB in 64 shards, with one each half of it. More streams under one key, a tenant's perhaps, take some 33
//! to 80 bytes each. Memory goes back when streams leave.

mod record;

use std::fmt;
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use record::Shard;

/// What a cap is for. The same name in two scopes is two keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The whole node; the name is `()`.
    Total,
    /// A token's subject.
    User,
    /// A token's tenant.
    Tenant,
    /// An address, as [`crate::proto::forwarded::IpKey`].
    Ip,
}

/// A scope and a name, hashed under a secret of this run, so that nobody can choose a name that
/// shares another's cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CapKey(u64);

/// SipHash that begins with a secret: who does not know it cannot choose names that meet. Unlike
/// the standard library's own random state it can be handed to another process.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Keyed([u64; 2]);

impl fmt::Debug for Keyed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyed(***)")
    }
}

impl Default for Keyed {
    /// With a secret of its own.
    fn default() -> Self {
        Self([0, 1].map(|half| RandomState::new().hash_one(half)))
    }
}

impl Keyed {
    /// Another number where this way of hashing is another one.
    #[must_use]
    pub fn witness() -> u64 {
        Self([1, 2]).hash_one("ringcast")
    }
}

impl BuildHasher for Keyed {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        self.0.iter().for_each(|half| hasher.write_u64(*half));
        hasher
    }
}

/// The streams of all keys, for another process.
#[derive(Debug, Serialize, Deserialize)]
pub struct CapsRecord {
    hasher: Keyed,
    /// The oldest stream of a key first.
    streams: Vec<(CapKey, StreamId)>,
}

/// A stream of this node: its worker, slot and that slot's generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StreamId(u64);

impl StreamId {
    /// Workers are numbered below this.
    pub const WORKERS_MAX: u16 = (1 << 12) - 1;
    /// Slots of a worker are numbered below this.
    pub const SLOTS_MAX: u32 = 1 << 28;
    /// Generations have so many bits.
    const GENERATION_BITS: u32 = 24;

    /// Names a stream. Only the low 24 bits of `generation` count, as on the ring.
    #[must_use]
    pub fn new(worker: u16, slot: u32, generation: u32) -> Self {
        debug_assert!(worker < Self::WORKERS_MAX && slot < Self::SLOTS_MAX);
        let generation = generation & ((1 << Self::GENERATION_BITS) - 1);
        Self(u64::from(worker) << 52 | u64::from(slot) << 24 | u64::from(generation))
    }

    /// The worker it is on.
    #[must_use]
    pub fn worker(self) -> u16 {
        u16::try_from(self.0 >> 52).unwrap_or(u16::MAX)
    }

    /// Its slot there.
    #[must_use]
    pub fn slot(self) -> u32 {
        u32::try_from(self.0 >> Self::GENERATION_BITS & u64::from(Self::SLOTS_MAX - 1))
            .unwrap_or(u32::MAX)
    }

    /// The slot's generation.
    #[must_use]
    pub fn generation(self) -> u32 {
        u32::try_from(self.0 & ((1 << Self::GENERATION_BITS) - 1)).unwrap_or(u32::MAX)
    }
}

/// What happens at the cap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnLimit {
    /// The oldest stream goes.
    #[default]
    EvictOldest,
    /// The new one is refused.
    Reject,
}

/// Answer of [`Caps::try_enter`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// It is in.
    Enter,
    /// It is in, in place of this one, which has to end (`sse.bye`, `evicted`).
    Evict(StreamId),
    /// It is not in: 429.
    Refuse,
}

/// A shard on cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Place(Mutex<Shard>);

/// The streams of a node by what caps count.
#[derive(Debug)]
pub struct Caps<S = Keyed> {
    hasher: S,
    shards: Box<[Place]>,
}

impl Default for Caps {
    fn default() -> Self {
        Self::with_hasher(Keyed::default())
    }
}

impl Caps {
    /// Writes all down.
    #[must_use]
    pub fn record(&self) -> CapsRecord {
        let mut streams = Vec::new();
        for place in &self.shards {
            lock(place).each(|key, id| streams.push((CapKey(key), id)));
        }
        CapsRecord { hasher: self.hasher, streams }
    }

    /// Goes on with what another process has written down.
    #[must_use]
    pub fn restore(record: CapsRecord) -> Self {
        let caps = Self::with_hasher(record.hasher);
        for (key, id) in record.streams {
            caps.try_enter(key, id, usize::MAX, OnLimit::Reject);
        }
        caps
    }
}

impl<S: BuildHasher> Caps<S> {
    /// Enough for a few dozen cores that all accept at once.
    const SHARDS: usize = 64;

    /// An empty table. The hasher must be keyed and strong (SipHash): names come from outside.
    #[must_use]
    pub fn with_hasher(hasher: S) -> Self {
        Self { hasher, shards: (0..Self::SHARDS).map(|_| Place::default()).collect() }
    }

    /// The key of a name; the stream keeps it to leave by.
    #[must_use]
    pub fn key<N: Hash + ?Sized>(&self, scope: Scope, name: &N) -> CapKey {
        CapKey(self.hasher.hash_one((scope, name)))
    }

    /// Counts a stream under a key, if `cap` allows.
    ///
    /// The count never grows beyond `cap`. Where it is above (the cap was lowered), a new stream
    /// still takes the place of the oldest, and the count comes down as streams leave. A cap of 0
    /// refuses all. A stream that is in already stays where it is.
    ///
    /// A stream that is under several caps enters one after the other; if one refuses, the caller
    /// leaves those before it. Enter with [`OnLimit::Reject`] first: an eviction cannot be taken
    /// back.
    pub fn try_enter(&self, key: CapKey, id: StreamId, cap: usize, on_limit: OnLimit) -> Entry {
        self.shard(key).try_enter(key.0, id, cap, on_limit)
    }

    /// Takes a stream out again. False where it was not in, as after an eviction.
    pub fn leave(&self, key: CapKey, id: StreamId) -> bool {
        self.shard(key).leave(key.0, id)
    }

    /// Streams under a key.
    #[must_use]
    pub fn count(&self, key: CapKey) -> usize {
        self.shard(key).count(key.0)
    }

    /// Keys with streams. Each shard is counted at its own moment.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.sum(Shard::keys)
    }

    /// Bytes of memory held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.shards.len() * size_of::<Place>() + self.sum(Shard::bytes)
    }

    fn sum(&self, of: impl Fn(&Shard) -> usize) -> usize {
        self.shards.iter().map(|place| of(&lock(place))).sum()
    }

    /// The tables use the hash's first and last bits; the shard is chosen by some between.
    fn shard(&self, key: CapKey) -> MutexGuard<'_, Shard> {
        let bits = usize::try_from(key.0 >> 40 & 0xffff).unwrap_or(0);
        lock(&self.shards[bits % self.shards.len()])
    }
}

/// A panic in another core's hold cannot leave a shard half changed that matters: counts of one key.
fn lock(place: &Place) -> MutexGuard<'_, Shard> {
    place.0.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
