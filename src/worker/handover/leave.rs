//! Writing a worker down.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::record::{
    ConnRecord, ExtraRecord, HalfEvent, HalfRead, HalfRecord, LinkRecord, RequestRecord,
    WorkerRecord,
};
use crate::conn::State;
use crate::driver::error::Errno;
use crate::driver::{ConnId, Driver, Sock};
use crate::hub::TopicName;
use crate::worker::Worker;
use crate::worker::conns::{Conn, Extra, Form, Half, Request};
use crate::worker::route::Awaited;

/// Events of which some stream has got a part, each once.
#[derive(Debug, Default)]
struct Halves {
    events: Vec<HalfEvent>,
    by_seq: HashMap<u64, u32>,
}

impl<D: Driver> Worker<D> {
    /// All that it knows of its connections, and their sockets in the same order. It must rest;
    /// nothing of it is changed.
    #[must_use]
    pub fn record(&self) -> (WorkerRecord, Vec<Sock>) {
        let (mut conns, mut socks, mut halves) = (Vec::new(), Vec::new(), Halves::default());
        for id in self.conns.ids() {
            let Some(conn) = self.conns.get(id).filter(|conn| !conn.state.is_closing()) else {
                continue;
            };
            conns.push(self.record_conn(id, conn, &mut halves));
            socks.push(conn.sock);
        }
        let record = WorkerRecord {
            slots: self.conns.slots(),
            next_generation: self.conns.next_generation(),
            conns,
            events: halves.events,
            late: self.late.record(),
        };
        (record, socks)
    }

    /// Plain descriptors of sockets, for another process. The sockets stay as they are.
    ///
    /// # Errors
    /// What the kernel says: EMFILE where they are too many at once.
    pub fn lend(&mut self, socks: &[Sock]) -> Result<Vec<OwnedFd>, Errno> {
        self.driver.duplicate(socks)
    }

    fn record_conn(&self, id: ConnId, conn: &Conn, halves: &mut Halves) -> ConnRecord {
        let is_stream = conn.state == State::Streaming || conn.linked && conn.form == Form::Poll;
        // At rest a live stream has got all there is, its position notwithstanding.
        let position = if is_stream && !conn.behind { self.last_seq } else { conn.position };
        let links = conn.linked.then(|| {
            let topics = self.hub.topics_of(id.slot).filter_map(|topic| self.hub.topic(topic));
            topics
                .map(|topic| match &topic.name {
                    TopicName::Channel(name) => LinkRecord::Channel(Arc::clone(name)),
                    TopicName::Pattern(pattern) => LinkRecord::Pattern((**pattern).clone()),
                })
                .collect()
        });
        ConnRecord {
            slot: id.slot,
            generation: id.generation,
            state: conn.state,
            form: conn.form,
            heartbeat: conn.heartbeat,
            behind: conn.behind,
            position,
            sent_at_ms: conn.sent_at_ms,
            since_ms: conn.since_ms,
            behind_since_ms: conn.behind_since_ms,
            expires_unix_s: conn.expires_unix_s,
            links,
            token_id: self.token_ids.get(&id.slot).copied(),
            address: self.own_caps.addresses.get(&id.slot).copied(),
            half: conn.half().map(|half| halves.record(half, conn.form)),
            extra: conn.extra.as_deref().map(record_extra),
            request: conn.request.as_deref().map(|request| Box::new(record_request(request))),
        }
    }
}

impl Halves {
    fn record(&mut self, half: &Half, form: Form) -> HalfRecord {
        let (event, sent) = match half {
            Half::Bytes(bytes, position, _) => return HalfRecord::Bytes(bytes.to_vec(), *position),
            Half::Event(event, sent) => (event, sent),
        };
        let events = &mut self.events;
        let at = *self.by_seq.entry(event.seq).or_insert_with(|| {
            events.push(HalfEvent { event: Arc::clone(event), segment: None });
            u32::try_from(events.len() - 1).unwrap_or(u32::MAX)
        });
        if form == Form::Gzip
            && let Some(known) = self.events.get_mut(at as usize)
        {
            known.segment = event.frame.made_segment().map(<[u8]>::to_vec);
        }
        HalfRecord::Event(at, *sent as u64)
    }
}

fn record_extra(extra: &Extra) -> Box<ExtraRecord> {
    Box::new(ExtraRecord {
        events: extra.events.clone(),
        user: extra.user.clone(),
        join: extra.join.clone(),
        control_off: extra.control_off,
        control_on: extra.control_on,
        expiry_told: extra.expiry_told,
        poll_until_ms: extra.poll_until_ms,
    })
}

fn record_request(request: &Request) -> RequestRecord {
    let half = request.body.as_ref().zip(request.head.as_ref()).map(|((body, awaited), head)| {
        let lines = match awaited {
            Awaited::Publish(publish) if publish.is_stream() => Some(publish.lines().clone()),
            _ => None,
        };
        HalfRead {
            head: head.to_vec(),
            body: body.clone(),
            content: request.content.clone(),
            lines,
            deadline_ms: request.deadline_ms,
        }
    });
    RequestRecord {
        peer: request.peer,
        awaits_proxy: request.awaits_proxy,
        buffer: request.buffer.clone(),
        deadline_ms: request.deadline_ms,
        begun: request.begun,
        close_after: request.close_after,
        origin: request.origin.clone(),
        half,
    }
}
