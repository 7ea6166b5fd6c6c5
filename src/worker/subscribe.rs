//! Subscribing: from a request to a stream that catches up.

use std::sync::Arc;

use super::Worker;
use super::conns::{Extra, Form, Half, Join, wrap_ms};
use super::planted::{Planted, is_planted};
use super::publish::token_problem;
use super::route::{Asked, Next};
use crate::auth::Identity;
use crate::conn::{Operation, Step};
use crate::driver::{ConnId, Driver};
use crate::hub::Hub;
use crate::journal::ChannelKey;
use crate::proto::channel::{self, Selector};
use crate::proto::http::{Problem, Response};
use crate::proto::sse::{ControlEvent, EventId, write_preamble, write_stream_head};
use crate::proto::subscribe::{Control, Resume, Subscription};

impl<D: Driver> Worker<D> {
    /// Answers `GET /sse...` and `GET /poll...`.
    pub(super) fn subscribe(
        &mut self,
        id: ConnId,
        asked: &Asked<'_, '_>,
        name: Option<&str>,
        poll: bool,
    ) -> Next {
        let head = asked.head;
        match self.admit(asked, name) {
            Err(problem) => self.refused(id, &problem, head),
            Ok((subscription, _)) if subscription.resume == Resume::Ended => {
                Response::new(204).write(false, &mut self.out);
                Next::Answered
            }
            Ok((subscription, identity)) => {
                let form = if poll || subscription.once {
                    Form::Poll
                } else if head.lists("accept", "application/x-ndjson") {
                    Form::Ndjson
                } else {
                    Form::Sse
                };
                if asked.is_head() {
                    self.answer_head(id, form);
                    return Next::Waiting;
                }
                self.begin(id, subscription, &identity, form)
            }
        }
    }

    /// Who may receive what.
    fn admit(
        &mut self,
        asked: &Asked<'_, '_>,
        name: Option<&str>,
    ) -> Result<(Subscription, Arc<Identity>), Problem> {
        if self.drain.is_some() {
            let detail = "this node is being emptied";
            return Err(Problem::new(503, "draining", detail).retry_after(1));
        }
        let query = asked.query.iter().map(|(name, value)| (&**name, &**value));
        let name = name.filter(|name| !name.is_empty());
        let last_event_id = asked.head.field("last-event-id");
        let channels_max = self.live.options.channels_per_stream_max;
        let subscription = Subscription::read(name, query, last_event_id, channels_max)
            .map_err(|error| Problem::new(400, "bad-subscription", error.to_string()))?;
        let found = self.identify(asked).map_err(|error| token_problem(&error))?;
        let identity = found.map_or_else(|| Arc::new(Identity::anonymous()), |found| found.0);
        if identity.is_anonymous()
            && (subscription.selectors.is_empty() || !self.live.options.anonymous)
        {
            let detail = if subscription.selectors.is_empty() {
                "without a channel a token is needed: it names the user whose stream this is"
            } else {
                "subscribing needs a token"
            };
            return Err(Problem::new(401, "token-missing", detail));
        }
        for selector in &subscription.selectors {
            identity.may_subscribe(selector, self.live.options.anonymous).map_err(|denied| {
                Problem::new(denied.status(), "subscribe-denied", denied.to_string())
            })?;
        }
        Ok((subscription, identity))
    }

    /// HEAD: the headers, then the end.
    fn answer_head(&mut self, id: ConnId, form: Form) {
        if let Some(request) = self.conns.get_mut(id).and_then(|conn| conn.request.as_mut()) {
            request.close_after = true;
        }
        write_stream_head(&mut self.out, content_type(form), b"");
        self.answered(id);
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
        let mut extra = Extra {
            identity: (!identity.is_anonymous()).then(|| Arc::clone(identity)),
            events: subscription.events.map(|names| names.into_iter().map(Into::into).collect()),
            join: Some(join),
            control_off: subscription.control == Control::Off,
            control_on: subscription.control == Control::On,
            poll_until_ms: 0,
        };
        let now = self.now;
        self.streams += 1;
        self.node.counters[self.index].streams_begun.add(1);
        if form == Form::Poll {
            let wait_ms = if subscription.once { 0 } else { subscription.poll_timeout_ms };
            extra.poll_until_ms = now.mono_ms + wait_ms;
        }
        let expires_ms = identity.expires_unix_s.map(|expires_unix_s| {
            let left_ms = expires_unix_s.saturating_mul(1_000).saturating_sub(now.unix_ms);
            now.mono_ms.saturating_add(left_ms)
        });
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
        conn.custom = form != Form::Sse || extra.events.is_some();
        conn.position = position;
        conn.since_ms = wrap_ms(now.mono_ms);
        if form == Form::Poll {
            conn.step(Step::Poll);
            if let Some(request) = conn.request.as_mut() {
                request.deadline_ms = u64::MAX;
            }
        } else {
            let bytes = first_bytes(
                std::mem::take(&mut self.out),
                form,
                self.live.options.retry_ms,
                open.filter(|_| extra.control_on),
            );
            conn.step(Step::Stream);
            conn.half = Some(Box::new(Half::Bytes(bytes, None)));
            conn.request = None;
        }
        conn.extra = Some(Box::new(extra));
        let sock = conn.sock;
        if conn.armed.insert(Operation::Hangup) {
            self.driver.watch_hangup(sock, id);
        }
        if form == Form::Poll {
            self.schedule(id, poll_until_ms);
        } else if let Some(expires_ms) = expires_ms {
            self.schedule(id, expires_ms);
        }
        self.fall_behind(id.slot);
        Next::Waiting
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
            Some(crate::hub::TopicName::Channel(key)) => of(key),
            Some(crate::hub::TopicName::Pattern(pattern)) => {
                journal.start_of_pattern(pattern, &start_rule(resume, unix_ms), last_seq)
            }
            Some(crate::hub::TopicName::Broadcast) => of(&self.broadcast),
            None => last_seq,
        };
        topics.map(start).collect()
    }

    /// The cursor of a stream as an id.
    pub(super) fn cursor(&self, position: u64) -> EventId {
        EventId { epoch: self.node.journal.epoch(), seq: position }
    }
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

fn content_type(form: Form) -> &'static str {
    match form {
        Form::Sse => "text/event-stream",
        Form::Ndjson => "application/x-ndjson",
        Form::Poll => "application/json",
    }
}

/// What a stream begins with, behind answers not yet sent: head, preamble, `sse.open`.
fn first_bytes(
    mut bytes: Vec<u8>,
    form: Form,
    retry_ms: u32,
    open: Option<ControlEvent>,
) -> Box<[u8]> {
    write_stream_head(&mut bytes, content_type(form), b"");
    if form == Form::Sse {
        write_preamble(&mut bytes, retry_ms);
    }
    match (open, form) {
        (Some(open), Form::Sse) => open.write(&mut bytes),
        (Some(open), _) => open.write_json(&mut bytes),
        (None, _) => {}
    }
    bytes.into_boxed_slice()
}
