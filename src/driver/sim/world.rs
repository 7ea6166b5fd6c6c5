//! The scheduler of a run: who turns next, what time it is, when it is over.

use fastrand::Rng;

use super::client::{Client, Publisher, Subscriber};
use super::driver::{SimDriver, SimKernel};
use super::flaw::{Failure, Flaw};
use super::kernel::{Kernel, START_US};
use super::ledger::Ledger;
use super::net::Net;
use super::script::Script;
use super::side::Side;

/// Steps of one run, at most.
const STEPS_MAX: u64 = 2_000_000;
/// Virtual time of one phase, at most.
const PHASE_US_MAX: u64 = 120_000_000;
/// Faults end at this moment at the latest.
const FAULTS_UNTIL_US: u64 = START_US + 30_000_000;
/// A turn takes this long, microseconds, at most; sends come on top.
const TURN_US_MAX: u64 = 30;
/// How often a phase looks whether it is over, in steps.
const LOOK_EVERY: u64 = 16;

/// The workers of a run.
pub(crate) trait Fleet {
    /// One turn of a worker.
    fn turn(&mut self, worker: usize);

    /// Connections of a worker.
    fn connections(&self, worker: usize) -> usize;

    /// What a worker can say to be wrong with itself.
    fn check(&self, worker: usize) -> Result<(), String>;

    /// The node shall empty itself.
    fn drain(&mut self);

    /// A worker has emptied itself and will not turn again.
    fn is_finished(&self, worker: usize) -> bool;
}

/// One run.
#[derive(Debug)]
pub(crate) struct World {
    seed: u64,
    script: Script,
    kernel: SimKernel,
    ledger: Ledger,
    clients: Vec<Client>,
    paused_until_us: Vec<u64>,
    steps: u64,
    quiet: bool,
    leaving: bool,
}

impl World {
    /// A run of `seed`. The script is drawn from it, then `change` may change it.
    pub(crate) fn new(seed: u64, change: impl FnOnce(&mut Script)) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut script = Script::draw(&mut rng);
        change(&mut script);
        let mut ledger = Ledger::new(script.channels);
        ledger.channels.push("broadcast".to_owned());
        let mut clients = Vec::new();
        for _ in 0..script.publishers {
            clients.push(Client::Publisher(Publisher::new(&script, &mut rng)));
        }
        for _ in 0..script.subscribers {
            let client = Subscriber::new(&ledger.channels, script.ample, &mut rng);
            clients.push(Client::Subscriber(Box::new(client)));
        }
        let kernel = Kernel::new(rng, script.faults.clone(), script.workers, script.descriptors);
        Self {
            seed,
            kernel: SimKernel::new(kernel),
            ledger,
            clients,
            paused_until_us: vec![0; script.workers],
            steps: 0,
            quiet: false,
            leaving: false,
            script,
        }
    }

    pub(crate) fn script(&self) -> &Script {
        &self.script
    }

    pub(crate) fn driver(&self, worker: usize) -> SimDriver {
        self.kernel.driver(worker)
    }

    /// A number of the seed, for whoever builds the workers.
    pub(crate) fn draw(&self) -> u64 {
        self.kernel.with(|kernel| kernel.rng.u64(..))
    }

    /// Equal for two runs only if the same happened in both.
    pub(crate) fn checksum(&self) -> u64 {
        self.kernel.with(|kernel| kernel.trace.checksum())
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// The first broken promise, with the seed that shows it again.
    pub(crate) fn run(&mut self, fleet: &mut impl Fleet) -> Result<(), Failure> {
        self.run_phases(fleet).map_err(|flaw| {
            let trace = self.kernel.with(|kernel| kernel.trace.lines());
            Failure { seed: self.seed, flaw, trace }
        })
    }

    fn run_phases(&mut self, fleet: &mut impl Fleet) -> Result<(), Flaw> {
        for client in 0..self.clients.len() {
            let delay_us = self.kernel.with(|kernel| kernel.rng.u64(0..20_000));
            self.visit(client, |client, net| client.begin(net, delay_us));
        }
        self.run_until(fleet, "publishing", |world, fleet| {
            let now_us = world.kernel.with(|kernel| kernel.now_us);
            Ok(now_us > FAULTS_UNTIL_US || world.published(fleet)?)
        })?;
        self.quiet = true;
        self.paused_until_us.fill(0);
        let quiet = self.script.faults.quiet();
        self.kernel.with(|kernel| kernel.faults = quiet);
        self.visit_all(|client, net| client.calm(net));
        self.run_until(fleet, "catching up", Self::caught_up)?;
        if let Some(publisher) =
            self.clients.iter().position(|client| matches!(client, Client::Publisher(_)))
        {
            self.visit(publisher, |client, net| {
                if let Client::Publisher(publisher) = client {
                    publisher.publish_timely(net);
                }
            });
        }
        self.run_until(fleet, "the last events", Self::caught_up)?;
        self.leaving = true;
        if self.script.drain {
            fleet.drain();
            self.run_until(fleet, "draining", |world, fleet| {
                Ok((0..world.script.workers).all(|worker| fleet.is_finished(worker)))
            })?;
        } else {
            self.visit_all(|client, net| client.leave(net));
        }
        self.run_until(fleet, "leaving", |world, fleet| {
            let left = (0..world.script.workers).all(|worker| fleet.connections(worker) == 0);
            // What was accepted after a drained worker's last turn ends with its process.
            let open = world.kernel.with(|kernel| kernel.open_links()) + world.buffers_out();
            Ok(left && (open == 0 || world.script.drain))
        })
    }

    /// The publishers have got their answers.
    fn published(&mut self, _: &dyn Fleet) -> Result<bool, Flaw> {
        Ok(self.clients.iter().all(|client| match client {
            Client::Publisher(publisher) => publisher.is_done(),
            Client::Subscriber(_) => true,
        }))
    }

    /// The same, and all subscribers stream and have all that is due.
    fn caught_up(&mut self, fleet: &dyn Fleet) -> Result<bool, Flaw> {
        let mut done = self.published(fleet)?;
        for client in 0..self.clients.len() {
            done &= self.visit(client, |client, net| match client {
                Client::Subscriber(own) => {
                    let complete = own.is_complete(net)?;
                    Ok(complete && own.is_streaming())
                }
                Client::Publisher(_) => Ok(true),
            })?;
        }
        Ok(done)
    }

    /// Receive buffers that are not where they were.
    fn buffers_out(&self) -> usize {
        self.kernel.with(|kernel| kernel.sides.iter().map(Side::buffers_out).sum())
    }

    fn visit<T>(&mut self, client: usize, act: impl FnOnce(&mut Client, &mut Net<'_>) -> T) -> T {
        let (ledger, script) = (&mut self.ledger, &self.script);
        let (quiet, leaving) = (self.quiet, self.leaving);
        let who = &mut self.clients[client];
        self.kernel
            .with(|kernel| act(who, &mut Net { kernel, ledger, client, script, quiet, leaving }))
    }

    fn visit_all(&mut self, mut act: impl FnMut(&mut Client, &mut Net<'_>)) {
        for client in 0..self.clients.len() {
            self.visit(client, &mut act);
        }
    }

    fn run_until<F: Fleet>(
        &mut self,
        fleet: &mut F,
        phase: &'static str,
        is_over: impl Fn(&mut Self, &dyn Fleet) -> Result<bool, Flaw>,
    ) -> Result<(), Flaw> {
        let begun_us = self.kernel.with(|kernel| {
            kernel.note(phase, 0, 0, 0);
            kernel.now_us
        });
        loop {
            if self.steps.is_multiple_of(LOOK_EVERY) && is_over(self, fleet)? {
                return Ok(());
            }
            self.steps += 1;
            self.step(fleet)?;
            let now_us = self.kernel.with(|kernel| kernel.now_us);
            if self.steps >= STEPS_MAX || now_us - begun_us > PHASE_US_MAX {
                // Whoever can tell what is missing says more than "no end".
                is_over(self, fleet)?;
                let waits: Vec<String> = self.clients.iter().map(Client::waits).collect();
                let waits = waits.join("; ");
                return Err(Flaw::Stall { phase, steps: self.steps, waits });
            }
        }
    }

    /// Lets what is due happen, tells the clients, then turns one worker or lets time pass.
    fn step(&mut self, fleet: &mut impl Fleet) -> Result<(), Flaw> {
        let told = self.kernel.with(|kernel| {
            kernel.run_due();
            kernel.told.pop_front().map(|told| (kernel.client_of(&told), told))
        });
        if let Some((client, told)) = told {
            return self.visit(client, |client, net| client.hear(net, told));
        }
        match self.pick(fleet) {
            Some(worker) => {
                fleet.turn(worker);
                let paused_us = self.kernel.with(|kernel| {
                    kernel.now_us += kernel.rng.u64(1..=TURN_US_MAX);
                    let (pause, most) = (kernel.faults.pause, kernel.faults.pause_us_max);
                    let paused = kernel.chance(pause);
                    if paused { kernel.rng.u64(0..=most) } else { 0 }
                });
                let now_us = self.kernel.with(|kernel| kernel.now_us);
                self.paused_until_us[worker] = now_us + paused_us;
                fleet.check(worker).map_err(|what| Flaw::Broken { worker, what })?;
            }
            None => self.pass_time(fleet),
        }
        self.kernel.with(|kernel| kernel.flaw.take().map_or(Ok(()), Err))
    }

    /// A worker that has something to do, by lot.
    fn pick(&self, fleet: &impl Fleet) -> Option<usize> {
        self.kernel.with(|kernel| {
            let now_us = kernel.now_us;
            let wake_early = kernel.faults.wake_early;
            let ready: Vec<usize> = (0..self.script.workers)
                .filter(|worker| self.paused_until_us[*worker] <= now_us)
                .filter(|worker| !fleet.is_finished(*worker))
                .filter(|worker| {
                    kernel.sides[*worker].is_awake(now_us) || kernel.chance(wake_early)
                })
                .collect();
            (!ready.is_empty()).then(|| ready[kernel.rng.usize(0..ready.len())])
        })
    }

    /// Goes to the next moment at which anything happens.
    fn pass_time(&mut self, fleet: &impl Fleet) {
        let paused = &self.paused_until_us;
        self.kernel.with(|kernel| {
            let now_us = kernel.now_us;
            let workers = (0..kernel.sides.len()).filter(|worker| !fleet.is_finished(*worker));
            let wakes = workers.map(|worker| {
                let side = &kernel.sides[worker];
                let until_us = if side.is_awake(now_us) {
                    now_us
                } else {
                    side.sleep_until_us.unwrap_or(now_us)
                };
                until_us.max(paused[worker])
            });
            let next_us = wakes.chain(kernel.next_us()).min().unwrap_or(now_us);
            kernel.now_us = next_us.max(now_us + 1);
        });
    }
}
