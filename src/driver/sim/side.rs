//! What the kernel holds for one worker: its listener, descriptors, buffers, completions.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::super::contract::{Completion, ConnId, Received, Sock};
use super::kernel::{Happening, Kernel, Pending};
use super::link::{End, LinkId, Op, ServerEnd, Stage};

/// Accepts in flight at once.
const ACCEPTS_MAX: usize = 8;
/// After a failure accepts pause so long, as the real driver does.
const BACK_OFF_US: u64 = 50_000;
/// Sockets of different workers have different numbers, so that a foreign one is seen.
const SOCKS_PER_WORKER: u32 = 1 << 16;

#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) pending: Vec<Pending>,
    table: Vec<Option<LinkId>>,
    /// It sleeps until then.
    pub(crate) sleep_until_us: Option<u64>,
    /// It returns from its sleep without a completion.
    pub(crate) woken: bool,
    pub(crate) room: usize,
    in_flight: usize,
    backlog: VecDeque<LinkId>,
    accepts_paused_until_us: u64,
    listening: bool,
    free_buffers: VecDeque<u16>,
    buffers: usize,
    /// Receives that found no buffer.
    pub(crate) waiting: VecDeque<LinkId>,
}

impl Side {
    pub(crate) fn new(descriptors: usize, buffers: u16) -> Self {
        Self {
            pending: Vec::new(),
            table: vec![None; descriptors],
            sleep_until_us: None,
            woken: false,
            room: 0,
            in_flight: 0,
            backlog: VecDeque::new(),
            accepts_paused_until_us: 0,
            listening: true,
            free_buffers: (0..buffers).collect(),
            buffers: usize::from(buffers),
            waiting: VecDeque::new(),
        }
    }

    pub(crate) fn descriptors(&self) -> usize {
        self.table.len()
    }

    fn free_descriptors(&self) -> usize {
        self.table.iter().filter(|link| link.is_none()).count()
    }

    pub(crate) fn take_buffer(&mut self) -> Option<u16> {
        self.free_buffers.pop_front()
    }

    /// Buffers that are not in the group.
    pub(crate) fn buffers_out(&self) -> usize {
        self.buffers - self.free_buffers.len()
    }

    /// It has something to do.
    pub(crate) fn is_awake(&self, now_us: u64) -> bool {
        let due = self.sleep_until_us.is_none_or(|until_us| until_us <= now_us);
        due || self.woken || !self.pending.is_empty()
    }
}

pub(crate) fn sock_of(worker: usize, descriptor: u32) -> Sock {
    let worker = u32::try_from(worker).unwrap_or(u32::MAX);
    Sock(worker.wrapping_mul(SOCKS_PER_WORKER).wrapping_add(descriptor))
}

impl Kernel {
    /// The link behind a socket of this worker.
    pub(crate) fn link_of(&self, worker: usize, sock: Sock) -> Option<LinkId> {
        let descriptor = sock.0.checked_sub(sock_of(worker, 0).0)?;
        let link = *self.sides[worker].table.get(descriptor as usize)?;
        link.filter(|link| self.links[*link].is_open())
    }

    /// A connection reaches its listener.
    pub(crate) fn arrive(&mut self, link: LinkId) {
        let worker = self.links[link].worker;
        if !self.sides[worker].listening {
            self.links[link].server = ServerEnd::Closed;
            return self.soon(Happening::Refused(link));
        }
        self.note("connection waits", link, worker, 0);
        self.sides[worker].backlog.push_back(link);
        self.accept_waiting(worker);
    }

    /// Puts accepts in flight, no more than there is room and descriptors for.
    pub(crate) fn top_up(&mut self, worker: usize) {
        let now_us = self.now_us;
        let side = &mut self.sides[worker];
        if !side.listening || now_us < side.accepts_paused_until_us {
            return;
        }
        let bound = side.room.min(side.free_descriptors()).min(ACCEPTS_MAX);
        side.in_flight = side.in_flight.max(bound);
        self.accept_waiting(worker);
    }

    /// Accepts in flight meet waiting connections.
    fn accept_waiting(&mut self, worker: usize) {
        while self.sides[worker].in_flight > 0 {
            let Some(link) = self.sides[worker].backlog.pop_front() else { return };
            self.sides[worker].in_flight -= 1;
            if self.chance(self.faults.accept_fails) {
                self.sides[worker].backlog.push_front(link);
                return self.accept_failed(worker, libc::EMFILE);
            }
            let full = self.sides[worker].free_descriptors() == 0;
            if full || self.chance(self.faults.table_full) {
                self.note("table full, client closed", link, worker, 0);
                self.links[link].server = ServerEnd::Closed;
                self.end_output(link, End::Reset);
                return self.accept_failed(worker, libc::ENFILE);
            }
            self.accept(worker, link);
        }
    }

    fn accept_failed(&mut self, worker: usize, errno: i32) {
        self.note("accept failed", worker, errno.unsigned_abs() as usize, 0);
        let completion = Completion::AcceptFailed { listener: 0, errno };
        self.soon(Happening::Post(worker, Pending::plain(completion)));
        // The other accepts in flight stay there; only new ones wait.
        self.sides[worker].accepts_paused_until_us = self.now_us + BACK_OFF_US;
        self.after(BACK_OFF_US, Happening::Accepts(worker));
    }

    fn accept(&mut self, worker: usize, link: LinkId) {
        let table = &mut self.sides[worker].table;
        let Some(descriptor) = table.iter().position(Option::is_none) else { return };
        table[descriptor] = Some(link);
        let descriptor = u32::try_from(descriptor).unwrap_or(u32::MAX);
        self.links[link].server = ServerEnd::Open(descriptor);
        self.note("accepted", link, worker, descriptor as usize);
        let peer: SocketAddr = self.links[link].peer;
        let sock = sock_of(worker, descriptor);
        let completion = Completion::Accepted { sock, peer, listener: 0 };
        self.soon(Happening::Post(worker, Pending::plain(completion)));
    }

    /// Delivers what waits, as far as there are descriptors, then listens no more.
    pub(crate) fn stop_accepting(&mut self, worker: usize) {
        self.note("stops accepting", worker, 0, 0);
        while let Some(link) = self.sides[worker].backlog.pop_front() {
            if self.sides[worker].free_descriptors() > 0 {
                self.accept(worker, link);
            } else {
                self.links[link].server = ServerEnd::Closed;
                self.end_output(link, End::Reset);
            }
        }
        let side = &mut self.sides[worker];
        side.listening = false;
        side.in_flight = 0;
    }

    /// Takes back a receive buffer; a receive that waits for one goes on.
    pub(crate) fn recycle(&mut self, worker: usize, buffer: u16) {
        let side = &mut self.sides[worker];
        side.free_buffers.push_back(buffer);
        if let Some(link) = side.waiting.pop_front() {
            self.soon(Happening::Fire(link, Op::Receive));
        }
    }

    /// The server's end of a link is closed: its descriptor is free.
    pub(crate) fn free(&mut self, link: LinkId) {
        let ServerEnd::Closing(descriptor) = self.links[link].server else { return };
        let worker = self.links[link].worker;
        self.note("closed", link, worker, descriptor as usize);
        self.links[link].server = ServerEnd::Closed;
        self.sides[worker].table[descriptor as usize] = None;
        let Some(id) = self.links[link].id else { return };
        self.sides[worker].pending.push(Pending::plain(Completion::Closed { id }));
        if self.chance(self.faults.stale) {
            self.post_stale(worker, id);
        }
        self.top_up(worker);
    }

    /// A completion for an id that is no more: it must be recognised by its generation.
    fn post_stale(&mut self, worker: usize, id: ConnId) {
        let delay_us = self.rng.u64(1_000..100_000);
        let (completion, bytes) = match self.rng.u8(0..4) {
            0 => (Completion::HungUp { id }, Vec::new()),
            1 => (Completion::Writable { id }, Vec::new()),
            2 => (Completion::ReceiveEnded { id, errno: libc::ECONNRESET }, Vec::new()),
            _ => match self.sides[worker].take_buffer() {
                Some(buffer) => {
                    let data = Received { ring: 0, buffer, len: 5 };
                    (Completion::Received { id, data }, b"stale".to_vec())
                }
                None => return,
            },
        };
        self.after(delay_us, Happening::Post(worker, Pending { completion, bytes, of: None }));
    }

    /// Hands ready completions to the worker: all, or some, in any order.
    pub(crate) fn collect(&mut self, worker: usize) -> Vec<Pending> {
        let side = &mut self.sides[worker];
        let mut taken = std::mem::take(&mut side.pending);
        self.rng.shuffle(&mut taken);
        if taken.len() > 1 && self.chance(self.faults.collect_some) {
            let keep = self.rng.usize(1..taken.len());
            self.sides[worker].pending = taken.split_off(keep);
        }
        for pending in &taken {
            if let Some((link, op)) = pending.of {
                self.links[link].set_stage(op, Stage::Idle);
            }
        }
        taken
    }
}
