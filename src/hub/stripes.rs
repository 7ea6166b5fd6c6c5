//! Periodic visits without timers.
//!
//! Slots are visited in stripes: in tick `t` those with `slot % stripes == t % stripes`. Every slot
//! has its turn once per period, and the visits of a million streams spread evenly over it.

/// Which slots are due.
#[derive(Debug)]
pub struct Stripes {
    stripes: u32,
    tick_ms: u64,
    next_tick_at_ms: u64,
    tick: u32,
    cursor: Option<u32>,
}

impl Stripes {
    /// Visits every slot once per `period_ms` (at least 20 ms), beginning at `now_ms`.
    #[must_use]
    pub fn new(period_ms: u64, now_ms: u64) -> Self {
        let period_ms = period_ms.max(20);
        let stripes = (period_ms / 20).clamp(1, 256);
        let tick_ms = period_ms / stripes;
        Self {
            stripes: u32::try_from(stripes).unwrap_or(1),
            tick_ms,
            next_tick_at_ms: now_ms + tick_ms,
            tick: 0,
            cursor: None,
        }
    }

    /// When the next visits are due, monotonic milliseconds; now if a stripe is half visited.
    #[must_use]
    pub fn due_at_ms(&self) -> u64 {
        if self.cursor.is_some() { 0 } else { self.next_tick_at_ms }
    }

    /// How much later than due the visits are, milliseconds.
    #[must_use]
    pub fn lag_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.next_tick_at_ms)
    }

    /// The next slot to visit below `slots`, or none until the next tick. Call until it says none
    /// or the budget of this turn is used up; it goes on where it stopped.
    pub fn next(&mut self, now_ms: u64, slots: u32) -> Option<u32> {
        loop {
            let slot = match self.cursor {
                Some(slot) => slot,
                None if now_ms < self.next_tick_at_ms => return None,
                None => {
                    self.next_tick_at_ms += self.tick_ms;
                    self.tick = (self.tick + 1) % self.stripes;
                    self.tick
                }
            };
            if slot < slots {
                self.cursor = Some(slot + self.stripes);
                return Some(slot);
            }
            self.cursor = None;
        }
    }

    /// Forgets missed ticks after a long pause (a suspended machine): late visits are not made up
    /// for, since one visit does all that is due.
    pub fn skip_missed(&mut self, now_ms: u64) {
        let period_ms = self.tick_ms * u64::from(self.stripes);
        if now_ms > self.next_tick_at_ms + period_ms {
            self.next_tick_at_ms = now_ms - period_ms;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_has_its_turn_once_per_period() {
        let mut stripes = Stripes::new(1_000, 0);
        let mut visits = vec![0; 777];
        for now_ms in 0..10_000 {
            while let Some(slot) = stripes.next(now_ms, 777) {
                visits[slot as usize] += 1;
            }
        }
        assert!(visits.iter().all(|count| (9..=10).contains(count)), "{visits:?}");
    }

    #[test]
    fn a_half_visited_stripe_is_due_at_once_and_goes_on() {
        let mut stripes = Stripes::new(40, 0);
        let first = stripes.next(20, 100).unwrap();
        assert_eq!(stripes.due_at_ms(), 0);
        let second = stripes.next(20, 100).unwrap();
        assert_eq!(second - first, 2);
        while stripes.next(20, 100).is_some() {}
        assert_eq!(stripes.due_at_ms(), 40);
    }

    #[test]
    fn a_pause_is_not_made_up_for() {
        let mut stripes = Stripes::new(100, 0);
        stripes.skip_missed(1_000_000);
        let mut visits = 0;
        while stripes.next(1_000_000, 10).is_some() {
            visits += 1;
        }
        assert!(visits <= 20, "{visits}");
    }
}
