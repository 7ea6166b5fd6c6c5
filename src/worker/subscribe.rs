//! Subscribing: from a request to a stream that catches up.

use std::sync::Arc;

use smallvec::SmallVec;

use super::Worker;
use super::conns::{Extra, Form, Half, Join, wrap_ms};
use super::options::Subscribers;
use super::planted::{Planted, is_planted};
use super::reply::Manner;
use super::route::{Asked, Next};
use super::session::Who;
use crate::auth::Identity;
use crate::conn::{Operation, Step};
use crate::driver::{ConnId, Driver};
use crate::hub::Hub;
use crate::journal::ChannelKey;
use crate::proto::channel::{self, Selector};
use crate::proto::forwarded::Client;
use crate::proto::gzip;
use crate::proto::http::{Head, Problem, Response};
use crate::proto::sse::{ControlEvent, EventId, Heartbeat, write_preamble};
use crate::proto::subscribe::{Control, Resume, Subscription};

/// A subscription as it was asked for: all that is needed of its request once that is gone.
#[derive(Debug)]
pub(super) struct Wanted {
    subscription: Subscription,
    form: Form,
    /// The true address of whoever asks.
    pub(super) client: Client,
    pub(super) manner: Manner,
}

/// A node on its way out takes no streams.
pub(super) fn draining_problem() -> Problem {
    Problem::new(503, "draining", "this node is being emptied").retry_after(1)
}

impl<D: Driver> Worker<D> {
    /// Answers `GET /sse...` and `GET /poll...`.
    pub(super) fn subscribe(
        &mut self,
        id: ConnId,
        asked: &Asked<'_, '_>,
        name: Option<&str>,
        poll: bool,
    ) -> Next {
        let manner = self.manner(asked, name);
        let wanted = self.read_wanted(id, asked, name, poll, manner);
        match wanted.and_then(|wanted| Ok((wanted, self.who(asked)?))) {
            Err(problem) => self.refuse_stream(id, &problem, manner),
            Ok((wanted, Who::Known(identity))) => self.go_in(id, wanted, &identity),
            Ok((wanted, Who::Unknown(credentials))) => self.ask(id, credentials, asked, wanted),
        }
    }

    fn read_wanted(
        &self,
        id: ConnId,
        asked: &Asked<'_, '_>,
        name: Option<&str>,
        poll: bool,
        manner: Manner,
    ) -> Result<Wanted, Problem> {
        if self.drain.is_some() {
            return Err(draining_problem());
        }
        let head = asked.head;
        let query = asked.query.iter().map(|(name, value)| (&**name, &**value));
        let name = name.filter(|name| !name.is_empty());
        let last_event_id = head.field("last-event-id");
        let channels_max = self.live.options.channels_per_stream_max;
        let subscription = Subscription::read(name, query, last_event_id, channels_max)
            .map_err(|error| Problem::new(400, "bad-subscription", error.to_string()))?;
        let form = if poll || subscription.once {
            Form::Poll
        } else if head.lists("accept", "application/x-ndjson") {
            Form::Ndjson
        } else if self.compresses(&subscription) && accepts_gzip(head) {
            Form::Gzip
        } else {
            Form::Sse
        };
        Ok(Wanted { subscription, form, client: self.client(id, head), manner })
    }

    /// Lets somebody in who is known now, where grants, rates and caps allow it.
    pub(super) fn go_in(&mut self, id: ConnId, wanted: Wanted, identity: &Arc<Identity>) -> Next {
        let Wanted { subscription, form, client, manner } = wanted;
        if let Err(problem) = self.admit(&subscription, identity) {
            return self.refuse_stream(id, &problem, manner);
        }
        if subscription.resume == Resume::Ended {
            self.reply(id, Response::new(204));
            return Next::Answered;
        }
        if manner.head_only {
            return self.answer_head(id, form);
        }
        if form != Form::Poll {
            if let Err(problem) = self.enter(id, identity, client) {
                return self.refuse_stream(id, &problem, manner);
            }
            self.reply_stream(id, form);
        }
        self.begin(id, subscription, identity, form)
    }

    /// Who may receive what.
    fn admit(&self, subscription: &Subscription, identity: &Identity) -> Result<(), Problem> {
        // It may have begun while the callback was asked.
        if self.drain.is_some() {
            return Err(draining_problem());
        }
        let open = !subscription.selectors.is_empty()
            && (self.live.options.anonymous
                || subscription.selectors.iter().all(|s| self.who_may(s) == Subscribers::Anyone));
        if identity.is_anonymous() && !open {
            let detail = if subscription.selectors.is_empty() {
                "without a channel a token is needed: it names the user whose stream this is"
            } else {
                "subscribing needs a token"
            };
            return Err(Problem::new(401, "token-missing", detail));
        }
        subscription
            .selectors
            .iter()
            .try_for_each(|selector| self.may_subscribe(identity, selector))
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

    fn may_subscribe(&self, identity: &Identity, selector: &Selector) -> Result<(), Problem> {
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

    /// The stream may be compressed: all of its channels allow it.
    fn compresses(&self, subscription: &Subscription) -> bool {
        let options = &self.live.options;
        options.compress
            && subscription.selectors.iter().all(|selector| {
                options.channels.overlapping(selector.literal_prefix()).all(|of| of.compress)
            })
    }

    /// HEAD: the headers, then the end.
    fn answer_head(&mut self, id: ConnId, form: Form) -> Next {
        if let Some(request) = self.conns.get_mut(id).and_then(|conn| conn.request.as_mut()) {
            request.close_after = true;
        }
        self.reply_stream(id, form);
        Next::Answered
    }

    /// Links the stream, then lets it catch up from where it asked.
    fn begin(
        &mut self,
        id: ConnId,
        subscription: Subscription,
        identity: &Arc<Identity>,
        form: Form,
    ) -> Next {
        let names = self.link(id, &subscription, identity);
        let (position, join) = self.place(id, &subscription);
        let mut extra = Extra::default();
        extra.events = subscription.events.map(|names| names.into_iter().map(Into::into).collect());
        extra.join = Some(join);
        extra.control_off = subscription.control == Control::Off;
        extra.control_on = subscription.control == Control::On;
        let heartbeat = self.heartbeat_of(&subscription.selectors);
        let now = self.now;
        self.streams += 1;
        self.node.counters[self.index].streams_begun.add(1);
        if form == Form::Poll {
            let wait_ms = if subscription.once { 0 } else { subscription.poll_timeout_ms };
            extra.poll_until_ms = now.mono_ms + wait_ms;
        }
        let poll_until_ms = extra.poll_until_ms;
        let open = Some(ControlEvent::Open {
            connection: format!("{}-{}-{}", self.index, id.slot, id.generation),
            channels: names,
            epoch: self.node.journal.epoch(),
            heartbeat_ms: self.live.options.heartbeat_ms,
        });
        let Some(conn) = self.conns.get_mut(id) else { return Next::Waiting };
        conn.form = form;
        conn.linked = true;
        conn.heartbeat = heartbeat;
        conn.position = position;
        conn.since_ms = wrap_ms(now.mono_ms);
        conn.expires_unix_s = identity.expires_unix_s.map_or(0, short_s);
        let (half, say_open) = (conn.take_half(), extra.control_on);
        conn.extra = Some(Box::new(extra));
        if form == Form::Poll {
            // An answer before it may still be on its way out.
            conn.keep_half(half);
            conn.step(Step::Poll);
            if let Some(request) = conn.request.as_mut() {
                request.deadline_ms = u64::MAX;
            }
        } else {
            let bytes = first_bytes(
                std::mem::take(&mut self.out),
                form,
                self.live.options.retry_ms,
                open.filter(|_| say_open),
            );
            conn.step(Step::Stream);
            conn.keep_half(Some(Half::Bytes(bytes, None)));
            conn.request = None;
        }
        let sock = conn.sock;
        // A waiting poll sends nothing that could fail.
        let watch = self.live.options.watch_hangup || form == Form::Poll;
        if watch && conn.armed.insert(Operation::Hangup) {
            self.driver.watch_hangup(sock, id);
        }
        if form == Form::Poll {
            self.schedule(id, poll_until_ms);
        } else {
            self.expect_expiry(id);
        }
        self.fall_behind(id.slot);
        Next::Waiting
    }

    /// What a stream is sent in silence: its first channel says.
    fn heartbeat_of(&self, selectors: &[Selector]) -> Heartbeat {
        let options = &self.live.options;
        let first = selectors.first().map_or("", |first| first.as_str());
        options.channels.lookup(first).heartbeat.unwrap_or(options.heartbeat)
    }

    /// Links the stream to all it receives. Returns their names.
    fn link(
        &mut self,
        id: ConnId,
        subscription: &Subscription,
        identity: &Identity,
    ) -> Vec<String> {
        let mut names = Vec::new();
        let own = [
            identity.subject.as_deref().map(channel::user_channel),
            identity.tenant.as_deref().map(channel::tenant_channel),
        ];
        let own = own.into_iter().flatten().filter_map(Result::ok).map(Selector::Name);
        let own: SmallVec<[Selector; 2]> = own.collect();
        self.hub.expect_links(id.slot, subscription.selectors.len() + own.len());
        for selector in subscription.selectors.iter().cloned().chain(own) {
            if names.iter().any(|name| name == selector.as_str()) {
                continue;
            }
            names.push(selector.as_str().to_owned());
            match selector {
                // Every stream receives it without a link.
                Selector::Name(name) if name == channel::BROADCAST => {}
                Selector::Name(name) => {
                    let key = self.node.journal.key(&name);
                    // At the bound of channels it is linked all the same: it has no history then.
                    let _ = self.node.journal.attach(&key, self.now.mono_ms);
                    self.hub.link_channel(id.slot, &key);
                }
                Selector::Pattern(pattern) => {
                    self.hub.link_pattern(id.slot, &pattern);
                }
            }
        }
        names
    }

    /// Where the stream begins, and what it has to be told about it.
    fn place(&self, id: ConnId, subscription: &Subscription) -> (u64, Join) {
        let journal = &self.node.journal;
        let last_seq = self.last_seq;
        let base = journal.base_seq();
        let mut join = Join {
            until_seq: last_seq,
            starts: Box::default(),
            requested: None,
            foreign: false,
            checked: false,
            told_seq: 0,
        };
        let position = match &subscription.resume {
            Resume::After(asked) => {
                join.requested = Some(asked.to_string());
                // The client may come from a worker that was ahead of this one.
                let ours = asked.epoch == journal.epoch() && asked.seq <= journal.head_seq();
                join.foreign = !ours;
                match ours {
                    true if is_planted(Planted::JoinBehind) => asked.seq.min(last_seq),
                    true => asked.seq,
                    false => base,
                }
            }
            Resume::Foreign(asked) => {
                join.requested = Some(asked.clone());
                join.foreign = true;
                base
            }
            Resume::Earliest => base,
            Resume::SinceUnixMs(_) | Resume::SinceAgoMs(_) | Resume::Last(_) => {
                join.starts = self.starts(id, &subscription.resume, last_seq);
                base
            }
            Resume::Live | Resume::Ended => last_seq,
        };
        (position, join)
    }

    /// Where each topic's replay starts.
    fn starts(&self, id: ConnId, resume: &Resume, last_seq: u64) -> Box<[u64]> {
        let (journal, unix_ms) = (&self.node.journal, self.now.unix_ms);
        let of = |key: &ChannelKey| match resume {
            Resume::Last(count) => journal.start_of_last(key, *count, last_seq, unix_ms),
            Resume::SinceUnixMs(since) => journal.start_of_since(key, *since, last_seq),
            Resume::SinceAgoMs(ago) => {
                journal.start_of_since(key, unix_ms.saturating_sub(*ago), last_seq)
            }
            _ => last_seq,
        };
        let topics = self.hub.topics_of(id.slot).chain([Hub::BROADCAST]);
        let start = |topic| match self.hub.topic(topic).map(|topic| &topic.name) {
            Some(crate::hub::TopicName::Channel(name)) => of(&journal.key_of(name)),
            Some(crate::hub::TopicName::Pattern(pattern)) => {
                journal.start_of_pattern(pattern, &start_rule(resume, unix_ms), last_seq)
            }
            None => last_seq,
        };
        topics.map(start).collect()
    }

    /// The cursor of a stream as an id.
    pub(super) fn cursor(&self, position: u64) -> EventId {
        EventId { epoch: self.node.journal.epoch(), seq: position }
    }
}

/// As a connection keeps it. Beyond 2106 its own lifetime ends first.
fn short_s(unix_s: u64) -> u32 {
    u32::try_from(unix_s.max(1)).unwrap_or(u32::MAX)
}

/// `last` and `since` for patterns, which have no history of their own.
fn start_rule(resume: &Resume, unix_ms: u64) -> crate::journal::PatternStart {
    use crate::journal::PatternStart;
    match resume {
        Resume::Last(count) => PatternStart::Last(*count),
        Resume::SinceUnixMs(since) => PatternStart::Since(*since),
        Resume::SinceAgoMs(ago) => PatternStart::Since(unix_ms.saturating_sub(*ago)),
        _ => PatternStart::Last(0),
    }
}

/// What a stream begins with, behind answers not yet sent and its head: preamble, `sse.open`.
fn first_bytes(
    mut bytes: Vec<u8>,
    form: Form,
    retry_ms: u32,
    open: Option<ControlEvent>,
) -> Box<[u8]> {
    if form == Form::Ndjson {
        if let Some(open) = open {
            open.write_json(&mut bytes);
        }
        return bytes.into_boxed_slice();
    }
    let mut text = Vec::new();
    write_preamble(&mut text, retry_ms);
    if let Some(open) = open {
        open.write(&mut text);
    }
    if form == Form::Gzip {
        bytes.extend_from_slice(gzip::HEADER);
        gzip::write_stored(&text, &mut bytes);
    } else {
        bytes.append(&mut text);
    }
    bytes.into_boxed_slice()
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
