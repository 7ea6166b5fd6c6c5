//! One ring: what may be asked of it, safely.

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;

use io_uring::types::{self, CancelBuilder, DestinationSlot, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use super::address::AddressTable;
use super::buffers::{BufferGroup, GROUP};
use super::connect::Outbound;
use super::enter::Door;
use crate::driver::error::{Errno, StartError};
use crate::driver::user_data::UserData;

/// How sockets are named to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Descriptors {
    /// Entries of the ring's own table: not counted against RLIMIT_NOFILE. Safe from 6.13.
    Direct,
    /// Ordinary file descriptors.
    Plain,
}

/// Size and kind of a ring.
#[derive(Debug, Clone, Copy)]
pub struct RingSettings {
    /// Submission entries; rounded up to a power of two, at most 32,768.
    pub submissions: u32,
    /// Completion entries; at least `submissions`, at most 65,536.
    pub completions: u32,
    /// How sockets are named.
    pub descriptors: Descriptors,
    /// Entries of the direct table; at most RLIMIT_NOFILE and 1,048,576. Unused with plain ones.
    pub slots: u32,
    /// Receive buffers: 0 or a power of two up to 32,768.
    pub buffers: u16,
    /// Bytes of each.
    pub buffer_bytes: u32,
}

/// One completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// What it was and for whom.
    pub data: UserData,
    /// The operation's result: a negative errno, or what its man page says.
    pub result: i32,
    /// More completions of the same operation may follow.
    pub more: bool,
    /// The receive buffer that was filled; held until [`Ring::recycle`].
    pub buffer: Option<u16>,
    /// The other end of an accepted connection (IPv4 and IPv6 only).
    pub peer: Option<SocketAddr>,
}

/// What a ring has counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RingCounts {
    /// System calls made.
    pub enters: u64,
    /// Times the completion queue was found overflown (nothing is lost by it: the kernel keeps
    /// the surplus and it is fetched at once).
    pub overflows: u64,
}

/// A ring of this thread: SINGLE_ISSUER and DEFER_TASKRUN bind it to its maker.
pub struct Ring {
    pub(super) inner: ManuallyDrop<IoUring>,
    buffers: ManuallyDrop<Option<BufferGroup>>,
    addresses: ManuallyDrop<Rc<AddressTable>>,
    descriptors: Descriptors,
    pub(super) door: Door,
    pub(super) dead: Option<Errno>,
    pub(super) counts: RingCounts,
    /// Addresses of connects not yet submitted.
    pub(super) outbound: Outbound,
    /// Plain descriptors made of direct ones, by index.
    pub(super) installed: Vec<(u32, Result<OwnedFd, Errno>)>,
    /// Its operations are left to the kernel, with the memory they may write to.
    abandoned: bool,
    /// A registered ring fd is an index in a table of this task, another task's means another
    /// ring: the ring must not move to another thread.
    bound: PhantomData<*const ()>,
}

const ACCEPT_DONTWAIT: u16 = 1 << 1;
/// IORING_RECVSEND_POLL_FIRST, since 5.19.
const POLL_FIRST: u16 = 1 << 0;

/// Sets the flags of an operation that live in `ioprio`, where the crate has no name for them.
fn set_ioprio(entry: &mut squeue::Entry, flags: u16) {
    let entry: *mut squeue::Entry = entry;
    // SAFETY: an entry is the kernel's struct io_uring_sqe: 64 bytes, `ioprio` a u16 at byte 2.
    unsafe { entry.cast::<u16>().add(1).write(flags) };
}

/// Builds an operation on a socket, whichever way sockets are named.
macro_rules! on_socket {
    ($ring:expr, $index:expr, $target:ident => $build:expr) => {
        match $ring.descriptors() {
            Descriptors::Direct => {
                let $target = io_uring::types::Fixed($index);
                $build
            }
            Descriptors::Plain => {
                let $target = io_uring::types::Fd($index.cast_signed());
                $build
            }
        }
    };
}
pub(super) use on_socket;

fn setup(settings: &RingSettings, no_array: bool) -> Result<IoUring, Errno> {
    let mut builder = IoUring::builder();
    builder
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_submit_all()
        .setup_clamp()
        .setup_cqsize(settings.completions.max(settings.submissions));
    if no_array {
        builder.setup_no_sqarray();
    }
    builder.build(settings.submissions.max(1)).map_err(|error| Errno::of(&error))
}

impl Ring {
    /// Makes a ring for this thread. `addresses` is where its accepts leave the peers' addresses.
    ///
    /// Needs 6.1 (DEFER_TASKRUN); takes NO_SQARRAY (6.6), NO_IOWAIT (6.15) and a registered ring
    /// fd (the first 16 rings of a thread) where it gets them.
    pub fn open(settings: &RingSettings, addresses: Rc<AddressTable>) -> Result<Self, StartError> {
        let inner = match setup(settings, true) {
            Err(Errno(libc::EINVAL)) => setup(settings, false),
            other => other,
        }
        .map_err(StartError::Setup)?;
        if settings.descriptors == Descriptors::Direct {
            inner.submitter().register_files_sparse(settings.slots).map_err(|error| {
                StartError::Table { slots: settings.slots, errno: Errno::of(&error) }
            })?;
        }
        let buffers = match settings.buffers {
            0 => None,
            // SAFETY: the group lives in the ring, whose drop frees it only after every
            // operation has ended.
            count => Some(unsafe { BufferGroup::register(&inner, count, settings.buffer_bytes)? }),
        };
        let door = Door::new(inner.as_raw_fd(), inner.params().is_feature_no_iowait());
        let mut ring = Self {
            inner: ManuallyDrop::new(inner),
            buffers: ManuallyDrop::new(buffers),
            addresses: ManuallyDrop::new(addresses),
            descriptors: settings.descriptors,
            door,
            dead: None,
            counts: RingCounts::default(),
            outbound: Outbound::default(),
            installed: Vec::new(),
            abandoned: false,
            bound: PhantomData,
        };
        ring.register_own_fd();
        Ok(ring)
    }

    /// The ring's own descriptor, for doorbells from other rings.
    pub fn raw_fd(&self) -> RawFd {
        self.inner.as_raw_fd()
    }

    /// How this ring names sockets.
    pub fn descriptors(&self) -> Descriptors {
        self.descriptors
    }

    /// What it has counted so far.
    pub fn counts(&self) -> RingCounts {
        self.counts
    }

    /// Set once the kernel has refused an enter for good; nothing happens on the ring any more.
    pub fn dead(&self) -> Option<Errno> {
        self.dead
    }

    /// Makes room for `entries` more, so that a chain of them is submitted as one.
    pub(super) fn reserve(&mut self, entries: usize) {
        let (queued, all) = (self.queued(), self.inner.submission().capacity());
        if all.saturating_sub(queued) < entries {
            self.submit();
        }
    }

    /// Operations queued and not yet submitted.
    pub fn queued(&mut self) -> usize {
        self.inner.submission().len()
    }

    /// Queues an entry, submitting what is queued when there is no room. A dead ring drops it.
    ///
    /// # Safety
    /// All memory the entry names stays valid until the operation has completed.
    pub(super) unsafe fn push(&mut self, entry: &squeue::Entry) {
        while self.dead.is_none() {
            // SAFETY: passed on to the caller.
            if unsafe { self.inner.submission().push(entry) }.is_ok() {
                return;
            }
            self.submit();
        }
    }

    /// Queues one receive of at most one buffer of the group.
    ///
    /// ENOBUFS when the group is empty: arm it again after a [`recycle`](Self::recycle). With
    /// `later` the kernel waits for input without looking whether there is some first.
    pub fn receive(&mut self, index: u32, data: UserData, later: bool) {
        let mut entry = on_socket!(self, index, fd => opcode::Recv::new(
            fd, std::ptr::null_mut(), 0).buf_group(GROUP).build())
        .flags(squeue::Flags::BUFFER_SELECT)
        .user_data(data.pack());
        if later {
            set_ioprio(&mut entry, POLL_FIRST);
        }
        // SAFETY: names no memory but the buffer group, which the ring owns.
        unsafe { self.push(&entry) };
    }

    /// Queues a watch for poll(2) `events` (POLLERR and POLLHUP always included): it completes
    /// once.
    pub fn watch(&mut self, index: u32, events: libc::c_short, data: UserData) {
        let events = u32::from(events.cast_unsigned());
        let entry = on_socket!(self, index, fd => opcode::PollAdd::new(fd, events).build())
            .user_data(data.pack());
        // SAFETY: names no memory.
        unsafe { self.push(&entry) };
    }

    /// Queues a watch for input of a plain descriptor (an eventfd): it completes once.
    ///
    /// Once even if asked to repeat: the kernel ends repeating polls that another ring's signal
    /// has triggered (EPOLL_URING_WAKE), lest rings wake each other for ever.
    pub fn watch_input(&mut self, fd: BorrowedFd<'_>, data: UserData) {
        let events = u32::from(libc::POLLIN.cast_unsigned());
        let entry =
            opcode::PollAdd::new(types::Fd(fd.as_raw_fd()), events).build().user_data(data.pack());
        // SAFETY: names no memory.
        unsafe { self.push(&entry) };
    }

    /// Queues shutdown(2) with SHUT_WR or SHUT_RDWR.
    ///
    /// The kernel runs it on a worker thread and looks the descriptor up only there: close the
    /// descriptor only after its completion, or it may hit the slot's next owner.
    pub fn shutdown(&mut self, index: u32, how: i32, data: UserData) {
        let entry = on_socket!(self, index, fd => opcode::Shutdown::new(fd, how).build())
            .user_data(data.pack());
        // SAFETY: names no memory.
        unsafe { self.push(&entry) };
    }

    /// Queues a close.
    pub fn close(&mut self, index: u32, data: UserData) {
        let entry =
            on_socket!(self, index, fd => opcode::Close::new(fd).build()).user_data(data.pack());
        // SAFETY: names no memory.
        unsafe { self.push(&entry) };
    }

    /// Queues one accept on `listener`, a plain descriptor of any worker; the kernel picks a free
    /// slot of the table. Returns the place of the address, `None` when all places are lent.
    ///
    /// With `wait` false it says EAGAIN when nobody waits (IORING_ACCEPT_DONTWAIT, since 6.10;
    /// O_NONBLOCK on the listener has no such effect).
    pub fn accept(&mut self, listener: BorrowedFd<'_>, number: u8, wait: bool) -> Option<u16> {
        let place = self.addresses.lend()?;
        let accept =
            opcode::Accept::new(types::Fd(listener.as_raw_fd()), place.address, place.length);
        let accept = match self.descriptors {
            Descriptors::Direct => accept.file_index(Some(DestinationSlot::auto_target())),
            Descriptors::Plain => accept.flags(libc::SOCK_CLOEXEC),
        };
        let data = UserData::Accept { listener: number, address: place.index };
        let mut entry = accept.build().user_data(data.pack());
        if !wait {
            set_ioprio(&mut entry, ACCEPT_DONTWAIT);
        }
        // SAFETY: the place stays lent, hence valid and untouched, until the completion is seen;
        // the ring keeps the table alive, or leaks it if it cannot wait for the operation's end.
        unsafe { self.push(&entry) };
        Some(place.index)
    }

    /// Queues the cancel of the operation with exactly this user data. The operation's own
    /// completion still comes, and may say that it had succeeded before.
    pub fn cancel(&mut self, target: UserData) {
        let entry = opcode::AsyncCancel2::new(CancelBuilder::user_data(target.pack()))
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS)
            .user_data(UserData::Ignored.pack());
        // SAFETY: names no memory.
        unsafe { self.push(&entry) };
    }

    /// Queues a completion for another ring (MSG_RING): it wakes a sleeper there.
    pub fn message(&mut self, ring: RawFd, data: UserData) {
        let entry = opcode::MsgRingData::new(types::Fd(ring), 0, data.pack(), None)
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS)
            .user_data(UserData::Ignored.pack());
        // SAFETY: names no memory.
        unsafe { self.push(&entry) };
    }

    /// Has the kernel write to this eventfd whenever the ring has work.
    pub fn signal_by(&mut self, eventfd: BorrowedFd<'_>) -> Result<(), StartError> {
        self.inner
            .submitter()
            .register_eventfd(eventfd.as_raw_fd())
            .map_err(|error| StartError::EventFd(Errno::of(&error)))
    }

    /// Takes the next completion that is ready; no system call.
    #[expect(clippy::should_implement_trait, reason = "a queue that fills again is no iterator")]
    pub fn next(&mut self) -> Option<Event> {
        loop {
            let entry = self.inner.completion().next()?;
            if let Some(data) = UserData::unpack(entry.user_data()) {
                return Some(self.read(&entry, data));
            }
        }
    }

    fn read(&mut self, entry: &cqueue::Entry, data: UserData) -> Event {
        let (result, flags) = (entry.result(), entry.flags());
        let buffer = cqueue::buffer_select(flags);
        if let (Some(buffer), Some(group)) = (buffer, self.buffers.as_mut()) {
            group.hold(buffer, u32::try_from(result).unwrap_or(0));
        }
        let peer = match data {
            // SAFETY: an accept is one-shot, so this is its last completion.
            UserData::Accept { address, .. } => unsafe { self.addresses.take(address) },
            UserData::Install { index } => {
                self.installed(index, result);
                None
            }
            _ => None,
        };
        Event { data, result, more: cqueue::more(flags), buffer, peer }
    }

    /// Whether the completion queue has overflown; counts it.
    pub fn overflown(&mut self) -> bool {
        let overflown = self.inner.submission().cq_overflow();
        self.counts.overflows += u64::from(overflown);
        overflown
    }

    /// The first `len` bytes of a filled buffer; empty for a buffer that is not held.
    pub fn bytes(&self, buffer: u16, len: u32) -> &[u8] {
        self.buffers.as_ref().map_or(&[], |group| group.bytes(buffer, len))
    }

    /// Gives a filled buffer back.
    pub fn recycle(&mut self, buffer: u16) {
        if let Some(group) = self.buffers.as_mut() {
            group.give(buffer);
        }
    }

    /// Buffers the kernel can still fill.
    pub fn buffers_free(&self) -> usize {
        self.buffers.as_ref().map_or(0, BufferGroup::free)
    }
}

impl AsMut<Self> for Ring {
    fn as_mut(&mut self) -> &mut Self {
        self
    }
}

impl Ring {
    /// Leaves what is under way to the kernel when the ring is dropped, and leaks the memory it may
    /// write to. For the end of a process: ending a hundred thousand watches one by one takes
    /// longer than anybody waits (each is searched for), closing the ring takes none of our time.
    pub fn abandon(&mut self) {
        self.abandoned = true;
    }

    /// Ends every operation. False if some may still be under way.
    fn end_all(&mut self) -> bool {
        let patience = Some(Timespec::new().nsec(200_000_000));
        let all = CancelBuilder::any();
        match self.inner.submitter().register_sync_cancel(patience, all) {
            Ok(()) => true,
            Err(error) => error.raw_os_error() == Some(libc::ENOENT),
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // Every operation must have ended before the memory it may write to is freed.
        let ended = !self.abandoned && self.end_all();
        self.unregister_own_fd();
        // SAFETY: each field is dropped here once and not used afterwards.
        unsafe {
            ManuallyDrop::drop(&mut self.inner);
            if ended {
                ManuallyDrop::drop(&mut self.buffers);
                ManuallyDrop::drop(&mut self.addresses);
            }
        }
    }
}
