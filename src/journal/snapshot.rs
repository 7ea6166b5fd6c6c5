//! The log as a value that another process goes on with.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::append::{Beginning, Journal, JournalSettings};
use super::event::{Event, KeyHasher};
use super::recent::Recent;
use super::ring::{Reader, Seen};
use super::store::StoreRecord;
use crate::proto::sse::Epoch;

/// A name whose hash tells two ways of hashing apart.
const WITNESS: &str = "ringcast";

/// What a record cannot be gone on with for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an event of the log cannot be read")]
pub struct Unsound;

/// The log, its histories and what it remembers. Times are of the monotonic clock, which all
/// processes of a machine share.
#[derive(Debug, Serialize, Deserialize)]
pub struct JournalRecord {
    epoch: Epoch,
    base_seq: u64,
    head_seq: u64,
    hash_seed: u64,
    /// Every event that is still there, in order.
    events: Vec<Arc<Event>>,
    /// Numbers of those in the recent log.
    recent: Vec<u64>,
    recent_floor: u64,
    store: StoreRecord,
}

/// Names have other hashes where this is another number: what is remembered by hash is of no use
/// there.
#[must_use]
pub fn hash_witness() -> u64 {
    KeyHasher::new(1).hash(WITNESS)
}

impl Journal {
    /// Writes all down. Nobody may append meanwhile, and every worker has given all entries back.
    #[must_use]
    pub fn record(&self) -> JournalRecord {
        self.reclaim();
        let mut events = BTreeMap::new();
        let (mut recent, mut recent_floor) = (Vec::new(), 0);
        let mut note = |event: &Arc<Event>| {
            recent.push(event.seq);
            events.insert(event.seq, Arc::clone(event));
        };
        self.ring.scan(|seen| {
            match seen {
                Seen::Recent(log) => {
                    recent_floor = log.floor();
                    log.all().for_each(&mut note);
                }
                Seen::Entry(event) => note(event),
            }
            true
        });
        let store = self.store.record(&mut events);
        JournalRecord {
            epoch: self.epoch(),
            base_seq: self.base_seq(),
            head_seq: self.head_seq(),
            hash_seed: self.hasher().seed(),
            events: events.into_values().collect(),
            recent,
            recent_floor,
            store,
        }
    }

    /// Goes on with what another process has written down.
    ///
    /// # Errors
    /// The record is none of [`Journal::record`]'s.
    pub fn restore(
        record: JournalRecord,
        settings: JournalSettings,
        workers: usize,
    ) -> Result<(Arc<Self>, Vec<Reader>), Unsound> {
        if record.events.iter().any(|event| !event.frame.is_sound()) {
            return Err(Unsound);
        }
        let events: BTreeMap<u64, Arc<Event>> =
            record.events.into_iter().map(|event| (event.seq, event)).collect();
        let mut recent = Recent::new(settings.recent_bytes, record.recent_floor);
        let known = record.recent.iter().filter_map(|seq| events.get(seq));
        known.for_each(|event| recent.push(Arc::clone(event)));
        let from = Beginning {
            epoch: record.epoch,
            base_seq: record.base_seq,
            head_seq: record.head_seq,
            hash_seed: record.hash_seed,
        };
        let (journal, readers) = Self::begin(settings, from, recent, workers);
        journal.store.restore(record.store, &events, journal.hasher());
        Ok((journal, readers))
    }
}
