//! The append: where an event gets its place.

use std::sync::Arc;

use smallvec::SmallVec;

use super::event::{ChannelKey, Draft, Event, KeyHasher, short_us};
use super::namespace::Overflow;
use super::parked::Parked;
use super::receipt::Receipt;
use super::recent::{Recent, Taker};
use super::ring::{Claimed, Reader, Ring, Seen};
use super::store::{Locked, Range, Span, Store, StoreSettings, Verdict};
use super::wake::Wakes;
use crate::proto::channel::Pattern;
use crate::proto::sse::Epoch;

/// Bounds of the journal.
#[derive(Debug, Clone)]
pub struct JournalSettings {
    /// Entries in flight between append and the slowest worker.
    pub entries: usize,
    /// Bytes in flight.
    pub bytes_max: u64,
    /// Bytes of the recent log.
    pub recent_bytes: usize,
    /// The histories.
    pub store: StoreSettings,
}

impl Default for JournalSettings {
    fn default() -> Self {
        Self {
            entries: 65_536,
            bytes_max: 256 << 20,
            recent_bytes: 64 << 20,
            store: StoreSettings::default(),
        }
    }
}

/// The node's log: ring, histories, recent log, and who waits for room.
#[derive(Debug)]
pub struct Journal {
    pub(super) ring: Arc<Ring>,
    pub(super) store: Store,
    epoch: Epoch,
    /// The id before the first of the log, in whichever process.
    base_seq: u64,
    /// The first id of this process.
    first_seq: u64,
    hasher: KeyHasher,
    /// Publishers waiting for room.
    pub parked: Parked,
    /// Workers that sleep.
    pub wakes: Wakes,
}

/// An event has its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The number in its id.
    pub seq: u64,
    /// Subscribers of its channels (a stream on two of them counts twice).
    pub subscribers: u32,
    /// It had been appended before: `seq` is the first append's.
    pub duplicate: bool,
    /// Channels of users without a stream.
    pub unreached: SmallVec<[Arc<str>; 1]>,
}

/// An event has no place; nothing was changed.
#[derive(Debug)]
pub enum Refused {
    /// The journal is full: try again when room was made.
    Full(Box<Draft>),
    /// `expected_id` is not the channel's last one, which this is (0: none yet).
    Conflict(u64),
    /// The node holds as many channels as it may.
    TooManyChannels,
}

/// Where the replay of a pattern starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatternStart {
    /// With the newest so many events.
    Last(usize),
    /// With events since this wall-clock millisecond.
    Since(u64),
}

/// Where a log goes on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beginning {
    pub(super) epoch: Epoch,
    /// The id before the log's first one.
    pub(super) base_seq: u64,
    /// The newest id given out.
    pub(super) head_seq: u64,
    pub(super) hash_seed: u64,
}

/// An append between its two halves.
#[derive(Debug)]
#[must_use]
pub struct Unpublished {
    claimed: Claimed,
    event: Arc<Event>,
    appended: Appended,
}

impl Journal {
    /// A log for `workers` readers whose first id is `<epoch>-<first_seq>`.
    #[must_use]
    pub fn new(
        settings: JournalSettings,
        epoch: Epoch,
        first_seq: u64,
        hash_seed: u64,
        workers: usize,
    ) -> (Arc<Self>, Vec<Reader>) {
        let base_seq = first_seq.max(1) - 1;
        let recent = Recent::new(settings.recent_bytes, base_seq);
        let from = Beginning { epoch, base_seq, head_seq: base_seq, hash_seed };
        Self::begin(settings, from, recent, workers)
    }

    /// A log that goes on from somewhere.
    pub(super) fn begin(
        settings: JournalSettings,
        from: Beginning,
        recent: Recent,
        workers: usize,
    ) -> (Arc<Self>, Vec<Reader>) {
        let hasher = KeyHasher::new(from.hash_seed);
        let (ring, readers) = Ring::new(settings.entries, settings.bytes_max, recent, workers);
        let journal = Self {
            ring,
            store: Store::new(settings.store, hasher),
            epoch: from.epoch,
            base_seq: from.base_seq,
            first_seq: from.head_seq + 1,
            hasher,
            parked: Parked::default(),
            wakes: Wakes::new(workers),
        };
        (Arc::new(journal), readers)
    }

    /// A channel's key in this process.
    #[must_use]
    pub fn key(&self, name: &str) -> ChannelKey {
        self.hasher.key(name)
    }

    /// The key of a name that is shared already.
    #[must_use]
    pub fn key_of(&self, name: &Arc<str>) -> ChannelKey {
        ChannelKey { hash: self.hasher.hash(name), name: Arc::clone(name) }
    }

    /// What gives keys their hashes.
    #[must_use]
    pub fn hasher(&self) -> KeyHasher {
        self.hasher
    }

    /// The epoch in all ids.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Number of the newest id given out (of the one before the first, when there is none).
    #[must_use]
    pub fn head_seq(&self) -> u64 {
        self.first_seq + self.ring.claimed() - 1
    }

    /// The number before the first id of the log.
    #[must_use]
    pub fn base_seq(&self) -> u64 {
        self.base_seq
    }

    /// The newest id that was given out before this process took the log over; with a log of its
    /// own the number before the first.
    #[must_use]
    pub fn start_seq(&self) -> u64 {
        self.first_seq - 1
    }

    /// Entries in flight.
    #[must_use]
    pub fn depth(&self) -> u64 {
        self.ring.claimed().saturating_sub(self.ring.reclaimed())
    }

    /// Appends an event and publishes it to all workers. Times are of the monotonic clock in
    /// microseconds and of the wall clock in milliseconds.
    ///
    /// # Errors
    /// See [`Refused`]; nothing is changed then.
    pub fn append(&self, draft: Draft, mono_us: u64, unix_ms: u64) -> Result<Appended, Refused> {
        match self.claim(draft, mono_us, unix_ms)? {
            Ok(unpublished) => Ok(self.publish(unpublished)),
            Err(duplicate) => Ok(duplicate),
        }
    }

    /// The first half of an append: everything but making it visible. A test may stop between.
    #[doc(hidden)]
    pub fn claim(
        &self,
        draft: Draft,
        mono_us: u64,
        unix_ms: u64,
    ) -> Result<Result<Unpublished, Appended>, Refused> {
        let mono_ms = mono_us / 1_000;
        let idempotency = draft.idempotency.clone();
        let expected = match draft.expected {
            None => None,
            Some(id) if id.epoch == self.epoch => Some(id.seq),
            Some(_) => Some(u64::MAX),
        };
        let expires_unix_ms =
            draft.ttl_ms.map_or(u64::MAX, |ttl_ms| unix_ms.saturating_add(ttl_ms));
        // Allocated before the claim; its id is written once it is known.
        let mut event = Arc::new(Event {
            seq: 0,
            unix_ms,
            appended_us: short_us(mono_us),
            expires_unix_ms,
            frame: draft.frame,
            targets: draft.targets,
            key: draft.key,
            store: draft.store,
            aim: draft.aim,
        });
        let mut locked = self.store.lock_for(&event.targets, idempotency.as_ref().map(|k| k.0));
        match locked.prepare(&event.targets, idempotency.as_ref(), expected, mono_ms) {
            Verdict::Fresh => {}
            Verdict::Duplicate(seq) => {
                let unreached = SmallVec::new();
                return Ok(Err(Appended { seq, subscribers: 0, duplicate: true, unreached }));
            }
            Verdict::Conflict(last) => return Err(Refused::Conflict(last)),
            Verdict::TooManyChannels => return Err(Refused::TooManyChannels),
        }
        let Some(claimed) = self.ring.claim(event.ring_bytes()) else {
            drop(locked);
            return Err(Refused::Full(Box::new(give_back(
                event,
                draft.ttl_ms,
                idempotency,
                draft.expected,
            ))));
        };
        let seq = self.first_seq + claimed.position;
        if let Some(event) = Arc::get_mut(&mut event) {
            event.seq = seq;
            event.frame.stamp(self.epoch, seq);
        }
        let (subscribers, unreached) = self.push(&mut locked, &event, idempotency, mono_ms);
        Ok(Ok(Unpublished {
            claimed,
            event,
            appended: Appended { seq, subscribers, duplicate: false, unreached },
        }))
    }

    fn push(
        &self,
        locked: &mut Locked<'_>,
        event: &Arc<Event>,
        idempotency: Option<(u64, Box<str>)>,
        mono_ms: u64,
    ) -> (u32, SmallVec<[Arc<str>; 1]>) {
        locked.push(event, idempotency, mono_ms)
    }

    /// The second half of an append.
    #[doc(hidden)]
    pub fn publish(&self, unpublished: Unpublished) -> Appended {
        self.ring.publish(unpublished.claimed, unpublished.event);
        unpublished.appended
    }

    /// Moves what all workers have given back into the recent log. True when room was made.
    pub fn reclaim(&self) -> bool {
        self.ring.reclaim()
    }

    /// A subscriber joins a channel, which appears on first use. False: too many channels.
    #[must_use]
    pub fn attach(&self, key: &ChannelKey, mono_ms: u64) -> bool {
        self.store.attach(key, mono_ms)
    }

    /// A subscriber leaves a channel.
    pub fn detach(&self, key: &ChannelKey, mono_ms: u64) {
        self.store.detach(key, mono_ms);
    }

    /// Events of a channel, and what happens to laggards there.
    pub fn read_channel(
        &self,
        key: &ChannelKey,
        range: Range,
        out: &mut Vec<Arc<Event>>,
    ) -> (Span, Overflow) {
        self.store.read(key, range, out)
    }

    /// Events of channels that match, from the recent log and, beyond it, the
    /// ring.
    pub fn read_pattern(
        &self,
        pattern: &Pattern,
        range: Range,
        out: &mut Vec<Arc<Event>>,
    ) -> (Span, Overflow) {
        let overflow = self.store.namespaces().lookup(pattern.literal_prefix()).overflow;
        let Range { purpose, after, upto, bytes_max, unix_ms } = range;
        let wanted = |event: &Event| event.reaches(pattern);
        let mut taker =
            Taker { purpose, unix_ms, bytes_left: bytes_max, taken: 0, wanted: &wanted, out };
        let (mut floor, mut complete) = (0, true);
        self.ring.scan(|seen| match seen {
            Seen::Recent(recent) => {
                floor = recent.floor();
                complete = recent.range(after, upto).all(|event| taker.take(event));
                complete
            }
            Seen::Entry(event) => {
                let beyond = event.seq > upto;
                complete = beyond || event.seq <= after || taker.take(event);
                complete && !beyond
            }
        });
        (Span { floor, complete }, overflow)
    }

    /// The id after which the newest `count` events of a channel lie.
    #[must_use]
    pub fn start_of_last(&self, key: &ChannelKey, count: usize, upto: u64, unix_ms: u64) -> u64 {
        self.store.start_of_last(key, count, upto, unix_ms)
    }

    /// The id after which the events of a channel since `since_unix_ms` lie.
    #[must_use]
    pub fn start_of_since(&self, key: &ChannelKey, since_unix_ms: u64, upto: u64) -> u64 {
        self.store.start_of_since(key, since_unix_ms, upto)
    }

    /// The id after which a pattern's replay starts, as far as the recent log reaches.
    #[must_use]
    pub fn start_of_pattern(&self, pattern: &Pattern, start: &PatternStart, upto: u64) -> u64 {
        let mut matching = Vec::new();
        let mut look = |event: &Arc<Event>| {
            if event.reaches(pattern) && event.store {
                matching.push((event.seq, event.unix_ms));
            }
        };
        self.ring.scan(|seen| {
            match seen {
                Seen::Recent(recent) => recent.range(0, upto).for_each(&mut look),
                Seen::Entry(event) if event.seq <= upto => look(event),
                Seen::Entry(_) => return false,
            }
            true
        });
        let first = match start {
            PatternStart::Last(count) => matching.len().saturating_sub(*count),
            PatternStart::Since(since) => matching.partition_point(|(_, at)| at < since),
        };
        matching.get(first).map_or(upto, |(seq, _)| seq - 1)
    }

    /// At most `max` channels that match; none when there are more, or too many to look through.
    /// Users, tenants and the broadcast match no pattern.
    #[must_use]
    pub fn matching(&self, pattern: &Pattern, max: usize) -> Option<Vec<ChannelKey>> {
        self.store.matching(pattern, max)
    }

    /// All workers have said what became of an event, or have left.
    #[must_use]
    pub fn is_settled(&self, receipt: &Receipt) -> bool {
        receipt.is_settled(|worker| self.ring.has_left(worker))
    }

    /// Streams linked to a channel, over all workers.
    #[must_use]
    pub fn subscribers(&self, key: &ChannelKey) -> u32 {
        self.store.subscribers(key)
    }

    /// Number of the newest event in a channel's history.
    #[must_use]
    pub fn last_seq(&self, key: &ChannelKey) -> Option<u64> {
        self.store.last_seq(key)
    }

    /// Channels that exist.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.store.channels()
    }

    /// Users, then tenants, with subscribers.
    #[must_use]
    pub fn present(&self) -> (usize, usize) {
        self.store.present_now()
    }

    /// The channels of most subscribers among those whose names begin with `prefix`, at most `max`.
    /// Looks at all channels.
    #[must_use]
    pub fn most_subscribed(&self, prefix: &str, max: usize) -> Vec<(Arc<str>, u32)> {
        self.store.most_subscribed(prefix, max)
    }

    /// Bytes of all histories.
    #[must_use]
    pub fn history_bytes(&self) -> usize {
        self.store.bytes()
    }

    /// Ages and expires one part of the store; call it with rising `part`.
    pub fn sweep(&self, part: usize, mono_ms: u64, unix_ms: u64) {
        self.store.sweep(part, mono_ms, unix_ms);
    }
}

/// A refused event becomes the draft it was.
fn give_back(
    event: Arc<Event>,
    ttl_ms: Option<u64>,
    idempotency: Option<(u64, Box<str>)>,
    expected: Option<crate::proto::sse::EventId>,
) -> Draft {
    let event = Arc::try_unwrap(event).unwrap_or_else(|shared| Event::clone(&shared));
    Draft {
        frame: event.frame,
        targets: event.targets,
        key: event.key,
        ttl_ms,
        store: event.store,
        idempotency,
        expected,
        aim: event.aim,
    }
}
