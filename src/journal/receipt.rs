//! What became of an event whose publisher waits until it is written.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Streams by what became of one event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// All bytes were handed to the socket.
    pub written: u64,
    /// The socket is full: it leaves later.
    pub lagging: u64,
    /// The stream ended before.
    pub dropped: u64,
}

impl Written {
    /// Streams it went to.
    #[must_use]
    pub fn matched(self) -> u64 {
        self.written + self.lagging + self.dropped
    }
}

impl std::ops::AddAssign for Written {
    fn add_assign(&mut self, other: Self) {
        self.written += other.written;
        self.lagging += other.lagging;
        self.dropped += other.dropped;
    }
}

/// Filled in by each worker once, read by the one whose publisher waits.
#[derive(Debug)]
pub struct Receipt {
    owner: usize,
    settled: Box<[AtomicBool]>,
    written: AtomicU64,
    lagging: AtomicU64,
    dropped: AtomicU64,
}

impl Receipt {
    /// Nothing is known yet. A publisher of worker `owner` waits for `workers` of them.
    #[must_use]
    pub fn new(owner: usize, workers: usize) -> Self {
        Self {
            owner,
            settled: (0..workers).map(|_| AtomicBool::new(false)).collect(),
            written: AtomicU64::new(0),
            lagging: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    /// The worker whose publisher waits.
    #[must_use]
    pub fn owner(&self) -> usize {
        self.owner
    }

    /// Says what became of it on one worker.
    pub fn settle(&self, worker: usize, found: Written) {
        self.written.fetch_add(found.written, Ordering::Relaxed);
        self.lagging.fetch_add(found.lagging, Ordering::Relaxed);
        self.dropped.fetch_add(found.dropped, Ordering::Relaxed);
        if let Some(settled) = self.settled.get(worker) {
            settled.store(true, Ordering::Release);
        }
    }

    /// Every worker has said it, or has left.
    pub fn is_settled(&self, has_left: impl Fn(usize) -> bool) -> bool {
        let all = self.settled.iter().enumerate();
        all.into_iter().all(|(worker, settled)| settled.load(Ordering::Acquire) || has_left(worker))
    }

    /// What is known.
    #[must_use]
    pub fn found(&self) -> Written {
        Written {
            written: self.written.load(Ordering::Relaxed),
            lagging: self.lagging.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_settled_by_all_workers_that_are_there() {
        let receipt = Receipt::new(1, 3);
        let found = Written { written: 5, lagging: 2, dropped: 1 };
        receipt.settle(0, found);
        assert!(!receipt.is_settled(|_| false));
        assert!(!receipt.is_settled(|worker| worker == 0));
        receipt.settle(2, found);
        assert!(receipt.is_settled(|worker| worker == 1));
        receipt.settle(1, Written::default());
        assert!(receipt.is_settled(|_| false));
        let mut twice = found;
        twice += found;
        assert_eq!((receipt.found(), twice.matched(), receipt.owner()), (twice, 16, 1));
    }
}
