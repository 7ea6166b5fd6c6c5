//! How busy the loop is, and what follows of it.

use super::Worker;
use crate::driver::Driver;

/// The load is looked at so often.
const LOOK_EVERY_US: u64 = 1_000_000;

/// How much of the time the loop is awake.
#[derive(Debug)]
pub(super) struct Load {
    looked_us: u64,
    /// Slept since then.
    asleep_us: u64,
    /// Since when it sleeps.
    sleeps_since_us: Option<u64>,
    /// Most that a look at streams was late since then, milliseconds.
    late_ms: u64,
}

/// One look at the load.
struct Look {
    wall_us: u64,
    asleep_us: u64,
    late_ms: u64,
}

impl Load {
    pub(super) fn new(now_us: u64) -> Self {
        Self { looked_us: now_us, asleep_us: 0, sleeps_since_us: None, late_ms: 0 }
    }

    /// The loop goes to sleep.
    pub(super) fn sleeps(&mut self, now_us: u64) {
        self.sleeps_since_us = Some(now_us);
    }

    /// A turn begins.
    pub(super) fn woke(&mut self, now_us: u64) {
        let since_us = self.sleeps_since_us.take().unwrap_or(now_us);
        self.asleep_us += now_us.saturating_sub(since_us);
    }

    /// Streams are looked at so much later than they should be.
    pub(super) fn late(&mut self, ms: u64) {
        self.late_ms = self.late_ms.max(ms);
    }

    /// Once a second: what was since the last time.
    fn look(&mut self, now_us: u64) -> Option<Look> {
        let wall_us = now_us.saturating_sub(self.looked_us);
        if wall_us < LOOK_EVERY_US {
            return None;
        }
        self.looked_us = now_us;
        let (asleep_us, late_ms) =
            (std::mem::take(&mut self.asleep_us), std::mem::take(&mut self.late_ms));
        Some(Look { wall_us, asleep_us, late_ms })
    }
}

impl<D: Driver> Worker<D> {
    /// Tells the load, and lets heartbeats follow it where that is set.
    pub(super) fn follow_load(&mut self) {
        let Some(Look { wall_us, asleep_us, late_ms }) = self.load.look(self.now.mono_us) else {
            return;
        };
        // Waiting for a core is no rest.
        let busy_us = wall_us.saturating_sub(asleep_us);
        let counters = &self.node.counters[self.index];
        counters.asleep_us.add(asleep_us);
        counters.busy_permille.set(busy_us * 1_000 / wall_us);
        counters.heartbeat_lag_ms.set(late_ms);
        if self.live.options.heartbeat_max_ms.is_none() {
            return;
        }
        if self.pulse.look(busy_us / 1_000, wall_us / 1_000) {
            self.beat_anew();
        }
        self.node.counters[self.index].heartbeat_interval_ms.set(self.pulse.interval_ms());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_slept_is_not_worked() {
        let mut load = Load::new(1_000);
        load.sleeps(10_000);
        load.woke(40_000);
        // A turn that did not sleep.
        load.woke(50_000);
        load.late(3);
        load.late(2);
        assert!(load.look(500_000).is_none(), "a second has not passed");
        load.sleeps(900_000);
        load.woke(1_001_000);
        let look = load.look(1_001_000).expect("a second");
        assert_eq!((look.wall_us, look.asleep_us, look.late_ms), (1_000_000, 131_000, 3));
        let look = load.look(2_001_000).expect("another");
        assert_eq!((look.asleep_us, look.late_ms), (0, 0));
    }
}
