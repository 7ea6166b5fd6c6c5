//! One TCP connection with both its ends.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::super::contract::ConnId;

/// A link's place in the kernel's list; never used again.
pub(crate) type LinkId = usize;

/// What a worker can have armed on a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Receive,
    Hangup,
    Writable,
}

impl Op {
    pub(crate) const ALL: [Self; 3] = [Self::Receive, Self::Hangup, Self::Writable];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Hangup => "hang-up watch",
            Self::Writable => "writable watch",
        }
    }
}

/// How far an operation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Stage {
    #[default]
    Idle,
    Armed,
    /// Its condition holds; it completes in a moment.
    Firing,
    /// Its completion waits for the worker.
    Posted,
}

/// The server's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerEnd {
    /// On its way to the listener, or in its backlog.
    Waiting,
    /// Accepted, with this descriptor.
    Open(u32),
    /// Close was asked for; the descriptor is not free yet.
    Closing(u32),
    Closed,
}

/// How the server's bytes end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// After the last byte.
    Fin,
    /// At once; what is still under way is lost.
    Reset,
}

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) client: usize,
    pub(crate) worker: usize,
    pub(crate) peer: SocketAddr,
    pub(crate) server: ServerEnd,
    /// The id the worker uses for it.
    pub(crate) id: Option<ConnId>,
    stages: [Stage; 3],
    pub(crate) hangup_used: bool,
    /// Number of the last send batch it was in.
    pub(crate) batch: u64,
    /// Bytes the server has not received.
    pub(crate) input: VecDeque<u8>,
    /// The client will send no more.
    pub(crate) fin: bool,
    /// The link is broken.
    pub(crate) reset: bool,
    /// The error the server's next call gets (SO_ERROR).
    pub(crate) error: Option<i32>,
    pub(crate) shut_read: bool,
    pub(crate) shut_write: bool,
    /// Nothing the client sends arrives before this.
    pub(crate) arrives_us: u64,
    /// Bytes in the server's send buffer which the client has not read.
    pub(crate) output: VecDeque<u8>,
    /// Bytes the send buffer holds.
    pub(crate) room: usize,
    /// The same while memory is short.
    pub(crate) room_now: usize,
    pub(crate) end: Option<End>,
    /// The client still holds its end.
    pub(crate) client_open: bool,
    /// The client reads (it does not stall).
    pub(crate) reading: bool,
    /// A read of the client is under way.
    pub(crate) read_due: bool,
}

impl Link {
    pub(crate) fn new(client: usize, worker: usize, peer: SocketAddr, room: usize) -> Self {
        Self {
            client,
            worker,
            peer,
            server: ServerEnd::Waiting,
            id: None,
            stages: [Stage::Idle; 3],
            hangup_used: false,
            batch: 0,
            input: VecDeque::new(),
            fin: false,
            reset: false,
            error: None,
            shut_read: false,
            shut_write: false,
            arrives_us: 0,
            output: VecDeque::new(),
            room,
            room_now: room,
            end: None,
            client_open: true,
            reading: true,
            read_due: false,
        }
    }

    pub(crate) fn stage(&self, op: Op) -> Stage {
        self.stages[op as usize]
    }

    pub(crate) fn set_stage(&mut self, op: Op, stage: Stage) {
        self.stages[op as usize] = stage;
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.server, ServerEnd::Open(_))
    }

    /// Bytes the send buffer takes now.
    pub(crate) fn free(&self) -> usize {
        self.room_now.saturating_sub(self.output.len())
    }

    /// The condition of an armed operation holds (tcp_poll).
    pub(crate) fn is_due(&self, op: Op) -> bool {
        let ended = self.fin || self.reset || self.shut_read;
        match op {
            Op::Receive => ended || !self.input.is_empty(),
            Op::Hangup => ended,
            // sk_stream_is_writeable: a third of the buffer is free.
            Op::Writable => {
                let free = self.free();
                self.reset || self.shut_write || (free > 0 && free * 3 >= self.room_now)
            }
        }
    }

    /// Breaks the link as seen by the server (tcp_reset).
    pub(crate) fn break_off(&mut self) {
        if !self.reset {
            // In CLOSE_WAIT a reset is EPIPE, else ECONNRESET.
            self.error = Some(if self.fin { libc::EPIPE } else { libc::ECONNRESET });
            self.reset = true;
            self.output.clear();
        }
    }
}
