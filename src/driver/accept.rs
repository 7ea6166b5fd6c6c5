//! Which one-shot accepts are in flight, and when the next may be.
//!
//! Multishot accept brings no peer address, so single accepts are kept in flight, never more than
//! there is room for: the kernel closes a client it has no descriptor for.

use std::os::fd::RawFd;

/// After a failure accepts pause so long, doubling up to the maximum. Without a pause a full
/// descriptor table fails millions of times a second.
const BACK_OFF_MS: u64 = 50;
const BACK_OFF_MAX_MS: u64 = 1_000;

#[derive(Debug)]
pub(super) struct Accepts {
    listeners: Vec<RawFd>,
    /// Listener of each slot in flight.
    slots: Vec<Option<u8>>,
    in_flight: usize,
    room: usize,
    next_listener: usize,
    pause_until_ms: Option<u64>,
    pause_ms: u64,
    stopped: bool,
}

impl Accepts {
    pub(super) fn new(listeners: Vec<RawFd>, slots: u16) -> Self {
        Self {
            listeners,
            slots: vec![None; usize::from(slots.max(1))],
            in_flight: 0,
            room: 0,
            next_listener: 0,
            pause_until_ms: None,
            pause_ms: BACK_OFF_MS,
            stopped: false,
        }
    }

    pub(super) fn set_room(&mut self, room: usize) {
        self.room = room;
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// When a pause ends that nothing else would end.
    pub(super) fn due_at_ms(&self) -> Option<u64> {
        self.pause_until_ms
    }

    /// The next accept to put in flight: listener and slot.
    pub(super) fn arm(&mut self, free: usize, now_ms: u64) -> Option<(RawFd, u16)> {
        if self.pause_until_ms.is_some_and(|until_ms| now_ms < until_ms) {
            return None;
        }
        self.pause_until_ms = None;
        // Every listener needs its share of the slots: one accept waits on one listener only.
        let bound = self.room.min(free).min(self.slots.len());
        if self.stopped || self.in_flight >= bound || self.listeners.is_empty() {
            return None;
        }
        let slot = self.slots.iter().position(Option::is_none)?;
        let listener = self.next_listener % self.listeners.len();
        self.next_listener = listener + 1;
        self.slots[slot] = u8::try_from(listener).ok();
        self.in_flight += 1;
        Some((self.listeners[listener], u16::try_from(slot).ok()?))
    }

    /// An accept came back. Says on which listener it waited, and lets that one wait again next.
    pub(super) fn completed(&mut self, slot: u16) -> u8 {
        let listener = self.slots.get_mut(usize::from(slot)).and_then(Option::take);
        if let Some(listener) = listener {
            self.in_flight -= 1;
            self.next_listener = usize::from(listener);
        }
        listener.unwrap_or(0)
    }

    /// A client was taken: the next failure pauses briefly again.
    pub(super) fn succeeded(&mut self) {
        self.pause_ms = BACK_OFF_MS;
    }

    /// Accepting failed: pause.
    pub(super) fn back_off(&mut self, now_ms: u64) {
        if self.pause_until_ms.is_none_or(|until_ms| until_ms <= now_ms) {
            self.pause_until_ms = Some(now_ms + self.pause_ms);
            self.pause_ms = (self.pause_ms * 2).min(BACK_OFF_MAX_MS);
        }
    }

    /// Ends accepting: the slots whose accepts have to be cancelled.
    pub(super) fn stop(&mut self) -> Vec<u16> {
        self.stopped = true;
        let flying = self.slots.iter().zip(0..).filter(|(slot, _)| slot.is_some());
        flying.map(|(_, at)| at).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_in_flight_than_room() {
        let mut accepts = Accepts::new(vec![10, 11], 4);
        assert_eq!(accepts.arm(9, 0), None);
        accepts.set_room(3);
        let armed: Vec<_> = std::iter::from_fn(|| accepts.arm(9, 0)).collect();
        assert_eq!(armed, [(10, 0), (11, 1), (10, 2)]);
        assert_eq!(accepts.completed(1), 1);
        assert_eq!(accepts.arm(2, 0), None);
        assert_eq!(accepts.arm(3, 0), Some((11, 1)));
    }

    #[test]
    fn a_failure_pauses_and_a_repeated_one_pauses_longer() {
        let mut accepts = Accepts::new(vec![10], 4);
        accepts.set_room(4);
        assert!(accepts.arm(4, 1_000).is_some());
        accepts.back_off(1_000);
        assert_eq!(accepts.arm(4, 1_049), None);
        assert!(accepts.arm(4, 1_050).is_some());
        accepts.back_off(1_050);
        assert_eq!(accepts.arm(4, 1_149), None);
        assert!(accepts.arm(4, 1_150).is_some());
    }
}
