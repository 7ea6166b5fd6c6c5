//! All connections go to another process, and none of them notices.
//!
//! First the workers come to rest: nothing new is accepted or read, what is under way ends, every
//! stream gets what it is owed or stands where its full buffer has stopped it. Then they freeze,
//! and what they know is written down (`record.rs`, `leave.rs`). The other process restores it
//! (`arrive.rs`) and turns; or it does not, and this one goes on where it stopped.

mod arrive;
mod leave;
mod node;
mod record;

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

pub use node::{NodeRecord, hash_witness};
pub(super) use record::HalfRead;
pub use record::WorkerRecord;

use super::Worker;
use crate::conn::{Operation, State};
use crate::driver::{ConnId, Driver};

/// How far a node is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Stage {
    /// It serves.
    Serving,
    /// Its workers come to rest.
    Resting,
    /// They stand still.
    Frozen,
}

/// What the workers of a node know of it.
#[derive(Debug)]
pub struct Handover {
    stage: AtomicU8,
    at_rest: Box<[AtomicBool]>,
    /// What waits for something else than the kernel is not waited for beyond, monotonic ms.
    force_at_ms: AtomicU64,
    /// The process this one has taken over from; 0: none.
    predecessor: AtomicU32,
    /// Why the last one was called off, and when (wall clock, ms).
    failed: Mutex<Option<(u64, String)>>,
}

impl Handover {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            stage: AtomicU8::new(Stage::Serving as u8),
            at_rest: (0..workers).map(|_| AtomicBool::new(false)).collect(),
            force_at_ms: AtomicU64::new(0),
            predecessor: AtomicU32::new(0),
            failed: Mutex::default(),
        }
    }

    /// The process this one has taken over from.
    #[must_use]
    pub fn predecessor(&self) -> Option<u32> {
        Some(self.predecessor.load(Ordering::Relaxed)).filter(|pid| *pid > 0)
    }

    /// Why the last hand-over has failed, and when (wall clock, ms).
    #[must_use]
    pub fn failed(&self) -> Option<(u64, String)> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// It has failed, for this reason, at this time (wall clock, ms).
    pub fn note_failure(&self, unix_ms: u64, why: String) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some((unix_ms, why));
    }

    /// Has the workers come to rest; ring them. Publishes that wait for room or for being written,
    /// and questions to the callback, are given up at `force_at_ms` (monotonic): their askers are
    /// told.
    pub fn rest(&self, force_at_ms: u64) {
        self.force_at_ms.store(force_at_ms, Ordering::Relaxed);
        self.at_rest.iter().for_each(|one| one.store(false, Ordering::Relaxed));
        self.set(Stage::Resting);
    }

    /// All workers rest: nothing is under way that any of them could still change.
    #[must_use]
    pub fn all_rest(&self) -> bool {
        self.at_rest.iter().all(|one| one.load(Ordering::Acquire))
    }

    /// Has the workers stand still; ring them.
    pub fn freeze(&self) {
        self.set(Stage::Frozen);
    }

    /// Has everything go on as if nothing had been; ring the workers.
    pub fn call_off(&self) {
        self.set(Stage::Serving);
    }

    /// The workers stand still, or are about to.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.stage.load(Ordering::Acquire) == Stage::Frozen as u8
    }

    /// The node is being handed over.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.stage.load(Ordering::Acquire) != Stage::Serving as u8
    }

    fn set(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Release);
    }
}

impl<D: Driver> Worker<D> {
    /// Comes to rest while the node is handed over, and goes on when that is called off.
    pub(super) fn hold_on(&mut self) {
        match (self.node.handover.is_on(), self.holding) {
            (false, false) => {}
            (false, true) => self.go_on_serving(),
            (true, false) => {
                self.holding = true;
                self.driver.pause_accepting();
                self.come_to_rest();
            }
            (true, true) => self.come_to_rest(),
        }
    }

    /// Says whether it rests; call it at the end of a turn.
    pub(super) fn tell_rest(&mut self) {
        if self.holding
            && let Some(told) = self.node.handover.at_rest.get(self.index)
        {
            told.store(self.rests(), Ordering::Release);
        }
    }

    fn come_to_rest(&mut self) {
        self.spreads.hurry();
        let force = self.now.mono_ms >= self.node.handover.force_at_ms.load(Ordering::Relaxed);
        for id in self.conns.ids() {
            let Some(conn) = self.conns.get(id) else { continue };
            if conn.armed.contains(Operation::Receive) && !conn.state.is_closing() {
                self.driver.cancel_receive(conn.sock, id);
            }
            if force {
                self.give_up_on(id);
            }
            if self.outbox.is_full(self.pace.sends_max) {
                self.flush();
            }
        }
    }

    /// Answers a request that waits for something that may take long.
    fn give_up_on(&mut self, id: ConnId) {
        match self.conns.get(id).map(|conn| conn.state) {
            Some(State::Parked) if self.give_up_waiting(id) => {}
            Some(State::Parked) => self.time_out_parked(id),
            // It does not read its last answer: there is no telling it about this one.
            Some(State::Answering) if self.request_of(id).is_some_and(|r| r.waits()) => {
                self.abort(id);
            }
            _ => {}
        }
    }

    /// Nothing is under way that it could still change by itself.
    fn rests(&self) -> bool {
        let quiet = |id: ConnId| {
            self.conns.get(id).is_none_or(|conn| {
                let waits = conn.request.as_ref().is_some_and(|request| request.waits());
                let reads = conn.armed.contains(Operation::Receive) && !conn.state.is_closing();
                conn.state != State::Parked && !waits && !reads
            })
        };
        self.driver.accepts_nothing()
            && self.inbox.is_empty()
            && self.parked.is_empty()
            && self.queues.small.is_empty()
            && self.queues.large.is_empty()
            && self.queues.catch_up.is_empty()
            && self.reader.get(self.position).is_none()
            && self.last_seq == self.node.journal.head_seq()
            && self.leaving.is_empty()
            && self.spreads.is_empty()
            && self.watches.is_empty()
            && self.late.is_idle()
            && self.outbox.plans.is_empty()
            && self.node.orders.is_empty(self.index)
            && self.conns.ids().into_iter().all(quiet)
    }

    /// Serves again, after it has rested or has been restored: all that the kernel does not hold
    /// for a connection is asked for anew.
    fn go_on_serving(&mut self) {
        self.holding = false;
        self.driver.resume_accepting();
        self.offer_room();
        for (id, half) in std::mem::take(&mut self.half_read) {
            self.read_body_on(id, half);
        }
        for id in self.conns.ids() {
            self.wake(id);
            if self.outbox.is_full(self.pace.sends_max) {
                self.flush();
            }
        }
    }

    fn wake(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get(id) else { return };
        let (state, form, behind, sock) = (conn.state, conn.form, conn.behind, conn.sock);
        let deadline_ms = conn.request.as_ref().map_or(u64::MAX, |request| request.deadline_ms);
        match state {
            State::Streaming => {
                self.watch_peer(id, form);
                self.expect_expiry(id);
                if behind {
                    self.fall_behind(id.slot);
                }
            }
            State::Polling => {
                self.watch_peer(id, form);
                if let Some(until_ms) = self.deadline_of(id) {
                    self.schedule(id, until_ms);
                }
                self.fall_behind(id.slot);
            }
            State::Head | State::Body => {
                self.schedule(id, deadline_ms);
                self.resume_input(id);
            }
            State::Answering => {
                self.schedule(id, deadline_ms);
                if let Some(conn) = self.conns.get_mut(id)
                    && conn.armed.insert(Operation::Writable)
                {
                    self.driver.watch_writable(sock, id);
                }
            }
            State::Lingering => {
                self.arm_receive(id);
                let until_ms = self.now.mono_ms + self.live.options.linger_ms;
                self.schedule(id, until_ms);
            }
            State::Parked | State::Closing | State::Closed => {}
        }
    }
}
