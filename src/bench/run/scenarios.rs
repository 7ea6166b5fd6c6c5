//! What happens in each scenario, phase by phase.

use std::sync::atomic::Ordering::{Acquire, Release};
use std::thread;
use std::time::Instant;

use super::{Bench, OPEN_PATIENCE, Phases, SETTLE, SETTLE_IDLE, Sample, Used, seconds_between};
use crate::bench::batch::Batch;
use crate::bench::progress::Progress;
use crate::bench::report;
use crate::bench::shared::Order;
use crate::bench::{BenchError, Scenario};

impl Bench {
    pub(super) fn scenario(&mut self, begin: &Sample) -> Result<Phases, BenchError> {
        match self.plan.options.scenario {
            Scenario::Idle => self.idle(begin),
            Scenario::Replay => self.replay(),
            Scenario::Storm => self.storm(begin),
            Scenario::Mixed => {
                let mut phases = self.open_all(begin)?;
                let batches = vec![Batch::broadcasts(&self.plan), Batch::singles(&self.plan)];
                phases.delivered = self.deliver(batches)?;
                Ok(phases)
            }
            Scenario::Stall => self.stall(begin),
            Scenario::Connect
            | Scenario::Fanout
            | Scenario::Burst
            | Scenario::Channels
            | Scenario::Publish => {
                let mut phases = self.open_all(begin)?;
                if self.plan.options.stall_percent > 0 {
                    self.give(Order::Stall);
                }
                phases.delivered = self.deliver(self.events(0, self.plan.events))?;
                Ok(phases)
            }
        }
    }

    /// The run's events from one number up to another.
    fn events(&self, from: u64, until: u64) -> Vec<Batch> {
        vec![Batch::all(&self.plan, from..until)]
    }

    fn open_all(&mut self, begin: &Sample) -> Result<Phases, BenchError> {
        self.open(100)?;
        let opened = self.used_since(begin);
        thread::sleep(SETTLE);
        Ok(Phases { rss_full: self.rss(), opened, ..Phases::default() })
    }

    /// Half of the streams, all of them, a while of nothing, then some that come again, and an
    /// event that all must read.
    fn idle(&mut self, begin: &Sample) -> Result<Phases, BenchError> {
        self.open(50)?;
        thread::sleep(SETTLE_IDLE);
        let rss_half = self.rss().map(|rss| (rss, self.shared.opened.load(Acquire)));
        self.open(100)?;
        let opened = self.used_since(begin);
        thread::sleep(SETTLE_IDLE);
        let rss_full = self.rss();
        let held = self.hold();
        let mut delivered = self.deliver(self.events(0, self.plan.events))?;
        if self.plan.options.reconnect_percent > 0 {
            // The event just read has given every stream an id to come back with.
            let (begin, before) = (self.sample(), self.shared.arrived.load(Acquire));
            self.leave();
            self.publish(self.events(self.plan.events, self.plan.events + 1))?;
            let (back, from_ns) = (self.come_again()?, begin.at_ns);
            let again = self.drain(&begin, before);
            self.report.reconnects = Some(report::Reconnects {
                streams: back,
                missed_each: 1,
                seconds: seconds_between(from_ns, self.shared.now_ns()),
                ..report::Reconnects::default()
            });
            delivered = added(delivered, again);
        }
        Ok(Phases { rss_half, rss_full, opened, held, delivered })
    }

    /// Events first, then streams that read them from the beginning.
    fn replay(&mut self) -> Result<Phases, BenchError> {
        self.shared.latency_from_ns.store(u64::MAX, Release);
        self.publish(self.events(0, self.plan.events))?;
        let (begin, before) = (self.sample(), self.shared.arrived.load(Acquire));
        self.open(100)?;
        let opened = self.used_since(&begin);
        let streams = |channel: usize| u64::from(self.shared.listeners[channel].load(Acquire));
        let published = self.published.as_ref();
        self.expected = published.map_or(0, |published| {
            let all = published.tried.iter().enumerate();
            all.map(|(unit, tried)| tried * streams(self.plan.channel_of_unit(unit))).sum()
        });
        let delivered = self.drain(&begin, before);
        Ok(Phases { rss_full: self.rss(), opened, delivered, ..Phases::default() })
    }

    /// All break off and come again, first with nothing missed, then with all events missed.
    fn storm(&mut self, begin: &Sample) -> Result<Phases, BenchError> {
        let mut phases = self.open_all(begin)?;
        // One event on each channel: every stream has an id to come back with.
        let first = self.plan.units();
        self.deliver(self.events(0, first))?;
        self.shared.latency_from_ns.store(u64::MAX, Release);
        self.leave();
        let plain = self.sample();
        self.come_again()?;
        let plain_s = seconds_between(plain.at_ns, self.shared.now_ns());
        self.leave();
        self.publish(self.events(first, first + self.plan.events))?;
        let (again, before) = (self.sample(), self.shared.arrived.load(Acquire));
        let streams = self.come_again()?;
        let returned_s = seconds_between(again.at_ns, self.shared.now_ns());
        phases.delivered = self.drain(&again, before);
        let seconds = returned_s.max(phases.delivered.reading_s);
        self.report.reconnects = Some(report::Reconnects {
            streams,
            missed_each: self.plan.events / self.plan.options.channels as u64,
            seconds,
            plain_seconds: Some(plain_s),
            ratio: (plain_s > 0.0).then_some(seconds / plain_s),
        });
        Ok(phases)
    }

    /// The same events twice: once all read, once some have stopped.
    fn stall(&mut self, begin: &Sample) -> Result<Phases, BenchError> {
        let mut phases = self.open_all(begin)?;
        // Caches fill and buffers grow in the first events: they are not measured.
        let (warm, all) = (self.plan.units() * 20, self.plan.events);
        self.deliver(self.events(0, warm))?;
        let whole = self.deliver(self.events(warm, warm + all))?;
        let before = self.readers();
        self.give(Order::Stall);
        let reading = self.readers();
        let rss = self.rss();
        phases.delivered = self.deliver(self.events(warm + all, warm + 2 * all))?;
        let grown = self.rss().zip(rss).map(|(after, before)| after.saturating_sub(before));
        self.give(Order::Resume);
        // What the others are still owed, or are told they have lost.
        self.expected = u64::MAX;
        let (end, arrived) = (self.sample(), self.shared.arrived.load(Acquire));
        self.drain(&end, arrived);
        let rate = |used: &Used| {
            #[expect(clippy::cast_precision_loss, reason = "shown with a few digits")]
            let deliveries = (reading * all) as f64 / self.plan.options.channels as f64;
            if used.reading_s > 0.0 { deliveries / used.reading_s } else { 0.0 }
        };
        let (all_read, some_stalled) = (rate(&whole), rate(&phases.delivered));
        self.report.stall = Some(report::Stall {
            stalled: before.saturating_sub(reading),
            reading,
            per_second_before: all_read,
            per_second: some_stalled,
            ratio: (all_read > 0.0).then_some(some_stalled / all_read),
            rss_growth_bytes: grown,
        });
        Ok(phases)
    }

    /// Streams that read.
    fn readers(&self) -> u64 {
        self.shared.listeners.iter().map(|channel| u64::from(channel.load(Acquire))).sum()
    }

    /// Gives an order and waits until all rings have followed it.
    fn give(&self, order: Order) {
        self.shared.give(order);
        let start = Instant::now();
        while self.shared.obeyed.load(Acquire) < self.plan.rings as u64
            && start.elapsed() < OPEN_PATIENCE
        {
            thread::sleep(Progress::LOOK);
        }
    }

    /// The streams that reconnect break off.
    fn leave(&self) {
        self.give(Order::Leave);
        // The server learns of it in its own time.
        thread::sleep(SETTLE);
    }

    /// They come again; how many.
    fn come_again(&mut self) -> Result<u64, BenchError> {
        let away = (0..self.plan.options.connections).filter(|n| self.plan.reconnects(*n)).count();
        let (away, shared) = (away as u64, &self.shared);
        let (returned, ended) = (shared.returned.load(Acquire), shared.ended.load(Acquire));
        self.give(Order::Return);
        let progress = Progress::new("reconnecting", away);
        let (mut last, mut last_at) = (0, Instant::now());
        loop {
            let back = self.shared.returned.load(Acquire) - returned;
            let over = back + self.shared.ended.load(Acquire).saturating_sub(ended);
            progress.set(back);
            if over >= away {
                return Ok(back);
            }
            // While events come in, connects may have to wait for their turn.
            let moved = over + self.shared.arrived.load(Acquire);
            if moved != last {
                (last, last_at) = (moved, Instant::now());
            }
            if last_at.elapsed() >= OPEN_PATIENCE {
                self.shared.say(|| format!("no stream came again for {OPEN_PATIENCE:?}"));
                return Ok(back);
            }
            if self.rings.iter().any(std::thread::JoinHandle::is_finished) {
                return Err(self.ring_failure());
            }
            thread::sleep(std::time::Duration::from_millis(1));
        }
    }
}

fn added(one: Used, two: Used) -> Used {
    let mut sum = one;
    sum.server.used += two.server.used;
    sum.server.waited += two.server.waited;
    sum.client.used += two.client.used;
    sum.client.busiest += two.client.busiest;
    sum.elapsed_s += two.elapsed_s;
    sum.reading_s += two.reading_s;
    sum.arrived += two.arrived;
    sum
}
