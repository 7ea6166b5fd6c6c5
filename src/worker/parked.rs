//! Publishes under way: those that wait for room, and the answers of all.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::Worker;
use crate::conn::State;
use crate::driver::{ConnId, Driver};
use crate::journal::{Appended, Draft, Refused, Ticket};
use crate::proto::http::{Problem, Response};
use crate::proto::iso8601;
use crate::proto::sse::{Epoch, EventId};

/// Problems an NDJSON answer spells out; more are only counted.
const LINE_PROBLEMS_MAX: usize = 100;

/// An event was taken.
#[derive(Debug)]
pub(super) enum Accepted {
    /// It is in the order.
    Appended(Appended),
    /// It is above its rate: the last of those that are held leaves when it may.
    Held,
    /// It is appended later.
    Scheduled {
        /// When, wall-clock milliseconds.
        due_unix_ms: u64,
    },
}

/// What became of one event.
pub(super) type Outcome = Result<Accepted, Problem>;

/// An event on its way into the order.
#[derive(Debug)]
pub(super) enum Entry {
    /// Still to be appended.
    Append(Draft),
    /// Nothing is left to do about it.
    Decided(Outcome),
}

/// Results of an NDJSON body so far.
#[derive(Debug, Default)]
pub(super) struct Lines {
    seen: u64,
    published: u64,
    held: u64,
    scheduled: u64,
    failed: u64,
    first_seq: Option<u64>,
    last_seq: Option<u64>,
    problems: Vec<(u64, Problem)>,
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

    pub(super) fn single(entry: Entry) -> Self {
        Self::new(VecDeque::from([entry]), Answer::Single(None))
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
            self.answer.put(match entry {
                Entry::Append(_) => Err(problem.clone()),
                Entry::Decided(outcome) => outcome,
            });
        }
    }
}

impl Answer {
    fn put(&mut self, outcome: Outcome) {
        match self {
            Self::Single(place) => *place = Some(outcome),
            Self::Batch(all) => all.push(outcome),
            Self::Lines { lines, .. } => lines.put(outcome),
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
            Self::Single(Some(Ok(Accepted::Appended(appended)))) => {
                // The usual answer, without a detour over a JSON value.
                let id = EventId { epoch, seq: appended.seq };
                format!("{{\"id\":\"{id}\",\"subscribers\":{}}}", appended.subscribers)
            }
            Self::Single(Some(Err(problem))) => {
                problem.write(close, false, fields, out);
                return true;
            }
            Self::Single(Some(late)) => {
                status = 202;
                outcome_json(late, epoch).to_string()
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
        Ok(Accepted::Appended(appended)) => json!({
            "id": EventId { epoch, seq: appended.seq }.to_string(),
            "subscribers": appended.subscribers,
        }),
        Err(problem) => problem.json(),
    }
}

impl Lines {
    /// No line has come to its end yet.
    pub(super) fn is_empty(&self) -> bool {
        self.seen == 0
    }

    fn put(&mut self, outcome: Outcome) {
        self.seen += 1;
        match outcome {
            Ok(Accepted::Held) => self.held += 1,
            Ok(Accepted::Scheduled { .. }) => self.scheduled += 1,
            Ok(Accepted::Appended(appended)) => {
                self.published += 1;
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
    /// Appends until the journal is full. True when nothing is left.
    pub(super) fn append_job(&mut self, job: &mut PublishJob) -> bool {
        let journal = &self.node.journal;
        let (mono_ms, unix_ms) = (self.now.mono_ms, self.now.unix_ms);
        let counters = &self.node.counters[self.index];
        // While anybody waits, only the first in the queue may append.
        let may = match job.ticket {
            None => journal.parked.is_empty(),
            Some(ticket) => journal.parked.is_first(ticket),
        };
        while let Some(next) = job.entries.pop_front() {
            let outcome = match next {
                Entry::Append(draft) if !may => {
                    job.entries.push_front(Entry::Append(draft));
                    return false;
                }
                Entry::Append(draft) => journal.append(draft, mono_ms, unix_ms),
                Entry::Decided(outcome) => {
                    job.answer.put(outcome);
                    continue;
                }
            };
            let outcome = match outcome {
                Ok(appended) => {
                    self.appended |= !appended.duplicate;
                    counters.publishes.add(u64::from(!appended.duplicate));
                    Ok(Accepted::Appended(appended))
                }
                Err(Refused::Full(draft)) => {
                    job.entries.push_front(Entry::Append(*draft));
                    return false;
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
            job.answer.put(outcome);
        }
        true
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
            if self.append_job(&mut job) {
                self.finish_job(id, *job);
                self.answer(id);
                self.resume_input(id);
            } else {
                // Still full, or not its turn.
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

    /// A publish found no room in time: it was certainly not appended.
    pub(super) fn time_out_parked(&mut self, id: ConnId) {
        let request = self.conns.get_mut(id).and_then(|conn| conn.request.as_mut());
        let Some(mut job) = request.and_then(|request| request.job.take()) else {
            return self.time_out_change(id);
        };
        self.node.counters[self.index].publishes_timed_out.add(1);
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
