//! Entering the kernel, and what each completion means.

use std::time::Duration;

use super::{Shutting, UringDriver, name};
use crate::driver::contract::{Completion, ConnId, Received, Sock};
use crate::driver::sys;
use crate::driver::sys::enter::Wait;
use crate::driver::sys::ring::Event;
use crate::driver::user_data::UserData;

/// An enter that does not ask for more runs at most 20 deferred completions; after this many the
/// rest is fetched with one that does.
const EVENTS_PER_ENTER: usize = 16;
/// Alarms armed at once: one, and others where a sleep asked for an earlier one.
const ALARMS_MAX: usize = 8;
/// Rounds of fetching in one turn, so that a flood of input cannot hold up the worker.
const ROUNDS_MAX: usize = 8;

impl UringDriver {
    /// Submits everything; sleeps, if told so and nothing is ready, until one completion for the
    /// worker is there or the time has come; fetches all that is ready.
    ///
    /// Sends since the last turn have fetched already: without a sleep and anything to submit, no
    /// further enter is made.
    ///
    /// The sleep is for *one* completion: sleeping for many with a timeout would hold up a lone
    /// event until the timeout.
    pub(super) fn turn(&mut self, wait_until_mono_ms: Option<u64>) {
        loop {
            let now = wait_until_mono_ms.map(|_| sys::mono_ms());
            self.arm_accepts();
            self.enter_siblings();
            let wait = match (wait_until_mono_ms, now) {
                (Some(until), Some(now)) if self.ready.is_empty() && until > now => {
                    let until = self.accepting.wake_mono_ms().map_or(until, |at| at.min(until));
                    self.sleep_until(until, now)
                }
                _ => Wait::No,
            };
            let entered = std::mem::take(&mut self.entered);
            if let Some(main) = self.banks.first_mut()
                && !(entered && wait == Wait::No && main.ring.queued() == 0)
            {
                main.ring.enter(wait);
            }
            self.collect(0);
            self.enter_siblings();
            let slept = matches!(wait, Wait::One | Wait::For(_));
            let woken_for_nothing = self.ready.is_empty() && slept;
            let late = wait_until_mono_ms.is_none_or(|until| sys::mono_ms() >= until);
            if !woken_for_nothing || late || self.dead().is_some() {
                return;
            }
        }
    }

    /// How to sleep until a moment: as a rule by an alarm that stays armed over many sleeps, and
    /// may wake for nothing when a later sleep asks for less.
    fn sleep_until(&mut self, until_ms: u64, now_ms: u64) -> Wait {
        self.alarms.retain(|at_ms| *at_ms > now_ms);
        if self.alarms.iter().any(|at_ms| *at_ms <= until_ms) {
            return Wait::One;
        }
        let Some(main) = self.banks.first_mut().filter(|_| self.alarms.len() < ALARMS_MAX) else {
            return Wait::For(Duration::from_millis(until_ms.saturating_sub(now_ms)));
        };
        main.ring.alarm(until_ms);
        self.alarms.push(until_ms);
        Wait::One
    }

    /// Takes what has been posted on one ring, by no system call unless its queue has overflown.
    pub(super) fn collect_posted(&mut self, ring: usize) {
        loop {
            while let Some(event) = self.banks.get_mut(ring).and_then(|bank| bank.ring.next()) {
                self.take(ring, event);
            }
            let Some(bank) = self.banks.get_mut(ring) else { return };
            if !bank.ring.overflown() || bank.ring.dead().is_some() {
                return;
            }
            bank.ring.enter(Wait::Drain);
        }
    }

    /// Takes what has completed on one ring, fetching the rest if there may be more.
    pub(super) fn collect(&mut self, ring: usize) {
        for _ in 0..ROUNDS_MAX {
            let mut events = 0;
            while let Some(event) = self.banks.get_mut(ring).and_then(|bank| bank.ring.next()) {
                self.take(ring, event);
                events += 1;
            }
            let Some(bank) = self.banks.get_mut(ring) else { return };
            if !bank.ring.overflown() && events < EVENTS_PER_ENTER {
                return;
            }
            bank.ring.enter(Wait::Drain);
        }
        // What is left makes the next enter return at once (a sibling has signalled it).
        while let Some(event) = self.banks.get_mut(ring).and_then(|bank| bank.ring.next()) {
            self.take(ring, event);
        }
    }

    fn take(&mut self, ring: usize, event: Event) {
        match event.data {
            UserData::Receive(id) => self.take_receive(ring, id, event),
            UserData::HangUp(id) => self.ready.push(Completion::HungUp { id }),
            UserData::Writable(id) => self.ready.push(Completion::Writable { id }),
            UserData::Close(id) => self.take_close(ring, id, event.result),
            UserData::Send { token } => self.take_send(token, event.result),
            UserData::Accept { listener, .. } => self.take_accept(ring, listener, event),
            UserData::Shutdown { index } => self.take_shutdown(ring, name(ring, index)),
            UserData::Doorbell => self.hear_doorbell(),
            UserData::Sibling { ring } => self.take_signal(usize::from(ring)),
            UserData::Ignored
            | UserData::Alarm
            | UserData::Install { .. }
            | UserData::Open { .. }
            | UserData::Connect { .. }
            | UserData::Stream { .. }
            | UserData::Hang { .. } => {}
        }
    }

    fn take_receive(&mut self, ring: usize, id: ConnId, event: Event) {
        let key = event.data.pack();
        if event.result == -libc::ENOBUFS {
            self.counts.buffers_exhausted += 1;
            if let (Some(index), Some(bank)) = (self.receiving.get(&key), self.banks.get_mut(ring))
            {
                bank.starve(*index, id);
            }
            return;
        }
        self.receiving.remove(&key);
        let len = u32::try_from(event.result).unwrap_or(0);
        match (event.buffer, u8::try_from(ring)) {
            (Some(buffer), Ok(ring)) if len > 0 => {
                let data = Received { ring, buffer, len };
                self.ready.push(Completion::Received { id, data });
            }
            (buffer, _) => {
                if let (Some(buffer), Some(bank)) = (buffer, self.banks.get_mut(ring)) {
                    bank.recycle(buffer);
                }
                let errno = event.result.min(0).saturating_neg();
                self.ready.push(Completion::ReceiveEnded { id, errno });
            }
        }
    }

    fn take_send(&mut self, token: u32, result: i32) {
        let result = match result {
            result if result == -libc::EAGAIN => Ok(0),
            result => usize::try_from(result).map_err(|_| result.saturating_neg()),
        };
        self.ready.push(Completion::Sent { token, result });
    }

    fn take_shutdown(&mut self, ring: usize, sock: Sock) {
        let Some(Shutting { running, close }) = self.shutting.get_mut(&sock) else { return };
        *running = running.saturating_sub(1);
        if *running > 0 {
            return;
        }
        let close = *close;
        self.shutting.remove(&sock);
        if let (Some(id), Some(bank)) = (close, self.banks.get_mut(ring)) {
            bank.ring.close(super::place(sock).1, UserData::Close(id));
        }
    }

    fn take_close(&mut self, ring: usize, id: ConnId, result: i32) {
        if let Some(bank) = self.banks.get_mut(ring)
            && result != -libc::EBADF
        {
            bank.live = bank.live.saturating_sub(1);
        }
        self.ready.push(Completion::Closed { id });
    }

    fn take_signal(&mut self, ring: usize) {
        if let Some(bank) = self.banks.get_mut(ring) {
            bank.signalled = true;
        }
    }

    pub(super) fn hear_doorbell(&mut self) {
        if !self.rang {
            self.rang = true;
            self.ready.push(Completion::Doorbell);
        }
    }
}
