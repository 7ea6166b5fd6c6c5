//! The real kernel: one worker's rings.
//!
//! The first ring is the main one: it sleeps, takes doorbells and polls the eventfds of its
//! siblings. Siblings exist because a ring's table of direct descriptors is capped by
//! RLIMIT_NOFILE, while direct descriptors do not count against it.

use std::io;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use super::accept::Accepts;
use super::contract::{Completion, ConnId, Driver, Now, Outgoing, Received, Shut, Sock};
use super::doorbell::Doorbells;
use super::sys::{self, Cqe, EventFd, Ring, RingSettings};
use super::user_data::{Op, pack, pack_number, unpack};

/// Deferred work the kernel runs in one enter is max(20, wanted): ask for many when draining.
const DRAIN: u32 = 1_024;
/// Bits of a [`Sock`] that name the descriptor; the rest names the ring.
const DESCRIPTOR_BITS: u32 = 24;
/// Most rings of one worker.
const RINGS_MAX: usize = 64;

/// How a worker's rings are made.
#[derive(Debug, Clone)]
pub struct UringSettings {
    /// Connections wanted; more rings are made where one table is too small.
    pub connections_max: usize,
    /// Most direct descriptors in one ring; RLIMIT_NOFILE caps it.
    pub descriptors_per_ring: usize,
    /// Receive buffers of the main ring (a power of two) and their size in bytes.
    pub receive_buffers: u16,
    /// Size of one receive buffer.
    pub receive_buffer_bytes: u32,
    /// One-shot accepts in flight.
    pub accepts: u16,
}

impl Default for UringSettings {
    fn default() -> Self {
        Self {
            connections_max: 20_000,
            descriptors_per_ring: 1 << 20,
            receive_buffers: 256,
            receive_buffer_bytes: 4_096,
            accepts: 64,
        }
    }
}

/// One ring and what the worker has to know of it.
#[derive(Debug)]
struct Part {
    ring: Ring,
    used: usize,
    capacity: usize,
    /// Raised by the kernel when this sibling has completions.
    event: Option<EventFd>,
    /// Has to be entered: its eventfd fired.
    dirty: bool,
}

/// The driver of one worker on the real kernel.
#[derive(Debug)]
pub struct UringDriver {
    parts: Vec<Part>,
    accepts: Accepts,
    /// Accepts are in flight on this ring.
    filling: usize,
    listeners: Vec<TcpListener>,
    doorbells: Arc<Doorbells>,
    ready: Vec<Completion>,
    overflows: u64,
}

impl UringDriver {
    /// Makes the rings of worker `worker`. Call it on the thread that will use them.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn new(
        settings: &UringSettings,
        listeners: Vec<TcpListener>,
        worker: usize,
        doorbells: Arc<Doorbells>,
    ) -> io::Result<Self> {
        let per_ring = settings.descriptors_per_ring.min(sys::descriptor_limit()).max(1);
        let rings = settings.connections_max.div_ceil(per_ring).clamp(1, RINGS_MAX);
        let mut parts: Vec<Part> = Vec::with_capacity(rings);
        for at in 0..rings {
            let left = settings.connections_max.saturating_sub(at * per_ring);
            let capacity = left.clamp(1, per_ring);
            let share = if at == 0 { 1 } else { 4 };
            let ring = Ring::new(RingSettings {
                submissions: 512,
                completions: 4_096,
                descriptors: u32::try_from(capacity).unwrap_or(u32::MAX),
                buffers: settings.receive_buffers / share,
                buffer_bytes: settings.receive_buffer_bytes,
                accepts: settings.accepts,
            })?;
            let mut event = None;
            if let Some(main) = parts.first_mut() {
                let fd = EventFd::new()?;
                ring.register_eventfd(fd.raw())?;
                main.ring.poll_fd(fd.raw(), pack_number(Op::Sibling, number(at)));
                event = Some(fd);
            }
            let part = Part { ring, used: 0, capacity, event, dirty: false };
            parts.push(part);
        }
        doorbells.set(worker, parts[0].ring.fd());
        let fds = listeners.iter().map(AsRawFd::as_raw_fd).collect();
        Ok(Self {
            parts,
            accepts: Accepts::new(fds, settings.accepts),
            filling: 0,
            listeners,
            doorbells,
            ready: Vec::new(),
            overflows: 0,
        })
    }

    /// Rings of this worker.
    #[must_use]
    pub fn rings(&self) -> usize {
        self.parts.len()
    }

    /// How often completions did not fit a completion queue (nothing is lost by it).
    #[must_use]
    pub fn overflows(&self) -> u64 {
        self.overflows
    }

    fn part(&mut self, sock: Sock) -> (&mut Part, u32) {
        let (ring, descriptor) = split(sock);
        let last = self.parts.len() - 1;
        (&mut self.parts[ring.min(last)], descriptor)
    }

    /// Keeps accepts in flight on the first ring with room, no more than there are free slots.
    fn top_up_accepts(&mut self) {
        if self.accepts.in_flight() == 0 {
            let free = |part: &Part| part.used < part.capacity;
            match self.parts.iter().position(free) {
                Some(ring) => self.filling = ring,
                None => return,
            }
        }
        let now_ms = sys::mono_ms();
        let part = &mut self.parts[self.filling];
        let free = part.capacity - part.used.min(part.capacity);
        while let Some((listener, slot)) = self.accepts.arm(free, now_ms) {
            part.ring.accept(listener, slot, pack_number(Op::Accept, u32::from(slot)));
        }
    }

    /// Collects what a ring has ready.
    fn collect(&mut self, ring: usize) {
        while let Some(cqe) = self.parts[ring].ring.next() {
            self.translate(ring, cqe);
        }
        if self.parts[ring].ring.is_overflowing() {
            self.overflows += 1;
        }
    }

    fn translate(&mut self, ring: usize, cqe: Cqe) {
        let Some((op, id)) = unpack(cqe.user_data) else { return };
        let completion = match op {
            Op::Accept => return self.accepted(ring, id.slot, cqe.result),
            Op::Receive => return self.received(ring, id, cqe),
            Op::Send => Completion::Sent {
                token: id.slot,
                result: match cqe.result {
                    taken if taken >= 0 => Ok(taken.unsigned_abs() as usize),
                    errno if -errno == libc::EAGAIN => Ok(0),
                    errno => Err(-errno),
                },
            },
            Op::Hangup => Completion::HungUp { id },
            Op::Writable => Completion::Writable { id },
            Op::Close => {
                let part = &mut self.parts[ring];
                part.used = part.used.saturating_sub(1);
                Completion::Closed { id }
            }
            Op::Bell => Completion::Doorbell,
            Op::Sibling => {
                let sibling = id.slot as usize;
                if let Some(part) = self.parts.get_mut(sibling) {
                    part.dirty = true;
                    if let Some(event) = &part.event {
                        event.clear();
                        let fd = event.raw();
                        self.parts[0].ring.poll_fd(fd, cqe.user_data);
                    }
                }
                return;
            }
            Op::Quiet => return,
        };
        self.ready.push(completion);
    }

    fn accepted(&mut self, ring: usize, slot: u32, result: i32) {
        let Ok(slot) = u16::try_from(slot) else { return };
        let listener = self.accepts.completed(slot);
        if result >= 0 {
            self.accepts.succeeded();
            let part = &mut self.parts[ring];
            part.used += 1;
            let sock = join(ring, result.unsigned_abs());
            let peer = part.ring.accepted_peer(slot);
            self.ready.push(Completion::Accepted { sock, peer, listener });
            return;
        }
        let errno = -result;
        if matches!(errno, libc::ECANCELED | libc::EINVAL) && self.accepts.is_stopped() {
            return;
        }
        // The peer gave up before we took it: nothing is wrong here.
        if !matches!(errno, libc::ECONNABORTED | libc::EAGAIN | libc::EINTR) {
            self.accepts.back_off(sys::mono_ms());
            self.ready.push(Completion::AcceptFailed { listener, errno });
        }
    }

    fn received(&mut self, ring: usize, id: ConnId, cqe: Cqe) {
        let completion = match (cqe.result, cqe.buffer) {
            (len, Some(buffer)) if len > 0 => {
                let ring = u8::try_from(ring).unwrap_or(u8::MAX);
                Completion::Received {
                    id,
                    data: Received { ring, buffer, len: len.unsigned_abs() },
                }
            }
            (result, buffer) => {
                if let Some(buffer) = buffer {
                    self.parts[ring].ring.recycle(buffer);
                }
                Completion::ReceiveEnded { id, errno: (-result).max(0) }
            }
        };
        self.ready.push(completion);
    }
}

impl Driver for UringDriver {
    fn now(&mut self) -> Now {
        Now { mono_ms: sys::mono_ms(), unix_ms: sys::unix_ms() }
    }

    fn capacity(&self) -> usize {
        self.parts.iter().map(|part| part.capacity).sum()
    }

    fn accept_room(&mut self, room: usize) {
        self.accepts.set_room(room);
    }

    fn stop_accepting(&mut self) {
        let part = &mut self.parts[self.filling];
        for slot in self.accepts.stop() {
            let target = pack_number(Op::Accept, u32::from(slot));
            part.ring.cancel(target, pack_number(Op::Quiet, 0));
        }
        self.listeners.clear();
    }

    fn receive(&mut self, sock: Sock, id: ConnId) {
        let (part, descriptor) = self.part(sock);
        part.ring.receive(descriptor, pack(Op::Receive, id));
    }

    fn received(&self, data: &Received) -> &[u8] {
        let part = self.parts.get(usize::from(data.ring));
        part.map_or(&[], |part| part.ring.buffer(data.buffer, data.len))
    }

    fn recycle(&mut self, data: Received) {
        if let Some(part) = self.parts.get_mut(usize::from(data.ring)) {
            part.ring.recycle(data.buffer);
        }
    }

    fn send<'a>(&mut self, batch: &mut dyn Iterator<Item = Outgoing<'a>>) {
        let encode =
            |out: Outgoing<'a>| (split(out.sock).1, pack_number(Op::Send, out.token), out.bytes);
        if self.parts.len() == 1 {
            self.parts[0].ring.send_all(batch.map(encode));
            return self.collect(0);
        }
        let mut batch: Vec<Outgoing<'a>> = batch.collect();
        batch.sort_by_key(|out| split(out.sock).0);
        for same in batch.chunk_by(|one, two| split(one.sock).0 == split(two.sock).0) {
            let ring = same.first().map_or(0, |out| split(out.sock).0);
            if let Some(part) = self.parts.get_mut(ring) {
                part.ring.send_all(same.iter().copied().map(encode));
                self.collect(ring);
            }
        }
    }

    fn watch_writable(&mut self, sock: Sock, id: ConnId) {
        let (part, descriptor) = self.part(sock);
        part.ring.poll(descriptor, libc::POLLOUT, pack(Op::Writable, id));
    }

    fn watch_hangup(&mut self, sock: Sock, id: ConnId) {
        let (part, descriptor) = self.part(sock);
        part.ring.poll(descriptor, libc::POLLRDHUP, pack(Op::Hangup, id));
    }

    fn shutdown(&mut self, sock: Sock, how: Shut) {
        let how = match how {
            Shut::Write => libc::SHUT_WR,
            Shut::Both => libc::SHUT_RDWR,
        };
        let (part, descriptor) = self.part(sock);
        part.ring.shutdown(descriptor, how, pack_number(Op::Quiet, 0));
    }

    fn close(&mut self, sock: Sock, id: ConnId) {
        let (part, descriptor) = self.part(sock);
        part.ring.close(descriptor, pack(Op::Close, id));
    }

    fn ring(&mut self, worker: usize) {
        if let Some(fd) = self.doorbells.get(worker) {
            let bell = pack_number(Op::Bell, 0);
            self.parts[0].ring.message(fd, bell, pack_number(Op::Quiet, 0));
        }
    }

    fn enter(&mut self, wait_until_mono_ms: Option<u64>) {
        self.top_up_accepts();
        for sibling in 1..self.parts.len() {
            let part = &mut self.parts[sibling];
            part.ring.submit();
            if std::mem::take(&mut part.dirty) {
                part.ring.enter(DRAIN, Some(Duration::ZERO));
            }
            self.collect(sibling);
        }
        let main = &mut self.parts[0].ring;
        let wait = wait_until_mono_ms.map(|until| {
            let until = until.min(self.accepts.due_at_ms().unwrap_or(u64::MAX));
            until.saturating_sub(sys::mono_ms())
        });
        match wait.filter(|wait_ms| *wait_ms > 0 && self.ready.is_empty()) {
            Some(wait_ms) => {
                main.enter(1, Some(Duration::from_millis(wait_ms)));
                main.enter(DRAIN, Some(Duration::ZERO));
            }
            None => main.enter(DRAIN, Some(Duration::ZERO)),
        }
        self.collect(0);
        for sibling in 1..self.parts.len() {
            if std::mem::take(&mut self.parts[sibling].dirty) {
                self.parts[sibling].ring.enter(DRAIN, Some(Duration::ZERO));
                self.collect(sibling);
            }
        }
    }

    fn completions(&mut self, out: &mut Vec<Completion>) {
        out.append(&mut self.ready);
    }
}

fn number(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

fn join(ring: usize, descriptor: u32) -> Sock {
    Sock(number(ring) << DESCRIPTOR_BITS | descriptor)
}

fn split(sock: Sock) -> (usize, u32) {
    ((sock.0 >> DESCRIPTOR_BITS) as usize, sock.0 & ((1 << DESCRIPTOR_BITS) - 1))
}

#[cfg(test)]
mod tests;
