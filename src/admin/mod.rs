//! Operators' pages: a snapshot in, bytes out.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::obs::CoreSnapshot;

/// A node's numbers at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Wall clock, milliseconds.
    pub unix_ms: u64,
    /// Milliseconds since start.
    pub uptime_ms: u64,
    /// It takes new streams.
    pub ready: bool,
    /// By core.
    pub cores: Vec<CoreSnapshot>,
    /// Channels that exist.
    pub channels: usize,
    /// Bytes of all histories.
    pub history_bytes: usize,
    /// Journal entries in flight.
    pub journal_depth: u64,
}

/// A page.
#[derive(Debug)]
pub struct Page {
    /// HTTP status.
    pub status: u16,
    /// Media type.
    pub content_type: &'static str,
    /// Its bytes.
    pub body: Vec<u8>,
}

/// Pages that the public address serves too.
#[must_use]
pub fn is_public(path: &str) -> bool {
    matches!(path, "/health" | "/health/sse" | "/livez" | "/readyz" | "/stats")
}

/// Fields of an operator's page: a page may load nothing but its own two files and the numbers.
pub const PAGE_FIELDS: [(&str, &str); 4] = [
    ("Cache-Control", "no-store"),
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
];

/// Pages that never change, by path, with their media types.
const FILES: [(&str, &str, &str); 4] = [
    ("/", "text/html; charset=utf-8", include_str!("dashboard/index.html")),
    ("/dashboard.css", "text/css; charset=utf-8", include_str!("dashboard/dashboard.css")),
    ("/dashboard.js", "text/javascript; charset=utf-8", include_str!("dashboard/dashboard.js")),
    ("/openapi.yaml", "application/yaml", include_str!("../../docs/openapi.yaml")),
];

/// The page at `path`.
#[must_use]
pub fn page(path: &str, snapshot: &Snapshot) -> Option<Page> {
    let json = |body: Value| Page {
        status: 200,
        content_type: "application/json",
        body: body.to_string().into_bytes(),
    };
    let text = |status, body: &str| Page {
        status,
        content_type: "text/plain; charset=utf-8",
        body: body.as_bytes().to_vec(),
    };
    Some(match path {
        "/livez" => text(200, "ok\n"),
        "/readyz" if snapshot.ready => text(200, "ready\n"),
        "/readyz" => text(503, "draining\n"),
        "/health" | "/health/sse" => json(health(snapshot)),
        "/stats" => json(stats(snapshot)),
        "/stats/cores" => json(cores(snapshot)),
        "/metrics" => Page {
            status: 200,
            content_type: "text/plain; version=0.0.4; charset=utf-8",
            body: metrics(snapshot).into_bytes(),
        },
        _ => {
            let (_, content_type, text) = FILES.iter().find(|(known, ..)| *known == path)?;
            Page { status: 200, content_type, body: text.as_bytes().to_vec() }
        }
    })
}

impl Snapshot {
    /// All cores added up.
    #[must_use]
    pub fn total(&self) -> CoreSnapshot {
        self.cores.iter().fold(CoreSnapshot::default(), |mut sum, core| {
            sum.add(core);
            sum
        })
    }
}

fn health(snapshot: &Snapshot) -> Value {
    let streams = snapshot.total().streams;
    json!({
        "status": "ok",
        "timestamp": crate::proto::iso8601(snapshot.unix_ms),
        "uptime": snapshot.uptime_ms as f64 / 1_000.0,
        "connections": {
            "total": streams,
            "active": streams,
            "totalConnections": streams,
            "byUser": {},
        },
    })
}

fn stats(snapshot: &Snapshot) -> Value {
    let total = snapshot.total();
    json!({
        "activeChannels": snapshot.channels,
        "connectedClients": total.streams,
        "publishedMessages": total.publishes,
        "totalConnections": total.streams_begun,
        "activeConnections": total.streams,
        "totalClients": total.streams,
        "deliveries": total.deliveries,
        "historyBytes": snapshot.history_bytes,
        "journalDepth": snapshot.journal_depth,
        "uptime": snapshot.uptime_ms as f64 / 1_000.0,
    })
}

fn cores(snapshot: &Snapshot) -> Value {
    let cores = snapshot.cores.iter().enumerate().map(|(core, counters)| {
        let mut value = serde_json::to_value(counters).unwrap_or_default();
        value["core"] = core.into();
        value
    });
    json!({ "cores": cores.collect::<Vec<Value>>() })
}

/// Prometheus text format 0.0.4.
fn metrics(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    let names = CoreSnapshot::default().fields();
    for (at, (name, kind, help, _)) in names.into_iter().enumerate() {
        let suffix = if kind == "counter" { "_total" } else { "" };
        let _ = writeln!(text, "# HELP ringcast_{name}{suffix} {}", help.trim());
        let _ = writeln!(text, "# TYPE ringcast_{name}{suffix} {kind}");
        for (core, counters) in snapshot.cores.iter().enumerate() {
            let value = counters.fields()[at].3;
            let _ = writeln!(text, "ringcast_{name}{suffix}{{core=\"{core}\"}} {value}");
        }
    }
    let total = snapshot.total();
    let node = [
        ("ringcast_channels", "gauge", "Channels that exist.", snapshot.channels as u64),
        (
            "ringcast_history_bytes",
            "gauge",
            "Bytes of all histories.",
            snapshot.history_bytes as u64,
        ),
        ("ringcast_uptime_seconds", "gauge", "Seconds since start.", snapshot.uptime_ms / 1_000),
        ("sse_active_connections", "gauge", "Number of active SSE connections", total.streams),
        (
            "sse_total_connections",
            "counter",
            "Total number of SSE connections established",
            total.streams_begun,
        ),
    ];
    for (name, kind, help, value) in node {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        let core = |streams, publishes| CoreSnapshot { streams, publishes, ..Default::default() };
        Snapshot { cores: vec![core(2, 10), core(3, 5)], channels: 7, ..Snapshot::default() }
    }

    #[test]
    fn sums_equal_the_parts_in_every_sample() {
        let page = page("/metrics", &snapshot()).unwrap();
        let text = String::from_utf8(page.body).unwrap();
        let of = |name: &str| -> u64 {
            let samples = text.lines().filter(|line| line.starts_with(name));
            samples.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
        };
        assert_eq!(of("ringcast_streams{"), 5);
        assert_eq!(of("ringcast_publishes_total{"), 15);
        assert_eq!(of("sse_active_connections "), 5);
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            assert_eq!(line.split(' ').count(), 2, "{line}");
        }
    }

    #[test]
    fn readiness_is_a_status() {
        assert_eq!(page("/readyz", &snapshot()).unwrap().status, 503);
        assert_eq!(page("/livez", &snapshot()).unwrap().status, 200);
        assert!(page("/stats/cores/", &snapshot()).is_none());
        assert!(!is_public("/metrics"));
    }
}
