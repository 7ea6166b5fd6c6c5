//! One ring of streams on a thread of its own: open, read, check, close.

mod orders;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire};
use std::time::{Duration, Instant};

use super::answer::Decoder;
use super::check::{Checker, Course, Findings};
use super::shared::Shared;
use super::tally::Times;
use super::unzip::{Segments, Unzip};
use super::{BenchError, Plan, Rate};
use crate::driver::client::{ClientData, ClientEvent, ClientRing, ClientSettings, ClientSock};

/// Connects under way on one ring: below any listener's backlog.
const OPENING_MAX: usize = 256;
/// How often a thread looks for new orders while nothing comes in.
const PATIENCE: Duration = Duration::from_millis(20);
/// While events come closer than this to each other, a thread pauses a little between its looks:
/// else the server would pay for waking it once per event, as no client far away makes it pay.
const BUSY_GAP: Duration = Duration::from_micros(20);
const BUSY_PAUSE: Duration = Duration::from_micros(50);
/// At full rate latencies say little, and few events at a time are not worth a look.
const FULL_RATE_PAUSE: Duration = Duration::from_millis(1);
const FEW: u32 = 256;
/// Longest time of closing all.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Connecting, or waiting for the answer's head.
    Opening,
    Open,
    /// Broken off, to come again.
    Away,
    /// Ended or failed; read no more.
    Over,
}

/// One stream.
#[derive(Debug)]
struct Stream {
    number: usize,
    /// Its slot, while it has one.
    sock: ClientSock,
    stage: Stage,
    /// It was open once: what it misses is lost.
    counts: bool,
    /// It has stopped reading for a time.
    stalled: bool,
    begun_ns: u64,
    decoder: Decoder,
    /// Where gzip was asked for.
    unzip: Option<Unzip>,
    checker: Checker,
}

/// A stream at the end.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) channel: usize,
    /// It had stopped reading for a time.
    pub(super) stalled: bool,
    pub(super) checker: Checker,
}

/// What a ring of streams has seen.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Each stream that was opened.
    pub(super) records: Vec<Record>,
    pub(super) findings: Findings,
    /// From publish call to read; in `mixed` of the broadcasts.
    pub(super) latency: Times,
    /// The same of the single events of `mixed`.
    pub(super) single_latency: Times,
    /// From connect call to the answer's head.
    pub(super) connects: Times,
    /// Bytes of gzip, and of what they said.
    pub(super) gzip_bytes: u64,
    pub(super) text_bytes: u64,
}

struct Load {
    plan: Arc<Plan>,
    shared: Arc<Shared>,
    course: Course,
    ring: ClientRing,
    numbers: std::ops::Range<usize>,
    streams: Vec<Stream>,
    /// By slot: the place in `streams`.
    by_slot: Vec<u32>,
    opening: usize,
    /// Streams that are to come again, by place.
    returning: VecDeque<u32>,
    /// Streams broken off whose slots are not free yet.
    leaving: usize,
    /// The last order, as [`Shared::order`] knows it.
    order_seen: u64,
    /// Connected in this round: their requests are to be sent.
    connected: Vec<ClientSock>,
    requests: Vec<u8>,
    segments: Segments,
    outcome: Outcome,
}

/// Runs ring number `ring` until the run is over.
pub(super) fn run(
    plan: &Arc<Plan>,
    shared: &Arc<Shared>,
    ring: usize,
) -> Result<Outcome, BenchError> {
    let numbers = plan.streams_of_ring(ring);
    let slots = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
    let settings = ClientSettings { slots, ..ClientSettings::default() };
    let course = Course {
        run: plan.run,
        data_bytes: plan.options.data_bytes,
        channels: plan.options.channels,
        units: plan.units(),
    };
    let load = Load {
        plan: Arc::clone(plan),
        shared: Arc::clone(shared),
        course,
        ring: ClientRing::new(&settings)?,
        streams: Vec::with_capacity(numbers.len()),
        by_slot: vec![u32::MAX; numbers.len()],
        numbers,
        opening: 0,
        returning: VecDeque::new(),
        leaving: 0,
        order_seen: 0,
        connected: Vec::new(),
        requests: Vec::new(),
        segments: Segments::default(),
        outcome: Outcome {
            records: Vec::new(),
            findings: Findings::default(),
            latency: Times::new(),
            single_latency: Times::new(),
            connects: Times::new(),
            gzip_bytes: 0,
            text_bytes: 0,
        },
    };
    Ok(load.run())
}

impl Load {
    fn run(mut self) -> Outcome {
        let mut last_look = Instant::now();
        while !self.shared.over.load(Acquire) && self.ring.dead().is_none() {
            self.obey();
            self.open_more();
            self.ring.enter(Some(PATIENCE));
            self.ring.drain();
            let arrived = self.take_events();
            self.subscribe();
            let now = Instant::now();
            if now.duration_since(last_look) < BUSY_GAP.saturating_mul(arrived) {
                let few = arrived < FEW && self.plan.options.rate == Rate::Max;
                std::thread::sleep(if few { FULL_RATE_PAUSE } else { BUSY_PAUSE });
            }
            last_look = now;
        }
        if let Some(errno) = self.ring.dead() {
            self.shared.say(|| format!("the ring has died: {errno}"));
        }
        self.close_all();
        let counted = self.streams.into_iter().filter(|stream| stream.counts);
        let record = |stream: Stream| Record {
            channel: self.plan.channel_of_stream(stream.number),
            stalled: stream.stalled,
            checker: stream.checker,
        };
        self.outcome.records = counted.map(record).collect();
        self.outcome
    }

    /// Begins as many connects as are allowed now.
    fn open_more(&mut self) {
        self.reopen();
        if self.shared.opening_over.load(Acquire) {
            return;
        }
        let percent = self.shared.share_percent.load(Acquire) as usize;
        let allowed = self.numbers.len() * percent / 100;
        while self.streams.len() < allowed && self.opening < OPENING_MAX {
            let number = self.numbers.start + self.streams.len();
            let Some(sock) = self.connect(number, self.streams.len()) else { return };
            self.streams.push(Stream {
                number,
                sock,
                stage: Stage::Opening,
                counts: false,
                stalled: false,
                begun_ns: self.shared.now_ns(),
                decoder: Decoder::default(),
                unzip: self.plan.options.gzip.then(|| Unzip::new(number)),
                checker: Checker::default(),
            });
        }
    }

    /// Begins to connect the stream at `place`.
    fn connect(&mut self, number: usize, place: usize) -> Option<ClientSock> {
        let sock = self.ring.open(self.plan.source(number), self.plan.target)?;
        self.by_slot[sock.0 as usize] = u32::try_from(place).unwrap_or(u32::MAX);
        self.opening += 1;
        Some(sock)
    }

    /// Takes all events; how many deliveries were among them.
    fn take_events(&mut self) -> u32 {
        let mut arrived = 0;
        while let Some(event) = self.ring.next() {
            match event {
                ClientEvent::Received { sock, data } => arrived += self.read(sock, data),
                ClientEvent::Opened { sock } => self.connected.push(sock),
                ClientEvent::OpenFailed { sock, errno } => {
                    self.end(sock, || std::io::Error::from_raw_os_error(errno).to_string());
                }
                ClientEvent::Ended { sock, errno: 0 } => {
                    self.end(sock, || "the server closed the connection".to_owned());
                    self.ring.close(sock, false);
                }
                ClientEvent::Ended { sock, errno }
                | ClientEvent::Sent { sock, result: Err(errno) } => {
                    self.end(sock, || std::io::Error::from_raw_os_error(errno).to_string());
                    self.ring.close(sock, true);
                }
                ClientEvent::Sent { sock, result: Ok(_) } => {
                    self.end(sock, || "the request did not fit the socket".to_owned());
                    self.ring.close(sock, true);
                }
                ClientEvent::Closed { sock } => self.closed(sock),
            }
        }
        self.shared.arrive(arrived);
        u32::try_from(arrived).unwrap_or(u32::MAX)
    }

    /// Sends the requests of the streams that have connected.
    fn subscribe(&mut self) {
        if self.connected.is_empty() {
            return;
        }
        self.requests.clear();
        let mut spans = Vec::with_capacity(self.connected.len());
        for sock in self.connected.drain(..) {
            let at = self.by_slot[sock.0 as usize] as usize;
            let Some(stream) = self.streams.get(at) else { continue };
            let start = self.requests.len();
            let last_id = stream.checker.last_id();
            self.plan.subscribe_request(stream.number, last_id, &mut self.requests);
            spans.push((sock, start..self.requests.len()));
        }
        let requests = &self.requests;
        self.ring.send(&mut spans.into_iter().map(|(sock, span)| (sock, &requests[span])));
    }

    /// Reads what a stream got; the number of events that are new to it.
    fn read(&mut self, sock: ClientSock, data: ClientData) -> u64 {
        let at = self.by_slot[sock.0 as usize] as usize;
        let now_ns = self.shared.now_ns();
        let (outcome, course, plan) = (&mut self.outcome, &self.course, &self.plan);
        let reads = |stream: &&mut Stream| !matches!(stream.stage, Stage::Over | Stage::Away);
        let Some(stream) = self.streams.get_mut(at).filter(reads) else {
            self.ring.recycle(data);
            return 0;
        };
        let mut arrived = 0;
        let channel = plan.channel_of_stream(stream.number);
        let latency_from_ns = self.shared.latency_from_ns.load(Acquire);
        let single = plan.is_single(channel);
        let latency = if single { &mut outcome.single_latency } else { &mut outcome.latency };
        let (checker, findings) = (&mut stream.checker, &mut outcome.findings);
        let mut check = |text: &[u8]| {
            checker.feed(text, course, channel, findings, &mut |published_ns| {
                arrived += 1;
                if published_ns >= latency_from_ns {
                    latency.record_ns(now_ns.saturating_sub(published_ns));
                }
            });
        };
        let mut unzipped = Ok(());
        let read = stream.decoder.feed(self.ring.bytes(&data), &mut |body| {
            let Some(unzip) = &mut stream.unzip else { return check(body) };
            outcome.gzip_bytes += body.len() as u64;
            if unzipped.is_ok() {
                unzipped = unzip.feed(body, &mut self.segments, &mut |text| {
                    outcome.text_bytes += text.len() as u64;
                    check(text);
                });
            }
        });
        self.ring.recycle(data);
        let status = stream.decoder.status();
        let fault = if read.is_err() {
            Some("the answer is not HTTP/1.1".to_owned())
        } else if status != 0 && status != 200 {
            Some(format!("{} answered a subscribe with status {status}", plan.host))
        } else if status == 200 && stream.unzip.is_some() && !stream.decoder.is_gzip() {
            Some(format!("{} does not answer with gzip", plan.host))
        } else {
            unzipped.err().map(|error| format!("the stream is {error}"))
        };
        if let Some(fault) = fault {
            self.end(sock, || fault);
            self.ring.close(sock, true);
        } else if status == 200 && stream.stage == Stage::Opening {
            stream.stage = Stage::Open;
            outcome.connects.record_ns(now_ns.saturating_sub(stream.begun_ns));
            self.opening -= 1;
            self.shared.listeners[channel].fetch_add(1, AcqRel);
            let again = std::mem::replace(&mut stream.counts, true);
            let count = if again { &self.shared.returned } else { &self.shared.opened };
            count.fetch_add(1, AcqRel);
        } else if stream.decoder.is_done() {
            self.end(sock, || "the server ended the stream".to_owned());
            self.ring.close(sock, false);
        }
        arrived
    }

    /// A stream is over, or was never open.
    fn end(&mut self, sock: ClientSock, why: impl FnOnce() -> String) {
        let at = self.by_slot[sock.0 as usize] as usize;
        let Some(stream) = self.streams.get_mut(at) else { return };
        match std::mem::replace(&mut stream.stage, Stage::Over) {
            // Its own doing, not the server's.
            Stage::Away => return stream.stage = Stage::Away,
            Stage::Over => return,
            Stage::Opening if stream.counts => {
                self.opening -= 1;
                self.shared.ended.fetch_add(1, AcqRel);
            }
            Stage::Opening => {
                self.opening -= 1;
                self.shared.failed.fetch_add(1, AcqRel);
            }
            Stage::Open => {
                let channel = self.plan.channel_of_stream(stream.number);
                self.shared.listeners[channel].fetch_sub(1, AcqRel);
                self.shared.ended.fetch_add(1, AcqRel);
            }
        }
        self.shared.say(why);
    }

    /// Resets all connections, so that none stays in TIME_WAIT for the next run to stumble over.
    fn close_all(&mut self) {
        let slots = self.by_slot.len();
        let end = Instant::now() + CLOSE_TIMEOUT;
        for slot in (0..slots).filter_map(|slot| u32::try_from(slot).ok()) {
            self.ring.close(ClientSock(slot), true);
            if slot % 256 == 255 {
                self.ring.drain();
                self.discard();
            }
        }
        while self.ring.free() < slots && Instant::now() < end && self.ring.dead().is_none() {
            self.ring.enter(Some(PATIENCE));
            self.ring.drain();
            self.discard();
        }
    }

    /// Takes events after the end; connects that succeed only now are closed too.
    fn discard(&mut self) {
        while let Some(event) = self.ring.next() {
            match event {
                ClientEvent::Received { data, .. } => self.ring.recycle(data),
                ClientEvent::Opened { sock } => self.ring.close(sock, true),
                _ => {}
            }
        }
    }
}
