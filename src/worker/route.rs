//! Which request goes where.

use super::Worker;
use super::admit::{Entrance, Wish};
use super::aliases::Access;
use super::changes::Request;
use super::pages::Shown;
use super::publish::Publish;
use crate::admin;
use crate::auth::{Identity, TokenError, jwt};
use crate::driver::{ConnId, Driver};
use crate::proto::http::{
    Body, Head, Method, Problem, decode_percent, pairs, segments, split_target,
};
use std::borrow::Cow;
use std::sync::Arc;

/// What a request waits for its body for.
#[derive(Debug)]
pub(super) enum Awaited {
    Publish(Box<Publish>),
    /// A stream of the channels that the body lists.
    Subscribe(Box<Wish>),
    /// A change of a running stream.
    Change(Box<Request>),
}

impl Awaited {
    /// The body is worked off line by line while it comes.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self, Self::Publish(publish) if publish.is_stream())
    }
}

/// What follows a head.
#[derive(Debug)]
pub(super) enum Next {
    /// The answer is written.
    Answered,
    /// The connection waits for something else than input (a stream, a poll, room).
    Waiting,
    /// The body has to be read first.
    Body(Body, Awaited),
}

/// Decoded query pairs.
pub(super) type Query<'q> = Vec<(Cow<'q, str>, Cow<'q, str>)>;

/// A request as the handlers see it.
#[derive(Debug)]
pub(super) struct Asked<'h, 'b> {
    pub(super) head: &'h Head<'b>,
    pub(super) query: &'h Query<'h>,
}

impl Asked<'_, '_> {
    pub(super) fn option(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    pub(super) fn is_head(&self) -> bool {
        self.head.method == Method::Head
    }
}

const NOT_FOUND: &str = "nothing is served at this path";

impl<D: Driver> Worker<D> {
    /// Sends a request to its handler.
    pub(super) fn route(&mut self, id: ConnId, head: &Head<'_>) -> Next {
        if head.method == Method::Options {
            self.preflight(id, head);
            return Next::Answered;
        }
        let (path, query) = split_target(head.target);
        let query: Query<'_> = match pairs(query).collect() {
            Ok(query) => query,
            Err(error) => {
                let problem = Problem::new(400, "bad-query", error.to_string());
                return self.refused(id, &problem, head);
            }
        };
        let mut parts = segments(path);
        let first = parts.next().unwrap_or_default();
        let second = match parts.next().map(decode_percent).transpose() {
            Ok(second) => second,
            Err(error) => {
                let problem = Problem::new(400, "bad-path", error.to_string());
                return self.refused(id, &problem, head);
            }
        };
        let third = parts.next();
        let deeper = third.is_some();
        let asked = Asked { head, query: &query };
        let get = matches!(head.method, Method::Get | Method::Head);
        match (first, second.as_deref(), deeper) {
            ("sse" | "poll", name, false) if get => {
                let entrance = Entrance { name, polls: first == "poll", ..Entrance::default() };
                self.subscribe(id, &asked, &entrance)
            }
            ("sse", None, false) if head.method == Method::Post => {
                self.subscribe_to_list(id, &asked)
            }
            ("publish", name, false) if head.method == Method::Post => {
                self.publish(id, &asked, name)
            }
            ("channels", Some(name), true)
                if get && third == Some("presence") && parts.next().is_none() =>
            {
                self.presence_page(id, &asked, name)
            }
            ("connections", Some(name), true) if parts.next().is_none() => {
                self.request_change(id, &asked, name, third.unwrap_or_default())
            }
            ("sse" | "poll", _, false) => self.not_allowed(id, head, "GET, HEAD"),
            ("publish", _, false) => self.not_allowed(id, head, "POST"),
            _ => self.elsewhere(id, &asked, path),
        }
    }

    /// Pages and aliases.
    fn elsewhere(&mut self, id: ConnId, asked: &Asked<'_, '_>, path: &str) -> Next {
        let head = asked.head;
        if admin::is_public(path) {
            let shown = Shown { path, access: Access::Default, healthy: "ok" };
            let get = matches!(head.method, Method::Get | Method::Head);
            let next = if get { self.answer_page(id, asked, shown) } else { None };
            return next.unwrap_or_else(|| self.not_allowed(id, head, "GET, HEAD"));
        }
        let next = self.alias(id, asked, path);
        next.unwrap_or_else(|| self.refused(id, &Problem::new(404, "not-found", NOT_FOUND), head))
    }

    pub(super) fn not_allowed(&mut self, id: ConnId, head: &Head<'_>, allow: &'static str) -> Next {
        let detail = format!("only {allow} is served at this path");
        self.refused(id, &Problem::new(405, "method", detail).allow(allow), head)
    }

    /// Refuses a request whose body was not read: with one, the connection ends.
    pub(super) fn refused(&mut self, id: ConnId, problem: &Problem, head: &Head<'_>) -> Next {
        self.skip_body(id, head);
        self.refuse(id, problem, head.method == Method::Head);
        Next::Answered
    }

    /// A body nobody will read makes what follows it unreadable: the connection ends.
    pub(super) fn skip_body(&mut self, id: ConnId, head: &Head<'_>) {
        let request = self.conns.get_mut(id).and_then(|conn| conn.request.as_mut());
        if let Some(request) = request {
            request.close_after |= head.framing() != crate::proto::http::Framing::None;
        }
    }

    /// Verifies a token, or finds it among the verified ones.
    pub(super) fn verify(&mut self, token: &str) -> Result<Arc<Identity>, TokenError> {
        let now_unix_s = self.now.unix_ms / 1_000;
        let generation = self.node.revocation.load(std::sync::atomic::Ordering::Acquire);
        if let Some(known) = self.verified.get(token.as_bytes(), now_unix_s, generation) {
            return Ok(known);
        }
        let live = &self.live;
        let identity = match &live.publisher {
            Some(publisher) if publisher.matches(token.as_bytes()) => Identity::publisher(),
            _ => Identity::from(jwt::verify(token, &live.keys, &live.rules, now_unix_s)?),
        };
        if self.node.is_revoked(&identity, now_unix_s) {
            return Err(TokenError::Revoked);
        }
        let identity = Arc::new(identity);
        self.verified.put(token.as_bytes(), Arc::clone(&identity), generation);
        Ok(identity)
    }
}
