//! Events on their way into the journal and in it.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::FixedState;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::aim::Aim;
use crate::proto::channel::Pattern;
use crate::proto::sse::{EventId, Frame};

/// A channel's name with its hash, computed once.
///
/// Users, tenants and the broadcast are channels too: `user:42`, `tenant:t1`, `broadcast`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ChannelKey {
    /// Hash of the name, the same for every room of this process.
    pub hash: u64,
    /// The name.
    pub name: Arc<str>,
}

/// What gives names their hashes in this process: seeded, so that nobody can choose names that
/// meet in one place.
#[derive(Debug, Clone, Copy)]
pub struct KeyHasher {
    seed: u64,
    /// Bits that count: few where names are to meet.
    #[cfg(test)]
    mask: u64,
}

impl KeyHasher {
    /// A hasher of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            #[cfg(test)]
            mask: u64::MAX,
        }
    }

    /// What it was made of.
    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// Two hashes for all names: whoever looks names up has to compare them.
    #[cfg(test)]
    pub(crate) fn poor() -> Self {
        Self { seed: 1, mask: 1 << 20 }
    }

    /// A name's hash.
    #[must_use]
    pub fn hash(&self, name: &str) -> u64 {
        let hash = FixedState::with_seed(self.seed).hash_one(name);
        #[cfg(test)]
        let hash = hash & self.mask;
        hash
    }

    /// A name's key.
    #[must_use]
    pub fn key(&self, name: &str) -> ChannelKey {
        ChannelKey { hash: self.hash(name), name: name.into() }
    }
}

impl PartialEq for ChannelKey {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.name == other.name
    }
}

impl Eq for ChannelKey {}

/// An event ready to be appended: encoded, not yet in the order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Draft {
    /// The encoded block, its id still blank.
    pub frame: Frame,
    /// Channels it goes to, each once. Empty only where a pattern found none.
    pub targets: SmallVec<[ChannelKey; 1]>,
    /// For `conflate` and `latest`: which earlier events it supersedes.
    pub key: Option<Box<str>>,
    /// Not replayed after so many milliseconds.
    pub ttl_ms: Option<u64>,
    /// False: never replayed to a reconnect; kept only as long as a connected laggard may need it.
    pub store: bool,
    /// Publisher scope and the publisher's own key: a second append with both equal answers with
    /// the first id.
    pub idempotency: Option<(u64, Box<str>)>,
    /// Append only if this is the channel's last id (one target).
    pub expected: Option<EventId>,
    /// Who of its channels gets it otherwise than at once.
    pub aim: Option<Arc<Aim>>,
}

/// An event in the order. Shared by reference by every reader; never changed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Event {
    /// Its place in the order, the number in its id.
    pub seq: u64,
    /// Wall-clock milliseconds at append.
    pub unix_ms: u64,
    /// Monotonic microseconds at append, see [`short_us`].
    pub appended_us: u32,
    /// Wall-clock millisecond after which it is not replayed; `u64::MAX` for never.
    pub expires_unix_ms: u64,
    /// The stamped block.
    pub frame: Frame,
    /// Channels it goes to.
    pub targets: SmallVec<[ChannelKey; 1]>,
    /// Superseding key.
    pub key: Option<Box<str>>,
    /// May be replayed to a reconnect.
    pub store: bool,
    /// Who of its channels gets it otherwise than at once.
    pub aim: Option<Arc<Aim>>,
}

/// Microseconds in 32 bits, wrapping after 71 minutes; only differences count.
#[expect(clippy::cast_possible_truncation, reason = "wrapping on purpose")]
#[must_use]
pub fn short_us(us: u64) -> u32 {
    us as u32
}

impl Event {
    /// Bytes it is counted with in a history: its block and, where they are many, its targets and
    /// rules.
    #[must_use]
    pub fn size(&self) -> usize {
        let aim = self.aim.as_ref().map_or(0, |aim| aim.size());
        let targets = if self.targets.spilled() { size_of_val(&*self.targets) } else { 0 };
        self.frame.size() + targets + aim
    }

    /// A stream of this pattern gets it.
    #[must_use]
    pub fn reaches(&self, pattern: &Pattern) -> bool {
        let published_to = self.aim.as_ref().and_then(|aim| aim.pattern.as_ref());
        self.targets.iter().any(|key| pattern.matches(&key.name))
            || published_to.is_some_and(|other| other.overlaps(pattern))
    }

    /// Bytes it is counted with while it is in flight: its block and its own record.
    #[must_use]
    pub fn ring_bytes(&self) -> u64 {
        (self.size() + size_of::<Self>()) as u64
    }
}
