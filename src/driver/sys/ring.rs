//! One io_uring with direct descriptors and shared receive buffers.

use std::io;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use io_uring::squeue::{Entry, Flags};
use io_uring::types::{DestinationSlot, Fd, Fixed, SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, opcode};

use super::buffers::{Buffers, GROUP};

/// How a ring is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RingSettings {
    /// Entries of the submission queue: sends in one enter.
    pub(crate) submissions: u32,
    /// Entries of the completion queue.
    pub(crate) completions: u32,
    /// Direct descriptors.
    pub(crate) descriptors: u32,
    /// Receive buffers and their size.
    pub(crate) buffers: u16,
    pub(crate) buffer_bytes: u32,
    /// Accepts that can be in flight.
    pub(crate) accepts: u16,
}

/// A completion, raw.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cqe {
    pub(crate) user_data: u64,
    pub(crate) result: i32,
    /// The shared buffer it brought.
    pub(crate) buffer: Option<u16>,
}

/// Where the kernel writes the address of an accepted peer. Boxed once, never moved.
struct AcceptSlot {
    address: MaybeUninit<libc::sockaddr_storage>,
    len: libc::socklen_t,
}

/// One ring. Made and used by one thread only (SINGLE_ISSUER).
pub(crate) struct Ring {
    // Dropped first: the kernel lets go of all memory below.
    uring: IoUring,
    buffers: Buffers,
    accepts: Box<[AcceptSlot]>,
    no_iowait: bool,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("fd", &self.fd()).finish_non_exhaustive()
    }
}

impl Ring {
    pub(crate) fn new(settings: RingSettings) -> io::Result<Self> {
        let uring = IoUring::builder()
            .setup_cqsize(settings.completions)
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_no_sqarray()
            .build(settings.submissions)?;
        uring.submitter().register_files_sparse(settings.descriptors)?;
        let buffers =
            Buffers::register(&uring.submitter(), settings.buffers, settings.buffer_bytes)?;
        let slot = || AcceptSlot { address: MaybeUninit::zeroed(), len: 0 };
        let accepts = (0..settings.accepts).map(|_| slot()).collect();
        let no_iowait = uring.params().is_feature_no_iowait();
        Ok(Self { uring, buffers, accepts, no_iowait })
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.uring.as_raw_fd()
    }

    /// Raises an eventfd whenever a completion is ready.
    pub(crate) fn register_eventfd(&self, fd: RawFd) -> io::Result<()> {
        self.uring.submitter().register_eventfd(fd)
    }

    fn push(&mut self, entry: &Entry) {
        loop {
            // SAFETY: every entry made in this file points to nothing, to memory this ring owns,
            // or (sends) to a slice that outlives the enter that submits it.
            if unsafe { self.uring.submission().push(entry) }.is_ok() {
                return;
            }
            self.submit();
        }
    }

    pub(crate) fn accept(&mut self, listener: RawFd, slot: u16, user_data: u64) {
        let Some(place) = self.accepts.get_mut(usize::from(slot)) else { return };
        place.len = libc::socklen_t::try_from(size_of::<libc::sockaddr_storage>()).unwrap_or(0);
        let address = place.address.as_mut_ptr().cast::<libc::sockaddr>();
        let entry = opcode::Accept::new(Fd(listener), address, &raw mut place.len)
            .file_index(Some(DestinationSlot::auto_target()))
            .build()
            .user_data(user_data);
        self.push(&entry);
    }

    /// The peer that the last completed accept of this slot brought.
    pub(crate) fn accepted_peer(&self, slot: u16) -> SocketAddr {
        let unknown = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let Some(place) = self.accepts.get(usize::from(slot)) else { return unknown };
        // SAFETY: zeroed at start and since then written only by the kernel; every bit pattern is
        // a valid sockaddr_storage, and the accept of this slot is complete.
        let storage = unsafe { place.address.assume_init_ref() };
        let address = std::ptr::from_ref(storage);
        match i32::from(storage.ss_family) {
            libc::AF_INET => {
                // SAFETY: the family says which address it is; storage is aligned for all.
                let v4 = unsafe { &*address.cast::<libc::sockaddr_in>() };
                let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
                SocketAddr::from((ip, u16::from_be(v4.sin_port)))
            }
            libc::AF_INET6 => {
                // SAFETY: as above.
                let v6 = unsafe { &*address.cast::<libc::sockaddr_in6>() };
                let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                SocketAddr::from((ip.to_canonical(), u16::from_be(v6.sin6_port)))
            }
            _ => unknown,
        }
    }

    pub(crate) fn receive(&mut self, descriptor: u32, user_data: u64) {
        let entry = opcode::Recv::new(Fixed(descriptor), std::ptr::null_mut(), 0)
            .buf_group(GROUP)
            .build()
            .flags(Flags::BUFFER_SELECT)
            .user_data(user_data);
        self.push(&entry);
    }

    pub(crate) fn buffer(&self, id: u16, len: u32) -> &[u8] {
        self.buffers.get(id, len)
    }

    pub(crate) fn recycle(&mut self, id: u16) {
        self.buffers.give_back(id);
    }

    pub(crate) fn poll(&mut self, descriptor: u32, events: i16, user_data: u64) {
        let mask = u32::from(events.cast_unsigned());
        let entry = opcode::PollAdd::new(Fixed(descriptor), mask).build().user_data(user_data);
        self.push(&entry);
    }

    /// Polls an ordinary descriptor, once.
    pub(crate) fn poll_fd(&mut self, fd: RawFd, user_data: u64) {
        let mask = u32::from(libc::POLLIN.cast_unsigned());
        let entry = opcode::PollAdd::new(Fd(fd), mask).build().user_data(user_data);
        self.push(&entry);
    }

    pub(crate) fn shutdown(&mut self, descriptor: u32, how: i32, user_data: u64) {
        let entry = opcode::Shutdown::new(Fixed(descriptor), how)
            .build()
            .flags(Flags::SKIP_SUCCESS)
            .user_data(user_data);
        self.push(&entry);
    }

    pub(crate) fn close(&mut self, descriptor: u32, user_data: u64) {
        let entry = opcode::Close::new(Fixed(descriptor)).build().user_data(user_data);
        self.push(&entry);
    }

    /// Posts a completion to another ring.
    pub(crate) fn message(&mut self, target: RawFd, target_user_data: u64, user_data: u64) {
        let entry = opcode::MsgRingData::new(Fd(target), 0, target_user_data, None)
            .build()
            .flags(Flags::SKIP_SUCCESS)
            .user_data(user_data);
        self.push(&entry);
    }

    pub(crate) fn cancel(&mut self, target: u64, user_data: u64) {
        let entry = opcode::AsyncCancel::new(target).build().user_data(user_data);
        self.push(&entry);
    }

    /// Sends all of `sends` without waiting and returns when the kernel holds no pointer to any.
    ///
    /// `MSG_DONTWAIT` makes the kernel answer within the enter; `MSG_WAITALL` turns a short send
    /// into a completion although success is skipped. Without it a short send would be silent
    /// loss.
    pub(crate) fn send_all<'a>(&mut self, sends: impl Iterator<Item = (u32, u64, &'a [u8])>) {
        const FLAGS: i32 = libc::MSG_DONTWAIT | libc::MSG_WAITALL | libc::MSG_NOSIGNAL;
        for (descriptor, user_data, bytes) in sends {
            let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            let entry = opcode::Send::new(Fixed(descriptor), bytes.as_ptr(), len)
                .flags(FLAGS)
                .build()
                .flags(Flags::SKIP_SUCCESS)
                .user_data(user_data);
            self.push(&entry);
        }
        self.submit();
    }

    /// Submits all that is queued.
    pub(crate) fn submit(&mut self) {
        while !self.uring.submission().is_empty() {
            self.enter(0, None);
        }
    }

    /// Submits, waits for `want` completions or `timeout`, and lets deferred work run. Entered
    /// again where the kernel asks for it: an error leaves the queue as it is.
    pub(crate) fn enter(&mut self, want: u32, timeout: Option<Duration>) {
        let queued = u32::try_from(self.uring.submission().len()).unwrap_or(u32::MAX);
        let mut flags = EnterFlags::GETEVENTS | EnterFlags::EXT_ARG;
        if self.no_iowait {
            flags |= EnterFlags::NO_IOWAIT;
        }
        let timespec = timeout.map(Timespec::from);
        let mut args = SubmitArgs::new();
        if let Some(timespec) = &timespec {
            args = args.timespec(timespec);
        }
        // SAFETY: `args` and the timespec it points to live through the call; all queued entries
        // are valid as said in `push`. ETIME, EINTR and EBUSY mean: try again later.
        let _ = unsafe { self.uring.submitter().enter(queued, want, flags.bits(), Some(&args)) };
    }

    /// Takes one ready completion.
    pub(crate) fn next(&mut self) -> Option<Cqe> {
        let cqe = self.uring.completion().next()?;
        Some(Cqe {
            user_data: cqe.user_data(),
            result: cqe.result(),
            buffer: io_uring::cqueue::buffer_select(cqe.flags()),
        })
    }

    /// Completions the kernel had to keep outside the full queue.
    pub(crate) fn is_overflowing(&mut self) -> bool {
        self.uring.submission().cq_overflow()
    }
}
