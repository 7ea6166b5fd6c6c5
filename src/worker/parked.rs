//! Publishes under way: those that wait for room, and the answers of all.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use smallvec::SmallVec;

use super::Worker;
use crate::conn::State;
use crate::driver::{ConnId, Driver};
use crate::journal::{Appended, Draft, Journal, Receipt, Refused, Ticket, Written};
use crate::proto::http::{Problem, Response};
use crate::proto::iso8601;
use crate::proto::sse::{Epoch, EventId};

/// Problems an NDJSON answer spells out; more are only counted.
const LINE_PROBLEMS_MAX: usize = 100;

/// An event was taken.
#[derive(Debug)]
pub(super) enum Accepted {
    /// It is in the order, and its publisher waits for these.
    Appended(Appended, Receipts),
    /// It is above its rate: the last of those that are held leaves when it may.
    Held,
    /// It is appended later.
    Scheduled {
        /// When, wall-clock milliseconds.
        due_unix_ms: u64,
    },
}

/// Of an event, or of each of its copies.
pub(super) type Receipts = SmallVec<[Arc<Receipt>; 1]>;

/// What became of one event.
pub(super) type Outcome = Result<Accepted, Problem>;

/// An event on its way into the order.
#[derive(Debug)]
pub(super) enum Entry {
    /// Still to be appended.
    Append(Draft),
    /// Nothing is left to do about it.
    Decided(Outcome),
    /// A further copy of the one before: both have one result.
    More(Box<Self>),
}

/// How far a job has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Nothing is left to do.
    Done,
    /// The journal is full, or others were first.
    Full,
    /// All is appended and not yet written.
    Unwritten,
}

/// Results of an NDJSON body so far.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Lines {
    seen: u64,
    published: u64,
    held: u64,
    scheduled: u64,
    failed: u64,
    first_seq: Option<u64>,
    last_seq: Option<u64>,
    #[serde(with = "problems")]
    problems: Vec<(u64, Problem)>,
}

/// Problems by line, in the words that an answer tells of them.
mod problems {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::proto::http::Problem;

    /// Those that a line may have.
    const KINDS: [&str; 12] = [
        "bad-publish",
        "bad-envelope",
        "conflict",
        "event-too-large",
        "journal-full",
        "line-too-large",
        "pattern-too-broad",
        "publish-denied",
        "random",
        "seal",
        "too-many-channels",
        "too-many-delayed",
    ];

    type Told = (u64, u16, String, String, Option<String>);

    pub(super) fn serialize<S: Serializer>(
        all: &[(u64, Problem)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let told = all.iter().map(|(line, of)| {
            (*line, of.status, of.kind.to_owned(), of.detail.clone(), of.hint.clone())
        });
        told.collect::<Vec<Told>>().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<(u64, Problem)>, D::Error> {
        let all = Vec::<Told>::deserialize(deserializer)?.into_iter();
        let all = all.map(|(line, status, kind, detail, hint)| {
            let known = KINDS.iter().find(|known| **known == kind);
            let problem = Problem::new(status, known.unwrap_or(&KINDS[0]), detail);
            (line, Problem { hint, ..problem })
        });
        Ok(all.collect())
    }
}

/// How a publish is answered.
#[derive(Debug)]
pub(super) enum Answer {
    Single(Option<Outcome>),
    Batch(Vec<Outcome>),
    Lines { lines: Lines, ended: bool },
}

/// Events still to be appended, and what became of the others.
#[derive(Debug)]
pub(super) struct PublishJob {
    entries: VecDeque<Entry>,
    pub(super) answer: Answer,
    pub(super) ticket: Option<Ticket>,
    pub(super) deadline_ms: Option<u64>,
}

impl PublishJob {
    fn new(entries: VecDeque<Entry>, answer: Answer) -> Self {
        Self { entries, answer, ticket: None, deadline_ms: None }
    }

    pub(super) fn single(entries: impl IntoIterator<Item = Entry>) -> Self {
        Self::new(entries.into_iter().collect(), Answer::Single(None))
    }

    pub(super) fn batch(entries: VecDeque<Entry>) -> Self {
        Self::new(entries, Answer::Batch(Vec::new()))
    }

    /// An NDJSON publish without a body.
    pub(super) fn lines(lines: Lines) -> Self {
        Self::new(VecDeque::new(), Answer::Lines { lines, ended: true })
    }

    pub(super) fn some_lines(entries: VecDeque<Entry>, lines: Lines, ended: bool) -> Self {
        Self::new(entries, Answer::Lines { lines, ended })
    }

    /// Gives up on what is left.
    pub(super) fn give_up(&mut self, problem: &Problem) {
        for entry in self.entries.drain(..) {
            let (entry, more) = entry.take();
            let outcome = match entry {
                Entry::Decided(outcome) => outcome,
                Entry::Append(_) | Entry::More(_) => Err(problem.clone()),
            };
            self.answer.put(outcome, more);
        }
    }

    /// Something of it is still to be appended.
    pub(super) fn has_entries(&self) -> bool {
        !self.entries.is_empty()
    }

    /// All workers have written what the publisher waits for.
    fn is_written(&self, journal: &Journal) -> bool {
        match &self.answer {
            Answer::Single(Some(Ok(Accepted::Appended(_, receipts)))) => {
                receipts.iter().all(|receipt| journal.is_settled(receipt))
            }
            // Only of a single event one can wait.
            _ => true,
        }
    }
}

impl Entry {
    /// Without its wrapping, and whether it is a further copy.
    fn take(self) -> (Self, bool) {
        match self {
            Self::More(entry) => (*entry, true),
            entry => (entry, false),
        }
    }
}

impl Accepted {
    /// Of two copies: what becomes of them as one.
    fn merge(self, other: Self) -> Self {
        match (self, other) {
            (Self::Appended(one, mut receipts), Self::Appended(two, more)) => {
                receipts.extend(more);
                let subscribers = one.subscribers.saturating_add(two.subscribers);
                Self::Appended(Appended { subscribers, ..two }, receipts)
            }
            (appended @ Self::Appended(..), _) | (_, appended @ Self::Appended(..)) => appended,
            (first, _) => first,
        }
    }
}

impl Answer {
    fn put(&mut self, outcome: Outcome, more: bool) {
        let before = match self {
            Self::Single(place) => place.take().filter(|_| more),
            Self::Batch(all) if more => all.pop(),
            Self::Batch(_) => None,
            Self::Lines { lines, .. } => return lines.put(outcome, more),
        };
        let outcome = match (before, outcome) {
            (None, outcome) => outcome,
            (Some(Ok(one)), Ok(two)) => Ok(one.merge(two)),
            (Some(Err(problem)), _) | (Some(Ok(_)), Err(problem)) => Err(problem),
        };
        match self {
            Self::Single(place) => *place = Some(outcome),
            Self::Batch(all) => all.push(outcome),
            Self::Lines { .. } => {}
        }
    }

    /// Writes the answer. True when the whole of it is a refusal.
    pub(super) fn write(
        &self,
        epoch: Epoch,
        close: bool,
        fields: &[(&str, &str)],
        out: &mut Vec<u8>,
    ) -> bool {
        let mut status = 200;
        let body = match self {
            Self::Single(Some(Ok(Accepted::Appended(appended, receipts))))
                if receipts.is_empty() =>
            {
                // The usual answer, without a detour over a JSON value.
                let id = EventId { epoch, seq: appended.seq };
                format!("{{\"id\":\"{id}\",\"subscribers\":{}}}", appended.subscribers)
            }
            Self::Single(Some(Err(problem))) => {
                problem.write(close, false, fields, out);
                return true;
            }
            Self::Single(Some(other)) => {
                let late = !matches!(other, Ok(Accepted::Appended(..)));
                status = if late { 202 } else { 200 };
                outcome_json(other, epoch).to_string()
            }
            Self::Single(None) => "{}".to_owned(),
            Self::Batch(all) => {
                let all: Vec<Value> =
                    all.iter().map(|outcome| outcome_json(outcome, epoch)).collect();
                Value::from(all).to_string()
            }
            Self::Lines { lines, .. } => lines.json(epoch).to_string(),
        };
        let response = Response::new(status).body("application/json", body.as_bytes());
        response.write_with(close, fields, out);
        false
    }
}

fn outcome_json(outcome: &Outcome, epoch: Epoch) -> Value {
    match outcome {
        Ok(Accepted::Held) => json!({ "held": true }),
        Ok(Accepted::Scheduled { due_unix_ms }) => json!({ "scheduled": iso8601(*due_unix_ms) }),
        Ok(Accepted::Appended(appended, receipts)) => {
            let id = EventId { epoch, seq: appended.seq }.to_string();
            if receipts.is_empty() {
                return json!({ "id": id, "subscribers": appended.subscribers });
            }
            let mut found = Written::default();
            receipts.iter().for_each(|receipt| found += receipt.found());
            let Written { written, lagging, dropped } = found;
            let mut told = json!({
                "id": id,
                "matched": found.matched(),
                "written": written,
                "lagging": lagging,
                "dropped": dropped,
            });
            if !receipts.iter().all(|receipt| receipt.is_settled(|_| false)) {
                told["complete"] = false.into();
            }
            told
        }
        Err(problem) => problem.json(),
    }
}

impl Lines {
    /// No line has come to its end yet.
    pub(super) fn is_empty(&self) -> bool {
        self.seen == 0
    }

    fn put(&mut self, outcome: Outcome, more: bool) {
        // A line of several copies is one line.
        let one = u64::from(!more);
        self.seen += one;
        match outcome {
            Ok(Accepted::Held) => self.held += one,
            Ok(Accepted::Scheduled { .. }) => self.scheduled += one,
            Ok(Accepted::Appended(appended, _)) => {
                self.published += one;
                self.first_seq = self.first_seq.or(Some(appended.seq));
                self.last_seq = Some(appended.seq);
            }
            Err(problem) => {
                self.failed += 1;
                if self.problems.len() < LINE_PROBLEMS_MAX {
                    self.problems.push((self.seen, problem));
                }
            }
        }
    }

    fn json(&self, epoch: Epoch) -> Value {
        let id = |seq: Option<u64>| seq.map(|seq| EventId { epoch, seq }.to_string());
        let errors = self.problems.iter().map(|(line, problem)| {
            let mut error = problem.json();
            error["line"] = (*line).into();
            error
        });
        json!({
            "published": self.published,
            "held": self.held,
            "scheduled": self.scheduled,
            "failed": self.failed,
            "first_id": id(self.first_seq),
            "last_id": id(self.last_seq),
            "errors": errors.collect::<Vec<Value>>(),
        })
    }
}

impl<D: Driver> Worker<D> {
    /// Appends until the journal is full.
    pub(super) fn append_job(&mut self, job: &mut PublishJob) -> Progress {
        let journal = &self.node.journal;
        let (mono_us, unix_ms) = (self.now.mono_us, self.now.unix_ms);
        let counters = &self.node.counters[self.index];
        // While anybody waits, only the first in the queue may append.
        let may = match job.ticket {
            None => journal.parked.is_empty(),
            Some(ticket) => journal.parked.is_first(ticket),
        };
        while let Some(next) = job.entries.pop_front() {
            let (next, more) = next.take();
            let back = |draft| {
                let entry = Entry::Append(draft);
                if more { Entry::More(Box::new(entry)) } else { entry }
            };
            let draft = match next {
                Entry::Append(draft) => draft,
                Entry::Decided(outcome) => {
                    job.answer.put(outcome, more);
                    continue;
                }
                // Copies of copies are not made.
                Entry::More(_) => continue,
            };
            if !may {
                job.entries.push_front(back(draft));
                return Progress::Full;
            }
            let receipt = draft.aim.as_ref().and_then(|aim| aim.receipt.clone());
            let outcome = match journal.append(draft, mono_us, unix_ms) {
                Ok(appended) => {
                    self.appended |= !appended.duplicate;
                    counters.publishes.add(u64::from(!appended.duplicate));
                    self.node.unreached.note(&appended.unreached);
                    // Of an earlier append nobody says any more what became of it.
                    let receipts = receipt.into_iter().filter(|_| !appended.duplicate).collect();
                    Ok(Accepted::Appended(appended, receipts))
                }
                Err(Refused::Full(draft)) => {
                    job.entries.push_front(back(*draft));
                    return Progress::Full;
                }
                Err(Refused::Conflict(last)) => {
                    let last = EventId { epoch: journal.epoch(), seq: last };
                    let detail = format!("expected_id is not the channel's last one, {last}");
                    Err(Problem::new(409, "conflict", detail))
                }
                Err(Refused::TooManyChannels) => {
                    let detail = "the node holds as many channels as it may";
                    Err(Problem::new(503, "too-many-channels", detail).retry_after(5))
                }
            };
            job.answer.put(outcome, more);
        }
        if job.is_written(&self.node.journal) { Progress::Done } else { Progress::Unwritten }
    }

    /// Tries the publishes of this worker that wait for room again.
    pub(super) fn retry_parked(&mut self) {
        for _ in 0..self.parked.len() {
            let Some(id) = self.parked.pop_front() else { return };
            let Some(conn) = self.conns.get_mut(id).filter(|conn| conn.state == State::Parked)
            else {
                continue;
            };
            let Some(mut job) = conn.request.as_mut().and_then(|request| request.job.take()) else {
                continue;
            };
            let progress = self.append_job(&mut job);
            if progress == Progress::Done {
                self.finish_job(id, *job);
                self.answer(id);
                self.resume_input(id);
            } else {
                if progress == Progress::Unwritten {
                    self.leave_parked(&mut job);
                }
                if let Some(request) = self.conns.get_mut(id).and_then(|c| c.request.as_mut()) {
                    request.job = Some(job);
                }
                self.parked.push_back(id);
            }
        }
    }

    /// Goes on with input that came while the connection waited.
    pub(super) fn resume_input(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let held = conn.request.as_mut().map(|request| std::mem::take(&mut request.buffer));
        match held {
            Some(held) if !held.is_empty() => self.process(id, held),
            _ => self.go_on(id),
        }
    }

    /// A publish found no room in time: it was certainly not appended. Or it was, and was not
    /// written everywhere in time: the answer says what is known.
    pub(super) fn time_out_parked(&mut self, id: ConnId) {
        let request = self.conns.get_mut(id).and_then(|conn| conn.request.as_mut());
        let Some(mut job) = request.and_then(|request| request.job.take()) else {
            return self.time_out_change(id);
        };
        let timed_out = u64::from(job.has_entries());
        self.node.counters[self.index].publishes_timed_out.add(timed_out);
        let detail = "the journal is full: readers are slower than publishers";
        job.give_up(&Problem::new(503, "journal-full", detail).retry_after(1));
        self.finish_job(id, *job);
        self.answer(id);
        self.resume_input(id);
    }

    /// Takes a job out of the queue of waiting ones and rings whoever is first now.
    pub(super) fn leave_parked(&mut self, job: &mut PublishJob) {
        let Some(ticket) = job.ticket.take() else { return };
        let first = self.node.journal.parked.leave(ticket);
        if let Some(worker) = first.filter(|worker| *worker != self.index) {
            self.driver.ring(worker);
            self.node.counters[self.index].doorbells_rung.add(1);
        }
    }
}
