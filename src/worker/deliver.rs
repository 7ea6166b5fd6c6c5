//! From the journal to the members of each topic.
//!
//! A topic with few members is walked at once; a large one in parts, between which new entries are
//! read, so that an event to one user overtakes a broadcast to everybody. A stream that is touched
//! out of turn is sent *all* it is owed, in order: ids on a stream only rise.

use std::sync::Arc;

use smallvec::SmallVec;

use super::Worker;
use super::conns::{Form, wrap_ms};
use super::outbox::{Origin, Outbox, Past, Plan, Run};
use super::planted::{Planted, is_planted};
use crate::conn::State;
use crate::driver::{ConnId, Driver};
use crate::hub::{Hub, Pending, Topic, TopicId};
use crate::journal::{ChannelKey, Event};
use crate::proto::channel::BROADCAST;
use crate::proto::sse::{EventId, write_event_json};

/// Where small work came, more is expected for so long, and large walks leave it room.
const SMALL_EXPECTED_MS: u64 = 1_000;

/// Whether a walk came to its end.
#[derive(Debug, PartialEq, Eq)]
enum Walked {
    Done,
    /// The outbox is full.
    More,
}

impl<D: Driver> Worker<D> {
    /// Reads new entries and notes in each touched topic what it owes its members.
    pub(super) fn read_journal(&mut self) {
        let mut found = SmallVec::new();
        for _ in 0..self.pace.read_max {
            let Some(event) = self.reader.get(self.position) else { break };
            let len = u32::try_from(event.frame.wire().len()).unwrap_or(u32::MAX);
            let seq = event.seq;
            if event.aim.is_some() {
                let event = Arc::clone(event);
                self.note_aimed(event, len);
                self.position += 1;
                self.last_seq = seq;
                continue;
            }
            let pending = Pending { position: self.position, seq, len, picky: false };
            for key in &event.targets {
                found.clear();
                find_topics(&self.hub, key, &mut found);
                for topic in &found {
                    let members = self.members(*topic);
                    if members > 0 && self.hub.owe(*topic, pending) {
                        self.queues.push(*topic, members <= self.pace.small_members_max);
                    }
                }
            }
            self.position += 1;
            self.last_seq = seq;
        }
    }

    /// The same for an event that is not simply for all streams of its channels, at once.
    fn note_aimed(&mut self, event: Arc<Event>, len: u32) {
        let Some(aim) = &event.aim else { return };
        let mut topics = SmallVec::new();
        for key in &event.targets {
            find_topics(&self.hub, key, &mut topics);
        }
        if let Some(pattern) = &aim.pattern {
            self.hub.overlapping_patterns(pattern, &mut topics);
        }
        topics.sort_unstable();
        topics.dedup();
        if topics.iter().any(|topic| self.members(*topic) > 0) && self.spread(&event) {
            return;
        }
        let pending =
            Pending { position: self.position, seq: event.seq, len, picky: aim.excludes() };
        for topic in &topics {
            self.owe(*topic, pending);
        }
        if aim.receipt.is_some() {
            self.watch_event(event, &topics);
        }
    }

    /// Streams of this core that belong to a topic.
    fn members(&self, topic: TopicId) -> usize {
        match topic {
            Hub::BROADCAST => self.streams,
            topic => self.hub.topic(topic).map_or(0, |topic| topic.len()),
        }
    }

    fn owe(&mut self, topic: TopicId, pending: Pending) {
        let members = self.members(topic);
        if members > 0 && self.hub.owe(topic, pending) {
            self.queues.push(topic, members <= self.pace.small_members_max);
        }
    }

    /// Walks the small topics, then the large ones as far as one enter goes.
    pub(super) fn deliver(&mut self) {
        while let Some(id) = self.queues.small.pop_front() {
            self.queues.small_until_ms = self.now.mono_ms + SMALL_EXPECTED_MS;
            while self.walk(id, self.pace.sends_max) == Walked::More {
                self.flush();
            }
        }
        let expected = self.now.mono_ms < self.queues.small_until_ms;
        let shared = expected || self.reader.get(self.position).is_some();
        let sends_max = if shared { self.pace.sends_max_shared } else { self.pace.sends_max };
        while let Some(id) = self.queues.large.front().copied() {
            if self.walk(id, sends_max) == Walked::More {
                return;
            }
            // A walk that ended and has more to carry was put at the end of the queue.
            self.queues.large.pop_front();
        }
    }

    /// Walks one topic's members until all are visited or the outbox is full.
    fn walk(&mut self, id: TopicId, sends_max: usize) -> Walked {
        let members = if id == Hub::BROADCAST { self.conns.slots() as usize } else { 0 };
        let Some(topic) = self.hub.topic_mut(id).filter(|topic| topic.owes()) else {
            return Walked::Done;
        };
        if topic.walk().is_none() {
            let members = if id == Hub::BROADCAST { members } else { topic.len() };
            topic.begin_walk(members, self.pace.run_bytes_max);
        }
        let Some(last_seq) = topic.walk().map(|walk| walk.target_seq) else {
            self.hub.end_walk(id);
            return Walked::Done;
        };
        // Laid out for the first member that takes it: none may, where all lag.
        let mut runs = Runs::default();
        loop {
            if self.outbox.is_full(sends_max) {
                return Walked::More;
            }
            let Some(topic) = self.hub.topic_mut(id) else { return Walked::Done };
            let Some(cursor) = topic.step() else { break };
            let slot = if id == Hub::BROADCAST {
                u32::try_from(cursor).ok()
            } else {
                self.hub.topic(id).and_then(|topic| topic.member(cursor))
            };
            if let Some(slot) = slot.filter(|slot| self.is_due(*slot, last_seq)) {
                self.touch(slot, id, &mut runs);
            }
        }
        let members = self.hub.topic(id).map_or(0, |topic| topic.len());
        if self.hub.end_walk(id) {
            let members = if id == Hub::BROADCAST { self.streams } else { members };
            self.queues.push(id, members <= self.pace.small_members_max);
        }
        Walked::Done
    }

    /// It is live, and not past this event already.
    pub(super) fn is_due(&mut self, slot: u32, seq: u64) -> bool {
        self.conns
            .at_mut(slot)
            .is_some_and(|conn| !conn.behind && conn.state.is_subscribed() && conn.position < seq)
    }

    /// Plans what one stream is owed.
    fn touch(&mut self, slot: u32, id: TopicId, runs: &mut Runs) {
        let Some(conn) = self.conns.at_mut(slot) else { return };
        let planned = conn.planned == self.outbox.number && !is_planted(Planted::SecondSend);
        if conn.form == Form::Poll || planned {
            return self.fall_behind(slot);
        }
        let (custom, form) = (conn.is_custom(), conn.form);
        if custom || !self.owes_only(slot, id) {
            return self.gather(slot, custom);
        }
        let Some(topic) = self.hub.topic(id) else { return };
        let Some(walk) = topic.walk() else { return };
        // Most streams get all of it, and share its bytes as ever.
        if topic.is_picky() && self.misses_some(slot, topic) {
            return self.gather(slot, custom);
        }
        let complete = walk.events == topic.pending().len();
        let run = if form == Form::Gzip { &mut runs.gzip } else { &mut runs.plain };
        let run = run.get_or_insert_with(|| {
            let events = topic.pending().iter().take(walk.events);
            let events = events.filter_map(|p| Some((p, &**self.reader.get(p.position)?)));
            put_run(&mut self.outbox, form, events)
        });
        let position = if complete { self.last_seq } else { run.last_seq };
        let Some(conn) = self.conns.at_mut(slot) else { return };
        let (bytes, pieces) = self.outbox.suffix(run, conn.position);
        let plan = Plan {
            id: ConnId { slot, generation: conn.generation },
            sock: conn.sock,
            bytes,
            pieces,
            position_before: conn.position,
            past: Past::default(),
            last: false,
        };
        conn.position = position;
        conn.planned = self.outbox.number;
        conn.sent_at_ms = wrap_ms(self.now.mono_ms);
        self.outbox.plan(plan);
    }

    /// Something that the topic owes its members is not for this one.
    fn misses_some(&self, slot: u32, topic: &Topic) -> bool {
        let picky = topic.pending().iter().filter(|pending| pending.picky);
        let mut events = picky.filter_map(|pending| self.reader.get(pending.position));
        events.any(|event| !self.is_for(slot, event))
    }

    /// No other topic of this stream owes it anything now.
    fn owes_only(&self, slot: u32, id: TopicId) -> bool {
        let owes = |other: TopicId| {
            other != id && self.hub.topic(other).is_some_and(|topic| !topic.pending().is_empty())
        };
        if is_planted(Planted::Overtake) {
            return true;
        }
        !owes(Hub::BROADCAST) && !self.hub.topics_of(slot).any(owes) && !self.awaits_spread(slot)
    }

    /// Plans everything all topics of a stream owe it, merged in order.
    pub(super) fn gather(&mut self, slot: u32, custom: bool) {
        let mut early = self.spread_for(slot).into_iter().peekable();
        let Some(conn) = self.conns.at_mut(slot) else { return };
        let (before, form) = (conn.position, conn.form);
        let mut owed = std::mem::take(&mut self.owed);
        owed.clear();
        for id in self.hub.topics_of(slot).chain([Hub::BROADCAST]) {
            let Some(topic) = self.hub.topic(id) else { continue };
            let from = topic.pending().partition_point(|pending| pending.seq <= before);
            owed.extend(topic.pending().iter().skip(from));
        }
        owed.sort_unstable_by_key(|pending| pending.position);
        owed.dedup_by_key(|pending| pending.position);
        let (start, pieces_start) = self.outbox.mark();
        let mut position = before;
        let mut cut = false;
        'owed: for pending in &owed {
            while let Some(event) = early.next_if(|event| event.seq < pending.seq) {
                let seq = event.seq;
                cut = !self.put_early(slot, form, start, event);
                if cut {
                    break 'owed;
                }
                position = seq;
            }
            let Some(event) = self.reader.get(pending.position) else { continue };
            let used = self.outbox.bytes.len() - start;
            if used > 0 && used + pending.len as usize > self.pace.run_bytes_max {
                cut = true;
                break;
            }
            position = event.seq;
            if (custom || pending.picky) && !self.is_for(slot, event) {
                continue;
            }
            let origin = Origin::Ring(pending.position);
            let channel = if form.is_shared() { "" } else { self.channel_for(slot, event) };
            put_event(&mut self.outbox, &self.node, form, event, channel, origin);
        }
        self.owed = owed;
        while !cut && let Some(event) = early.next() {
            let seq = event.seq;
            cut = !self.put_early(slot, form, start, event);
            if !cut {
                position = seq;
            }
        }
        if !cut {
            position = self.last_seq;
        }
        self.plan_gathered(slot, (start, pieces_start), position);
        if cut {
            self.fall_behind(slot);
        }
    }

    /// Puts an event that is on its way into the arena, before its moment. False: the send is full.
    fn put_early(&mut self, slot: u32, form: Form, start: usize, event: Arc<Event>) -> bool {
        let used = self.outbox.bytes.len() - start;
        if used > 0 && used + event.frame.wire().len() > self.pace.run_bytes_max {
            return false;
        }
        if self.is_for(slot, &event) {
            let channel = if form.is_shared() { "" } else { self.channel_for(slot, &event) };
            let origin = Origin::Held(Arc::clone(&event));
            put_event(&mut self.outbox, &self.node, form, &event, channel, origin);
        }
        true
    }

    fn plan_gathered(&mut self, slot: u32, start: (usize, usize), position: u64) {
        let now_ms = wrap_ms(self.now.mono_ms);
        let (end, pieces_end) = self.outbox.mark();
        let Some(conn) = self.conns.at_mut(slot) else { return };
        let before = std::mem::replace(&mut conn.position, position);
        if end == start.0 {
            return;
        }
        conn.planned = self.outbox.number;
        conn.sent_at_ms = now_ms;
        self.outbox.plan(Plan {
            id: ConnId { slot, generation: conn.generation },
            sock: conn.sock,
            bytes: start.0..end,
            pieces: start.1..pieces_end,
            position_before: before,
            past: Past::default(),
            last: false,
        });
    }

    /// Takes a stream out of live delivery: it goes on from the store.
    pub(super) fn fall_behind(&mut self, slot: u32) {
        let now_ms = wrap_ms(self.now.mono_ms);
        let Some(id) = self.conns.id_at(slot) else { return };
        let Some(conn) = self.conns.get_mut(id) else { return };
        if !conn.behind {
            conn.behind = true;
            conn.behind_since_ms = now_ms;
            self.lagging += usize::from(conn.state == State::Streaming);
        }
        if !std::mem::replace(&mut conn.queued, true) {
            self.queues.catch_up.push_back(id);
        }
    }

    /// Gives back the journal entries that nobody on this core needs any more.
    pub(super) fn finish_read(&mut self) {
        let queued = self.queues.small.iter().chain(&self.queues.large);
        let oldest = queued
            .filter_map(|id| self.hub.topic(*id)?.pending().front())
            .map(|pending| pending.position)
            .min()
            .unwrap_or(self.position);
        self.reader.finish(oldest);
    }
}

impl super::Queues {
    pub(super) fn push(&mut self, id: TopicId, small: bool) {
        let queue = if small { &mut self.small } else { &mut self.large };
        queue.push_back(id);
    }
}

/// What a walk has laid out, by the form of the streams that share it.
#[derive(Debug, Default)]
struct Runs {
    plain: Option<Run>,
    gzip: Option<Run>,
}

/// Lays the events of a walk side by side, to be sent to every member from the same bytes.
fn put_run<'a>(
    outbox: &mut Outbox,
    form: Form,
    events: impl Iterator<Item = (&'a Pending, &'a Event)>,
) -> Run {
    let (start, pieces) = outbox.mark();
    let mut last_seq = 0;
    for (pending, event) in events {
        outbox.push_event(form, event, 0, Origin::Ring(pending.position));
        last_seq = event.seq;
    }
    Run { start, pieces: pieces..outbox.pieces.len(), last_seq }
}

/// The topics of this core that a channel's events belong to.
fn find_topics(hub: &Hub, key: &ChannelKey, found: &mut SmallVec<[TopicId; 8]>) {
    if &*key.name == BROADCAST {
        found.push(Hub::BROADCAST);
    } else {
        found.extend(hub.find_channel(key));
        hub.matching_patterns(&key.name, found);
    }
}

/// Puts one event into the arena in the form a connection reads. `channel` is told where the form
/// tells it.
pub(super) fn put_event(
    outbox: &mut Outbox,
    node: &super::Node,
    form: Form,
    event: &Event,
    channel: &str,
    origin: Origin,
) {
    if form.is_shared() {
        return outbox.push_event(form, event, 0, origin);
    }
    let live = matches!(origin, Origin::Ring(_));
    let id = EventId { epoch: node.journal.epoch(), seq: event.seq };
    let data = event.frame.data();
    write_event_json(&mut outbox.bytes, &id, event.frame.event(), &data, channel);
    outbox.bytes.push(b'\n');
    outbox.end_event(event, 0, Origin::Arena, live);
}
