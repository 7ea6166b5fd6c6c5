//! Metrics in the text form of Prometheus (0.0.4) and as OpenMetrics (1.0.0).
//!
//! Names of our own carry base units and a `core` label. Those of an older system (`sse_*`) have
//! its labels and only stand in the first form: OpenMetrics has no counter without `_total`.

use std::fmt::Write;

use super::Snapshot;
use crate::obs::{CoreSnapshot, Distribution, Measured};

/// Which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Prometheus text format 0.0.4.
    #[default]
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// What an `Accept` field asks for.
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        let open = accept.split(',').any(|one| {
            let name = one.split(';').next().unwrap_or_default().trim();
            name.eq_ignore_ascii_case("application/openmetrics-text")
        });
        if open { Self::OpenMetrics } else { Self::Text }
    }

    /// Its media type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What a number of a core is called, and by what it is divided to be in base units.
fn base(name: &str) -> (String, Option<&'static str>, u64) {
    let units =
        [("_us", "seconds", 1_000_000), ("_ms", "seconds", 1_000), ("_permille", "ratio", 1_000)];
    for (suffix, unit, divisor) in units {
        if let Some(name) = name.strip_suffix(suffix) {
            return (format!("ringcast_{name}_{unit}"), Some(unit), divisor);
        }
    }
    let unit = name.ends_with("_bytes").then_some("bytes");
    (format!("ringcast_{name}"), unit, 1)
}

/// A label's value (exposition formats, "escaping").
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn scaled(value: u64, divisor: u64) -> String {
    if divisor == 1 { value.to_string() } else { (value as f64 / divisor as f64).to_string() }
}

struct Page {
    format: Format,
    text: String,
}

impl Page {
    /// The lines before the samples of a family; the name of a counter is without `_total` here.
    fn family(&mut self, name: &str, kind: &str, unit: Option<&str>, help: &str) {
        let total = if kind == "counter" && self.format == Format::Text { "_total" } else { "" };
        let help = escape(help.trim());
        let _ = writeln!(self.text, "# HELP {name}{total} {help}\n# TYPE {name}{total} {kind}");
        if let Some(unit) = unit.filter(|_| self.format == Format::OpenMetrics) {
            let _ = writeln!(self.text, "# UNIT {name} {unit}");
        }
    }

    /// `labels` as they stand between braces; empty for none.
    fn sample(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = match labels {
            "" => writeln!(self.text, "{name} {value}"),
            labels => writeln!(self.text, "{name}{{{labels}}} {value}"),
        };
    }

    fn gauge(&mut self, name: &str, unit: Option<&str>, help: &str, value: impl std::fmt::Display) {
        self.family(name, "gauge", unit, help);
        self.sample(name, "", value);
    }

    fn distribution(&mut self, name: &str, labels: &str, of: &Distribution, per_second: f64) {
        let comma = if labels.is_empty() { "" } else { "," };
        let mut sum = 0;
        for (range, count) in of.counts.iter().enumerate() {
            sum += count;
            let bound = of.bounds.get(range);
            // OpenMetrics wants canonical numbers: 1.0.
            let bound = bound.map_or("+Inf".to_owned(), |bound| {
                let seconds = *bound as f64 / per_second;
                match self.format {
                    Format::Text => seconds.to_string(),
                    Format::OpenMetrics => format!("{seconds:?}"),
                }
            });
            self.sample(&format!("{name}_bucket"), &format!("{labels}{comma}le=\"{bound}\""), sum);
        }
        self.sample(&format!("{name}_sum"), labels, of.sum as f64 / per_second);
        self.sample(&format!("{name}_count"), labels, sum);
    }
}

/// The whole page.
pub(super) fn metrics(snapshot: &Snapshot, format: Format) -> String {
    let mut page = Page { format, text: String::new() };
    cores(&mut page, snapshot);
    node(&mut page, snapshot);
    match format {
        Format::Text => sources(&mut page, snapshot),
        Format::OpenMetrics => page.text.push_str("# EOF\n"),
    }
    page.text
}

fn cores(page: &mut Page, snapshot: &Snapshot) {
    for (at, (name, kind, help, _)) in CoreSnapshot::default().fields().into_iter().enumerate() {
        let (name, unit, divisor) = base(name);
        let total = if kind == "counter" { "_total" } else { "" };
        page.family(&name, kind, unit, help);
        for (core, counters) in snapshot.cores.iter().enumerate() {
            let value = scaled(counters.fields()[at].3, divisor);
            page.sample(&format!("{name}{total}"), &format!("core=\"{core}\""), value);
        }
    }
    let name = "ringcast_delivery_latency_seconds";
    page.family(
        name,
        "histogram",
        Some("seconds"),
        "From append to the send that carried an event, once per stream.",
    );
    for (core, measured) in snapshot.measured.iter().enumerate() {
        page.distribution(name, &format!("core=\"{core}\""), &measured.latency_us, 1e6);
    }
}

fn node(page: &mut Page, snapshot: &Snapshot) {
    let ready = u8::from(snapshot.ready);
    let start = snapshot.unix_ms.saturating_sub(snapshot.uptime_ms) as f64 / 1e3;
    let uptime = snapshot.uptime_ms as f64 / 1e3;
    let bytes = Some("bytes");
    page.family("ringcast_build_info", "gauge", None, "Version of the server.");
    page.sample("ringcast_build_info", concat!("version=\"", env!("CARGO_PKG_VERSION"), "\""), 1);
    page.gauge("ringcast_ready", None, "1 while new streams are taken.", ready);
    page.gauge("ringcast_channels", None, "Channels that exist.", snapshot.channels);
    page.gauge("ringcast_users", None, "Users with at least one stream.", snapshot.users);
    page.gauge("ringcast_tenants", None, "Tenants with at least one stream.", snapshot.tenants);
    page.gauge("ringcast_history_bytes", bytes, "Bytes of all histories.", snapshot.history_bytes);
    page.gauge("ringcast_uptime_seconds", Some("seconds"), "Since start.", uptime);
    page.gauge("process_resident_memory_bytes", bytes, "Resident memory.", snapshot.memory.rss);
    page.gauge("process_start_time_seconds", Some("seconds"), "Start, since 1970.", start);
}

/// The names of an older system.
fn sources(page: &mut Page, snapshot: &Snapshot) {
    let total = snapshot.total();
    page.family("sse_active_connections", "gauge", None, "Number of active SSE connections");
    let mut rest = total.streams;
    for (user, streams) in &snapshot.labelled_users {
        rest = rest.saturating_sub(u64::from(*streams));
        let label = format!("user_id=\"{}\"", escape(user));
        page.sample("sse_active_connections", &label, streams);
    }
    page.sample("sse_active_connections", "", rest);
    let help = "Total number of SSE connections established";
    // This counter's name has no `_total` at its end.
    let _ = writeln!(
        page.text,
        "# HELP sse_total_connections {help}\n# TYPE sse_total_connections counter"
    );
    page.sample("sse_total_connections", "", total.streams_begun);
    let mut measured = Measured::default();
    snapshot.measured.iter().for_each(|core| measured.add(core));
    let name = "sse_connection_duration_seconds";
    page.family(name, "histogram", Some("seconds"), "Duration of SSE connections in seconds");
    page.distribution(name, "", &measured.lifetime_ms, 1e3);
    page.family("sse_messages_sent", "counter", None, "Total number of SSE messages sent");
    for (name, sent) in measured.sent_by_name(&snapshot.event_names) {
        page.sample("sse_messages_sent_total", &format!("type=\"{}\"", escape(name)), sent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::obs::Measures;

    #[test]
    fn base_units_are_in_the_name() {
        let of = |name: &str| base(name).0;
        assert_eq!(of("asleep_us"), "ringcast_asleep_seconds");
        assert_eq!(of("heartbeat_lag_ms"), "ringcast_heartbeat_lag_seconds");
        assert_eq!(of("busy_permille"), "ringcast_busy_ratio");
        assert_eq!(of("sent_bytes"), "ringcast_sent_bytes");
        assert_eq!((scaled(1_500, 1_000), scaled(7, 1)), ("1.5".to_owned(), "7".to_owned()));
    }

    #[test]
    fn labels_are_escaped_and_users_beyond_those_named_are_the_rest() {
        let snapshot = Snapshot {
            cores: vec![CoreSnapshot { streams: 10, ..CoreSnapshot::default() }],
            measured: vec![Measures::default().snapshot()],
            labelled_users: vec![("a\"\\\n".into(), 3)],
            ..Snapshot::default()
        };
        let text = metrics(&snapshot, Format::Text);
        assert!(text.contains("sse_active_connections{user_id=\"a\\\"\\\\\\n\"} 3\n"), "{text}");
        assert!(text.contains("sse_active_connections 7\n"), "{text}");
    }

    #[test]
    fn accept_chooses_the_form() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.3";
        assert_eq!(Format::accepted(prometheus), Format::OpenMetrics);
        for other in ["", "*/*", "text/plain;version=0.0.4"] {
            assert_eq!(Format::accepted(other), Format::Text);
        }
    }
}
