//! Bounds of connections, requests and memory.

use crate::config::key::Force::{Later, Reload, Restart};
use crate::config::key::{Reading, choice, section};
use crate::config::kind::Kind;

choice! {
    /// What happens at a cap.
    OnLimit {
        /// The oldest stream makes room.
        EvictOldest = "evict_oldest",
        /// The new one is refused.
        Reject = "reject",
    }
}

/// A count of streams; `off` is no cap.
const CAP: Kind = Kind::Or("off", &Kind::Number(0, 1 << 30));

section! {
    /// Bounds of connections and requests.
    Limits at "limits." => LIMITS {
        /// Most connections of the node; `auto` is what the machine can hold.
        connections_max: Option<usize> = "auto", Kind::Or("auto", &Kind::Number(1, 1 << 30)), Restart,
            [("MAX_SSE_CLIENTS", Reading::ParseInt)];
        /// What happens at `connections_max`.
        connections_on_limit: OnLimit = "evict_oldest", Kind::Choice(OnLimit::NAMES), Reload;
        /// Most streams of one user; `off` is no cap.
        per_user: Option<usize> = "5", CAP, Reload,
            [("SSE_MAX_CONNECTIONS_PER_USER", Reading::ParseInt)];
        /// What happens at `per_user`.
        per_user_on_limit: OnLimit = "evict_oldest", Kind::Choice(OnLimit::NAMES), Reload;
        /// Most streams of one tenant; `off` is no cap.
        per_tenant: Option<usize> = "off", CAP, Reload;
        /// What happens at `per_tenant`.
        per_tenant_on_limit: OnLimit = "evict_oldest", Kind::Choice(OnLimit::NAMES), Reload;
        /// Most streams of one IP address (IPv6: one /64); `off` is no cap.
        per_ip: Option<usize> = "off", CAP, Reload;
        /// What happens at `per_ip`.
        per_ip_on_limit: OnLimit = "evict_oldest", Kind::Choice(OnLimit::NAMES), Reload;
        /// Most channels and patterns of one stream.
        channels_per_stream: usize = "64", Kind::Number(1, 4_096), Reload;
        /// Largest head of a request: its line and fields.
        head_bytes_max: usize = "16KiB", Kind::Bytes(1_024, 64 << 10), Reload;
        /// Largest body of a request; of an NDJSON stream, largest line.
        body_bytes_max: u64 = "1MiB", Kind::Bytes(1, 1 << 30), Reload;
        /// A head must be complete so long after accept.
        head_timeout_ms: u64 = "10s", Kind::Millis(100, 600_000), Reload;
        /// A body must go on within this time.
        body_timeout_ms: u64 = "15s", Kind::Millis(100, 600_000), Reload;
        /// A connection that waits for its next request is closed after this time.
        keepalive_ms: u64 = "75s", Kind::Millis(100, 3_600_000), Reload;
    }
    nested {
        /// How often one IP address may connect.
        connect_rate: ConnectRate,
    }
}

section! {
    /// How often one IP address may connect, in a sliding window.
    ConnectRate at "limits.connect_rate." => CONNECT_RATE {
        /// Connects in a window; `off` is no bound.
        count: Option<u64> = "off", Kind::Or("off", &Kind::Number(1, 1 << 30)), Reload;
        /// Length of the window.
        window_ms: u64 = "1m", Kind::Millis(100, 86_400_000), Reload;
    }
}

section! {
    /// Memory of the node.
    Memory at "memory." => MEMORY {
        /// Above it new streams are refused, then histories shrink; `off` is no budget.
        budget_bytes: Option<u64> = "off", Kind::Or("off", &Kind::Bytes(16 << 20, 1 << 50)), Later;
    }
}
