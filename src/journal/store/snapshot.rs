//! The histories as a value that another process goes on with.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use super::channel::Channel;
use super::shard::{Shard, Tombstone};
use super::{SHARDS, Store};
use crate::journal::event::{ChannelKey, Event, KeyHasher};

/// All that a store holds, subscribers aside: these come with their streams.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(in crate::journal) struct StoreRecord {
    channels: Vec<ChannelRecord>,
    shards: Vec<ShardRecord>,
}

/// One channel something was published to. Events are named by their numbers.
#[derive(Debug, Serialize, Deserialize)]
struct ChannelRecord {
    name: Arc<str>,
    window: Vec<u64>,
    history_start: usize,
    resume_floor: u64,
    window_floor: u64,
    last_seq: u64,
    used_at_ms: u64,
}

/// The side tables of a shard.
#[derive(Debug, Default, Serialize, Deserialize)]
struct ShardRecord {
    floor: u64,
    /// Until when (monotonic ms), hash of the name, floor; the earliest first.
    tombstones: Vec<(u64, u64, u64)>,
    /// When it came (monotonic ms), scope, key, number of its event; the earliest first.
    keys: Vec<(u64, u64, Box<str>, u64)>,
}

impl Store {
    /// Writes all down; `events` gets every event of a history.
    pub(in crate::journal) fn record(&self, events: &mut BTreeMap<u64, Arc<Event>>) -> StoreRecord {
        let mut record = StoreRecord::default();
        for shard in 0..SHARDS {
            let shard = self.lock(shard);
            for entry in &shard.channels {
                let Some(channel) = &entry.kept else { continue };
                for event in &channel.window {
                    events.entry(event.seq).or_insert_with(|| Arc::clone(event));
                }
                record.channels.push(ChannelRecord {
                    name: Arc::clone(&entry.name),
                    window: channel.window.iter().map(|event| event.seq).collect(),
                    history_start: channel.history_start,
                    resume_floor: channel.resume_floor,
                    window_floor: channel.window_floor,
                    last_seq: channel.last_seq,
                    used_at_ms: channel.used_at_ms,
                });
            }
            record.shards.push(shard.record());
        }
        record
    }

    /// Goes on with what another process has written down. The bounds are this one's: what is
    /// beyond them goes with the next sweeps.
    pub(in crate::journal) fn restore(
        &self,
        record: StoreRecord,
        events: &BTreeMap<u64, Arc<Event>>,
        hasher: KeyHasher,
    ) {
        // With another number of shards nobody knows whose floor is whose: the highest holds.
        let same = record.shards.len() == SHARDS;
        let highest = record.shards.iter().map(|shard| shard.floor).max().unwrap_or(0);
        for (at, shard) in record.shards.into_iter().enumerate() {
            if same {
                self.lock(at).floor = shard.floor;
            }
            for (until_ms, hash, floor) in shard.tombstones {
                let mut shard = self.lock(Self::shard_of(hash));
                shard.tombstones.insert(hash, Tombstone { floor, until_ms });
                shard.tombstone_order.push_back((until_ms, hash));
            }
            for (at_ms, scope, key, seq) in shard.keys {
                let key = (scope, key);
                let mut shard = self.lock(Self::shard_of(scope));
                shard.key_order.push_back((at_ms, key.clone()));
                shard.keys.insert(key, seq);
            }
        }
        if !same {
            (0..SHARDS).for_each(|shard| self.lock(shard).floor = highest);
        }
        for channel in record.channels {
            self.restore_channel(channel, events, hasher);
        }
    }

    fn restore_channel(
        &self,
        record: ChannelRecord,
        events: &BTreeMap<u64, Arc<Event>>,
        hasher: KeyHasher,
    ) {
        let key = ChannelKey { hash: hasher.hash(&record.name), name: record.name };
        let mut shard = self.of(&key);
        let mut channel = Box::new(Channel::new(0, record.used_at_ms));
        for (at, event) in record.window.iter().filter_map(|seq| events.get(seq)).enumerate() {
            channel.window.push_back(Arc::clone(event));
            channel.window_bytes += event.size();
            if at >= record.history_start {
                channel.history_bytes += event.size();
                channel.history_events += usize::from(event.store);
            }
        }
        channel.history_start = record.history_start.min(channel.window.len());
        channel.resume_floor = record.resume_floor;
        channel.window_floor = record.window_floor;
        channel.last_seq = record.last_seq;
        self.bytes.fetch_add(channel.window_bytes, Ordering::Relaxed);
        let entry = shard.get_or_insert(&key, self.namespaces(), record.used_at_ms);
        entry.kept = Some(channel);
    }
}

impl Shard {
    fn record(&self) -> ShardRecord {
        // What stands in the order but not in the table was replaced since.
        let tombstones = self.tombstone_order.iter().filter_map(|(until_ms, hash)| {
            let stone = self.tombstones.get(hash).filter(|stone| stone.until_ms == *until_ms)?;
            Some((*until_ms, *hash, stone.floor))
        });
        let keys: VecDeque<_> = self
            .key_order
            .iter()
            .filter_map(|(at_ms, key)| Some((*at_ms, key.0, key.1.clone(), *self.keys.get(key)?)))
            .collect();
        ShardRecord { floor: self.floor, tombstones: tombstones.collect(), keys: keys.into() }
    }
}
