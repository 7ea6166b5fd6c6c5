//! What is measured of each core beside its counters.

use std::sync::{Mutex, PoisonError};

use super::{Counter, Distribution, Histogram};

/// Names of events that are counted each for itself; the others are one.
pub const NAMED_MAX: usize = 32;
const OTHER_PLACE: u8 = 32;
const _: () = assert!(OTHER_PLACE as usize == NAMED_MAX);
/// Longest name that is counted for itself, bytes.
const NAME_BYTES_MAX: usize = 64;
/// Name of events without one (WHATWG HTML, 9.2.6).
const UNNAMED: &str = "message";
/// What the rest is called.
const OTHER: &str = "other";

/// Bounds of the time from append to send, microseconds.
const LATENCY_US: [u64; 20] = [
    10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000,
    500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000,
];
/// Bounds of the life of a stream, milliseconds.
const LIFETIME_MS: [u64; 9] =
    [1_000, 5_000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000, 3_600_000];

/// A name's place in the counts of [`Measures`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventKind(u8);

impl EventKind {
    /// All that have no place of their own.
    pub const OTHER: Self = Self(OTHER_PLACE);
}

/// The names of events that are counted each for itself: the first ones that were seen.
#[derive(Debug)]
pub struct EventNames(Mutex<Vec<Box<str>>>);

impl Default for EventNames {
    fn default() -> Self {
        Self(Mutex::new(vec![UNNAMED.into()]))
    }
}

impl EventNames {
    /// All names so far.
    #[must_use]
    pub fn all(&self) -> Vec<Box<str>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds a name, unless it is there, it is too long or they are too many.
    fn note(&self, name: &str) -> Vec<Box<str>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < NAMED_MAX && !all.iter().any(|known| **known == *name) {
            all.push(name.into());
        }
        all.clone()
    }
}

/// One reader's memory of the names: it asks for each once.
#[derive(Debug, Default)]
pub struct KnownNames(hashbrown::HashMap<Box<str>, EventKind>);

impl KnownNames {
    /// The place of an event's name.
    pub fn kind(&mut self, name: Option<&str>, names: &EventNames) -> EventKind {
        let Some(name) = name else { return EventKind::default() };
        if let Some(kind) = self.0.get(name) {
            return *kind;
        }
        if self.0.len() >= NAMED_MAX || name.len() > NAME_BYTES_MAX || name == OTHER {
            return EventKind::OTHER;
        }
        for (name, place) in names.note(name).into_iter().zip(0..) {
            self.0.insert(name, EventKind(place));
        }
        self.0.get(name).copied().unwrap_or(EventKind::OTHER)
    }
}

/// The distributions of one core, and its events by name.
#[derive(Debug)]
pub struct Measures {
    /// From append to the send that carried it, microseconds, once per stream. What is replayed or
    /// read by a stream that catches up is not among it.
    pub latency_us: Histogram,
    /// Streams that have ended, milliseconds.
    pub lifetime_ms: Histogram,
    sent: [Counter; NAMED_MAX + 1],
}

impl Default for Measures {
    fn default() -> Self {
        Self {
            latency_us: Histogram::new(&LATENCY_US),
            lifetime_ms: Histogram::new(&LIFETIME_MS),
            sent: std::array::from_fn(|_| Counter::default()),
        }
    }
}

/// [`Measures`] at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measured {
    /// See [`Measures::latency_us`].
    pub latency_us: Distribution,
    /// See [`Measures::lifetime_ms`].
    pub lifetime_ms: Distribution,
    /// Events sent, counted per stream, by [`EventNames`]; the last are the others.
    pub sent: Vec<u64>,
}

impl Measures {
    /// So many events of this kind were sent.
    pub fn sent(&self, kind: EventKind, times: u64) {
        self.sent[usize::from(kind.0)].add(times);
    }

    /// Reads all.
    #[must_use]
    pub fn snapshot(&self) -> Measured {
        Measured {
            latency_us: self.latency_us.snapshot(),
            lifetime_ms: self.lifetime_ms.snapshot(),
            sent: self.sent.iter().map(Counter::get).collect(),
        }
    }
}

impl Measured {
    /// Adds another core's.
    pub fn add(&mut self, other: &Self) {
        self.latency_us.add(&other.latency_us);
        self.lifetime_ms.add(&other.lifetime_ms);
        self.sent.resize(NAMED_MAX + 1, 0);
        self.sent.iter_mut().zip(&other.sent).for_each(|(sum, more)| *sum += more);
    }

    /// Events sent by name; `other` are those without a place of their own.
    #[must_use]
    pub fn sent_by_name<'n>(&self, names: &'n [Box<str>]) -> Vec<(&'n str, u64)> {
        let count = |at: usize| self.sent.get(at).copied().unwrap_or_default();
        let named = names.iter().enumerate().map(|(at, name)| (&**name, count(at)));
        named.chain([(OTHER, count(NAMED_MAX))]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_names_are_counted_each_and_the_rest_as_one() {
        let (names, mut known, measures) =
            (EventNames::default(), KnownNames::default(), Measures::default());
        for n in 0..100 {
            let kind = known.kind(Some(&format!("e{n}")), &names);
            measures.sent(kind, n);
        }
        measures.sent(known.kind(None, &names), 7);
        measures.sent(known.kind(Some("message"), &names), 1);
        // Another core meets the same names in another order.
        let (mut other, more) = (KnownNames::default(), Measures::default());
        more.sent(other.kind(Some("e99"), &names), 1_000);
        more.sent(other.kind(Some("e3"), &names), 1_000);
        let mut all = measures.snapshot();
        all.add(&more.snapshot());
        let names = names.all();
        let by_name = all.sent_by_name(&names);
        let of = |name: &str| by_name.iter().find(|(known, _)| *known == name).map(|(_, n)| *n);
        assert_eq!(by_name.len(), NAMED_MAX + 1);
        assert_eq!((of("message"), of("e3"), of("e30")), (Some(8), Some(1_003), Some(30)));
        assert_eq!(of("e31"), None);
        let rest: u64 = (31..100).sum();
        assert_eq!(of("other"), Some(rest + 1_000));
        assert!(known.0.len() <= NAMED_MAX, "what is remembered is bounded");
    }

    #[test]
    fn a_long_name_is_among_the_others() {
        let (names, mut known) = (EventNames::default(), KnownNames::default());
        assert_eq!(known.kind(Some(&"x".repeat(65)), &names), EventKind::OTHER);
        assert_eq!(known.kind(Some("other"), &names), EventKind::OTHER);
        assert_eq!(names.all().len(), 1);
    }
}
