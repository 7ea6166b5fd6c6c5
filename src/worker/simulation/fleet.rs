//! A node's workers, turned one at a time.

use std::sync::{Arc, OnceLock};

use super::Twist;
use crate::auth::sign::{TokenRequest, sign};
use crate::auth::{Algorithm, ConnectionNames, Keys, PublisherToken, Rules};
use crate::conn::State;
use crate::driver::sim::{Fleet, PUBLISH_TOKEN, Script, SimDriver, World};
use crate::journal::testing::{draft, epoch};
use crate::journal::{Journal, JournalSettings, Namespace, Namespaces, Overflow, StoreSettings};
use crate::worker::conns::{Conn, Half};
use crate::worker::{Live, Node, Options, Pace, Phase, Worker};

/// After so many turns a stopping publisher stops.
const STOP_TURN: u64 = 40;

pub(super) struct SimFleet {
    node: Arc<Node>,
    workers: Vec<Worker<SimDriver>>,
    asleep: Vec<bool>,
    turns: u64,
    twist: Twist,
}

fn keys() -> Keys {
    Keys::single(b"a secret of thirty-two bytes or more").expect("a key")
}

/// Allows to subscribe to everything, for ever.
pub(super) fn token() -> String {
    static TOKEN: OnceLock<String> = OnceLock::new();
    let make = || {
        let request = TokenRequest { sub: Some("sim".to_owned()), ..TokenRequest::default() };
        let claims = request.claims(&Rules::default(), 1).expect("claims");
        sign(&claims, &keys(), Algorithm::Hs256).expect("a token")
    };
    TOKEN.get_or_init(make).clone()
}

/// A small random number source for what the workers are built with.
struct Draws(fastrand::Rng);

impl Draws {
    fn store(&mut self, script: &Script, twist: Twist) -> StoreSettings {
        let ample = script.ample;
        let rng = &mut self.0;
        let namespace = if ample {
            let overflow = if script.conflates { Overflow::Conflate } else { Overflow::Skip };
            Namespace {
                history_events: 100_000,
                history_bytes: 64 << 20,
                overflow,
                ..Namespace::default()
            }
        } else {
            Namespace {
                history_events: rng.usize(0..20),
                history_age_ms: 10_u64.pow(rng.u32(2..6)),
                history_bytes: rng.usize(100..20_000),
                overflow: match rng.bool() {
                    _ if script.conflates => Overflow::Conflate,
                    true => Overflow::Skip,
                    false => Overflow::Disconnect,
                },
                laggard_window_bytes: rng.usize(0..4_000),
                ..Namespace::default()
            }
        };
        StoreSettings {
            namespaces: Namespaces::new(vec![namespace]),
            idle_ms: if ample { 600_000 } else { 10_u64.pow(rng.u32(1..5)) },
            leave_tombstones: !twist.no_tombstones,
            ..StoreSettings::default()
        }
    }

    fn journal(&mut self, store: StoreSettings, ample: bool) -> JournalSettings {
        let rng = &mut self.0;
        JournalSettings {
            entries: if rng.bool() { 1 << rng.u32(1..6) } else { 1 << 12 },
            bytes_max: if rng.bool() { rng.u64(30_000..200_000) } else { 64 << 20 },
            recent_bytes: if ample { 64 << 20 } else { rng.usize(0..20_000) },
            store,
        }
    }

    fn pace(&mut self) -> Pace {
        let rng = &mut self.0;
        let sends_max = rng.usize(1..6);
        Pace {
            small_members_max: rng.usize(0..4),
            read_max: rng.usize(1..20),
            sends_max,
            sends_max_shared: sends_max.div_ceil(2),
            run_bytes_max: if rng.bool() { rng.usize(100..2_000) } else { 48 << 10 },
        }
    }

    fn options(&mut self) -> Options {
        let rng = &mut self.0;
        let heartbeat_ms = rng.u64(200..5_000);
        let lifetime_max_ms = (rng.u8(0..4) == 0).then(|| rng.u64(500..20_000));
        let stall_max_ms = rng.u64(1_000..20_000);
        let connections_max = if rng.bool() { 1 << 14 } else { rng.usize(10..14) };
        let pace = if rng.u8(0..5) == 0 { Pace::default() } else { self.pace() };
        let rng = &mut self.0;
        Options {
            connections_max,
            heartbeat_ms,
            lifetime_max_ms,
            stall_max_ms,
            watch_hangup: rng.u8(0..4) > 0,
            compress: rng.bool(),
            pace,
            ..Options::default()
        }
    }
}

impl SimFleet {
    pub(super) fn new(world: &World, twist: Twist) -> Self {
        let mut draws = Draws(fastrand::Rng::with_seed(world.draw()));
        let script = world.script();
        let store = draws.store(script, twist);
        let settings = draws.journal(store, script.ample);
        let hash_seed = world.draw();
        let (journal, readers) = Journal::new(settings, epoch(), 1, hash_seed, script.workers);
        let publisher = PublisherToken::new(PUBLISH_TOKEN.as_bytes()).expect("a token");
        let live = Live {
            options: draws.options(),
            keys: keys(),
            rules: Rules::default(),
            publisher: Some(publisher),
            callback: None,
        };
        let names = ConnectionNames::generate().expect("randomness");
        let node = Arc::new(Node::new(live, journal, names, script.workers, 0));
        let workers = readers.into_iter().enumerate().map(|(index, reader)| {
            Worker::new(Arc::clone(&node), index, world.driver(index), reader)
        });
        let workers: Vec<_> = workers.collect();
        Self { asleep: vec![false; workers.len()], workers, node, turns: 0, twist }
    }

    fn stop_between(&self) {
        let mut draft = draft("channel.0", "claimed, never published");
        draft.targets = smallvec::smallvec![self.node.journal.key("channel.0")];
        let now = self.workers[0].now;
        let claimed = self.node.journal.claim(draft, now.mono_us, now.unix_ms);
        // The claim is what stays behind when the thread stops here.
        std::mem::forget(claimed);
    }
}

impl Fleet for SimFleet {
    fn turn(&mut self, worker: usize) {
        self.turns += 1;
        if self.twist.stops_between && self.turns == STOP_TURN {
            self.stop_between();
        }
        // A simulated sleep begins when the turn is over: nobody else ran since it looked last.
        let wakes = &self.node.journal.wakes;
        if std::mem::take(&mut self.asleep[worker]) {
            wakes.end_sleep(worker);
        }
        let own = &mut self.workers[worker];
        own.turn();
        if own.driver.is_asleep() {
            wakes.begin_sleep(worker);
            self.asleep[worker] = true;
        }
    }

    fn connections(&self, worker: usize) -> usize {
        self.workers[worker].connections()
    }

    fn check(&self, worker: usize) -> Result<(), String> {
        let own = &self.workers[worker];
        let streams = own.conns.iter().filter(|conn| conn.linked).count();
        if own.streams != streams {
            return Err(format!("{streams} streams, {} are counted", own.streams));
        }
        let lag = |conn: &&Conn| conn.state == State::Streaming && conn.behind;
        let lagging = own.conns.iter().filter(lag).count();
        if own.lagging != lagging {
            return Err(format!("{lagging} lag, {} are counted", own.lagging));
        }
        let streams = own.conns.iter().filter(|conn| conn.form.is_shared());
        let held = streams.filter_map(|conn| match conn.half() {
            Some(Half::Bytes(bytes, ..)) => Some(bytes.len()),
            _ => None,
        });
        if !(own.outbox.bytes.is_empty() && own.outbox.pieces.is_empty()) {
            return Err("something is left in the arena after a turn".to_owned());
        }
        // Heads, control events and answers: all of them are short.
        match held.max() {
            Some(bytes) if bytes > 8_192 => Err(format!("a connection holds {bytes} bytes")),
            _ => Ok(()),
        }
    }

    fn drain(&mut self) {
        self.node.advance(Phase::Draining);
    }

    fn is_finished(&self, worker: usize) -> bool {
        self.workers[worker].is_finished()
    }
}
