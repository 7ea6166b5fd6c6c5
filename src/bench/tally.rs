//! Times as histograms.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::report::Spread;

const LOWEST_NS: u64 = 1_000;
const HIGHEST_NS: u64 = 3_600_000_000_000;
/// Three digits: an error of at most 0.1 %.
const DIGITS: u8 = 3;

/// Durations from 1 microsecond to an hour.
#[derive(Debug)]
pub(super) struct Times(Option<Histogram<u64>>);

impl Times {
    pub(super) fn new() -> Self {
        Self(Histogram::new_with_bounds(LOWEST_NS, HIGHEST_NS, DIGITS).ok())
    }

    pub(super) fn record_ns(&mut self, time_ns: u64) {
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(time_ns);
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        if let (Some(histogram), Some(other)) = (&mut self.0, &other.0) {
            // Same bounds: it cannot fail.
            let _ = histogram.add(other);
        }
    }

    /// The time that `quantile` of all do not exceed; `None` if there are none.
    pub(super) fn quantile(&self, quantile: f64) -> Option<Duration> {
        let histogram = self.0.as_ref().filter(|histogram| !histogram.is_empty())?;
        Some(Duration::from_nanos(histogram.value_at_quantile(quantile)))
    }

    /// `None` if there are none.
    pub(super) fn spread(&self) -> Option<Spread> {
        let histogram = self.0.as_ref().filter(|histogram| !histogram.is_empty())?;
        #[expect(clippy::cast_precision_loss, reason = "shown with one digit behind the point")]
        let at = |quantile: f64| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
        Some(Spread {
            count: histogram.len(),
            mean_us: histogram.mean() / 1_000.0,
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p99_9_us: at(0.999),
            max_us: at(1.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_a_sorted_list() {
        let mut times = Times::new();
        assert!(times.spread().is_none() && times.quantile(0.5).is_none());
        let mut list: Vec<u64> = (1..=1_000).map(|n| n * 37_000 % 1_000_003 + 1_000).collect();
        for half in list.chunks(500) {
            let mut part = Times::new();
            half.iter().for_each(|time| part.record_ns(*time));
            times.add(&part);
        }
        list.sort_unstable();
        let spread = times.spread().expect("a thousand");
        let near = |got: f64, index: usize| {
            let expected = list[index] as f64 / 1_000.0;
            assert!((got - expected).abs() <= expected * 0.002 + 1.0, "{got} against {expected}");
        };
        near(spread.p50_us, 499);
        near(spread.p90_us, 899);
        near(spread.p99_us, 989);
        near(spread.max_us, 999);
        assert_eq!(spread.count, 1_000);
    }
}
