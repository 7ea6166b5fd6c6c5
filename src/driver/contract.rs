//! What a worker may ask of the kernel and what it is told.
//!
//! Everything is asked with a [`Sock`] (the driver's name of a socket) and a [`ConnId`] (the
//! worker's name of a connection), and comes back as a [`Completion`] that carries the `ConnId`.
//! No pointer and no buffer of the worker outlives the call it was given to: [`Driver::send`]
//! returns only after the kernel has taken or refused every byte.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use super::error::Errno;

/// Two clocks read once per turn.
///
/// `mono_us` never goes back (CLOCK_MONOTONIC, microseconds since an arbitrary start), nor does
/// `mono_ms`, the same in whole milliseconds;
/// `unix_ms` is the wall clock (milliseconds since 1970, for `exp`, `since`, timestamps).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Monotonic microseconds.
    pub mono_us: u64,
    /// Monotonic milliseconds.
    pub mono_ms: u64,
    /// Wall-clock milliseconds since the Unix epoch.
    pub unix_ms: u64,
}

/// The driver's name of an accepted socket: which ring of the worker, which descriptor in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sock(pub u32);

/// The worker's name of a connection: slab slot and its generation.
///
/// A reused slot has another generation, so a stale completion is recognised. Only the low 24
/// bits of `generation` travel through the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnId {
    /// Slot in the worker's slab.
    pub slot: u32,
    /// Generation of that slot, 24 bits.
    pub generation: u32,
}

impl ConnId {
    /// Bits of `generation` that are kept in `user_data`.
    pub const GENERATION_MASK: u32 = 0x00ff_ffff;
}

/// Bytes for one connection, to be sent in this enter.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// Where to.
    pub sock: Sock,
    /// Echoed in [`Completion::Sent`] when the send was short or failed.
    pub token: u32,
    /// What. Never empty.
    pub bytes: &'a [u8],
}

/// A filled buffer of the driver's shared receive group. Give it back with [`Driver::recycle`].
#[derive(Debug, PartialEq, Eq)]
pub struct Received {
    /// Ring of the worker the buffer belongs to.
    pub ring: u8,
    /// Buffer id in that ring's group.
    pub buffer: u16,
    /// Bytes received; never 0 (an end of input is [`Completion::ReceiveEnded`]).
    pub len: u32,
}

/// Which half of a socket to shut, see shutdown(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shut {
    /// No more sends: the peer reads what is queued, then end of file.
    Write,
    /// Both: also completes an armed receive and fires an armed hang-up watch.
    Both,
}

/// What the kernel tells a worker. Errors are positive errno values.
#[derive(Debug, PartialEq, Eq)]
pub enum Completion {
    /// A connection was accepted on `listener` (index as given at start).
    Accepted {
        /// The new socket.
        sock: Sock,
        /// Address of the other end; an IPv4 address mapped into IPv6 is shown as IPv4.
        peer: SocketAddr,
        /// Which listener.
        listener: u8,
    },
    /// Accepting on `listener` failed (EMFILE, ENFILE, ENOBUFS, ENOMEM ...). The driver has
    /// already paused accepts there and takes them up again by itself after a back-off.
    AcceptFailed {
        /// Which listener.
        listener: u8,
        /// Positive errno.
        errno: i32,
    },
    /// Input arrived. The receive is no longer armed.
    Received {
        /// For whom.
        id: ConnId,
        /// Where it lies; recycle it even when the connection is gone.
        data: Received,
    },
    /// End of input (`errno` 0) or a receive error. The receive is no longer armed.
    ReceiveEnded {
        /// For whom.
        id: ConnId,
        /// Positive errno, 0 at end of file.
        errno: i32,
    },
    /// A send was short or failed: healthy sends say nothing.
    Sent {
        /// [`Outgoing::token`].
        token: u32,
        /// Bytes taken (fewer than given, maybe 0 with a full buffer) or a positive errno.
        result: Result<usize, i32>,
    },
    /// [`Driver::watch_writable`] fired (room in the send buffer, or an error state).
    Writable {
        /// For whom.
        id: ConnId,
    },
    /// [`Driver::watch_hangup`] fired: FIN, RST, or our own [`Shut::Both`].
    HungUp {
        /// For whom.
        id: ConnId,
    },
    /// The socket is closed and its descriptor free again.
    Closed {
        /// For whom.
        id: ConnId,
    },
    /// Another core (or the control half) rang.
    Doorbell,
}

/// The kernel as one worker sees it.
///
/// Rules that the worker keeps and a simulated driver checks: at most one [`Outgoing`] per socket
/// in one [`Driver::send`]; at most one armed receive, one hang-up watch per life and one
/// writable watch per socket; [`Driver::close`] only when nothing of that socket is armed.
pub trait Driver {
    /// Reads both clocks.
    fn now(&mut self) -> Now;

    /// Times the kernel was entered so far.
    fn enters(&self) -> u64;

    /// Most connections this driver can hold at once.
    fn capacity(&self) -> usize;

    /// Says how many more connections the worker has room for, beyond those it has been told of;
    /// the driver keeps no more accepts in flight than that. 0 stops accepting: clients wait in
    /// the backlog. It is called again whenever the number changes much; meanwhile each accepted
    /// connection takes one off. Room taken back may come too late for a client that has just
    /// been accepted: it still arrives. (With less room than listeners, some listeners wait.)
    fn accept_room(&mut self, room: usize);

    /// Stops accepting for good (drain): in-flight accepts are cancelled, connections that were
    /// accepted meanwhile still arrive as [`Completion::Accepted`], waiting ones in the backlog
    /// are taken and delivered too as far as there is room, then the listeners are closed (which
    /// resets whoever still waits there).
    fn stop_accepting(&mut self);

    /// Takes no further connection until [`resume_accepting`](Self::resume_accepting): clients wait
    /// in the backlog, accepts in flight are cancelled, and those that had succeeded still arrive.
    fn pause_accepting(&mut self) {}

    /// Goes on accepting.
    fn resume_accepting(&mut self) {}

    /// No accept is in flight.
    fn accepts_nothing(&self) -> bool {
        true
    }

    /// Has an armed receive end: by [`Completion::ReceiveEnded`] with ECANCELED, unless input was
    /// faster.
    fn cancel_receive(&mut self, _sock: Sock, _id: ConnId) {}

    /// Plain descriptors of these sockets, in order; the sockets stay as they are.
    ///
    /// # Errors
    /// What the kernel says; ENOSYS where the driver has no descriptors.
    fn duplicate(&mut self, _socks: &[Sock]) -> Result<Vec<OwnedFd>, Errno> {
        Err(Errno(libc::ENOSYS))
    }

    /// Takes connected sockets over, which nothing is armed on here; their names in order.
    ///
    /// # Errors
    /// What the kernel says, ENFILE where they are more than the driver holds.
    fn adopt(&mut self, _sockets: Vec<OwnedFd>) -> Result<Vec<Sock>, Errno> {
        Err(Errno(libc::ENOSYS))
    }

    /// Arms one receive through the shared buffer group.
    fn receive(&mut self, sock: Sock, id: ConnId);

    /// The same where nothing is expected to be there yet: the kernel need not look before it
    /// waits.
    fn receive_later(&mut self, sock: Sock, id: ConnId) {
        self.receive(sock, id);
    }

    /// The bytes of a filled buffer.
    fn received(&self, data: &Received) -> &[u8];

    /// Gives a buffer back to its group.
    fn recycle(&mut self, data: Received);

    /// Sends each item without waiting, in one or more enters, and returns when the kernel holds
    /// no pointer to any of them. Short and failed sends appear as [`Completion::Sent`] in the
    /// next [`Driver::completions`]; other completions may appear there too.
    fn send<'a>(&mut self, batch: &mut dyn Iterator<Item = Outgoing<'a>>);

    /// One-shot: tells when the send buffer has room again.
    fn watch_writable(&mut self, sock: Sock, id: ConnId);

    /// One-shot, once per connection life: tells when the peer closes.
    fn watch_hangup(&mut self, sock: Sock, id: ConnId);

    /// shutdown(2). No completion of its own; armed operations complete by it. Dear (a kernel
    /// thread runs it): to end a connection with nothing armed, [`Driver::close`] is enough.
    fn shutdown(&mut self, sock: Sock, how: Shut);

    /// Closes the socket; answered by [`Completion::Closed`]. May be called right after a
    /// [`Driver::shutdown`] if nothing is armed: the driver sees to their order.
    fn close(&mut self, sock: Sock, id: ConnId);

    /// Wakes worker `worker` if it sleeps. Cheap to call twice.
    fn ring(&mut self, worker: usize);

    /// Submits what is queued and, when `wait_until_mono_ms` is given, sleeps until one completion
    /// is there or that moment has come; then collects all that is ready.
    fn enter(&mut self, wait_until_mono_ms: Option<u64>);

    /// Moves collected completions to the end of `out`.
    fn completions(&mut self, out: &mut Vec<Completion>);
}
