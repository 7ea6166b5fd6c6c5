//! Who is there: streams that come and go in channels that tell of it, and those that listen.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::Worker;
use super::admit::bad_subscription;
use super::orders::Order;
use super::outbox::Past;
use super::publish::token_missing;
use super::route::{Asked, Next};
use crate::conn::State;
use crate::driver::{ConnId, Driver};
use crate::hub::TopicName;
use crate::hub::presence::{Notice, Page, Presence};
use crate::proto::channel::Selector;
use crate::proto::http::{Problem, Response};
use crate::proto::sse::ControlEvent;

/// A user who is back within this time was not away, milliseconds.
const GRACE_MS: u64 = 2_000;
/// Names on one page.
const PAGE_MAX: usize = 1_000;

/// What all workers know together.
#[derive(Debug)]
pub(super) struct Present {
    pub(super) presence: Mutex<Presence>,
    /// Somebody has ever come: the table is looked at.
    pub(super) used: AtomicBool,
}

impl Default for Present {
    fn default() -> Self {
        Self { presence: Mutex::new(Presence::new(GRACE_MS)), used: AtomicBool::new(false) }
    }
}

impl Present {
    fn lock(&self) -> MutexGuard<'_, Presence> {
        self.presence.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl super::Node {
    /// Who is in a channel, as JSON: streams, and where its namespace has presence the users, a page
    /// of names after `after`.
    #[must_use]
    pub fn presence_of(&self, channel: &str, after: Option<&str>) -> Value {
        let streams = self.journal.subscribers(&self.journal.key(channel));
        let mut body = json!({ "channel": channel, "streams": streams });
        if self.live().options.channels.lookup(channel).presence {
            let Page { users, more, total, .. } =
                self.present.lock().page(channel, after, PAGE_MAX);
            body["totalUsers"] = total.into();
            body["next"] = users.last().filter(|_| more).map(|(user, _)| user.to_string()).into();
            let users = users.into_iter();
            let users = users.map(|(user, streams)| json!({ "user": *user, "streams": streams }));
            body["users"] = users.collect();
        }
        body
    }
}

impl<D: Driver> Worker<D> {
    /// Answers `GET /channels/{channel}/presence` for whoever may subscribe to it by a token.
    pub(super) fn presence_page(&mut self, id: ConnId, asked: &Asked<'_, '_>, name: &str) -> Next {
        self.skip_body(id, asked.head);
        match self.read_presence(asked, name) {
            Ok(body) => {
                let body = body.to_string();
                let response = Response::new(200)
                    .body("application/json", body.as_bytes())
                    .field("Cache-Control", "no-store")
                    .head_only(asked.is_head());
                self.reply(id, response);
                Next::Answered
            }
            Err(problem) => self.refused(id, &problem, asked.head),
        }
    }

    fn read_presence(&mut self, asked: &Asked<'_, '_>, name: &str) -> Result<Value, Problem> {
        let selector = Selector::parse(name).map_err(|error| bad_subscription(&error))?;
        let Selector::Name(name) = &selector else {
            return Err(bad_subscription(&"a pattern has no presence of its own"));
        };
        let identity = self.identify(asked)?;
        let identity = identity.ok_or_else(|| token_missing("this page needs a token"))?;
        self.may_subscribe(&identity, &selector)?;
        Ok(self.node.presence_of(name, asked.option("after")))
    }

    /// A stream has come to channels.
    pub(super) fn note_joins(&self, names: &[String], user: Option<&str>) {
        if self.live.options.has_presence {
            names.iter().for_each(|name| self.note_join(name, user));
        }
    }

    /// A stream has come to a channel.
    pub(super) fn note_join(&self, name: &str, user: Option<&str>) {
        if !self.tells_presence(name) {
            return;
        }
        self.node.present.used.store(true, Ordering::Relaxed);
        self.node.present.lock().join(&name.into(), user);
    }

    /// A stream goes from a channel.
    pub(super) fn note_leave(&self, name: &Arc<str>, user: Option<&str>) {
        if self.tells_presence(name) {
            self.node.present.lock().leave(name, user, self.now.mono_ms);
        }
    }

    fn tells_presence(&self, name: &str) -> bool {
        let options = &self.live.options;
        options.has_presence && options.channels.lookup(name).presence
    }

    /// A stream ends that is still linked to its channels.
    pub(super) fn leave_presence(&self, slot: u32) {
        if !self.live.options.has_presence {
            return;
        }
        let user = self.user_of(slot);
        for topic in self.hub.topics_of(slot) {
            if let Some(TopicName::Channel(name)) = self.hub.topic(topic).map(|topic| &topic.name) {
                self.note_leave(name, user);
            }
        }
    }

    /// Has all workers tell what has changed. One worker does, ten times a second.
    pub(super) fn spread_presence(&mut self) {
        if self.index != 0 || !self.node.present.used.load(Ordering::Relaxed) {
            return;
        }
        let notices = self.node.present.lock().notices(self.now.mono_ms);
        if notices.is_empty() {
            return;
        }
        let notices: Arc<[Notice]> = notices.into();
        for worker in 0..self.node.counters.len() {
            self.order(worker, Order::Presence(Arc::clone(&notices)));
        }
    }

    /// Tells the listeners of this core. One that lags is told the next time.
    pub(super) fn tell_presence(&mut self, notices: &[Notice]) {
        for notice in notices {
            let key = self.node.journal.key(&notice.channel);
            let topic = self.hub.find_channel(&key).and_then(|topic| self.hub.topic(topic));
            let Some(topic) = topic else { continue };
            let slots: Vec<u32> = (0..topic.len())
                .filter_map(|at| topic.member(at))
                .filter(|slot| self.listens(*slot))
                .collect();
            let event = ControlEvent::Presence {
                channel: notice.channel.to_string(),
                joined: names(&notice.joined),
                left: names(&notice.left),
                more: notice.more,
                users: notice.users,
                streams: notice.streams,
            };
            for slot in slots {
                self.tell(slot, &event);
            }
        }
    }

    fn listens(&self, slot: u32) -> bool {
        self.conns.at(slot).is_some_and(|conn| {
            let asked = conn.extra.as_ref().is_some_and(|extra| extra.control_on);
            asked && !conn.behind && conn.state == State::Streaming
        })
    }

    fn tell(&mut self, slot: u32, event: &ControlEvent) {
        let Some(id) = self.conns.id_at(slot) else { return };
        let planned = self.conns.get(id).is_some_and(|conn| conn.planned == self.outbox.number);
        if planned || self.outbox.is_full(self.pace.sends_max) {
            self.flush();
        }
        if !self.listens(slot) {
            return;
        }
        let before = self.conns.get(id).map_or(0, |conn| conn.position);
        let start = self.outbox.mark();
        self.put_control(id, event, None);
        self.plan_range(id, start, before, Past::default());
    }
}

fn names(all: &[Arc<str>]) -> Vec<String> {
    all.iter().map(|name| name.to_string()).collect()
}
