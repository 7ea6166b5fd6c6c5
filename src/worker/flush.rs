//! Handing the planned sends to the kernel, and mending what did not leave whole.

use std::sync::Arc;

use super::Worker;
use super::conns::{Half, wrap_ms};
use super::outbox::{Origin, Piece, Plan};
use crate::conn::{Operation, State, Step};
use crate::driver::{Completion, Driver};
use crate::journal::short_us;

impl<D: Driver> Worker<D> {
    /// Sends all that is planned. When it returns the arena is free again, and every stream's
    /// position says what has really left.
    pub(super) fn flush(&mut self) {
        if self.outbox.plans.is_empty() {
            debug_assert!(self.outbox.bytes.is_empty(), "bytes that nobody is sent");
            return;
        }
        self.driver.send(&mut self.outbox.outgoing());
        let before = self.inbox.len();
        self.driver.completions(&mut self.inbox);
        let mut bytes = self.outbox.count_planned();
        let mut failed = std::mem::take(&mut self.failed);
        failed.clear();
        failed.resize(self.outbox.plans.len(), false);
        // Only short and failed sends are told; the other completions wait for the next turn.
        let mut at = before;
        while at < self.inbox.len() {
            let Completion::Sent { token, result } = self.inbox[at] else {
                at += 1;
                continue;
            };
            self.inbox.swap_remove(at);
            if let Some(plan) = self.outbox.plans.get(token as usize).cloned() {
                failed[token as usize] = true;
                let taken = result.unwrap_or_default();
                self.outbox.uncount(&plan, taken);
                bytes -= plan.bytes.len().saturating_sub(taken);
                self.mend(&plan, result);
            }
        }
        let counters = &self.node.counters[self.index];
        counters.flushes.add(1);
        counters.sends.add(self.outbox.plans.len() as u64);
        counters.sent_bytes.add(bytes as u64);
        self.count_sent();
        self.finish_planned(&failed);
        self.failed = failed;
        self.outbox.clear();
    }

    /// Counts the events that have left, by name and by the time they took.
    fn count_sent(&mut self) {
        let now_us = short_us(self.driver.now().mono_us);
        let measures = &self.node.measures[self.index];
        let mut events = 0;
        for sent in self.outbox.sent() {
            events += sent.streams;
            measures.sent(sent.kind, sent.streams);
            if let Some(appended_us) = sent.appended_us {
                let took_us = u64::from(now_us.wrapping_sub(appended_us));
                measures.latency_us.add(took_us, sent.streams);
            }
        }
        self.node.counters[self.index].deliveries.add(events);
    }

    /// Ends the connections whose last bytes have left whole, and the joins.
    fn finish_planned(&mut self, failed: &[bool]) {
        let plans = std::mem::take(&mut self.outbox.plans);
        for (plan, failed) in plans.iter().zip(failed) {
            if plan.last && !failed {
                self.finish(plan.id);
            } else if plan.past.joined && !failed {
                self.end_join(plan.id);
            }
        }
        self.outbox.plans = plans;
    }

    /// A send was short or failed: sets the position back to the last whole frame and keeps one
    /// reference to the half-sent one.
    fn mend(&mut self, plan: &Plan, result: Result<usize, i32>) {
        let counters = &self.node.counters[self.index];
        let taken = match result {
            Ok(taken) => taken,
            Err(_) => {
                counters.sends_failed.add(1);
                self.abort(plan.id);
                return;
            }
        };
        counters.sends_short.add(1);
        let cut = plan.bytes.start + taken;
        let pieces = &self.outbox.pieces[plan.pieces.clone()];
        let whole = pieces.partition_point(|piece| piece.end <= cut);
        let start = whole.checked_sub(1).map_or(plan.bytes.start, |last| pieces[last].end);
        let position = pieces[..whole]
            .iter()
            .rev()
            .find_map(|piece| piece.seq)
            .unwrap_or_default()
            .max(plan.position_before);
        let unsaid = self.outbox.unsaid(plan, whole, cut - start);
        let half = pieces.get(whole).map(|piece| (piece.clone(), start));
        let half = half.and_then(|(piece, start)| self.half_of(&piece, start, cut));
        let now_ms = wrap_ms(self.now.mono_ms);
        let Some(conn) = self.conns.get_mut(plan.id) else { return };
        if conn.state.is_ending() {
            return;
        }
        conn.keep_half(half);
        let join = conn.extra.as_mut().and_then(|extra| extra.join.as_mut());
        if let Some(join) = join.filter(|_| unsaid) {
            join.checked = false;
            join.told_seq = 0;
        }
        if conn.state == State::Streaming {
            conn.position = position;
            if taken > 0 || !plan.past.behind {
                conn.behind_since_ms = now_ms;
            }
            if !conn.behind {
                conn.behind = true;
                self.lagging += 1;
            }
        } else if !plan.last {
            conn.step(Step::Clog);
        }
        if plan.last {
            // The rest of a last answer still has to leave; a stream's bye is not waited for.
            match conn.state {
                State::Streaming => return self.abort(plan.id),
                _ => {
                    conn.step(Step::Clog);
                }
            }
        }
        let sock = conn.sock;
        if conn.armed.insert(Operation::Writable) {
            self.driver.watch_writable(sock, plan.id);
        }
    }

    /// What has to be kept of the piece the cut fell into; nothing when it fell between two.
    fn half_of(&self, piece: &Piece, start: usize, cut: usize) -> Option<Half> {
        let sent = piece.skipped + (cut - start);
        match &piece.origin {
            Origin::Ring(position) if sent > 0 => {
                Some(Half::Event(Arc::clone(self.reader.get(*position)?), sent))
            }
            Origin::Held(event) if sent > 0 => Some(Half::Event(Arc::clone(event), sent)),
            Origin::Ring(_) | Origin::Held(_) => None,
            // An event that has not begun to leave is read again from the store.
            Origin::Arena if piece.seq.is_some() && sent == 0 => None,
            Origin::Control | Origin::Gap if sent == 0 => None,
            Origin::Arena | Origin::Control | Origin::Gap | Origin::Rest => {
                Some(Half::Bytes(self.outbox.bytes[cut..piece.end].into(), piece.seq, piece.kind))
            }
        }
    }
}
