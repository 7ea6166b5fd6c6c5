//! Who is there: the users of channels that tell of it.
//!
//! A change is not told at once: changes of a moment are told together, so that a storm of
//! connects is a few events and not a million. A user who leaves and is back within the grace was
//! never away: a page that reloads is no news.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Names in one notice; more are only counted.
pub const NAMED_MAX: usize = 100;

/// What has changed in a channel since it was last told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Which.
    pub channel: Arc<str>,
    /// Users who came, at most [`NAMED_MAX`], in order.
    pub joined: Vec<Arc<str>>,
    /// Users who left, likewise.
    pub left: Vec<Arc<str>>,
    /// Users who came or left and are not named.
    pub more: usize,
    /// Users who are there.
    pub users: usize,
    /// Streams, those without a user too.
    pub streams: usize,
}

/// One page of who is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Users and their streams, in the order of names.
    pub users: Vec<(Arc<str>, usize)>,
    /// More follow the last of them.
    pub more: bool,
    /// All users.
    pub total: usize,
    /// All streams.
    pub streams: usize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    streams: usize,
    gone_at_ms: u64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Channel {
    /// Streams by user; none, and until when, while one who left may come back.
    users: BTreeMap<Arc<str>, Seen>,
    /// Users that the listeners know of.
    told: BTreeSet<Arc<str>>,
    /// Users whose coming or going is not told yet.
    changed: BTreeSet<Arc<str>>,
    streams: usize,
    /// Something is to be told.
    dirty: bool,
}

/// The users of all channels of a node that tell of them.
#[derive(Debug, Serialize, Deserialize)]
pub struct Presence {
    grace_ms: u64,
    channels: HashMap<Arc<str>, Channel>,
    dirty: Vec<Arc<str>>,
    /// Who left, the earliest first: when the grace is over, where, who.
    leaving: VecDeque<(u64, Arc<str>, Arc<str>)>,
}

impl Presence {
    /// Nobody. Whoever left and is back within `grace_ms` was not away.
    #[must_use]
    pub fn new(grace_ms: u64) -> Self {
        Self { grace_ms, channels: HashMap::new(), dirty: Vec::new(), leaving: VecDeque::new() }
    }

    /// A stream comes, of a user or of nobody known.
    pub fn join(&mut self, name: &Arc<str>, user: Option<&str>) {
        let channel = self.channels.entry(Arc::clone(name)).or_default();
        channel.streams += 1;
        if let Some(user) = user {
            match channel.users.get_mut(user) {
                Some(seen) => seen.streams += 1,
                None => {
                    let user: Arc<str> = user.into();
                    channel.users.insert(Arc::clone(&user), Seen { streams: 1, gone_at_ms: 0 });
                    channel.changed.insert(user);
                }
            }
        }
        mark(channel, name, &mut self.dirty);
    }

    /// A stream goes.
    pub fn leave(&mut self, name: &Arc<str>, user: Option<&str>, now_ms: u64) {
        let Some(channel) = self.channels.get_mut(name) else { return };
        channel.streams = channel.streams.saturating_sub(1);
        let gone_at_ms = now_ms + self.grace_ms;
        let known = user.and_then(|user| channel.users.get_key_value(user)).map(|(user, _)| user);
        if let Some(user) = known.cloned()
            && let Some(seen) = channel.users.get_mut(&user)
        {
            seen.streams = seen.streams.saturating_sub(1);
            if seen.streams == 0 {
                seen.gone_at_ms = gone_at_ms;
                self.leaving.push_back((gone_at_ms, Arc::clone(name), user));
            }
        }
        mark(channel, name, &mut self.dirty);
    }

    /// What is to be told now.
    pub fn notices(&mut self, now_ms: u64) -> Vec<Notice> {
        while self.leaving.front().is_some_and(|(due_ms, ..)| *due_ms <= now_ms) {
            let Some((_, name, user)) = self.leaving.pop_front() else { break };
            let Some(channel) = self.channels.get_mut(&name) else { continue };
            // They may be back, or have left once more.
            let is_gone = |seen: &Seen| seen.streams == 0 && seen.gone_at_ms <= now_ms;
            if channel.users.get(&user).is_some_and(is_gone) {
                channel.users.remove(&user);
                channel.changed.insert(user);
                mark(channel, &name, &mut self.dirty);
            }
        }
        let dirty = std::mem::take(&mut self.dirty);
        dirty.into_iter().filter_map(|name| self.notice(name)).collect()
    }

    fn notice(&mut self, name: Arc<str>) -> Option<Notice> {
        let channel = self.channels.get_mut(&name)?;
        channel.dirty = false;
        let (mut joined, mut left, mut more) = (Vec::new(), Vec::new(), 0);
        for user in std::mem::take(&mut channel.changed) {
            let is_there = channel.users.contains_key(&user);
            let told = if is_there {
                channel.told.insert(Arc::clone(&user))
            } else {
                channel.told.remove(&user)
            };
            match (told, is_there) {
                (false, _) => {}
                _ if joined.len() + left.len() >= NAMED_MAX => more += 1,
                (true, true) => joined.push(user),
                (true, false) => left.push(user),
            }
        }
        let (users, streams) = (channel.users.len(), channel.streams);
        if users == 0 && streams == 0 {
            self.channels.remove(&name);
        }
        Some(Notice { channel: name, joined, left, more, users, streams })
    }

    /// Who is there, at most `limit` names after `after`.
    #[must_use]
    pub fn page(&self, name: &str, after: Option<&str>, limit: usize) -> Page {
        let Some(channel) = self.channels.get(name) else { return Page::default() };
        let from = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let mut rest = channel.users.range::<str, _>((from, std::ops::Bound::Unbounded));
        let users = rest.by_ref().take(limit).map(|(user, seen)| (Arc::clone(user), seen.streams));
        let users = users.collect();
        Page {
            users,
            more: rest.next().is_some(),
            total: channel.users.len(),
            streams: channel.streams,
        }
    }

    /// Channels that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.channels.len()
    }

    /// Nobody is anywhere, and nothing is to be told.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.channels.is_empty()
    }
}

fn mark(channel: &mut Channel, name: &Arc<str>, dirty: &mut Vec<Arc<str>>) {
    if !std::mem::replace(&mut channel.dirty, true) {
        dirty.push(Arc::clone(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(all: &[Arc<str>]) -> Vec<&str> {
        all.iter().map(|name| &**name).collect()
    }

    #[test]
    fn changes_of_a_moment_are_told_together() {
        let mut presence = Presence::new(2_000);
        let room: Arc<str> = "room".into();
        for user in ["b", "a", "a"] {
            presence.join(&room, Some(user));
        }
        presence.join(&room, None);
        let all = presence.notices(0);
        assert_eq!(all.len(), 1);
        assert_eq!(names(&all[0].joined), ["a", "b"]);
        assert_eq!((all[0].users, all[0].streams, all[0].left.len()), (2, 4, 0));
        assert!(presence.notices(1).is_empty(), "nothing new");
        // One of two streams of a user, and the nameless one: only counts.
        presence.leave(&room, Some("a"), 10);
        presence.leave(&room, None, 10);
        let all = presence.notices(10);
        assert_eq!((all[0].joined.len(), all[0].left.len(), all[0].streams), (0, 0, 2));
        let page = presence.page("room", None, 1);
        assert_eq!((page.users, page.more, page.total), (vec![("a".into(), 1)], true, 2));
        assert_eq!(presence.page("room", Some("a"), 9).users, [("b".into(), 1)]);
    }

    #[test]
    fn who_is_back_in_time_was_not_away() {
        let mut presence = Presence::new(2_000);
        let room: Arc<str> = "room".into();
        presence.join(&room, Some("a"));
        presence.notices(0);
        presence.leave(&room, Some("a"), 1_000);
        presence.notices(1_100);
        presence.join(&room, Some("a"));
        presence.leave(&room, Some("a"), 2_500);
        let left = |presence: &mut Presence, now_ms| -> usize {
            presence.notices(now_ms).iter().map(|notice| notice.left.len()).sum()
        };
        assert_eq!(left(&mut presence, 3_100), 0, "the first grace is over, the second is not");
        assert_eq!(presence.page("room", None, 9).total, 1);
        assert_eq!(left(&mut presence, 4_499), 0);
        assert_eq!(left(&mut presence, 4_500), 1);
        assert!(presence.is_empty() && presence.leaving.is_empty());
    }

    #[test]
    fn a_storm_is_told_in_few_names_and_all_memory_comes_back() {
        let mut presence = Presence::new(5);
        let room: Arc<str> = "room".into();
        for user in 0..10_000 {
            presence.join(&room, Some(&user.to_string()));
        }
        let all = presence.notices(0);
        assert_eq!((all[0].joined.len(), all[0].more, all[0].users), (NAMED_MAX, 9_900, 10_000));
        for user in 0..10_000 {
            presence.leave(&room, Some(&user.to_string()), 10);
        }
        let streams: Vec<usize> = presence.notices(10).iter().map(|n| n.streams).collect();
        assert_eq!(streams, [0]);
        let all = presence.notices(15);
        assert_eq!((all[0].left.len(), all[0].more, all[0].users), (NAMED_MAX, 9_900, 0));
        assert!(presence.is_empty());
        // Who came and went between two notices was never there.
        presence.join(&room, Some("x"));
        presence.leave(&room, Some("x"), 20);
        let all = presence.notices(30);
        assert_eq!((all[0].joined.len(), all[0].left.len()), (0, 0));
    }
}
