//! A bare ring and loopback sockets.

use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, opcode, squeue};

/// The flags of every send of the server.
pub(crate) const QUIET: i32 = libc::MSG_DONTWAIT | libc::MSG_WAITALL | libc::MSG_NOSIGNAL;

/// user_data, result, flags.
pub(crate) type Done = (u64, i32, u32);

pub(crate) struct Rig {
    pub(crate) ring: IoUring,
}

impl Rig {
    /// As the driver makes its rings.
    pub(crate) fn new(completions: u32) -> Self {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_no_sqarray()
            .setup_cqsize(completions)
            .build(64)
            .expect("a ring");
        Self { ring }
    }

    /// # Safety
    /// What the entry names must live until the operation has ended.
    pub(crate) unsafe fn push(&mut self, entry: &squeue::Entry, data: u64) {
        let entry = entry.clone().user_data(data);
        loop {
            // SAFETY: passed on to the caller.
            if unsafe { self.ring.submission().push(&entry) }.is_ok() {
                return;
            }
            self.ring.submit().expect("submit");
        }
    }

    /// Queues an operation that names no memory.
    pub(crate) fn ask(&mut self, entry: squeue::Entry, data: u64) {
        // SAFETY: the callers pass polls, closes, shutdowns, cancels and messages only.
        unsafe { self.push(&entry, data) };
    }

    pub(crate) fn submit(&mut self) {
        self.ring.submit().expect("submit");
    }

    /// Submits, waits for `count` completions at most so long, returns what is there then.
    pub(crate) fn wait(&mut self, count: usize, limit: Duration) -> Vec<Done> {
        let time = Timespec::from(limit);
        let args = SubmitArgs::new().timespec(&time);
        match self.ring.submitter().submit_with_args(count, &args) {
            Ok(_) => {}
            Err(error) => {
                let errno = error.raw_os_error();
                assert!(matches!(errno, Some(libc::ETIME | libc::EINTR)), "{error}");
            }
        }
        self.ready()
    }

    pub(crate) fn ready(&mut self) -> Vec<Done> {
        self.ring.completion().map(|c| (c.user_data(), c.result(), c.flags())).collect()
    }

    /// What completes within 30 ms, which on loopback is everything that ever will.
    pub(crate) fn settle(&mut self) -> Vec<Done> {
        std::thread::sleep(Duration::from_millis(30));
        self.wait(64, Duration::ZERO)
    }

    /// One send in one enter.
    pub(crate) fn send(&mut self, fd: RawFd, bytes: &[u8], flags: i32, data: u64) -> Vec<Done> {
        self.queue_send(fd, bytes, flags, data);
        self.wait(64, Duration::ZERO)
    }

    pub(crate) fn queue_send(&mut self, fd: RawFd, bytes: &[u8], flags: i32, data: u64) {
        let len = u32::try_from(bytes.len()).expect("a small send");
        let entry = opcode::Send::new(Fd(fd), bytes.as_ptr(), len)
            .flags(flags)
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS);
        // SAFETY: the callers either use MSG_DONTWAIT and submit at once, or leak the bytes.
        unsafe { self.push(&entry, data) };
    }

    pub(crate) fn poll(&mut self, fd: RawFd, events: i16, data: u64) {
        let events = u32::from(events.cast_unsigned());
        self.ask(opcode::PollAdd::new(Fd(fd), events).build(), data);
        self.submit();
    }
}

pub(crate) fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("a free port")
}

pub(crate) fn client_of(listener: &TcpListener) -> TcpStream {
    let stream = TcpStream::connect(listener.local_addr().expect("bound")).expect("connect");
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("timeout");
    stream
}

/// Server end and client end of one connection.
pub(crate) fn pair() -> (TcpStream, TcpStream) {
    let listener = listener();
    let client = client_of(&listener);
    (listener.accept().expect("accept").0, client)
}

/// Between them little fits: small buffers on both sides, which also do not grow.
pub(crate) fn narrow_pair() -> (TcpStream, TcpStream) {
    let (server, client) = pair();
    socket2::SockRef::from(&server).set_send_buffer_size(65_536).expect("sndbuf");
    socket2::SockRef::from(&client).set_recv_buffer_size(65_536).expect("rcvbuf");
    (server, client)
}

pub(crate) fn fd(socket: &impl AsRawFd) -> RawFd {
    socket.as_raw_fd()
}
