//! The driver contract on the real kernel.
//!
//! A worker owns one *main* ring, in which it sleeps, and further *sibling* rings when it is to
//! hold more connections than one table of direct descriptors may (RLIMIT_NOFILE entries each).
//! A [`Sock`] is the ring's index and the descriptor's index in it.
//!
//! - `accept.rs`: accepts in flight, room, pauses after errors, the end of accepting.
//! - `moving.rs`: sockets that go to another process, or come from one.
//! - `turn.rs`: enter, and what each completion means.
//! - `sibling.rs`: opening further rings and hearing from them.

mod accept;
mod moving;
mod sibling;
mod turn;

#[cfg(test)]
mod tests;

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::clock;
use super::contract::{Completion, ConnId, Driver, Now, Outgoing, Received, Shut, Sock};
use super::doorbell::Doorbells;
use super::error::{Errno, StartError};
use super::sys::address::AddressTable;
use super::sys::limits;
use super::sys::ring::{Descriptors, Ring};
use super::sys::send::{self, Item};
use super::user_data::UserData;
use accept::Accepting;
use sibling::{Bank, Plan};

/// How a worker's driver is cut.
#[derive(Debug, Clone, Copy)]
pub struct UringSettings {
    /// Most connections of this worker. What the limits allow may be less: see
    /// [`Driver::connections_max`].
    pub connections_max: usize,
    /// How sockets are named; [`probe`](super::probe) says what this kernel is good for.
    pub descriptors: Descriptors,
    /// Submission entries of the main ring (64 bytes each); a batch of sends longer than this
    /// takes several enters.
    pub submissions: u32,
    /// Completion entries of each ring (16 bytes each).
    pub completions: u32,
    /// Receive buffers of the main ring, a power of two up to 32,768.
    pub receive_buffers: u16,
    /// Receive buffers of each sibling ring, a power of two up to 32,768.
    pub sibling_receive_buffers: u16,
    /// Bytes of each receive buffer.
    pub receive_buffer_bytes: u32,
    /// One-shot accepts kept in flight on each listener (64 to 256 are sensible).
    pub accepts_in_flight: u16,
    /// First pause after a failed accept, milliseconds; doubles up to
    /// [`accept_pause_max_ms`](Self::accept_pause_max_ms).
    pub accept_pause_ms: u64,
    /// Longest pause after failed accepts, milliseconds.
    pub accept_pause_max_ms: u64,
    /// Entries of one direct table at most; for tests of sibling rings. The limits of
    /// RLIMIT_NOFILE and of the kernel (1,048,576) hold in any case.
    pub descriptors_per_ring: usize,
}

impl Default for UringSettings {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            descriptors: Descriptors::Direct,
            submissions: 1024,
            completions: 4096,
            receive_buffers: 256,
            sibling_receive_buffers: 32,
            receive_buffer_bytes: 4096,
            accepts_in_flight: 64,
            accept_pause_ms: 50,
            accept_pause_max_ms: 1000,
            descriptors_per_ring: 1 << 20,
        }
    }
}

/// What a driver has counted since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UringCounts {
    /// io_uring_enter calls of all rings.
    pub enters: u64,
    /// Times a completion queue was found overflown (nothing lost).
    pub overflows: u64,
    /// Receives that had to wait for a buffer.
    pub buffers_exhausted: u64,
    /// Pauses of accepting after an error.
    pub accept_pauses: u64,
    /// Doorbells sent to other workers.
    pub doorbells: u64,
    /// Rings in use, the main one included.
    pub rings: u64,
}

/// A shutdown under way, and the close that waits for it.
#[derive(Debug, Clone, Copy, Default)]
struct Shutting {
    running: u32,
    close: Option<ConnId>,
}

/// [`Driver`] on io_uring. Bound to the thread that made it.
pub struct UringDriver {
    settings: UringSettings,
    plan: Plan,
    /// The main ring first; at most 256.
    banks: Vec<Bank>,
    addresses: Rc<AddressTable>,
    accepting: Accepting,
    /// Completions not yet handed out.
    ready: Vec<Completion>,
    /// Armed receives: user data to descriptor index, to arm again when buffers ran out.
    receiving: HashMap<u64, u32, RandomState>,
    /// Sockets with a shutdown under way.
    shutting: HashMap<Sock, Shutting, RandomState>,
    doorbells: Arc<Doorbells>,
    worker: usize,
    /// Workers rung since the last enter.
    rung: Vec<bool>,
    /// A doorbell is among `ready`.
    rang: bool,
    /// Sends have entered the main ring since the last turn.
    entered: bool,
    /// When the alarms of the main ring go off, monotonic ms.
    alarms: Vec<u64>,
    counts: UringCounts,
}

const RING_SHIFT: u32 = 24;
const INDEX_MASK: u32 = (1 << RING_SHIFT) - 1;

/// Where a socket lives: ring and descriptor index.
const fn place(sock: Sock) -> (usize, u32) {
    ((sock.0 >> RING_SHIFT) as usize, sock.0 & INDEX_MASK)
}

/// The name of descriptor `index` (below 2^24) of ring `ring` (below 256).
#[allow(clippy::cast_possible_truncation)] // at most 256 rings
const fn name(ring: usize, index: u32) -> Sock {
    Sock((ring as u32) << RING_SHIFT | index & INDEX_MASK)
}

impl UringDriver {
    /// Starts the driver of worker `worker` on the calling thread, which alone may use it.
    ///
    /// The driver takes connections from `listeners` (at most 255; numbered as given) as soon as
    /// [`Driver::accept_room`] has said that there is room, and opens the worker's door in
    /// `doorbells`. Options of the listening sockets (`listener.rs`) are inherited by the
    /// connections.
    pub fn new(
        settings: &UringSettings,
        listeners: Vec<TcpListener>,
        worker: usize,
        doorbells: Arc<Doorbells>,
    ) -> Result<Self, StartError> {
        let plan = Plan::new(settings, limits::read(limits::Resource::Descriptors).soft)?;
        let in_flight_max = listeners.len() * usize::from(settings.accepts_in_flight.max(1));
        let places = u16::try_from(in_flight_max).map_err(|_| StartError::Settings)?;
        let addresses = Rc::new(AddressTable::new(places));
        let accepting = Accepting::new(listeners, settings)?;
        let main = Bank::open_main(settings, &plan, Rc::clone(&addresses))?;
        doorbells.set(worker, main.ring.raw_fd());
        Ok(Self {
            settings: *settings,
            plan,
            banks: vec![main],
            addresses,
            accepting,
            ready: Vec::with_capacity(256),
            receiving: HashMap::default(),
            shutting: HashMap::default(),
            rung: vec![false; doorbells.workers()],
            doorbells,
            worker,
            rang: false,
            entered: false,
            alarms: Vec::new(),
            counts: UringCounts::default(),
        })
    }

    /// What it has counted.
    pub fn counts(&self) -> UringCounts {
        let mut counts = UringCounts { rings: self.banks.len() as u64, ..self.counts };
        for bank in &self.banks {
            let ring = bank.ring.counts();
            counts.enters += ring.enters;
            counts.overflows += ring.overflows;
        }
        counts
    }

    /// Set when the kernel has refused to work for a ring of this driver for good (it does not
    /// happen in a sound process): nothing more will come, the worker should stop.
    pub fn dead(&self) -> Option<Errno> {
        self.banks.iter().find_map(|bank| bank.ring.dead())
    }

    /// Sockets open in all rings.
    pub fn open(&self) -> usize {
        self.banks.iter().map(|bank| bank.live as usize).sum()
    }

    fn ring_of(&mut self, sock: Sock) -> Option<(&mut Ring, u32)> {
        let (ring, index) = place(sock);
        let bank = self.banks.get_mut(ring);
        debug_assert!(bank.is_some(), "{sock:?} names no ring of this driver");
        bank.map(|bank| (&mut bank.ring, index))
    }

    fn arm_receive(&mut self, sock: Sock, id: ConnId, later: bool) {
        let data = UserData::Receive(id);
        if let Some((ring, index)) = self.ring_of(sock) {
            ring.receive(index, data, later);
            self.receiving.insert(data.pack(), index);
        }
    }

    fn watch(&mut self, sock: Sock, events: libc::c_short, data: UserData) {
        if let Some((ring, index)) = self.ring_of(sock) {
            ring.watch(index, events, data);
        }
    }
}

impl Driver for UringDriver {
    fn now(&mut self) -> Now {
        clock::now()
    }

    fn enters(&self) -> u64 {
        self.banks.iter().map(|bank| bank.ring.counts().enters).sum()
    }

    fn capacity(&self) -> usize {
        self.plan.capacity
    }

    fn accept_room(&mut self, room: usize) {
        self.set_room(room);
    }

    fn stop_accepting(&mut self) {
        self.stop();
    }

    fn pause_accepting(&mut self) {
        self.pause();
    }

    fn resume_accepting(&mut self) {
        self.accepting.paused = false;
    }

    fn accepts_nothing(&self) -> bool {
        self.accepting.is_idle()
    }

    fn cancel_receive(&mut self, sock: Sock, id: ConnId) {
        self.take_receive_back(sock, id);
    }

    fn duplicate(&mut self, socks: &[Sock]) -> Result<Vec<OwnedFd>, Errno> {
        self.descriptors_of(socks)
    }

    fn adopt(&mut self, sockets: Vec<OwnedFd>) -> Result<Vec<Sock>, Errno> {
        self.take_over(sockets)
    }

    fn receive(&mut self, sock: Sock, id: ConnId) {
        self.arm_receive(sock, id, false);
    }

    fn receive_later(&mut self, sock: Sock, id: ConnId) {
        self.arm_receive(sock, id, true);
    }

    fn received(&self, data: &Received) -> &[u8] {
        self.banks
            .get(usize::from(data.ring))
            .map_or(&[], |bank| bank.ring.bytes(data.buffer, data.len))
    }

    fn recycle(&mut self, data: Received) {
        let ring = usize::from(data.ring);
        if let Some(bank) = self.banks.get_mut(ring) {
            bank.recycle(data.buffer);
        }
    }

    fn send<'a>(&mut self, batch: &mut dyn Iterator<Item = Outgoing<'a>>) {
        if let Some(Errno(errno)) = self.dead() {
            let unsent = batch.map(|out| Completion::Sent { token: out.token, result: Err(errno) });
            self.ready.extend(unsent);
            return;
        }
        let (ready, rings) = (&mut self.ready, self.banks.len());
        let mut items = batch.filter_map(|out| {
            let (ring, index) = place(out.sock);
            // The kernel would cut what is too long without a word.
            let errno = match (ring < rings, out.bytes.len() <= send::SEND_BYTES_MAX) {
                (true, true) => {
                    return Some(Item { ring, index, bytes: out.bytes, token: out.token });
                }
                (false, _) => libc::EBADF,
                (true, false) => libc::EMSGSIZE,
            };
            ready.push(Completion::Sent { token: out.token, result: Err(errno) });
            None
        });
        send::send_all(&mut self.banks, &mut items);
        self.entered = true;
        // The worker mends short sends before it plans the next, so it must hear of them all now.
        for ring in 0..rings {
            self.collect_posted(ring);
        }
    }

    fn watch_writable(&mut self, sock: Sock, id: ConnId) {
        self.watch(sock, libc::POLLOUT, UserData::Writable(id));
    }

    fn watch_hangup(&mut self, sock: Sock, id: ConnId) {
        self.watch(sock, libc::POLLRDHUP, UserData::HangUp(id));
    }

    fn shutdown(&mut self, sock: Sock, how: Shut) {
        let how = match how {
            Shut::Write => libc::SHUT_WR,
            Shut::Both => libc::SHUT_RDWR,
        };
        if let Some((ring, index)) = self.ring_of(sock) {
            ring.shutdown(index, how, UserData::Shutdown { index });
            self.shutting.entry(sock).or_default().running += 1;
        }
    }

    fn close(&mut self, sock: Sock, id: ConnId) {
        if let Some(shutting) = self.shutting.get_mut(&sock) {
            // The shutdown looks its descriptor up late: closed now, it could hit the next owner
            // of the slot.
            shutting.close = Some(id);
            return;
        }
        if let Some((ring, index)) = self.ring_of(sock) {
            ring.close(index, UserData::Close(id));
        }
    }

    fn ring(&mut self, worker: usize) {
        if worker == self.worker {
            self.hear_doorbell();
            return;
        }
        let Some(rung) = self.rung.get_mut(worker) else { return };
        if *rung {
            return;
        }
        if let (Some(door), Some(main)) = (self.doorbells.door(worker), self.banks.first_mut()) {
            *rung = true;
            self.counts.doorbells += 1;
            main.ring.message(door, UserData::Doorbell);
        }
    }

    fn enter(&mut self, wait_until_mono_ms: Option<u64>) {
        self.rung.fill(false);
        self.turn(wait_until_mono_ms);
    }

    fn completions(&mut self, out: &mut Vec<Completion>) {
        self.accepting.delivered();
        self.rang = false;
        out.append(&mut self.ready);
    }
}

/// Connections of one ring whose operations are ended one by one when it is dropped.
const ENDED_ONE_BY_ONE_MAX: u32 = 2_048;

impl Drop for UringDriver {
    fn drop(&mut self) {
        self.doorbells.clear(self.worker);
        for bank in &mut self.banks {
            if bank.live > ENDED_ONE_BY_ONE_MAX {
                bank.ring.abandon();
            }
        }
    }
}
