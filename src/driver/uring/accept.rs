//! Accepts in flight: as many as there is room for, none while the kernel is short of something.
//!
//! One-shot accepts, because only they tell the peer's address. One in flight may take a slot of
//! its ring's table and one of the worker, so there are never more than free slots of either: the
//! kernel accepts first and closes the client if the table turns out to be full. Clients beyond
//! that wait in the backlog.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, IntoRawFd};

use super::{UringDriver, UringSettings, name};
use crate::driver::contract::Completion;
use crate::driver::error::{Errno, StartError};
use crate::driver::sys;
use crate::driver::sys::ring::{Descriptors, Event};
use crate::driver::user_data::UserData;

/// A pause that doubles with each failure in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pause {
    first_ms: u64,
    longest_ms: u64,
    next_ms: u64,
    until_mono_ms: Option<u64>,
}

impl Pause {
    fn new(first_ms: u64, longest_ms: u64) -> Self {
        Self { first_ms, longest_ms, next_ms: first_ms, until_mono_ms: None }
    }

    /// A failure; false if the pause already lasts (one batch of failures counts once).
    fn begin(&mut self, now_mono_ms: u64) -> bool {
        if self.until_mono_ms.is_some() {
            return false;
        }
        self.until_mono_ms = Some(now_mono_ms.saturating_add(self.next_ms));
        self.next_ms = self.next_ms.saturating_mul(2).min(self.longest_ms);
        true
    }

    /// A success: the next pause is a short one again. One that lasts is kept.
    fn forgive(&mut self) {
        if self.until_mono_ms.is_none() {
            self.next_ms = self.first_ms;
        }
    }

    fn over(&mut self, now_mono_ms: u64) -> bool {
        match self.until_mono_ms {
            Some(until) if now_mono_ms < until => false,
            _ => {
                self.until_mono_ms = None;
                true
            }
        }
    }
}

/// How far a listener is on its way to being closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// No longer waiting for clients, only taking those that wait already.
    Draining,
    /// The backlog was found empty; accepts may still be in flight.
    Drained,
}

struct Listening {
    /// `None` once closed.
    socket: Option<TcpListener>,
    stage: Stage,
    in_flight: u32,
    pause: Pause,
}

/// An accept in flight, by the place of its address.
#[derive(Debug, Clone, Copy)]
struct Flight {
    ring: u8,
    listener: u8,
    cancelled: bool,
}

/// All about accepting.
pub(super) struct Accepting {
    listeners: Vec<Listening>,
    flights: Vec<Option<Flight>>,
    in_flight: u32,
    in_flight_max: u32,
    /// Connections the worker can still take, not counting accepts in flight.
    room: usize,
    /// Accepted, but not yet handed to the worker.
    undelivered: usize,
    /// The ring filled at present.
    pub(super) filling: usize,
    /// Which listener is served first; moves on so that scarce room is shared.
    first: usize,
    /// Clients wait in the backlog.
    pub(super) paused: bool,
}

impl Accepting {
    pub(super) fn new(
        sockets: Vec<TcpListener>,
        settings: &UringSettings,
    ) -> Result<Self, StartError> {
        if sockets.len() > usize::from(u8::MAX) {
            return Err(StartError::Settings);
        }
        for (listener, socket) in sockets.iter().enumerate() {
            // A non-blocking listener answers EAGAIN at once instead of waiting.
            socket
                .set_nonblocking(false)
                .map_err(|error| StartError::Listener { listener, errno: Errno::of(&error) })?;
        }
        let in_flight_max = u32::from(settings.accepts_in_flight.max(1));
        let pause = Pause::new(settings.accept_pause_ms, settings.accept_pause_max_ms);
        let listeners: Vec<_> = sockets
            .into_iter()
            .map(|socket| Listening {
                socket: Some(socket),
                stage: Stage::Open,
                in_flight: 0,
                pause,
            })
            .collect();
        Ok(Self {
            flights: vec![None; listeners.len() * in_flight_max as usize],
            listeners,
            in_flight: 0,
            in_flight_max,
            room: 0,
            undelivered: 0,
            filling: 0,
            first: 0,
            paused: false,
        })
    }

    /// The worker has taken all completions.
    pub(super) fn delivered(&mut self) {
        self.undelivered = 0;
    }

    /// Nothing is in flight.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.undelivered == 0
    }

    /// When a pause ends, if there is one.
    pub(super) fn wake_mono_ms(&self) -> Option<u64> {
        self.listeners
            .iter()
            .filter(|listener| listener.socket.is_some() && listener.stage != Stage::Drained)
            .filter_map(|listener| listener.pause.until_mono_ms)
            .min()
    }

    /// Accepts to keep in flight on each listener, when the room is shared evenly.
    fn share(&self) -> u32 {
        let open = self.listeners.iter().filter(|listener| listener.socket.is_some()).count();
        let share = self.room.checked_div(open).unwrap_or(0).max(1);
        u32::try_from(share).unwrap_or(u32::MAX).min(self.in_flight_max)
    }
}

impl UringDriver {
    pub(super) fn set_room(&mut self, room: usize) {
        let accepting = &mut self.accepting;
        // The worker does not know yet of those.
        accepting.room = room.saturating_sub(accepting.undelivered);
        let excess = (accepting.in_flight as usize).saturating_sub(accepting.room);
        if excess > 0 {
            self.cancel_accepts(excess);
        }
    }

    /// Puts no further accept in flight, and takes back those that are.
    pub(super) fn pause(&mut self) {
        self.accepting.paused = true;
        self.cancel_accepts(usize::MAX);
    }

    /// Cancels accepts until no more than all but `excess` are in flight; those on their way out
    /// count as gone.
    fn cancel_accepts(&mut self, excess: usize) {
        let leaving = self.accepting.flights.iter().flatten().filter(|f| f.cancelled).count();
        let mut excess = excess.saturating_sub(leaving);
        for (address, flight) in self.accepting.flights.iter_mut().enumerate() {
            let (Some(flight), Ok(address)) = (flight.as_mut(), u16::try_from(address)) else {
                continue;
            };
            if excess == 0 {
                return;
            }
            if !flight.cancelled
                && let Some(bank) = self.banks.get_mut(usize::from(flight.ring))
            {
                flight.cancelled = true;
                excess -= 1;
                bank.ring.cancel(UserData::Accept { listener: flight.listener, address });
            }
        }
    }

    /// Takes what waits in the backlogs, as far as there is room, then closes the listeners.
    pub(super) fn stop(&mut self) {
        self.cancel_accepts(usize::MAX);
        for number in 0..self.accepting.listeners.len() {
            if let Some(listener) = self.accepting.listeners.get_mut(number)
                && listener.stage == Stage::Open
            {
                listener.stage = Stage::Draining;
                if self.settings.descriptors == Descriptors::Plain {
                    self.drain_plainly(number);
                }
            }
        }
    }

    /// Empties a backlog by accept4(2): a kernel that needs plain descriptors may not know
    /// IORING_ACCEPT_DONTWAIT.
    fn drain_plainly(&mut self, number: usize) {
        let (Ok(listener_number), Some(bank)) = (u8::try_from(number), self.banks.first_mut())
        else {
            return;
        };
        let accepting = &mut self.accepting;
        let Some(listener) = accepting.listeners.get_mut(number) else { return };
        listener.stage = Stage::Drained;
        let Some(socket) = &listener.socket else { return };
        if socket.set_nonblocking(true).is_err() {
            return;
        }
        while accepting.room > 0 && bank.free() > 0 {
            let Ok((stream, peer)) = socket.accept() else { return };
            bank.live += 1;
            accepting.room -= 1;
            accepting.undelivered += 1;
            let sock = name(0, stream.into_raw_fd().cast_unsigned());
            let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
            self.ready.push(Completion::Accepted { sock, peer, listener: listener_number });
        }
    }

    /// Puts accepts in flight where there is room, and closes listeners that are done.
    pub(super) fn arm_accepts(&mut self) {
        if self.accepting.paused {
            return;
        }
        let (share, count) = (self.accepting.share(), self.accepting.listeners.len());
        for turn in 0..count {
            self.arm_listener((self.accepting.first + turn) % count, share);
        }
        self.accepting.first = (self.accepting.first + 1).checked_rem(count).unwrap_or(0);
    }

    fn arm_listener(&mut self, number: usize, share: u32) {
        loop {
            let accepting = &mut self.accepting;
            let room = accepting.room.saturating_sub(accepting.in_flight as usize);
            let Some(listener) = accepting.listeners.get_mut(number) else { return };
            if listener.socket.is_none() {
                return;
            }
            if listener.stage == Stage::Draining && accepting.room == 0 {
                // Nowhere to put those who wait.
                listener.stage = Stage::Drained;
            }
            if listener.stage == Stage::Drained {
                if listener.in_flight == 0 {
                    listener.socket = None;
                }
                return;
            }
            if listener.pause.until_mono_ms.is_some() && !listener.pause.over(sys::mono_ms()) {
                return;
            }
            if listener.in_flight >= share || room == 0 {
                return;
            }
            if !self.arm_one(number) {
                return;
            }
        }
    }

    /// One more accept in flight on a listener; false if that is not possible now.
    fn arm_one(&mut self, number: usize) -> bool {
        let Ok(listener_number) = u8::try_from(number) else { return false };
        let ring = match self.filling() {
            Ok(Some(ring)) => ring,
            Ok(None) => return false,
            Err(error) => {
                self.pause_listener(listener_number, errno_of(error));
                return false;
            }
        };
        let accepting = &mut self.accepting;
        let (Some(listener), Some(bank), Ok(ring_number)) =
            (accepting.listeners.get_mut(number), self.banks.get_mut(ring), u8::try_from(ring))
        else {
            return false;
        };
        let Some(socket) = &listener.socket else { return false };
        // While draining, an accept that finds nobody must not wait for a newcomer.
        let wait = listener.stage == Stage::Open;
        let Some(address) = bank.ring.accept(socket.as_fd(), listener_number, wait) else {
            return false;
        };
        let flight = Flight { ring: ring_number, listener: listener_number, cancelled: false };
        if let Some(place) = accepting.flights.get_mut(usize::from(address)) {
            *place = Some(flight);
        }
        listener.in_flight += 1;
        bank.accepts += 1;
        accepting.in_flight += 1;
        true
    }

    pub(super) fn take_accept(&mut self, ring: usize, number: u8, event: Event) {
        let UserData::Accept { address, .. } = event.data else { return };
        let accepting = &mut self.accepting;
        if let Some(place) = accepting.flights.get_mut(usize::from(address)) {
            *place = None;
        }
        accepting.in_flight = accepting.in_flight.saturating_sub(1);
        let Some(bank) = self.banks.get_mut(ring) else { return };
        bank.accepts = bank.accepts.saturating_sub(1);
        let Some(listener) = accepting.listeners.get_mut(usize::from(number)) else { return };
        listener.in_flight = listener.in_flight.saturating_sub(1);
        match u32::try_from(event.result) {
            Ok(index) => {
                bank.live += 1;
                listener.pause.forgive();
                accepting.room = accepting.room.saturating_sub(1);
                accepting.undelivered += 1;
                let unknown = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
                let peer = event.peer.unwrap_or(unknown);
                let sock = name(ring, index);
                self.ready.push(Completion::Accepted { sock, peer, listener: number });
            }
            Err(_) => self.accept_failed(number, event.result.saturating_neg()),
        }
    }

    fn accept_failed(&mut self, number: u8, errno: i32) {
        let Some(listener) = self.accepting.listeners.get_mut(usize::from(number)) else { return };
        match errno {
            // Ours.
            libc::ECANCELED => {}
            libc::EAGAIN if listener.stage != Stage::Open => listener.stage = Stage::Drained,
            // One client's trouble, not the listener's: accept(2), "Error handling". (EPERM and
            // EOPNOTSUPP, also named there, can last, hence they pause.)
            libc::ECONNABORTED
            | libc::EINTR
            | libc::EPROTO
            | libc::ENOPROTOOPT
            | libc::ENETDOWN
            | libc::EHOSTDOWN
            | libc::ENONET
            | libc::EHOSTUNREACH
            | libc::ENETUNREACH => {}
            errno => self.pause_listener(number, errno),
        }
    }

    /// Armed again at once, a failing accept would spin millions of times a second.
    fn pause_listener(&mut self, number: u8, errno: i32) {
        let Some(listener) = self.accepting.listeners.get_mut(usize::from(number)) else { return };
        if listener.stage == Stage::Draining {
            listener.stage = Stage::Drained;
        }
        if listener.pause.begin(sys::mono_ms()) {
            self.counts.accept_pauses += 1;
            self.ready.push(Completion::AcceptFailed { listener: number, errno });
        }
    }
}

fn errno_of(error: StartError) -> i32 {
    match error {
        StartError::Setup(errno)
        | StartError::Table { errno, .. }
        | StartError::Buffers { errno, .. }
        | StartError::EventFd(errno)
        | StartError::Listener { errno, .. } => errno.0,
        StartError::Settings => libc::EINVAL,
    }
}

#[cfg(test)]
mod tests {
    use super::Pause;

    #[test]
    fn pauses_double_up_to_the_longest_and_start_over_after_a_success() {
        let mut pause = Pause::new(50, 300);
        let mut now = 1_000;
        let mut lengths = Vec::new();
        for _ in 0..5 {
            assert!(pause.begin(now));
            assert!(!pause.begin(now + 1), "failures within one pause count once");
            let start = now;
            while !pause.over(now) {
                now += 1;
            }
            lengths.push(now - start);
        }
        assert_eq!(lengths, [50, 100, 200, 300, 300]);
        pause.forgive();
        assert!(pause.begin(now));
        assert_eq!(pause.until_mono_ms, Some(now + 50));
    }

    #[test]
    fn a_late_success_does_not_end_a_pause() {
        let mut pause = Pause::new(50, 300);
        pause.begin(0);
        pause.forgive();
        assert!(!pause.over(49));
        assert!(pause.over(50));
    }
}
