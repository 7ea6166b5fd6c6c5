//! A hot restart: another process takes over, and no connection notices.
//!
//! The running process starts the binary anew and talks to it over its standard input. Up to the
//! word to go ([`wire::Said::Go`]) nothing is lost by any failure: the heir ends, and the workers go
//! on where they stood still.

mod heir;
mod wire;

use std::ffi::OsString;
use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;

pub(super) use heir::Heir;
pub(super) use wire::{Inheritance, Link};

use super::Desk;
use super::crew::{Crew, Instruction, Report};
use crate::driver::{UringDriver, sys};
use crate::worker::{Phase, Worker, WorkerRecord, hash_witness};
use wire::{DESCRIPTORS_MAX, FORMAT, Hello, Said, read_record};

/// Tells a process that it is started to take over, and from whom.
const VARIABLE: &str = "INHERIT_RINGCAST";
/// Each step of the heir, and each packet, takes no longer than this.
const PATIENCE: Duration = Duration::from_secs(20);
/// Publishes that wait for room, and questions to the callback, are waited for so long.
const FORCE_AFTER_MS: u64 = 1_000;
/// All that is owed has left by then, or everything goes on as it was.
const REST_WITHIN: Duration = Duration::from_secs(15);

/// Why everything goes on as it was.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("as process 1 of a container it cannot be followed by another: restart the container")]
    First,
    #[error("the node is on its way out")]
    Leaving,
    #[error("{0} cannot be started: {1}")]
    Start(PathBuf, io::Error),
    #[error("the new process ended, or said nothing, while it {0}: {1}")]
    Talk(&'static str, io::Error),
    #[error("the new process said {0} out of turn")]
    OutOfTurn(String),
    #[error("the new binary writes streams down in another way: it needs a cold restart")]
    Format,
    #[error("the new process refused: {0}")]
    Refused(String),
    #[error("what is under way did not end within {} s", REST_WITHIN.as_secs())]
    Restless,
    #[error("a worker could not give its connections away: {0}")]
    Carry(io::Error),
}

/// It has worked.
#[derive(Debug, Clone, Copy)]
pub(super) struct HandedOver {
    /// The process that serves now.
    pub(super) pid: u32,
    /// Streams and long-polls that it has.
    pub(super) streams: usize,
    /// How long no event was taken.
    pub(super) paused: Duration,
    /// How long all of it took.
    pub(super) took: Duration,
}

/// Listening sockets, which the heir gets too.
#[derive(Debug)]
pub(super) struct Sockets {
    pub(super) listeners: Vec<Vec<TcpListener>>,
    pub(super) admin: Option<TcpListener>,
}

impl Sockets {
    pub(super) fn of(
        listeners: &[Vec<TcpListener>],
        admin: Option<&TcpListener>,
    ) -> io::Result<Self> {
        let copy = |all: &Vec<TcpListener>| all.iter().map(TcpListener::try_clone).collect();
        Ok(Self {
            listeners: listeners.iter().map(copy).collect::<io::Result<_>>()?,
            admin: admin.map(TcpListener::try_clone).transpose()?,
        })
    }
}

/// How this process was started: its successor is started in the same way.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    program: PathBuf,
    arguments: Vec<OsString>,
}

impl Origin {
    /// As the process was called: what lies there now is started then, be it by a link that leads
    /// elsewhere by then.
    pub(super) fn read() -> io::Result<Self> {
        let mut arguments = std::env::args_os();
        let called = PathBuf::from(arguments.next().unwrap_or_default());
        let program = if called.components().count() > 1 {
            std::path::absolute(&called)?
        } else {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let found = std::env::split_paths(&path).map(|folder| folder.join(&called));
            found
                .into_iter()
                .find(|found| found.is_file())
                .map_or_else(std::env::current_exe, Ok)?
        };
        Ok(Self { program, arguments: arguments.collect() })
    }

    fn start(&self, link: Link) -> io::Result<Child> {
        Command::new(&self.program)
            .args(&self.arguments)
            .env(VARIABLE, std::process::id().to_string())
            .stdin(Stdio::from(link.into_inner()))
            .spawn()
    }
}

/// A process that can be followed by another.
#[derive(Debug)]
pub(super) struct Predecessor {
    pub(super) origin: Origin,
    pub(super) inheritance: Inheritance,
    /// None once the node is on its way out: its listeners are to be closed then.
    pub(super) sockets: Mutex<Option<Sockets>>,
    pub(super) crew: Crew,
}

impl HandedOver {
    /// Has it drain and end.
    pub(super) fn stop(self) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::TERM);
        }
    }
}

/// Waits for the signal and hands everything over, again and again until that has worked.
pub(super) async fn on_signal(
    signal: &mut tokio::signal::unix::Signal,
    predecessor: &Arc<Predecessor>,
    desk: &Desk,
    pause: &watch::Sender<bool>,
) -> HandedOver {
    loop {
        if signal.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        tracing::info!("a new process is to take over");
        let (predecessor, own_desk) = (Arc::clone(predecessor), desk.clone());
        let pause = pause.clone();
        // It waits for others most of the time, and must not hold up this thread.
        let handed = tokio::task::spawn_blocking(move || {
            predecessor.hand_over(&own_desk, |paused| {
                pause.send_replace(paused);
            })
        });
        match handed.await {
            Ok(Ok(handed)) => {
                let HandedOver { pid, streams, paused, took } = handed;
                let (paused_ms, took_ms) = (millis(paused), millis(took));
                tracing::info!(pid, streams, paused_ms, took_ms, "handed over");
                return handed;
            }
            Ok(Err(trouble)) => tell_failure(desk, &trouble.to_string()),
            Err(error) => tell_failure(desk, &error.to_string()),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn tell_failure(desk: &Desk, why: &str) {
    tracing::error!("not handed over, this process goes on: {why}");
    desk.node.handover.note_failure(sys::unix_ms(), why.to_owned());
}

impl Predecessor {
    /// There will be no restart any more.
    pub(super) fn close_sockets(&self) {
        *self.sockets.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Starts the binary anew and gives it everything. Blocks; when it returns well, this process
    /// serves nobody any more. `pause` is called before, and `resume` after it has failed, for what
    /// else takes connections.
    pub(super) fn hand_over(
        &self,
        desk: &Desk,
        pause: impl Fn(bool),
    ) -> Result<HandedOver, Trouble> {
        if std::process::id() == 1 {
            return Err(Trouble::First);
        }
        let begun = Instant::now();
        let (own, other) = Link::pair().map_err(|error| Trouble::Talk("was started", error))?;
        let talk = |error| Trouble::Talk("was started", error);
        own.patience(PATIENCE).map_err(talk)?;
        let start = |error| Trouble::Start(self.origin.program.clone(), error);
        let mut child = Started(Some(self.origin.start(other).map_err(start)?));
        let links = self.introduce(&own)?;
        pause(true);
        let rested = Instant::now();
        match self.give(desk, &own, links) {
            Ok(streams) => {
                let (paused, took) = (rested.elapsed(), begun.elapsed());
                let pid = child.keep();
                self.crew.instruct_all(|| Instruction::Leave);
                let handed = HandedOver { pid, streams, paused, took };
                if desk.node.phase() != Phase::Ready {
                    // Whoever has meanwhile stopped this process wanted the server to stop.
                    handed.stop();
                }
                Ok(handed)
            }
            Err(trouble) => {
                // It must have let go of all sockets before they are used here again.
                drop(child);
                desk.node.handover.call_off();
                self.crew.instruct_all(|| Instruction::Resume);
                desk.ring_all();
                pause(false);
                Err(trouble)
            }
        }
    }

    /// Tells the heir what it needs to begin; returns a connection to it for each worker.
    fn introduce(&self, heir: &Link) -> Result<Vec<Link>, Trouble> {
        let talk = |error| Trouble::Talk("began", error);
        match expect(heir, "read its settings")? {
            Said::Hello(hello) if hello == own_hello() => {}
            Said::Hello(_) => return Err(Trouble::Format),
            other => return Err(Trouble::OutOfTurn(format!("{other:?}"))),
        }
        heir.say(&Said::Begin(Box::new(self.inheritance.clone()))).map_err(talk)?;
        let sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sockets) = sockets.as_ref() else { return Err(Trouble::Leaving) };
        for (worker, listeners) in sockets.listeners.iter().enumerate() {
            for listener in listeners {
                heir.say_with(&Said::Listener(worker), &[listener.as_fd()]).map_err(talk)?;
            }
        }
        if let Some(admin) = &sockets.admin {
            heir.say_with(&Said::Admin, &[admin.as_fd()]).map_err(talk)?;
        }
        let mut links = Vec::new();
        for worker in 0..sockets.listeners.len() {
            let (own, other) = Link::pair().map_err(talk)?;
            own.patience(PATIENCE).map_err(talk)?;
            heir.say_with(&Said::Link(worker), &[other.into_inner().as_fd()]).map_err(talk)?;
            links.push(own);
        }
        heir.say(&Said::Ready).map_err(talk)?;
        match expect(heir, "began")? {
            Said::Ready => Ok(links),
            other => Err(Trouble::OutOfTurn(format!("{other:?}"))),
        }
    }

    /// Brings the workers to rest and gives all they know away; returns how many streams.
    fn give(&self, desk: &Desk, heir: &Link, links: Vec<Link>) -> Result<usize, Trouble> {
        let talk = |error| Trouble::Talk("took over", error);
        let (node, workers) = (&desk.node, links.len());
        node.handover.rest(sys::mono_ms() + FORCE_AFTER_MS);
        desk.ring_all();
        let until = Instant::now() + REST_WITHIN;
        while !node.handover.all_rest() {
            if node.phase() != Phase::Ready {
                return Err(Trouble::Leaving);
            }
            if Instant::now() > until {
                return Err(Trouble::Restless);
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        node.handover.freeze();
        desk.ring_all();
        for _ in 0..workers {
            match self.crew.report(PATIENCE) {
                Some(Report::Frozen) => {}
                _ => return Err(Trouble::Restless),
            }
        }
        for (worker, link) in links.into_iter().enumerate() {
            self.crew.instruct(worker, Instruction::Carry(link));
        }
        heir.say_record(&Said::Node, &node.record()).map_err(talk)?;
        let mut streams = 0;
        for _ in 0..workers {
            match self.crew.report(PATIENCE) {
                Some(Report::Carried(Ok(carried))) => streams += carried,
                Some(Report::Carried(Err(error))) => return Err(Trouble::Carry(error)),
                _ => return Err(Trouble::Carry(io::ErrorKind::TimedOut.into())),
            }
        }
        match expect(heir, "took over")? {
            Said::Adopted => {}
            other => return Err(Trouble::OutOfTurn(format!("{other:?}"))),
        }
        if node.phase() != Phase::Ready {
            return Err(Trouble::Leaving);
        }
        heir.say(&Said::Go).map_err(talk)?;
        Ok(streams)
    }
}

fn own_hello() -> Hello {
    Hello { format: FORMAT, witness: hash_witness() }
}

/// What the heir says next; its own reason where it gives up.
fn expect(heir: &Link, step: &'static str) -> Result<Said, Trouble> {
    match heir.hear() {
        Ok((Said::Refused(why), _)) => Err(Trouble::Refused(why)),
        Ok((said, _)) => Ok(said),
        Err(error) => Err(Trouble::Talk(step, error)),
    }
}

/// A process that ends with this value, unless it is kept.
struct Started(Option<Child>);

impl Started {
    /// Lets it live on. Its number.
    fn keep(&mut self) -> u32 {
        self.0.take().map_or(0, |child| child.id())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Gives all connections of a worker that stands still to the heir's; returns how many streams.
pub(super) fn carry(worker: &mut Worker<UringDriver>, link: &Link) -> io::Result<usize> {
    let (record, socks) = worker.record();
    link.say_record(&Said::Worker, &record)?;
    for some in socks.chunks(DESCRIPTORS_MAX) {
        let lent = worker.lend(some).map_err(|errno| io::Error::from_raw_os_error(errno.0))?;
        let lent: Vec<_> = lent.iter().map(AsFd::as_fd).collect();
        link.say_with(&Said::Sockets, &lent)?;
    }
    Ok(record.streams())
}

/// Takes them.
pub(super) fn take(worker: &mut Worker<UringDriver>, link: &Link) -> io::Result<()> {
    let (said, descriptors) = link.hear()?;
    let Said::Worker = said else { return Err(out_of_turn(&said)) };
    let record: WorkerRecord = read_record(descriptors)?;
    let mut socks = Vec::with_capacity(record.connections());
    while socks.len() < record.connections() {
        let (said, descriptors) = link.hear()?;
        let Said::Sockets = said else { return Err(out_of_turn(&said)) };
        let adopted = worker.adopt(descriptors);
        socks.extend(adopted.map_err(|errno| io::Error::from_raw_os_error(errno.0))?);
    }
    worker.restore(record, &socks).map_err(|errno| io::Error::from_raw_os_error(errno.0))
}

fn out_of_turn(said: &Said) -> io::Error {
    io::Error::other(format!("{said:?} out of turn"))
}
