//! From two looks at a server's numbers to rows, totals and hints. No terminal, no network.

use serde::Deserialize;
use serde_json::{Value, json};

/// What `/stats/cores` says of one core; what is not named here is left alone.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Core {
    pub(super) core: usize,
    pub(super) connections: u64,
    pub(super) streams: u64,
    pub(super) lagging: u64,
    pub(super) journal_depth: u64,
    pub(super) busy_permille: u64,
    pub(super) heartbeat_lag_ms: u64,
    accepts: u64,
    refusals: u64,
    publishes: u64,
    publishes_timed_out: u64,
    deliveries: u64,
    sent_bytes: u64,
    delivery_latency_us: Latency,
}

/// A histogram: bounds and how many values lie in each range; `count` has those above all too.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Latency {
    count: u64,
    buckets: Vec<(u64, u64)>,
}

/// One look.
#[derive(Debug, Clone, Default)]
pub(super) struct Sample {
    /// When, milliseconds of any clock.
    pub(super) at_ms: u64,
    pub(super) cores: Vec<Core>,
    /// `/stats`.
    pub(super) stats: Value,
}

/// A core, or all of them: gauges now, counters per second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Row {
    /// None for the totals.
    pub(super) core: Option<usize>,
    pub(super) connections: u64,
    pub(super) streams: u64,
    /// Of all streams, 0 to 1.
    pub(super) share: f64,
    pub(super) lagging: u64,
    pub(super) journal_depth: u64,
    /// 0 to 1.
    pub(super) busy: f64,
    pub(super) accepts: f64,
    pub(super) refusals: f64,
    pub(super) publishes: f64,
    pub(super) deliveries: f64,
    pub(super) sent_bytes: f64,
    /// 99th hundredth of the time from append to send since the last look; none if nothing was
    /// sent, `u64::MAX` above all bounds.
    pub(super) p99_us: Option<u64>,
}

/// What the screen shows.
#[derive(Debug, Clone, Default)]
pub(super) struct View {
    pub(super) rows: Vec<Row>,
    pub(super) total: Row,
    pub(super) hints: Vec<String>,
    pub(super) channels: u64,
    pub(super) users: u64,
    pub(super) rss: u64,
    pub(super) uptime_s: f64,
}

/// By what rows are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Order {
    #[default]
    Core,
    Streams,
    Deliveries,
    Busy,
    Lagging,
    Latency,
}

impl Order {
    /// All, with the key that chooses each and its column's title.
    pub(super) const ALL: [(char, Self, &'static str); 6] = [
        ('c', Self::Core, "core"),
        ('s', Self::Streams, "streams"),
        ('d', Self::Deliveries, "deliveries/s"),
        ('b', Self::Busy, "busy"),
        ('l', Self::Lagging, "lagging"),
        ('p', Self::Latency, "p99"),
    ];
}

/// Sorts: cores ascending, all else with the most first.
pub(super) fn sort(rows: &mut [Row], order: Order) {
    rows.sort_by(|a, b| match order {
        Order::Core => a.core.cmp(&b.core),
        Order::Streams => b.streams.cmp(&a.streams),
        Order::Deliveries => b.deliveries.total_cmp(&a.deliveries),
        Order::Busy => b.busy.total_cmp(&a.busy),
        Order::Lagging => b.lagging.cmp(&a.lagging),
        Order::Latency => b.p99_us.cmp(&a.p99_us),
    });
}

/// What has changed from `before` to `now`; a server that began anew in between has no rates.
pub(super) fn view(before: Option<&Sample>, now: &Sample) -> View {
    let seconds = before.map_or(0.0, |old| now.at_ms.saturating_sub(old.at_ms) as f64 / 1_000.0);
    let nothing = Core::default();
    let all: u64 = now.cores.iter().map(|core| core.streams).sum();
    let mut total = Row { share: 1.0, ..Row::default() };
    let mut latency = Latency::default();
    let mut rows = Vec::new();
    for core in &now.cores {
        let old = before.and_then(|old| old.cores.iter().find(|one| one.core == core.core));
        let old = old.unwrap_or(if before.is_some() { &nothing } else { core });
        let rate = |new: u64, old: u64| {
            if seconds > 0.0 { new.saturating_sub(old) as f64 / seconds } else { 0.0 }
        };
        let since = core.delivery_latency_us.since(&old.delivery_latency_us);
        let row = Row {
            core: Some(core.core),
            connections: core.connections,
            streams: core.streams,
            share: if all > 0 { core.streams as f64 / all as f64 } else { 0.0 },
            lagging: core.lagging,
            journal_depth: core.journal_depth,
            busy: core.busy_permille as f64 / 1_000.0,
            accepts: rate(core.accepts, old.accepts),
            refusals: rate(core.refusals, old.refusals),
            publishes: rate(core.publishes, old.publishes),
            deliveries: rate(core.deliveries, old.deliveries),
            sent_bytes: rate(core.sent_bytes, old.sent_bytes),
            p99_us: since.p99(),
        };
        total.add(&row);
        latency.add(&since);
        rows.push(row);
    }
    total.p99_us = latency.p99();
    total.busy /= rows.len().max(1) as f64;
    let number = |name: &str| now.stats[name].as_u64().unwrap_or_default();
    View {
        hints: hints(&rows, &total, before, now),
        rows,
        total,
        channels: number("activeChannels"),
        users: number("totalUsers"),
        rss: now.stats["memoryUsage"]["rss"].as_u64().unwrap_or_default(),
        uptime_s: now.stats["uptime"].as_f64().unwrap_or_default(),
    }
}

impl Row {
    fn add(&mut self, core: &Self) {
        self.connections += core.connections;
        self.streams += core.streams;
        self.lagging += core.lagging;
        self.journal_depth = self.journal_depth.max(core.journal_depth);
        self.busy += core.busy;
        self.accepts += core.accepts;
        self.refusals += core.refusals;
        self.publishes += core.publishes;
        self.deliveries += core.deliveries;
        self.sent_bytes += core.sent_bytes;
    }

    /// For programs; rates are per second.
    pub(super) fn json(&self) -> Value {
        json!({
            "core": self.core,
            "connections": self.connections,
            "streams": self.streams,
            "share": self.share,
            "lagging": self.lagging,
            "journal_depth": self.journal_depth,
            "busy": self.busy,
            "accepts": self.accepts,
            "refusals": self.refusals,
            "publishes": self.publishes,
            "deliveries": self.deliveries,
            "sent_bytes": self.sent_bytes,
            "p99_us": self.p99_us.filter(|us| *us < u64::MAX),
        })
    }
}

impl View {
    /// For programs.
    pub(super) fn json(&self) -> Value {
        json!({
            "cores": self.rows.iter().map(Row::json).collect::<Vec<_>>(),
            "total": self.total.json(),
            "hints": self.hints,
            "channels": self.channels,
            "users": self.users,
            "rss": self.rss,
            "uptime": self.uptime_s,
        })
    }
}

impl Latency {
    fn since(&self, old: &Self) -> Self {
        let before = |at: usize| old.buckets.get(at).map_or(0, |bucket| bucket.1);
        let buckets = self.buckets.iter().enumerate();
        let buckets = buckets.map(|(at, (bound, n))| (*bound, n.saturating_sub(before(at))));
        Self { count: self.count.saturating_sub(old.count), buckets: buckets.collect() }
    }

    fn add(&mut self, other: &Self) {
        if self.buckets.is_empty() {
            return self.clone_from(other);
        }
        self.count += other.count;
        for (sum, more) in self.buckets.iter_mut().zip(&other.buckets) {
            sum.1 += more.1;
        }
    }

    fn p99(&self) -> Option<u64> {
        let wanted = (self.count * 99).div_ceil(100);
        if wanted == 0 {
            return None;
        }
        let mut seen = 0;
        let found = self.buckets.iter().find(|(_, count)| {
            seen += count;
            seen >= wanted
        });
        Some(found.map_or(u64::MAX, |(bound, _)| *bound))
    }
}

/// A core is told of when it holds so much more than its share.
const SHARE_FACTOR: f64 = 1.5;
/// Fewer streams are no imbalance.
const STREAMS_MIN: u64 = 100;

/// What an operator should look at, and what may be done.
fn hints(rows: &[Row], total: &Row, before: Option<&Sample>, now: &Sample) -> Vec<String> {
    let mut hints = Vec::new();
    let fair = 1.0 / rows.len().max(1) as f64;
    for row in rows {
        let core = row.core.unwrap_or_default();
        if row.share > (fair * SHARE_FACTOR).min(0.95)
            && total.streams >= STREAMS_MIN
            && rows.len() > 1
        {
            hints.push(format!(
                "core {core} holds {:.0} % of all streams, {:.0} % would be its share: \
                 POST /admin/rebalance",
                row.share * 100.0,
                fair * 100.0
            ));
        }
        if row.busy > 0.9 {
            hints.push(format!(
                "core {core} is busy {:.0} % of the time: more cores, or fewer streams on it",
                row.busy * 100.0
            ));
        }
    }
    for core in now.cores.iter().filter(|core| core.heartbeat_lag_ms > 5_000) {
        let late_s = core.heartbeat_lag_ms / 1_000;
        hints.push(format!("heartbeats of core {} are {late_s} s late", core.core));
    }
    if total.streams >= STREAMS_MIN && total.lagging * 10 > total.streams {
        hints.push(format!(
            "{} of {} streams lag: GET /connections?order=lag names them",
            total.lagging, total.streams
        ));
    }
    let timed_out =
        |sample: &Sample| -> u64 { sample.cores.iter().map(|core| core.publishes_timed_out).sum() };
    let lost = before.map_or(0, |old| timed_out(now).saturating_sub(timed_out(old)));
    if lost > 0 {
        hints
            .push(format!("{lost} publishes found no room: a core reads slower than is published"));
    }
    hints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at_ms: u64, cores: Value) -> Sample {
        let cores = serde_json::from_value(cores).expect("cores");
        let stats = json!({"activeChannels": 3, "totalUsers": 2, "uptime": 9.5,
            "memoryUsage": {"rss": 1_048_576}});
        Sample { at_ms, cores, stats }
    }

    fn core(core: usize, streams: u64, deliveries: u64, buckets: [u64; 2]) -> Value {
        json!({
            "core": core, "streams": streams, "deliveries": deliveries, "publishes": deliveries / 10,
            "busy_permille": 250, "something_new": 1,
            "delivery_latency_us": {"count": deliveries, "buckets": [[100, buckets[0]], [500, buckets[1]]]},
        })
    }

    #[test]
    fn counters_become_rates_and_the_latency_is_that_of_the_interval() {
        let before = sample(1_000, json!([core(0, 10, 1_000, [1_000, 0]), core(1, 30, 0, [0, 0])]));
        let now =
            sample(3_000, json!([core(0, 10, 1_200, [1_000, 200]), core(1, 30, 400, [400, 0])]));
        let view = view(Some(&before), &now);
        let of = |row: &Row| (row.streams, row.share, row.deliveries, row.publishes, row.p99_us);
        assert_eq!(of(&view.rows[0]), (10, 0.25, 100.0, 10.0, Some(500)));
        assert_eq!(of(&view.rows[1]), (30, 0.75, 200.0, 20.0, Some(100)));
        assert_eq!(of(&view.total), (40, 1.0, 300.0, 30.0, Some(500)));
        assert_eq!((view.total.busy, view.rss, view.users), (0.25, 1_048_576, 2));
        assert!(view.hints.is_empty(), "{:?}", view.hints);
    }

    #[test]
    fn the_first_look_and_a_server_that_began_anew_have_no_odd_rates() {
        let now = sample(2_000, json!([core(0, 10, 100, [100, 0])]));
        assert_eq!(view(None, &now).rows[0].deliveries, 0.0);
        let before = sample(1_000, json!([core(0, 10, 5_000, [5_000, 0])]));
        let row = view(Some(&before), &now).rows[0];
        assert_eq!((row.deliveries, row.p99_us), (0.0, None));
    }

    #[test]
    fn a_core_with_more_than_its_share_is_told_of() {
        let mut now = sample(0, json!([core(0, 90, 0, [0, 0]), core(1, 10, 0, [0, 0])]));
        now.cores[1].busy_permille = 950;
        now.cores[1].lagging = 20;
        let hints = view(None, &now).hints;
        assert_eq!(hints.len(), 3, "{hints:?}");
        assert!(hints[0].starts_with("core 0 holds 90 % of all streams"), "{hints:?}");
        assert!(hints[1].starts_with("core 1 is busy 95 %"), "{hints:?}");
        assert!(hints[2].starts_with("20 of 100 streams lag"), "{hints:?}");
        let even = sample(0, json!([core(0, 55, 0, [0, 0]), core(1, 45, 0, [0, 0])]));
        assert!(view(None, &even).hints.is_empty());
    }

    #[test]
    fn rows_are_sorted_with_the_most_first() {
        let now =
            sample(0, json!([core(0, 1, 0, [0, 0]), core(1, 3, 0, [0, 0]), core(2, 2, 0, [0, 0])]));
        let mut rows = view(None, &now).rows;
        let cores = |rows: &[Row]| rows.iter().filter_map(|row| row.core).collect::<Vec<_>>();
        sort(&mut rows, Order::Streams);
        assert_eq!(cores(&rows), [1, 2, 0]);
        sort(&mut rows, Order::Core);
        assert_eq!(cores(&rows), [0, 1, 2]);
    }
}
