//! What a worker writes down.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::conn::State;
use crate::hub::caps::CapKey;
use crate::journal::Event;
use crate::proto::channel::Pattern;
use crate::proto::http::Body;
use crate::proto::sse::Heartbeat;
use crate::worker::conns::{Form, Join};
use crate::worker::late::LateRecord;
use crate::worker::parked::Lines;

/// All connections of a worker, and what it still has to append. Times are monotonic milliseconds.
#[derive(Debug, Serialize, Deserialize)]
pub struct WorkerRecord {
    pub(super) slots: u32,
    pub(super) next_generation: u32,
    /// By rising slot; their sockets travel beside, in the same order.
    pub(super) conns: Vec<ConnRecord>,
    /// Events of which some stream has got a part.
    pub(super) events: Vec<HalfEvent>,
    pub(super) late: LateRecord,
}

impl WorkerRecord {
    /// Connections in it.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.conns.len()
    }

    /// Streams and waiting long-polls in it.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.conns.iter().filter(|conn| conn.state.is_subscribed()).count()
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HalfEvent {
    pub(super) event: Arc<Event>,
    /// As the streams that read it compressed have it: another encoder may make other bytes.
    #[serde(with = "serde_bytes")]
    pub(super) segment: Option<Vec<u8>>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ConnRecord {
    pub(super) slot: u32,
    pub(super) generation: u32,
    pub(super) state: State,
    pub(super) form: Form,
    pub(super) heartbeat: Heartbeat,
    pub(super) behind: bool,
    pub(super) position: u64,
    pub(super) sent_at_ms: u32,
    pub(super) since_ms: u32,
    pub(super) behind_since_ms: u32,
    pub(super) expires_unix_s: u32,
    /// What it is linked to, in order; none where it is not linked at all.
    pub(super) links: Option<Vec<LinkRecord>>,
    pub(super) token_id: Option<u64>,
    pub(super) address: Option<CapKey>,
    pub(super) half: Option<HalfRecord>,
    pub(super) extra: Option<Box<ExtraRecord>>,
    pub(super) request: Option<Box<RequestRecord>>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum LinkRecord {
    Channel(Arc<str>),
    Pattern(Pattern),
}

/// What a full send buffer kept back.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum HalfRecord {
    /// Of the event with this place in the record, so many bytes have left.
    Event(u32, u64),
    /// These bytes, and the position once they have left.
    Bytes(#[serde(with = "serde_bytes")] Vec<u8>, Option<u64>),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ExtraRecord {
    pub(super) events: Option<Box<[Box<str>]>>,
    pub(super) user: Option<Box<str>>,
    pub(super) join: Option<Join>,
    pub(super) control_off: bool,
    pub(super) control_on: bool,
    pub(super) expiry_told: bool,
    pub(super) poll_until_ms: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RequestRecord {
    pub(super) peer: IpAddr,
    pub(super) awaits_proxy: bool,
    #[serde(with = "serde_bytes")]
    pub(super) buffer: Vec<u8>,
    pub(super) deadline_ms: u64,
    pub(super) begun: bool,
    pub(super) close_after: bool,
    pub(super) origin: Option<Box<str>>,
    pub(super) half: Option<HalfRead>,
}

/// A request of which the head is read, and a part of the body.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::worker) struct HalfRead {
    #[serde(with = "serde_bytes")]
    pub(super) head: Vec<u8>,
    pub(super) body: Body,
    #[serde(with = "serde_bytes")]
    pub(super) content: Vec<u8>,
    /// Of a body that is worked off line by line.
    pub(super) lines: Option<Lines>,
    pub(super) deadline_ms: u64,
}
