//! Writing down what all workers share.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use crate::auth::{ConnectionNames, Revocations};
use crate::hub::caps::{Caps, CapsRecord, Keyed};
use crate::hub::presence::Presence;
use crate::hub::rates::Window;
use crate::journal::{Draft, Journal, JournalRecord, JournalSettings, Reader, Unsound};
use crate::worker::{Live, Node};

/// The log, and what is remembered of publishers, users and tokens. How often addresses have
/// connected and what the callback has said is not: both begin anew.
#[derive(Debug, Serialize, Deserialize)]
pub struct NodeRecord {
    process: u32,
    journal: JournalRecord,
    names: [u8; 32],
    disabled: bool,
    revocations: Revocations,
    /// Tokens were revoked.
    revoked: u64,
    held: Vec<Window<Draft>>,
    caps: CapsRecord,
    caps_used: bool,
    #[serde(with = "serde_bytes")]
    presence: Vec<u8>,
    presence_used: bool,
}

/// What is remembered by hash can be gone on with only where this is the same number.
#[must_use]
pub fn hash_witness() -> u64 {
    crate::journal::hash_witness() ^ Keyed::witness().rotate_left(1)
}

impl Node {
    /// Writes all down. All workers stand still.
    #[must_use]
    pub fn record(&self) -> NodeRecord {
        let revocations = self.revocations.read().unwrap_or_else(PoisonError::into_inner).clone();
        let presence = self.present.presence.lock().unwrap_or_else(PoisonError::into_inner);
        NodeRecord {
            process: std::process::id(),
            journal: self.journal.record(),
            names: self.names.secret(),
            disabled: self.is_disabled(),
            revocations,
            revoked: self.revocation.load(Ordering::Acquire),
            held: self.held.record(),
            caps: self.admission.caps.record(),
            caps_used: self.admission.used.load(Ordering::Relaxed),
            // It cannot fail: nothing in it is of a kind that the form does not know.
            presence: postcard::to_stdvec(&*presence).unwrap_or_default(),
            presence_used: self.present.used.load(Ordering::Relaxed),
        }
    }

    /// A node that goes on with what another process has written down, its connections aside.
    ///
    /// # Errors
    /// The record is none of [`Node::record`]'s.
    pub fn restore(
        record: NodeRecord,
        live: Live,
        journal: JournalSettings,
        workers: usize,
        started_unix_ms: u64,
    ) -> Result<(Self, Vec<Reader>), Unsound> {
        let (journal, readers) = Journal::restore(record.journal, journal, workers)?;
        let names = ConnectionNames::of(record.names);
        let mut node = Self::new(live, journal, names, workers, started_unix_ms);
        node.handover.predecessor.store(record.process, Ordering::Relaxed);
        node.set_disabled(record.disabled);
        *node.revocations.get_mut().unwrap_or_else(PoisonError::into_inner) = record.revocations;
        node.revocation.store(record.revoked, Ordering::Release);
        node.held.take_over(record.held);
        node.admission.caps = Caps::restore(record.caps);
        node.admission.used.store(record.caps_used, Ordering::Relaxed);
        let presence: Presence = postcard::from_bytes(&record.presence).map_err(|_| Unsound)?;
        *node.present.presence.get_mut().unwrap_or_else(PoisonError::into_inner) = presence;
        node.present.used.store(record.presence_used, Ordering::Relaxed);
        Ok((node, readers))
    }
}
