//! Who sleeps and has to be rung.
//!
//! A sleeper sets its flag, then looks once more for work; whoever makes work, then looks at the
//! flags. With a full fence between on both sides, one of the two sees the other (Dekker).

use std::sync::atomic::{AtomicBool, Ordering, fence};

#[derive(Debug, Default)]
#[repr(align(128))]
struct Flag(AtomicBool);

/// The flags of all workers.
#[derive(Debug)]
pub struct Wakes {
    sleeping: Box<[Flag]>,
}

impl Wakes {
    /// Flags for `workers` workers, all awake.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self { sleeping: (0..workers).map(|_| Flag::default()).collect() }
    }

    /// Worker `worker` is about to sleep. It must look for work once more after this.
    pub fn begin_sleep(&self, worker: usize) {
        self.sleeping[worker].0.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Worker `worker` is awake again.
    pub fn end_sleep(&self, worker: usize) {
        self.sleeping[worker].0.store(false, Ordering::Relaxed);
    }

    /// After work was made: calls `ring` once for each worker that sleeps.
    pub fn take_sleepers(&self, mut ring: impl FnMut(usize)) {
        fence(Ordering::SeqCst);
        for (worker, flag) in self.sleeping.iter().enumerate() {
            if flag.0.load(Ordering::Relaxed) && flag.0.swap(false, Ordering::AcqRel) {
                ring(worker);
            }
        }
    }
}
