//! What histories keep, by the literal beginning of a channel's name.

use crate::proto::prefixes::ByPrefix;

/// What the histories of a namespace keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// All events within the bounds.
    Log,
    /// Only the newest event of each key (of the channel, where events have no key).
    Latest,
}

/// What happens to a connected reader that is further behind than the history reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Overflow {
    /// Superseded events are left out while it lags; the newest of each key arrives.
    Conflate,
    /// It jumps to the newest event and is told so by `sse.gap`.
    Skip,
    /// It is told `sse.bye` and disconnected; it resumes by its id.
    Disconnect,
}

/// Options of one namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    /// Channel names that begin with this belong to it; the longest prefix wins.
    pub prefix: String,
    /// Most events kept for a reconnect; 0 keeps none.
    pub history_events: usize,
    /// Oldest age of a kept event, milliseconds.
    pub history_age_ms: u64,
    /// Most bytes of kept events; the newest one is kept whatever its size.
    pub history_bytes: usize,
    /// What is kept.
    pub mode: Mode,
    /// What happens to a reader that falls out.
    pub overflow: Overflow,
    /// Bytes kept for connected laggards even where no history is kept; at least the newest event.
    pub laggard_window_bytes: usize,
}

impl Default for Namespace {
    fn default() -> Self {
        Self {
            prefix: String::new(),
            history_events: 1_000,
            history_age_ms: 3_600_000,
            history_bytes: 1 << 20,
            mode: Mode::Log,
            overflow: Overflow::Skip,
            laggard_window_bytes: 64 << 10,
        }
    }
}

/// All namespaces; one with an empty prefix is always there.
#[derive(Debug, Clone)]
pub struct Namespaces(ByPrefix<Namespace>);

impl Namespaces {
    /// Puts them in order; adds the default one when none has an empty prefix.
    #[must_use]
    pub fn new(all: Vec<Namespace>) -> Self {
        let all = all.into_iter().map(|namespace| (namespace.prefix.clone(), namespace));
        Self(ByPrefix::new(all, Namespace::default()))
    }

    /// The place of the namespace a channel belongs to.
    #[must_use]
    pub fn index_of(&self, channel: &str) -> usize {
        self.0.index_of(channel)
    }

    /// The namespace at `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> &Namespace {
        self.0.get(index)
    }

    /// The namespace a channel belongs to.
    #[must_use]
    pub fn lookup(&self, channel: &str) -> &Namespace {
        self.0.lookup(channel)
    }
}
