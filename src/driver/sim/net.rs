//! The client's end of the simulated network.

use std::net::{Ipv4Addr, SocketAddr};

use super::kernel::{Happening, Kernel};
use super::ledger::Ledger;
use super::link::{Link, LinkId};
use super::script::Script;

/// What a client may do, and the books it writes into.
#[derive(Debug)]
pub(crate) struct Net<'a> {
    pub(crate) kernel: &'a mut Kernel,
    pub(crate) ledger: &'a mut Ledger,
    /// Who acts.
    pub(crate) client: usize,
    pub(crate) script: &'a Script,
    /// Faults are over.
    pub(crate) quiet: bool,
    /// The node is drained: nobody comes again.
    pub(crate) leaving: bool,
}

impl Net<'_> {
    pub(crate) fn now_us(&self) -> u64 {
        self.kernel.now_us
    }

    /// Something the client did, for the trace.
    pub(crate) fn note(&mut self, what: &'static str, seq: u64, channel: usize) {
        let numbers = [self.client as u64, seq, channel as u64];
        self.kernel.trace.note(self.kernel.now_us, what, numbers);
    }

    /// Connects to any worker's listener.
    pub(crate) fn connect(&mut self) -> LinkId {
        let link = self.kernel.links.len();
        let worker = self.kernel.rng.usize(0..self.kernel.sides.len());
        let (low, high) = self.kernel.faults.room_bytes;
        let room = self.kernel.rng.usize(low..=high);
        let [.., a, b] = self.client.to_be_bytes();
        let port = u16::try_from(1_024 + link % 60_000).unwrap_or(u16::MAX);
        let peer = SocketAddr::from((Ipv4Addr::new(10, 0, a, b), port));
        self.kernel.links.push(Link::new(self.client, worker, peer, room));
        self.kernel.note("client connects", link, self.client, worker);
        let delay_us = self.kernel.delay_us();
        self.kernel.after(delay_us, Happening::Syn(link));
        self.kernel.links[link].arrives_us = self.kernel.now_us + delay_us;
        link
    }

    /// Something of the client's gets under way; it arrives after everything sent before.
    fn dispatch(&mut self, link: LinkId, what: Happening, wait_us: u64) {
        let delay_us = self.kernel.delay_us() + wait_us;
        let state = &mut self.kernel.links[link];
        let arrives_us = (self.kernel.now_us + delay_us).max(state.arrives_us + 1);
        state.arrives_us = arrives_us;
        let delay_us = arrives_us - self.kernel.now_us;
        self.kernel.after(delay_us, what);
    }

    /// Sends all bytes, in a few pieces if the faults say so.
    pub(crate) fn write(&mut self, link: LinkId, bytes: &[u8]) {
        let drips = self.kernel.chance(self.kernel.faults.drip);
        let mut rest = bytes;
        while !rest.is_empty() {
            let most = rest.len();
            let len = if drips { self.kernel.rng.usize(1..=most) } else { most };
            let (piece, left) = rest.split_at(len);
            let slow_us_max = self.kernel.faults.slow_us_max;
            let wait_us = if drips { self.kernel.rng.u64(0..=slow_us_max) } else { 0 };
            self.dispatch(link, Happening::Input(link, piece.to_vec()), wait_us);
            rest = left;
        }
    }

    /// shutdown(SHUT_WR): sends no more, reads on.
    pub(crate) fn half_close(&mut self, link: LinkId) {
        self.kernel.note("client shuts its half", link, self.client, 0);
        self.dispatch(link, Happening::Fin(link), 0);
    }

    /// close(2): a FIN, or a reset where input was left unread.
    pub(crate) fn close(&mut self, link: LinkId) {
        let state = &mut self.kernel.links[link];
        if !std::mem::take(&mut state.client_open) {
            return;
        }
        let unread = !state.output.is_empty();
        self.kernel.note("client closes", link, self.client, usize::from(unread));
        let what = if unread { Happening::Reset(link) } else { Happening::Fin(link) };
        self.dispatch(link, what, 0);
    }

    /// close(2) with SO_LINGER 0: a reset.
    pub(crate) fn reset(&mut self, link: LinkId) {
        let state = &mut self.kernel.links[link];
        if std::mem::take(&mut state.client_open) {
            self.kernel.note("client resets", link, self.client, 0);
            self.dispatch(link, Happening::Reset(link), 0);
        }
    }

    /// Stops reading, or goes on.
    pub(crate) fn set_reading(&mut self, link: LinkId, reading: bool) {
        self.kernel.note("client reads on", link, self.client, usize::from(reading));
        self.kernel.links[link].reading = reading;
        self.kernel.let_read(link);
    }

    /// Wakes this client after `delay_us` with `token`.
    pub(crate) fn wake_after(&mut self, delay_us: u64, token: u64) {
        let client = self.client;
        self.kernel.after(delay_us, Happening::Timer { client, token });
    }

    /// A fault of the client's own, as often as `probability` says; never when faults are over.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        !self.quiet && self.kernel.chance(probability)
    }
}
