//! A part of the events of a run: those one publisher loop publishes.

use std::ops::Range;
use std::time::Duration;

use super::{Plan, Rate};

/// Broadcasts a second beside the single events of `mixed`.
pub const BROADCASTS_PER_SECOND: f64 = 10.0;

/// Which events of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Numbers {
    /// These, over all units in turn.
    All(Range<u64>),
    /// So many of the first channel.
    First(u64),
    /// So many over the other channels in turn.
    Others(u64),
}

/// Events, and when and how they are published.
#[derive(Debug, Clone)]
pub struct Batch {
    numbers: Numbers,
    /// When.
    pub rate: Rate,
    /// Connections.
    pub publishers: usize,
    /// Events of one request.
    pub lines: usize,
    units: u64,
}

impl Batch {
    /// These events, as the command line says.
    #[must_use]
    pub fn all(plan: &Plan, numbers: Range<u64>) -> Self {
        let options = &plan.options;
        Self {
            numbers: Numbers::All(numbers),
            rate: options.rate,
            publishers: options.publishers,
            lines: options.lines,
            units: plan.units(),
        }
    }

    /// The broadcasts of `mixed`, for as long as its single events take.
    #[must_use]
    pub fn broadcasts(plan: &Plan) -> Self {
        let seconds = plan.due(plan.events).map_or(0.0, |due| due.as_secs_f64());
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a small number above zero"
        )]
        let count = (seconds * BROADCASTS_PER_SECOND).ceil() as u64;
        let rate = Rate::PerSecond(BROADCASTS_PER_SECOND);
        let numbers = Numbers::First(count.max(1));
        Self { numbers, rate, publishers: 1, lines: 1, units: plan.units() }
    }

    /// The single events of `mixed`.
    #[must_use]
    pub fn singles(plan: &Plan) -> Self {
        Self { numbers: Numbers::Others(plan.events), ..Self::all(plan, 0..0) }
    }

    /// How many events.
    #[must_use]
    pub fn len(&self) -> u64 {
        match &self.numbers {
            Numbers::All(range) => range.end - range.start,
            Numbers::First(count) | Numbers::Others(count) => *count,
        }
    }

    /// None at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The run's number of the batch's event `index`.
    #[must_use]
    pub fn number(&self, index: u64) -> u64 {
        match &self.numbers {
            Numbers::All(range) => range.start + index,
            Numbers::First(_) => index * self.units,
            Numbers::Others(_) => {
                let others = self.units - 1;
                index / others * self.units + 1 + index % others
            }
        }
    }

    /// Which of its connections publishes event `index`: always the same for one unit.
    #[must_use]
    pub fn publisher(&self, index: u64) -> usize {
        let unit = self.number(index) % self.units;
        usize::try_from(unit).unwrap_or(usize::MAX) % self.publishers
    }

    /// When event `index` is due after the start of publishing; `None` where the answers set the
    /// pace.
    #[must_use]
    pub fn due(&self, index: u64) -> Option<Duration> {
        self.rate.due(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Scenario;
    use crate::bench::plan::tests::options;

    #[test]
    fn the_parts_of_a_mixed_run_make_up_whole_units() {
        let mut options = options();
        (options.scenario, options.channels, options.events) = (Scenario::Mixed, 3, 7);
        options.rate = Rate::PerSecond(5.0);
        let plan = Plan::new(options, 100, 1, 0).expect("a plan");
        assert_eq!(plan.options.channels, 4);
        let (broadcasts, singles) = (Batch::broadcasts(&plan), Batch::singles(&plan));
        let numbers = |batch: &Batch| (0..batch.len()).map(|i| batch.number(i)).collect::<Vec<_>>();
        // 7 events at 5 a second take 1.4 s.
        assert_eq!(numbers(&broadcasts), (0..14).map(|n| n * 4).collect::<Vec<_>>());
        assert_eq!(numbers(&singles), [1, 2, 3, 5, 6, 7, 9]);
        assert_eq!(singles.due(5), Some(Duration::from_secs(1)));
        assert_eq!(broadcasts.due(5), Some(Duration::from_millis(500)));
    }

    #[test]
    fn a_unit_stays_with_its_connection() {
        for (channels, publishers) in [(1, 1), (1, 4), (5, 2), (2, 5)] {
            let mut options = options();
            (options.channels, options.publishers) = (channels, publishers);
            let plan = Plan::new(options, 100, 1, 0).expect("a plan");
            let batch = Batch::all(&plan, 3..40);
            let mut of_unit = std::collections::HashMap::new();
            for index in 0..batch.len() {
                assert_eq!(batch.number(index), index + 3);
                let publisher = batch.publisher(index);
                assert!(publisher < publishers);
                let unit = plan.unit(batch.number(index));
                assert_eq!(*of_unit.entry(unit).or_insert(publisher), publisher);
            }
        }
    }
}
