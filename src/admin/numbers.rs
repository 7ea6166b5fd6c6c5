//! Health and statistics as JSON: one body with every field that older systems' clients read.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Details, Process, Snapshot};
use crate::proto::iso8601;

/// Memory of the process, bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// Resident.
    pub rss: u64,
    /// Data and heap as the kernel has mapped them.
    pub mapped: u64,
    /// Resident data and heap.
    pub anonymous: u64,
    /// Resident files and shared memory: the program itself and what it shares with the kernel.
    pub shared: u64,
}

impl Memory {
    /// Under the names of Node's `process.memoryUsage()`.
    fn json(self, history_bytes: usize) -> Value {
        json!({
            "rss": self.rss,
            "heapTotal": self.mapped,
            "heapUsed": self.anonymous,
            "external": self.shared,
            "arrayBuffers": history_bytes,
        })
    }
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}

/// Streams by name, as an object.
fn by_name(all: &[(Arc<str>, u32)]) -> Value {
    let all = all.iter().map(|(name, streams)| (name.to_string(), Value::from(*streams)));
    Value::Object(all.collect::<Map<_, _>>())
}

/// `/health`. `status` is what the caller calls good.
pub(super) fn health(snapshot: &Snapshot, status: &str) -> Value {
    let streams = snapshot.total().streams;
    let users = snapshot.details.as_ref().map_or(&[][..], |details| &details.users);
    json!({
        "status": status,
        "timestamp": crate::proto::iso8601(snapshot.unix_ms),
        "uptime": seconds(snapshot.uptime_ms),
        "memory": snapshot.memory.json(snapshot.history_bytes),
        "connections": {
            "total": streams,
            "active": streams,
            "totalUsers": snapshot.users,
            "totalConnections": streams,
            "byUser": by_name(users),
        },
    })
}

/// `/stats`.
pub(super) fn stats(snapshot: &Snapshot) -> Value {
    let total = snapshot.total();
    let nobody = Details::default();
    let details = snapshot.details.as_ref().unwrap_or(&nobody);
    let users = by_name(&details.users);
    let named = |all: &[_], of: usize| all.len() < of;
    let truncated = snapshot.details.is_some()
        && (named(&details.users, snapshot.users) || named(&details.tenants, snapshot.tenants));
    let mut stats = json!({
        "activeChannels": snapshot.channels,
        "connectedClients": total.streams,
        "publishedMessages": total.publishes,
        "totalUsers": snapshot.users,
        "totalTenants": snapshot.tenants,
        "totalConnections": total.streams,
        "activeConnections": total.streams,
        "connectionsEstablished": total.streams_begun,
        "connectionsByUser": users,
        "totalClients": total.streams,
        "clientsByUser": users,
        "clientsByTenant": by_name(&details.tenants),
        "truncated": truncated,
        "deliveries": total.deliveries,
        "historyBytes": snapshot.history_bytes,
        "journalDepth": snapshot.journal_depth,
        "memoryUsage": snapshot.memory.json(snapshot.history_bytes),
        "uptime": seconds(snapshot.uptime_ms),
    });
    if let Some(Details { process, .. }) = &snapshot.details {
        stats["process"] = self::process(process);
    }
    stats
}

fn process(process: &Process) -> Value {
    let failed = process.restart_failed.as_ref();
    json!({
        "pid": process.pid,
        "version": env!("CARGO_PKG_VERSION"),
        "predecessor": process.predecessor,
        "restartFailed": failed.map(|(at_ms, why)| json!({ "at": iso8601(*at_ms), "why": why })),
    })
}

/// `/stats/cores`.
pub(super) fn cores(snapshot: &Snapshot) -> Value {
    let cores = snapshot.cores.iter().zip(&snapshot.measured).enumerate();
    let cores = cores.map(|(core, (counters, measured))| {
        let mut value = serde_json::to_value(counters).unwrap_or_default();
        let latency = &measured.latency_us;
        let ranges = latency.bounds.iter().zip(&latency.counts);
        value["core"] = core.into();
        value["delivery_latency_us"] = json!({
            "count": latency.count(),
            "sum": latency.sum,
            "p50": latency.quantile(500),
            "p99": latency.quantile(990),
            "p999": latency.quantile(999),
            "buckets": ranges.collect::<Vec<_>>(),
        });
        value
    });
    json!({ "cores": cores.collect::<Vec<Value>>() })
}
