//! Operators' pages: a snapshot in, bytes out.

mod metrics;
mod numbers;

use std::sync::Arc;

use serde_json::Value;

use crate::obs::{CoreSnapshot, Measured};

pub use metrics::Format;
pub use numbers::Memory;

/// Most users, and tenants, that are told by name.
pub const NAMED_MAX: usize = 1_000;

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
    /// Distributions by core.
    pub measured: Vec<Measured>,
    /// Names by which events are counted.
    pub event_names: Vec<Box<str>>,
    /// Users with streams.
    pub users: usize,
    /// Tenants with streams.
    pub tenants: usize,
    /// Who they are; only for operators.
    pub details: Option<Details>,
    /// Users with a sample of their own in the metrics, and their streams.
    pub labelled_users: Vec<(Arc<str>, u32)>,
    /// Of the process.
    pub memory: Memory,
    /// Channels that exist.
    pub channels: usize,
    /// Bytes of all histories.
    pub history_bytes: usize,
    /// Journal entries in flight.
    pub journal_depth: u64,
}

/// The process that serves.
#[derive(Debug, Clone, Default)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// The one it has taken over from, by a hot restart.
    pub predecessor: Option<u32>,
    /// Why the last hot restart has failed, and when (wall clock, milliseconds).
    pub restart_failed: Option<(u64, String)>,
}

/// Streams of users and tenants, the most first, at most [`NAMED_MAX`] each.
#[derive(Debug, Clone, Default)]
pub struct Details {
    /// By user.
    pub users: Vec<(Arc<str>, u32)>,
    /// By tenant.
    pub tenants: Vec<(Arc<str>, u32)>,
    /// Who serves.
    pub process: Process,
}

/// How a page is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Where.
    pub path: &'a str,
    /// Form of the metrics.
    pub format: Format,
    /// What `/health` calls a server that serves.
    pub healthy: &'a str,
}

impl<'a> Asked<'a> {
    /// The page at a path, in its usual form.
    #[must_use]
    pub fn at(path: &'a str) -> Self {
        Self { path, format: Format::default(), healthy: "ok" }
    }
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

/// The page that is asked for.
#[must_use]
pub fn page(asked: &Asked<'_>, snapshot: &Snapshot) -> Option<Page> {
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
    Some(match asked.path {
        "/livez" => text(200, "ok\n"),
        "/readyz" if snapshot.ready => text(200, "ready\n"),
        "/readyz" => text(503, "draining\n"),
        "/health" | "/health/sse" => json(numbers::health(snapshot, asked.healthy)),
        "/stats" => json(numbers::stats(snapshot)),
        "/stats/cores" => json(numbers::cores(snapshot)),
        "/metrics" => Page {
            status: 200,
            content_type: asked.format.content_type(),
            body: metrics::metrics(snapshot, asked.format).into_bytes(),
        },
        path => {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        let core = |streams, publishes| CoreSnapshot { streams, publishes, ..Default::default() };
        let cores = vec![core(2, 10), core(3, 5)];
        let measured = vec![Measured::default(), Measured::default()];
        Snapshot { cores, measured, channels: 7, ..Snapshot::default() }
    }

    #[test]
    fn sums_equal_the_parts_in_every_sample() {
        let page = page(&Asked::at("/metrics"), &snapshot()).unwrap();
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
        assert_eq!(page(&Asked::at("/readyz"), &snapshot()).unwrap().status, 503);
        assert_eq!(page(&Asked::at("/livez"), &snapshot()).unwrap().status, 200);
        assert!(page(&Asked::at("/stats/cores/"), &snapshot()).is_none());
        assert!(!is_public("/metrics"));
    }
}
