//! One core at work.

mod admit;
mod aliases;
mod caps;
mod catch_up;
mod changes;
mod close;
mod conns;
mod deliver;
mod flush;
mod handover;
mod input;
mod late;
mod leaving;
mod load;
mod node;
mod options;
mod orders;
mod outbox;
mod pace;
mod pages;
mod parked;
mod planted;
mod poll;
mod presence;
mod publish;
mod reply;
mod revoke;
mod route;
mod session;
mod shape;
#[cfg(test)]
mod simulation;
mod spread;
mod subscribe;
mod targets;
mod tick;
mod timers;
mod turn;
mod written;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

pub use aliases::{Access, Alias, Serves};
pub use handover::{Handover, NodeRecord, WorkerRecord, hash_witness};
pub use late::EventRates;
pub use node::{Live, Node, Phase};
pub use options::{
    AdminOptions, Cap, CapOptions, ChannelOptions, ConnectRateOptions, Options, RefuseBy,
    Subscribers,
};
pub use orders::{Order, Orders};
pub use pace::Pace;
pub use shape::{Shape, Shapes};

use crate::auth::VerifiedCache;
use crate::driver::{Completion, ConnId, Driver, Now};
use crate::hub::{Hub, Pending, Pulse, Stripes, TopicId};
use crate::journal::{ChannelKey, Reader};
use crate::proto::channel;
use conns::Conns;
use outbox::Outbox;
use timers::Timers;

/// Verified tokens a worker remembers.
const VERIFIED_MAX: usize = 1_024;
/// Visits of a stream per heartbeat interval: a silence is noticed that much earlier than it ends.
const VISITS_PER_HEARTBEAT: u64 = 4;

/// Topics and streams that wait for their turn.
#[derive(Debug, Default)]
struct Queues {
    /// Topics with few members: they overtake the large ones.
    small: VecDeque<TopicId>,
    large: VecDeque<TopicId>,
    /// Until then more small work is expected.
    small_until_ms: u64,
    catch_up: VecDeque<ConnId>,
}

/// Why a worker has stopped turning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// It is done.
    Finished,
    /// Its connections stand still, to be handed over; it may be told to go on.
    Frozen,
}

/// One core's loop over its connections.
#[derive(Debug)]
pub struct Worker<D: Driver> {
    index: usize,
    node: Arc<Node>,
    /// What is in force in this turn.
    live: Arc<Live>,
    /// How often it was replaced before.
    replaced: u64,
    driver: D,
    reader: Reader,
    hub: Hub,
    conns: Conns,
    outbox: Outbox,
    pace: Pace,
    queues: Queues,
    stripes: Stripes,
    timers: Timers,
    verified: VerifiedCache,
    /// Of the channel published to last.
    last_key: Option<ChannelKey>,
    now: Now,
    /// Next journal position to read.
    position: u64,
    /// Number of the newest event read.
    last_seq: u64,
    /// Streams and waiting long-polls.
    streams: usize,
    lagging: usize,
    /// Subscriptions that wait for the callback.
    asking: usize,
    /// Publishes of this worker that wait for room.
    parked: VecDeque<ConnId>,
    own_caps: caps::OwnCaps,
    late: late::Late,
    leaving: VecDeque<leaving::Leaving>,
    pulse: Pulse,
    load: load::Load,
    /// Hashes of the ids of tokens, by the slot of their stream.
    token_ids: HashMap<u32, u64>,
    watches: written::Watches,
    spreads: spread::Spreads,
    /// Events were appended in this turn: sleepers have to be rung.
    appended: bool,
    drain: Option<tick::Drain>,
    /// Nothing new is read: another process is to go on with the connections.
    holding: bool,
    /// Bodies of which another process has read a part.
    half_read: Vec<(ConnId, handover::HalfRead)>,
    sweep_at_ms: u64,
    sweep_part: usize,
    inbox: Vec<Completion>,
    input: Vec<u8>,
    out: Vec<u8>,
    owed: Vec<Pending>,
    failed: Vec<bool>,
}

impl<D: Driver> Worker<D> {
    /// A worker that has not turned yet. `index` is its place among the node's workers.
    pub fn new(node: Arc<Node>, index: usize, mut driver: D, reader: Reader) -> Self {
        let now = driver.now();
        let replaced = node.replaced();
        let live = node.live();
        let room = live.options.connections_max.min(driver.capacity());
        driver.accept_room(room);
        let pulse = pulse_of(&live.options);
        let visit_ms = pulse.interval_ms() / VISITS_PER_HEARTBEAT;
        let broadcast = channel::BROADCAST.into();
        let hasher = node.journal.hasher();
        let last_seq = node.journal.start_seq();
        Self {
            index,
            driver,
            reader,
            hub: Hub::new(broadcast, hasher),
            conns: Conns::new(),
            outbox: Outbox::new(Arc::clone(&node.event_names)),
            pace: live.options.pace,
            live,
            replaced,
            queues: Queues::default(),
            stripes: Stripes::new(visit_ms, now.mono_ms),
            timers: Timers::new(),
            verified: VerifiedCache::new(VERIFIED_MAX),
            last_key: None,
            now,
            position: 0,
            last_seq,
            streams: 0,
            lagging: 0,
            asking: 0,
            parked: VecDeque::new(),
            own_caps: caps::OwnCaps::default(),
            late: late::Late::default(),
            leaving: VecDeque::new(),
            pulse,
            load: load::Load::new(now.mono_us),
            token_ids: HashMap::new(),
            watches: written::Watches::default(),
            spreads: spread::Spreads::default(),
            appended: false,
            drain: None,
            holding: false,
            half_read: Vec::new(),
            sweep_at_ms: now.mono_ms,
            sweep_part: index,
            inbox: Vec::new(),
            input: Vec::new(),
            out: Vec::new(),
            owed: Vec::new(),
            failed: Vec::new(),
            node,
        }
    }

    /// Takes what was put in force since the last turn.
    fn refresh(&mut self) {
        let replaced = self.node.replaced();
        if replaced == self.replaced {
            return;
        }
        self.replaced = replaced;
        let before = std::mem::replace(&mut self.live, self.node.live());
        let options = &self.live.options;
        self.pace = options.pace;
        let pulse = pulse_of(options);
        if pulse != pulse_of(&before.options) {
            self.pulse = pulse;
            self.beat_anew();
        }
        // They were verified by keys and rules that may be others now.
        self.verified = VerifiedCache::new(VERIFIED_MAX);
    }

    /// Visits follow the interval of heartbeats.
    fn beat_anew(&mut self) {
        let visit_ms = self.pulse.interval_ms() / VISITS_PER_HEARTBEAT;
        self.stripes = Stripes::new(visit_ms, self.now.mono_ms);
    }

    /// Turns until the node stops, has drained, or hands its connections over.
    pub fn run(&mut self) -> Left {
        loop {
            if self.is_finished() {
                return Left::Finished;
            }
            if self.holding && self.node.handover.is_frozen() {
                return Left::Frozen;
            }
            self.turn();
        }
    }

    /// Nothing is left to do and the node is on its way out.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        match self.node.phase() {
            Phase::Ready => false,
            Phase::Draining => self.drain.as_ref().is_some_and(|drain| {
                self.conns.len() == 0 || self.now.mono_ms >= drain.deadline_ms
            }),
            Phase::Stopping => true,
        }
    }

    /// Open connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.conns.len()
    }

    /// Streams and waiting long-polls.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.streams
    }
}

fn pulse_of(options: &Options) -> Pulse {
    Pulse::new(options.heartbeat_ms, options.heartbeat_max_ms.unwrap_or(options.heartbeat_ms))
}
