//! Distributions. One writer each, any reader.

use super::Counter;

/// How often a value fell into which of several ranges.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    /// One more than bounds: the last is for what lies above all.
    counts: Box<[Counter]>,
    sum: Counter,
}

/// A histogram at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Distribution {
    /// Upper bounds of the ranges, ascending, each included in its range.
    pub bounds: &'static [u64],
    /// Values in each range, and above all bounds.
    pub counts: Vec<u64>,
    /// Of all values.
    pub sum: u64,
}

impl Histogram {
    /// Nothing yet; `bounds` ascend.
    #[must_use]
    pub fn new(bounds: &'static [u64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| Counter::default()).collect();
        Self { bounds, counts, sum: Counter::default() }
    }

    /// Takes `times` values of this size. Only its one writer may call this.
    pub fn add(&self, value: u64, times: u64) {
        let range = self.bounds.partition_point(|bound| *bound < value);
        self.counts[range].add(times);
        self.sum.add(value.wrapping_mul(times));
    }

    /// Reads it.
    #[must_use]
    pub fn snapshot(&self) -> Distribution {
        Distribution {
            bounds: self.bounds,
            counts: self.counts.iter().map(Counter::get).collect(),
            sum: self.sum.get(),
        }
    }
}

impl Distribution {
    /// Adds another one of the same bounds.
    pub fn add(&mut self, other: &Self) {
        if self.counts.is_empty() {
            return self.clone_from(other);
        }
        self.counts.iter_mut().zip(&other.counts).for_each(|(sum, more)| *sum += more);
        self.sum = self.sum.wrapping_add(other.sum);
    }

    /// Values in all.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The bound that so many thousandths of all values do not exceed; none if there are no values
    /// or it lies above all bounds.
    #[must_use]
    pub fn quantile(&self, permille: u64) -> Option<u64> {
        let wanted = self.count().saturating_mul(permille).div_ceil(1_000).max(1);
        let mut seen = 0;
        let reached = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        self.bounds.get(reached?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_into_the_range_whose_bound_they_do_not_exceed() {
        let histogram = Histogram::new(&[10, 20, 30]);
        for (value, times) in [(0, 1), (10, 2), (11, 3), (30, 4), (31, 5)] {
            histogram.add(value, times);
        }
        let now = histogram.snapshot();
        assert_eq!(now.counts, [3, 3, 4, 5]);
        assert_eq!((now.count(), now.sum), (15, 20 + 33 + 120 + 155));
        let mut all = Distribution::default();
        all.add(&now);
        all.add(&now);
        assert_eq!((all.counts, all.sum), (vec![6, 6, 8, 10], 2 * now.sum));
    }

    #[test]
    fn quantiles_are_bounds() {
        let histogram = Histogram::new(&[1, 2, 4]);
        assert_eq!(histogram.snapshot().quantile(500), None);
        histogram.add(1, 50);
        histogram.add(2, 49);
        histogram.add(9, 1);
        let now = histogram.snapshot();
        assert_eq!(
            (now.quantile(0), now.quantile(500), now.quantile(510)),
            (Some(1), Some(1), Some(2))
        );
        assert_eq!((now.quantile(990), now.quantile(1_000)), (Some(2), None));
    }
}
