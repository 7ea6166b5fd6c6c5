//! A slab in parts that never move.
//!
//! One vector would be copied whole each time it doubles: a pause of milliseconds with a million
//! connections, and the old copy stays behind as garbage of the allocator's.

use slab::Slab;

/// Entries of one part; few in tests, so that the simulation has several parts.
const PART: usize = if cfg!(test) { 4 } else { 1_024 };

/// Values by index. A removed one's index is given out again.
#[derive(Debug)]
pub struct Shelves<T> {
    parts: Vec<Slab<T>>,
    /// Parts with room; each stands here at most once.
    roomy: Vec<usize>,
    len: usize,
}

impl<T> Default for Shelves<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Shelves<T> {
    /// Empty.
    #[must_use]
    pub fn new() -> Self {
        Self { parts: Vec::new(), roomy: Vec::new(), len: 0 }
    }

    /// Values in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Without values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts a value in; its index.
    pub fn insert(&mut self, value: T) -> usize {
        let at = match self.roomy.last() {
            Some(at) => *at,
            None => {
                self.parts.push(Slab::with_capacity(PART));
                self.roomy.push(self.parts.len() - 1);
                self.parts.len() - 1
            }
        };
        let part = &mut self.parts[at];
        let index = at * PART + part.insert(value);
        if part.len() == PART {
            self.roomy.pop();
        }
        self.len += 1;
        index
    }

    /// Takes a value out.
    pub fn remove(&mut self, index: usize) -> Option<T> {
        let at = index / PART;
        let part = self.parts.get_mut(at)?;
        let was_full = part.len() == PART;
        let value = part.try_remove(index % PART)?;
        if was_full {
            self.roomy.push(at);
        }
        self.len -= 1;
        Some(value)
    }

    /// A value.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&T> {
        self.parts.get(index / PART)?.get(index % PART)
    }

    /// A value, to change it.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.parts.get_mut(index / PART)?.get_mut(index % PART)
    }

    /// All values with their indexes.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        let parts = self.parts.iter().enumerate();
        parts.flat_map(|(at, part)| {
            part.iter().map(move |(index, value)| (at * PART + index, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn it_agrees_with_a_map() {
        let mut shelves = Shelves::new();
        let mut map = HashMap::new();
        let mut random = fastrand::Rng::with_seed(7);
        for value in 0..5_000_u32 {
            // It grows, shrinks to nothing, and grows again.
            let grows = value % 1_000 < 600;
            if grows || map.is_empty() {
                let index = shelves.insert(value);
                assert_eq!(map.insert(index, value), None, "index {index} was taken");
            } else {
                let keys: Vec<usize> = map.keys().copied().collect();
                let index = keys[random.usize(..keys.len())];
                assert_eq!(shelves.remove(index), map.remove(&index));
                assert_eq!(shelves.remove(index), None);
                assert_eq!(shelves.get(index), None);
            }
            assert_eq!(shelves.len(), map.len());
        }
        for (index, value) in &mut map {
            assert_eq!(shelves.get(*index), Some(&*value));
            assert_eq!(shelves.get_mut(*index), Some(value));
        }
        assert_eq!(
            shelves.iter().map(|(index, value)| (index, *value)).collect::<HashMap<_, _>>(),
            map
        );
        assert_eq!(shelves.get(usize::MAX), None);
    }

    #[test]
    fn room_is_used_again_before_more_is_made() {
        let mut shelves = Shelves::new();
        (0..10 * PART).for_each(|value| assert_eq!(shelves.insert(value), value));
        (0..10 * PART).step_by(2).for_each(|index| assert!(shelves.remove(index).is_some()));
        (0..5 * PART).for_each(|value| assert!(shelves.insert(value) < 10 * PART));
        assert_eq!(shelves.insert(0), 10 * PART);
    }
}
