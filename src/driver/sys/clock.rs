//! clock_gettime(2).

use std::time::Duration;

/// Which clock.
#[derive(Debug, Clone, Copy)]
pub enum Clock {
    /// CLOCK_MONOTONIC: never goes back, starts at boot.
    Monotonic,
    /// CLOCK_REALTIME: since 1970.
    Realtime,
}

/// Time since the clock's start; zero if the clock stands before it.
pub fn read(clock: Clock) -> Duration {
    let id = match clock {
        Clock::Monotonic => libc::CLOCK_MONOTONIC,
        Clock::Realtime => libc::CLOCK_REALTIME,
    };
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec that the call only writes to; both clock ids always
    // exist, so the call cannot fail.
    unsafe { libc::clock_gettime(id, &mut time) };
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0).min(999_999_999),
    )
}
