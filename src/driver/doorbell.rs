//! How cores wake each other.
//!
//! A worker sleeps in its main ring; a message to that ring (MSG_RING) ends the sleep. Workers
//! send it from their own ring with the next enter; other threads through a [`ControlBell`].

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicI32, Ordering};

use super::error::StartError;
use super::sys::bell::Messenger;
use super::user_data::UserData;

/// The doors of all workers: their main rings. Filled in as the workers start.
#[derive(Debug)]
pub struct Doorbells {
    rings: Box<[AtomicI32]>,
}

const NOBODY: RawFd = -1;

impl Doorbells {
    /// A table for so many workers, nobody home yet.
    pub fn new(workers: usize) -> Self {
        Self { rings: (0..workers).map(|_| AtomicI32::new(NOBODY)).collect() }
    }

    /// How many workers it was made for.
    pub fn workers(&self) -> usize {
        self.rings.len()
    }

    pub(super) fn set(&self, worker: usize, ring: RawFd) {
        if let Some(door) = self.rings.get(worker) {
            door.store(ring, Ordering::Release);
        }
    }

    /// A worker that has stopped can no longer be rung. (Dropping its driver does this too.)
    pub fn clear(&self, worker: usize) {
        self.set(worker, NOBODY);
    }

    pub(super) fn door(&self, worker: usize) -> Option<RawFd> {
        let ring = self.rings.get(worker)?.load(Ordering::Acquire);
        (ring != NOBODY).then_some(ring)
    }
}

/// Rings workers from any other thread: the control half, the admin pages, tests.
pub struct ControlBell {
    messenger: Messenger,
}

impl ControlBell {
    /// Makes the bell's own small ring. It may be moved from thread to thread.
    pub fn new() -> Result<Self, StartError> {
        Ok(Self { messenger: Messenger::open()? })
    }

    /// Wakes a worker if it sleeps; a worker that is not there (any more) is no error. Returns
    /// whether the message was delivered.
    pub fn ring(&mut self, doorbells: &Doorbells, worker: usize) -> bool {
        doorbells
            .door(worker)
            .is_some_and(|ring| self.messenger.post(ring, UserData::Doorbell).is_ok())
    }
}
