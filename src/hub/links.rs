//! The topics of each stream, by slot.

use smallvec::SmallVec;

use super::topics::TopicId;

/// One link of a stream: which topic, and where in its member list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) topic: TopicId,
    pub(super) index: u32,
}

/// Links of one stream. One link, the usual case, takes no memory of its own.
pub(super) type Links = SmallVec<[Link; 1]>;

/// Rows of one part of the table; few in tests, so that they have several parts.
const PART: usize = if cfg!(test) { 4 } else { 1_024 };

/// Links by slot; grows with the highest slot in use, by parts that never move.
#[derive(Debug, Default)]
pub(super) struct LinkTable {
    parts: Vec<Box<[Links]>>,
}

impl LinkTable {
    pub(super) fn get(&self, slot: u32) -> &[Link] {
        let at = slot as usize;
        let row = self.parts.get(at / PART).and_then(|part| part.get(at % PART));
        row.map_or(&[], SmallVec::as_slice)
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> &mut Links {
        let at = slot as usize;
        while at / PART >= self.parts.len() {
            self.parts.push((0..PART).map(|_| Links::new()).collect());
        }
        &mut self.parts[at / PART][at % PART]
    }

    pub(super) fn take(&mut self, slot: u32) -> Links {
        let at = slot as usize;
        let row = self.parts.get_mut(at / PART).and_then(|part| part.get_mut(at % PART));
        row.map(std::mem::take).unwrap_or_default()
    }
}
