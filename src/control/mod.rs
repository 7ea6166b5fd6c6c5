//! The cold half: start, the operators' address, signals, stop.

mod act;
mod admin;
mod begin;
mod callback;
mod crew;
mod listen;
mod log;
mod options;
mod reload;
mod restart;
mod watch;

use std::fmt::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::thread;

use sd_notify::NotifyState;

use crate::auth::sign::{TokenRequest, sign};
use crate::auth::{Algorithm, Keys, Rules, keys};
use crate::config::{Loaded, Settings, Sources};
use crate::driver::{ControlBell, Doorbells, StartError, probe, sys};
use crate::worker::{Node, Order, Phase};
use begin::Begun;
use reload::Reload;
use restart::{Heir, Origin, Predecessor};

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
    #[error("what the running server has cannot be taken over: {0}")]
    Inherit(std::io::Error),
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
    sys::avoid_huge_pages();
    let report = probe::probe()?;
    sys::raise_descriptor_limit();
    let mut begun = match Heir::of_environment().map_err(Failure::Inherit)? {
        None => Begun::fresh(settings, settings.worker_count(cores))?,
        Some(heir) => Begun::inherited(settings, heir)?,
    };
    let (workers, node) = (begun.inheritance.workers, Arc::clone(&begun.node));
    let doorbells = Arc::new(Doorbells::new(workers));
    // The cold half: one tokio-uring runtime on this, unpinned, thread.
    tokio_uring::start(async {
        let signals = admin::Signals::install().map_err(Failure::Signals)?;
        let crew = begun.start(settings, &doorbells)?;
        if !begun.is_heir() {
            let live = node.live();
            let ready_token = match &settings.auth.publish_token {
                None => demo_token(&live.keys, &live.rules, settings.auth.token_ttl),
                Some(_) => Some("$AUTH_TOKEN".to_owned()),
            };
            let admin = begun.inheritance.admin_address;
            let screen = Screen { settings, addresses: begun.addresses(), admin, workers };
            print!("{}", screen.text(&report, ready_token.as_deref()));
        }
        log_start(loaded, begun.addresses(), workers, &report);
        tell_supervisor(&[NotifyState::MainPid(std::process::id()), NotifyState::Ready]);
        tokio_uring::spawn(callback::run(Arc::clone(&node), Arc::clone(&doorbells)));
        let desk = Desk { node: Arc::clone(&node), doorbells };
        let reload = Reload {
            sources,
            running: loaded.values.clone(),
            generated: begun.generated(),
            workers,
            node: Arc::clone(&node),
            level,
        };
        let predecessor = Arc::new(Predecessor {
            origin: Origin::read().map_err(Failure::Inherit)?,
            inheritance: begun.inheritance,
            sockets: Mutex::new(Some(begun.sockets)),
            crew,
        });
        admin::serve(begun.admin, signals, desk, reload, Arc::clone(&predecessor)).await;
        predecessor.crew.join();
        Ok(())
    })
}

/// Tells systemd, or whoever has set NOTIFY_SOCKET (sd_notify(3)).
fn tell_supervisor(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!("NOTIFY_SOCKET cannot be told: {error}");
    }
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
#[derive(Debug, Clone)]
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
