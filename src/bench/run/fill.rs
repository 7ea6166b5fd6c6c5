//! From what the threads have seen to the report.

use std::sync::atomic::Ordering::Acquire;
use std::time::Duration;

use super::{Bench, LIMIT_PERCENT, Used, ratio};
use crate::bench::Scenario;
use crate::bench::check::{Course, Findings};
use crate::bench::publisher;
use crate::bench::report::{self, Threshold};
use crate::bench::streams;
use crate::bench::tally::Times;

/// A per-second figure.
#[expect(clippy::cast_precision_loss, reason = "shown with a few digits")]
fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

impl Bench {
    /// Streams, publishes and deliveries.
    pub(super) fn fill(&mut self, rings: &[streams::Outcome], delivering_s: f64) {
        self.fill_connections(rings);
        let Some(published) = self.published.take() else { return };
        let mut findings = Findings::default();
        let (mut latency, mut single_latency) = (Times::new(), Times::new());
        for ring in rings {
            findings.add(&ring.findings);
            latency.add(&ring.latency);
            single_latency.add(&ring.single_latency);
            self.report.deliveries.gzip_bytes += ring.gzip_bytes;
            self.report.deliveries.text_bytes += ring.text_bytes;
        }
        self.fill_deliveries(rings, &published);
        let deliveries = &mut self.report.deliveries;
        deliveries.set_findings(&findings);
        deliveries.latency = latency.spread();
        deliveries.single_latency = single_latency.spread();
        deliveries.seconds = delivering_s;
        deliveries.per_second = per_second(deliveries.received, delivering_s);
        let seconds = published.time.as_secs_f64();
        self.report.publishes = report::Publishes {
            rate: self.plan.options.rate.to_string(),
            wanted: self.plan.events,
            accepted: published.accepted,
            failed: published.failed.len() as u64,
            seconds,
            per_second: per_second(published.accepted, seconds),
            latency: published.answers.spread(),
            stopped: published.stopped.map(str::to_owned),
            error: published.error,
        };
    }

    fn fill_connections(&mut self, rings: &[streams::Outcome]) {
        let mut connects = Times::new();
        rings.iter().for_each(|ring| connects.add(&ring.connects));
        let wanted = self.plan.options.connections as u64;
        let opened = self.shared.opened.load(Acquire);
        self.report.connections = report::Connections {
            wanted,
            opened,
            failed: wanted.saturating_sub(opened),
            ended_early: self.shared.ended.load(Acquire),
            seconds: self.opening_s,
            per_second: per_second(opened, self.opening_s),
            latency: connects.spread(),
            error: self.shared.error(),
        };
    }

    /// Losses, stream by stream.
    fn fill_deliveries(&mut self, rings: &[streams::Outcome], published: &publisher::Outcome) {
        let plan = &self.plan;
        let course = Course {
            run: plan.run,
            data_bytes: plan.options.data_bytes,
            channels: plan.options.channels,
            units: plan.units(),
        };
        let mut by_channel = vec![0_u64; plan.options.channels];
        for (unit, tried) in published.tried.iter().enumerate() {
            by_channel[plan.channel_of_unit(unit)] += tried;
        }
        for number in &published.failed {
            by_channel[plan.channel_of_unit(plan.unit(*number))] -= 1;
        }
        let deliveries = &mut self.report.deliveries;
        for record in rings.iter().flat_map(|ring| &ring.records) {
            let (tried, failed) = (&published.tried, &published.failed);
            let lost = record.checker.lost(&course, record.channel, tried, failed);
            deliveries.expected += by_channel[record.channel];
            // Who stops reading may be told so, but not be left with a hole unknown to it.
            if record.stalled && record.checker.was_told() {
                deliveries.skipped += lost;
            } else {
                deliveries.lost += lost;
            }
        }
    }

    /// What the server's process cost.
    pub(super) fn fill_server(
        &self,
        about: &mut report::Server,
        half: Option<(u64, u64)>,
        delivered: u64,
    ) {
        let opened = self.report.connections.opened;
        #[expect(clippy::cast_precision_loss, reason = "shown with a few digits")]
        let slope =
            |from: u64, until: u64, streams: u64| ratio(until as f64 - from as f64, streams);
        if about.rss_before_bytes > 0 && about.rss_full_bytes > 0 {
            about.bytes_per_connection =
                slope(about.rss_before_bytes, about.rss_full_bytes, opened);
            about.bytes_per_connection_upper_half = half.and_then(|(rss, streams)| {
                slope(rss, about.rss_full_bytes, opened.saturating_sub(streams))
            });
        }
        about.cpu_us_per_connect = ratio(about.cpu_connecting_s * 1e6, opened);
        about.cpu_us_per_delivery = ratio(about.cpu_delivering_s * 1e6, delivered);
        let accepted = self.report.publishes.accepted;
        about.cpu_us_per_publish = ratio(about.cpu_delivering_s * 1e6, accepted);
    }

    /// How busy this program was.
    pub(super) fn fill_client(&mut self, used: Used) {
        let threads = self.plan.rings + 1;
        let could = used.elapsed_s * u32::try_from(threads.min(self.cores)).map_or(1.0, f64::from);
        let percent = |cpu: Duration, of: f64| {
            if of > 0.0 { 100.0 * cpu.as_secs_f64() / of } else { 0.0 }
        };
        let cpu_percent = percent(used.client.used, could);
        let busiest_thread_percent = percent(used.client.busiest, used.elapsed_s);
        self.report.client = report::Client {
            rings: self.plan.rings,
            cpu_s: used.client.used.as_secs_f64(),
            cpu_percent,
            busiest_thread_percent,
            was_the_limit: cpu_percent.max(busiest_thread_percent) >= LIMIT_PERCENT,
        };
    }

    /// Holds the result against the limits of the command line.
    pub(super) fn judge(&mut self, rings: &[streams::Outcome]) {
        let options = &self.plan.options;
        let mut latency = Times::new();
        for ring in rings {
            let mixed = options.scenario == Scenario::Mixed;
            latency.add(if mixed { &ring.single_latency } else { &ring.latency });
        }
        let thresholds = &mut self.report.thresholds;
        if let Some(limit) = options.max_p99 {
            // Nothing measured is no success.
            let p99 = latency.quantile(0.99);
            thresholds.push(Threshold {
                name: "--max-p99",
                limit: format!("{limit:?}"),
                value: p99.map_or("nothing was read".to_owned(), |p99| format!("{p99:?}")),
                kept: p99.is_some_and(|p99| p99 <= limit),
            });
        }
        if let Some(limit) = options.max_lost {
            let lost = self.report.deliveries.lost;
            let failed = self.report.connections.failed;
            let missing = self.report.publishes.failed;
            let mut value = lost.to_string();
            if failed + missing > 0 {
                value.push_str(&format!(", {failed} streams and {missing} publishes failed"));
            }
            thresholds.push(Threshold {
                name: "--max-lost",
                limit: limit.to_string(),
                value,
                kept: lost + failed + missing <= limit,
            });
        }
        self.report.passed = self.report.thresholds.iter().all(|threshold| threshold.kept);
    }
}
