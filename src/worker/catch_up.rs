//! Streams that are not live: joins, slow readers, long-polls.
//!
//! All of them are the same thing: a position behind the head. What lies between is read from the
//! histories, merged in order, and sent; when nothing lies between any more, the stream is live.

use std::sync::Arc;

use super::Worker;
use super::conns::{Conn, Form, Half, wrap_ms};
use super::deliver::{RUN_BYTES_MAX, put_event};
use super::outbox::{Origin, Plan, SENDS_MAX};
use crate::conn::{Operation, State};
use crate::driver::{ConnId, Driver};
use crate::hub::{Hub, TopicName};
use crate::journal::{Event, Overflow, Purpose};
use crate::proto::sse::{ByeReason, ControlEvent, EventId, GapReason};

/// What the histories hold for one stream.
#[derive(Debug)]
struct Found {
    events: Vec<Arc<Event>>,
    /// Everything of its topics up to here is in `events` or will never come.
    reached_seq: u64,
    /// Newest id that is no longer there, where it lies above the stream's position.
    floor: Option<u64>,
    overflow: Overflow,
}

impl<D: Driver> Worker<D> {
    /// Lets waiting streams catch up, as many as this enter has room for.
    pub(super) fn catch_up_all(&mut self) {
        for _ in 0..self.queues.catch_up.len() {
            if self.outbox.is_full(SENDS_MAX) {
                return;
            }
            let Some(id) = self.queues.catch_up.pop_front() else { return };
            self.catch_up(id);
        }
    }

    fn catch_up(&mut self, id: ConnId) {
        let number = self.outbox.number;
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.queued = false;
        if !conn.behind || !conn.state.is_subscribed() || conn.armed.contains(Operation::Writable)
        {
            return;
        }
        if conn.planned == number {
            return self.fall_behind(id.slot);
        }
        if conn.form == Form::Poll {
            return self.catch_up_poll(id);
        }
        let (start, pieces_start) = self.outbox.mark();
        let before = conn.position;
        self.put_half(id);
        let Some(found) = self.find(id) else { return };
        if !self.put_gap(id, &found) {
            self.outbox.truncate(start, pieces_start);
            return;
        }
        let reached = self.put_found(id, &found, start);
        self.settle(id, reached);
        self.plan_range(id, (start, pieces_start), before, true);
    }

    /// Puts the rest of a half-sent frame first.
    fn put_half(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        match conn.half.take().map(|half| *half) {
            Some(Half::Event(event, sent)) => {
                conn.position = conn.position.max(event.seq);
                self.outbox.push_event(&event, sent, Origin::Held(Arc::clone(&event)));
            }
            Some(Half::Bytes(bytes, seq)) => {
                conn.position = conn.position.max(seq.unwrap_or_default());
                self.outbox.bytes.extend_from_slice(&bytes);
                self.outbox.end_piece(seq, 0, Origin::Arena);
            }
            None => {}
        }
    }

    /// Reads what lies between a stream's position and the head.
    fn find(&mut self, id: ConnId) -> Option<Found> {
        let conn = self.conns.get(id)?;
        let join = conn.extra.as_ref().and_then(|extra| extra.join.as_ref());
        let (purpose, until) = match join {
            Some(join) => (Purpose::Resume, join.until_seq),
            None => (Purpose::Laggard, self.last_seq),
        };
        let starts: &[u64] = join.map_or(&[], |join| &join.starts);
        let journal = &self.node.journal;
        let mut found = Found {
            events: Vec::new(),
            reached_seq: until,
            floor: None,
            overflow: Overflow::Skip,
        };
        let topics = self.hub.topics_of(id.slot).chain([Hub::BROADCAST]);
        for (at, topic) in topics.enumerate() {
            let after = conn.position.max(starts.get(at).copied().unwrap_or_default());
            let Some(topic) = self.hub.topic(topic) else { continue };
            if after >= until {
                continue;
            }
            let begin = found.events.len();
            let (span, overflow) = match &topic.name {
                TopicName::Channel(key) => journal.read_channel(
                    key, purpose, after, until, RUN_BYTES_MAX, self.now.unix_ms, &mut found.events,
                ),
                TopicName::Broadcast => journal.read_channel(
                    &self.broadcast, purpose, after, until, RUN_BYTES_MAX, self.now.unix_ms,
                    &mut found.events,
                ),
                TopicName::Pattern(pattern) => journal.read_pattern(
                    pattern, purpose, after, until, RUN_BYTES_MAX, self.now.unix_ms,
                    &mut found.events,
                ),
            };
            if span.floor > after {
                found.overflow = if found.floor.is_none() { overflow } else { found.overflow.stricter(overflow) };
                found.floor = found.floor.max(Some(span.floor));
            }
            if !span.complete {
                let last = found.events[begin..].last().map_or(after, |event| event.seq);
                found.reached_seq = found.reached_seq.min(last);
            }
        }
        found.events.sort_unstable_by_key(|event| event.seq);
        found.events.dedup_by_key(|event| event.seq);
        found.reached_seq = found.reached_seq.max(conn.position.min(until));
        Some(found)
    }

    /// Announces what can no longer be had. False when the stream ends instead.
    fn put_gap(&mut self, id: ConnId, found: &Found) -> bool {
        let epoch = self.node.journal.epoch();
        let last_seq = self.last_seq;
        let Some(conn) = self.conns.get_mut(id) else { return false };
        let position = conn.position;
        let join = conn.extra.as_mut().and_then(|extra| extra.join.as_mut());
        let (requested, reason, resumed_at) = match join {
            Some(join) if !join.checked => {
                join.checked = true;
                let asked = join.requested.take();
                match (asked, join.foreign, found.floor) {
                    (Some(asked), true, floor) => (asked, GapReason::Epoch, floor.unwrap_or(0)),
                    (Some(asked), false, Some(floor)) => (asked, GapReason::Expired, floor),
                    _ => return true,
                }
            }
            _ => match (found.floor, found.overflow) {
                (None, _) => return true,
                (Some(_), Overflow::Disconnect) => {
                    self.bye(id, ByeReason::Slow, true);
                    return false;
                }
                (Some(_), Overflow::Skip) => {
                    conn.position = last_seq;
                    let requested = EventId { epoch, seq: position }.to_string();
                    (requested, GapReason::Overflow, last_seq)
                }
                (Some(floor), Overflow::Conflate) => {
                    let requested = EventId { epoch, seq: position }.to_string();
                    (requested, GapReason::Overflow, floor)
                }
            },
        };
        self.node.counters[self.index].gaps.add(1);
        let resumed_at = EventId { epoch, seq: resumed_at };
        self.put_control(id, &ControlEvent::Gap { requested, resumed_at, reason, missed: None });
        true
    }

    /// Puts the events found, as many as one send carries. Returns the position reached.
    fn put_found(&mut self, id: ConnId, found: &Found, start: usize) -> u64 {
        let Some(conn) = self.conns.get(id) else { return 0 };
        let (form, position) = (conn.form, conn.position);
        let mut last = position;
        for event in &found.events {
            if event.seq <= position || event.seq > found.reached_seq {
                continue;
            }
            let used = self.outbox.bytes.len() - start;
            if used > 0 && used + event.frame.wire().len() > RUN_BYTES_MAX {
                return last;
            }
            last = event.seq;
            if self.conns.get(id).is_some_and(|conn| conn.wants(event)) {
                let origin = Origin::Held(Arc::clone(event));
                put_event(&mut self.outbox, &self.node, form, event, 0, origin);
            }
        }
        found.reached_seq.max(position)
    }

    /// Writes down how far the stream has come, and whether it is live now.
    fn settle(&mut self, id: ConnId, reached: u64) {
        let last_seq = self.last_seq;
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.position = conn.position.max(reached);
        let mut caught_up = false;
        if let Some(extra) = conn.extra.as_mut() {
            if extra.join.as_ref().is_some_and(|join| reached >= join.until_seq) {
                extra.join = None;
                caught_up = extra.control_on;
            }
            if extra.is_plain() {
                conn.extra = None;
            }
        }
        let joining = conn.extra.as_ref().is_some_and(|extra| extra.join.is_some());
        if joining || conn.position < last_seq {
            self.fall_behind(id.slot);
        } else {
            conn.behind = false;
            self.lagging = self.lagging.saturating_sub(usize::from(conn.state == State::Streaming));
        }
        if caught_up {
            self.put_control(id, &ControlEvent::CaughtUp);
        }
    }

    /// Plans what was put into the arena since `start`.
    pub(super) fn plan_range(
        &mut self,
        id: ConnId,
        start: (usize, usize),
        position_before: u64,
        was_behind: bool,
    ) {
        let (end, pieces_end) = self.outbox.mark();
        let (number, now_ms) = (self.outbox.number, wrap_ms(self.now.mono_ms));
        let Some(conn) = self.conns.get_mut(id).filter(|_| end > start.0) else { return };
        conn.planned = number;
        conn.sent_at_ms = now_ms;
        self.outbox.plan(Plan {
            id,
            sock: conn.sock,
            bytes: start.0..end,
            pieces: start.1..pieces_end,
            position_before,
            was_behind,
            last: false,
        });
    }
}

impl Conn {
    /// The stream asked for events of this name (or for all), and not to be left out.
    pub(super) fn wants(&self, event: &Event) -> bool {
        let filter = self.extra.as_ref().and_then(|extra| extra.events.as_deref());
        filter.is_none_or(|names| {
            let name = event.frame.event().unwrap_or("message");
            names.iter().any(|wanted| **wanted == *name)
        })
    }
}
