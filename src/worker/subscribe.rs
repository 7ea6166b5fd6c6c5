//! Subscribing: from a request to a stream that catches up.

use smallvec::SmallVec;

use super::Worker;
use super::admit::{Entrance, Wish, bad_subscription};
use super::conns::{Extra, Form, Half, Join, wrap_ms};
use super::planted::{Planted, is_planted};
use super::route::{Asked, Awaited, Next};
use crate::auth::{ConnectionRef, Identity};
use crate::conn::{Operation, Step};
use crate::driver::{ConnId, Driver};
use crate::hub::{Hub, TopicId, TopicName};
use crate::journal::ChannelKey;
use crate::obs::EventKind;
use crate::proto::channel::{self, Selector};
use crate::proto::gzip;
use crate::proto::http::{Body, Framing, Problem, Response};
use crate::proto::sse::{ControlEvent, EventId, Heartbeat, write_preamble};
use crate::proto::subscribe::{Control, Resume, Subscription};

impl<D: Driver> Worker<D> {
    /// Answers `GET /sse...` and `GET /poll...`.
    pub(super) fn subscribe(
        &mut self,
        id: ConnId,
        asked: &Asked<'_, '_>,
        entrance: &Entrance<'_>,
    ) -> Next {
        self.skip_body(id, asked.head);
        let manners = self.manners(asked, entrance.name.unwrap_or_default());
        match self.wish(id, asked, entrance, manners) {
            Ok(wish) => self.fulfil(id, wish),
            Err(problem) => self.refuse_stream(id, &problem, manners),
        }
    }

    /// Answers `POST /sse`: the body lists the channels, more than a query may hold.
    pub(super) fn subscribe_to_list(&mut self, id: ConnId, asked: &Asked<'_, '_>) -> Next {
        let head = asked.head;
        let is_json = head.media_type().is_some_and(|m| m.eq_ignore_ascii_case("application/json"));
        if !is_json {
            let detail = "a list of channels is application/json: {\"channels\":[..]}";
            return self.refused(id, &Problem::new(415, "media-type", detail), head);
        }
        let manners = self.manners(asked, "");
        let wish = match self.wish(id, asked, &Entrance::default(), manners) {
            Ok(wish) => wish,
            Err(problem) => {
                self.skip_body(id, head);
                return self.refuse_stream(id, &problem, manners);
            }
        };
        match Body::new(head.framing(), self.live.options.body_bytes_max) {
            Ok(body) if head.framing() != Framing::None => {
                Next::Body(body, Awaited::Subscribe(Box::new(wish)))
            }
            Ok(_) => {
                let problem = bad_subscription(&"the body lists the channels");
                self.refused(id, &problem, head)
            }
            Err(error) => {
                let problem = Problem::new(error.status(), "body-too-large", error.to_string());
                self.refused(id, &problem, head)
            }
        }
    }

    /// The list of channels is there.
    pub(super) fn subscribe_body(&mut self, id: ConnId, mut wish: Wish, content: &[u8]) {
        let channels_max = self.live.options.channels_per_stream_max;
        let next = match wish.subscription.add_json(content, channels_max) {
            Ok(()) => self.fulfil(id, wish),
            Err(error) => self.refuse_stream(id, &bad_subscription(&error), wish.manners),
        };
        if matches!(next, Next::Answered) {
            self.answered(id);
        }
    }

    /// Answers a wish: with a stream, if all that it asks for is granted.
    pub(super) fn fulfil(&mut self, id: ConnId, mut wish: Wish) -> Next {
        if let Some(session) = wish.session.take() {
            return self.ask(id, session, wish);
        }
        let manners = wish.manners;
        if let Err(problem) = self.may_have(&wish) {
            return self.refuse_stream(id, &problem, manners);
        }
        let Wish { subscription, .. } = &wish;
        if subscription.resume == Resume::Ended {
            self.reply(id, Response::new(204));
            return Next::Answered;
        }
        let form = if wish.polls || subscription.once {
            Form::Poll
        } else if wish.lines {
            Form::Ndjson
        } else if wish.takes_gzip && self.compresses(subscription) {
            Form::Gzip
        } else {
            Form::Sse
        };
        if manners.head_only {
            return self.answer_head(id, form);
        }
        if form != Form::Poll {
            if let Err(problem) = self.enter(id, &wish.identity, wish.client) {
                return self.refuse_stream(id, &problem, manners);
            }
            self.reply_stream(id, form);
        }
        self.begin(id, wish, form)
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
    fn begin(&mut self, id: ConnId, wish: Wish, form: Form) -> Next {
        let expires_unix_s = wish.expires_unix_s();
        let Wish { subscription, identity, .. } = wish;
        let names = self.link(id, &subscription, &identity);
        self.remember_token(id.slot, &identity);
        if form != Form::Poll {
            self.note_joins(&names, identity.subject.as_deref());
        }
        let (position, join) = self.place(id, &subscription);
        let mut extra = Extra::default();
        extra.events = subscription.events.map(|names| names.into_iter().map(Into::into).collect());
        extra.user = whose(&subscription.selectors, identity.subject.as_deref());
        extra.join = Some(join);
        extra.control_off = subscription.control == Control::Off;
        extra.control_on = subscription.control == Control::On;
        let heartbeat =
            wish.heartbeat.unwrap_or_else(|| self.heartbeat_of(&subscription.selectors));
        let now = self.now;
        self.streams += 1;
        self.node.counters[self.index].streams_begun.add(1);
        if form == Form::Poll {
            let wait_ms = if subscription.once { 0 } else { subscription.poll_timeout_ms };
            extra.poll_until_ms = now.mono_ms + wait_ms;
        }
        let poll_until_ms = extra.poll_until_ms;
        let open = Some(ControlEvent::Open {
            connection: self.name_of(id),
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
        conn.expires_unix_s = expires_unix_s.map_or(0, short_s);
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
            conn.keep_half(Some(Half::Bytes(bytes, None, EventKind::OTHER)));
            conn.request = None;
        }
        self.watch_peer(id, form);
        if form == Form::Poll {
            self.schedule(id, poll_until_ms);
        } else {
            self.expect_expiry(id);
        }
        self.fall_behind(id.slot);
        Next::Waiting
    }

    /// Is told when the peer goes. A waiting poll must be: it sends nothing that could fail.
    pub(super) fn watch_peer(&mut self, id: ConnId, form: Form) {
        let watch = self.live.options.watch_hangup || form == Form::Poll;
        if let Some(conn) = self.conns.get_mut(id).filter(|_| watch)
            && conn.armed.insert(Operation::Hangup)
        {
            self.driver.watch_hangup(conn.sock, id);
        }
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
            self.link_one(id.slot, &selector);
        }
        names
    }

    /// Links a stream to one channel or pattern.
    pub(super) fn link_one(&mut self, slot: u32, selector: &Selector) {
        match selector {
            // Every stream receives it without a link.
            Selector::Name(name) if name == channel::BROADCAST => {}
            Selector::Name(name) => {
                let key = self.node.journal.key(name);
                // At the bound of channels it is linked all the same: it has no history then.
                let _ = self.node.journal.attach(&key, self.now.mono_ms);
                self.hub.link_channel(slot, &key);
            }
            Selector::Pattern(pattern) => {
                self.hub.link_pattern(slot, pattern);
            }
        }
    }

    /// What `sse.open` calls this connection.
    fn name_of(&self, id: ConnId) -> String {
        self.node.names.name(ConnectionRef {
            worker: u16::try_from(self.index).unwrap_or(u16::MAX),
            slot: id.slot,
            generation: id.generation,
        })
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
        let topics = self.hub.topics_of(id.slot).chain([Hub::BROADCAST]);
        topics.map(|topic| self.start_by_rule(topic, resume, last_seq)).collect()
    }

    /// Where a topic's replay starts by `last` or `since`.
    pub(super) fn start_by_rule(&self, topic: TopicId, resume: &Resume, last_seq: u64) -> u64 {
        let (journal, unix_ms) = (&self.node.journal, self.now.unix_ms);
        let of = |key: &ChannelKey| match resume {
            Resume::Last(count) => journal.start_of_last(key, *count, last_seq, unix_ms),
            Resume::SinceUnixMs(since) => journal.start_of_since(key, *since, last_seq),
            Resume::SinceAgoMs(ago) => {
                journal.start_of_since(key, unix_ms.saturating_sub(*ago), last_seq)
            }
            _ => last_seq,
        };
        match self.hub.topic(topic).map(|topic| &topic.name) {
            Some(TopicName::Channel(name)) => of(&journal.key_of(name)),
            Some(TopicName::Pattern(pattern)) => {
                journal.start_of_pattern(pattern, &start_rule(resume, unix_ms), last_seq)
            }
            None => last_seq,
        }
    }

    /// The cursor of a stream as an id.
    pub(super) fn cursor(&self, position: u64) -> EventId {
        EventId { epoch: self.node.journal.epoch(), seq: position }
    }
}

/// Whose stream it is, where its channels do not say it: it receives those of other users too.
pub(super) fn whose(selectors: &[Selector], own: Option<&str>) -> Option<Box<str>> {
    let own = own.unwrap_or_default();
    let is_other = |selector: &Selector| match selector {
        Selector::Name(name) => name.strip_prefix(channel::USER).is_some_and(|user| user != own),
        Selector::Pattern(_) => false,
    };
    selectors.iter().any(is_other).then(|| own.into())
}

/// As a connection keeps it. Beyond 2106 its own lifetime ends first.
pub(super) fn short_s(unix_s: u64) -> u32 {
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
