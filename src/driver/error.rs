//! What can go wrong when a ring is set up.

use std::fmt;

/// An errno value with its usual text, for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub i32);

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        std::io::Error::from_raw_os_error(self.0).fmt(f)
    }
}

impl Errno {
    /// The errno of a failed standard-library call; EIO when it carries none.
    pub fn of(error: &std::io::Error) -> Self {
        Self(error.raw_os_error().unwrap_or(libc::EIO))
    }
}

impl From<StartError> for std::io::Error {
    fn from(error: StartError) -> Self {
        Self::other(error)
    }
}

/// Why a driver could not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// io_uring_setup(2) refused; `probe` tells why in a sentence for people.
    #[error("io_uring_setup: {0}")]
    Setup(Errno),
    /// The table of direct descriptors could not be registered.
    #[error("register a table of {slots} direct descriptors: {errno}")]
    Table {
        /// Entries asked for.
        slots: u32,
        /// What the kernel said.
        errno: Errno,
    },
    /// The shared receive buffers could not be registered.
    #[error("register {buffers} receive buffers: {errno}")]
    Buffers {
        /// Buffers asked for; must be a power of two, at most 32,768.
        buffers: u16,
        /// What the kernel said.
        errno: Errno,
    },
    /// The eventfd by which a further ring wakes the main one.
    #[error("eventfd for a further ring: {0}")]
    EventFd(Errno),
    /// A listener could not be switched to blocking mode.
    #[error("listener {listener}: {errno}")]
    Listener {
        /// Which listener, as given at start.
        listener: usize,
        /// What the kernel said.
        errno: Errno,
    },
    /// More than 255 listeners, or none of the wanted capacity is possible.
    #[error("settings out of range")]
    Settings,
}
