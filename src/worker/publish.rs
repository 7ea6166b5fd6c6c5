//! Publishing: from a request to events in the journal.

use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use super::Worker;
use super::parked::{Answer, Entry, Lines, Progress, PublishJob};
use super::reply::{foreign_problem, is_foreign};
use super::route::{Asked, Awaited, Next};
use crate::auth::{Identity, TokenError};
use crate::conn::Step;
use crate::driver::{ConnId, Driver};
use crate::journal::{ChannelKey, Draft};
use crate::proto::channel::Selector;
use crate::proto::http::cors::Fields;
use crate::proto::http::{Body, Fed, Framing, Problem, pairs};
use crate::proto::publish::{Command, PublishError, batch};
use crate::proto::sse::Frame;

/// What the body of a publish is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The data itself.
    Raw,
    /// A form: the same as the query.
    Form,
    /// One command, or an array of them.
    Json,
    /// A command on each line.
    Lines,
}

/// A publish whose body is awaited.
#[derive(Debug)]
pub(super) struct Publish {
    kind: Kind,
    /// Target and options of path, query and header.
    command: Command,
    identity: Arc<Identity>,
    lines: Lines,
}

impl Publish {
    /// What became of the lines that were read.
    pub(super) fn lines(&self) -> &Lines {
        &self.lines
    }

    /// The lines before these were read by another process.
    pub(super) fn go_on_after(&mut self, lines: Lines) {
        self.lines = lines;
    }

    pub(super) fn is_stream(&self) -> bool {
        self.kind == Kind::Lines
    }
}

impl<D: Driver> Worker<D> {
    /// Answers `POST /publish...`.
    pub(super) fn publish(
        &mut self,
        id: ConnId,
        asked: &Asked<'_, '_>,
        name: Option<&str>,
    ) -> Next {
        let head = asked.head;
        let identity = match self.publisher(asked) {
            Ok(identity) => identity,
            Err(problem) => return self.refused(id, &problem, head),
        };
        let mut command = Command::new();
        let mut read = || -> Result<(), PublishError> {
            if let Some(name) = name {
                command.target(name)?;
            }
            for (key, value) in asked.query {
                command.option(key, value)?;
            }
            if let Some(key) = head.field("idempotency-key") {
                command.option("idempotency_key", key)?;
            }
            Ok(())
        };
        if let Err(error) = read() {
            return self.refused(id, &publish_problem(&error), head);
        }
        let kind = match head.media_type() {
            _ if name.is_some() => Kind::Raw,
            Some(media) if media.eq_ignore_ascii_case("application/json") => Kind::Json,
            Some(media) if media.eq_ignore_ascii_case("application/x-ndjson") => Kind::Lines,
            Some(media) if media.eq_ignore_ascii_case("application/x-www-form-urlencoded") => {
                // curl -d says "form" whatever it sends; without a form's target the query rules.
                if command.channels.is_empty() { Kind::Form } else { Kind::Raw }
            }
            _ => Kind::Raw,
        };
        let publish = Publish { kind, command, identity, lines: Lines::default() };
        let bytes_max = match kind {
            Kind::Lines => u64::MAX,
            _ => self.live.options.body_bytes_max,
        };
        match Body::new(head.framing(), bytes_max) {
            Err(error) => {
                let problem = Problem::new(error.status(), "body-too-large", error.to_string());
                self.refused(id, &problem, head)
            }
            Ok(_) if head.framing() == Framing::None => {
                self.publish_body(id, publish, b"");
                Next::Waiting
            }
            Ok(body) => Next::Body(body, Awaited::Publish(Box::new(publish))),
        }
    }

    /// Who publishes: by the Authorization header only. A token in query or cookie may have been
    /// sent by a page the user did not mean to publish from.
    fn publisher(&mut self, asked: &Asked<'_, '_>) -> Result<Arc<Identity>, Problem> {
        if is_foreign(&self.live.options.cors, asked.head) {
            return Err(foreign_problem());
        }
        let Some(token) = asked.head.bearer().filter(|token| !token.is_empty()) else {
            let detail = "publishing needs the header Authorization: Bearer <token>";
            return Err(token_missing(detail));
        };
        self.verify(token).map_err(|error| token_problem(&error))
    }

    /// The whole body is there.
    pub(super) fn publish_body(&mut self, id: ConnId, publish: Publish, content: &[u8]) {
        let Publish { kind, command, identity, lines } = publish;
        if kind == Kind::Json && content.trim_ascii_start().starts_with(b"[") {
            return self.publish_batch(id, &command, &identity, content);
        }
        if kind == Kind::Lines {
            return self.run_job(id, PublishJob::lines(lines));
        }
        match read_one(kind, command, content).and_then(Command::check) {
            Ok(command) => {
                let entries = self.entries(command, &identity);
                self.run_job(id, PublishJob::single(entries));
            }
            Err(error) => {
                self.refuse(id, &publish_problem(&error), false);
                self.answered(id);
            }
        }
    }

    fn publish_batch(
        &mut self,
        id: ConnId,
        command: &Command,
        identity: &Arc<Identity>,
        content: &[u8],
    ) {
        let elements = match batch(content) {
            Ok(elements) => elements,
            Err(error) => {
                self.refuse(id, &publish_problem(&error), false);
                return self.answered(id);
            }
        };
        let drafts = elements.into_iter().map(|element| {
            let command = command.clone().json(element.get().as_bytes())?;
            command.check()?.check_many()
        });
        let drafts: Vec<Result<Command, PublishError>> = drafts.collect();
        let entries = drafts.into_iter().flat_map(|command| self.read_entries(command, identity));
        let entries = entries.collect();
        self.run_job(id, PublishJob::batch(entries));
    }

    /// Works off the whole lines of an NDJSON body. Returns the input bytes used.
    pub(super) fn read_lines(&mut self, id: ConnId, fed: Fed) -> Option<usize> {
        let line_max = usize::try_from(self.live.options.body_bytes_max).unwrap_or(usize::MAX);
        let request = self.conns.get_mut(id)?.request.as_mut()?;
        let mut content = std::mem::take(&mut request.content);
        let (body, Awaited::Publish(mut publish)) = request.body.take()? else { return None };
        let mut drafts = std::collections::VecDeque::new();
        let mut at = 0;
        while let Some(len) = memchr::memchr(b'\n', &content[at..]) {
            let line = content[at..at + len].trim_ascii();
            at += len + 1;
            if !line.is_empty() {
                drafts.extend(self.read_line(&publish, line));
            }
        }
        let rest = content[at..].trim_ascii();
        let too_long = rest.len() > line_max;
        if fed.done && !rest.is_empty() && !too_long {
            drafts.extend(self.read_line(&publish, rest));
        }
        content.drain(..at);
        if too_long {
            let problem = Problem::new(413, "line-too-large", "a line is too large");
            if drafts.is_empty() && publish.lines.is_empty() {
                return self.refuse_lines(id, &problem);
            }
            // The lines before it count all the same; behind it nothing can be told apart.
            drafts.push_back(Entry::Decided(Err(problem)));
            content.clear();
        }
        let ended = fed.done || too_long;
        let lines = std::mem::take(&mut publish.lines);
        let request = self.conns.get_mut(id)?.request.as_mut()?;
        request.close_after |= too_long;
        request.content = content;
        if ended {
            request.content.clear();
        }
        let job = PublishJob::some_lines(drafts, lines, ended);
        if !ended {
            request.body = Some((body, Awaited::Publish(publish)));
        }
        self.run_job(id, job);
        // Without input left, wait for more; parked, wait for room.
        (!too_long && (fed.used > 0 || fed.done)).then_some(fed.used)
    }

    /// Nothing of an NDJSON body was published: a refusal like any other.
    fn refuse_lines(&mut self, id: ConnId, problem: &Problem) -> Option<usize> {
        self.conns.get_mut(id)?.request.as_mut()?.close_after = true;
        self.refuse(id, problem, false);
        self.answered(id);
        None
    }

    fn read_line(&mut self, publish: &Publish, line: &[u8]) -> SmallVec<[Entry; 1]> {
        let command = publish.command.clone().json(line).and_then(Command::check);
        self.read_entries(command.and_then(Command::check_many), &publish.identity)
    }

    fn read_entries(
        &mut self,
        command: Result<Command, PublishError>,
        identity: &Identity,
    ) -> SmallVec<[Entry; 1]> {
        match command {
            Ok(command) => self.entries(command, identity),
            Err(error) => smallvec![Entry::Decided(Err(publish_problem(&error)))],
        }
    }

    /// Gives the lines' results back to the body that goes on.
    pub(super) fn return_lines(&mut self, id: ConnId, lines: Lines) {
        let request = self.conns.get_mut(id).and_then(|conn| conn.request.as_mut());
        if let Some((_, Awaited::Publish(publish))) = request.and_then(|r| r.body.as_mut()) {
            publish.lines = lines;
        }
    }

    /// Checks that the identity may publish there, and encodes the event.
    /// `id` names it where its envelope wants a name.
    pub(super) fn draft(
        &mut self,
        command: Command,
        identity: &Identity,
        id: Option<&str>,
    ) -> Result<Draft, Problem> {
        let may_publish = |selector: &Selector| {
            identity.may_publish(selector).map_err(|denied| {
                Problem::new(denied.status(), "publish-denied", denied.to_string())
                    .hint("the token's publish claim lists the channels it may publish to")
            })
        };
        let mut targets = SmallVec::new();
        for name in &command.channels {
            may_publish(&Selector::Name(name.clone()))?;
            targets.push(self.key(name));
        }
        if let Some(pattern) = &command.pattern {
            may_publish(&Selector::Pattern(pattern.clone()))?;
        }
        let aim = self.aim(&command)?;
        let data = self.live.options.shapes.apply(&command, self.now.unix_ms, id)?;
        let event = command.event.as_deref();
        // Seven bytes for each line end: what counts is what will be kept and sent.
        let encoded = Frame::encoded_len(event, &data, command.retry) as u64;
        if encoded > self.live.options.body_bytes_max.saturating_mul(8) {
            return Err(Problem::new(413, "event-too-large", "the encoded event is too large"));
        }
        Ok(Draft {
            frame: Frame::encode(event, &data, command.retry),
            targets,
            key: command.key.map(Into::into),
            ttl_ms: command.ttl_ms,
            store: command.store,
            idempotency: command.idempotency_key.map(|key| (identity.scope, key.into())),
            expected: command.expected_id,
            aim,
        })
    }

    /// A channel's key; a publisher mostly stays with one.
    fn key(&mut self, name: &str) -> ChannelKey {
        if self.last_key.as_ref().is_none_or(|key| &*key.name != name) {
            self.last_key = Some(self.node.journal.key(name));
        }
        self.last_key.clone().unwrap_or_else(|| self.node.journal.key(name))
    }

    /// Appends a job's events, as many as there is room for.
    pub(super) fn run_job(&mut self, id: ConnId, mut job: PublishJob) {
        let progress = self.append_job(&mut job);
        if progress == Progress::Done {
            return self.finish_job(id, job);
        }
        let deadline_ms =
            *job.deadline_ms.get_or_insert(self.now.mono_ms + self.live.options.publish_timeout_ms);
        if progress == Progress::Unwritten {
            self.leave_parked(&mut job);
        } else if job.ticket.is_none() {
            job.ticket = Some(self.node.journal.parked.park(self.index));
            self.node.counters[self.index].publishes_parked.add(1);
        }
        let Some(conn) = self.conns.get_mut(id) else {
            self.leave_parked(&mut job);
            return;
        };
        if conn.state != crate::conn::State::Parked {
            conn.step(Step::Park);
        }
        if let Some(request) = conn.request.as_mut() {
            request.job = Some(Box::new(job));
            request.deadline_ms = deadline_ms;
        }
        self.parked.push_back(id);
        self.schedule(id, deadline_ms);
    }

    /// Writes a job's answer; an NDJSON body that is not at its end goes on instead.
    pub(super) fn finish_job(&mut self, id: ConnId, mut job: PublishJob) {
        self.leave_parked(&mut job);
        let epoch = self.node.journal.epoch();
        match job.answer {
            Answer::Lines { lines, ended: false } => {
                self.return_lines(id, lines);
                let Some(conn) = self.conns.get_mut(id) else { return };
                if conn.state == crate::conn::State::Parked {
                    conn.step(Step::Resume);
                }
            }
            answer => {
                let write = |close, fields: &Fields<'_>, out: &mut Vec<u8>| {
                    answer.write(epoch, close, fields, out)
                };
                if self.reply_by(id, write) {
                    self.node.counters[self.index].refusals.add(1);
                }
                self.answered(id);
            }
        }
    }
}

fn read_one(kind: Kind, mut command: Command, content: &[u8]) -> Result<Command, PublishError> {
    let text = || std::str::from_utf8(content).map_err(|_| PublishError::NotUtf8);
    match kind {
        Kind::Json => return command.json(content),
        Kind::Form => {
            let text = text()?;
            for pair in pairs(text) {
                let (name, value) = pair.map_err(|_| PublishError::NotUtf8)?;
                command.option(&name, &value)?;
            }
        }
        // The body wins over `msg`.
        Kind::Raw | Kind::Lines if !content.is_empty() => text()?.clone_into(&mut command.data),
        Kind::Raw | Kind::Lines => {}
    }
    Ok(command)
}

pub(super) fn publish_problem(error: &PublishError) -> Problem {
    Problem::new(400, "bad-publish", error.to_string())
}

pub(super) fn token_problem(error: &TokenError) -> Problem {
    Problem::new(error.status(), "token-invalid", error.to_string())
}

pub(super) fn token_missing(detail: &str) -> Problem {
    Problem::new(401, "token-missing", detail)
}
