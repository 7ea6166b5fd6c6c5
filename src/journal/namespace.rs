//! Options of channels, by the literal beginning of their name.

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
pub struct Namespaces {
    /// Longest prefix first.
    all: Vec<Namespace>,
}

impl Namespaces {
    /// Puts them in order; adds the default one when none has an empty prefix.
    #[must_use]
    pub fn new(mut all: Vec<Namespace>) -> Self {
        if !all.iter().any(|namespace| namespace.prefix.is_empty()) {
            all.push(Namespace::default());
        }
        all.sort_by_key(|namespace| std::cmp::Reverse(namespace.prefix.len()));
        Self { all }
    }

    /// The place of the namespace a channel belongs to.
    #[must_use]
    pub fn index_of(&self, channel: &str) -> usize {
        let found = self.all.iter().position(|namespace| channel.starts_with(&namespace.prefix));
        found.unwrap_or(self.all.len() - 1)
    }

    /// The namespace at `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> &Namespace {
        &self.all[index.min(self.all.len() - 1)]
    }

    /// The namespace a channel belongs to.
    #[must_use]
    pub fn lookup(&self, channel: &str) -> &Namespace {
        self.get(self.index_of(channel))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_wins() {
        let named = |prefix: &str| Namespace { prefix: prefix.into(), ..Namespace::default() };
        let all = Namespaces::new(vec![named("a"), named("a:b"), named("user:")]);
        for (channel, prefix) in [("a:b:c", "a:b"), ("a:c", "a"), ("user:1", "user:"), ("x", "")] {
            assert_eq!(all.lookup(channel).prefix, prefix);
        }
    }
}
