//! Whom an event goes to, where that is more than "its channels": patterns, exclusions, copies of
//! one's own, and users for whom nobody listens.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use smallvec::{SmallVec, smallvec};

use super::Worker;
use super::parked::{Accepted, Entry};
use crate::auth::Identity;
use crate::driver::Driver;
use crate::hub::TopicName;
use crate::journal::{Aim, Draft, Event, Receipt, StreamPlace};
use crate::proto::channel::{BROADCAST, USER};
use crate::proto::http::Problem;
use crate::proto::publish::{Command, Excluded, TARGETS_MAX};

/// Users without a stream that are told by name, until somebody logs them.
const TOLD_MAX: usize = 64;

/// Users to whom something was published while none of their streams was there.
#[derive(Debug, Default)]
pub(super) struct Unreached {
    users: Mutex<BTreeMap<Arc<str>, u64>>,
    /// Events for users beyond the bound.
    others: AtomicU64,
}

impl Unreached {
    /// Notes the channels of such users. Never waits: what cannot be told by name is counted.
    pub(super) fn note(&self, channels: &[Arc<str>]) {
        if channels.is_empty() {
            return;
        }
        let Ok(mut users) = self.users.try_lock() else {
            self.others.fetch_add(channels.len() as u64, Ordering::Relaxed);
            return;
        };
        for channel in channels {
            if users.len() < TOLD_MAX || users.contains_key(channel) {
                *users.entry(Arc::clone(channel)).or_default() += 1;
            } else {
                self.others.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Events by user since the last time, and those for users beyond the bound.
    pub(super) fn take(&self) -> (BTreeMap<String, u64>, u64) {
        let users = std::mem::take(&mut *self.users.lock().unwrap_or_else(PoisonError::into_inner));
        let name = |channel: &str| channel.strip_prefix(USER).unwrap_or(channel).to_owned();
        let users = users.into_iter().map(|(channel, events)| (name(&channel), events));
        (users.collect(), self.others.swap(0, Ordering::Relaxed))
    }
}

fn bad_exclusion(id: &str) -> Problem {
    let detail = format!("\"exclude\": {id:?} is no connection's id, as `sse.open` tells it");
    Problem::new(400, "bad-publish", detail)
}

fn too_broad() -> Problem {
    let detail = format!("\"pattern\" matches more channels than the {TARGETS_MAX} it may");
    Problem::new(400, "pattern-too-broad", detail)
        .hint("name the channels, or publish to the broadcast")
}

impl<D: Driver> Worker<D> {
    /// What has to be appended for one publish: an event, or one for each user whose copy is his
    /// own and one for the rest.
    pub(super) fn entries(
        &mut self,
        command: Command,
        identity: &Identity,
    ) -> SmallVec<[Entry; 1]> {
        let delay_ms = command.delay_ms.filter(|ms| *ms > 0);
        let drafts = match self.drafts(command, identity) {
            Ok(drafts) => drafts,
            Err(problem) => return smallvec![Entry::Decided(Err(problem))],
        };
        let mut entries: SmallVec<[Entry; 1]> = SmallVec::with_capacity(drafts.len());
        for draft in drafts {
            let entry = self.entry(draft, delay_ms);
            let is_first = entries.is_empty();
            entries.push(if is_first { entry } else { Entry::More(Box::new(entry)) });
        }
        entries
    }

    fn drafts(
        &mut self,
        mut command: Command,
        identity: &Identity,
    ) -> Result<SmallVec<[Draft; 1]>, Problem> {
        let own = self.live.options.shapes.own_copies(&command);
        if own.is_empty() {
            return Ok(smallvec![self.draft(command, identity, None)?]);
        }
        // One notification: all its copies have one name.
        let name = super::shape::name()?;
        let mut drafts = SmallVec::new();
        for channel in &own {
            let mut copy = command.clone();
            copy.pattern = None;
            copy.channels = vec![channel.clone()];
            // Each copy is appended once, however often all of them are sent.
            copy.idempotency_key =
                command.idempotency_key.as_ref().map(|key| format!("{key}\0{channel}"));
            drafts.push(self.draft(copy, identity, Some(&name))?);
        }
        command.channels.retain(|channel| !own.contains(channel));
        if !command.channels.is_empty() || command.pattern.is_some() {
            // Who has a copy of his own gets no second one.
            let users = own.iter().filter_map(|channel| channel.strip_prefix(USER));
            command.exclude.extend(users.map(|user| Excluded::User(user.to_owned())));
            drafts.push(self.draft(command, identity, Some(&name))?);
        }
        Ok(drafts)
    }

    /// Puts an event aside where its time has not come.
    fn entry(&mut self, mut draft: Draft, delay_ms: Option<u64>) -> Entry {
        if let Some(delay_ms) = delay_ms {
            return Entry::Decided(self.delay(draft, delay_ms));
        }
        if let Err(problem) = self.find_targets(&mut draft) {
            return Entry::Decided(Err(problem));
        }
        if !self.live.options.has_rates {
            return Entry::Append(draft);
        }
        let left = self.hold_back(draft);
        left.map_or(Entry::Decided(Ok(Accepted::Held)), Entry::Append)
    }

    /// The rules of an event beside its channels; none for most.
    pub(super) fn aim(&self, command: &Command) -> Result<Option<Arc<Aim>>, Problem> {
        let Command { pattern, exclude, wait_written, spread_ms, .. } = command;
        if pattern.is_none() && exclude.is_empty() && !wait_written && *spread_ms == 0 {
            return Ok(None);
        }
        let (mut streams, mut users) = (Vec::new(), Vec::new());
        for excluded in exclude {
            match excluded {
                Excluded::Connection(id) => {
                    let of = self.node.names.read(id).ok_or_else(|| bad_exclusion(id))?;
                    streams.push(StreamPlace {
                        worker: usize::from(of.worker),
                        slot: of.slot,
                        generation: of.generation,
                    });
                }
                Excluded::User(user) => users.push(user.as_str().into()),
            }
        }
        let workers = self.node.counters.len();
        let mut aim = Aim::without(streams, users);
        aim.pattern.clone_from(pattern);
        aim.spread_ms = *spread_ms;
        aim.receipt = wait_written.then(|| Arc::new(Receipt::new(self.index, workers)));
        Ok(Some(Arc::new(aim)))
    }

    /// Adds the channels that match the event's pattern now.
    pub(super) fn find_targets(&self, draft: &mut Draft) -> Result<(), Problem> {
        let pattern = draft.aim.as_ref().and_then(|aim| aim.pattern.as_ref());
        let Some(pattern) = pattern else { return Ok(()) };
        let found = self.node.journal.matching(pattern, TARGETS_MAX).ok_or_else(too_broad)?;
        for key in found {
            if !draft.targets.contains(&key) {
                draft.targets.push(key);
            }
        }
        if draft.targets.len() > TARGETS_MAX { Err(too_broad()) } else { Ok(()) }
    }

    /// The stream in this slot gets this event of its channels.
    pub(super) fn is_for(&self, slot: u32, event: &Event) -> bool {
        let Some(conn) = self.conns.at(slot) else { return false };
        let Some(aim) = event.aim.as_ref().filter(|aim| aim.excludes()) else {
            return conn.wants(event);
        };
        let place = StreamPlace { worker: self.index, slot, generation: conn.generation };
        let is_out = aim.excludes_stream(place)
            || (aim.excludes_users()
                && self.user_of(slot).is_some_and(|user| aim.excludes_user(user)));
        !is_out && conn.wants(event)
    }

    /// Whose stream it is. Another's channels do not make it his.
    pub(super) fn user_of(&self, slot: u32) -> Option<&str> {
        let extra = self.conns.at(slot)?.extra.as_ref();
        if let Some(user) = extra.and_then(|extra| extra.user.as_deref()) {
            return Some(user).filter(|user| !user.is_empty());
        }
        self.hub.topics_of(slot).find_map(|topic| match &self.hub.topic(topic)?.name {
            TopicName::Channel(name) => name.strip_prefix(USER),
            TopicName::Pattern(_) => None,
        })
    }

    /// By which of an event's channels a stream gets it: others may be none of its business.
    pub(super) fn channel_for<'e>(&self, slot: u32, event: &'e Event) -> &'e str {
        let pattern = event.aim.as_ref().and_then(|aim| aim.pattern.as_ref());
        if let ([only], None) = (&*event.targets, pattern) {
            return &only.name;
        }
        let receives = |name: &str| {
            let is = |topic| match self.hub.topic(topic).map(|topic| &topic.name) {
                Some(TopicName::Channel(known)) => **known == *name,
                Some(TopicName::Pattern(known)) => known.matches(name),
                None => false,
            };
            name == BROADCAST || self.hub.topics_of(slot).any(is)
        };
        let found = event.targets.iter().find(|key| receives(&key.name));
        found.map_or_else(|| pattern.map_or("", |pattern| pattern.as_str()), |key| &key.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unreached_are_told_once_and_bounded() {
        let unreached = Unreached::default();
        for n in 0..TOLD_MAX + 5 {
            unreached.note(&[format!("user:{n}").as_str().into()]);
            unreached.note(&["user:0".into()]);
        }
        let (users, others) = unreached.take();
        assert_eq!((users.len(), others), (TOLD_MAX, 5));
        assert_eq!((users["0"], users["1"]), (TOLD_MAX as u64 + 6, 1));
        assert_eq!(unreached.take(), (BTreeMap::new(), 0));
    }
}
