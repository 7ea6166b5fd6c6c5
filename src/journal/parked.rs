//! Publishers that wait for room, first come first served over all workers.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// A place in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket(u64);

/// The queue: (ticket, worker).
#[derive(Debug, Default)]
pub struct Parked {
    queue: Mutex<(u64, VecDeque<(Ticket, usize)>)>,
    len: AtomicUsize,
}

impl Parked {
    /// Takes a place at the end for a publisher of `worker`.
    pub fn park(&self, worker: usize) -> Ticket {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.0 += 1;
        let ticket = Ticket(queue.0);
        queue.1.push_back((ticket, worker));
        self.len.store(queue.1.len(), Ordering::Release);
        ticket
    }

    /// Leaves the queue (appended, given up, or gone). Returns the worker whose publisher is first
    /// now.
    pub fn leave(&self, ticket: Ticket) -> Option<usize> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.1.retain(|(waiting, _)| *waiting != ticket);
        self.len.store(queue.1.len(), Ordering::Release);
        queue.1.front().map(|(_, worker)| *worker)
    }

    /// Only the first may append while anybody waits.
    #[must_use]
    pub fn is_first(&self, ticket: Ticket) -> bool {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.1.front().is_some_and(|(first, _)| *first == ticket)
    }

    /// The worker whose publisher is first.
    #[must_use]
    pub fn head(&self) -> Option<usize> {
        if self.is_empty() {
            return None;
        }
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.1.front().map(|(_, worker)| *worker)
    }

    /// Nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len.load(Ordering::Acquire) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_come_first_served() {
        let parked = Parked::default();
        let (a, b, c) = (parked.park(0), parked.park(1), parked.park(2));
        assert!(parked.is_first(a) && !parked.is_first(b));
        assert_eq!(parked.leave(b), Some(0));
        assert_eq!(parked.leave(a), Some(2));
        assert!(parked.is_first(c));
        assert_eq!(parked.leave(c), None);
        assert!(parked.is_empty());
        assert_eq!(parked.head(), None);
    }
}
