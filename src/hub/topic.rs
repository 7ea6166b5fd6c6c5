//! One topic: its members, what it owes them, and how far a walk over them has come.

use std::collections::VecDeque;

use crate::journal::ChannelKey;
use crate::proto::channel::Pattern;

/// What a topic stands for.
#[derive(Debug, Clone)]
pub enum TopicName {
    /// A channel, with users (`user:..`) and tenants (`tenant:..`).
    Channel(ChannelKey),
    /// All channels that match.
    Pattern(Pattern),
    /// Every stream; has no member list.
    Broadcast,
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

/// One topic of this core.
#[derive(Debug)]
pub struct Topic {
    /// What it stands for.
    pub name: TopicName,
    /// Events not yet brought to all members, in order.
    pub pending: VecDeque<Pending>,
    /// The pass under way.
    pub walk: Option<Walk>,
    /// Stands in a work queue.
    pub queued: bool,
    pub(super) members: Vec<Member>,
}

impl Topic {
    pub(super) fn new(name: TopicName) -> Self {
        Self { name, pending: VecDeque::new(), walk: None, queued: false, members: Vec::new() }
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

    /// Begins a walk over `len` members that carries as many pending events as fit `bytes_max`
    /// (at least one).
    pub fn begin_walk(&mut self, len: usize, bytes_max: usize) {
        let mut bytes = 0_usize;
        let mut events = 0_usize;
        for pending in &self.pending {
            bytes += pending.len as usize;
            if events > 0 && bytes > bytes_max {
                break;
            }
            events += 1;
        }
        self.walk = events
            .checked_sub(1)
            .and_then(|last| self.pending.get(last))
            .map(|last| Walk { cursor: len, events, target_seq: last.seq });
    }

    /// Ends the walk: what it carried is owed to nobody any more. True when more is pending.
    pub fn end_walk(&mut self) -> bool {
        if let Some(walk) = self.walk.take() {
            self.pending.drain(..walk.events.min(self.pending.len()));
        }
        !self.pending.is_empty()
    }
}
