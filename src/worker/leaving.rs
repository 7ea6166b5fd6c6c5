//! Many streams told to leave at once: a few in each turn, so that others are served meanwhile.

use super::Worker;
use crate::conn::State;
use crate::driver::{ConnId, Driver};
use crate::proto::sse::ByeReason;

/// Streams that end in one turn. Each is told by a send of its own.
const STEP: usize = 256;

/// Who has still to be told.
#[derive(Debug)]
pub(super) struct Leaving {
    left: Vec<ConnId>,
    reason: ByeReason,
    reconnect: bool,
}

impl<D: Driver> Worker<D> {
    /// Has these streams end.
    pub(super) fn send_away(&mut self, left: Vec<ConnId>, reason: ByeReason, reconnect: bool) {
        if !left.is_empty() {
            self.leaving.push_back(Leaving { left, reason, reconnect });
        }
    }

    /// While the service is switched off nobody stays.
    pub(super) fn empty_if_disabled(&mut self) {
        if self.node.is_disabled() && self.streams > 0 && self.leaving.is_empty() {
            let all = self.conns.ids();
            self.send_away(all, ByeReason::Disabled, false);
        }
    }

    /// Tells the next ones.
    pub(super) fn leave_on(&mut self) {
        let Some(mut leaving) = self.leaving.pop_front() else { return };
        let from = leaving.left.len().saturating_sub(STEP);
        for id in leaving.left.split_off(from) {
            match self.conns.get(id).map(|conn| conn.state) {
                Some(State::Streaming) => self.bye(id, leaving.reason, leaving.reconnect),
                Some(State::Polling) => self.abort(id),
                _ => {}
            }
        }
        if !leaving.left.is_empty() {
            self.leaving.push_front(leaving);
        }
    }
}
