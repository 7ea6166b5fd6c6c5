//! Entering the kernel.

use std::os::fd::RawFd;
use std::time::Duration;

use io_uring::types::Timespec;

use super::ring::Ring;
use crate::driver::error::Errno;

/// How long an enter may stay in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Submit, run up to 20 deferred completions, return.
    No,
    /// Submit, run up to [`DRAIN_MAX`] deferred completions, return.
    Drain,
    /// Submit, sleep until one completion is there.
    One,
    /// Submit, sleep until one completion is there or the time has passed.
    For(Duration),
}

/// Deferred completions run by one [`Wait::Drain`]: each may be a whole receive of some
/// microseconds, and whoever waits for this thread or its core waits for all of them.
pub const DRAIN_MAX: u32 = 64;

/// io_uring_enter(2): `struct io_uring_getevents_arg`.
#[repr(C)]
struct EnterArgument {
    sigmask: u64,
    sigmask_bytes: u32,
    min_wait_us: u32,
    timeout: u64,
}

/// io_uring_register(2): `struct io_uring_rsrc_update`.
#[repr(C)]
struct RegisterUpdate {
    offset: u32,
    reserved: u32,
    data: u64,
}

const ENTER_GETEVENTS: u32 = 1;
const ENTER_EXT_ARG: u32 = 1 << 3;
const ENTER_REGISTERED_RING: u32 = 1 << 4;
const ENTER_NO_IOWAIT: u32 = 1 << 7;
const REGISTER_RING_FDS: libc::c_long = 20;
const UNREGISTER_RING_FDS: libc::c_long = 21;

/// How a ring is named in an enter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Door {
    /// The ring's fd, or its index in the task's table of registered rings.
    fd: RawFd,
    /// NO_IOWAIT, REGISTERED_RING.
    flags: u32,
}

impl Door {
    pub(super) fn new(fd: RawFd, no_iowait: bool) -> Self {
        Self { fd, flags: if no_iowait { ENTER_NO_IOWAIT } else { 0 } }
    }
}

impl Ring {
    /// Saves the kernel the look-up of our fd on each enter. Only 16 per task: not having it is
    /// no error.
    pub(super) fn register_own_fd(&mut self) {
        let data = u64::from(self.raw_fd().cast_unsigned());
        let mut update = RegisterUpdate { offset: u32::MAX, reserved: 0, data };
        if self.update_own_fd(REGISTER_RING_FDS, &mut update) {
            self.door.fd = update.offset.cast_signed();
            self.door.flags |= ENTER_REGISTERED_RING;
        }
    }

    /// The task's table holds the ring open beyond its fd: without this a dropped ring would live
    /// as long as its thread.
    pub(super) fn unregister_own_fd(&mut self) {
        if self.door.flags & ENTER_REGISTERED_RING != 0 {
            let offset = self.door.fd.cast_unsigned();
            let mut update = RegisterUpdate { offset, reserved: 0, data: 0 };
            self.update_own_fd(UNREGISTER_RING_FDS, &mut update);
            self.door.fd = self.raw_fd();
            self.door.flags &= !ENTER_REGISTERED_RING;
        }
    }

    fn update_own_fd(&self, operation: libc::c_long, update: &mut RegisterUpdate) -> bool {
        let one: libc::c_uint = 1;
        let update: *mut RegisterUpdate = update;
        // SAFETY: `update` is one valid io_uring_rsrc_update, read and written during the call.
        let done = unsafe {
            libc::syscall(libc::SYS_io_uring_register, self.raw_fd(), operation, update, one)
        };
        done == 1
    }

    /// Like [`submit`](Self::submit); the same call runs up to 20 deferred completions. Whether it
    /// made one.
    pub fn submit_and_fetch(&mut self) -> bool {
        let queued = self.queued();
        if queued == 0 || self.dead.is_some() {
            return false;
        }
        let done = self.enter_raw(queued, 0, ENTER_GETEVENTS, None).is_ok();
        // What it has left, after an error too.
        self.submit();
        done
    }

    /// Submits all that is queued. On return the kernel has taken every entry, or the ring is
    /// dead and will never hand one over.
    pub fn submit(&mut self) {
        while self.dead.is_none() {
            let queued = self.queued();
            if queued == 0 {
                return;
            }
            match self.enter_raw(queued, 0, 0, None) {
                Ok(_) | Err(Errno(libc::EINTR)) => {}
                // No memory for requests, or completions stuck in the overflow list: fetch
                // them, then give the kernel a moment.
                Err(Errno(libc::EAGAIN | libc::EBUSY | libc::ENOMEM)) => {
                    let _ = self.enter_raw(0, 0, ENTER_GETEVENTS, None);
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(errno) => self.dead = Some(errno),
            }
        }
    }

    /// Submits what is queued and waits as told. Completions are then read by
    /// [`next`](Self::next).
    pub fn enter(&mut self, wait: Wait) {
        if self.dead.is_some() {
            // Nothing will ever come: do not let the caller spin.
            const PATIENCE: Duration = Duration::from_millis(100);
            match wait {
                Wait::For(time) => std::thread::sleep(time.min(PATIENCE)),
                Wait::One => std::thread::sleep(PATIENCE),
                Wait::No | Wait::Drain => {}
            }
            return;
        }
        let queued = self.queued();
        let result = match wait {
            Wait::No => self.enter_raw(queued, 0, ENTER_GETEVENTS, None),
            Wait::Drain => {
                let most = self.inner.params().cq_entries().min(DRAIN_MAX);
                self.enter_raw(queued, most, ENTER_GETEVENTS, Some(Duration::ZERO))
            }
            Wait::One => self.enter_raw(queued, 1, ENTER_GETEVENTS, None),
            Wait::For(time) => self.enter_raw(queued, 1, ENTER_GETEVENTS, Some(time)),
        };
        match result {
            // EBADR: the kernel had no memory for an overflown completion; it is lost and was
            // counted. Nothing can be done here.
            Ok(_) | Err(Errno(libc::EINTR | libc::ETIME | libc::EBADR)) => {}
            Err(Errno(libc::EAGAIN | libc::EBUSY | libc::ENOMEM)) => {}
            Err(errno) => self.dead = Some(errno),
        }
        self.submit();
    }

    fn enter_raw(
        &mut self,
        to_submit: usize,
        min_complete: u32,
        flags: u32,
        time: Option<Duration>,
    ) -> Result<(), Errno> {
        let time = time.map(Timespec::from);
        let argument = EnterArgument {
            sigmask: 0,
            sigmask_bytes: 0,
            min_wait_us: 0,
            timeout: time.as_ref().map_or(0, |time| std::ptr::from_ref(time) as u64),
        };
        let (flags, pointer, bytes) = match &time {
            Some(_) => {
                (flags | ENTER_EXT_ARG, std::ptr::from_ref(&argument), size_of::<EnterArgument>())
            }
            None => (flags, std::ptr::null(), 0),
        };
        let to_submit = libc::c_uint::try_from(to_submit).unwrap_or(libc::c_uint::MAX);
        self.counts.enters += 1;
        // SAFETY: the argument and the time it points to live on this stack frame for the whole
        // call; the entries to be submitted were queued by `push`, whose callers vouch for them.
        let result = unsafe {
            libc::syscall(
                libc::SYS_io_uring_enter,
                self.door.fd,
                to_submit,
                min_complete,
                flags | self.door.flags,
                pointer,
                bytes,
            )
        };
        if result < 0 {
            return Err(Errno::of(&std::io::Error::last_os_error()));
        }
        Ok(())
    }
}
