//! A worker goes on with the connections of another process.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::record::{
    ConnRecord, ExtraRecord, HalfRead, HalfRecord, LinkRecord, RequestRecord, WorkerRecord,
};
use crate::conn::State;
use crate::driver::error::Errno;
use crate::driver::{ConnId, Driver, Sock};
use crate::journal::Event;
use crate::obs::EventKind;
use crate::proto::channel::Selector;
use crate::proto::http::{HeadLimits, Parsed, Scan, parse_head};
use crate::worker::Worker;
use crate::worker::conns::{Conn, Conns, Extra, Form, Half, Request};
use crate::worker::late::Late;
use crate::worker::route::{Awaited, Next};

impl<D: Driver> Worker<D> {
    /// Takes the sockets of a record, in its order and perhaps in parts. Nothing is asked of them
    /// yet.
    ///
    /// # Errors
    /// What the kernel says; ENFILE where they are more than fit.
    pub fn adopt(&mut self, sockets: Vec<OwnedFd>) -> Result<Vec<Sock>, Errno> {
        self.driver.adopt(sockets)
    }

    /// Goes on with the connections of a record, whose sockets are these. Before it turns for the
    /// first time, on a node that was restored.
    ///
    /// # Errors
    /// There are more or fewer sockets than connections, or an event cannot be read.
    pub fn restore(&mut self, record: WorkerRecord, socks: &[Sock]) -> Result<(), Errno> {
        let sound = record.events.iter().all(|half| half.event.frame.is_sound());
        if socks.len() != record.conns.len() || !sound {
            return Err(Errno(libc::EBADMSG));
        }
        let events: Vec<Arc<Event>> = record
            .events
            .into_iter()
            .map(|half| match half.segment {
                None => half.event,
                Some(segment) => {
                    let mut event = Event::clone(&half.event);
                    event.frame = event.frame.with_segment(segment.into());
                    Arc::new(event)
                }
            })
            .collect();
        let mut all = Vec::with_capacity(record.conns.len());
        for (mut conn, sock) in record.conns.into_iter().zip(socks) {
            let id = ConnId { slot: conn.slot, generation: conn.generation };
            self.link_again(id.slot, &mut conn);
            if let Some(half) = conn.request.as_mut().and_then(|request| request.half.take()) {
                self.half_read.push((id, half));
            }
            all.push((id.slot, restore_conn(conn, *sock, &events)));
        }
        self.conns = Conns::take_over(all, record.slots, record.next_generation);
        self.late = Late::restore(record.late, self.node.held.opens_at_ms());
        // The first turn does for all of them what a call-off does.
        self.holding = true;
        Ok(())
    }

    fn link_again(&mut self, slot: u32, conn: &mut ConnRecord) {
        if let Some(id) = conn.token_id {
            self.token_ids.insert(slot, id);
        }
        if let Some(key) = conn.address {
            self.own_caps.addresses.insert(slot, key);
        }
        let Some(links) = conn.links.take() else { return };
        self.streams += 1;
        self.lagging += usize::from(conn.behind && conn.state == State::Streaming);
        if conn.form != Form::Poll {
            self.node.admission.streams.fetch_add(1, Ordering::Relaxed);
        }
        self.hub.expect_links(slot, links.len());
        for link in links {
            let selector = match link {
                LinkRecord::Channel(name) => Selector::Name(name.as_ref().to_owned()),
                LinkRecord::Pattern(pattern) => Selector::Pattern(pattern),
            };
            self.link_one(slot, &selector);
        }
        // What it was linked to is needed no more; that it is linked is.
        conn.links = Some(Vec::new());
    }

    /// Goes on reading a body by the head of its request.
    pub(super) fn read_body_on(&mut self, id: ConnId, half: HalfRead) {
        let HalfRead { head: bytes, body, content, lines, deadline_ms } = half;
        // It was within the limits when it came.
        let limits = HeadLimits { bytes_max: usize::MAX, fields_max: usize::MAX };
        let Parsed::Complete { head, .. } = parse_head(&bytes, &mut Scan::default(), &limits)
        else {
            return self.abort(id);
        };
        match self.route(id, &head) {
            Next::Body(_, mut awaited) => {
                if let (Awaited::Publish(publish), Some(lines)) = (&mut awaited, lines) {
                    publish.go_on_after(lines);
                }
                self.take_next(id, Next::Body(body, awaited));
                if let Some(request) = self.request_of(id) {
                    request.content = content;
                    request.deadline_ms = deadline_ms;
                    request.head = Some(bytes.as_slice().into());
                }
            }
            // It is refused now: a token has ended meanwhile, say. What follows is its body.
            next => {
                if let Some(request) = self.request_of(id) {
                    request.close_after = true;
                }
                self.take_next(id, next);
                self.answer(id);
            }
        }
    }
}

fn restore_conn(record: ConnRecord, sock: Sock, events: &[Arc<Event>]) -> Conn {
    let extra = record.extra.map(|extra| Box::new(restore_extra(*extra)));
    let half_read = record.state == State::Body;
    let mut conn = Conn {
        sock,
        generation: record.generation,
        // It is read on by its head.
        state: if half_read { State::Head } else { record.state },
        form: record.form,
        heartbeat: record.heartbeat,
        behind: record.behind,
        linked: record.links.is_some(),
        position: record.position,
        sent_at_ms: record.sent_at_ms,
        since_ms: record.since_ms,
        behind_since_ms: record.behind_since_ms,
        expires_unix_s: record.expires_unix_s,
        request: record.request.map(|request| Box::new(restore_request(*request))),
        extra,
        ..Conn::nobody()
    };
    let half = record.half.and_then(|half| match half {
        HalfRecord::Bytes(bytes, position) => {
            Some(Half::Bytes(bytes.into(), position, EventKind::OTHER))
        }
        HalfRecord::Event(at, sent) => {
            let event = events.get(at as usize)?;
            Some(Half::Event(Arc::clone(event), usize::try_from(sent).ok()?))
        }
    });
    conn.keep_half(half);
    conn
}

fn restore_extra(record: ExtraRecord) -> Extra {
    let mut extra = Extra::default();
    extra.events = record.events;
    extra.user = record.user;
    extra.join = record.join;
    extra.control_off = record.control_off;
    extra.control_on = record.control_on;
    extra.expiry_told = record.expiry_told;
    extra.poll_until_ms = record.poll_until_ms;
    extra
}

fn restore_request(record: RequestRecord) -> Request {
    Request {
        buffer: record.buffer,
        begun: record.begun,
        close_after: record.close_after,
        origin: record.origin,
        ..Request::new(record.peer, record.awaits_proxy, record.deadline_ms)
    }
}
