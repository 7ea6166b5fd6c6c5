//! One turn of the loop: take completions, read the journal, send, sleep.

use super::Worker;
use crate::conn::{Operation, State};
use crate::driver::{Completion, ConnId, Driver};

/// While a publish waits for room, sleep no longer than this.
const PARKED_RETRY_MS: u64 = 10;

impl<D: Driver> Worker<D> {
    /// One turn.
    pub fn turn(&mut self) {
        self.now = self.driver.now();
        self.load.woke(self.now.mono_us);
        self.refresh();
        let mut inbox = std::mem::take(&mut self.inbox);
        self.driver.completions(&mut inbox);
        self.node.counters[self.index].completions.add(inbox.len() as u64);
        for completion in inbox.drain(..) {
            self.handle(completion);
            if self.outbox.is_full(self.pace.sends_max) {
                self.flush();
            }
        }
        if self.inbox.is_empty() {
            self.inbox = inbox;
        }
        self.obey_all();
        self.hold_on();
        self.retry_parked();
        self.append_late();
        self.read_journal();
        self.deliver();
        self.catch_up_all();
        self.tick();
        self.flush();
        self.give_back();
        self.gauge();
        self.tell_rest();
        self.sleep();
    }

    /// The dispatcher: each completion goes to the one place that knows what it means.
    fn handle(&mut self, completion: Completion) {
        match completion {
            Completion::Accepted { sock, peer, .. } => self.accept(sock, peer.ip()),
            Completion::AcceptFailed { .. } => {
                self.node.counters[self.index].accept_failures.add(1);
            }
            Completion::Received { id, data } => self.receive(id, data),
            Completion::ReceiveEnded { id, errno } => self.receive_ended(id, errno),
            Completion::Writable { id } => self.writable(id),
            Completion::HungUp { id } => self.hung_up(id),
            Completion::Closed { id } => self.closed(id),
            Completion::Doorbell => self.node.counters[self.index].doorbells_heard.add(1),
            // Every send is followed at once by its own look at the completions (flush).
            Completion::Sent { .. } => {}
        }
    }

    fn writable(&mut self, id: ConnId) {
        let Some(conn) = self.conns.disarm(id, Operation::Writable) else { return };
        match conn.state {
            State::Streaming => self.fall_behind(id.slot),
            State::Answering => self.continue_answer(id),
            _ => self.try_close(id),
        }
    }

    fn hung_up(&mut self, id: ConnId) {
        if self.conns.disarm(id, Operation::Hangup).is_some() {
            self.abort(id);
            self.try_close(id);
        }
    }

    /// Gives journal entries back, and rings whoever waits for what this turn did.
    fn give_back(&mut self) {
        self.finish_read();
        self.look_at_watches();
        let journal = &self.node.journal;
        let mut ring = None;
        if journal.reclaim() {
            ring = journal.parked.head().filter(|worker| *worker != self.index);
        }
        let (driver, counters) = (&mut self.driver, &self.node.counters[self.index]);
        if let Some(worker) = ring {
            driver.ring(worker);
            counters.doorbells_rung.add(1);
        }
        if std::mem::take(&mut self.appended) {
            journal.wakes.take_sleepers(|worker| {
                driver.ring(worker);
                counters.doorbells_rung.add(1);
            });
        }
    }

    fn gauge(&self) {
        let counters = &self.node.counters[self.index];
        counters.turns.add(1);
        counters.enters.set(self.driver.enters());
        counters.connections.set(self.conns.len() as u64);
        counters.streams.set(self.streams as u64);
        counters.lagging.set(self.lagging as u64);
        counters.callback_waiting.set(self.asking as u64);
        counters.topics.set(self.hub.len() as u64 - 1);
        counters.journal_depth.set(self.node.journal.head_seq().saturating_sub(self.last_seq));
    }

    /// Sleeps until there is work, unless there is some.
    fn sleep(&mut self) {
        let busy = !self.inbox.is_empty()
            || !self.queues.large.is_empty()
            || !self.queues.catch_up.is_empty()
            || self.watches.has_more()
            || self.reader.get(self.position).is_some();
        if busy {
            return self.driver.enter(None);
        }
        let mut until_ms = self.next_tick_ms();
        if self.holding {
            until_ms = until_ms.min(self.now.mono_ms + 1);
        }
        if !self.parked.is_empty() || !self.watches.is_empty() {
            until_ms = until_ms.min(self.now.mono_ms + PARKED_RETRY_MS);
        }
        let wakes = &self.node.journal.wakes;
        wakes.begin_sleep(self.index);
        // Whoever publishes after this look sees the flag and rings.
        let wait = self.reader.get(self.position).is_none().then_some(until_ms);
        if wait.is_some() {
            self.load.sleeps(self.driver.now().mono_us);
        }
        self.driver.enter(wait);
        self.node.journal.wakes.end_sleep(self.index);
    }
}
