//! What leaves in the next enter: plans over one arena of bytes.
//!
//! At most one plan per connection and enter. Two unlinked sends to one socket in one enter can
//! put a whole frame behind half of another: when the first is short, the second still goes out.
//! The arena is free again as soon as the driver's send returns, because the kernel keeps no
//! pointer (see [`crate::driver::Driver::send`]).

use std::ops::Range;
use std::sync::Arc;

use super::conns::Form;
use crate::driver::{ConnId, Outgoing, Sock};
use crate::journal::Event;
use crate::obs::{EventKind, EventNames, KnownNames};
use crate::proto::gzip;

/// Predicted cost of one enter, in nanoseconds, above which it is closed: some 250 small sends or
/// 110 of 48 KB take about a millisecond.
const COST_MAX_NS: u64 = 1_000_000;
const SEND_COST_NS: u64 = 4_000;
const BYTES_PER_NS: u64 = 10;
/// Most of what deflate can gain, at a fifth of the time that its highest level takes.
const GZIP_LEVEL: u32 = 6;

/// Where the bytes of a frame can be found again when the socket took only half of them.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// In the journal's ring, at this position.
    Ring(u64),
    /// Held by this reference.
    Held(Arc<Event>),
    /// Nowhere else: the rest has to be copied.
    Arena,
    /// The rest of something whose beginning has left: likewise, also when nothing of it leaves.
    Rest,
    /// Likewise, and it is no event: what has not begun to leave is said again.
    Control,
    /// The same; it tells of a hole.
    Gap,
}

/// A whole frame in the arena, or the rest of one.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    /// Where it ends in the arena.
    pub(super) end: usize,
    /// Bytes of the frame that had left before (only in the first piece of a plan).
    pub(super) skipped: usize,
    /// The stream's position once it has left; none for bytes that are no event.
    pub(super) seq: Option<u64>,
    pub(super) origin: Origin,
    /// What it is counted as.
    pub(super) kind: EventKind,
    /// Streams that are sent it, less those that are sent the piece before it.
    more: i32,
    /// When the event was appended, as it says; none where it comes late on purpose.
    appended_us: Option<u32>,
}

/// How often an event is sent in an enter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    pub(super) kind: EventKind,
    pub(super) appended_us: Option<u32>,
    pub(super) streams: u64,
}

impl Piece {
    /// It is an event, or the rest of one.
    pub(super) fn is_event(&self) -> bool {
        self.seq.is_some() && !matches!(self.origin, Origin::Control | Origin::Gap)
    }
}

/// What a stream was doing when a send was planned.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Past {
    /// It was catching up.
    pub(super) behind: bool,
    /// Its join is over when all of this has left.
    pub(super) joined: bool,
}

/// One send: a connection and a range of the arena.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) id: ConnId,
    pub(super) sock: Sock,
    pub(super) bytes: Range<usize>,
    pub(super) pieces: Range<usize>,
    /// The stream's position if nothing of it leaves.
    pub(super) position_before: u64,
    pub(super) past: Past,
    /// The connection ends when all of it has left.
    pub(super) last: bool,
}

/// Bytes shared by all members of a topic that are at the same place.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) start: usize,
    pub(super) pieces: Range<usize>,
    pub(super) last_seq: u64,
}

/// The sends of the next enter.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub(super) bytes: Vec<u8>,
    pub(super) pieces: Vec<Piece>,
    pub(super) plans: Vec<Plan>,
    cost_ns: u64,
    /// Counts enters, so that a connection can tell whether it is planned in this one.
    pub(super) number: u32,
    /// Made when the first stream takes gzip.
    encoder: Option<Box<gzip::Encoder>>,
    names: Arc<EventNames>,
    known: KnownNames,
}

impl Outbox {
    /// Nothing planned. Events are counted by these names.
    pub(super) fn new(names: Arc<EventNames>) -> Self {
        Self { number: 1, names, ..Self::default() }
    }

    /// No more sends should be planned in this enter.
    pub(super) fn is_full(&self, sends_max: usize) -> bool {
        self.plans.len() >= sends_max || self.cost_ns >= COST_MAX_NS
    }

    /// Where the next bytes will lie.
    pub(super) fn mark(&self) -> (usize, usize) {
        (self.bytes.len(), self.pieces.len())
    }

    /// Ends a piece at the end of the arena.
    pub(super) fn end_piece(&mut self, seq: Option<u64>, skipped: usize, origin: Origin) {
        let (end, kind) = (self.bytes.len(), EventKind::OTHER);
        let (more, appended_us) = (0, None);
        self.pieces.push(Piece { end, skipped, seq, origin, kind, more, appended_us });
    }

    /// Ends the rest of what was begun in an earlier enter.
    pub(super) fn end_rest(&mut self, seq: Option<u64>, kind: EventKind) {
        self.end_piece(seq, 0, Origin::Rest);
        if let Some(piece) = self.pieces.last_mut() {
            piece.kind = kind;
        }
    }

    /// Ends a piece that is an event, at the end of the arena. `live`: it leaves as soon as it can
    /// after its append.
    pub(super) fn end_event(&mut self, event: &Event, skipped: usize, origin: Origin, live: bool) {
        let kind = self.known.kind(event.frame.event(), &self.names);
        self.end_piece(Some(event.seq), skipped, origin);
        if let Some(piece) = self.pieces.last_mut() {
            piece.kind = kind;
            piece.appended_us = live.then_some(event.appended_us);
        }
    }

    /// Puts an event block into the arena, from byte `skipped` of it on, as a stream of this form
    /// reads it.
    pub(super) fn push_event(&mut self, form: Form, event: &Event, skipped: usize, origin: Origin) {
        let block = match form {
            Form::Gzip => {
                let encoder =
                    self.encoder.get_or_insert_with(|| Box::new(gzip::Encoder::new(GZIP_LEVEL)));
                event.frame.segment(encoder)
            }
            Form::Sse | Form::Ndjson | Form::Poll => event.frame.wire(),
        };
        self.bytes.extend_from_slice(block.get(skipped..).unwrap_or_default());
        let live = matches!(origin, Origin::Ring(_));
        self.end_event(event, skipped, origin, live);
    }

    /// Puts what `write` writes into the arena, as a stream of this form reads it.
    pub(super) fn push_text(&mut self, form: Form, write: impl FnOnce(&mut Vec<u8>)) {
        if form != Form::Gzip {
            return write(&mut self.bytes);
        }
        let mut text = Vec::new();
        write(&mut text);
        gzip::write_stored(&text, &mut self.bytes);
    }

    /// Plans a send of arena bytes.
    pub(super) fn plan(&mut self, plan: Plan) {
        debug_assert!(!plan.bytes.is_empty());
        self.cost_ns += SEND_COST_NS + plan.bytes.len() as u64 / BYTES_PER_NS;
        self.plans.push(plan);
    }

    /// Counts what is planned, once all of it is. Returns its bytes.
    pub(super) fn count_planned(&mut self) -> usize {
        let mut bytes = 0;
        for at in 0..self.plans.len() {
            let plan = &self.plans[at];
            bytes += plan.bytes.len();
            self.count(plan.pieces.clone(), 1);
        }
        bytes
    }

    /// These pieces are sent `streams` times more.
    fn count(&mut self, pieces: Range<usize>, streams: i32) {
        if let Some(first) = self.pieces.get_mut(pieces.start).filter(|_| !pieces.is_empty()) {
            first.more += streams;
        }
        if let Some(next) = self.pieces.get_mut(pieces.end).filter(|_| !pieces.is_empty()) {
            next.more -= streams;
        }
    }

    /// The part of a run that a stream at `position` has not got yet.
    pub(super) fn suffix(&self, run: &Run, position: u64) -> (Range<usize>, Range<usize>) {
        let pieces = &self.pieces[run.pieces.clone()];
        let end = pieces.last().map_or(run.start, |piece| piece.end);
        let behind = pieces.partition_point(|piece| piece.seq.is_some_and(|seq| seq <= position));
        let start = match behind.checked_sub(1) {
            Some(last) => pieces[last].end,
            None => run.start,
        };
        (start..end, run.pieces.start + behind..run.pieces.end)
    }

    /// A gap that was planned has not begun to leave: the cut is `sent` bytes into piece `cut`.
    pub(super) fn unsaid(&self, plan: &Plan, cut: usize, sent: usize) -> bool {
        let pieces = &self.pieces[plan.pieces.clone()];
        let whole = cut + usize::from(sent > 0);
        pieces.iter().skip(whole).any(|piece| matches!(piece.origin, Origin::Gap))
    }

    /// Only `taken` bytes of a plan have left: what is not whole was not sent.
    pub(super) fn uncount(&mut self, plan: &Plan, taken: usize) {
        let cut = plan.bytes.start + taken;
        let whole = self.pieces[plan.pieces.clone()].partition_point(|piece| piece.end <= cut);
        self.count(plan.pieces.start + whole..plan.pieces.end, -1);
    }

    /// The events that are sent, and how often.
    pub(super) fn sent(&self) -> impl Iterator<Item = Sent> {
        let mut streams = 0;
        self.pieces.iter().filter_map(move |piece| {
            streams += piece.more;
            let times = u64::try_from(streams).ok().filter(|times| *times > 0 && piece.is_event());
            Some(Sent { kind: piece.kind, appended_us: piece.appended_us, streams: times? })
        })
    }

    /// The planned sends in the driver's form; the token is the plan's index.
    pub(super) fn outgoing(&self) -> impl Iterator<Item = Outgoing<'_>> {
        self.plans.iter().zip(0..).map(|(plan, token)| Outgoing {
            sock: plan.sock,
            token,
            bytes: &self.bytes[plan.bytes.clone()],
        })
    }

    /// Forgets all plans; the next ones belong to another enter.
    pub(super) fn clear(&mut self) {
        const KEEP_BYTES: usize = 4 << 20;
        self.bytes.clear();
        self.bytes.shrink_to(KEEP_BYTES);
        self.pieces.clear();
        self.plans.clear();
        self.cost_ns = 0;
        self.number = self.number.wrapping_add(1);
    }
}
