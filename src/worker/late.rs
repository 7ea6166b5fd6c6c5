//! Events that are appended later than they came: delayed ones, and those above their rate.
//!
//! They have no id until then. A delayed one waits on the core that took it; events above a rate are
//! held in one table of the node, because publishes to one target come to all cores.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use smallvec::smallvec;

use super::Worker;
use super::parked::{Accepted, Outcome};
use crate::driver::Driver;
use crate::hub::rates::{Decision, RateLimits, Rates, Window};
use crate::journal::{Draft, Refused};
use crate::proto::http::Problem;
use crate::proto::publish::DELAY_MS_MAX;

/// Most delayed events of one core, and most of their bytes.
const DELAYED_MAX: usize = 1 << 17;
const DELAYED_BYTES_MAX: usize = 64 << 20;
/// A full journal is tried again after so long.
const RETRY_MS: u64 = 10;
/// Later than any window opens.
const ALL_WINDOWS_MS: u64 = 2 * 86_400_000;
/// Event names whose superseded events are told by name.
const TOLD_MAX: usize = 64;

/// Least time between two events of a name for one target, milliseconds.
pub type EventRates = BTreeMap<String, u64>;

/// What all cores hold back together.
#[derive(Debug)]
pub(super) struct Held {
    rates: Mutex<Rates<Draft>>,
    /// Superseded events by their name, until somebody logs them.
    superseded: Mutex<BTreeMap<String, u64>>,
}

impl Default for Held {
    fn default() -> Self {
        Self { rates: Mutex::new(Rates::new(RateLimits::default())), superseded: Mutex::default() }
    }
}

impl Held {
    fn supersede(&self, event: &str) {
        let mut told = self.superseded.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < TOLD_MAX || told.contains_key(event) {
            *told.entry(event.to_owned()).or_default() += 1;
        }
    }

    /// Superseded events by name since the last time.
    pub(super) fn take_superseded(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut *self.superseded.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A delayed event; of two due at once the earlier one leaves first.
#[derive(Debug)]
struct Delayed {
    due_ms: u64,
    number: u64,
    draft: Draft,
}

impl PartialEq for Delayed {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Delayed {}

impl PartialOrd for Delayed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Delayed {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due_ms, self.number).cmp(&(other.due_ms, other.number))
    }
}

/// What one core still has to append.
#[derive(Debug, Default)]
pub(super) struct Late {
    delayed: BinaryHeap<Reverse<Delayed>>,
    delayed_bytes: usize,
    taken: u64,
    /// When a window opens that this core has seen shut.
    opens_at_ms: Option<u64>,
    /// Due; the journal may have been full.
    due: VecDeque<Draft>,
}

/// Bytes it is counted with while it waits.
fn weight(draft: &Draft) -> usize {
    let aim = draft.aim.as_ref().map_or(0, |aim| aim.size());
    draft.frame.size() + size_of_val(&*draft.targets) + aim + size_of::<Draft>()
}

/// What a core still has to append, for the core of another process.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct LateRecord {
    /// When it is due (monotonic ms), its number, the event.
    delayed: Vec<(u64, u64, Draft)>,
    taken: u64,
}

impl Late {
    /// Nothing is due that has not been appended.
    pub(super) fn is_idle(&self) -> bool {
        self.due.is_empty()
    }

    pub(super) fn record(&self) -> LateRecord {
        let delayed = self.delayed.iter();
        let delayed = delayed.map(|Reverse(one)| (one.due_ms, one.number, one.draft.clone()));
        LateRecord { delayed: delayed.collect(), taken: self.taken }
    }

    /// `opens_at_ms`: when the first window of the node opens.
    pub(super) fn restore(record: LateRecord, opens_at_ms: Option<u64>) -> Self {
        let delayed = record.delayed.into_iter();
        let delayed: BinaryHeap<_> = delayed
            .map(|(due_ms, number, draft)| Reverse(Delayed { due_ms, number, draft }))
            .collect();
        let delayed_bytes = delayed.iter().map(|Reverse(one)| weight(&one.draft)).sum();
        Self { delayed, delayed_bytes, taken: record.taken, opens_at_ms, due: VecDeque::new() }
    }
}

impl Held {
    /// The windows that are open, with what they hold.
    pub(super) fn record(&self) -> Vec<Window<Draft>> {
        let rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        rates.windows().cloned().collect()
    }

    pub(super) fn take_over(&self, windows: Vec<Window<Draft>>) {
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        windows.into_iter().for_each(|window| rates.take_over(window));
    }

    /// When the first window opens, monotonic ms.
    pub(super) fn opens_at_ms(&self) -> Option<u64> {
        self.rates.lock().unwrap_or_else(PoisonError::into_inner).due_at_ms()
    }
}

impl<D: Driver> Worker<D> {
    /// Puts an event aside for `delay_ms`.
    pub(super) fn delay(&mut self, draft: Draft, delay_ms: u64) -> Outcome {
        let bytes = weight(&draft);
        let late = &mut self.late;
        if late.delayed.len() >= DELAYED_MAX || late.delayed_bytes + bytes > DELAYED_BYTES_MAX {
            let detail = "too many events wait for their time on this core";
            return Err(Problem::new(503, "too-many-delayed", detail).retry_after(1));
        }
        let delay_ms = delay_ms.min(DELAY_MS_MAX);
        late.taken += 1;
        late.delayed_bytes += bytes;
        // The clock was rounded down: never before its time.
        let due_ms = self.now.mono_ms + delay_ms + 1;
        late.delayed.push(Reverse(Delayed { due_ms, number: late.taken, draft }));
        self.node.counters[self.index].publishes_delayed.add(1);
        Ok(Accepted::Scheduled { due_unix_ms: self.now.unix_ms + delay_ms })
    }

    /// Takes the targets out of an event for which it comes too soon: it is held for them. None:
    /// nothing is left to append now. What is published to a pattern has no rate.
    pub(super) fn hold_back(&mut self, mut draft: Draft) -> Option<Draft> {
        if draft.aim.as_ref().is_some_and(|aim| aim.pattern.is_some()) {
            return Some(draft);
        }
        let live = Arc::clone(&self.live);
        let event = draft.frame.event().unwrap_or("message").to_owned();
        let now_ms = self.now.mono_ms;
        let counters = &self.node.counters[self.index];
        let (held, late) = (&self.node.held, &mut self.late);
        draft.targets = std::mem::take(&mut draft.targets)
            .into_iter()
            .filter(|key| {
                let window_ms = live.options.rates.lookup(&key.name).get(&event);
                let Some(window_ms) = window_ms else { return true };
                let own = Draft {
                    frame: draft.frame.clone(),
                    targets: smallvec![key.clone()],
                    key: draft.key.clone(),
                    ttl_ms: draft.ttl_ms,
                    store: draft.store,
                    idempotency: None,
                    expected: None,
                    // Nobody waits for what leaves later.
                    aim: draft.aim.as_ref().map(|aim| aim.without_receipt()),
                };
                let bytes = weight(&own);
                let mut rates = held.rates.lock().unwrap_or_else(PoisonError::into_inner);
                match rates.offer(&key.name, &event, *window_ms, now_ms, own, bytes) {
                    Decision::Leave(_) | Decision::Full(_) => true,
                    Decision::Held { opens_at_ms, superseded } => {
                        drop(rates);
                        counters.publishes_held.add(1);
                        if superseded.is_some() {
                            counters.publishes_superseded.add(1);
                            held.supersede(&event);
                        }
                        let opens_at_ms = late.opens_at_ms.unwrap_or(u64::MAX).min(opens_at_ms);
                        late.opens_at_ms = Some(opens_at_ms);
                        false
                    }
                }
            })
            .collect();
        (!draft.targets.is_empty()).then_some(draft)
    }

    /// When an event is due, monotonic ms.
    pub(super) fn late_at_ms(&self) -> u64 {
        let delayed = self.late.delayed.peek().map_or(u64::MAX, |Reverse(next)| next.due_ms);
        let retry = if self.late.due.is_empty() { u64::MAX } else { self.now.mono_ms + RETRY_MS };
        delayed.min(self.late.opens_at_ms.unwrap_or(u64::MAX)).min(retry)
    }

    /// Appends what is due.
    pub(super) fn append_late(&mut self) {
        let now_ms = self.now.mono_ms;
        if self.holding {
            return self.append_due();
        }
        if self.late_at_ms() > now_ms && self.late.due.is_empty() {
            return;
        }
        while self.late.delayed.peek().is_some_and(|Reverse(next)| next.due_ms <= now_ms) {
            let Some(Reverse(mut next)) = self.late.delayed.pop() else { break };
            self.late.delayed_bytes -= weight(&next.draft);
            if self.find_targets(&mut next.draft).is_err() {
                self.node.counters[self.index].late_lost.add(1);
                continue;
            }
            let live = Arc::clone(&self.live);
            let draft =
                if live.options.has_rates { self.hold_back(next.draft) } else { Some(next.draft) };
            self.late.due.extend(draft);
        }
        if self.late.opens_at_ms.is_some_and(|at_ms| at_ms <= now_ms) {
            self.open_windows(now_ms);
        }
        self.append_due();
    }

    fn append_due(&mut self) {
        while let Some(draft) = self.late.due.pop_front() {
            let journal = &self.node.journal;
            match journal.append(draft, self.now.mono_us, self.now.unix_ms) {
                Ok(appended) => {
                    self.appended |= !appended.duplicate;
                    let counters = &self.node.counters[self.index];
                    counters.publishes.add(u64::from(!appended.duplicate));
                    self.node.unreached.note(&appended.unreached);
                }
                Err(Refused::Full(draft)) => return self.late.due.push_front(*draft),
                // `expected_id` does not go with these; the bound of channels is told by counters.
                Err(Refused::Conflict(_) | Refused::TooManyChannels) => {
                    self.node.counters[self.index].late_lost.add(1);
                }
            }
        }
    }

    fn open_windows(&mut self, now_ms: u64) {
        let mut rates = self.node.held.rates.lock().unwrap_or_else(PoisonError::into_inner);
        self.late.due.extend(rates.due(now_ms).map(|due| due.item));
        self.late.opens_at_ms = rates.due_at_ms();
    }

    /// The node ends: the last event of each shut window leaves now, whatever its rate. What is
    /// delayed beyond that is lost.
    ///
    /// The first core to come here appends all of them before another can pass, so that no stream
    /// is ended before they are in the order.
    pub(super) fn let_go(&mut self) {
        let node = Arc::clone(&self.node);
        let mut rates = node.held.rates.lock().unwrap_or_else(PoisonError::into_inner);
        let all = rates.due(self.now.mono_ms + ALL_WINDOWS_MS);
        self.late.due.extend(all.map(|due| due.item));
        self.late.opens_at_ms = None;
        self.append_due();
        drop(rates);
        self.node.counters[self.index].late_lost.add(self.late.delayed.len() as u64);
    }
}
