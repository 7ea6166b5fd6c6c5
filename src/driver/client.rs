//! The client half: many outgoing connections on one ring, for the load tool.
//!
//! A [`ClientRing`] belongs to one thread and holds at most as many connections as its table has
//! slots (RLIMIT_NOFILE each); take several rings for more. One source address reaches about
//! 28,000 connections to one target (net.ipv4.ip_local_port_range); on loopback spread them over
//! 127.0.x.y, some 4,000 each, or the kernel's search for a free port takes minutes.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use super::error::{Errno, StartError};
use super::sys::address::AddressTable;
use super::sys::enter::Wait;
use super::sys::ring::{Descriptors, Event, Ring, RingSettings};
use super::sys::send::{self, Item};
use super::user_data::UserData;

#[cfg(test)]
mod tests;

/// A connection of a [`ClientRing`]: its slot. Valid from [`ClientRing::open`] until
/// [`ClientEvent::Closed`] or [`ClientEvent::OpenFailed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientSock(pub u32);

/// What happened.
#[derive(Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// Connected; its receive is armed.
    Opened {
        /// Which.
        sock: ClientSock,
    },
    /// Not connected; the slot is free again.
    OpenFailed {
        /// Which it was.
        sock: ClientSock,
        /// Positive errno: ECONNREFUSED, ETIMEDOUT, EADDRNOTAVAIL (ports used up) ...
        errno: i32,
    },
    /// Input: look at it with [`ClientRing::bytes`], then [`ClientRing::recycle`] it.
    Received {
        /// Which.
        sock: ClientSock,
        /// Where it lies.
        data: ClientData,
    },
    /// End of input (`errno` 0) or a receive error. Still to be closed.
    Ended {
        /// Which.
        sock: ClientSock,
        /// Positive errno, 0 at end of file.
        errno: i32,
    },
    /// A send was short (its count) or failed (positive errno); complete ones say nothing.
    Sent {
        /// Which.
        sock: ClientSock,
        /// Bytes taken or a positive errno.
        result: Result<usize, i32>,
    },
    /// Closed; the slot is free again.
    Closed {
        /// Which it was.
        sock: ClientSock,
    },
}

/// A filled receive buffer.
#[derive(Debug, PartialEq, Eq)]
pub struct ClientData {
    buffer: u16,
    len: u32,
}

/// Size of a client ring.
#[derive(Debug, Clone, Copy)]
pub struct ClientSettings {
    /// Connections; at most RLIMIT_NOFILE and 1,048,576.
    pub slots: u32,
    /// Submission entries.
    pub submissions: u32,
    /// Completion entries; a burst beyond them costs time, not events.
    pub completions: u32,
    /// Receive buffers shared by all connections, a power of two up to 32,768.
    pub buffers: u16,
    /// Bytes of each.
    pub buffer_bytes: u32,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            slots: 10_000,
            submissions: 1024,
            completions: 16_384,
            buffers: 4096,
            buffer_bytes: 4096,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Free,
    Opening,
    Open,
    /// Closing; the close's completion is still to come if set.
    Closing {
        closed: bool,
    },
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    stage: Stage,
    /// A receive is armed, or waits for a buffer.
    receiving: bool,
    /// Nothing is received until [`ClientRing::resume`].
    paused: bool,
}

/// Many outgoing connections. Bound to the thread that made it.
pub struct ClientRing {
    ring: Ring,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Connections whose receive found no buffer.
    starved: Vec<u32>,
}

impl ClientRing {
    /// Makes the ring on the calling thread. Needs direct descriptors (6.13 to be safe).
    pub fn new(settings: &ClientSettings) -> Result<Self, StartError> {
        let ring = RingSettings {
            submissions: settings.submissions,
            completions: settings.completions,
            descriptors: Descriptors::Direct,
            slots: settings.slots,
            buffers: settings.buffers,
            buffer_bytes: settings.buffer_bytes,
        };
        let slot = Slot { stage: Stage::Free, receiving: false, paused: false };
        Ok(Self {
            ring: Ring::open(&ring, Rc::new(AddressTable::new(0)))?,
            slots: vec![slot; settings.slots as usize],
            free: (0..settings.slots).rev().collect(),
            starved: Vec::new(),
        })
    }

    /// Begins to connect from `source` (`None`: the kernel's choice; else Linux 6.11) to `target`;
    /// answered by [`ClientEvent::Opened`] or [`ClientEvent::OpenFailed`]. `None` when every slot
    /// is taken.
    pub fn open(&mut self, source: Option<IpAddr>, target: SocketAddr) -> Option<ClientSock> {
        let index = self.free.pop()?;
        *self.slot(index)? = Slot { stage: Stage::Opening, receiving: false, paused: false };
        self.ring.connect(index, source, target);
        Some(ClientSock(index))
    }

    /// Sends each item without waiting; at most one per connection in one call, each non-empty.
    pub fn send(&mut self, items: &mut dyn Iterator<Item = (ClientSock, &[u8])>) {
        let mut items =
            items.map(|(sock, bytes)| Item { ring: 0, index: sock.0, bytes, token: sock.0 });
        send::send_all(std::slice::from_mut(&mut self.ring), &mut items);
    }

    /// Closes; answered by [`ClientEvent::Closed`]. With `reset` the peer gets a RST and the port
    /// is free at once, instead of a FIN and a minute of TIME_WAIT.
    pub fn close(&mut self, sock: ClientSock, reset: bool) {
        let Some(slot) = self.slot(sock.0) else { return };
        if slot.stage != Stage::Open {
            return;
        }
        slot.stage = Stage::Closing { closed: false };
        let receiving = slot.receiving;
        if receiving {
            // An armed receive would keep the connection open beyond its close.
            self.ring.cancel(UserData::Stream { index: sock.0 });
        }
        if reset {
            self.ring.reset_on_close(sock.0);
        }
        self.ring.close(sock.0, UserData::Hang { index: sock.0 });
    }

    /// Receives nothing more until [`resume`](Self::resume): what comes stays in the socket, and
    /// when that is full, with the sender. What was under way already may still come.
    pub fn pause(&mut self, sock: ClientSock) {
        let Some(slot) = self.slot(sock.0).filter(|slot| slot.stage == Stage::Open) else { return };
        slot.paused = true;
        if slot.receiving {
            self.ring.cancel(UserData::Stream { index: sock.0 });
        }
    }

    /// Receives again.
    pub fn resume(&mut self, sock: ClientSock) {
        let Some(slot) = self.slot(sock.0) else { return };
        slot.paused = false;
        self.arm(sock.0);
    }

    /// Submits what is queued; with a time, sleeps until one event is there or it has passed.
    /// Read the events with [`next`](Self::next) until there is none.
    pub fn enter(&mut self, wait: Option<Duration>) {
        self.ring.enter(wait.map_or(Wait::No, Wait::For));
    }

    /// Fetches all that has happened without sleeping (one enter alone runs some 20 events).
    pub fn drain(&mut self) {
        self.ring.enter(Wait::Drain);
    }

    /// The next event that is ready; no system call.
    #[expect(clippy::should_implement_trait, reason = "a queue that fills again is no iterator")]
    pub fn next(&mut self) -> Option<ClientEvent> {
        loop {
            let event = self.ring.next()?;
            if let Some(event) = self.take(event) {
                return Some(event);
            }
        }
    }

    /// The bytes of a filled buffer.
    pub fn bytes(&self, data: &ClientData) -> &[u8] {
        self.ring.bytes(data.buffer, data.len)
    }

    /// Gives a filled buffer back.
    pub fn recycle(&mut self, data: ClientData) {
        self.recycle_buffer(data.buffer);
    }

    /// Slots not in use.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// Set once the kernel has refused to work for this ring for good.
    pub fn dead(&self) -> Option<Errno> {
        self.ring.dead()
    }

    fn slot(&mut self, index: u32) -> Option<&mut Slot> {
        self.slots.get_mut(index as usize)
    }

    fn recycle_buffer(&mut self, buffer: u16) {
        self.ring.recycle(buffer);
        if let Some(index) = self.starved.pop() {
            self.arm(index);
        }
    }

    /// Arms the receive of a connection that still wants one.
    fn arm(&mut self, index: u32) {
        let Some(slot) = self.slot(index) else { return };
        if slot.stage == Stage::Open && !slot.paused && !slot.receiving {
            slot.receiving = true;
            self.ring.receive_stream(index, UserData::Stream { index });
        }
    }

    fn take(&mut self, event: Event) -> Option<ClientEvent> {
        match event.data {
            // One or the other: a link that fails silences those after it.
            UserData::Open { index } | UserData::Connect { index } => {
                self.take_connect(index, event.result)
            }
            UserData::Stream { index } => self.take_stream(index, event),
            UserData::Hang { index } => {
                self.slot(index)?.stage = Stage::Closing { closed: true };
                self.settle(index)
            }
            UserData::Send { token } => {
                let result = match event.result {
                    result if result == -libc::EAGAIN => Ok(0),
                    result => usize::try_from(result).map_err(|_| result.saturating_neg()),
                };
                Some(ClientEvent::Sent { sock: ClientSock(token), result })
            }
            _ => None,
        }
    }

    fn take_connect(&mut self, index: u32, result: i32) -> Option<ClientEvent> {
        let sock = ClientSock(index);
        let slot = self.slot(index)?;
        if slot.stage != Stage::Opening {
            return None;
        }
        if result >= 0 {
            slot.stage = Stage::Open;
            self.arm(index);
            return Some(ClientEvent::Opened { sock });
        }
        slot.stage = Stage::Free;
        // Whatever is in the slot goes before the next socket comes: both run in this order.
        self.ring.close(index, UserData::Ignored);
        self.free.push(index);
        Some(ClientEvent::OpenFailed { sock, errno: result.saturating_neg() })
    }

    fn take_stream(&mut self, index: u32, event: Event) -> Option<ClientEvent> {
        let sock = ClientSock(index);
        let slot = self.slot(index)?;
        slot.receiving = event.more;
        let open = slot.stage == Stage::Open;
        let len = u32::try_from(event.result).unwrap_or(0);
        if let (Some(buffer), true, true) = (event.buffer, open, len > 0) {
            if !event.more {
                self.arm(index);
            }
            return Some(ClientEvent::Received { sock, data: ClientData { buffer, len } });
        }
        if let Some(buffer) = event.buffer {
            self.recycle_buffer(buffer);
        }
        if !open {
            return self.settle(index);
        }
        if event.result == -libc::ENOBUFS {
            if self.ring.buffers_free() > 0 {
                self.arm(index);
            } else {
                self.starved.push(index);
            }
            return None;
        }
        if event.result == -libc::ECANCELED {
            // Paused; resumed meanwhile, it is armed again.
            self.arm(index);
            return None;
        }
        (!event.more)
            .then_some(ClientEvent::Ended { sock, errno: event.result.min(0).saturating_neg() })
    }

    /// Frees the slot of a connection when both its close and its receive have ended.
    fn settle(&mut self, index: u32) -> Option<ClientEvent> {
        let slot = self.slot(index)?;
        if slot.stage != (Stage::Closing { closed: true }) || slot.receiving {
            return None;
        }
        slot.stage = Stage::Free;
        self.free.push(index);
        Some(ClientEvent::Closed { sock: ClientSock(index) })
    }
}
