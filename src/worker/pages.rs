//! Operators' pages on the public address.

use super::{Phase, Worker};
use crate::admin::{self, Page, Snapshot};
use crate::driver::Driver;

impl<D: Driver> Worker<D> {
    /// The page at `path`, if it is one of those that everybody may see.
    pub(super) fn page(&self, path: &str) -> Option<Page> {
        if !admin::is_public(path) {
            return None;
        }
        admin::page(path, &self.node.snapshot(self.now.unix_ms))
    }
}

impl super::Node {
    /// The node's numbers at this moment.
    #[must_use]
    pub fn snapshot(&self, unix_ms: u64) -> Snapshot {
        Snapshot {
            unix_ms,
            uptime_ms: unix_ms.saturating_sub(self.started_unix_ms),
            ready: self.phase() == Phase::Ready,
            cores: self.counters.iter().map(crate::obs::Counters::snapshot).collect(),
            channels: self.journal.channels(),
            history_bytes: self.journal.history_bytes(),
            journal_depth: self.journal.depth(),
        }
    }
}
