//! Streams that are not live: joins, slow readers, long-polls.
//!
//! All of them are the same thing: a position behind the head. What lies between is read from the
//! histories, merged in order, and sent; when nothing lies between any more, the stream is live.

use std::sync::Arc;

use super::Worker;
use super::conns::{Conn, Form, Half, wrap_ms};
use super::deliver::put_event;
use super::outbox::{Origin, Past, Plan};
use super::planted::{Planted, is_planted};
use crate::conn::{Operation, State};
use crate::driver::{ConnId, Driver};
use crate::hub::{Hub, TopicName};
use crate::journal::{Event, Overflow, Purpose, Range};
use crate::proto::sse::{ByeReason, ControlEvent, EventId, GapReason};

/// What the histories hold for one stream.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) events: Vec<Arc<Event>>,
    /// Everything of its topics up to here is in `events` or will never come.
    pub(super) reached_seq: u64,
    /// Newest id that is no longer there, where it lies above the stream's position.
    floor: Option<u64>,
    overflow: Overflow,
}

/// What a stream is told about a hole.
#[derive(Debug)]
pub(super) enum Gap {
    /// There is none.
    None,
    /// This; where an id is given, the stream jumps there.
    Told(ControlEvent, Option<u64>),
    /// It ends instead.
    End,
}

impl Found {
    /// Keeps only some of the events from `begin` on.
    fn keep(&mut self, begin: usize, is_wanted: impl Fn(&Event) -> bool) {
        let rest: Vec<Arc<Event>> = self.events.drain(begin..).collect();
        self.events.extend(rest.into_iter().filter(|event| is_wanted(event)));
    }

    /// Of the events from `begin` on, keeps only the newest of each channel's keys.
    fn conflate(&mut self, begin: usize) {
        let mut seen = std::collections::HashSet::new();
        let mut newest: Vec<Arc<Event>> = self.events.drain(begin..).rev().collect();
        let channel = |event: &Event| event.targets.first().map(|key| key.name.clone());
        newest.retain(|event| seen.insert((channel(event), event.key.clone())));
        self.events.extend(newest.into_iter().rev());
    }
}

impl Half {
    /// Where a stream at `before` stands once this has left.
    fn position(&self, before: u64) -> u64 {
        match self {
            Self::Event(event, _) => before.max(event.seq),
            Self::Bytes(_, seq, _) => before.max(seq.unwrap_or_default()),
        }
    }
}

impl<D: Driver> Worker<D> {
    /// Lets waiting streams catch up, as many as this enter has room for.
    pub(super) fn catch_up_all(&mut self) {
        for _ in 0..self.queues.catch_up.len() {
            if self.outbox.is_full(self.pace.sends_max) {
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
        if !conn.behind || !conn.state.is_subscribed() || conn.armed.contains(Operation::Writable) {
            return;
        }
        if conn.planned == number {
            return self.fall_behind(id.slot);
        }
        if conn.form == Form::Poll {
            return self.catch_up_poll(id);
        }
        let start = self.outbox.mark();
        let before = conn.position;
        // The half-sent frame comes first; it stays with the connection until it is planned.
        let resumed = conn.half().map_or(before, |half| half.position(before));
        let Some(found) = self.find(id, resumed) else { return };
        let gap = match self.gap_of(id, &found, resumed) {
            Gap::End => return self.bye(id, ByeReason::Slow, true),
            Gap::None => None,
            Gap::Told(gap, jump) => Some((gap, jump)),
        };
        self.put_half(id);
        let mut before = before;
        if let Some((gap, jump)) = gap {
            // Once it is said, the stream stands behind the hole.
            if !self.put_control(id, &gap, jump) {
                before = before.max(jump.unwrap_or_default());
            }
        }
        let reached = self.put_found(id, &found, start.0);
        let joined = self.settle(id, reached);
        if !self.plan_range(id, start, before, Past { behind: true, joined }) && joined {
            self.end_join(id);
        }
    }

    /// Puts the rest of a half-sent frame first.
    pub(super) fn put_half(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        match conn.take_half() {
            Some(Half::Event(event, sent)) => {
                conn.position = conn.position.max(event.seq);
                let form = conn.form;
                self.outbox.push_event(form, &event, sent, Origin::Held(Arc::clone(&event)));
            }
            Some(Half::Bytes(bytes, seq, kind)) => {
                conn.position = conn.position.max(seq.unwrap_or_default());
                self.outbox.bytes.extend_from_slice(&bytes);
                self.outbox.end_rest(seq, kind);
            }
            None => {}
        }
    }

    /// Reads what lies between `position` and the head.
    pub(super) fn find(&mut self, id: ConnId, position: u64) -> Option<Found> {
        let conn = self.conns.get(id)?;
        let join = conn.extra.as_ref().and_then(|extra| extra.join.as_ref());
        let (purpose, until) = match join {
            Some(join) => (Purpose::Resume, join.until_seq),
            None => (Purpose::Laggard, self.last_seq),
        };
        let starts: &[u64] = join.map_or(&[], |join| &join.starts);
        let journal = &self.node.journal;
        let mut found =
            Found { events: Vec::new(), reached_seq: until, floor: None, overflow: Overflow::Skip };
        let topics = self.hub.topics_of(id.slot).chain([Hub::BROADCAST]);
        for (at, topic) in topics.enumerate() {
            let after = position.max(starts.get(at).copied().unwrap_or_default());
            let Some(topic) = self.hub.topic(topic) else { continue };
            if after >= until {
                continue;
            }
            let begin = found.events.len();
            let range = Range {
                purpose,
                after,
                upto: until,
                bytes_max: self.pace.run_bytes_max,
                unix_ms: self.now.unix_ms,
            };
            let (span, overflow) = match &topic.name {
                TopicName::Channel(name) => {
                    journal.read_channel(&journal.key_of(name), range, &mut found.events)
                }
                TopicName::Pattern(pattern) => {
                    journal.read_pattern(pattern, range, &mut found.events)
                }
            };
            if span.floor > after {
                let known = found.floor.map_or(overflow, |_| found.overflow);
                found.overflow = known.max(overflow);
                found.floor = found.floor.max(Some(span.floor));
            }
            if !span.complete {
                let last = found.events[begin..].last().map_or(after, |event| event.seq);
                found.reached_seq = found.reached_seq.min(last);
            }
            if overflow == Overflow::Conflate && join.is_none() {
                // What is not for this stream must not take the place of what is.
                found.keep(begin, |event| self.is_for(id.slot, event));
                found.conflate(begin);
            }
        }
        found.events.sort_unstable_by_key(|event| event.seq);
        found.events.dedup_by_key(|event| event.seq);
        found.reached_seq = found.reached_seq.max(position.min(until));
        Some(found)
    }

    /// What the stream has to be told about a hole between its position and what was found.
    pub(super) fn gap_of(&mut self, id: ConnId, found: &Found, position: u64) -> Gap {
        let epoch = self.node.journal.epoch();
        let last_seq = self.last_seq;
        let Some(conn) = self.conns.get_mut(id) else { return Gap::None };
        let join = conn.extra.as_mut().and_then(|extra| extra.join.as_mut());
        let told_seq = join.as_ref().map_or(0, |join| join.told_seq);
        let (requested, reason, resumed_at, jumps) = match join {
            Some(join) if !join.checked => {
                join.checked = true;
                let (asked, reason, resumed_at) =
                    match (join.requested.clone(), join.foreign, found.floor) {
                        (Some(asked), true, floor) => {
                            (asked, GapReason::Epoch, floor.unwrap_or(position))
                        }
                        (Some(asked), false, Some(floor)) => (asked, GapReason::Expired, floor),
                        _ => return Gap::None,
                    };
                // One channel's hole: what its others hold still follows.
                join.told_seq = resumed_at;
                (asked, reason, resumed_at, false)
            }
            _ => match (found.floor.filter(|floor| *floor > told_seq), found.overflow) {
                (None, _) => return Gap::None,
                // A poll ends with its answer anyway: that says it.
                (Some(_), Overflow::Disconnect) if conn.form != Form::Poll => return Gap::End,
                (floor, overflow) => {
                    let requested = EventId { epoch, seq: position }.to_string();
                    let skip = overflow == Overflow::Skip;
                    let resumed_at = floor.filter(|_| !skip).unwrap_or(last_seq);
                    if let Some(extra) = conn.extra.as_mut().filter(|_| skip) {
                        extra.join = None;
                    }
                    let jumps = skip || conn.form != Form::Poll;
                    (requested, GapReason::Overflow, resumed_at, jumps)
                }
            },
        };
        if jumps {
            conn.position = conn.position.max(resumed_at);
        }
        self.node.counters[self.index].gaps.add(1);
        let id = EventId { epoch, seq: resumed_at };
        let gap = ControlEvent::Gap { requested, resumed_at: id, reason, missed: None };
        Gap::Told(gap, jumps.then_some(resumed_at))
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
            if used > 0 && used + event.frame.wire().len() > self.pace.run_bytes_max {
                return last;
            }
            last = event.seq;
            if self.is_for(id.slot, event) {
                let origin = Origin::Held(Arc::clone(event));
                let channel = if form.is_shared() { "" } else { self.channel_for(id.slot, event) };
                put_event(&mut self.outbox, &self.node, form, event, channel, origin);
            }
        }
        found.reached_seq.max(position)
    }

    /// Writes down how far the stream has come, and whether it is live now. True when its join is
    /// over once this has left.
    fn settle(&mut self, id: ConnId, reached: u64) -> bool {
        let last_seq = self.last_seq;
        let Some(conn) = self.conns.get_mut(id) else { return false };
        conn.position = conn.position.max(reached);
        let extra = conn.extra.as_ref();
        let join = extra.and_then(|extra| extra.join.as_ref());
        let joined = join.is_some_and(|join| reached >= join.until_seq);
        let joining = join.is_some() && !joined;
        let say_so = joined && extra.is_some_and(|extra| extra.control_on);
        conn.position += u64::from(joined && is_planted(Planted::LateJoin));
        if joining || conn.position < last_seq {
            self.fall_behind(id.slot);
        } else {
            conn.behind = false;
            self.lagging = self.lagging.saturating_sub(usize::from(conn.state == State::Streaming));
        }
        if say_so {
            self.put_control(id, &ControlEvent::CaughtUp, None);
        }
        joined
    }

    /// All that the join had to bring has left.
    pub(super) fn end_join(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let Some(extra) = conn.extra.as_mut() else { return };
        extra.join = None;
        conn.tidy();
    }

    /// Plans what was put into the arena since `start`. False when that is nothing.
    pub(super) fn plan_range(
        &mut self,
        id: ConnId,
        start: (usize, usize),
        position_before: u64,
        past: Past,
    ) -> bool {
        let (end, pieces_end) = self.outbox.mark();
        let (number, now_ms) = (self.outbox.number, wrap_ms(self.now.mono_ms));
        let Some(conn) = self.conns.get_mut(id).filter(|_| end > start.0) else { return false };
        conn.planned = number;
        conn.sent_at_ms = now_ms;
        self.outbox.plan(Plan {
            id,
            sock: conn.sock,
            bytes: start.0..end,
            pieces: start.1..pieces_end,
            position_before,
            past,
            last: false,
        });
        true
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
