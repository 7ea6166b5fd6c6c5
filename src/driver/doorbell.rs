//! Ringing sleeping workers.

use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicI32, Ordering};

use super::sys::{Ring, RingSettings};
use super::user_data::{Op, pack_number};

/// The main rings of all workers, by worker.
#[derive(Debug)]
pub struct Doorbells {
    fds: Box<[AtomicI32]>,
}

impl Doorbells {
    /// Places for `workers` workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self { fds: (0..workers).map(|_| AtomicI32::new(-1)).collect() }
    }

    pub(super) fn set(&self, worker: usize, fd: RawFd) {
        if let Some(place) = self.fds.get(worker) {
            place.store(fd, Ordering::Release);
        }
    }

    /// A worker that stops can no longer be rung.
    pub fn clear(&self, worker: usize) {
        self.set(worker, -1);
    }

    pub(super) fn get(&self, worker: usize) -> Option<RawFd> {
        let fd = self.fds.get(worker)?.load(Ordering::Acquire);
        (fd >= 0).then_some(fd)
    }
}

/// A bell for threads that are no workers.
#[derive(Debug)]
pub struct ControlBell {
    ring: Ring,
}

impl ControlBell {
    /// Makes a ring to ring with, on the thread that will use it.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn new() -> io::Result<Self> {
        let settings = RingSettings {
            submissions: 8,
            completions: 16,
            descriptors: 1,
            buffers: 2,
            buffer_bytes: 64,
            accepts: 0,
        };
        Ok(Self { ring: Ring::new(settings)? })
    }

    /// Wakes a worker.
    pub fn ring(&mut self, doorbells: &Doorbells, worker: usize) {
        if let Some(fd) = doorbells.get(worker) {
            self.ring.message(fd, pack_number(Op::Bell, 0), pack_number(Op::Quiet, 0));
            self.ring.submit();
            while self.ring.next().is_some() {}
        }
    }
}
