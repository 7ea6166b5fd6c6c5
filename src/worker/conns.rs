//! The slab of this core's connections.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::changes::Asks;
use super::parked::PublishJob;
use super::route::Awaited;
use super::session::Waiting;
use crate::conn::{Armed, Operation, State, Step};
use crate::driver::{ConnId, Sock};
use crate::hub::Shelves;
use crate::journal::Event;
use crate::obs::EventKind;
use crate::proto::http::{Body, Scan};
use crate::proto::sse::Heartbeat;

/// The part of a frame (or of an answer) that a full send buffer kept back.
#[derive(Debug)]
pub(super) enum Half {
    /// An event and how many of its bytes have left. The only memory a slow reader costs.
    Event(Arc<Event>, usize),
    /// Bytes that exist nowhere else, and the stream's position once they have left and what kind
    /// of event they then were, if they are one's.
    Bytes(Box<[u8]>, Option<u64>, EventKind),
}

/// How events are written for this connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Form {
    /// Event stream.
    Sse,
    /// Event stream of gzip segments, which all its readers share.
    Gzip,
    /// One JSON object a line.
    Ndjson,
    /// One JSON answer.
    Poll,
}

/// What a connection needs while it reads requests; given back when it becomes a stream.
#[derive(Debug)]
pub(super) struct Request {
    /// The other end, or whom the PROXY protocol header in front of the request names.
    pub(super) peer: IpAddr,
    /// That header is still to come.
    pub(super) awaits_proxy: bool,
    /// Input not yet consumed.
    pub(super) buffer: Vec<u8>,
    pub(super) scan: Scan,
    /// The body being read and what it is for.
    pub(super) body: Option<(Body, Awaited)>,
    /// The head of the request whose body is being read, where that took more than one read:
    /// another process reads on by it.
    pub(super) head: Option<Box<[u8]>>,
    /// Decoded body bytes.
    pub(super) content: Vec<u8>,
    /// The head or body must be complete by then, monotonic ms; `u64::MAX` while it is answered.
    pub(super) deadline_ms: u64,
    /// A byte of this request has arrived.
    pub(super) begun: bool,
    /// The connection ends after this answer.
    pub(super) close_after: bool,
    /// `Origin` of the request under way.
    pub(super) origin: Option<Box<str>>,
    /// The publish that waits for room.
    pub(super) job: Option<Box<PublishJob>>,
    /// What was asked of another worker.
    pub(super) asks: Option<Asks>,
    /// The subscription that waits for the callback.
    pub(super) waiting: Option<Box<Waiting>>,
}

/// What a stream needs beyond its position; none for one that is live and has no filter.
#[derive(Debug, Default)]
pub(super) struct Extra {
    /// What a full send buffer kept back.
    half: Option<Half>,
    /// Only these event names.
    pub(super) events: Option<Box<[Box<str>]>>,
    /// Whose stream it is (nobody's: empty), where it receives channels of other users.
    pub(super) user: Option<Box<str>>,
    /// The join under way.
    pub(super) join: Option<Join>,
    /// No `sse.*` events at all, not even gap and bye.
    pub(super) control_off: bool,
    /// Also `sse.open`, `sse.caught-up`, `sse.token-expiring`.
    pub(super) control_on: bool,
    /// The end of its token has been announced.
    pub(super) expiry_told: bool,
    /// Waiting long-polls: when to give up, and whether the connection is kept.
    pub(super) poll_until_ms: u64,
}

impl Form {
    /// Media type of the answer.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Sse | Self::Gzip => "text/event-stream",
            Self::Ndjson => "application/x-ndjson",
            Self::Poll => "application/json",
        }
    }

    /// Events leave as blocks that all streams of this form share.
    pub(super) fn is_shared(self) -> bool {
        matches!(self, Self::Sse | Self::Gzip)
    }
}

/// A stream that has not yet caught up for the first time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Join {
    /// Replay ends here; later events are live.
    pub(super) until_seq: u64,
    /// Per topic (in link order, then the broadcast) where its replay starts; empty if all start
    /// at the stream's position.
    pub(super) starts: Box<[u64]>,
    /// The id the client asked for: named if it cannot be honoured.
    pub(super) requested: Option<String>,
    /// It is none of this log's.
    pub(super) foreign: bool,
    /// The first read has said whether there is a hole.
    pub(super) checked: bool,
    /// Holes up to this id have been told; what else lies below it still follows.
    pub(super) told_seq: u64,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) sock: Sock,
    pub(super) generation: u32,
    /// Number of the enter it was last planned in.
    pub(super) planned: u32,
    /// When bytes were last handed to the kernel, ms (wrapping).
    pub(super) sent_at_ms: u32,
    /// Accept, then begin of the stream, ms (wrapping).
    pub(super) since_ms: u32,
    /// Since when it lags, ms (wrapping); only with `behind`.
    pub(super) behind_since_ms: u32,
    /// When its entry in the timer heap is due, monotonic ms (wrapping); only if `timed`.
    pub(super) timer_ms: u32,
    /// Unix second at which its token ends; 0: never.
    pub(super) expires_unix_s: u32,
    /// Everything up to this id has been sent.
    pub(super) position: u64,
    pub(super) state: State,
    pub(super) armed: Armed,
    pub(super) form: Form,
    /// Not live: catches up from the store, passes skip it.
    pub(super) behind: bool,
    /// Linked to its topics: a stream, or a long-poll without its answer.
    pub(super) linked: bool,
    /// It has an entry in the timer heap.
    pub(super) timed: bool,
    /// Stands in the catch-up queue.
    pub(super) queued: bool,
    /// What it is sent in silence.
    pub(super) heartbeat: Heartbeat,
    pub(super) request: Option<Box<Request>>,
    pub(super) extra: Option<Box<Extra>>,
}

impl Request {
    /// It waits for something else than input.
    pub(super) fn waits(&self) -> bool {
        self.job.is_some() || self.asks.is_some() || self.waiting.is_some()
    }
}

impl Extra {
    /// Nothing in it is needed any more.
    pub(super) fn is_plain(&self) -> bool {
        let Self {
            half,
            events,
            user,
            join,
            control_off,
            control_on,
            expiry_told: _,
            poll_until_ms,
        } = self;
        let wants = events.is_some() || user.is_some() || *control_off || *control_on;
        half.is_none() && join.is_none() && !wants && *poll_until_ms == 0
    }
}

impl Conn {
    /// One that has just begun, without a socket.
    pub(super) fn nobody() -> Self {
        Self {
            sock: Sock(u32::MAX),
            generation: 0,
            planned: 0,
            sent_at_ms: 0,
            since_ms: 0,
            behind_since_ms: 0,
            position: 0,
            state: State::Head,
            armed: Armed::default(),
            form: Form::Sse,
            behind: false,
            linked: false,
            timer_ms: 0,
            timed: false,
            queued: false,
            heartbeat: Heartbeat::Short,
            request: None,
            extra: None,
            expires_unix_s: 0,
        }
    }

    /// It needs its own encoding: another form, or a filter.
    pub(super) fn is_custom(&self) -> bool {
        !self.form.is_shared() || self.extra.as_ref().is_some_and(|extra| extra.events.is_some())
    }

    /// What a full send buffer kept back.
    pub(super) fn half(&self) -> Option<&Half> {
        self.extra.as_ref()?.half.as_ref()
    }

    /// Takes what a full send buffer kept back.
    pub(super) fn take_half(&mut self) -> Option<Half> {
        let half = self.extra.as_mut()?.half.take();
        self.tidy();
        half
    }

    /// Keeps what a full send buffer keeps back, instead of what it kept before.
    pub(super) fn keep_half(&mut self, half: Option<Half>) {
        if half.is_some() {
            self.extra.get_or_insert_default().half = half;
        } else {
            self.take_half();
        }
    }

    /// Forgets all that belongs to a stream or poll; what still has to leave stays.
    pub(super) fn end_stream(&mut self) {
        let half = self.take_half();
        self.extra = None;
        self.keep_half(half);
    }

    /// Gives the memory of extras back that are not needed any more.
    pub(super) fn tidy(&mut self) {
        if self.extra.as_ref().is_some_and(|extra| extra.is_plain()) {
            self.extra = None;
        }
    }

    /// Its entry in the timer heap is this one.
    pub(super) fn is_timed_at(&self, at_ms: u64) -> bool {
        self.timed && self.timer_ms == wrap_ms(at_ms)
    }

    /// It has no entry in the timer heap that is due at `at_ms` or before. (Within 24 days of each
    /// other, as all that is scheduled is.)
    pub(super) fn is_timed_after(&self, at_ms: u64) -> bool {
        !self.timed || wrap_ms(at_ms).wrapping_sub(self.timer_ms).cast_signed() < 0
    }

    /// Takes a step of the state table. An impossible step is an error of ours: it changes nothing
    /// and says false.
    pub(super) fn step(&mut self, step: Step) -> bool {
        let next = self.state.after(step);
        debug_assert!(next.is_some(), "{:?} cannot {step:?}", self.state);
        if let Some(next) = next {
            self.state = next;
        }
        next.is_some()
    }
}

/// Connections by slot, generations checked.
#[derive(Debug)]
pub(super) struct Conns {
    slab: Shelves<Conn>,
    next_generation: u32,
    slots: u32,
}

impl Conns {
    pub(super) fn new() -> Self {
        Self { slab: Shelves::new(), next_generation: 1, slots: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    /// One above the highest slot ever used.
    pub(super) fn slots(&self) -> u32 {
        self.slots
    }

    pub(super) fn insert(&mut self, sock: Sock, request: Box<Request>, now_ms: u64) -> ConnId {
        let generation = self.next_generation;
        self.next_generation = (generation + 1) & ConnId::GENERATION_MASK;
        let now_ms = wrap_ms(now_ms);
        let slot = self.slab.insert(Conn {
            sock,
            generation,
            sent_at_ms: now_ms,
            since_ms: now_ms,
            request: Some(request),
            ..Conn::nobody()
        });
        let slot = u32::try_from(slot).unwrap_or(u32::MAX);
        self.slots = self.slots.max(slot.saturating_add(1));
        ConnId { slot, generation }
    }

    pub(super) fn remove(&mut self, id: ConnId) {
        if self.get(id).is_some() {
            self.slab.remove(id.slot as usize);
        }
    }

    /// The connection `id` names, unless the slot has another owner now.
    pub(super) fn get(&self, id: ConnId) -> Option<&Conn> {
        self.slab.get(id.slot as usize).filter(|conn| conn.generation == id.generation)
    }

    pub(super) fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.slab.get_mut(id.slot as usize).filter(|conn| conn.generation == id.generation)
    }

    /// Connections of another process, each at its slot, in rising order.
    pub(super) fn take_over(
        all: impl IntoIterator<Item = (u32, Conn)>,
        slots: u32,
        next_generation: u32,
    ) -> Self {
        let mut conns = Self { slab: Shelves::new(), next_generation, slots };
        let mut empty = Vec::new();
        for (slot, conn) in all {
            while conns.slab.len() < slot as usize {
                empty.push(conns.slab.insert(Conn::nobody()));
            }
            conns.slab.insert(conn);
        }
        // The lowest places are given out first.
        empty.into_iter().rev().for_each(|slot| drop(conns.slab.remove(slot)));
        conns
    }

    /// Slots of streams and waiting long-polls.
    pub(super) fn linked(&self) -> impl Iterator<Item = u32> + '_ {
        let linked = self.slab.iter().filter(|(_, conn)| conn.linked);
        linked.filter_map(|(slot, _)| u32::try_from(slot).ok())
    }

    /// The generation of the next connection.
    pub(super) fn next_generation(&self) -> u32 {
        self.next_generation
    }

    /// The owner of a slot, whoever it is.
    pub(super) fn at(&self, slot: u32) -> Option<&Conn> {
        self.slab.get(slot as usize)
    }

    /// The owner of a slot, whoever it is.
    pub(super) fn at_mut(&mut self, slot: u32) -> Option<&mut Conn> {
        self.slab.get_mut(slot as usize)
    }

    /// The id of a slot's owner.
    pub(super) fn id_at(&self, slot: u32) -> Option<ConnId> {
        let conn = self.slab.get(slot as usize)?;
        Some(ConnId { slot, generation: conn.generation })
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = &Conn> {
        self.slab.iter().map(|(_, conn)| conn)
    }

    pub(super) fn ids(&self) -> Vec<ConnId> {
        let ids = self.slab.iter().map(|(slot, conn)| ConnId {
            slot: u32::try_from(slot).unwrap_or(u32::MAX),
            generation: conn.generation,
        });
        ids.collect()
    }

    /// Notes that the kernel gave an operation back.
    pub(super) fn disarm(&mut self, id: ConnId, operation: Operation) -> Option<&mut Conn> {
        let conn = self.get_mut(id)?;
        conn.armed.remove(operation);
        Some(conn)
    }
}

/// Milliseconds as kept per connection: 32 bits, wrapping after 49 days; only differences count.
#[expect(clippy::cast_possible_truncation, reason = "wrapping on purpose")]
pub(super) fn wrap_ms(ms: u64) -> u32 {
    ms as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_of_them_take_64_megabytes() {
        assert_eq!(size_of::<Conn>(), 64);
    }
}
