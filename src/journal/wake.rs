//! Who sleeps and has to be rung.
//!
//! A sleeper sets its flag, then looks once more for work; whoever makes work, then looks at the
//! flags. With a full fence between on both sides, one of the two sees the other (Dekker).

#[cfg(ringcast_loom)]
use loom::sync::atomic::{AtomicBool, Ordering, fence};
#[cfg(not(ringcast_loom))]
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

#[cfg(all(test, ringcast_loom))]
mod checked {
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicU64;
    use loom::thread;

    use super::*;

    /// A publisher makes work and rings; a worker goes to sleep by `begin_sleep` and looks once
    /// more. One of the two must have seen the other.
    fn meet(
        begin_sleep: impl Fn(&Wakes) + Send + Sync + Copy + 'static,
        take_sleepers: impl Fn(&Wakes, &AtomicU64) + Send + Sync + Copy + 'static,
    ) {
        loom::model(move || {
            let wakes = Arc::new(Wakes::new(1));
            let work = Arc::new(AtomicU64::new(0));
            let rung = Arc::new(AtomicU64::new(0));
            let publisher = {
                let (wakes, work, rung) = (wakes.clone(), work.clone(), rung.clone());
                thread::spawn(move || {
                    work.store(1, Ordering::Release);
                    take_sleepers(&wakes, &rung);
                })
            };
            begin_sleep(&wakes);
            let seen = work.load(Ordering::Acquire) == 1;
            publisher.join().unwrap();
            let woken = rung.load(Ordering::Relaxed) == 1;
            assert!(seen || woken, "the worker sleeps on work nobody rings for");
        });
    }

    fn ring(wakes: &Wakes, rung: &AtomicU64) {
        wakes.take_sleepers(|_| rung.store(1, Ordering::Relaxed));
    }

    #[test]
    fn loom_work_is_seen_or_the_sleeper_is_rung() {
        meet(|wakes| wakes.begin_sleep(0), ring);
    }

    #[test]
    #[should_panic(expected = "nobody rings for")]
    fn loom_without_the_sleepers_fence_a_wake_is_lost() {
        meet(|wakes| wakes.sleeping[0].0.store(true, Ordering::Relaxed), ring);
    }

    #[test]
    #[should_panic(expected = "nobody rings for")]
    fn loom_without_the_publishers_fence_a_wake_is_lost() {
        let ring_unfenced = |wakes: &Wakes, rung: &AtomicU64| {
            if wakes.sleeping[0].0.load(Ordering::Relaxed) {
                rung.store(1, Ordering::Relaxed);
            }
        };
        meet(|wakes| wakes.begin_sleep(0), ring_unfenced);
    }
}
