//! Changes of running streams: channels that come and go, a token in place of another.
//!
//! A request for one comes to any worker, its stream mostly runs on another: the change goes there
//! as an order, what became of it comes back as one, and the request waits without holding anybody.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::Worker;
use super::admit::bad_subscription;
use super::conns::Join;
use super::orders::Order;
use super::publish::{token_missing, token_problem};
use super::reply::{foreign_problem, is_foreign};
use super::route::{Asked, Awaited, Next};
use super::subscribe::{short_s, whose};
use crate::auth::{ConnectionRef, Identity};
use crate::conn::{State, Step};
use crate::driver::{ConnId, Driver};
use crate::hub::{Hub, TopicId, TopicName};
use crate::proto::channel::{self, Selector};
use crate::proto::http::{Body, Framing, Method, Problem, Response};
use crate::proto::subscribe::{Resume, Subscription};

/// The worker of a stream has so long to answer, milliseconds.
const ANSWER_WITHIN_MS: u64 = 5_000;
/// When to try again while a stream catches up, seconds.
const RETRY_AFTER_S: u32 = 1;

/// What became of a change: the answer's body, or why not.
pub(super) type Outcome = Result<Value, Problem>;

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Link,
    Unlink,
    Token,
}

/// A change whose body is awaited.
#[derive(Debug)]
pub(super) struct Request {
    of: ConnectionRef,
    kind: Kind,
    /// Channels in the query.
    query: Subscription,
    /// Who asks. A new token may also stand in the body.
    identity: Option<Arc<Identity>>,
}

/// A change on its way to the worker of its stream.
#[derive(Debug)]
pub struct Change {
    stream: ConnId,
    kind: Kind,
    subscription: Subscription,
    identity: Arc<Identity>,
    /// Who waits for the answer.
    from: (usize, ConnId),
}

/// What a connection waits for that has asked another worker.
#[derive(Debug)]
pub(super) enum Asks {
    /// It has not answered yet.
    Waiting,
    /// It has, while an answer before this one was still on its way out.
    Done(Box<Outcome>),
}

/// The body of a change.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    channels: Vec<String>,
    last: Option<u32>,
    since: Option<String>,
    token: Option<String>,
}

impl<D: Driver> Worker<D> {
    /// Answers `POST` and `DELETE /connections/{id}/channels`, `POST /connections/{id}/token`.
    pub(super) fn request_change(
        &mut self,
        id: ConnId,
        asked: &Asked<'_, '_>,
        name: &str,
        what: &str,
    ) -> Next {
        let head = asked.head;
        let (kind, allow) = match (what, head.method) {
            ("channels", Method::Post) => (Some(Kind::Link), ""),
            ("channels", Method::Delete) => (Some(Kind::Unlink), ""),
            ("channels", _) => (None, "POST, DELETE"),
            ("token", Method::Post) => (Some(Kind::Token), ""),
            ("token", _) => (None, "POST"),
            _ => {
                let problem = Problem::new(404, "not-found", "a connection has no such part");
                return self.refused(id, &problem, head);
            }
        };
        let Some(kind) = kind else { return self.not_allowed(id, head, allow) };
        let request = match self.read_change(asked, name, kind) {
            Ok(request) => request,
            Err(problem) => return self.refused(id, &problem, head),
        };
        match Body::new(head.framing(), self.live.options.body_bytes_max) {
            Ok(body) if head.framing() != Framing::None => {
                Next::Body(body, Awaited::Change(Box::new(request)))
            }
            Ok(_) => {
                self.change_body(id, request, b"");
                Next::Waiting
            }
            Err(error) => {
                let problem = Problem::new(error.status(), "body-too-large", error.to_string());
                self.refused(id, &problem, head)
            }
        }
    }

    fn read_change(
        &mut self,
        asked: &Asked<'_, '_>,
        name: &str,
        kind: Kind,
    ) -> Result<Request, Problem> {
        if is_foreign(&self.live.options.cors, asked.head) {
            return Err(foreign_problem());
        }
        let of = self.node.names.read(name).ok_or_else(no_such_stream)?;
        let query = asked.query.iter().map(|(name, value)| (&**name, &**value));
        let channels_max = self.live.options.channels_per_stream_max;
        let query = Subscription::read(None, query, None, channels_max)
            .map_err(|error| bad_subscription(&error))?;
        let identity = self.identify(asked)?;
        Ok(Request { of, kind, query, identity })
    }

    /// The whole body of a change is there.
    pub(super) fn change_body(&mut self, id: ConnId, request: Request, content: &[u8]) {
        let of = request.of;
        let change = match self.read_wanted(id, request, content) {
            Ok(change) => change,
            Err(problem) => return self.finish_change(id, Err(problem)),
        };
        let worker = usize::from(of.worker);
        if worker == self.index {
            let outcome = self.make_change(&change);
            return self.finish_change(id, outcome);
        }
        let deadline_ms = self.now.mono_ms + ANSWER_WITHIN_MS;
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.step(Step::Park);
        if let Some(request) = conn.request.as_mut() {
            request.asks = Some(Asks::Waiting);
            request.deadline_ms = deadline_ms;
        }
        self.schedule(id, deadline_ms);
        self.order(worker, Order::Change(Box::new(change)));
    }

    fn read_wanted(
        &mut self,
        id: ConnId,
        request: Request,
        content: &[u8],
    ) -> Result<Change, Problem> {
        let Request { of, kind, query: mut subscription, identity } = request;
        let bad =
            |error: &dyn std::fmt::Display| Problem::new(400, "bad-change", error.to_string());
        let wanted = match content.trim_ascii() {
            b"" => Wanted::default(),
            body => serde_json::from_slice(body).map_err(|error| bad(&error))?,
        };
        let channels_max = self.live.options.channels_per_stream_max;
        for channel in &wanted.channels {
            subscription.add(channel, channels_max).map_err(|error| bad(&error))?;
        }
        let last = wanted.last.map(|last| last.to_string());
        let start = [("last", last.as_deref()), ("since", wanted.since.as_deref())];
        let mut start = start.into_iter().filter_map(|(name, value)| Some((name, value?)));
        if let Some(pair) = start.next() {
            let read = Subscription::read(None, std::iter::once(pair), None, channels_max);
            subscription.resume = read.map_err(|error| bad(&error))?.resume;
        }
        let identity = match wanted.token.filter(|_| kind == Kind::Token) {
            Some(token) => Some(self.verify(&token).map_err(|error| token_problem(&error))?),
            None => identity,
        };
        match kind {
            Kind::Token if identity.is_none() => {
                return Err(token_missing("the new token stands in the body, or in Authorization"));
            }
            Kind::Token => {}
            _ if subscription.selectors.is_empty() => return Err(bad(&"no channel is named")),
            _ => {}
        }
        let identity = identity.unwrap_or_else(|| Arc::new(Identity::anonymous()));
        if kind == Kind::Link {
            for selector in &subscription.selectors {
                self.may_subscribe(&identity, selector)?;
            }
        }
        let stream = ConnId { slot: of.slot, generation: of.generation };
        Ok(Change { stream, kind, subscription, identity, from: (self.index, id) })
    }

    /// Answers a change that is over.
    fn finish_change(&mut self, id: ConnId, outcome: Outcome) {
        match outcome {
            Ok(body) => {
                let body = body.to_string();
                self.reply(id, Response::new(200).body("application/json", body.as_bytes()));
            }
            Err(problem) => self.refuse(id, &problem, false),
        }
        self.answered(id);
    }

    /// The worker of the stream has answered.
    pub(super) fn answered_from_elsewhere(&mut self, id: ConnId, outcome: Outcome) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let state = conn.state;
        let Some(request) = conn.request.as_mut().filter(|request| request.asks.is_some()) else {
            return;
        };
        request.asks = Some(Asks::Done(Box::new(outcome)));
        if state == State::Parked {
            self.take_answer(id);
            self.answer(id);
            self.resume_input(id);
        }
    }

    /// Writes the answer of another worker, if it is there.
    pub(super) fn take_answer(&mut self, id: ConnId) {
        let Some(request) = self.conns.get_mut(id).and_then(|conn| conn.request.as_mut()) else {
            return;
        };
        match request.asks.take() {
            Some(Asks::Done(outcome)) => self.finish_change(id, *outcome),
            asks => request.asks = asks,
        }
    }

    /// The worker of the stream has not answered in time. The change may still be made.
    pub(super) fn time_out_change(&mut self, id: ConnId) {
        let detail = "the worker of this stream has not answered in time";
        let problem = Problem::new(503, "busy", detail).retry_after(RETRY_AFTER_S);
        self.answered_from_elsewhere(id, Err(problem));
    }

    /// Makes a change another worker asks for.
    pub(super) fn change(&mut self, change: Change) {
        let outcome = Box::new(self.make_change(&change));
        let (worker, id) = change.from;
        self.order(worker, Order::Answer { id, outcome });
    }

    fn make_change(&mut self, change: &Change) -> Outcome {
        let id = change.stream;
        if self.conns.get(id).is_some_and(|conn| conn.planned == self.outbox.number) {
            self.flush();
        }
        let conn = self.conns.get(id).filter(|conn| conn.state == State::Streaming);
        let conn = conn.ok_or_else(no_such_stream)?;
        let catches_up = conn.behind || conn.extra.as_ref().is_some_and(|e| e.join.is_some());
        if !change.identity.admin && !self.is_owner(id.slot, &change.identity) {
            let detail = "the stream belongs to somebody else";
            return Err(Problem::new(403, "not-owner", detail));
        }
        if catches_up {
            let detail = "the stream has not caught up yet";
            return Err(Problem::new(409, "catching-up", detail).retry_after(RETRY_AFTER_S));
        }
        match change.kind {
            Kind::Link => self.link_more(change)?,
            Kind::Unlink => self.unlink_some(change)?,
            Kind::Token => self.change_token(change)?,
        }
        let conn = self.conns.get(id).ok_or_else(no_such_stream)?;
        let expires = (conn.expires_unix_s > 0).then_some(conn.expires_unix_s);
        Ok(json!({ "channels": self.channels_of(id.slot), "expires": expires }))
    }

    /// A stream belongs to its subject; one without to whoever knows its name and has none either.
    fn is_owner(&self, slot: u32, identity: &Identity) -> bool {
        self.user_of(slot) == identity.subject.as_deref()
    }

    fn topics_named(&self, slot: u32) -> impl Iterator<Item = (TopicId, &str)> {
        self.hub.topics_of(slot).filter_map(|topic| {
            let name = match &self.hub.topic(topic)?.name {
                TopicName::Channel(name) => &**name,
                TopicName::Pattern(pattern) => pattern.as_str(),
            };
            Some((topic, name))
        })
    }

    fn channels_of(&self, slot: u32) -> Vec<String> {
        self.topics_named(slot).map(|(_, name)| name.to_owned()).collect()
    }

    /// Links a live stream to more channels; what they bring from before comes first.
    fn link_more(&mut self, change: &Change) -> Result<(), Problem> {
        let (id, wanted) = (change.stream, &change.subscription);
        let linked = self.channels_of(id.slot);
        let is_new = |selector: &&Selector| !linked.iter().any(|name| name == selector.as_str());
        let new: Vec<&Selector> = wanted.selectors.iter().filter(is_new).collect();
        // Its own two channels do not count.
        let channels_max = self.live.options.channels_per_stream_max + 2;
        if linked.len() + new.len() > channels_max {
            let detail = "the stream would have more channels than it may";
            return Err(Problem::new(400, "too-many-channels", detail));
        }
        let user = whose(&wanted.selectors, self.user_of(id.slot));
        let Some(conn) = self.conns.get(id) else { return Ok(()) };
        let position = conn.position.max(self.settled(id.slot));
        let own = self.user_of(id.slot).map(str::to_owned);
        for selector in new {
            self.link_one(id.slot, selector);
            self.note_join(selector.as_str(), own.as_deref());
        }
        let mut starts = vec![position; linked.len()];
        let topics: Vec<TopicId> = self.hub.topics_of(id.slot).skip(linked.len()).collect();
        starts.extend(topics.into_iter().map(|topic| self.start_of(topic, &wanted.resume)));
        starts.push(position);
        let from = starts.iter().copied().min().unwrap_or(position);
        let until_seq = self.last_seq;
        let expires_unix_s = change.identity.expires_unix_s.map_or(0, short_s);
        let Some(conn) = self.conns.get_mut(id) else { return Ok(()) };
        conn.position = from;
        conn.expires_unix_s = match (conn.expires_unix_s, expires_unix_s) {
            (0, other) | (other, 0) => other,
            (one, other) => one.min(other),
        };
        let extra = conn.extra.get_or_insert_default();
        extra.user = extra.user.take().or(user);
        extra.join = Some(Join {
            until_seq,
            starts: starts.into_boxed_slice(),
            requested: None,
            foreign: false,
            checked: false,
            told_seq: 0,
        });
        self.expect_expiry(id);
        self.fall_behind(id.slot);
        Ok(())
    }

    /// A live stream has had everything up to here: nothing it is linked to owes it anything.
    fn settled(&self, slot: u32) -> u64 {
        let owes =
            |topic: TopicId| self.hub.topic(topic).is_some_and(|topic| !topic.pending().is_empty());
        let owed = self.hub.topics_of(slot).chain([Hub::BROADCAST]).any(owes);
        if owed { 0 } else { self.last_seq }
    }

    /// Where a channel's part of a running stream begins.
    fn start_of(&self, topic: TopicId, resume: &Resume) -> u64 {
        let own = |position: u64| position.min(self.last_seq);
        match resume {
            Resume::Live | Resume::Ended | Resume::Foreign(_) => self.last_seq,
            Resume::After(id) if id.epoch == self.node.journal.epoch() => own(id.seq),
            Resume::After(_) => self.last_seq,
            Resume::Earliest => self.node.journal.base_seq(),
            Resume::SinceUnixMs(_) | Resume::SinceAgoMs(_) | Resume::Last(_) => {
                self.start_by_rule(topic, resume, self.last_seq)
            }
        }
    }

    fn unlink_some(&mut self, change: &Change) -> Result<(), Problem> {
        let id = change.stream;
        for selector in &change.subscription.selectors {
            // Its caps are counted by them.
            if selector.is_reserved() {
                let detail = format!("{:?} cannot be taken from a stream", selector.as_str());
                return Err(Problem::new(400, "bad-change", detail));
            }
        }
        for selector in &change.subscription.selectors {
            self.unlink_one(id.slot, selector.as_str());
        }
        Ok(())
    }

    /// Puts a token in place of the one the stream began with. What it does not grant goes.
    fn change_token(&mut self, change: &Change) -> Result<(), Problem> {
        let (id, identity) = (change.stream, &change.identity);
        let tenant = identity.tenant.as_deref().map(channel::tenant_channel);
        let tenants: Vec<String> = self.channels_of(id.slot);
        let is_same = match tenant {
            Some(Ok(own)) => tenants.contains(&own),
            Some(Err(_)) => false,
            None => true,
        };
        if !is_same || (identity.admin && !self.is_owner(id.slot, identity)) {
            let detail = "the new token is of another user or tenant";
            return Err(Problem::new(403, "not-owner", detail));
        }
        for name in tenants {
            let Ok(selector) = Selector::parse(&name) else { continue };
            if self.may_subscribe(identity, &selector).is_err() && !selector.is_reserved() {
                self.unlink_one(id.slot, &name);
            }
        }
        if let Some(conn) = self.conns.get_mut(id) {
            conn.expires_unix_s = identity.expires_unix_s.map_or(0, short_s);
            if let Some(extra) = conn.extra.as_mut() {
                extra.expiry_told = false;
            }
        }
        self.remember_token(id.slot, identity);
        self.expect_expiry(id);
        Ok(())
    }

    /// Takes one link from a stream.
    fn unlink_one(&mut self, slot: u32, name: &str) {
        let topic = self.topics_named(slot).find(|(_, known)| *known == name).map(|(id, _)| id);
        let Some(topic) = topic else { return };
        let channel = match self.hub.topic(topic).map(|topic| &topic.name) {
            Some(TopicName::Channel(name)) => Some(Arc::clone(name)),
            _ => None,
        };
        let own = self.user_of(slot).map(str::to_owned);
        self.hub.unlink_one(slot, topic);
        if let Some(name) = channel {
            self.note_leave(&name, own.as_deref());
            let journal = &self.node.journal;
            journal.detach(&journal.key_of(&name), self.now.mono_ms);
        }
    }
}

/// The same for streams that are gone, never were, or are somebody else's guess.
fn no_such_stream() -> Problem {
    Problem::new(404, "no-such-connection", "no stream of this name runs here")
        .hint("`control=on` tells a stream its name by the event sse.open")
}
