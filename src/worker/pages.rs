//! Operators' pages: on the public address, and what they tell of the node.

use std::sync::{Arc, Mutex, PoisonError};

use super::aliases::Access;
use super::publish::token_missing;
use super::route::{Asked, Next};
use super::{Phase, Worker};
use crate::admin::{self, Details, Format, Memory, NAMED_MAX, Page, Process, Snapshot};
use crate::driver::{ConnId, Driver, sys};
use crate::obs::{Counters, Measures};
use crate::proto::channel::{TENANT, USER};
use crate::proto::http::{Problem, Response};

/// A page that everybody may see, as an alias has it or at its own path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown<'a> {
    pub(super) path: &'a str,
    pub(super) access: Access,
    pub(super) healthy: &'a str,
}

/// Memory as it was read last: a worker that is asked often does not read it each time.
#[derive(Debug, Default)]
pub(super) struct MemoryRead(Mutex<(u64, Memory)>);

impl MemoryRead {
    fn at(&self, unix_ms: u64) -> Memory {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let second = unix_ms / 1_000;
        if last.0 != second {
            let now = sys::memory::read();
            let memory = Memory {
                rss: now.rss,
                mapped: now.data,
                anonymous: now.anonymous,
                shared: now.shared,
            };
            *last = (second, memory);
        }
        last.1
    }
}

impl<D: Driver> Worker<D> {
    /// Answers with a page; none where there is none.
    pub(super) fn answer_page(
        &mut self,
        id: ConnId,
        asked: &Asked<'_, '_>,
        shown: Shown<'_>,
    ) -> Option<Next> {
        if !admin::is_public(shown.path) {
            return None;
        }
        let details = match self.may_look(asked, shown) {
            Ok(details) => details,
            Err(problem) => return Some(self.refused(id, &problem, asked.head)),
        };
        let snapshot = self.node.snapshot(self.now.unix_ms, details);
        let of = admin::Asked { path: shown.path, format: Format::Text, healthy: shown.healthy };
        let page = admin::page(&of, &snapshot)?;
        self.skip_body(id, asked.head);
        let response = Response::new(page.status)
            .body(page.content_type, &page.body)
            .field("Cache-Control", "no-store")
            .head_only(asked.is_head());
        self.reply(id, response);
        Some(Next::Answered)
    }

    /// Whether the page may be seen, and with the names of users: admins see these.
    ///
    /// A wrong token is no reason to call a server ill: `/health` and its like do without.
    fn may_look(&mut self, asked: &Asked<'_, '_>, shown: Shown<'_>) -> Result<bool, Problem> {
        let public = match shown.path {
            "/stats" => shown.access == Access::Default && self.live.options.stats_public,
            _ => shown.access == Access::Default,
        };
        let identity = match self.identify(asked) {
            Err(_) if public && shown.path != "/stats" => return Ok(false),
            known => known?,
        };
        match identity {
            None if public => Ok(false),
            None => Err(token_missing("this page needs a token")),
            Some(identity) if shown.access == Access::Admin && !identity.admin => {
                Err(Problem::new(403, "not-admin", "the token is not an admin's"))
            }
            Some(identity) => Ok(identity.admin),
        }
    }
}

impl super::Node {
    /// The page an operator asks for.
    #[must_use]
    pub fn page(&self, asked: &admin::Asked<'_>, unix_ms: u64) -> Option<Page> {
        let details = matches!(asked.path, "/health" | "/health/sse" | "/stats");
        let mut snapshot = self.snapshot(unix_ms, details);
        let max = self.live().options.user_labels_max;
        if asked.path == "/metrics" && max > 0 {
            snapshot.labelled_users = self.most_present(USER, max);
        }
        admin::page(asked, &snapshot)
    }

    /// The node's numbers at this moment; with `details` also who is there.
    #[must_use]
    pub fn snapshot(&self, unix_ms: u64, details: bool) -> Snapshot {
        let (users, tenants) = self.journal.present();
        let details = details.then(|| Details {
            users: self.most_present(USER, NAMED_MAX),
            tenants: self.most_present(TENANT, NAMED_MAX),
            process: Process {
                pid: std::process::id(),
                predecessor: self.handover.predecessor(),
                restart_failed: self.handover.failed(),
            },
        });
        Snapshot {
            unix_ms,
            uptime_ms: unix_ms.saturating_sub(self.started_unix_ms),
            ready: self.phase() == Phase::Ready,
            cores: self.counters.iter().map(Counters::snapshot).collect(),
            measured: self.measures.iter().map(Measures::snapshot).collect(),
            event_names: self.event_names.all(),
            users,
            tenants,
            details,
            labelled_users: Vec::new(),
            memory: self.memory.at(unix_ms),
            channels: self.journal.channels(),
            history_bytes: self.journal.history_bytes(),
            journal_depth: self.journal.depth(),
        }
    }

    /// Users or tenants and their streams, the most first.
    fn most_present(&self, prefix: &str, max: usize) -> Vec<(Arc<str>, u32)> {
        let all = self.journal.most_subscribed(prefix, max).into_iter();
        all.map(|(name, streams)| (name[prefix.len()..].into(), streams)).collect()
    }
}
