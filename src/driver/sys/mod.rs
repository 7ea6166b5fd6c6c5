//! Raw kernel interface: the one address of `unsafe` outside the journal's ring.
//!
//! What leaves this room is safe to call. Pointers given to the kernel either point into memory
//! that the ring owns until it is dropped (accept addresses, receive buffers), or are used only
//! within one call (sends).
#![allow(unsafe_code)]

mod buffers;
mod eventfd;
mod ring;

pub(crate) use eventfd::EventFd;
pub(crate) use ring::{Cqe, Ring, RingSettings};

/// Soft limit of open descriptors; it also caps a ring's table of direct descriptors.
#[must_use]
pub fn descriptor_limit() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live, writable rlimit.
    let failed = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0;
    if failed { 1_024 } else { usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX) }
}

/// Raises the soft limit of open descriptors to the hard one.
pub fn raise_descriptor_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live, writable rlimit.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } == 0 {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: the pointer is to a live rlimit.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    }
}

/// Milliseconds of a clock.
fn clock_ms(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live, writable timespec.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000
}

/// CLOCK_MONOTONIC in milliseconds.
#[must_use]
pub fn mono_ms() -> u64 {
    clock_ms(libc::CLOCK_MONOTONIC)
}

/// CLOCK_REALTIME in milliseconds since 1970.
#[must_use]
pub fn unix_ms() -> u64 {
    clock_ms(libc::CLOCK_REALTIME)
}
