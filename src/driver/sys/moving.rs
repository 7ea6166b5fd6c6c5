//! Plain descriptors of direct ones, and the other way.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use io_uring::{opcode, types};

use super::ring::Ring;
use crate::driver::error::Errno;
use crate::driver::user_data::UserData;

impl Ring {
    /// Queues the making of a plain descriptor of a direct one (IORING_OP_FIXED_FD_INSTALL, since
    /// 6.8; closed on exec). Once completed it lies in [`take_installed`](Self::take_installed).
    pub fn install(&mut self, index: u32) {
        let data = UserData::Install { index };
        let entry =
            opcode::FixedFdInstall::new(types::Fixed(index), 0).build().user_data(data.pack());
        // SAFETY: names no memory.
        unsafe { self.push(&entry) };
    }

    /// Notes what an installation has made; call it once with each of their completions.
    pub(super) fn installed(&mut self, index: u32, result: i32) {
        let made = if result < 0 {
            Err(Errno(-result))
        } else {
            // SAFETY: the kernel has just made this descriptor for us; the completion is the only
            // one of its operation, and is seen once.
            Ok(unsafe { OwnedFd::from_raw_fd(result) })
        };
        self.installed.push((index, made));
    }

    /// What installations have made since the last call, by index.
    pub fn take_installed(&mut self) -> Vec<(u32, Result<OwnedFd, Errno>)> {
        std::mem::take(&mut self.installed)
    }

    /// Puts plain descriptors into the table from `from` on; the table holds the sockets open from
    /// then on, whatever becomes of the descriptors.
    pub fn put(&mut self, from: u32, descriptors: &[RawFd]) -> Result<(), Errno> {
        let put = self.inner.submitter().register_files_update(from, descriptors);
        match put {
            Ok(count) if count == descriptors.len() => Ok(()),
            Ok(_) => Err(Errno(libc::EIO)),
            Err(error) => Err(Errno::of(&error)),
        }
    }
}

/// Another descriptor of the same socket, closed on exec.
pub fn duplicate(descriptor: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: takes no memory.
    let made = unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 0) };
    if made < 0 {
        return Err(Errno::of(&std::io::Error::last_os_error()));
    }
    // SAFETY: the call has just made this descriptor and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(made) })
}
