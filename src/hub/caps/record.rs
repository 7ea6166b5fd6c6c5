//! The records of one shard: small ones in place, large ones apart. Most users have one stream.

use std::collections::VecDeque;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};

use super::{Entry, OnLimit, StreamId};

/// Streams that a record holds in place.
const FEW: usize = 3;
/// A place without a stream. No stream has this id: workers are numbered below `WORKERS_MAX`.
const NONE: StreamId = StreamId(u64::MAX);
/// Tables up to this many places are left as they are.
const SMALL_TABLE: usize = 32;

/// The records of some keys.
#[derive(Debug, Default)]
pub(super) struct Shard {
    one: HashTable<One>,
    few: HashTable<Few>,
    many: HashTable<Box<Many>>,
}

/// A single stream.
#[derive(Debug)]
struct One {
    key: u64,
    id: StreamId,
}

/// Up to three streams, oldest first, then `NONE`.
#[derive(Debug)]
struct Few {
    key: u64,
    ids: [StreamId; FEW],
}

/// Any number of streams. A stream that left stays in `order` until it comes up or until there are
/// more of its kind than of the others.
#[derive(Debug)]
struct Many {
    key: u64,
    order: VecDeque<(u64, StreamId)>,
    /// Streams that are in, with the number under which they entered.
    live: HashMap<StreamId, u64, FixedState>,
    next_number: u64,
}

impl Shard {
    pub(super) fn try_enter(
        &mut self,
        key: u64,
        id: StreamId,
        cap: usize,
        on_limit: OnLimit,
    ) -> Entry {
        if cap == 0 {
            return Entry::Refuse;
        }
        if let Some(many) = self.many.find_mut(key, |many| many.key == key) {
            return many.try_enter(id, cap, on_limit);
        }
        let Some(few) = self.few.find_mut(key, |few| few.key == key) else {
            return self.enter_one(key, id, cap, on_limit);
        };
        let len = few.len();
        if few.ids.contains(&id) {
            Entry::Enter
        } else if len >= cap {
            if on_limit == OnLimit::Reject { Entry::Refuse } else { Entry::Evict(few.replace(id)) }
        } else if len < FEW {
            few.ids[len] = id;
            Entry::Enter
        } else {
            let mut many = Box::new(Many::of(few));
            many.push(id);
            self.remove_few(key);
            self.many.insert_unique(key, many, |many| many.key);
            Entry::Enter
        }
    }

    /// The first stream of a key, or the second.
    fn enter_one(&mut self, key: u64, id: StreamId, cap: usize, on_limit: OnLimit) -> Entry {
        let Some(one) = self.one.find_mut(key, |one| one.key == key) else {
            self.one.insert_unique(key, One { key, id }, |one| one.key);
            return Entry::Enter;
        };
        if one.id == id {
            return Entry::Enter;
        }
        if cap == 1 {
            return match on_limit {
                OnLimit::Reject => Entry::Refuse,
                OnLimit::EvictOldest => Entry::Evict(std::mem::replace(&mut one.id, id)),
            };
        }
        let few = Few { key, ids: [one.id, id, NONE] };
        self.remove_one(key);
        self.few.insert_unique(key, few, |few| few.key);
        Entry::Enter
    }

    /// A stream leaves. A record grows smaller one later than it grew, so that a stream that comes
    /// and goes does not move it each time.
    pub(super) fn leave(&mut self, key: u64, id: StreamId) -> bool {
        if let Some(many) = self.many.find_mut(key, |many| many.key == key) {
            let was_in = many.leave(id);
            if many.live.len() < FEW {
                let few = many.few();
                self.remove_many(key);
                self.few.insert_unique(key, few, |few| few.key);
            }
            return was_in;
        }
        let Some(few) = self.few.find_mut(key, |few| few.key == key) else {
            let was_in = self.one.find(key, |one| one.key == key).is_some_and(|one| one.id == id);
            if was_in {
                self.remove_one(key);
            }
            return was_in;
        };
        let Some(at) = few.ids.iter().position(|known| *known == id) else { return false };
        few.ids[at..].rotate_left(1);
        few.ids[FEW - 1] = NONE;
        if few.len() == 0 {
            self.remove_few(key);
        }
        true
    }

    pub(super) fn count(&self, key: u64) -> usize {
        match self.many.find(key, |many| many.key == key) {
            Some(many) => many.live.len(),
            None => match self.few.find(key, |few| few.key == key) {
                Some(few) => few.len(),
                None => usize::from(self.one.find(key, |one| one.key == key).is_some()),
            },
        }
    }

    /// Every stream with its key, the oldest of a key first.
    pub(super) fn each(&self, mut found: impl FnMut(u64, StreamId)) {
        self.one.iter().for_each(|one| found(one.key, one.id));
        for few in &self.few {
            few.ids.iter().take(few.len()).for_each(|id| found(few.key, *id));
        }
        for many in &self.many {
            many.in_order().for_each(|(_, id)| found(many.key, id));
        }
    }

    pub(super) fn keys(&self) -> usize {
        self.one.len() + self.few.len() + self.many.len()
    }

    pub(super) fn bytes(&self) -> usize {
        let apart: usize = self.many.iter().map(|many| many.bytes()).sum();
        let tables = self.one.allocation_size() + self.few.allocation_size();
        tables + self.many.allocation_size() + apart
    }

    fn remove_one(&mut self, key: u64) {
        if let Ok(entry) = self.one.find_entry(key, |one| one.key == key) {
            entry.remove();
        }
        if is_wide(self.one.len(), self.one.capacity()) {
            self.one.shrink_to(self.one.len() * 2, |one| one.key);
        }
    }

    fn remove_few(&mut self, key: u64) {
        if let Ok(entry) = self.few.find_entry(key, |few| few.key == key) {
            entry.remove();
        }
        if is_wide(self.few.len(), self.few.capacity()) {
            self.few.shrink_to(self.few.len() * 2, |few| few.key);
        }
    }

    fn remove_many(&mut self, key: u64) {
        if let Ok(entry) = self.many.find_entry(key, |many| many.key == key) {
            entry.remove();
        }
        if is_wide(self.many.len(), self.many.capacity()) {
            self.many.shrink_to(self.many.len() * 2, |many| many.key);
        }
    }
}

/// Less than a quarter is used.
fn is_wide(len: usize, capacity: usize) -> bool {
    capacity > SMALL_TABLE && len < capacity / 4
}

impl Few {
    fn len(&self) -> usize {
        self.ids.iter().take_while(|id| **id != NONE).count()
    }

    /// Puts a stream behind the others in place of the oldest, and returns that one.
    fn replace(&mut self, id: StreamId) -> StreamId {
        let len = self.len();
        let oldest = std::mem::replace(&mut self.ids[0], id);
        self.ids[..len].rotate_left(1);
        oldest
    }
}

impl Many {
    fn of(few: &Few) -> Self {
        let live = HashMap::with_hasher(FixedState::default());
        let mut many = Self { key: few.key, order: VecDeque::new(), live, next_number: 0 };
        for id in few.ids {
            many.push(id);
        }
        many
    }

    /// Back in place; there are at most [`FEW`].
    fn few(&self) -> Few {
        let mut ids = [NONE; FEW];
        for (place, (_, id)) in ids.iter_mut().zip(self.in_order()) {
            *place = id;
        }
        Few { key: self.key, ids }
    }

    fn bytes(&self) -> usize {
        let order = self.order.capacity() * size_of::<(u64, StreamId)>();
        size_of::<Self>() + order + self.live.allocation_size()
    }

    fn in_order(&self) -> impl Iterator<Item = (u64, StreamId)> {
        self.order.iter().copied().filter(|(number, id)| self.live.get(id) == Some(number))
    }

    fn try_enter(&mut self, id: StreamId, cap: usize, on_limit: OnLimit) -> Entry {
        if self.live.contains_key(&id) {
            return Entry::Enter;
        }
        if self.live.len() < cap {
            self.push(id);
            return Entry::Enter;
        }
        if on_limit == OnLimit::Reject {
            return Entry::Refuse;
        }
        let oldest = self.pop_oldest();
        self.push(id);
        oldest.map_or(Entry::Enter, Entry::Evict)
    }

    fn push(&mut self, id: StreamId) {
        self.order.push_back((self.next_number, id));
        self.live.insert(id, self.next_number);
        self.next_number += 1;
    }

    fn pop_oldest(&mut self) -> Option<StreamId> {
        while let Some((number, id)) = self.order.pop_front() {
            if self.live.get(&id) == Some(&number) {
                self.live.remove(&id);
                return Some(id);
            }
        }
        None
    }

    fn leave(&mut self, id: StreamId) -> bool {
        let was_in = self.live.remove(&id).is_some();
        if self.order.len() > 2 * self.live.len() + SMALL_TABLE {
            self.order = self.in_order().collect();
        }
        if is_wide(self.live.len(), self.live.capacity()) {
            self.live.shrink_to(self.live.len() * 2);
        }
        was_in
    }
}
