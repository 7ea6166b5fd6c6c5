//! One worker's handle on the simulated kernel. It checks the contract's rules.

use std::cell::RefCell;
use std::rc::Rc;

use super::super::contract::{Completion, ConnId, Driver, Now, Outgoing, Received, Shut, Sock};
use super::flaw::Flaw;
use super::kernel::{Happening, Kernel, Pending, UNIX_START_MS};
use super::link::{End, LinkId, Op, ServerEnd, Stage};

/// What a freed receive buffer holds: whoever reads it sees no input.
const FREED: u8 = 0xdd;
/// Virtual time one send takes, microseconds.
const SEND_US: u64 = 2;

/// The kernel all workers of a run share.
#[derive(Debug, Clone)]
pub(crate) struct SimKernel(Rc<RefCell<Kernel>>);

impl SimKernel {
    pub(crate) fn new(kernel: Kernel) -> Self {
        Self(Rc::new(RefCell::new(kernel)))
    }

    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Kernel) -> T) -> T {
        act(&mut self.0.borrow_mut())
    }

    /// A handle for worker `worker`.
    pub(crate) fn driver(&self, worker: usize) -> SimDriver {
        let buffers = self.with(|kernel| kernel.sides[worker].buffers_out());
        debug_assert_eq!(buffers, 0);
        let count = self.with(|kernel| usize::from(kernel.faults.buffers));
        SimDriver {
            worker,
            kernel: self.clone(),
            ready: Vec::new(),
            buffers: vec![None; count],
            freed: [FREED; 16],
        }
    }
}

/// The driver of one worker in a simulated run.
#[derive(Debug)]
pub(crate) struct SimDriver {
    worker: usize,
    kernel: SimKernel,
    ready: Vec<Completion>,
    /// Receive buffers the worker holds.
    buffers: Vec<Option<Vec<u8>>>,
    freed: [u8; 16],
}

impl SimDriver {
    /// The worker is inside an [`Driver::enter`] that waits. Because a simulated enter returns at
    /// once, whoever keeps a flag of sleepers sets it by this after the turn.
    pub(crate) fn is_asleep(&self) -> bool {
        self.kernel.with(|kernel| kernel.sides[self.worker].sleep_until_us.is_some())
    }

    fn keep(&mut self, taken: Vec<Pending>) {
        for Pending { completion, bytes, .. } in taken {
            if let Completion::Received { data, .. } = &completion {
                self.buffers[usize::from(data.buffer)] = Some(bytes);
            }
            self.ready.push(completion);
        }
    }

    /// Arms an operation, if the rules allow it.
    fn arm(&mut self, op: Op, sock: Sock, id: ConnId) {
        let worker = self.worker;
        self.kernel.with(|kernel| {
            let Some(link) = kernel.known(worker, op.name(), sock, Some(id)) else { return };
            let state = &mut kernel.links[link];
            let again = op == Op::Hangup && state.hangup_used;
            if state.stage(op) != Stage::Idle || again {
                let call = op.name();
                return kernel.fail(Flaw::SecondArmed { worker, call, sock: sock.0 });
            }
            state.hangup_used |= op == Op::Hangup;
            state.set_stage(op, Stage::Armed);
            kernel.provoke(link);
        });
    }
}

impl Kernel {
    /// The open link behind a socket; anything else is a flaw.
    fn known(
        &mut self,
        worker: usize,
        call: &'static str,
        sock: Sock,
        id: Option<ConnId>,
    ) -> Option<LinkId> {
        let Some(link) = self.link_of(worker, sock) else {
            self.fail(Flaw::UnknownSock { worker, call, sock: sock.0 });
            return None;
        };
        if let Some(id) = id {
            let known = *self.links[link].id.get_or_insert(id);
            let masked = |id: ConnId| (id.slot, id.generation & ConnId::GENERATION_MASK);
            if masked(known) != masked(id) {
                self.fail(Flaw::OtherId { worker, call, sock: sock.0 });
            }
        }
        Some(link)
    }

    fn ring(&mut self, worker: usize) {
        self.note("rung", worker, 0, 0);
        self.soon(Happening::Post(worker, Pending::plain(Completion::Doorbell)));
    }

    /// One send: what the kernel takes, or its error.
    fn send(&mut self, worker: usize, sock: Sock, bytes: &[u8]) -> Result<usize, i32> {
        if bytes.is_empty() {
            self.fail(Flaw::EmptySend { worker, sock: sock.0 });
        }
        let Some(link) = self.known(worker, "send", sock, None) else {
            return Err(libc::EBADF);
        };
        let batch = self.batch;
        if std::mem::replace(&mut self.links[link].batch, batch) == batch {
            self.fail(Flaw::SecondSend { worker, sock: sock.0 });
        }
        let state = &mut self.links[link];
        if let Some(errno) = state.error.take() {
            return Err(errno);
        }
        if state.reset || state.shut_write {
            return Err(libc::EPIPE);
        }
        if !state.client_open {
            // The bytes are taken; the answer to them is a reset.
            self.note("send to a gone client", link, bytes.len(), 0);
            self.soon(Happening::Reset(link));
            return Ok(bytes.len());
        }
        let room = state.free().min(bytes.len());
        let mut taken = room;
        if room > 0 && self.chance(self.faults.short) {
            taken = self.rng.usize(0..=room);
            let state = &mut self.links[link];
            state.room_now = state.output.len() + taken;
            let relax_us = self.rng.u64(1..=self.faults.slow_us_max.max(1_000));
            self.after(relax_us, Happening::Relax(link));
        }
        self.links[link].output.extend(&bytes[..taken]);
        self.note("send", link, taken, bytes.len());
        self.let_read(link);
        Ok(taken)
    }

    fn close(&mut self, worker: usize, sock: Sock, link: LinkId) {
        for op in Op::ALL {
            if self.links[link].stage(op) != Stage::Idle {
                let armed = op.name();
                self.fail(Flaw::ClosedArmed { worker, sock: sock.0, armed });
            }
        }
        let state = &mut self.links[link];
        let ServerEnd::Open(descriptor) = state.server else { return };
        state.server = ServerEnd::Closing(descriptor);
        // Unread input turns the FIN into a reset, which overtakes the last bytes.
        let end = if state.input.is_empty() { End::Fin } else { End::Reset };
        self.note("close", link, usize::from(end == End::Reset), 0);
        self.end_output(link, end);
        self.soon(Happening::Closed(link));
    }
}

impl Driver for SimDriver {
    fn now(&mut self) -> Now {
        let mono_us = self.kernel.with(|kernel| kernel.now_us);
        let mono_ms = mono_us / 1_000;
        Now { mono_us, mono_ms, unix_ms: UNIX_START_MS + mono_ms }
    }

    fn enters(&self) -> u64 {
        0
    }

    fn capacity(&self) -> usize {
        self.kernel.with(|kernel| kernel.sides[self.worker].descriptors())
    }

    fn accept_room(&mut self, room: usize) {
        self.kernel.with(|kernel| kernel.sides[self.worker].room = room);
    }

    fn stop_accepting(&mut self) {
        self.kernel.with(|kernel| kernel.stop_accepting(self.worker));
    }

    fn receive(&mut self, sock: Sock, id: ConnId) {
        self.arm(Op::Receive, sock, id);
    }

    fn received(&self, data: &Received) -> &[u8] {
        let len = data.len as usize;
        match self.buffers.get(usize::from(data.buffer)) {
            Some(Some(bytes)) if data.ring == 0 && bytes.len() == len => bytes,
            _ => {
                let flaw = Flaw::UnknownBuffer { worker: self.worker, buffer: data.buffer };
                self.kernel.with(|kernel| kernel.fail(flaw));
                &self.freed
            }
        }
    }

    fn recycle(&mut self, data: Received) {
        let (worker, buffer) = (self.worker, data.buffer);
        let held = self.buffers.get_mut(usize::from(buffer)).and_then(Option::take);
        self.kernel.with(|kernel| match held {
            Some(_) => kernel.recycle(worker, buffer),
            None => kernel.fail(Flaw::UnknownBuffer { worker, buffer }),
        });
    }

    fn send<'a>(&mut self, batch: &mut dyn Iterator<Item = Outgoing<'a>>) {
        let worker = self.worker;
        let taken = self.kernel.with(|kernel| {
            kernel.batch += 1;
            for Outgoing { sock, token, bytes } in batch {
                let result = kernel.send(worker, sock, bytes);
                kernel.now_us += SEND_US;
                // A healthy send says nothing.
                if result != Ok(bytes.len()) {
                    self.ready.push(Completion::Sent { token, result });
                }
            }
            // Others go on meanwhile, and their completions may be collected with these.
            kernel.run_due();
            if kernel.rng.bool() { kernel.collect(worker) } else { Vec::new() }
        });
        self.keep(taken);
    }

    fn watch_writable(&mut self, sock: Sock, id: ConnId) {
        self.arm(Op::Writable, sock, id);
    }

    fn watch_hangup(&mut self, sock: Sock, id: ConnId) {
        self.arm(Op::Hangup, sock, id);
    }

    fn shutdown(&mut self, sock: Sock, how: Shut) {
        let worker = self.worker;
        self.kernel.with(|kernel| {
            let Some(link) = kernel.known(worker, "shutdown", sock, None) else { return };
            kernel.note("shutdown", link, usize::from(how == Shut::Both), 0);
            let state = &mut kernel.links[link];
            state.shut_write = true;
            state.shut_read |= how == Shut::Both;
            kernel.end_output(link, End::Fin);
            kernel.provoke(link);
        });
    }

    fn close(&mut self, sock: Sock, id: ConnId) {
        let worker = self.worker;
        self.kernel.with(|kernel| {
            if let Some(link) = kernel.known(worker, "close", sock, Some(id)) {
                kernel.close(worker, sock, link);
            }
        });
    }

    fn ring(&mut self, worker: usize) {
        self.kernel.with(|kernel| {
            if worker < kernel.sides.len() {
                kernel.ring(worker);
            }
        });
    }

    fn enter(&mut self, wait_until_mono_ms: Option<u64>) {
        let worker = self.worker;
        let taken = self.kernel.with(|kernel| {
            kernel.top_up(worker);
            kernel.run_due();
            let now_us = kernel.now_us;
            let side = &mut kernel.sides[worker];
            side.woken = false;
            side.sleep_until_us = wait_until_mono_ms
                .map(|until_ms| until_ms.saturating_mul(1_000))
                .filter(|until_us| *until_us > now_us)
                .filter(|_| self.ready.is_empty() && side.pending.is_empty());
            kernel.collect(worker)
        });
        self.keep(taken);
    }

    fn completions(&mut self, out: &mut Vec<Completion>) {
        // A sleep has ended: collect what ended it.
        let taken = self.kernel.with(|kernel| {
            let was_asleep = kernel.sides[self.worker].sleep_until_us.take().is_some();
            if was_asleep { kernel.collect(self.worker) } else { Vec::new() }
        });
        self.keep(taken);
        out.append(&mut self.ready);
    }
}
