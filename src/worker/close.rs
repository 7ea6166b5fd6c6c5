//! Endings: said, shut, drained, joined, closed, in this order.

use super::Worker;
use super::conns::{Form, wrap_ms};
use super::outbox::{Origin, Past, Plan};
use crate::conn::{Operation, State, Step};
use crate::driver::{ConnId, Driver, Shut};
use crate::hub::TopicName;
use crate::proto::sse::{ByeReason, ControlEvent};
use std::sync::Arc;

impl<D: Driver> Worker<D> {
    /// Tells a stream that it ends, and why.
    pub(super) fn bye(&mut self, id: ConnId, reason: ByeReason, reconnect: bool) {
        if self.conns.get(id).is_some_and(|conn| conn.planned == self.outbox.number) {
            self.flush();
        }
        let Some(conn) = self.conns.get_mut(id) else { return };
        self.node.counters[self.index].byes.add(1);
        if conn.state != State::Streaming || conn.armed.contains(Operation::Writable) {
            // Its buffer is full: nothing more can be said.
            return self.abort(id);
        }
        let (start, pieces) = self.outbox.mark();
        let before = conn.position;
        self.put_half(id);
        let position = self.conns.get(id).map_or(before, |conn| conn.position);
        let cursor = self.cursor(position);
        self.put_control(id, &ControlEvent::Bye { reason, reconnect, cursor }, None);
        let (end, pieces_end) = self.outbox.mark();
        if end == start {
            return self.finish(id);
        }
        let number = self.outbox.number;
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.planned = number;
        let plan = Plan {
            id,
            sock: conn.sock,
            bytes: start..end,
            pieces: pieces..pieces_end,
            position_before: before,
            past: Past { behind: conn.behind, joined: false },
            last: true,
        };
        self.outbox.plan(plan);
        self.flush();
    }

    /// Puts a control event into the arena, if the stream carries it. `seq` is the stream's
    /// position once it has left.
    pub(super) fn put_control(
        &mut self,
        id: ConnId,
        event: &ControlEvent,
        seq: Option<u64>,
    ) -> bool {
        let Some(conn) = self.conns.get(id) else { return false };
        if conn.extra.as_ref().is_some_and(|extra| extra.control_off) {
            return false;
        }
        match conn.form {
            Form::Ndjson => event.write_json(&mut self.outbox.bytes),
            Form::Poll => return false,
            form => self.outbox.push_text(form, |bytes| event.write(bytes)),
        }
        let gap = matches!(event, ControlEvent::Gap { .. });
        let origin = if gap { Origin::Gap } else { Origin::Control };
        self.outbox.end_piece(seq, 0, origin);
        true
    }

    /// The last bytes have left: our half is shut, and input drained until the peer closes. A
    /// socket closed with unread input sends a reset, which can overtake the last bytes.
    pub(super) fn finish(&mut self, id: ConnId) {
        self.leave_hub(id);
        let until_ms = self.now.mono_ms + self.live.options.linger_ms;
        let Some(conn) = self.conns.get_mut(id) else { return };
        if conn.state.is_ending() || !conn.step(Step::Finish) {
            return;
        }
        let sock = conn.sock;
        self.driver.shutdown(sock, Shut::Write);
        self.arm_receive(id);
        self.schedule(id, until_ms);
    }

    /// Ends a connection without another word.
    pub(super) fn abort(&mut self, id: ConnId) {
        self.leave_hub(id);
        let Some(conn) = self.conns.get_mut(id) else { return };
        if matches!(conn.state, State::Closing | State::Closed) {
            return;
        }
        conn.step(Step::Abort);
        conn.extra = None;
        let request = conn.request.take();
        let (sock, armed) = (conn.sock, conn.armed);
        if let Some(request) = request {
            if let Some(mut job) = request.job {
                self.leave_parked(&mut job);
            }
            if let Some(waiting) = request.waiting {
                self.stop_waiting(id, &waiting);
            }
        }
        if !armed.is_empty() {
            // Completes whatever is armed.
            self.driver.shutdown(sock, Shut::Both);
        }
        self.try_close(id);
    }

    /// Closes the socket once the kernel holds nothing of it any more.
    pub(super) fn try_close(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        if conn.state == State::Closing && conn.armed.is_empty() {
            conn.step(Step::Quiet);
            let sock = conn.sock;
            self.driver.close(sock, id);
        }
    }

    pub(super) fn closed(&mut self, id: ConnId) {
        self.conns.remove(id);
        self.node.counters[self.index].closes.add(1);
        self.offer_room();
    }

    /// Takes a stream or waiting poll out of all topics.
    pub(super) fn leave_hub(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id).filter(|conn| conn.linked) else { return };
        conn.linked = false;
        let counted = conn.form != Form::Poll;
        let age_ms = wrap_ms(self.now.mono_ms).wrapping_sub(conn.since_ms);
        if std::mem::take(&mut conn.behind) && conn.state == State::Streaming {
            self.lagging = self.lagging.saturating_sub(1);
        }
        self.streams -= 1;
        self.forget_token(id.slot);
        if counted {
            self.node.measures[self.index].lifetime_ms.add(age_ms.into(), 1);
            self.leave_caps(id);
            self.leave_presence(id.slot);
        }
        let (journal, now_ms) = (Arc::clone(&self.node.journal), self.now.mono_ms);
        self.hub.unlink(id.slot, |name| {
            if let TopicName::Channel(name) = name {
                journal.detach(&journal.key_of(name), now_ms);
            }
        });
    }
}
