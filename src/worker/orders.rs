//! What other cores, and the cold half, ask of a worker.
//!
//! Orders are rare, so they stand in a list behind a lock; a doorbell says that one is there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::Worker;
use super::changes::{Change, Outcome};
use crate::auth::Revoked;
use crate::auth::callback::{Fingerprint, Verdict};
use crate::conn::State;
use crate::driver::{ConnId, Driver};
use crate::hub::presence::Notice;
use crate::proto::sse::ByeReason;

/// Something to do.
#[derive(Debug)]
pub enum Order {
    /// End this stream, if it is still there.
    End {
        /// Which.
        id: ConnId,
        /// Why, as it is told.
        reason: ByeReason,
        /// It may come again.
        reconnect: bool,
    },
    /// Change a running stream, and answer.
    Change(Box<Change>),
    /// What became of a change this worker has asked for.
    Answer {
        /// Whose request it was.
        id: ConnId,
        /// What to answer.
        outcome: Box<Outcome>,
    },
    /// Tell the listeners of channels who has come and gone.
    Presence(Arc<[Notice]>),
    /// End the streams of revoked tokens.
    Revoke(Arc<Revoked>),
    /// The callback has said who asks on this connection, if that still waits for it.
    Verdict {
        /// Which.
        id: ConnId,
        /// The question it is the answer to.
        of: Fingerprint,
        /// The answer.
        verdict: Verdict,
    },
    /// End the stream that began first: another core lets one in beyond the cap of the node.
    EndOldest,
}

/// A worker's list, on cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Waiting {
    some: AtomicBool,
    orders: Mutex<Vec<Order>>,
}

/// The lists of all workers.
#[derive(Debug)]
pub struct Orders(Box<[Waiting]>);

impl Orders {
    /// Empty ones.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| Waiting::default()).collect())
    }

    /// Leaves an order; ring the worker then.
    pub fn put(&self, worker: usize, order: Order) {
        let Some(waiting) = self.0.get(worker) else { return };
        let mut orders = waiting.orders.lock().unwrap_or_else(PoisonError::into_inner);
        orders.push(order);
        waiting.some.store(true, Ordering::Release);
    }

    /// A worker has none waiting.
    pub(super) fn is_empty(&self, worker: usize) -> bool {
        self.0.get(worker).is_none_or(|waiting| !waiting.some.load(Ordering::Acquire))
    }

    /// Takes all orders of a worker, in the order in which they came.
    fn take(&self, worker: usize) -> Vec<Order> {
        let Some(waiting) = self.0.get(worker) else { return Vec::new() };
        if !waiting.some.load(Ordering::Acquire) {
            return Vec::new();
        }
        let mut orders = waiting.orders.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.some.store(false, Ordering::Release);
        std::mem::take(&mut *orders)
    }
}

impl<D: Driver> Worker<D> {
    /// Has something done by the worker it belongs to.
    pub(super) fn order(&mut self, worker: usize, order: Order) {
        if worker == self.index {
            return self.obey(order);
        }
        self.node.orders.put(worker, order);
        self.driver.ring(worker);
        self.node.counters[self.index].doorbells_rung.add(1);
    }

    /// Does what others have asked for.
    pub(super) fn obey_all(&mut self) {
        for order in self.node.orders.take(self.index) {
            self.obey(order);
            if self.outbox.is_full(self.pace.sends_max) {
                self.flush();
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::End { id, reason, reconnect } => {
                match self.conns.get(id).map(|conn| conn.state) {
                    Some(State::Streaming) => self.bye(id, reason, reconnect),
                    Some(State::Polling) => self.abort(id),
                    _ => {}
                }
            }
            Order::Change(change) => self.change(*change),
            Order::Answer { id, outcome } => self.answered_from_elsewhere(id, *outcome),
            Order::Presence(notices) => self.tell_presence(&notices),
            Order::Revoke(revoked) => self.end_revoked(&revoked),
            Order::Verdict { id, of, verdict } => self.hear(id, of, verdict),
            Order::EndOldest => {
                self.end_oldest();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_taken_once_and_in_order() {
        let orders = Orders::new(2);
        for slot in 0..3 {
            let id = ConnId { slot, generation: 1 };
            orders.put(1, Order::End { id, reason: ByeReason::Evicted, reconnect: false });
        }
        orders.put(
            7,
            Order::End {
                id: ConnId { slot: 0, generation: 1 },
                reason: ByeReason::Evicted,
                reconnect: false,
            },
        );
        assert!(orders.take(0).is_empty());
        let slots: Vec<u32> = orders
            .take(1)
            .into_iter()
            .filter_map(|order| match order {
                Order::End { id, .. } => Some(id.slot),
                _ => None,
            })
            .collect();
        assert_eq!(slots, [0, 1, 2]);
        assert!(orders.take(1).is_empty());
    }
}
