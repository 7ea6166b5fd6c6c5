//! The phases of a run: open, hold, publish, drain, close, report.

mod fill;
mod scenarios;

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::batch::Batch;
use super::progress::Progress;
use super::report::{self, Report};
use super::server::{Cpu, CpuSample, Process};
use super::shared::Shared;
use super::{BenchError, Options, Plan, publisher, streams};
use crate::driver::sys;

/// Opening ends when nothing opens for so long.
const OPEN_PATIENCE: Duration = Duration::from_secs(10);
/// Before memory is read: servers give buffers of the start back.
const SETTLE: Duration = Duration::from_millis(300);
const SETTLE_IDLE: Duration = Duration::from_millis(1_500);
/// After the last publish, reading ends when nothing has come for so long ...
const DRAIN_PATIENCE: Duration = Duration::from_secs(2);
/// ... and in any case after so long.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(60);
/// Above this share of a core the load tool may be what was measured.
const LIMIT_PERCENT: f64 = 95.0;

/// Readings of the server and of this program at one moment.
#[derive(Debug, Clone, Default)]
struct Sample {
    server: Option<CpuSample>,
    client: Option<CpuSample>,
    at_ns: u64,
}

/// A phase's processor time.
#[derive(Debug, Clone, Copy, Default)]
struct Used {
    server: Cpu,
    client: Cpu,
    elapsed_s: f64,
    /// Until the last read, which may be earlier.
    reading_s: f64,
    /// Events read meanwhile.
    arrived: u64,
}

struct Bench {
    plan: Arc<Plan>,
    shared: Arc<Shared>,
    server: Option<Process>,
    rings: Vec<JoinHandle<Result<streams::Outcome, BenchError>>>,
    cores: usize,
    opening_s: f64,
    /// All that was published so far.
    published: Option<publisher::Outcome>,
    /// Reads of it that are due, of the streams that read.
    expected: u64,
    report: Report,
}

/// What the phases have measured of the server and of this program.
#[derive(Debug, Default)]
struct Phases {
    /// With so many streams open.
    rss_half: Option<(u64, u64)>,
    rss_full: Option<u64>,
    opened: Used,
    held: Used,
    delivered: Used,
}

/// Runs the load and reports.
///
/// # Errors
/// When nothing was measured: see [`BenchError`].
pub fn run(options: Options) -> Result<Report, BenchError> {
    sys::raise_descriptor_limit();
    let run_number = u32::try_from(sys::unix_ms() & 0xffff_ffff).unwrap_or_default();
    let mark = run_number.rotate_left(7) ^ std::process::id();
    let (slots_max, now_s) = (sys::descriptor_limit(), sys::unix_ms() / 1_000);
    let plan = Arc::new(Plan::new(options, slots_max, mark, now_s)?);
    let shared = Arc::new(Shared::new(plan.options.channels));
    let server = match plan.options.server_pid {
        Some(pid) => Some(Process(pid)),
        None => Process::listening_on(plan.target),
    };
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let report = Report {
        scenario: plan.options.scenario.name(),
        url: plan.options.url.clone(),
        version: env!("CARGO_PKG_VERSION"),
        data_bytes: plan.options.data_bytes,
        channels: plan.options.channels,
        ..Report::default()
    };
    let mut bench = Bench {
        plan,
        shared,
        server,
        rings: Vec::new(),
        cores,
        opening_s: 0.0,
        published: None,
        expected: 0,
        report,
    };
    let outcome = bench.go();
    if outcome.is_err() {
        bench.shared.over.store(true, Release);
        bench.rings.drain(..).for_each(|ring| drop(ring.join()));
    }
    outcome.map(|()| bench.report)
}

impl Bench {
    fn go(&mut self) -> Result<(), BenchError> {
        let rss_before = self.rss();
        let begin = self.sample();
        self.start_rings()?;
        let phases = self.scenario(&begin)?;
        let rss_end = self.rss();
        let whole = self.used_since(&begin);
        self.shared.over.store(true, Release);
        let rings = self.join()?;
        self.fill(&rings, phases.delivered.reading_s);
        if let Some(server) = self.server {
            let mut about = report::Server {
                pid: server.0,
                name: server.name().unwrap_or_default(),
                rss_before_bytes: rss_before.unwrap_or(0),
                rss_half_bytes: phases.rss_half.map(|(rss, _)| rss),
                rss_full_bytes: phases.rss_full.unwrap_or(0),
                rss_end_bytes: rss_end.unwrap_or(0),
                cpu_connecting_s: phases.opened.server.used.as_secs_f64(),
                cpu_holding_s: phases.held.server.used.as_secs_f64(),
                cpu_delivering_s: phases.delivered.server.used.as_secs_f64(),
                waited_delivering_s: phases.delivered.server.waited.as_secs_f64(),
                ..report::Server::default()
            };
            self.fill_server(&mut about, phases.rss_half, phases.delivered.arrived);
            self.report.server = Some(about);
        }
        let delivers = phases.delivered.elapsed_s > 0.0 && phases.rss_half.is_none();
        self.fill_client(if delivers { phases.delivered } else { whole });
        self.judge(&rings);
        Ok(())
    }

    fn start_rings(&mut self) -> Result<(), BenchError> {
        for ring in 0..self.plan.rings {
            let (plan, shared) = (Arc::clone(&self.plan), Arc::clone(&self.shared));
            let thread = thread::Builder::new().name(format!("streams-{ring}"));
            let thread = thread.spawn(move || streams::run(&plan, &shared, ring));
            self.rings.push(thread.map_err(BenchError::Thread)?);
        }
        Ok(())
    }

    /// Opens up to so many percent of the streams and waits until they are open or hopeless.
    fn open(&mut self, percent: u32) -> Result<(), BenchError> {
        let shared = Arc::clone(&self.shared);
        let rings = (0..self.plan.rings).map(|ring| self.plan.streams_of_ring(ring).len());
        let wanted: u64 = rings.map(|streams| (streams * percent as usize / 100) as u64).sum();
        let progress = Progress::new("opening", wanted);
        shared.share_percent.store(percent, Release);
        let start = Instant::now();
        let (mut last, mut last_at) = (0, start);
        loop {
            let opened = shared.opened.load(Acquire);
            let tried = opened + shared.failed.load(Acquire);
            progress.set(opened);
            if tried >= wanted {
                break;
            }
            if tried != last {
                (last, last_at) = (tried, Instant::now());
            }
            if last_at.elapsed() >= OPEN_PATIENCE {
                shared.say(|| format!("no stream was opened for {OPEN_PATIENCE:?}"));
                break;
            }
            if self.rings.iter().any(JoinHandle::is_finished) {
                return Err(self.ring_failure());
            }
            thread::sleep(Progress::LOOK);
        }
        self.opening_s += start.elapsed().as_secs_f64();
        if percent == 100 {
            shared.opening_over.store(true, Release);
        }
        if shared.opened.load(Acquire) == 0 && wanted > 0 {
            return Err(BenchError::NoStream(shared.error().unwrap_or_default()));
        }
        Ok(())
    }

    /// A ring has left too early: why.
    fn ring_failure(&mut self) -> BenchError {
        let mut failure = BenchError::Lost;
        self.shared.over.store(true, Release);
        for ring in self.rings.drain(..) {
            if let Ok(Err(error)) = ring.join() {
                failure = error;
            }
        }
        failure
    }

    fn hold(&self) -> Used {
        let begin = self.sample();
        let duration = self.plan.options.duration;
        let progress =
            Progress::new("holding (ms)", u64::try_from(duration.as_millis()).unwrap_or(0));
        let start = Instant::now();
        while start.elapsed() < duration {
            progress.set(u64::try_from(start.elapsed().as_millis()).unwrap_or(0));
            thread::sleep(Duration::from_millis(50).min(duration));
        }
        self.used_since(&begin)
    }

    /// Publishes these batches side by side; the processor time of doing so.
    fn publish(&mut self, batches: Vec<Batch>) -> Result<Duration, BenchError> {
        let wanted = batches.iter().map(Batch::len).sum();
        let before = self.shared.published.load(Acquire);
        let progress = Progress::new("publishing", wanted);
        let mut publishers = Vec::new();
        for batch in batches {
            let (plan, shared) = (Arc::clone(&self.plan), Arc::clone(&self.shared));
            let thread = thread::Builder::new().name("publisher".to_owned());
            let thread = thread.spawn(move || publisher::run(&plan, &shared, batch));
            publishers.push(thread.map_err(BenchError::Thread)?);
        }
        while !publishers.iter().all(JoinHandle::is_finished) {
            progress.set(self.shared.published.load(Acquire) - before);
            thread::sleep(Progress::LOOK);
        }
        drop(progress);
        let mut all: Option<publisher::Outcome> = None;
        for publisher in publishers {
            let outcome = publisher.join().map_err(|_| BenchError::Lost)??;
            match &mut all {
                // Side by side: as long as the longest.
                Some(all) => {
                    let time = all.time.max(outcome.time);
                    all.add(outcome);
                    all.time = time;
                }
                None => all = Some(outcome),
            }
        }
        let Some(outcome) = all else { return Ok(Duration::ZERO) };
        let cpu = outcome.cpu;
        if outcome.accepted == 0 && wanted > 0 {
            let stopped = outcome.stopped.unwrap_or("nothing was answered").to_owned();
            return Err(BenchError::NoPublish(outcome.error.unwrap_or(stopped)));
        }
        self.expected += self.readers_of(&outcome);
        match &mut self.published {
            Some(published) => published.add(outcome),
            None => self.published = Some(outcome),
        }
        Ok(cpu)
    }

    /// Reads that are due of what was just published.
    fn readers_of(&self, outcome: &publisher::Outcome) -> u64 {
        let listeners = |unit: usize| {
            let channel = self.plan.channel_of_unit(unit);
            u64::from(self.shared.listeners[channel].load(Acquire))
        };
        let before = |unit: usize| self.published.as_ref().map_or(0, |all| all.tried[unit]);
        let tried = outcome.tried.iter().enumerate();
        let new = tried.map(|(unit, tried)| (unit, tried.saturating_sub(before(unit))));
        let all: u64 = new.map(|(unit, new)| new * listeners(unit)).sum();
        let failed = outcome.failed.iter().map(|number| self.plan.unit(*number));
        all.saturating_sub(failed.map(listeners).sum())
    }

    /// Publishes, then waits until all is read or nothing comes any more.
    fn deliver(&mut self, batches: Vec<Batch>) -> Result<Used, BenchError> {
        if batches.iter().all(Batch::is_empty) {
            return Ok(Used::default());
        }
        let (begin, before) = (self.sample(), self.shared.arrived.load(Acquire));
        let publishers = self.publish(batches)?;
        let mut used = self.drain(&begin, before);
        // Their threads have ended and are not in the sample any more.
        used.client.used += publishers;
        used.client.busiest = used.client.busiest.max(publishers);
        Ok(used)
    }

    /// Waits for the reads that are due; what was used since `begin`, with the reads since
    /// `before`.
    fn drain(&self, begin: &Sample, before: u64) -> Used {
        let expected = self.expected;
        let progress = Progress::new("reading", expected);
        let end = Instant::now() + DRAIN_TIMEOUT;
        let (mut last, mut last_at) = (u64::MAX, Instant::now());
        let mut last_ns = self.shared.now_ns();
        loop {
            let arrived = self.shared.arrived.load(Acquire);
            progress.set(arrived);
            if arrived != last {
                (last, last_at, last_ns) = (arrived, Instant::now(), self.shared.now_ns());
            }
            let quiet = last_at.elapsed() >= DRAIN_PATIENCE;
            if arrived >= expected || quiet || Instant::now() >= end {
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
        let mut used = self.used_since(begin);
        used.reading_s = seconds_between(begin.at_ns, last_ns);
        used.arrived = last.saturating_sub(before);
        used
    }

    fn join(&mut self) -> Result<Vec<streams::Outcome>, BenchError> {
        let rings = self.rings.drain(..).map(|ring| ring.join().map_err(|_| BenchError::Lost)?);
        rings.collect()
    }

    fn rss(&self) -> Option<u64> {
        self.server.and_then(Process::rss_bytes)
    }

    fn sample(&self) -> Sample {
        Sample {
            server: self.server.and_then(Process::cpu),
            client: Process::this().cpu(),
            at_ns: self.shared.now_ns(),
        }
    }

    fn used_since(&self, before: &Sample) -> Used {
        let now = self.sample();
        let since = |now: &Option<CpuSample>, before: &Option<CpuSample>| match (now, before) {
            (Some(now), Some(before)) => now.since(before),
            _ => Cpu::default(),
        };
        Used {
            server: since(&now.server, &before.server),
            client: since(&now.client, &before.client),
            elapsed_s: seconds_between(before.at_ns, now.at_ns),
            reading_s: 0.0,
            arrived: 0,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with a few digits")]
fn seconds_between(from_ns: u64, until_ns: u64) -> f64 {
    until_ns.saturating_sub(from_ns) as f64 / 1e9
}

/// `of` divided by `by`; none if that is nothing.
#[expect(clippy::cast_precision_loss, reason = "shown with a few digits")]
fn ratio(of: f64, by: u64) -> Option<f64> {
    (by > 0).then(|| of / by as f64)
}
