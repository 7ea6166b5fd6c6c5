//! Several rings for one worker: how many, when the next is opened, how it is heard.
//!
//! A DEFER_TASKRUN ring does its work only when its owner enters it, and polling its fd never
//! wakes on pending work. So each sibling writes to an eventfd, which the main ring watches: an
//! event of a sibling ends the main ring's sleep within some 20 microseconds.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::rc::Rc;

use super::{UringDriver, UringSettings};
use crate::driver::contract::ConnId;
use crate::driver::error::StartError;
use crate::driver::sys::address::AddressTable;
use crate::driver::sys::bell::eventfd;
use crate::driver::sys::enter::Wait;
use crate::driver::sys::ring::{Descriptors, Ring, RingSettings};
use crate::driver::user_data::UserData;

/// Most rings of one worker: the ring's number has eight bits.
const RINGS_MAX: usize = 256;
/// Most entries of one table (io_uring_register(2)).
const TABLE_MAX: u64 = 1 << 20;
/// Plain descriptors left to logs, listeners, rings and the cold half.
const DESCRIPTORS_SPARE: u64 = 64;
/// Submission entries of a sibling, at most.
const SIBLING_SUBMISSIONS_MAX: u32 = 512;

/// How a worker's capacity is spread over rings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    /// Connections in all.
    pub(super) capacity: usize,
    /// Rings at most.
    pub(super) rings_max: usize,
    /// Connections per ring.
    pub(super) slots: u32,
}

impl Plan {
    /// `descriptors_max` is the soft RLIMIT_NOFILE.
    pub(super) fn new(settings: &UringSettings, descriptors_max: u64) -> Result<Self, StartError> {
        let wanted = settings.connections_max as u64;
        let (slots, rings_max) = match settings.descriptors {
            Descriptors::Plain => {
                (wanted.min(descriptors_max.saturating_sub(DESCRIPTORS_SPARE)), 1)
            }
            Descriptors::Direct => {
                let table =
                    TABLE_MAX.min(settings.descriptors_per_ring as u64).min(descriptors_max);
                // A sibling costs two plain descriptors: its own and its eventfd.
                let affordable = descriptors_max.saturating_sub(DESCRIPTORS_SPARE) / 2 + 1;
                (wanted.min(table), affordable.min(RINGS_MAX as u64))
            }
        };
        if slots == 0 {
            return Err(StartError::Settings);
        }
        let rings_max = rings_max.min(wanted.div_ceil(slots));
        let capacity = wanted.min(slots * rings_max);
        Ok(Self {
            capacity: usize::try_from(capacity).unwrap_or(usize::MAX),
            rings_max: usize::try_from(rings_max).unwrap_or(RINGS_MAX),
            slots: u32::try_from(slots).unwrap_or(u32::MAX),
        })
    }
}

/// One ring with what the driver knows of it.
pub(super) struct Bank {
    pub(super) ring: Ring,
    /// Sockets open.
    pub(super) live: u32,
    /// Accepts in flight; each may take a slot.
    pub(super) accepts: u32,
    slots: u32,
    /// Receives that found no buffer.
    starved: VecDeque<(u32, ConnId)>,
    /// The eventfd has fired since the ring was last entered.
    pub(super) signalled: bool,
    /// A sibling's eventfd.
    eventfd: Option<File>,
}

impl AsMut<Ring> for Bank {
    fn as_mut(&mut self) -> &mut Ring {
        &mut self.ring
    }
}

impl Bank {
    fn new(ring: Ring, slots: u32, eventfd: Option<File>) -> Self {
        let starved = VecDeque::new();
        Self { ring, live: 0, accepts: 0, slots, starved, signalled: false, eventfd }
    }

    pub(super) fn open_main(
        settings: &UringSettings,
        plan: &Plan,
        addresses: Rc<AddressTable>,
    ) -> Result<Self, StartError> {
        let ring = RingSettings {
            submissions: settings.submissions,
            completions: settings.completions,
            descriptors: settings.descriptors,
            slots: plan.slots,
            buffers: settings.receive_buffers,
            buffer_bytes: settings.receive_buffer_bytes,
        };
        Ok(Self::new(Ring::open(&ring, addresses)?, plan.slots, None))
    }

    fn open_sibling(
        settings: &UringSettings,
        plan: &Plan,
        addresses: Rc<AddressTable>,
    ) -> Result<Self, StartError> {
        let ring = RingSettings {
            submissions: settings.submissions.min(SIBLING_SUBMISSIONS_MAX),
            completions: settings.completions,
            descriptors: settings.descriptors,
            slots: plan.slots,
            buffers: settings.sibling_receive_buffers,
            buffer_bytes: settings.receive_buffer_bytes,
        };
        let mut ring = Ring::open(&ring, addresses)?;
        let eventfd = eventfd()?;
        ring.signal_by(eventfd.as_fd())?;
        Ok(Self::new(ring, plan.slots, Some(File::from(eventfd))))
    }

    /// Slots that neither a socket nor an accept in flight may take.
    pub(super) fn free(&self) -> u32 {
        self.slots.saturating_sub(self.live).saturating_sub(self.accepts)
    }

    /// A receive found the buffer group empty: it waits for the next buffer given back.
    pub(super) fn starve(&mut self, index: u32, id: ConnId) {
        if self.ring.buffers_free() > 0 {
            self.ring.receive(index, UserData::Receive(id), false);
        } else {
            self.starved.push_back((index, id));
        }
    }

    /// Forgets a receive that waits for a buffer. True if it did.
    pub(super) fn feed_no_more(&mut self, id: ConnId) -> bool {
        let before = self.starved.len();
        self.starved.retain(|(_, other)| *other != id);
        self.starved.len() < before
    }

    pub(super) fn recycle(&mut self, buffer: u16) {
        self.ring.recycle(buffer);
        if let Some((index, id)) = self.starved.pop_front() {
            self.ring.receive(index, UserData::Receive(id), false);
        }
    }
}

impl UringDriver {
    /// The ring that takes the next connection: the one filled at present as long as it has room,
    /// then the emptiest, then a new one. Connections gather in few rings, so that a fan-out
    /// enters few.
    pub(super) fn filling(&mut self) -> Result<Option<usize>, StartError> {
        let free = |bank: Option<&Bank>| bank.map_or(0, Bank::free);
        if free(self.banks.get(self.accepting.filling)) > 0 {
            return Ok(Some(self.accepting.filling));
        }
        let emptiest = (0..self.banks.len()).max_by_key(|ring| free(self.banks.get(*ring)));
        // A ring nearly full again is not worth turning back to while another may be opened.
        let enough = if self.banks.len() < self.plan.rings_max { self.plan.slots / 16 } else { 0 };
        if let Some(ring) = emptiest
            && free(self.banks.get(ring)) > enough
        {
            self.accepting.filling = ring;
            return Ok(Some(ring));
        }
        if self.banks.len() >= self.plan.rings_max {
            return Ok(None);
        }
        let addresses = Rc::clone(&self.addresses);
        self.banks.push(Bank::open_sibling(&self.settings, &self.plan, addresses)?);
        self.accepting.filling = self.banks.len() - 1;
        self.listen_to(self.accepting.filling);
        Ok(Some(self.accepting.filling))
    }

    /// Arms the main ring's watch of a sibling's eventfd.
    pub(super) fn listen_to(&mut self, ring: usize) {
        let [main, siblings @ ..] = self.banks.as_mut_slice() else { return };
        let Some(number) = u8::try_from(ring).ok().filter(|number| *number > 0) else { return };
        if let Some(eventfd) = siblings.get(ring - 1).and_then(|bank| bank.eventfd.as_ref()) {
            main.ring.watch_input(eventfd.as_fd(), UserData::Sibling { ring: number });
        }
    }

    /// Enters the siblings that have something to submit or to tell.
    ///
    /// The eventfd is emptied before the enter, so that what happens after the enter is signalled
    /// anew. (The enter's own completions signal as well: the next turn then looks in vain, once.)
    pub(super) fn enter_siblings(&mut self) {
        for ring in 1..self.banks.len() {
            let Some(bank) = self.banks.get_mut(ring) else { return };
            let signalled = std::mem::take(&mut bank.signalled);
            if !signalled && bank.ring.queued() == 0 {
                continue;
            }
            if signalled && let Some(eventfd) = bank.eventfd.as_mut() {
                // Eight bytes, or EAGAIN if it was empty: both leave it empty.
                let _ = eventfd.read(&mut [0; 8]);
            }
            bank.ring.enter(Wait::No);
            self.collect(ring);
            if signalled {
                self.listen_to(ring);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(capacity: usize, limit: u64) -> Plan {
        let settings = UringSettings { connections_max: capacity, ..UringSettings::default() };
        Plan::new(&settings, limit).expect("a plan")
    }

    #[test]
    fn a_small_worker_has_one_ring_of_its_size() {
        assert_eq!(plan(5_000, 20_000), Plan { capacity: 5_000, rings_max: 1, slots: 5_000 });
    }

    #[test]
    fn half_a_million_streams_fit_under_a_limit_of_twenty_thousand() {
        let plan = plan(500_000, 20_000);
        assert_eq!((plan.capacity, plan.rings_max, plan.slots), (500_000, 25, 20_000));
    }

    #[test]
    fn the_number_of_rings_and_their_descriptors_bound_the_capacity() {
        assert_eq!(plan(10_000_000, 20_000).capacity, 256 * 20_000);
        // 100 descriptors, 64 spare: 18 siblings of two each, and the main ring.
        assert_eq!(plan(10_000, 100).capacity, 19 * 100);
    }

    #[test]
    fn plain_descriptors_count_against_the_limit() {
        let settings = UringSettings {
            connections_max: 50_000,
            descriptors: Descriptors::Plain,
            ..UringSettings::default()
        };
        let plan = Plan::new(&settings, 1024).expect("a plan");
        assert_eq!((plan.capacity, plan.rings_max), (960, 1));
        assert_eq!(Plan::new(&settings, 64), Err(StartError::Settings));
    }
}
