//! Timeouts that stay armed while the ring goes to sleep and wakes many times.

use io_uring::opcode;
use io_uring::types::{TimeoutFlags, Timespec};

use super::ring::Ring;
use crate::driver::user_data::UserData;

impl Ring {
    /// Arms an alarm for a moment of CLOCK_MONOTONIC: it completes once, with [`UserData::Alarm`],
    /// and so ends a sleep without a time of its own.
    ///
    /// A time given with each sleep is set and taken back each time, which on a virtual machine
    /// may cost an exit to its host.
    pub fn alarm(&mut self, at_mono_ms: u64) {
        let nanoseconds = u32::try_from(at_mono_ms % 1_000 * 1_000_000).unwrap_or(0);
        let at = Timespec::new().sec(at_mono_ms / 1_000).nsec(nanoseconds);
        let entry = opcode::Timeout::new(&raw const at)
            .flags(TimeoutFlags::ABS)
            .build()
            .user_data(UserData::Alarm.pack());
        // SAFETY: the kernel copies the time when it takes the entry, which it has done when
        // `submit` returns (a dead ring never takes it); `at` lives until then.
        unsafe { self.push(&entry) };
        self.submit();
    }
}
