//! The index: from a channel to its topic, from a topic to its members, and back.

use std::sync::Arc;

use hashbrown::HashTable;
use smallvec::SmallVec;

use super::links::{Link, LinkTable, Links};
use super::patterns::PatternIndex;
use super::shelves::Shelves;
use super::topic::{Debt, Member, Pending, Topic, TopicName};
use crate::journal::{ChannelKey, KeyHasher};
use crate::proto::channel::Pattern;

/// Names a topic of this core while it has members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicId(pub u32);

/// The subscribers of one core.
#[derive(Debug)]
pub struct Hub {
    topics: Shelves<Topic>,
    /// For tables that grow: a topic does not keep its name's hash.
    hasher: KeyHasher,
    channels: HashTable<TopicId>,
    patterns: PatternIndex,
    links: LinkTable,
    /// Debts paid, to be used again: an event allocates none.
    #[expect(clippy::vec_box, reason = "they go back into topics as they are")]
    paid: Vec<Box<Debt>>,
}

/// Debts kept for later.
const PAID_MAX: usize = 4_096;

impl Hub {
    /// Nobody yet. `broadcast` is the channel all streams belong to, `hasher` what gave keys their
    /// hashes.
    #[must_use]
    pub fn new(broadcast: Arc<str>, hasher: KeyHasher) -> Self {
        let mut topics = Shelves::new();
        topics.insert(Topic::new(TopicName::Channel(broadcast)));
        Self {
            topics,
            hasher,
            channels: HashTable::new(),
            patterns: PatternIndex::default(),
            links: LinkTable::default(),
            paid: Vec::new(),
        }
    }

    /// The topic every stream belongs to.
    pub const BROADCAST: TopicId = TopicId(0);

    /// A topic by its id.
    #[must_use]
    pub fn topic(&self, id: TopicId) -> Option<&Topic> {
        self.topics.get(id.0 as usize)
    }

    /// A topic by its id, to change what it owes.
    pub fn topic_mut(&mut self, id: TopicId) -> Option<&mut Topic> {
        self.topics.get_mut(id.0 as usize)
    }

    /// Topics with members, the broadcast included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.topics.len()
    }

    /// Nobody is linked to anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.topics.len() == 1
    }

    /// The topic of a channel, if a stream of this core is linked to it.
    #[must_use]
    pub fn find_channel(&self, key: &ChannelKey) -> Option<TopicId> {
        self.channels.find(key.hash, |id| is_channel(&self.topics, *id, key)).copied()
    }

    /// All patterns of this core that match `name`.
    pub fn matching_patterns(&self, name: &str, out: &mut SmallVec<[TopicId; 8]>) {
        self.patterns.matching(name, out);
    }

    /// All patterns of this core that some name of `pattern` matches too.
    pub fn overlapping_patterns(&self, pattern: &Pattern, out: &mut SmallVec<[TopicId; 8]>) {
        self.patterns.overlapping(pattern, out);
    }

    /// Links a stream to a channel. Linking twice is the caller's error.
    pub fn link_channel(&mut self, slot: u32, key: &ChannelKey) -> TopicId {
        let id = self.find_channel(key).unwrap_or_else(|| {
            let id = self.add(TopicName::Channel(Arc::clone(&key.name)));
            let (topics, hasher) = (&self.topics, self.hasher);
            self.channels.insert_unique(key.hash, id, |other| hash_of(topics, hasher, *other));
            id
        });
        self.link(slot, id);
        id
    }

    /// Links a stream to a pattern.
    pub fn link_pattern(&mut self, slot: u32, pattern: &Pattern) -> TopicId {
        let id = self.patterns.find(pattern).unwrap_or_else(|| {
            let id = self.add(TopicName::Pattern(Box::new(pattern.clone())));
            self.patterns.insert(pattern.clone(), id);
            id
        });
        self.link(slot, id);
        id
    }

    /// Makes room for exactly so many links of a stream; else they grow by doubling.
    pub fn expect_links(&mut self, slot: u32, count: usize) {
        self.links.get_mut(slot).reserve_exact(count);
    }

    /// Notes an event that a topic owes its members. True when it owed nothing before: then it has
    /// to be walked.
    pub fn owe(&mut self, id: TopicId, pending: Pending) -> bool {
        let Some(topic) = self.topics.get_mut(id.0 as usize) else { return false };
        let owed = topic.debt.is_some();
        let paid = &mut self.paid;
        topic.debt.get_or_insert_with(|| paid.pop().unwrap_or_default()).add(pending);
        !owed
    }

    /// Ends a topic's walk: what it carried is owed to nobody any more. True when more is pending.
    pub fn end_walk(&mut self, id: TopicId) -> bool {
        let Some(topic) = self.topics.get_mut(id.0 as usize) else { return false };
        if topic.debt.as_mut().is_some_and(|debt| debt.end_walk()) {
            return true;
        }
        if let Some(mut debt) = topic.debt.take().filter(|_| self.paid.len() < PAID_MAX) {
            debt.clear();
            self.paid.push(debt);
        }
        false
    }

    /// Topics a stream is linked to, in the order of linking; the broadcast is not listed.
    pub fn topics_of(&self, slot: u32) -> impl ExactSizeIterator<Item = TopicId> + '_ {
        self.links.get(slot).iter().map(|link| link.topic)
    }

    /// Takes a stream out of all its topics; a topic left without members goes, and what it owed
    /// with it. `left` hears the name of each topic left.
    pub fn unlink(&mut self, slot: u32, mut left: impl FnMut(&TopicName)) {
        for link in self.links.take(slot) {
            if let Some(topic) = self.topics.get(link.topic.0 as usize) {
                left(&topic.name);
            }
            self.leave(link);
        }
    }

    /// Takes a stream out of one of its topics; its last link takes that one's place.
    pub fn unlink_one(&mut self, slot: u32, topic: TopicId) {
        let links = self.links.get_mut(slot);
        let Some(at) = links.iter().position(|link| link.topic == topic) else { return };
        let link = links.swap_remove(at);
        if let Some(moved) = links.get(at).copied()
            && let Some(other) = self.topics.get_mut(moved.topic.0 as usize)
            && let Some(member) = other.members.get_mut(moved.index as usize)
        {
            member.link = u32::try_from(at).unwrap_or(u32::MAX);
        }
        self.leave(link);
    }

    fn add(&mut self, name: TopicName) -> TopicId {
        // Streams are counted in u32 slots and each new topic has at least one.
        TopicId(u32::try_from(self.topics.insert(Topic::new(name))).unwrap_or(u32::MAX))
    }

    fn link(&mut self, slot: u32, id: TopicId) {
        let Some(topic) = self.topics.get_mut(id.0 as usize) else { return };
        let links: &mut Links = self.links.get_mut(slot);
        let (link, index) = (links.len(), topic.members.len());
        topic.members.push(Member { slot, link: u32::try_from(link).unwrap_or(u32::MAX) });
        links.push(Link { topic: id, index: u32::try_from(index).unwrap_or(u32::MAX) });
    }

    /// Removes one member by swapping the last one into its place.
    fn leave(&mut self, link: Link) {
        let Some(topic) = self.topics.get_mut(link.topic.0 as usize) else { return };
        topic.members.swap_remove(link.index as usize);
        topic.shorten_walk();
        if let Some(moved) = topic.members.get(link.index as usize)
            && let Some(other) = self.links.get_mut(moved.slot).get_mut(moved.link as usize)
        {
            other.index = link.index;
        }
        if topic.members.is_empty() {
            self.drop_topic(link.topic);
        }
    }

    fn drop_topic(&mut self, id: TopicId) {
        let Some(topic) = self.topics.remove(id.0 as usize) else { return };
        match &topic.name {
            TopicName::Channel(name) => {
                let hash = self.hasher.hash(name);
                if let Ok(entry) = self.channels.find_entry(hash, |known| *known == id) {
                    entry.remove();
                }
            }
            TopicName::Pattern(pattern) => self.patterns.remove(pattern),
        }
    }
}

fn hash_of(topics: &Shelves<Topic>, hasher: KeyHasher, id: TopicId) -> u64 {
    match topics.get(id.0 as usize).map(|topic| &topic.name) {
        Some(TopicName::Channel(name)) => hasher.hash(name),
        _ => 0,
    }
}

fn is_channel(topics: &Shelves<Topic>, id: TopicId, key: &ChannelKey) -> bool {
    topics
        .get(id.0 as usize)
        .is_some_and(|topic| matches!(&topic.name, TopicName::Channel(known) if *known == key.name))
}

#[cfg(test)]
mod tests;
