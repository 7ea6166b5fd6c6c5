//! The threads of the workers, and what the cold half tells them.

use std::net::TcpListener;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::Failure;
use super::restart::{Link, carry, take};
use crate::config::Settings;
use crate::driver::{Doorbells, UringDriver, UringSettings, sys};
use crate::journal::Reader;
use crate::worker::{Left, Node, Worker};

/// Told to a worker that stands still.
#[derive(Debug)]
pub(super) enum Instruction {
    /// Give all there is to the heir.
    Carry(Link),
    /// Go on.
    Resume,
    /// End, without a word to any connection.
    Leave,
}

/// Told by a worker.
#[derive(Debug)]
pub(super) enum Report {
    /// It stands still.
    Frozen,
    /// It has given all there is, so many streams of it.
    Carried(std::io::Result<usize>),
}

/// The workers that run.
#[derive(Debug)]
pub(super) struct Crew {
    threads: Mutex<Vec<JoinHandle<()>>>,
    instructions: Vec<Sender<Instruction>>,
    reports: Mutex<Receiver<Report>>,
}

/// What one worker begins with.
struct Place {
    index: usize,
    connections_max: usize,
    core: Option<core_affinity::CoreId>,
    listeners: Vec<TcpListener>,
    reader: Reader,
    /// Where its connections come from.
    from: Option<Link>,
    instructions: Receiver<Instruction>,
    reports: Sender<Report>,
}

/// The workers have all there is and wait for the word to turn.
#[derive(Debug)]
pub(super) struct Waiting {
    crew: Crew,
    go: Vec<Sender<()>>,
}

impl Waiting {
    pub(super) fn go(self) -> Crew {
        for go in &self.go {
            let _ = go.send(());
        }
        self.crew
    }
}

impl Crew {
    /// Starts a worker on each set of listeners. Those with a link take the connections over that
    /// come by it.
    pub(super) fn start(
        settings: &Settings,
        node: &Arc<Node>,
        doorbells: &Arc<Doorbells>,
        listeners: Vec<Vec<TcpListener>>,
        readers: Vec<Reader>,
        from: Vec<Link>,
    ) -> Result<Waiting, Failure> {
        let cores = core_affinity::get_core_ids().unwrap_or_default();
        let wanted = node.live().options.connections_max;
        // Eight rings' tables a worker by default; more where the limit of connections asks for it.
        let default_max = sys::descriptor_limit().saturating_mul(8);
        let set = settings.limits.connections_max.is_some();
        let connections_max = if set { wanted } else { wanted.min(default_max) };
        let (reports, all_reports) = mpsc::channel();
        let (started, starts) = mpsc::channel();
        let (mut threads, mut instructions, mut go) = (Vec::new(), Vec::new(), Vec::new());
        let mut from = from.into_iter();
        for ((index, listeners), reader) in listeners.into_iter().enumerate().zip(readers) {
            let (instruct, own_instructions) = mpsc::channel();
            let (say_go, may_go) = mpsc::channel();
            let place = Place {
                index,
                connections_max,
                core: cores.get(index % cores.len().max(1)).copied(),
                listeners,
                reader,
                from: from.next(),
                instructions: own_instructions,
                reports: reports.clone(),
            };
            let (node, doorbells, started) =
                (Arc::clone(node), Arc::clone(doorbells), started.clone());
            let thread = thread::Builder::new().name(format!("worker-{index}"));
            let thread = thread.spawn(move || work(place, &node, &doorbells, started, &may_go));
            threads.push(thread.map_err(Failure::Thread)?);
            instructions.push(instruct);
            go.push(say_go);
        }
        drop(started);
        for result in starts {
            result?;
        }
        let crew =
            Self { threads: Mutex::new(threads), instructions, reports: Mutex::new(all_reports) };
        Ok(Waiting { crew, go })
    }

    pub(super) fn instruct_all(&self, instruction: impl Fn() -> Instruction) {
        for worker in &self.instructions {
            let _ = worker.send(instruction());
        }
    }

    pub(super) fn instruct(&self, worker: usize, instruction: Instruction) {
        if let Some(worker) = self.instructions.get(worker) {
            let _ = worker.send(instruction);
        }
    }

    /// The next report; none where nobody has any within `patience`.
    pub(super) fn report(&self, patience: Duration) -> Option<Report> {
        let reports: MutexGuard<'_, _> =
            self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        reports.recv_timeout(patience).ok()
    }

    /// Waits until all have ended.
    pub(super) fn join(&self) {
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            let _ = thread.join();
        }
    }
}

/// The life of one worker's thread.
fn work(
    place: Place,
    node: &Arc<Node>,
    doorbells: &Arc<Doorbells>,
    started: Sender<Result<(), Failure>>,
    may_go: &Receiver<()>,
) {
    let Place { index, connections_max, core, listeners, reader, from, instructions, reports } =
        place;
    if !core.is_none_or(core_affinity::set_for_current) {
        tracing::warn!(worker = index, "not pinned: sched_setaffinity was refused");
    }
    let settings = UringSettings { connections_max, ..UringSettings::default() };
    let driver = match UringDriver::new(&settings, listeners, index, Arc::clone(doorbells)) {
        Ok(driver) => driver,
        Err(error) => return drop(started.send(Err(error.into()))),
    };
    let mut worker = Worker::new(Arc::clone(node), index, driver, reader);
    if let Some(link) = from
        && let Err(error) = take(&mut worker, &link)
    {
        return drop(started.send(Err(Failure::Inherit(error))));
    }
    let _ = started.send(Ok(()));
    // The starter waits until all have said so.
    drop(started);
    if may_go.recv().is_err() {
        return;
    }
    while worker.run() == Left::Frozen {
        let _ = reports.send(Report::Frozen);
        if stand_still(&mut worker, &instructions, &reports) {
            break;
        }
    }
    doorbells.clear(index);
    node.worker_left();
}

/// Does what it is told while the worker stands still. True: it ends.
fn stand_still(
    worker: &mut Worker<UringDriver>,
    instructions: &Receiver<Instruction>,
    reports: &Sender<Report>,
) -> bool {
    loop {
        match instructions.recv() {
            Ok(Instruction::Carry(link)) => {
                let _ = reports.send(Report::Carried(carry(worker, &link)));
            }
            Ok(Instruction::Resume) => return false,
            Ok(Instruction::Leave) | Err(_) => return true,
        }
    }
}
