//! Who may have a stream, and of what: what is needed of a request once its head is gone.

use std::sync::Arc;

use super::Worker;
use super::aliases::Access;
use super::options::{RefuseBy, Subscribers};
use super::publish::token_missing;
use super::route::Asked;
use super::session::{Session, Who};
use crate::auth::Identity;
use crate::auth::grant::{self, GRANTED_PARAMETER, Granted, SIGNATURE_PARAMETER};
use crate::driver::{ConnId, Driver};
use crate::proto::channel::Selector;
use crate::proto::forwarded::Client;
use crate::proto::gzip;
use crate::proto::http::{Head, Problem};
use crate::proto::sse::Heartbeat;
use crate::proto::subscribe::Subscription;

/// Which way a request for a stream came in.
#[derive(Debug, Default)]
pub(super) struct Entrance<'a> {
    /// Channels in the path.
    pub(super) name: Option<&'a str>,
    /// It asks for one JSON answer.
    pub(super) polls: bool,
    /// Who may use it.
    pub(super) access: Access,
    /// Heartbeats of its streams.
    pub(super) heartbeat: Option<Heartbeat>,
}

/// How to refuse whoever asks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manners {
    /// As the query or the namespace chooses.
    pub(super) refuse: RefuseBy,
    /// A browser's `EventSource` asks.
    pub(super) browser: bool,
    /// The method is HEAD.
    pub(super) head_only: bool,
}

/// A stream somebody asks for.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) subscription: Subscription,
    pub(super) identity: Arc<Identity>,
    /// Whose identity the callback has still to say.
    pub(super) session: Option<Session>,
    /// What a signature in the query grants.
    granted: Option<Granted>,
    pub(super) manners: Manners,
    pub(super) client: Client,
    access: Access,
    pub(super) heartbeat: Option<Heartbeat>,
    /// One JSON answer.
    pub(super) polls: bool,
    /// A JSON object a line.
    pub(super) lines: bool,
    pub(super) takes_gzip: bool,
}

impl Wish {
    /// The same, asked for by this identity.
    pub(super) fn of(self, identity: &Arc<Identity>) -> Self {
        Self { identity: Arc::clone(identity), ..self }
    }

    /// The first second since 1970 in which the stream has to end.
    pub(super) fn expires_unix_s(&self) -> Option<u64> {
        let granted = self.granted.as_ref().map(|granted| granted.expires_unix_s);
        [self.identity.expires_unix_s, granted].into_iter().flatten().min()
    }
}

impl<D: Driver> Worker<D> {
    /// Why nobody at all is let in now.
    pub(super) fn shut_to_all(&self) -> Option<Problem> {
        if self.node.is_disabled() {
            let detail = "the operator of this service has switched it off";
            return Some(Problem::new(503, "disabled", detail));
        }
        let draining = self.drain.is_some();
        draining.then(|| Problem::new(503, "draining", "this node is being emptied").retry_after(1))
    }

    /// How this request is refused, if it has to be.
    pub(super) fn manners(&self, asked: &Asked<'_, '_>, name: &str) -> Manners {
        let (head, options) = (asked.head, &self.live.options);
        let refuse = match asked.option("refuse") {
            Some("status") => RefuseBy::Status,
            Some("in-band") => RefuseBy::InBand,
            _ => options.channels.lookup(name).refuse.unwrap_or(options.refuse),
        };
        let browser =
            head.lists("accept", "text/event-stream") && head.field("sec-fetch-mode").is_some();
        Manners { refuse, browser, head_only: asked.is_head() }
    }

    /// Reads what is asked for, and by whom.
    pub(super) fn wish(
        &mut self,
        id: ConnId,
        asked: &Asked<'_, '_>,
        entrance: &Entrance<'_>,
        manners: Manners,
    ) -> Result<Wish, Problem> {
        if let Some(closed) = self.shut_to_all() {
            return Err(closed);
        }
        let head = asked.head;
        let query = asked.query.iter().map(|(name, value)| (&**name, &**value));
        let name = entrance.name.filter(|name| !name.is_empty());
        let channels_max = self.live.options.channels_per_stream_max;
        let subscription =
            Subscription::read(name, query, head.field("last-event-id"), channels_max)
                .map_err(|error| bad_subscription(&error))?;
        let (identity, session) = match self.who(asked)? {
            Who::Known(identity) => (identity, None),
            Who::Unknown(session) => (Arc::new(Identity::anonymous()), Some(session)),
        };
        let granted = self.granted(asked, &subscription)?;
        Ok(Wish {
            subscription,
            identity,
            session,
            granted,
            manners,
            client: self.client(id, head),
            access: entrance.access,
            heartbeat: entrance.heartbeat,
            polls: entrance.polls,
            lines: head.lists("accept", "application/x-ndjson"),
            takes_gzip: self.live.options.compress && accepts_gzip(head),
        })
    }

    /// What the signature in the query grants: the pattern beside it, or the one channel asked for.
    fn granted(
        &self,
        asked: &Asked<'_, '_>,
        subscription: &Subscription,
    ) -> Result<Option<Granted>, Problem> {
        let signature = asked.option(SIGNATURE_PARAMETER).filter(|text| !text.is_empty());
        let Some(signature) = signature else { return Ok(None) };
        let only = match &*subscription.selectors {
            [only] => Some(only.as_str()),
            _ => None,
        };
        let Some(granted) = asked.option(GRANTED_PARAMETER).or(only) else {
            let detail = "a signature grants one channel or pattern: name it by `grant`";
            return Err(Problem::new(401, "grant-invalid", detail));
        };
        grant::verify(granted, signature, &self.live.keys, self.now.unix_ms / 1_000)
            .map(Some)
            .map_err(|error| Problem::new(401, "grant-invalid", error.to_string()))
    }

    /// All that is asked for may be had.
    pub(super) fn may_have(&self, wish: &Wish) -> Result<(), Problem> {
        let Wish { subscription, identity, granted, .. } = wish;
        let selectors = &subscription.selectors;
        let is_granted = |selector: &Selector| {
            granted.as_ref().is_some_and(|granted| granted.channels.covers(selector))
        };
        let open = !selectors.is_empty()
            && (self.live.options.anonymous
                || selectors.iter().all(|selector| {
                    is_granted(selector) || self.who_may(selector) == Subscribers::Anyone
                }));
        if identity.is_anonymous() && (!open || wish.access > Access::Default) {
            return Err(token_missing(if selectors.is_empty() {
                "without a channel a token is needed: it names the user whose stream this is"
            } else {
                "subscribing needs a token"
            }));
        }
        if wish.access == Access::Admin && !identity.admin {
            return Err(Problem::new(403, "not-admin", "the token is not an admin's"));
        }
        selectors.iter().try_for_each(|selector| {
            if is_granted(selector) && self.who_may(selector) != Subscribers::Admin {
                return Ok(());
            }
            self.may_subscribe(identity, selector)
        })
    }

    /// Who may subscribe to all that a selector selects.
    fn who_may(&self, selector: &Selector) -> Subscribers {
        let channels = &self.live.options.channels;
        match selector {
            Selector::Name(name) => channels.lookup(name).subscribe,
            Selector::Pattern(pattern) => {
                let all = channels.overlapping(pattern.literal_prefix());
                all.map(|of| of.subscribe).max().unwrap_or_default()
            }
        }
    }

    /// This identity may receive what a selector selects.
    pub(super) fn may_subscribe(
        &self,
        identity: &Identity,
        selector: &Selector,
    ) -> Result<(), Problem> {
        let refused = |status, detail| Err(Problem::new(status, "subscribe-denied", detail));
        match self.who_may(selector) {
            // What has an owner stays its owner's.
            Subscribers::Anyone if !selector.is_reserved() => return Ok(()),
            Subscribers::Token if identity.is_anonymous() => {
                return refused(401, "subscribing to this channel needs a token");
            }
            Subscribers::Admin if !identity.admin => {
                let status = if identity.is_anonymous() { 401 } else { 403 };
                return refused(status, "subscribing to this channel needs an admin's token");
            }
            _ => {}
        }
        identity
            .may_subscribe(selector, self.live.options.anonymous)
            .map_err(|denied| Problem::new(denied.status(), "subscribe-denied", denied.to_string()))
    }
}

pub(super) fn bad_subscription(error: &impl std::fmt::Display) -> Problem {
    Problem::new(400, "bad-subscription", error.to_string())
}

/// All lines of the field together (RFC 9110 5.3).
fn accepts_gzip(head: &Head<'_>) -> bool {
    let mut all = Vec::new();
    for value in head.all("accept-encoding") {
        all.extend_from_slice(value.as_bytes());
        all.push(b',');
    }
    gzip::accepts_gzip(&all)
}
