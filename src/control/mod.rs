//! The cold half: start, the operators' address, signals, stop.

mod admin;
mod listen;
mod log;
mod watch;

use std::fmt::Write;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use crate::auth::sign::{TokenRequest, sign};
use crate::auth::{Algorithm, Keys, PublisherToken, Rules, keys};
use crate::config::Settings;
use crate::driver::{ControlBell, Doorbells, StartError, UringDriver, UringSettings, probe, sys};
use crate::journal::{Journal, JournalSettings, Namespaces, Reader, StoreSettings};
use crate::proto::http::HeadLimits;
use crate::proto::sse::Epoch;
use crate::worker::{Node, Options, Phase, Worker};

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

/// Runs the server until it is told to stop.
#[must_use]
pub fn serve(settings: &Settings) -> ExitCode {
    log::init(settings.log_level, settings.log_format);
    match run(settings) {
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

fn run(settings: &Settings) -> Result<(), Failure> {
    sys::avoid_huge_pages();
    let report = probe::probe()?;
    sys::raise_descriptor_limit();
    let (addresses, listeners) = listen::bind_all(&settings.listen, settings.workers)?;
    let (admin_addresses, mut admin) = listen::bind_all(&[settings.admin], 1)?;
    let generated = match &settings.jwt_secret {
        Some(_) => None,
        None => Some(keys::generate().map_err(|_| Failure::Random)?),
    };
    let secret = match (&settings.jwt_secret, &generated) {
        (Some(secret), _) => secret.as_bytes(),
        (None, generated) => generated.as_ref().map_or(&[][..], |secret| secret.as_bytes()),
    };
    let keys = Keys::single(secret).map_err(Failure::Secret)?;
    let publisher =
        settings.publish_token.as_ref().map(|token| PublisherToken::new(token.as_bytes()));
    let publisher = publisher.transpose().map_err(Failure::Secret)?;
    let (journal, readers) = Journal::new(
        journal_settings(settings),
        Epoch::from_random(random()?),
        1,
        random()?,
        settings.workers,
    );
    let options = options(settings);
    let now_unix_s = sys::unix_ms() / 1_000;
    let ready_token = settings.publish_token.clone().map_or_else(
        || demo_token(&keys, now_unix_s, settings.token_ttl_s),
        |_| Some("$AUTH_TOKEN".to_owned()),
    );
    let weak = keys.weak() > 0;
    let node = Arc::new(Node::new(
        options,
        journal,
        keys,
        settings.rules(),
        publisher,
        settings.workers,
        sys::unix_ms(),
    ));
    let doorbells = Arc::new(Doorbells::new(settings.workers));
    // The cold half: one tokio-uring runtime on this, unpinned, thread.
    tokio_uring::start(async {
        let signals = admin::Signals::install().map_err(Failure::Signals)?;
        let threads = start_workers(settings, &node, &doorbells, listeners, readers)?;
        let screen =
            Screen { settings, addresses: &addresses, admin: admin_addresses.first().copied() };
        print!("{}", screen.text(&report, ready_token.as_deref()));
        log_start(settings, &addresses, &report, weak);
        let stop = Stop { node: Arc::clone(&node), doorbells };
        let listener = admin.pop().and_then(|mut one| one.pop());
        admin::serve(node, listener, signals, stop).await;
        for thread in threads {
            let _ = thread.join();
        }
        Ok(())
    })
}

/// What the screen shows, for those who read logs.
fn log_start(settings: &Settings, addresses: &[SocketAddr], report: &probe::Report, weak: bool) {
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        pid = std::process::id(),
        listen = %addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        admin = %settings.admin,
        workers = settings.workers,
        "started"
    );
    tracing::info!("{report}");
    if weak {
        tracing::warn!("JWT_SECRET has fewer than 32 bytes and can be guessed");
    }
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
}

/// Tells all workers to drain, or to stop now.
#[derive(Debug)]
pub(crate) struct Stop {
    node: Arc<Node>,
    doorbells: Arc<Doorbells>,
}

impl Stop {
    pub(crate) fn go(&self, phase: Phase) {
        self.node.advance(phase);
        if let Ok(mut bell) = ControlBell::new() {
            for worker in 0..self.node.counters.len() {
                bell.ring(&self.doorbells, worker);
            }
        }
    }
}

fn options(settings: &Settings) -> Options {
    let limits = &settings.limits;
    let total = limits.connections_max.unwrap_or(1 << 20);
    Options {
        connections_max: total.div_ceil(settings.workers),
        head: HeadLimits { bytes_max: limits.head_bytes_max, ..HeadLimits::default() },
        body_bytes_max: limits.body_bytes_max,
        head_timeout_ms: limits.head_timeout_ms,
        body_timeout_ms: limits.body_timeout_ms,
        idle_timeout_ms: limits.idle_timeout_ms,
        heartbeat_ms: settings.heartbeat_ms,
        lifetime_max_ms: limits.lifetime_max_ms,
        stall_max_ms: limits.stall_max_ms,
        retry_ms: settings.retry_ms,
        channels_per_stream_max: limits.channels_per_stream_max,
        publish_timeout_ms: settings.publish_timeout_ms,
        drain_ms: settings.drain_ms,
        watch_hangup: settings.watch_hangup,
        anonymous: settings.anonymous,
        cookies: settings.cookies.clone(),
        ..Options::default()
    }
}

fn journal_settings(settings: &Settings) -> JournalSettings {
    let limits = &settings.journal;
    JournalSettings {
        entries: limits.entries_max,
        bytes_max: limits.bytes_max,
        recent_bytes: limits.recent_bytes_max,
        store: StoreSettings {
            namespaces: Namespaces::new(settings.namespaces.clone()),
            channels_max: limits.channels_max,
            idle_ms: limits.channel_idle_ms,
            ..StoreSettings::default()
        },
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
        let wanted = node.options.connections_max;
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
fn demo_token(keys: &Keys, now_unix_s: u64, ttl_s: u64) -> Option<String> {
    let request = TokenRequest {
        sub: Some("quickstart".to_owned()),
        tenant: None,
        channels: None,
        publish: vec!["**".to_owned()],
        admin: false,
        ttl_s: Some(ttl_s),
    };
    let claims = request.claims(&Rules::default(), now_unix_s).ok()?;
    sign(&claims, keys, Algorithm::Hs256).ok()
}

/// What the operator sees first.
struct Screen<'a> {
    settings: &'a Settings,
    addresses: &'a [SocketAddr],
    admin: Option<SocketAddr>,
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
        line(format!("{} workers, descriptors {}", self.settings.workers, sys::descriptor_limit()));
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
        if self.settings.jwt_secret.is_none() {
            line("\nNo JWT_SECRET is set: this token and all others end with this run.".to_owned());
            line("Set a lasting one:  export JWT_SECRET=$(openssl rand -hex 32)".to_owned());
        }
        text
    }
}
