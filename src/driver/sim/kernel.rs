//! The simulated kernel: a virtual clock, a queue of what happens next, all links.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};

use fastrand::Rng;

use super::super::contract::{Completion, ConnId, Received};
use super::faults::Faults;
use super::flaw::Flaw;
use super::link::{End, Link, LinkId, Op, ServerEnd, Stage};
use super::side::Side;
use super::trace::Trace;

/// Wall-clock milliseconds at the beginning of virtual time.
pub(crate) const UNIX_START_MS: u64 = 1_700_000_000_000;
/// The clocks do not begin at zero.
pub(crate) const START_US: u64 = 1_000_000;
/// The usual time a packet or a completion takes, at most.
const QUICK_US: u64 = 60;

/// What will happen at some moment.
#[derive(Debug)]
pub(crate) enum Happening {
    /// A connection reaches its listener.
    Syn(LinkId),
    /// Bytes of the client reach the server's end.
    Input(LinkId, Vec<u8>),
    /// The client's end of input reaches it.
    Fin(LinkId),
    /// A reset of the client's reaches it.
    Reset(LinkId),
    /// An armed operation completes, if its condition still holds.
    Fire(LinkId, Op),
    /// Memory is there again for this send buffer.
    Relax(LinkId),
    /// A completion is ready.
    Post(usize, Pending),
    /// Accepts may be tried again.
    Accepts(usize),
    /// A descriptor is free again.
    Closed(LinkId),
    /// The client's end has something to read.
    Read(LinkId),
    /// A client finds nobody listening.
    Refused(LinkId),
    /// A client wanted to be woken.
    Timer { client: usize, token: u64 },
}

/// A completion that waits for its worker.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) completion: Completion,
    /// What a receive put into its buffer.
    pub(crate) bytes: Vec<u8>,
    /// The operation that is armed until the worker has it.
    pub(crate) of: Option<(LinkId, Op)>,
}

impl Pending {
    pub(crate) fn plain(completion: Completion) -> Self {
        Self { completion, bytes: Vec::new(), of: None }
    }
}

/// What a client is told.
#[derive(Debug)]
pub(crate) enum Told {
    Bytes(LinkId, Vec<u8>),
    End(LinkId),
    Refused(LinkId),
    Timer { client: usize, token: u64 },
}

#[derive(Debug)]
struct Entry {
    at_us: u64,
    /// What happens at one moment happens in an order of the seed.
    tie: u32,
    number: u64,
    what: Happening,
}

impl Entry {
    fn key(&self) -> (u64, u32, u64) {
        (self.at_us, self.tie, self.number)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

#[derive(Debug)]
pub(crate) struct Kernel {
    pub(crate) rng: Rng,
    pub(crate) now_us: u64,
    pub(crate) faults: Faults,
    pub(crate) trace: Trace,
    /// The first broken promise ends the run.
    pub(crate) flaw: Option<Flaw>,
    pub(crate) links: Vec<Link>,
    pub(crate) sides: Vec<Side>,
    pub(crate) told: VecDeque<Told>,
    /// Counts send batches.
    pub(crate) batch: u64,
    queue: BinaryHeap<Reverse<Entry>>,
    number: u64,
}

impl Kernel {
    pub(crate) fn new(rng: Rng, faults: Faults, workers: usize, descriptors: usize) -> Self {
        let side = || Side::new(descriptors, faults.buffers);
        Self {
            rng,
            now_us: START_US,
            trace: Trace::default(),
            flaw: None,
            links: Vec::new(),
            sides: (0..workers).map(|_| side()).collect(),
            told: VecDeque::new(),
            batch: 0,
            queue: BinaryHeap::new(),
            number: 0,
            faults,
        }
    }

    pub(crate) fn fail(&mut self, flaw: Flaw) {
        self.flaw.get_or_insert(flaw);
    }

    pub(crate) fn note(&mut self, what: &'static str, a: usize, b: usize, c: usize) {
        self.trace.note(self.now_us, what, [a as u64, b as u64, c as u64]);
    }

    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.rng.f64() < probability
    }

    /// How long the next packet or completion takes.
    pub(crate) fn delay_us(&mut self) -> u64 {
        if self.chance(self.faults.slow) {
            return self.rng.u64(0..=self.faults.slow_us_max);
        }
        if self.rng.bool() { 0 } else { self.rng.u64(0..=QUICK_US) }
    }

    pub(crate) fn after(&mut self, delay_us: u64, what: Happening) {
        self.number += 1;
        let entry = Entry {
            at_us: self.now_us + delay_us,
            tie: self.rng.u32(..),
            number: self.number,
            what,
        };
        self.queue.push(Reverse(entry));
    }

    pub(crate) fn soon(&mut self, what: Happening) {
        let delay_us = self.delay_us();
        self.after(delay_us, what);
    }

    /// When the next thing happens.
    pub(crate) fn next_us(&self) -> Option<u64> {
        self.queue.peek().map(|Reverse(entry)| entry.at_us)
    }

    /// Lets everything happen that is due.
    pub(crate) fn run_due(&mut self) {
        while self.next_us().is_some_and(|at_us| at_us <= self.now_us) {
            let Some(Reverse(entry)) = self.queue.pop() else { return };
            self.happen(entry.what);
        }
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Syn(link) => self.arrive(link),
            Happening::Input(link, bytes) => self.take_input(link, bytes),
            Happening::Fin(link) => {
                self.note("fin arrives", link, 0, 0);
                self.links[link].fin = true;
                self.provoke(link);
            }
            Happening::Reset(link) => {
                self.note("reset arrives", link, 0, 0);
                self.links[link].break_off();
                self.provoke(link);
            }
            Happening::Fire(link, op) => self.fire(link, op),
            Happening::Relax(link) => {
                self.links[link].room_now = self.links[link].room;
                self.provoke(link);
            }
            Happening::Post(worker, pending) => self.sides[worker].pending.push(pending),
            Happening::Accepts(worker) => {
                // The real driver takes accepts up again in an enter: it wakes for that.
                self.sides[worker].woken = true;
                self.top_up(worker);
            }
            Happening::Closed(link) => self.free(link),
            Happening::Read(link) => self.read(link),
            Happening::Refused(link) => {
                self.links[link].client_open = false;
                self.told.push_back(Told::Refused(link));
            }
            Happening::Timer { client, token } => {
                self.told.push_back(Told::Timer { client, token });
            }
        }
    }

    fn take_input(&mut self, link: LinkId, bytes: Vec<u8>) {
        let state = &mut self.links[link];
        if state.reset {
            return;
        }
        if matches!(state.server, ServerEnd::Closed | ServerEnd::Closing(_)) {
            // Nobody is there: the client's kernel is told so.
            return self.end_output(link, End::Reset);
        }
        state.input.extend(bytes);
        let waiting = state.input.len();
        self.note("input arrives", link, waiting, 0);
        self.provoke(link);
    }

    /// After any change of a link: what is armed and due will fire.
    pub(crate) fn provoke(&mut self, link: LinkId) {
        for op in Op::ALL {
            let state = &mut self.links[link];
            if state.stage(op) == Stage::Armed && state.is_due(op) {
                state.set_stage(op, Stage::Firing);
                self.soon(Happening::Fire(link, op));
            }
        }
    }

    fn fire(&mut self, link: LinkId, op: Op) {
        let state = &mut self.links[link];
        if !state.is_due(op) {
            return state.set_stage(op, Stage::Armed);
        }
        let Some(id) = state.id else { return };
        let worker = state.worker;
        let (completion, bytes) = match op {
            Op::Hangup => (Completion::HungUp { id }, Vec::new()),
            Op::Writable => (Completion::Writable { id }, Vec::new()),
            Op::Receive => match self.receive_now(link, id) {
                Some(received) => received,
                None => return,
            },
        };
        self.note(op.name(), link, worker, bytes.len());
        self.links[link].set_stage(op, Stage::Posted);
        let pending = Pending { completion, bytes, of: Some((link, op)) };
        self.sides[worker].pending.push(pending);
    }

    /// Takes input into a buffer of the worker's group. None: it waits for a buffer.
    fn receive_now(&mut self, link: LinkId, id: ConnId) -> Option<(Completion, Vec<u8>)> {
        let state = &mut self.links[link];
        if state.input.is_empty() {
            let errno = state.error.take().unwrap_or(0);
            return Some((Completion::ReceiveEnded { id, errno }, Vec::new()));
        }
        let worker = state.worker;
        let Some(buffer) = self.sides[worker].take_buffer() else {
            self.note("no receive buffer", link, worker, 0);
            if self.faults.buffers_fail {
                let errno = libc::ENOBUFS;
                return Some((Completion::ReceiveEnded { id, errno }, Vec::new()));
            }
            self.sides[worker].waiting.push_back(link);
            return None;
        };
        let most = state.input.len().min(self.faults.buffer_bytes);
        let len = if self.rng.bool() { most } else { self.rng.usize(1..=most) };
        let bytes: Vec<u8> = self.links[link].input.drain(..len).collect();
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        let data = Received { ring: 0, buffer, len };
        Some((Completion::Received { id, data }, bytes))
    }

    /// The server's bytes end; the client will read that.
    pub(crate) fn end_output(&mut self, link: LinkId, end: End) {
        let state = &mut self.links[link];
        if state.end == Some(End::Reset) {
            return;
        }
        state.end = Some(end);
        if end == End::Reset {
            state.output.clear();
        }
        self.let_read(link);
    }

    /// Sees to it that the client reads, if there is anything and it does not stall.
    pub(crate) fn let_read(&mut self, link: LinkId) {
        let state = &mut self.links[link];
        let anything = !state.output.is_empty() || state.end.is_some();
        let reset = state.end == Some(End::Reset);
        if anything && state.client_open && (state.reading || reset) && !state.read_due {
            state.read_due = true;
            self.soon(Happening::Read(link));
        }
    }

    fn read(&mut self, link: LinkId) {
        let most = self.faults.read_bytes_max;
        let state = &mut self.links[link];
        state.read_due = false;
        if !state.client_open || (!state.reading && state.end != Some(End::Reset)) {
            return;
        }
        if !state.output.is_empty() {
            let len = state.output.len().min(self.rng.usize(1..=most.max(1)));
            let bytes = state.output.drain(..len).collect();
            state.room_now = state.room;
            self.told.push_back(Told::Bytes(link, bytes));
            self.note("client reads", link, len, 0);
            self.provoke(link);
            return self.let_read(link);
        }
        if let Some(end) = state.end {
            let reset = end == End::Reset;
            state.reading = false;
            if reset {
                state.client_open = false;
            }
            self.note("client reads the end", link, usize::from(reset), 0);
            self.told.push_back(Told::End(link));
        }
    }

    /// Whom it concerns.
    pub(crate) fn client_of(&self, told: &Told) -> usize {
        match told {
            Told::Bytes(link, _) | Told::End(link) | Told::Refused(link) => {
                self.links[*link].client
            }
            Told::Timer { client, .. } => *client,
        }
    }

    /// Open server ends, those on their way to a listener included.
    pub(crate) fn open_links(&self) -> usize {
        self.links.iter().filter(|link| link.server != ServerEnd::Closed).count()
    }
}
