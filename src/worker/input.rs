//! From received bytes to requests, and their answers on the way out.

use std::net::IpAddr;

use super::Worker;
use super::conns::{Half, Request, wrap_ms};
use super::outbox::{Origin, Past, Plan};
use super::route::{Awaited, Next};
use crate::conn::{Operation, State, Step};
use crate::driver::{ConnId, Driver, Received, Sock};
use crate::obs::EventKind;
use crate::proto::http::{CONTINUE, Parsed, Problem, Scan, parse_head};
use crate::proto::proxy_header;

impl<D: Driver> Worker<D> {
    pub(super) fn accept(&mut self, sock: Sock, peer: IpAddr) {
        self.node.counters[self.index].accepts.add(1);
        let options = &self.live.options;
        // A draining node waits for nobody who has not asked anything yet.
        let timeout_ms = match self.drain {
            Some(_) => options.head_timeout_ms.min(options.linger_ms),
            None => options.head_timeout_ms,
        };
        let deadline_ms = self.now.mono_ms + timeout_ms;
        let awaits_proxy = options.proxy_protocol && options.trusted.contains(peer);
        let request = Box::new(Request::new(peer, awaits_proxy, deadline_ms));
        let id = self.conns.insert(sock, request, self.now.mono_ms);
        self.offer_room();
        self.schedule(id, deadline_ms);
        self.arm_receive(id);
    }

    /// Tells the driver how many more connections fit.
    pub(super) fn offer_room(&mut self) {
        let capacity = self.live.options.connections_max.min(self.driver.capacity());
        self.driver.accept_room(capacity.saturating_sub(self.conns.len()));
    }

    pub(super) fn arm_receive(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id).filter(|_| !self.holding) else { return };
        let sock = conn.sock;
        if conn.armed.insert(Operation::Receive) {
            self.driver.receive(sock, id);
        }
    }

    /// The same where all input has just been read.
    fn arm_receive_later(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id).filter(|_| !self.holding) else { return };
        let sock = conn.sock;
        if conn.armed.insert(Operation::Receive) {
            self.driver.receive_later(sock, id);
        }
    }

    pub(super) fn receive(&mut self, id: ConnId, data: Received) {
        let Some(conn) = self.conns.disarm(id, Operation::Receive) else {
            return self.driver.recycle(data);
        };
        match conn.state {
            State::Head | State::Body => {}
            State::Closing | State::Closed => {
                self.driver.recycle(data);
                return self.try_close(id);
            }
            State::Parked | State::Answering | State::Polling => {
                // The next request; it is read when this one is answered.
                if let Some(request) = conn.request.as_mut().filter(|r| !r.is_last()) {
                    request.buffer.extend_from_slice(self.driver.received(&data));
                    return self.driver.recycle(data);
                }
                self.driver.recycle(data);
                return self.arm_receive(id);
            }
            State::Streaming | State::Lingering => {
                // Bytes behind a stream's request, or after the last answer, mean nothing.
                self.driver.recycle(data);
                return self.arm_receive(id);
            }
        }
        let held = conn.request.as_mut().map(|request| std::mem::take(&mut request.buffer));
        let mut input = match held {
            Some(held) if !held.is_empty() => held,
            _ => std::mem::take(&mut self.input),
        };
        input.extend_from_slice(self.driver.received(&data));
        self.driver.recycle(data);
        self.process(id, input);
    }

    pub(super) fn receive_ended(&mut self, id: ConnId, errno: i32) {
        if self.conns.disarm(id, Operation::Receive).is_none() {
            return;
        }
        if errno == libc::ECANCELED && self.conns.get(id).is_some_and(|c| !c.state.is_closing()) {
            // Taken back by us, and meanwhile perhaps no longer wanted back.
            return self.read_on(id);
        }
        if errno == libc::ENOBUFS {
            return self.arm_receive(id);
        }
        self.abort(id);
        self.try_close(id);
    }

    /// Runs all complete requests in `input`, keeps what is left of it, and answers.
    pub(super) fn process(&mut self, id: ConnId, input: Vec<u8>) {
        let mut at = 0;
        while let Some(conn) = self.conns.get_mut(id).filter(|_| !self.holding) {
            let closing = conn.request.as_ref().is_none_or(|request| request.is_last());
            let rest = &input[at..];
            let used = match conn.state {
                State::Head if !closing && !rest.is_empty() => self.read_head(id, rest),
                State::Body if !closing => self.read_body(id, rest),
                _ => None,
            };
            match used {
                Some(used) => at += used,
                None => break,
            }
        }
        self.keep(id, input, at);
        self.answer(id);
        self.go_on(id);
    }

    /// Keeps unused input with the connection, or gives the buffer back to the worker.
    fn keep(&mut self, id: ConnId, mut input: Vec<u8>, used: usize) {
        let request = self.conns.get_mut(id).and_then(|conn| conn.request.as_mut());
        match request {
            Some(request) if used < input.len() && !request.is_last() => {
                input.drain(..used);
                request.buffer = input;
            }
            _ => {
                input.clear();
                input.shrink_to(64 << 10);
                self.input = input;
            }
        }
    }

    /// Waits for input again, after it was taken back from the kernel.
    pub(super) fn read_on(&mut self, id: ConnId) {
        match self.conns.get(id).map(|conn| conn.state) {
            Some(State::Lingering) => self.arm_receive(id),
            _ => self.go_on(id),
        }
    }

    /// Reads on, where the connection reads.
    pub(super) fn go_on(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get(id) else { return };
        match conn.state {
            State::Head => self.arm_receive_later(id),
            // The rest of a body is mostly there already.
            State::Body => self.arm_receive(id),
            _ => {}
        }
    }

    /// One head from the beginning of `input`: the bytes used, none when it is not complete.
    fn read_head(&mut self, id: ConnId, input: &[u8]) -> Option<usize> {
        let limits = self.live.options.head;
        let (now_ms, head_timeout_ms) = (self.now.mono_ms, self.live.options.head_timeout_ms);
        let conn = self.conns.get_mut(id)?;
        let request = conn.request.as_mut()?;
        if request.awaits_proxy {
            return self.read_proxy_header(id, input);
        }
        match parse_head(input, &mut request.scan, &limits) {
            Parsed::Partial => {
                if !std::mem::replace(&mut request.begun, true) {
                    request.deadline_ms = request.deadline_ms.min(now_ms + head_timeout_ms);
                    let deadline_ms = request.deadline_ms;
                    self.schedule(id, deadline_ms);
                }
                None
            }
            Parsed::Invalid(error) => {
                request.close_after = true;
                let problem = Problem::new(error.status(), "bad-request", error.to_string());
                self.refuse(id, &problem, false);
                None
            }
            Parsed::Complete { head, len } => {
                request.begun = true;
                request.scan = Scan::default();
                request.close_after = !head.keeps_alive();
                request.origin = head.field("origin").map(Into::into);
                self.node.counters[self.index].requests.add(1);
                let next = self.route(id, &head);
                if matches!(next, Next::Body(..)) && head.expects_continue() && input.len() == len {
                    self.out.extend_from_slice(CONTINUE);
                }
                let (head, rest) = input.split_at(len);
                let half = matches!(&next, Next::Body(body, _) if !body.is_all_in(rest));
                self.take_next(id, next);
                if half && let Some(request) = self.request_of(id) {
                    request.head = Some(head.into());
                }
                Some(len)
            }
        }
    }

    /// What a balancer puts in front of the first request: whom it forwards.
    fn read_proxy_header(&mut self, id: ConnId, input: &[u8]) -> Option<usize> {
        let request = self.conns.get_mut(id)?.request.as_mut()?;
        match proxy_header::parse(input) {
            proxy_header::Parsed::Partial => None,
            // Whatever this is, it is not what the balancer was said to send.
            proxy_header::Parsed::Invalid(_) => {
                self.node.counters[self.index].refusals.add(1);
                self.abort(id);
                None
            }
            proxy_header::Parsed::Complete { source, len } => {
                request.awaits_proxy = false;
                if let Some(source) = source {
                    request.peer = source.ip();
                }
                Some(len)
            }
        }
    }

    /// Takes the step that follows a head.
    pub(super) fn take_next(&mut self, id: ConnId, next: Next) {
        let deadline_ms = self.now.mono_ms + self.live.options.body_timeout_ms;
        match next {
            Next::Answered => self.answered(id),
            Next::Waiting => {}
            Next::Body(body, awaited) => {
                let Some(conn) = self.conns.get_mut(id) else { return };
                conn.step(Step::BodyExpected);
                if let Some(request) = conn.request.as_mut() {
                    request.body = Some((body, awaited));
                    request.content.clear();
                    request.deadline_ms = deadline_ms;
                }
                self.schedule(id, deadline_ms);
            }
        }
    }

    /// The request is answered: the connection is idle, or ends after the answer.
    pub(super) fn answered(&mut self, id: ConnId) {
        let idle_until_ms = self.now.mono_ms + self.live.options.idle_timeout_ms;
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.step(Step::Answered);
        if let Some(request) = conn.request.as_mut() {
            request.begun = false;
            request.deadline_ms = idle_until_ms;
        }
    }

    /// Body bytes: the number used, none when more must come.
    fn read_body(&mut self, id: ConnId, input: &[u8]) -> Option<usize> {
        let timeout_ms = self.live.options.body_timeout_ms;
        let now_ms = self.now.mono_ms;
        let request = self.conns.get_mut(id)?.request.as_mut()?;
        let (body, awaited) = request.body.as_mut()?;
        let fed = match body.feed(input, &mut request.content) {
            Ok(fed) => fed,
            Err(error) => {
                request.close_after = true;
                request.body = None;
                let problem = Problem::new(error.status(), "bad-body", error.to_string());
                self.refuse(id, &problem, false);
                return None;
            }
        };
        if awaited.is_stream() {
            request.deadline_ms = now_ms + timeout_ms;
            return self.read_lines(id, fed);
        }
        if !fed.done {
            return (fed.used > 0).then_some(fed.used);
        }
        let (_, awaited) = request.body.take()?;
        request.head = None;
        let content = std::mem::take(&mut request.content);
        request.deadline_ms = u64::MAX;
        match awaited {
            Awaited::Publish(publish) => self.publish_body(id, *publish, &content),
            Awaited::Subscribe(wish) => self.subscribe_body(id, *wish, &content),
            Awaited::Change(request) => self.change_body(id, *request, &content),
        }
        if let Some(request) = self.conns.get_mut(id).and_then(|conn| conn.request.as_mut()) {
            request.content = content;
            request.content.clear();
            request.content.shrink_to(16 << 10);
        }
        Some(fed.used)
    }

    /// The request that a connection reads.
    pub(super) fn request_of(&mut self, id: ConnId) -> Option<&mut Request> {
        self.conns.get_mut(id)?.request.as_deref_mut()
    }

    /// Plans the answers gathered so far.
    pub(super) fn answer(&mut self, id: ConnId) {
        if self.out.is_empty() {
            return;
        }
        if self.conns.get(id).is_some_and(|conn| conn.planned == self.outbox.number) {
            self.flush();
        }
        let (number, now_ms) = (self.outbox.number, wrap_ms(self.now.mono_ms));
        let Some(conn) = self.conns.get_mut(id).filter(|conn| !conn.state.is_ending()) else {
            return self.out.clear();
        };
        if conn.state == State::Answering {
            // What was flushed just now did not fit: this follows it.
            let mut rest = match conn.take_half() {
                Some(Half::Bytes(bytes, ..)) => bytes.into_vec(),
                _ => Vec::new(),
            };
            rest.append(&mut self.out);
            conn.keep_half(Some(Half::Bytes(rest.into_boxed_slice(), None, EventKind::OTHER)));
            return;
        }
        conn.planned = number;
        conn.sent_at_ms = now_ms;
        let last = conn.request.as_ref().is_some_and(|request| request.is_last())
            && !matches!(conn.state, State::Polling | State::Streaming);
        let (sock, position_before) = (conn.sock, conn.position);
        let (start, pieces) = self.outbox.mark();
        self.outbox.bytes.append(&mut self.out);
        self.outbox.end_piece(None, 0, Origin::Arena);
        let end = self.outbox.bytes.len();
        self.outbox.plan(Plan {
            id,
            sock,
            bytes: start..end,
            pieces: pieces..pieces + 1,
            position_before,
            past: Past::default(),
            last,
        });
    }

    /// The rest of an answer that did not fit.
    pub(super) fn continue_answer(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        if let Some(Half::Bytes(bytes, ..)) = conn.take_half() {
            self.out.extend_from_slice(&bytes);
        }
        conn.step(Step::Unclog);
        self.take_up(id);
        self.answer(id);
        self.flush();
        self.hear_late(id);
        let reads = |state| matches!(state, State::Head | State::Body);
        if self.conns.get(id).is_some_and(|conn| reads(conn.state)) {
            self.resume_input(id);
        }
    }

    /// An answer clogged while the next request was under way already: goes on with that.
    fn take_up(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let Some(request) = conn.request.as_ref() else { return };
        if request.job.is_some() {
            conn.step(Step::Park);
            if !self.parked.contains(&id) {
                self.parked.push_back(id);
            }
        } else if request.asks.is_some() {
            conn.step(Step::Park);
            self.take_answer(id);
        } else if request.waiting.is_some() {
            conn.step(Step::Park);
        } else if request.body.is_some() {
            conn.step(Step::BodyExpected);
        } else if conn.linked {
            conn.step(Step::Poll);
            self.fall_behind(id.slot);
        }
    }
}

impl Request {
    pub(super) fn new(peer: IpAddr, awaits_proxy: bool, deadline_ms: u64) -> Self {
        Self {
            peer,
            awaits_proxy,
            buffer: Vec::new(),
            scan: Scan::default(),
            body: None,
            head: None,
            content: Vec::new(),
            deadline_ms,
            begun: false,
            close_after: false,
            origin: None,
            job: None,
            asks: None,
            waiting: None,
        }
    }

    /// The connection ends once what was asked is answered; nothing more of it is read.
    fn is_last(&self) -> bool {
        let Self { body, job, asks, waiting, .. } = self;
        let busy = body.is_some() || job.is_some() || asks.is_some() || waiting.is_some();
        self.close_after && !busy
    }
}
