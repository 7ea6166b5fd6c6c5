//! Tokens verified before, so that reconnect storms cost a compare and not an HMAC.

use std::{fmt, sync::Arc};

use hashbrown::DefaultHashBuilder;
use std::hash::BuildHasher;

use super::identity::Identity;

/// Entries by default.
pub const ENTRIES_DEFAULT: usize = 1024;
/// Longer tokens are not kept, bytes: this bounds the memory to entries x this.
pub const TOKEN_BYTES_KEPT_MAX: usize = 2048;
/// Places a token may stand in; the one used longest ago gives way.
const WAYS: usize = 4;

struct Entry {
    hash: u64,
    /// The revocation generation it was verified under.
    generation: u64,
    token: Box<[u8]>,
    identity: Arc<Identity>,
}

/// Verified tokens of one core, a fixed number of them.
///
/// A hit needs the same bytes of the whole token, an identity that has not ended, and the
/// generation of now: raise the generation when keys, rules or revocations change.
pub struct VerifiedCache {
    /// Sets of [`WAYS`] places, the most recent first.
    sets: Vec<[Option<Entry>; WAYS]>,
    /// Seeded by chance, so that nobody can aim at one set.
    hasher: DefaultHashBuilder,
}

impl VerifiedCache {
    /// Room for about `entries` tokens (rounded up to sets of 4); 0 keeps none.
    #[must_use]
    pub fn new(entries: usize) -> Self {
        let mut sets = Vec::new();
        sets.resize_with(entries.div_ceil(WAYS), Default::default);
        Self { sets, hasher: DefaultHashBuilder::default() }
    }

    /// The identity this token was verified as, when that still holds.
    pub fn get(&mut self, token: &[u8], now_unix_s: u64, generation: u64) -> Option<Arc<Identity>> {
        let hash = self.hasher.hash_one(token);
        let set = self.set(hash)?;
        let at = position(set, hash, token)?;
        let entry = set.get_mut(at)?;
        let found = entry.as_ref()?;
        if found.generation != generation || found.identity.is_expired(now_unix_s) {
            *entry = None;
            return None;
        }
        let identity = Arc::clone(&found.identity);
        set.get_mut(..=at)?.rotate_right(1);
        Some(identity)
    }

    /// Keeps a token that has just been verified.
    pub fn put(&mut self, token: &[u8], identity: Arc<Identity>, generation: u64) {
        if token.is_empty() || token.len() > TOKEN_BYTES_KEPT_MAX {
            return;
        }
        let hash = self.hasher.hash_one(token);
        let Some(set) = self.set(hash) else {
            return;
        };
        let at = position(set, hash, token)
            .or_else(|| set.iter().position(Option::is_none))
            .unwrap_or(WAYS - 1);
        let Some(touched) = set.get_mut(..=at) else {
            return;
        };
        touched.rotate_right(1);
        if let Some(first) = touched.first_mut() {
            *first = Some(Entry { hash, generation, token: token.into(), identity });
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.sets.iter_mut().for_each(|set| *set = Default::default());
    }

    /// Tokens held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sets.iter().flatten().flatten().count()
    }

    /// True when none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn set(&mut self, hash: u64) -> Option<&mut [Option<Entry>; WAYS]> {
        let count = u64::try_from(self.sets.len()).ok()?;
        let at = usize::try_from(hash.checked_rem(count)?).ok()?;
        self.sets.get_mut(at)
    }
}

fn position(set: &[Option<Entry>; WAYS], hash: u64, token: &[u8]) -> Option<usize> {
    // The seeded hash is compared first, so the time of the byte compare tells nothing.
    set.iter().position(|entry| {
        entry.as_ref().is_some_and(|entry| entry.hash == hash && *entry.token == *token)
    })
}

impl fmt::Debug for VerifiedCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedCache")
            .field("entries", &self.len())
            .field("entries_max", &(self.sets.len() * WAYS))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(at: u64) -> Arc<Identity> {
        Arc::new(Identity { expires_unix_s: Some(at), ..Identity::anonymous() })
    }

    #[test]
    fn hits_need_the_same_bytes() {
        let mut cache = VerifiedCache::new(8);
        let identity = ends(100);
        cache.put(b"abc", Arc::clone(&identity), 1);
        assert!(Arc::ptr_eq(&cache.get(b"abc", 50, 1).unwrap(), &identity));
        for other in [&b"ab"[..], b"abcd", b"abd", b""] {
            assert!(cache.get(other, 50, 1).is_none());
        }
    }

    #[test]
    fn a_hash_alone_is_no_hit() {
        let mut cache = VerifiedCache::new(4);
        cache.put(b"abc", ends(100), 1);
        // Two tokens of the same hash: give the entry the hash of another token.
        let hash = cache.hasher.hash_one(&b"xyz"[..]);
        cache.sets[0][0].as_mut().unwrap().hash = hash;
        assert!(cache.get(b"xyz", 50, 1).is_none());
    }

    #[test]
    fn expiry_and_revocation_are_seen_on_every_hit() {
        let mut cache = VerifiedCache::new(8);
        cache.put(b"abc", ends(100), 1);
        assert!(cache.get(b"abc", 99, 1).is_some());
        assert!(cache.get(b"abc", 100, 1).is_none());
        assert!(cache.is_empty(), "an ended entry is dropped");
        cache.put(b"abc", ends(100), 1);
        assert!(cache.get(b"abc", 50, 2).is_none());
        assert!(cache.is_empty());
    }

    #[test]
    fn never_grows_and_keeps_the_recent() {
        let mut cache = VerifiedCache::new(4);
        for n in 0..1000u32 {
            cache.put(&n.to_le_bytes(), ends(100), 1);
            assert!(cache.len() <= 4);
            if n >= 1 {
                assert!(cache.get(&1u32.to_le_bytes(), 0, 1).is_some(), "used each time");
            }
        }
        assert!(cache.get(&999u32.to_le_bytes(), 0, 1).is_some());
        assert!(cache.get(&5u32.to_le_bytes(), 0, 1).is_none());
        cache.put(&999u32.to_le_bytes(), ends(100), 1);
        assert_eq!(cache.len(), 4, "a second put of the same token replaces");
        cache.clear();
        assert!(cache.is_empty());
    }

    #[test]
    fn holds_none_when_switched_off_and_no_giants() {
        let mut off = VerifiedCache::new(0);
        off.put(b"abc", ends(100), 1);
        assert!(off.get(b"abc", 0, 1).is_none());
        let mut cache = VerifiedCache::new(4);
        cache.put(&[b'x'; TOKEN_BYTES_KEPT_MAX + 1], ends(100), 1);
        assert!(cache.is_empty());
    }

    #[test]
    fn debug_hides_tokens() {
        let mut cache = VerifiedCache::new(4);
        cache.put(b"s3cret", ends(100), 1);
        assert_eq!(format!("{cache:?}"), "VerifiedCache { entries: 1, entries_max: 4 }");
    }
}
