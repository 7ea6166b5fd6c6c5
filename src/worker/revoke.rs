//! Streams whose tokens were revoked.

use super::Worker;
use crate::auth::{Identity, Revoked};
use crate::conn::State;
use crate::driver::{ConnId, Driver};
use crate::proto::channel;
use crate::proto::sse::ByeReason;

impl<D: Driver> Worker<D> {
    /// Notes which token a stream has, where tokens have ids.
    pub(super) fn remember_token(&mut self, slot: u32, identity: &Identity) {
        match identity.jti.as_deref() {
            Some(id) => {
                let hash = self.node.journal.hasher().hash(id);
                self.token_ids.insert(slot, hash);
            }
            None => self.forget_token(slot),
        }
    }

    /// The stream of this slot ends.
    pub(super) fn forget_token(&mut self, slot: u32) {
        if !self.token_ids.is_empty() {
            self.token_ids.remove(&slot);
        }
    }

    /// Ends the streams of revoked tokens. Some of others may be among them (of those who read a
    /// user's channel, or whose token is younger): they come again and are let in.
    pub(super) fn end_revoked(&mut self, revoked: &Revoked) {
        let ids: Vec<ConnId> = match revoked {
            Revoked::Token(id) => {
                let hash = self.node.journal.hasher().hash(id);
                let slots = self.token_ids.iter().filter(|(_, known)| **known == hash);
                slots.filter_map(|(slot, _)| self.conns.id_at(*slot)).collect()
            }
            Revoked::Subject(subject) => {
                let Ok(name) = channel::user_channel(subject) else { return };
                let topic = self.hub.find_channel(&self.node.journal.key(&name));
                let topic = topic.and_then(|topic| self.hub.topic(topic));
                let slots = topic
                    .into_iter()
                    .flat_map(|topic| (0..topic.len()).filter_map(|at| topic.member(at)));
                slots.filter_map(|slot| self.conns.id_at(slot)).collect()
            }
            Revoked::IssuedBefore(_) => self.conns.ids(),
        };
        let streams =
            |id: &ConnId| self.conns.get(*id).is_some_and(|conn| conn.state == State::Streaming);
        let ids = ids.into_iter().filter(streams).collect();
        self.send_away(ids, ByeReason::Expired, true);
    }
}
