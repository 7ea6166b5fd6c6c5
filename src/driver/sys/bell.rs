//! A tiny ring of its own for threads that are no workers, and eventfds.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use io_uring::{IoUring, opcode, types};

use crate::driver::error::{Errno, StartError};
use crate::driver::user_data::UserData;

/// eventfd(2), non-blocking, closed on exec.
pub fn eventfd() -> Result<OwnedFd, StartError> {
    // SAFETY: takes no memory.
    let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
    if fd < 0 {
        return Err(StartError::EventFd(Errno::of(&std::io::Error::last_os_error())));
    }
    // SAFETY: the call has just made this descriptor and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sends completions to other rings from any thread.
pub struct Messenger {
    ring: IoUring,
}

impl Messenger {
    /// Makes the ring (8 entries, about 1 KB of kernel memory).
    pub fn open() -> Result<Self, StartError> {
        let ring =
            IoUring::builder().build(8).map_err(|error| StartError::Setup(Errno::of(&error)))?;
        Ok(Self { ring })
    }

    /// Posts `data` to the ring with this descriptor and waits until the kernel has done it (a
    /// few microseconds). EBADF or EBADFD when there is no ring any more.
    pub fn post(&mut self, ring: RawFd, data: UserData) -> Result<(), Errno> {
        let entry = opcode::MsgRingData::new(types::Fd(ring), 0, data.pack(), None).build();
        // SAFETY: names no memory.
        if unsafe { self.ring.submission().push(&entry) }.is_err() {
            return Err(Errno(libc::EBUSY));
        }
        loop {
            match self.ring.submit_and_wait(1) {
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
                Err(error) => return Err(Errno::of(&error)),
            }
            if let Some(done) = self.ring.completion().next() {
                return if done.result() < 0 { Err(Errno(-done.result())) } else { Ok(()) };
            }
        }
    }
}
