//! The cold half: start, the operators' address, signals, stop.

mod act;
mod admin;
mod callback;
mod listen;
mod log;
mod options;
mod reload;
mod watch;

use std::fmt::Write;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use crate::auth::ConnectionNames;
use crate::auth::sign::{TokenRequest, sign};
use crate::auth::{Algorithm, Keys, Rules, keys};
use crate::config::{Loaded, Settings, Sources};
use crate::driver::{ControlBell, Doorbells, StartError, UringDriver, UringSettings, probe, sys};
use crate::journal::{Journal, Reader};
use crate::proto::sse::Epoch;
use crate::worker::{Node, Order, Phase, Worker};
use reload::Reload;

/// Exit codes (sysexits.h where it has one).
pub mod exit {
    /// A runtime failure.
    pub const FAILURE: u8 = 1;
    /// Arguments that cannot be followed.
    pub const USAGE: u8 = 2;
    /// io_uring is not available here.
    pub const UNAVAILABLE: u8 = 69;
    /// The address is in use.
    pub const IN_USE: u8 = 75;
    /// Bad configuration.
    pub const CONFIG: u8 = 78;
    /// A threshold of `bench` was missed.
    pub const MISSED: u8 = 99;
}

/// Why the server did not start, or ended.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("io_uring cannot be used: {0}")]
    Unavailable(#[from] probe::Unavailable),
    #[error("{0} is in use: stop the other server or choose another --listen")]
    InUse(SocketAddr),
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    #[error("no random numbers from the kernel")]
    Random,
    #[error("the secret cannot be used: {0}")]
    Secret(keys::KeyError),
    #[error("a worker did not start: {0}")]
    Worker(#[from] StartError),
    #[error("no thread for a worker: {0}")]
    Thread(std::io::Error),
    #[error("SIGTERM and SIGINT cannot be taken over: {0}")]
    Signals(std::io::Error),
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::Unavailable(_) => exit::UNAVAILABLE,
            Self::InUse(_) => exit::IN_USE,
            Self::Secret(_) => exit::CONFIG,
            _ => exit::FAILURE,
        }
    }
}

/// Runs the server until it is told to stop. `sources` are read again on a reload.
#[must_use]
pub fn serve(loaded: &Loaded, sources: Sources) -> ExitCode {
    let log = &loaded.settings.log;
    let level = log::init(log.level, log.format);
    match run(loaded, sources, level) {
        Ok(()) => {
            tracing::info!("stopped");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            tracing::error!(code = failure.code(), "{failure}");
            ExitCode::from(failure.code())
        }
    }
}

/// A random number of the kernel's.
fn random() -> Result<u64, Failure> {
    let rng = ring::rand::SystemRandom::new();
    let bytes = ring::rand::generate::<[u8; 8]>(&rng).map_err(|_| Failure::Random)?;
    Ok(u64::from_le_bytes(bytes.expose()))
}

fn run(loaded: &Loaded, sources: Sources, level: log::Verbosity) -> Result<(), Failure> {
    let settings = &loaded.settings;
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let workers = settings.worker_count(cores);
    sys::avoid_huge_pages();
    let report = probe::probe()?;
    sys::raise_descriptor_limit();
    let stall_max_ms = settings.stream.idle_timeout_ms;
    let (addresses, listeners) = listen::bind_all(&settings.listen, workers, stall_max_ms)?;
    let (admin_addresses, mut admin) =
        listen::bind_all(&[settings.admin.address], 1, stall_max_ms)?;
    let generated = keys::generate().map_err(|_| Failure::Random)?;
    let live = options::live(settings, &generated, workers).map_err(Failure::Secret)?;
    let (journal, readers) = Journal::new(
        options::journal(settings),
        Epoch::from_random(random()?),
        1,
        random()?,
        workers,
    );
    let ready_token = match &settings.auth.publish_token {
        None => demo_token(&live.keys, &live.rules, settings.auth.token_ttl),
        Some(_) => Some("$AUTH_TOKEN".to_owned()),
    };
    let names = ConnectionNames::generate().ok_or(Failure::Random)?;
    let node = Arc::new(Node::new(live, journal, names, workers, sys::unix_ms()));
    let doorbells = Arc::new(Doorbells::new(workers));
    // The cold half: one tokio-uring runtime on this, unpinned, thread.
    tokio_uring::start(async {
        let signals = admin::Signals::install().map_err(Failure::Signals)?;
        let threads = start_workers(settings, &node, &doorbells, listeners, readers)?;
        let admin_address = admin_addresses.first().copied();
        let screen = Screen { settings, addresses: &addresses, admin: admin_address, workers };
        print!("{}", screen.text(&report, ready_token.as_deref()));
        log_start(loaded, &addresses, workers, &report);
        tokio_uring::spawn(callback::run(Arc::clone(&node), Arc::clone(&doorbells)));
        let desk = Desk { node: Arc::clone(&node), doorbells };
        let reload = Reload {
            sources,
            running: loaded.values.clone(),
            generated,
            workers,
            node: Arc::clone(&node),
            level,
        };
        let listener = admin.pop().and_then(|mut one| one.pop());
        admin::serve(listener, signals, desk, reload).await;
        for thread in threads {
            let _ = thread.join();
        }
        Ok(())
    })
}

/// What the screen shows, for those who read logs.
fn log_start(loaded: &Loaded, addresses: &[SocketAddr], workers: usize, report: &probe::Report) {
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        pid = std::process::id(),
        listen = %addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        admin = %loaded.settings.admin.address,
        workers,
        "started"
    );
    tracing::info!("{report}");
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
}

/// What operators work with: the node, and the bells of its workers.
#[derive(Debug)]
pub(crate) struct Desk {
    node: Arc<Node>,
    doorbells: Arc<Doorbells>,
}

impl Desk {
    /// Leads the node into its next phase.
    pub(crate) fn go(&self, phase: Phase) {
        self.node.advance(phase);
        self.ring_all();
    }

    /// Has all workers do something.
    fn order_all(&self, order: impl Fn() -> Order) {
        for worker in 0..self.node.counters.len() {
            self.node.orders.put(worker, order());
        }
        self.ring_all();
    }

    fn ring_all(&self) {
        if let Ok(mut bell) = ControlBell::new() {
            for worker in 0..self.node.counters.len() {
                bell.ring(&self.doorbells, worker);
            }
        }
    }
}

fn start_workers(
    settings: &Settings,
    node: &Arc<Node>,
    doorbells: &Arc<Doorbells>,
    listeners: Vec<Vec<TcpListener>>,
    readers: Vec<Reader>,
) -> Result<Vec<thread::JoinHandle<()>>, Failure> {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let mut threads = Vec::new();
    let (started, starts) = std::sync::mpsc::channel();
    for ((index, listeners), reader) in listeners.into_iter().enumerate().zip(readers) {
        let core = cores.get(index % cores.len().max(1)).copied();
        let (node, doorbells, started) = (Arc::clone(node), Arc::clone(doorbells), started.clone());
        let wanted = node.live().options.connections_max;
        // Eight rings' tables a worker by default; more where the limit of connections asks for it.
        let default_max = sys::descriptor_limit().saturating_mul(8);
        let connections_max = if settings.limits.connections_max.is_some() {
            wanted
        } else {
            wanted.min(default_max)
        };
        let thread = thread::Builder::new().name(format!("worker-{index}"));
        let thread = thread.spawn(move || {
            let pinned = core.is_none_or(core_affinity::set_for_current);
            if !pinned {
                tracing::warn!(worker = index, "not pinned: sched_setaffinity was refused");
            }
            let settings = UringSettings { connections_max, ..UringSettings::default() };
            match UringDriver::new(&settings, listeners, index, Arc::clone(&doorbells)) {
                Ok(driver) => {
                    let _ = started.send(Ok(()));
                    // The starter waits until all have said so.
                    drop(started);
                    Worker::new(Arc::clone(&node), index, driver, reader).run();
                    doorbells.clear(index);
                    node.worker_left();
                }
                Err(error) => drop(started.send(Err(error))),
            }
        });
        threads.push(thread.map_err(Failure::Thread)?);
    }
    drop(started);
    for result in starts {
        result?;
    }
    Ok(threads)
}

/// A token that publishes everywhere, for the lines to paste.
fn demo_token(keys: &Keys, rules: &Rules, ttl_s: u64) -> Option<String> {
    let now_unix_s = sys::unix_ms() / 1_000;
    let request = TokenRequest {
        sub: Some("quickstart".to_owned()),
        tenant: None,
        channels: None,
        publish: vec!["**".to_owned()],
        admin: false,
        ttl_s: Some(ttl_s),
    };
    let claims = request.claims(rules, now_unix_s).ok()?;
    sign(&claims, keys, Algorithm::Hs256).ok()
}

/// What the operator sees first.
struct Screen<'a> {
    settings: &'a Settings,
    addresses: &'a [SocketAddr],
    admin: Option<SocketAddr>,
    workers: usize,
}

impl Screen<'_> {
    fn text(&self, report: &probe::Report, token: Option<&str>) -> String {
        let mut text = String::new();
        let mut line = |line: String| {
            let _ = writeln!(text, "{line}");
        };
        let all: Vec<String> = self.addresses.iter().map(|a| format!("http://{a}")).collect();
        line(format!("ringcast {} ({report})", env!("CARGO_PKG_VERSION")));
        line(format!("listening on {}", all.join(", ")));
        if let Some(admin) = self.admin {
            line(format!("admin on http://{admin}"));
        }
        line(format!("{} workers, descriptors {}", self.workers, sys::descriptor_limit()));
        let url = self.addresses.first().map(|address| {
            let ip = address.ip();
            let shown = if ip.is_unspecified() { "127.0.0.1".to_owned() } else { ip.to_string() };
            format!("http://{shown}:{}", address.port())
        });
        let url = url.unwrap_or_default();
        line("\nsubscribe:".to_owned());
        line(format!("  curl -N {url}/sse/news"));
        if let Some(token) = token {
            line("publish (in another terminal):".to_owned());
            line(
                format!("  curl -H 'Authorization: Bearer {token}' -d 'hello' {url}/publish/news")
                    .replace('\'', if token.starts_with('$') { "\"" } else { "'" }),
            );
        }
        if !self.settings.auth.has_secret() {
            line("\nNo JWT_SECRET is set: this token and all others end with this run.".to_owned());
            line("Set a lasting one:  export JWT_SECRET=$(openssl rand -hex 32)".to_owned());
        }
        text
    }
}
