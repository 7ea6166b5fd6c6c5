//! Publishes by HTTP over keep-alive connections, one request at a time on each.

mod outcome;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use std::thread;
use std::time::{Duration, Instant};

pub(super) use outcome::Outcome;
use smallvec::SmallVec;

use super::answer::Decoder;
use super::batch::Batch;
use super::payload::Payload;
use super::server::Process;
use super::shared::Shared;
use super::tally::Times;
use super::{BenchError, Plan, Rate};
use crate::driver::client::{ClientData, ClientEvent, ClientRing, ClientSettings, ClientSock};

/// How often it looks for the end while nothing happens.
const PATIENCE: Duration = Duration::from_millis(10);
/// At full rate it does not sleep before nothing has come for so long: else the server would pay
/// for waking it once per answer, which the publishers of many machines would not make it pay.
const SPIN: Duration = Duration::from_millis(1);
/// A publish that is not answered, or (with `wait`) not read by all, for so long ends publishing.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after a refusal or a broken connection.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// Failures in a row that end publishing.
const FAILURES_MAX: u32 = 50;
/// A sleep may end so much late by itself: that much is no fault of the server's.
const TIMER_SLACK_NS: u64 = 1_000_000;
/// The answer to many lines tells how many failed.
const SOME_FAILED: &str = "\"errors\":[{";
/// Bytes of a refusal's body that are shown.
const REASON_BYTES: usize = 200;

/// One keep-alive connection.
#[derive(Debug, Default)]
struct Line {
    sock: Option<ClientSock>,
    ready: bool,
    decoder: Decoder,
    /// The batch's event to be looked at next; only its own are published.
    next: u64,
    /// Events that are due.
    due: VecDeque<u64>,
    flight: Option<Flight>,
    /// The request; where its last send began, and where the next begins.
    request: Vec<u8>,
    from: usize,
    sent: usize,
    /// The last send was short.
    torn: bool,
    reason: Vec<u8>,
    pause_until: Option<Instant>,
}

#[derive(Debug, Clone)]
struct Flight {
    /// Events of the run, by number.
    numbers: SmallVec<[u64; 1]>,
    time_ns: u64,
    since: Instant,
    /// Streams that should read it.
    readers: u64,
}

struct Publisher {
    plan: Arc<Plan>,
    batch: Batch,
    shared: Arc<Shared>,
    ring: ClientRing,
    lines: Vec<Line>,
    begun: Instant,
    begun_ns: u64,
    /// With a rate: the first event not yet due.
    undue: u64,
    /// All reads up to here are waited for, with `wait`.
    awaited: u64,
    failures: u32,
    last_answer: Instant,
    last_event: Instant,
    outcome: Outcome,
}

/// Publishes until all events are out, the time is over, or nothing works.
pub(super) fn run(
    plan: &Arc<Plan>,
    shared: &Arc<Shared>,
    batch: Batch,
) -> Result<Outcome, BenchError> {
    let publishers = batch.publishers;
    let slots = u32::try_from(publishers).unwrap_or(u32::MAX);
    let settings = ClientSettings { slots, submissions: 256, buffers: 256, ..Default::default() };
    shared.publisher_is(thread::current());
    let units = usize::try_from(plan.units()).unwrap_or(usize::MAX);
    let mut publisher = Publisher {
        plan: Arc::clone(plan),
        batch,
        shared: Arc::clone(shared),
        ring: ClientRing::new(&settings)?,
        lines: (0..publishers).map(|_| Line::default()).collect(),
        begun: Instant::now(),
        begun_ns: 0,
        undue: 0,
        awaited: shared.arrived.load(Acquire),
        failures: 0,
        last_answer: Instant::now(),
        last_event: Instant::now(),
        outcome: Outcome {
            tried: vec![0; units],
            failed: Vec::new(),
            accepted: 0,
            time: Duration::ZERO,
            answers: Times::new(),
            cpu: Duration::ZERO,
            error: None,
            stopped: None,
        },
    };
    publisher.connect();
    publisher.begun = Instant::now();
    publisher.begun_ns = shared.now_ns();
    publisher.last_answer = publisher.begun;
    while publisher.turn() {}
    publisher.outcome.time = publisher.last_answer.duration_since(publisher.begun);
    publisher.outcome.failed.sort_unstable();
    publisher.outcome.cpu = Process::this_thread();
    Ok(publisher.outcome)
}

impl Publisher {
    /// Opens all lines before the clock starts.
    fn connect(&mut self) {
        let end = Instant::now() + ANSWER_TIMEOUT;
        self.open_lines();
        while Instant::now() < end && self.lines.iter().any(|l| !l.ready && l.sock.is_some()) {
            self.ring.enter(Some(PATIENCE));
            self.take_events();
        }
    }

    /// One round; false at the end.
    fn turn(&mut self) -> bool {
        if self.shared.publishing_over.load(Acquire) || self.ring.dead().is_some() {
            self.stop("the run was over");
        } else if self.begun.elapsed() >= self.plan.options.duration && self.has_more() {
            self.stop("the time was over");
        }
        let stopped = self.outcome.stopped.is_some();
        let idle = self.lines.iter().all(|line| line.flight.is_none());
        if stopped && (idle || self.ring.dead().is_some()) {
            self.give_up();
            return false;
        }
        if !stopped {
            if idle && !self.has_more() {
                return false;
            }
            self.open_lines();
            self.fall_due();
            self.publish();
        }
        self.resend();
        let nothing = self.last_event.elapsed() >= SPIN;
        if self.batch.rate != Rate::Max || nothing {
            self.ring.enter(Some(self.sleep_time()));
        }
        self.ring.drain();
        if !self.take_events() && self.batch.rate == Rate::Max {
            thread::yield_now();
        }
        self.time_out();
        if self.batch.rate == Rate::Wait {
            self.wait_for_readers();
        }
        true
    }

    fn stop(&mut self, why: &'static str) {
        self.outcome.stopped.get_or_insert(why);
    }

    /// Events are left to be published.
    fn has_more(&self) -> bool {
        match self.batch.rate {
            Rate::PerSecond(_) => {
                self.undue < self.batch.len() || self.lines.iter().any(|l| !l.due.is_empty())
            }
            Rate::Max | Rate::Wait => (0..self.lines.len()).any(|line| self.peek(line).is_some()),
        }
    }

    /// The next event of a line where the answers set the pace.
    fn peek(&self, line: usize) -> Option<u64> {
        let mut events = self.lines[line].next..self.batch.len();
        events.find(|index| self.batch.publisher(*index) == line)
    }

    fn open_lines(&mut self) {
        let now = Instant::now();
        for line in self.lines.iter_mut().filter(|line| line.sock.is_none()) {
            if line.pause_until.is_none_or(|until| now >= until) {
                line.sock = self.ring.open(None, self.plan.target);
                line.ready = false;
            }
        }
    }

    /// With a rate: hands the events whose time has come to their lines.
    fn fall_due(&mut self) {
        let passed = self.begun.elapsed();
        while self.undue < self.batch.len()
            && self.batch.due(self.undue).is_some_and(|due| due <= passed)
        {
            self.lines[self.batch.publisher(self.undue)].due.push_back(self.undue);
            self.undue += 1;
        }
    }

    /// Starts a request on every line that is free and has something to say.
    fn publish(&mut self) {
        let now = Instant::now();
        let mut started = Vec::new();
        for at in 0..self.lines.len() {
            let line = &self.lines[at];
            if !line.ready
                || line.flight.is_some()
                || line.pause_until.is_some_and(|until| now < until)
            {
                continue;
            }
            let mut events = SmallVec::<[u64; 1]>::new();
            while events.len() < self.batch.lines
                && let Some(index) = self.take_event(at)
            {
                events.push(index);
            }
            if !events.is_empty() {
                self.start(at, &events, now);
                started.push(at);
            }
        }
        self.send(&started);
    }

    /// The next event of a line, if it may leave now.
    fn take_event(&mut self, at: usize) -> Option<u64> {
        let index = match self.batch.rate {
            Rate::PerSecond(_) => self.lines[at].due.pop_front(),
            Rate::Max | Rate::Wait => self.peek(at),
        }?;
        self.lines[at].next = index + 1;
        Some(index)
    }

    /// Sends what is left of the requests of these lines.
    fn send(&mut self, batch: &[usize]) {
        for at in batch {
            let line = &mut self.lines[*at];
            (line.from, line.sent, line.torn) = (line.sent, line.request.len(), false);
        }
        let lines = &self.lines;
        let rests = batch.iter().map(|at| &lines[*at]).filter(|line| line.from < line.sent);
        self.ring
            .send(&mut rests.filter_map(|line| Some((line.sock?, &line.request[line.from..]))));
    }

    /// Goes on with requests that did not fit their sockets.
    fn resend(&mut self) {
        let torn: Vec<usize> = (0..self.lines.len()).filter(|at| self.lines[*at].torn).collect();
        if !torn.is_empty() {
            self.send(&torn);
        }
    }

    fn start(&mut self, at: usize, events: &[u64], now: Instant) {
        let plan = &self.plan;
        let now_ns = self.shared.now_ns();
        let (mut payloads, mut readers) = (SmallVec::<[(usize, Payload); 1]>::new(), 0);
        for index in events {
            let time_ns = match self.batch.due(*index) {
                Some(due) => {
                    let due_ns = self.begun_ns + u64::try_from(due.as_nanos()).unwrap_or(u64::MAX);
                    if now_ns.saturating_sub(due_ns) > TIMER_SLACK_NS { due_ns } else { now_ns }
                }
                None => now_ns,
            };
            let number = self.batch.number(*index);
            let unit = plan.unit(number);
            let channel = plan.channel_of_unit(unit);
            let tried = &mut self.outcome.tried[unit];
            *tried = (*tried).max(number / plan.units() + 1);
            readers += u64::from(self.shared.listeners[channel].load(Acquire));
            payloads.push((channel, Payload { number, time_ns }));
        }
        let time_ns = payloads.first().map_or(now_ns, |(_, first)| first.time_ns);
        let numbers = payloads.iter().map(|(_, payload)| payload.number).collect();
        let line = &mut self.lines[at];
        line.flight = Some(Flight { numbers, time_ns, since: now, readers });
        line.request.clear();
        plan.publish_request(&payloads, &mut line.request);
        line.sent = 0;
        line.decoder.restart();
        line.reason.clear();
        self.awaited += readers;
        self.shared.awaited.store(self.awaited, Release);
    }

    fn sleep_time(&self) -> Duration {
        let due = self.batch.due(self.undue).filter(|_| self.undue < self.batch.len());
        let until_due = due.map_or(PATIENCE, |due| due.saturating_sub(self.begun.elapsed()));
        let torn = self.lines.iter().any(|line| line.torn);
        until_due.min(if torn { Duration::from_millis(1) } else { PATIENCE })
    }

    /// Takes all events; whether there was one.
    fn take_events(&mut self) -> bool {
        let mut any = false;
        while let Some(event) = self.ring.next() {
            any = true;
            match event {
                ClientEvent::Opened { sock } => {
                    if let Some(line) = self.line_of(sock) {
                        line.ready = true;
                    }
                }
                ClientEvent::Received { sock, data } => self.read(sock, data),
                ClientEvent::Sent { sock, result: Ok(count) } => {
                    if let Some(line) = self.line_of(sock) {
                        line.sent = line.from + count;
                        line.torn = true;
                    }
                }
                ClientEvent::OpenFailed { sock, errno } => self.broken(sock, errno, false),
                ClientEvent::Sent { sock, result: Err(errno) }
                | ClientEvent::Ended { sock, errno } => self.broken(sock, errno, true),
                ClientEvent::Closed { .. } => {}
            }
        }
        if any {
            self.last_event = Instant::now();
        }
        any
    }

    fn line_of(&mut self, sock: ClientSock) -> Option<&mut Line> {
        self.lines.iter_mut().find(|line| line.sock == Some(sock))
    }

    fn read(&mut self, sock: ClientSock, data: ClientData) {
        let Some(at) = self.lines.iter().position(|line| line.sock == Some(sock)) else {
            return self.ring.recycle(data);
        };
        let line = &mut self.lines[at];
        let reason = &mut line.reason;
        let result = line.decoder.feed(self.ring.bytes(&data), &mut |bytes| {
            let room = REASON_BYTES.saturating_sub(reason.len()).min(bytes.len());
            reason.extend_from_slice(&bytes[..room]);
        });
        self.ring.recycle(data);
        if result.is_err() {
            self.say("the answer to a publish is not HTTP/1.1".to_owned());
            self.drop_line(at);
        } else if line.decoder.is_done() {
            self.answered(at);
        }
    }

    /// The answer of a line's publish is complete.
    fn answered(&mut self, at: usize) {
        let line = &mut self.lines[at];
        let (status, closes) = (line.decoder.status(), line.decoder.closes());
        let reason = String::from_utf8_lossy(&line.reason).trim().to_owned();
        let Some(flight) = line.flight.take() else { return };
        self.last_answer = Instant::now();
        let whole = self.batch.lines == 1 || !reason.contains(SOME_FAILED);
        if (200..300).contains(&status) && whole {
            let time_ns = self.shared.now_ns().saturating_sub(flight.time_ns);
            self.outcome.answers.record_ns(time_ns);
            let count = flight.numbers.len() as u64;
            self.outcome.accepted += count;
            self.shared.published.fetch_add(count, AcqRel);
            self.failures = 0;
        } else {
            self.say(format!("publish refused with status {status}: {reason}"));
            self.fail(at, &flight);
            if matches!(status, 400..=407) {
                self.stop("publishes were refused");
            }
        }
        if closes {
            self.drop_line(at);
        }
    }

    fn fail(&mut self, at: usize, flight: &Flight) {
        self.outcome.failed.extend_from_slice(&flight.numbers);
        self.awaited -= flight.readers;
        self.lines[at].pause_until = Some(Instant::now() + RETRY_PAUSE);
        self.failures += 1;
        if self.failures >= FAILURES_MAX {
            self.stop("publishing failed again and again");
        }
    }

    fn broken(&mut self, sock: ClientSock, errno: i32, open: bool) {
        let Some(at) = self.lines.iter().position(|line| line.sock == Some(sock)) else { return };
        let in_flight = self.lines[at].flight.is_some();
        if errno != 0 {
            let error = std::io::Error::from_raw_os_error(errno);
            self.say(format!("connection of a publisher: {error}"));
        } else if in_flight {
            self.say("the server closed a publisher's connection".to_owned());
        }
        if open {
            self.ring.close(sock, true);
        }
        self.lines[at].sock = None;
        self.drop_line(at);
        if !in_flight && errno != 0 {
            self.failures += 1;
            self.lines[at].pause_until = Some(Instant::now() + RETRY_PAUSE);
            if self.failures >= FAILURES_MAX {
                self.stop("publishing failed again and again");
            }
        }
    }

    /// Gives a line's connection up; what it had in flight has failed.
    fn drop_line(&mut self, at: usize) {
        if let Some(sock) = self.lines[at].sock.take() {
            self.ring.close(sock, true);
        }
        let line = &mut self.lines[at];
        line.ready = false;
        line.request.clear();
        (line.from, line.sent, line.torn) = (0, 0, false);
        if let Some(flight) = line.flight.take() {
            self.fail(at, &flight);
        }
    }

    fn time_out(&mut self) {
        for at in 0..self.lines.len() {
            let late = |flight: &Flight| flight.since.elapsed() >= ANSWER_TIMEOUT;
            if self.lines[at].flight.as_ref().is_some_and(late) {
                self.say(format!("a publish was not answered in {ANSWER_TIMEOUT:?}"));
                self.drop_line(at);
            }
        }
    }

    /// With `wait`: sleeps until every stream has read the event that was just answered.
    fn wait_for_readers(&mut self) {
        if self.lines.iter().any(|line| line.flight.is_some()) || self.outcome.accepted == 0 {
            return;
        }
        let end = Instant::now() + ANSWER_TIMEOUT;
        while self.shared.arrived.load(Acquire) < self.awaited {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return self.stop("an event was not read by all streams");
            }
            if self.shared.publishing_over.load(Acquire) || self.outcome.stopped.is_some() {
                return;
            }
            thread::park_timeout(left.min(PATIENCE));
        }
    }

    /// What is still in flight at the end has failed.
    fn give_up(&mut self) {
        for at in 0..self.lines.len() {
            self.drop_line(at);
        }
    }

    fn say(&mut self, error: String) {
        self.outcome.error.get_or_insert(error);
    }
}
