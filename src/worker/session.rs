//! Who asks: by a token that a key here verifies, or by the word of the callback.
//!
//! The callback is asked by the cold half. Until it has answered the connection is parked: the loop
//! goes on, and the answer comes back as an order.

use std::borrow::Cow;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::admit::Wish;
use super::orders::Order;
use super::publish::token_problem;
use super::reply::{foreign_problem, is_foreign, is_own};
use super::route::{Asked, Next};
use super::{Node, Worker};
use crate::auth::callback::{Credentials, Fingerprint, Question, Reply, Table, Verdict};
use crate::auth::place::{self, Found, Place, Places};
use crate::auth::{Identity, TokenError};
use crate::conn::{Operation, State, Step};
use crate::driver::{ConnId, Driver};
use crate::proto::http::{Problem, split_target};

/// When to come again after the callback has failed, seconds.
const RETRY_AFTER_S: u32 = 5;

/// Who asks.
#[derive(Debug)]
pub(super) enum Who {
    /// This one, or somebody without credentials.
    Known(Arc<Identity>),
    /// The callback has to say.
    Unknown(Session),
}

/// What the callback is asked about.
#[derive(Debug)]
pub(super) struct Session {
    credentials: Credentials,
    /// Path of the request.
    path: Box<str>,
}

/// A connection that waits: its worker and its name there.
type Waiter = (usize, ConnId);

/// What all workers of a node ask the callback together.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    table: Mutex<Table<Waiter>>,
    /// Tells the cold half of new questions.
    new: Notify,
}

impl Sessions {
    fn table(&self) -> MutexGuard<'_, Table<Waiter>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A subscription that waits for the callback.
#[derive(Debug)]
pub(super) struct Waiting {
    of: Fingerprint,
    wish: Wish,
    /// It has come while an answer before it was still on its way out.
    verdict: Option<Verdict>,
}

impl Node {
    /// Waits until there may be a new question to the callback.
    pub async fn new_question(&self) {
        self.sessions.new.notified().await;
    }

    /// The next question to carry to the callback, and since when it waits (monotonic ms). Whoever
    /// takes it gives it back with [`Node::answer_question`].
    pub fn next_question(&self) -> Option<(Fingerprint, Arc<Question>, u64)> {
        self.sessions.table().take_next()
    }

    /// Takes the callback's answer of `bytes` bytes and leaves it with the workers whose
    /// connections wait for it. Returns those that have to be rung, each once.
    pub fn answer_question(
        &self,
        of: Fingerprint,
        verdict: &Verdict,
        bytes: usize,
        now_ms: u64,
    ) -> Vec<usize> {
        let waiters = self.sessions.table().finish(of, verdict, bytes, now_ms);
        let mut workers = Vec::new();
        for (worker, id) in waiters {
            self.orders.put(worker, Order::Verdict { id, of, verdict: verdict.clone() });
            if !workers.contains(&worker) {
                workers.push(worker);
            }
        }
        workers
    }
}

impl<D: Driver> Worker<D> {
    /// Who asks: the first token found counts, in the order query, header, cookie. Where a callback
    /// is configured it is asked about all else that could show who it is.
    pub(super) fn who(&mut self, asked: &Asked<'_, '_>) -> Result<Who, Problem> {
        let cors = &self.live.options.cors;
        let cookies_count = cors.cookies_count(asked.head.field("origin")) || is_own(asked.head);
        let found = place::find(
            Places {
                query: &mut |name| asked.option(name).map(|v| Cow::Owned(v.to_owned())),
                bearer: asked.head.bearer(),
                cookie: &mut |name| asked.head.cookie(name).map(|v| Cow::Owned(v.to_owned())),
            },
            &self.live.options.cookies,
        );
        if found.as_ref().is_some_and(|found| found.place == Place::Cookie) && !cookies_count {
            return self.without_cookies(asked);
        }
        let refused = match &found {
            None => None,
            Some(found) => match self.verify(&found.token) {
                Ok(identity) => return Ok(Who::Known(identity)),
                Err(error) => Some(error),
            },
        };
        if self.live.callback.is_some() && refused.is_none_or(|error| !error.is_of_ours()) {
            let cookie = joined_cookies(asked);
            let authorization = authorization(asked, found.as_ref())?;
            if authorization.is_none() && cookie.is_some() && !cookies_count {
                return self.without_cookies(asked);
            }
            let cookie = cookie.filter(|_| cookies_count);
            if let Some(credentials) = Credentials::new(authorization, cookie) {
                let path = split_target(asked.head.target).0.into();
                return Ok(Who::Unknown(Session { credentials, path }));
            }
        }
        match refused {
            Some(error) => Err(token_problem(&error)),
            None => Ok(Who::Known(Arc::new(Identity::anonymous()))),
        }
    }

    /// Who asks, where nobody can wait for the callback: whoever has no token that a key here
    /// verifies is nobody.
    pub(super) fn identify(
        &mut self,
        asked: &Asked<'_, '_>,
    ) -> Result<Option<Arc<Identity>>, Problem> {
        Ok(match self.who(asked)? {
            Who::Known(identity) => Some(identity).filter(|identity| !identity.is_anonymous()),
            Who::Unknown(_) => None,
        })
    }

    /// Where any page may read, its cookies are left aside; else it may not read at all.
    fn without_cookies(&self, asked: &Asked<'_, '_>) -> Result<Who, Problem> {
        if is_foreign(&self.live.options.cors, asked.head) {
            return Err(foreign_problem());
        }
        Ok(Who::Known(Arc::new(Identity::anonymous())))
    }

    /// Asks the callback who this is, or remembers what it has said.
    pub(super) fn ask(&mut self, id: ConnId, session: Session, wish: Wish) -> Next {
        let Session { credentials, path } = session;
        let Some(callback) = self.live.callback.clone() else {
            return self.decide(id, wish, &Verdict::Unknown);
        };
        let generation = self.node.revocation.load(Ordering::Acquire);
        let of = callback.fingerprint(&credentials, generation);
        let timeout_ms = callback.bounds.timeout_ms;
        let client = wish.client.ip;
        let question = || Question { callback, credentials, client, path };
        let (now_ms, now_unix_s) = (self.now.mono_ms, self.now.unix_ms / 1_000);
        let reply =
            self.node.sessions.table().ask(of, (self.index, id), now_ms, now_unix_s, question);
        let counters = &self.node.counters[self.index];
        match reply {
            Reply::Known(verdict) => {
                counters.callback_cache_hits.add(1);
                return self.decide(id, wish, &verdict);
            }
            Reply::Full => {
                counters.callback_failures.add(1);
                let detail = "too many sessions are being looked up at once";
                let problem = Problem::new(503, "callback-busy", detail);
                return self.refuse_stream(id, &problem.retry_after(RETRY_AFTER_S), wish.manners);
            }
            Reply::Begun => {
                counters.callback_calls.add(1);
                self.node.sessions.new.notify_one();
            }
            Reply::Joined => {}
        }
        self.wait_for(id, of, wish, now_ms + timeout_ms);
        Next::Waiting
    }

    /// Parks the connection until the answer comes, or `deadline_ms`.
    fn wait_for(&mut self, id: ConnId, of: Fingerprint, wish: Wish, deadline_ms: u64) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.step(Step::Park);
        let Some(request) = conn.request.as_mut() else { return };
        request.waiting = Some(Box::new(Waiting { of, wish, verdict: None }));
        request.deadline_ms = deadline_ms;
        let sock = conn.sock;
        // Whoever goes meanwhile is noticed at once where streams are, else at the deadline.
        if self.live.options.watch_hangup && conn.armed.insert(Operation::Hangup) {
            self.driver.watch_hangup(sock, id);
        }
        self.asking += 1;
        self.schedule(id, deadline_ms);
    }

    /// Goes on with a subscription now that the callback has spoken.
    fn decide(&mut self, id: ConnId, wish: Wish, verdict: &Verdict) -> Next {
        let problem = match verdict {
            // It may have begun while the callback was asked.
            _ if let Some(closed) = self.shut_to_all() => closed,
            Verdict::Accepted(identity)
                if self.node.is_revoked(identity, self.now.unix_ms / 1_000) =>
            {
                token_problem(&TokenError::Revoked)
            }
            Verdict::Accepted(identity) => return self.fulfil(id, wish.of(identity)),
            Verdict::Refused(why) => Problem::new(why.status(), "session-refused", why.to_string()),
            Verdict::Unknown => {
                self.node.counters[self.index].callback_failures.add(1);
                let detail = "it could not be found out whose session this is";
                Problem::new(503, "callback-failed", detail)
                    .retry_after(RETRY_AFTER_S)
                    .hint("the log says what is wrong with auth.callback")
            }
        };
        self.refuse_stream(id, &problem, wish.manners)
    }

    /// The callback's answer has come for a connection that waited.
    pub(super) fn hear(&mut self, id: ConnId, of: Fingerprint, verdict: Verdict) {
        if self.conns.get(id).is_some_and(|conn| conn.planned == self.outbox.number) {
            // The answer before it leaves first, and may clog.
            self.flush();
        }
        let Some(conn) = self.conns.get_mut(id) else { return };
        let state = conn.state;
        let waiting = conn.request.as_mut().and_then(|request| request.waiting.as_mut());
        // It may have given up, and wait for another answer by now.
        let Some(waiting) = waiting.filter(|waiting| waiting.of == of) else { return };
        if state == State::Parked {
            self.go_on_by(id, &verdict);
        } else {
            waiting.verdict = Some(verdict);
        }
    }

    /// An answer before it has left: what came meanwhile counts now.
    pub(super) fn hear_late(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id).filter(|conn| conn.state == State::Parked) else {
            return;
        };
        let waiting = conn.request.as_mut().and_then(|request| request.waiting.as_mut());
        if let Some(verdict) = waiting.and_then(|waiting| waiting.verdict.take()) {
            self.go_on_by(id, &verdict);
        }
    }

    /// Ends the wait of a parked connection without an answer: it took too long, or the node
    /// drains. False: it does not wait for the callback.
    pub(super) fn give_up_waiting(&mut self, id: ConnId) -> bool {
        let request = self.conns.get_mut(id).and_then(|conn| conn.request.as_mut());
        let Some(request) = request.filter(|request| request.waiting.is_some()) else {
            return false;
        };
        request.close_after |= self.drain.is_some();
        let of = request.waiting.as_ref().map(|waiting| waiting.of);
        if let Some(of) = of {
            self.node.sessions.table().leave(of, (self.index, id));
        }
        self.go_on_by(id, &Verdict::Unknown);
        true
    }

    /// A connection ends while it waits.
    pub(super) fn stop_waiting(&mut self, id: ConnId, waiting: &Waiting) {
        self.asking -= 1;
        self.node.sessions.table().leave(waiting.of, (self.index, id));
    }

    fn go_on_by(&mut self, id: ConnId, verdict: &Verdict) {
        let request = self.conns.get_mut(id).and_then(|conn| conn.request.as_mut());
        let Some(waiting) = request.and_then(|request| request.waiting.take()) else { return };
        self.asking -= 1;
        let next = self.decide(id, waiting.wish, verdict);
        self.take_next(id, next);
        self.answer(id);
        self.resume_input(id);
    }
}

/// All `Cookie` lines as one value; none where they are empty.
fn joined_cookies(asked: &Asked<'_, '_>) -> Option<String> {
    let lines: Vec<&str> = asked.head.all("cookie").filter(|line| !line.is_empty()).collect();
    (!lines.is_empty()).then(|| lines.join("; "))
}

/// The value of `Authorization`; a token in the query counts before it.
fn authorization(
    asked: &Asked<'_, '_>,
    found: Option<&Found<'_>>,
) -> Result<Option<String>, Problem> {
    if let Some(found) = found.filter(|found| found.place == Place::Query) {
        // It would end its line in the question and begin another.
        if found.token.chars().any(char::is_control) {
            return Err(token_problem(&TokenError::Malformed));
        }
        return Ok(Some(format!("Bearer {}", found.token)));
    }
    let value = asked.head.field("authorization");
    // An empty one counts as absent.
    let value = value.filter(|value| !value.eq_ignore_ascii_case("bearer"));
    Ok(value.map(ToOwned::to_owned))
}
