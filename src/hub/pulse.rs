//! Heartbeats that become rarer while a core is busy.

/// Busy beyond this share, intervals grow; below [`IDLE_SHARE`] they shrink again.
const BUSY_SHARE: f64 = 0.75;
/// See [`BUSY_SHARE`].
const IDLE_SHARE: f64 = 0.5;

/// The interval of heartbeats in force on a core.
///
/// It lies between the one that is set and twice that, and never beyond a bound: proxies close what
/// is silent for longer than they like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse {
    base_ms: u64,
    most_ms: u64,
    interval_ms: u64,
}

impl Pulse {
    /// Beats each `base_ms`; under load no rarer than twice that, nor than `max_ms` unless the base
    /// is longer.
    #[must_use]
    pub fn new(base_ms: u64, max_ms: u64) -> Self {
        let most_ms = base_ms.saturating_mul(2).min(max_ms).max(base_ms);
        Self { base_ms, most_ms, interval_ms: base_ms }
    }

    /// Silence on a stream after which a heartbeat is due, milliseconds.
    #[must_use]
    pub fn interval_ms(&self) -> u64 {
        self.interval_ms
    }

    /// Takes a look: `busy_ms` of the last `wall_ms` the core was at work. True if the interval is
    /// another now.
    pub fn look(&mut self, busy_ms: u64, wall_ms: u64) -> bool {
        let share = busy_ms as f64 / wall_ms.max(1) as f64;
        let before = self.interval_ms;
        if share >= BUSY_SHARE {
            self.interval_ms = (before + before / 4).min(self.most_ms);
        } else if share <= IDLE_SHARE {
            self.interval_ms = (before - before / 5).max(self.base_ms);
        }
        self.interval_ms != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_makes_them_rarer_up_to_a_bound_and_rest_brings_them_back() {
        let mut pulse = Pulse::new(20_000, 55_000);
        let mut seen = vec![pulse.interval_ms()];
        while pulse.look(900, 1_000) {
            seen.push(pulse.interval_ms());
        }
        assert_eq!(seen, [20_000, 25_000, 31_250, 39_062, 40_000]);
        assert!(!pulse.look(600, 1_000), "neither busy nor idle: it stays");
        while pulse.look(100, 1_000) {}
        assert_eq!(pulse.interval_ms(), 20_000);
        assert!(!pulse.look(0, 0));
    }

    #[test]
    fn the_bound_holds_and_never_shortens_what_is_set() {
        let mut pulse = Pulse::new(30_000, 55_000);
        for _ in 0..20 {
            pulse.look(1_000, 1_000);
        }
        assert_eq!(pulse.interval_ms(), 55_000);
        let mut long = Pulse::new(120_000, 55_000);
        assert!(!long.look(1_000, 1_000));
        assert_eq!(long.interval_ms(), 120_000);
    }
}
