//! What streams do on orders: stop reading and go on, break off and come again.

use std::sync::atomic::Ordering::AcqRel;

use super::{Load, Stage};
use crate::bench::answer::Decoder;
use crate::bench::shared::Order;
use crate::bench::unzip::Unzip;
use crate::driver::client::ClientSock;

/// Streams broken off between two looks at what has come of them.
const LEAVES_AT_ONCE: usize = 256;

impl Load {
    /// Follows a new order.
    pub(super) fn obey(&mut self) {
        match self.shared.order(&mut self.order_seen) {
            Some(Order::Stall) => self.stall(),
            Some(Order::Resume) => self.resume(),
            Some(Order::Leave) => self.leave(),
            Some(Order::Return) => {
                let away = self.streams.iter().zip(0_u32..);
                let away = away.filter(|(stream, _)| stream.stage == Stage::Away);
                self.returning.extend(away.map(|(_, place)| place));
                self.shared.obeyed.fetch_add(1, AcqRel);
            }
            None => {}
        }
    }

    fn stall(&mut self) {
        for stream in &mut self.streams {
            if stream.stage == Stage::Open && self.plan.stalls(stream.number) {
                stream.stalled = true;
                self.ring.pause(stream.sock);
                let channel = self.plan.channel_of_stream(stream.number);
                self.shared.listeners[channel].fetch_sub(1, AcqRel);
            }
        }
        self.ring.drain();
        self.shared.obeyed.fetch_add(1, AcqRel);
    }

    fn resume(&mut self) {
        for stream in &self.streams {
            if stream.stage == Stage::Open && stream.stalled {
                self.ring.resume(stream.sock);
                let channel = self.plan.channel_of_stream(stream.number);
                self.shared.listeners[channel].fetch_add(1, AcqRel);
            }
        }
        self.shared.obeyed.fetch_add(1, AcqRel);
    }

    /// Breaks off as a network does: by a reset.
    fn leave(&mut self) {
        let mut closed = 0;
        for stream in &mut self.streams {
            if stream.stage != Stage::Open || !self.plan.reconnects(stream.number) {
                continue;
            }
            stream.stage = Stage::Away;
            self.ring.close(stream.sock, true);
            let channel = self.plan.channel_of_stream(stream.number);
            self.shared.listeners[channel].fetch_sub(1, AcqRel);
            closed += 1;
            if closed % LEAVES_AT_ONCE == 0 {
                self.ring.enter(None);
            }
        }
        self.leaving = closed;
        if closed == 0 {
            self.shared.obeyed.fetch_add(1, AcqRel);
        }
    }

    /// The slot of a stream is free again.
    pub(super) fn closed(&mut self, sock: ClientSock) {
        let at = self.by_slot[sock.0 as usize] as usize;
        if self.leaving > 0 && self.streams.get(at).is_some_and(|s| s.stage == Stage::Away) {
            self.leaving -= 1;
            if self.leaving == 0 {
                self.shared.obeyed.fetch_add(1, AcqRel);
            }
        }
    }

    /// Begins to connect those that come again.
    pub(super) fn reopen(&mut self) {
        while self.opening < super::OPENING_MAX
            && let Some(place) = self.returning.pop_front()
        {
            let place = place as usize;
            let Some(number) = self.streams.get(place).map(|stream| stream.number) else {
                continue;
            };
            let Some(sock) = self.connect(number, place) else {
                return self.returning.push_front(u32::try_from(place).unwrap_or(u32::MAX));
            };
            let begun_ns = self.shared.now_ns();
            if let Some(stream) = self.streams.get_mut(place) {
                (stream.sock, stream.stage, stream.begun_ns) = (sock, Stage::Opening, begun_ns);
                stream.decoder = Decoder::default();
                stream.unzip = self.plan.options.gzip.then(|| Unzip::new(number));
                stream.checker.reconnect();
            }
        }
    }
}
