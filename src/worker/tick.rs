//! What happens by time: deadlines, heartbeats, lifetimes, draining, sweeping.

use super::conns::{Form, wrap_ms};
use super::outbox::{Origin, Past};
use super::timers::Timers;
use super::{Phase, VISITS_PER_HEARTBEAT, Worker};
use crate::conn::State;
use crate::driver::{ConnId, Driver};
use crate::proto::http::Problem;
use crate::proto::sse::{ByeReason, ControlEvent};

/// The end of a token is announced so long before, or one heartbeat, whichever is longer.
const EXPIRY_TOLD_MS: u64 = 60_000;
/// One part of the store is swept so often; all parts in about 6 seconds by one worker.
const SWEEP_EVERY_MS: u64 = 100;
/// Visits of one turn, so that a long stripe does not hold up deliveries.
const VISITS_MAX: usize = 4_096;
/// Streams are told to leave in steps of this length.
const DRAIN_STEP_MS: u64 = 20;
/// After the last bye, how long connections may take to end.
const DRAIN_GRACE_MS: u64 = 3_000;

/// A node on its way out.
#[derive(Debug)]
pub(super) struct Drain {
    left: Vec<ConnId>,
    per_step: usize,
    next_step_ms: u64,
    pub(super) deadline_ms: u64,
}

impl<D: Driver> Worker<D> {
    /// Sees to it that `id` is looked at no later than `at_ms`.
    pub(super) fn schedule(&mut self, id: ConnId, at_ms: u64) {
        if let Some(conn) = self.conns.get_mut(id).filter(|conn| conn.is_timed_after(at_ms)) {
            (conn.timer_ms, conn.timed) = (wrap_ms(at_ms), true);
            self.timers.push(at_ms, id);
        }
    }

    /// When time alone makes work again, monotonic ms.
    pub(super) fn next_tick_ms(&self) -> u64 {
        let timer = self.timers.peek().map_or(u64::MAX, |(at_ms, _)| at_ms);
        let stripes = if self.streams > 0 { self.stripes.due_at_ms() } else { u64::MAX };
        let drain = self.drain.as_ref().map_or(u64::MAX, |drain| drain.next_step_ms);
        // Phases and sweeps are looked at ten times a second.
        let leaving = if self.leaving.is_empty() { u64::MAX } else { self.now.mono_ms };
        timer
            .min(stripes)
            .min(drain)
            .min(self.sweep_at_ms)
            .min(self.late_at_ms())
            .min(leaving)
            .min(self.spreads.due_at_ms())
    }

    /// Does what is due.
    pub(super) fn tick(&mut self) {
        self.fire_timers();
        self.visit_streams();
        self.spread_on();
        if self.now.mono_ms >= self.sweep_at_ms {
            self.sweep_at_ms = self.now.mono_ms + SWEEP_EVERY_MS;
            self.node.journal.sweep(self.sweep_part, self.now.mono_ms, self.now.unix_ms);
            self.sweep_part += self.node.counters.len();
            self.empty_if_disabled();
            self.spread_presence();
            self.follow_load();
        }
        self.leave_on();
        if self.node.phase() == Phase::Draining {
            self.drain_on();
        }
    }

    fn fire_timers(&mut self) {
        let now_ms = self.now.mono_ms;
        self.sweep_timers();
        while let Some((at_ms, id)) = self.timers.peek() {
            if at_ms > now_ms || self.outbox.is_full(self.pace.sends_max) {
                return;
            }
            self.timers.pop();
            let Some(conn) = self.conns.get_mut(id).filter(|conn| conn.is_timed_at(at_ms)) else {
                continue;
            };
            conn.timed = false;
            match self.deadline_of(id) {
                Some(deadline_ms) if deadline_ms > now_ms => self.schedule(id, deadline_ms),
                Some(_) => self.expire(id),
                None => {}
            }
        }
    }

    /// Forgets the timers of connections that wait for nothing any more.
    fn sweep_timers(&mut self) {
        if !self.timers.is_crowded() {
            return;
        }
        let mut timers = std::mem::replace(&mut self.timers, Timers::new());
        timers.sweep(|at_ms, id| {
            if self.conns.get(id).is_none_or(|conn| !conn.is_timed_at(at_ms)) {
                return false;
            }
            let waits = self.deadline_of(id).is_some();
            if !waits && let Some(conn) = self.conns.get_mut(id) {
                conn.timed = false;
            }
            waits
        });
        self.timers = timers;
    }

    /// The moment this connection's state ends by itself, if that is known and near.
    pub(super) fn deadline_of(&self, id: ConnId) -> Option<u64> {
        let conn = self.conns.get(id)?;
        let extra = conn.extra.as_ref();
        match conn.state {
            State::Head | State::Body | State::Parked | State::Answering => {
                let at_ms = conn.request.as_ref()?.deadline_ms;
                (at_ms != u64::MAX).then_some(at_ms)
            }
            State::Polling => extra.map(|extra| extra.poll_until_ms),
            State::Streaming => {
                let expires_unix_ms = u64::from(conn.expires_unix_s) * 1_000;
                let left_ms = expires_unix_ms.saturating_sub(self.now.unix_ms);
                let near = expires_unix_ms > 0 && left_ms <= self.pulse.interval_ms();
                near.then(|| self.now.mono_ms + left_ms)
            }
            State::Lingering => Some(0),
            State::Closing | State::Closed => None,
        }
    }

    fn expire(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get(id) else { return };
        match conn.state {
            State::Head | State::Body => {
                let begun = conn.request.as_ref().is_some_and(|request| request.begun);
                if !begun || conn.planned == self.outbox.number {
                    return self.abort(id);
                }
                if let Some(request) = self.conns.get_mut(id).and_then(|c| c.request.as_mut()) {
                    request.close_after = true;
                    request.body = None;
                }
                let problem = Problem::new(408, "timeout", "the request did not arrive in time");
                self.refuse(id, &problem, false);
                self.answered(id);
                self.answer(id);
            }
            State::Parked => {
                if !self.give_up_waiting(id) {
                    self.time_out_parked(id);
                }
            }
            // A topic may owe it something that was read but not yet walked: the histories know.
            State::Polling => self.fall_behind(id.slot),
            State::Streaming => self.bye(id, ByeReason::Expired, true),
            State::Answering | State::Lingering => self.abort(id),
            State::Closing | State::Closed => {}
        }
    }

    /// Visits the streams whose turn it is: heartbeat, lifetime, stalls.
    fn visit_streams(&mut self) {
        let now_ms = self.now.mono_ms;
        self.stripes.skip_missed(now_ms);
        if self.streams > 0 {
            self.load.late(self.stripes.lag_ms(now_ms));
        }
        for _ in 0..VISITS_MAX {
            if self.outbox.is_full(self.pace.sends_max) {
                return;
            }
            let Some(slot) = self.stripes.next(now_ms, self.conns.slots()) else { return };
            if let Some(id) = self.conns.id_at(slot) {
                self.visit(id);
            }
        }
    }

    /// Sets a timer for the end of a stream's token once that is near: a timer for each stream's
    /// would be a heap of millions, most of which end before it fires.
    pub(super) fn expect_expiry(&mut self, id: ConnId) {
        if let Some(expires_ms) = self.deadline_of(id) {
            self.schedule(id, expires_ms);
        }
    }

    /// Tells a stream that listens for it that its token ends soon.
    fn announce_expiry(&mut self, id: ConnId) {
        let soon_ms = EXPIRY_TOLD_MS.max(self.pulse.interval_ms());
        let (unix_ms, number) = (self.now.unix_ms, self.outbox.number);
        let Some(conn) = self.conns.get_mut(id) else { return };
        let expires_unix_s = u64::from(conn.expires_unix_s);
        let near = (expires_unix_s * 1_000).saturating_sub(unix_ms) <= soon_ms;
        let free = !conn.behind && conn.planned != number;
        let Some(extra) = conn.extra.as_mut().filter(|extra| extra.control_on) else { return };
        if expires_unix_s == 0 || !near || !free || std::mem::replace(&mut extra.expiry_told, true)
        {
            return;
        }
        let (before, start) = (conn.position, self.outbox.mark());
        self.put_control(id, &ControlEvent::TokenExpiring { expires_unix_s }, None);
        self.plan_range(id, start, before, Past::default());
    }

    fn visit(&mut self, id: ConnId) {
        let now_ms = wrap_ms(self.now.mono_ms);
        let Some(conn) = self.conns.get(id).filter(|conn| conn.state == State::Streaming) else {
            return;
        };
        let age_ms = u64::from(now_ms.wrapping_sub(conn.since_ms));
        self.expect_expiry(id);
        self.announce_expiry(id);
        let options = &self.live.options;
        let Some(conn) = self.conns.get(id) else { return };
        let lifetime_ms = options.lifetime_max_ms.map(|max_ms| jitter(max_ms, id));
        if lifetime_ms.is_some_and(|max_ms| age_ms >= max_ms) {
            return self.bye(id, ByeReason::Lifetime, true);
        }
        if conn.behind {
            let stalled_ms = u64::from(now_ms.wrapping_sub(conn.behind_since_ms));
            if stalled_ms >= options.stall_max_ms {
                self.bye(id, ByeReason::Slow, true);
            }
            return;
        }
        let silent_ms = u64::from(now_ms.wrapping_sub(conn.sent_at_ms));
        let interval_ms = self.pulse.interval_ms();
        let due_ms = interval_ms - interval_ms / VISITS_PER_HEARTBEAT;
        if silent_ms < due_ms || conn.planned == self.outbox.number {
            return;
        }
        let before = conn.position;
        let start = self.outbox.mark();
        let (form, heartbeat, unix_ms) = (conn.form, conn.heartbeat, self.now.unix_ms);
        self.outbox.push_text(form, |bytes| match form {
            Form::Ndjson => bytes.push(b'\n'),
            _ => heartbeat.write(unix_ms, bytes),
        });
        self.outbox.end_piece(None, 0, Origin::Arena);
        self.node.counters[self.index].heartbeats.add(1);
        self.plan_range(id, start, before, Past::default());
    }

    /// Draining: nothing new is taken, idle connections end, streams are told to leave at a steady
    /// pace.
    fn drain_on(&mut self) {
        let now_ms = self.now.mono_ms;
        if self.drain.is_none() {
            self.driver.stop_accepting();
            self.let_go();
            let window_ms = self.live.options.drain_ms;
            let left = self.conns.ids();
            let steps = usize::try_from(window_ms / DRAIN_STEP_MS).unwrap_or(1).max(1);
            self.drain = Some(Drain {
                per_step: left.len().div_ceil(steps).max(1),
                left,
                // What was let go is delivered first.
                next_step_ms: now_ms + DRAIN_STEP_MS,
                deadline_ms: now_ms + window_ms + DRAIN_GRACE_MS,
            });
        }
        let Some(drain) = self.drain.as_mut().filter(|drain| now_ms >= drain.next_step_ms) else {
            return;
        };
        drain.next_step_ms = now_ms + DRAIN_STEP_MS;
        let from = drain.left.len().saturating_sub(drain.per_step);
        for id in drain.left.split_off(from) {
            match self.conns.get(id).map(|conn| conn.state) {
                Some(State::Streaming) => self.bye(id, ByeReason::Drain, true),
                Some(State::Polling) => {
                    let cursor = self.cursor(self.conns.get(id).map_or(0, |conn| conn.position));
                    self.end_poll(id, None, &cursor.to_string());
                    self.finish(id);
                }
                Some(State::Head) => self.finish(id),
                Some(State::Parked) => {
                    self.give_up_waiting(id);
                }
                _ => {}
            }
        }
    }
}

/// 90 to 110 percent, the same for one connection at every visit: streams that began together do
/// not end together.
fn jitter(ms: u64, id: ConnId) -> u64 {
    let mixed = (id.slot ^ id.generation.rotate_left(16)).wrapping_mul(0x9e37_79b1) >> 16;
    ms - ms / 10 + ms / 5 * u64::from(mixed & 0xff) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_spread_by_ten_percent() {
        let all: Vec<u64> =
            (0..1_000).map(|slot| jitter(100_000, ConnId { slot, generation: slot * 7 })).collect();
        assert!(all.iter().all(|ms| (90_000..=110_000).contains(ms)));
        let low = all.iter().filter(|ms| **ms < 95_000).count();
        assert!((150..350).contains(&low), "{low}");
    }
}
