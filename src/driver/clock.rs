//! The two clocks of a turn.

use super::contract::Now;
use super::sys;

/// Reads CLOCK_MONOTONIC and CLOCK_REALTIME (clock_gettime(2)).
///
/// Both are read through the vDSO: about 40 ns together, no system call.
pub fn now() -> Now {
    let mono_us = sys::mono_us();
    Now { mono_us, mono_ms: mono_us / 1_000, unix_ms: sys::unix_ms() }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

    #[test]
    fn the_clocks_agree_with_the_standard_library() {
        let (before, start) = (super::now(), Instant::now());
        std::thread::sleep(Duration::from_millis(30));
        let (after, passed) = (super::now(), start.elapsed());
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let mono = u128::from(after.mono_ms - before.mono_ms);
        assert!(mono.abs_diff(passed.as_millis()) <= 2, "{mono} against {passed:?}");
        assert!(u128::from(after.unix_ms).abs_diff(wall.as_millis()) < 500);
    }
}
