//! What the workers' counters have to say to an operator, a few times a minute at most.

use std::time::Duration;

use crate::obs::CoreSnapshot;
use crate::worker::Node;

/// How often the counters are looked at. Rare: this thread shares a core with a worker.
const EVERY: Duration = Duration::from_secs(10);

/// Logs what has gone wrong since the last look, for ever.
pub(super) async fn watch(node: &Node) {
    let mut before = total(node);
    loop {
        tokio::time::sleep(EVERY).await;
        let now = total(node);
        report(&before, &now);
        for (event, superseded) in node.take_superseded() {
            tracing::warn!(superseded, "[SSE] Rate limit exceeded: {event}");
        }
        let (users, others) = node.take_unreached();
        for (user, events) in users {
            tracing::warn!(events, "Usuário {user} não tem conexões ativas");
        }
        if others > 0 {
            tracing::warn!(events = others, "other users have no active connections either");
        }
        before = now;
    }
}

fn total(node: &Node) -> CoreSnapshot {
    let mut total = CoreSnapshot::default();
    for core in &node.counters {
        total.add(&core.snapshot());
    }
    total
}

fn report(before: &CoreSnapshot, now: &CoreSnapshot) {
    let failed = now.accept_failures - before.accept_failures;
    if failed > 0 {
        tracing::warn!(
            failed,
            connections = now.connections,
            "connections could not be accepted: raise the limit of open files or of connections"
        );
    }
    let refused = now.publishes_timed_out - before.publishes_timed_out;
    if refused > 0 {
        tracing::warn!(
            refused,
            journal_depth = now.journal_depth,
            "publishes were refused: the journal is full, cores read slower than is published"
        );
    }
    let gaps = now.gaps - before.gaps;
    if gaps > 0 {
        tracing::info!(gaps, lagging = now.lagging, "streams were told of events they missed");
    }
    tracing::debug!(
        connections = now.connections,
        opened = now.accepts - before.accepts,
        closed = now.closes - before.closes,
        published = now.publishes - before.publishes,
        delivered = now.deliveries - before.deliveries,
        "the last ten seconds"
    );
}
