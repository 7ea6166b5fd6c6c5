//! The history of one channel.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::journal::event::Event;
use crate::journal::namespace::{Mode, Namespace};

/// Who reads: what it may see differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A client that (re)connects: sees the history.
    Resume,
    /// A connected stream that fell behind: sees the laggard window too.
    Laggard,
}

/// The range a reader asks for.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    /// Who reads.
    pub purpose: Purpose,
    /// Ids above this ...
    pub after: u64,
    /// ... up to this one.
    pub upto: u64,
    /// Bytes of frames after which to stop; one event is always given.
    pub bytes_max: usize,
    /// Now, Unix milliseconds: what has expired is left out.
    pub unix_ms: u64,
}

/// What a read could say about a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Newest id that this reader can no longer have; above `after` there is a hole.
    pub floor: u64,
    /// All of the range that is there was given; else it ended at the byte bound.
    pub complete: bool,
}

/// What was published to one channel.
#[derive(Debug)]
pub(super) struct Channel {
    /// In order. The history is a tail of it, and so is the laggard window.
    pub(super) window: VecDeque<Arc<Event>>,
    pub(super) window_bytes: usize,
    /// Where the history begins in `window`: entries before it are there for laggards only.
    pub(super) history_start: usize,
    /// Storable events of the history.
    pub(super) history_events: usize,
    pub(super) history_bytes: usize,
    /// Highest id of a storable event that a reconnect can no longer have.
    pub(super) resume_floor: u64,
    /// Highest id that a laggard can no longer have.
    pub(super) window_floor: u64,
    pub(super) last_seq: u64,
    /// When it was last used: publish, or the last subscriber leaving. Monotonic ms.
    pub(super) used_at_ms: u64,
}

impl Channel {
    pub(super) fn new(floor: u64, now_ms: u64) -> Self {
        Self {
            window: VecDeque::new(),
            window_bytes: 0,
            history_start: 0,
            history_events: 0,
            history_bytes: 0,
            resume_floor: floor,
            window_floor: floor,
            last_seq: floor,
            used_at_ms: now_ms,
        }
    }

    /// Appends an event. Room was reserved.
    pub(super) fn push(&mut self, event: Arc<Event>) {
        self.last_seq = event.seq;
        self.window_bytes += event.size();
        self.history_bytes += event.size();
        self.history_events += usize::from(event.store);
        self.window.push_back(event);
    }

    /// Drops what the namespace does not keep. Returns the bytes freed.
    pub(super) fn trim(&mut self, options: &Namespace, unix_ms: u64) -> usize {
        if options.mode == Mode::Latest {
            self.supersede();
        }
        self.trim_history(options, unix_ms);
        let mut freed = 0;
        // What lies before the history stays while the laggard window reaches back to it; the
        // newest event always does, or a reader a moment behind could never get a large one.
        while self.history_start > 0
            && self.window.len() > 1
            && self.window_bytes > options.laggard_window_bytes
        {
            let Some(event) = self.window.pop_front() else { break };
            self.history_start -= 1;
            self.window_floor = self.window_floor.max(event.seq);
            self.window_bytes -= event.size();
            freed += event.size();
        }
        freed
    }

    fn trim_history(&mut self, options: &Namespace, unix_ms: u64) {
        let oldest_ms = unix_ms.saturating_sub(options.history_age_ms);
        while let Some(event) = self.window.get(self.history_start) {
            let newest = self.history_start + 1 == self.window.len();
            let within = self.history_events <= options.history_events
                && (newest || self.history_bytes <= options.history_bytes)
                && event.unix_ms >= oldest_ms;
            if within && event.store {
                break;
            }
            if event.store {
                self.history_events -= 1;
                if event.expires_unix_ms > unix_ms {
                    self.resume_floor = self.resume_floor.max(event.seq);
                }
            }
            self.history_bytes -= event.size();
            self.history_start += 1;
        }
    }

    /// Keeps only the newest event of each key.
    fn supersede(&mut self) {
        let Some(newest) = self.window.back().map(Arc::clone) else { return };
        let same = |event: &Arc<Event>| event.key == newest.key && event.seq != newest.seq;
        let mut at = 0;
        while at < self.window.len() {
            if self.window.get(at).is_some_and(same) {
                let Some(event) = self.window.remove(at) else { return };
                self.window_bytes -= event.size();
                if at < self.history_start {
                    self.history_start -= 1;
                } else {
                    self.history_bytes -= event.size();
                    self.history_events -= usize::from(event.store);
                }
            } else {
                at += 1;
            }
        }
    }

    /// Events that the reader may have, as far as `bytes_max` goes.
    pub(super) fn read(&self, range: Range, out: &mut Vec<Arc<Event>>) -> Span {
        let Range { purpose, after, upto, bytes_max, unix_ms } = range;
        let (start, floor) = match purpose {
            Purpose::Resume => (self.history_start, self.resume_floor),
            Purpose::Laggard => (0, self.window_floor),
        };
        let first = self.window.partition_point(|event| event.seq <= after).max(start);
        let mut bytes = 0;
        for event in self.window.iter().skip(first).take_while(|event| event.seq <= upto) {
            let hidden = purpose == Purpose::Resume && !event.store;
            if hidden || event.expires_unix_ms <= unix_ms {
                continue;
            }
            let size = event.frame.wire().len();
            if bytes > 0 && bytes + size > bytes_max {
                return Span { floor, complete: false };
            }
            bytes += size;
            out.push(Arc::clone(event));
        }
        Span { floor, complete: true }
    }

    /// The id after which the last `count` events of the history lie.
    pub(super) fn start_of_last(&self, count: usize, upto: u64, unix_ms: u64) -> u64 {
        let history = self.window.iter().skip(self.history_start).rev();
        let seen = history
            .filter(|event| event.seq <= upto && event.store && event.expires_unix_ms > unix_ms);
        match count.checked_sub(1).map(|at| seen.clone().nth(at)) {
            None => upto,
            Some(Some(event)) => event.seq - 1,
            Some(None) => self.resume_floor,
        }
    }

    /// The id after which the events of the history since `since_unix_ms` lie.
    pub(super) fn start_of_since(&self, since_unix_ms: u64, upto: u64) -> u64 {
        let mut history = self.window.iter().skip(self.history_start);
        history
            .find(|event| event.unix_ms >= since_unix_ms)
            .map_or(upto, |event| (event.seq - 1).min(upto))
    }
}
