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

/// Links by slot; grows with the highest slot in use.
#[derive(Debug, Default)]
pub(super) struct LinkTable {
    rows: Vec<Links>,
}

impl LinkTable {
    pub(super) fn get(&self, slot: u32) -> &[Link] {
        self.rows.get(slot as usize).map_or(&[], SmallVec::as_slice)
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> &mut Links {
        let at = slot as usize;
        if at >= self.rows.len() {
            self.rows.resize_with(at + 1, Links::new);
        }
        &mut self.rows[at]
    }

    pub(super) fn take(&mut self, slot: u32) -> Links {
        self.rows.get_mut(slot as usize).map(std::mem::take).unwrap_or_default()
    }
}
