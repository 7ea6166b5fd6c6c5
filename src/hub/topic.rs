//! One topic: its members, what it owes them, and how far a walk over them has come.

use std::collections::VecDeque;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::proto::channel::Pattern;

/// What a topic stands for.
#[derive(Debug, Clone)]
pub enum TopicName {
    /// A channel, with users (`user:..`), tenants (`tenant:..`) and the broadcast, which every stream
    /// belongs to without standing in a member list.
    Channel(Arc<str>),
    /// All channels that match.
    Pattern(Box<Pattern>),
}

/// An event that some members have not got yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// Place in the journal of this node.
    pub position: u64,
    /// Number in the event's id.
    pub seq: u64,
    /// Bytes on the wire.
    pub len: u32,
    /// Not for every member.
    pub picky: bool,
}

/// A pass over the members, from the last to the first.
///
/// Backwards, because leaving members are replaced by the last one (swap-remove), which the walk
/// has then already visited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Walk {
    /// Members at and above this index are visited.
    pub cursor: usize,
    /// How many of the pending events this walk carries.
    pub events: usize,
    /// `seq` of the last of them.
    pub target_seq: u64,
}

/// A member: the stream's slot, and which of its links this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) slot: u32,
    pub(super) link: u32,
}

/// What a topic owes its members. Most topics owe nothing most of the time, so it stands apart.
#[derive(Debug, Default)]
pub(super) struct Debt {
    /// Events not yet brought to all members, in order.
    pending: VecDeque<Pending>,
    /// The pass under way.
    walk: Option<Walk>,
    /// How many of the pending events are picky.
    picky: usize,
}

static NOTHING: VecDeque<Pending> = VecDeque::new();

/// One topic of this core.
#[derive(Debug)]
pub struct Topic {
    /// What it stands for.
    pub name: TopicName,
    pub(super) debt: Option<Box<Debt>>,
    /// A user's topic seldom has more than two.
    pub(super) members: SmallVec<[Member; 2]>,
}

impl Topic {
    pub(super) fn new(name: TopicName) -> Self {
        Self { name, debt: None, members: SmallVec::new() }
    }

    /// Members linked to it (0 for the broadcast).
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// No member is linked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Slot of the member at `index`.
    #[must_use]
    pub fn member(&self, index: usize) -> Option<u32> {
        self.members.get(index).map(|member| member.slot)
    }

    /// It owes its members something: it stands in a work queue.
    #[must_use]
    pub fn owes(&self) -> bool {
        self.debt.is_some()
    }

    /// Events not yet brought to all members, in order.
    #[must_use]
    pub fn pending(&self) -> &VecDeque<Pending> {
        self.debt.as_ref().map_or(&NOTHING, |debt| &debt.pending)
    }

    /// Not every member gets all that is pending.
    #[must_use]
    pub fn is_picky(&self) -> bool {
        self.debt.as_ref().is_some_and(|debt| debt.picky > 0)
    }

    /// The pass under way.
    #[must_use]
    pub fn walk(&self) -> Option<Walk> {
        self.debt.as_ref()?.walk
    }

    /// Begins a walk over `len` members that carries as many pending events as fit `bytes_max`
    /// (at least one).
    pub fn begin_walk(&mut self, len: usize, bytes_max: usize) {
        let Some(debt) = self.debt.as_mut() else { return };
        let mut bytes = 0_usize;
        let mut events = 0_usize;
        for pending in &debt.pending {
            bytes += pending.len as usize;
            if events > 0 && bytes > bytes_max {
                break;
            }
            events += 1;
        }
        debt.walk = events
            .checked_sub(1)
            .and_then(|last| debt.pending.get(last))
            .map(|last| Walk { cursor: len, events, target_seq: last.seq });
    }

    /// Goes one member on; its index, none at the end of the walk.
    pub fn step(&mut self) -> Option<usize> {
        let walk = self.debt.as_mut()?.walk.as_mut()?;
        walk.cursor = walk.cursor.checked_sub(1)?;
        Some(walk.cursor)
    }

    /// A member has left: the walk goes on below the new end at the latest.
    pub(super) fn shorten_walk(&mut self) {
        let len = self.members.len();
        if let Some(walk) = self.debt.as_mut().and_then(|debt| debt.walk.as_mut()) {
            walk.cursor = walk.cursor.min(len);
        }
    }
}

impl Debt {
    pub(super) fn add(&mut self, pending: Pending) {
        if self.pending.back().is_none_or(|last| last.position != pending.position) {
            self.picky += usize::from(pending.picky);
            self.pending.push_back(pending);
        }
    }

    /// Ends the walk: what it carried is owed to nobody any more. True when more is pending.
    pub(super) fn end_walk(&mut self) -> bool {
        if let Some(walk) = self.walk.take() {
            let done = self.pending.drain(..walk.events.min(self.pending.len()));
            self.picky -= done.filter(|pending| pending.picky).count();
        }
        !self.pending.is_empty()
    }

    /// Empty again, for another topic.
    pub(super) fn clear(&mut self) {
        /// What a burst has made large is not kept.
        const KEEP: usize = 64;
        self.walk = None;
        self.picky = 0;
        self.pending.clear();
        self.pending.shrink_to(KEEP);
    }
}
