//! Which patterns match a channel name, without trying all of them.

use std::collections::HashMap;

use smallvec::SmallVec;

use super::topics::TopicId;
use crate::proto::channel::Pattern;

/// Patterns by their literal first part; those that begin with a wildcard stand apart.
#[derive(Debug, Default)]
pub(super) struct PatternIndex {
    by_first_part: HashMap<Box<str>, Vec<(Pattern, TopicId)>>,
    wild: Vec<(Pattern, TopicId)>,
}

fn first_part(name: &str) -> &str {
    name.split('.').next().unwrap_or_default()
}

impl PatternIndex {
    fn bucket(&mut self, pattern: &Pattern) -> &mut Vec<(Pattern, TopicId)> {
        let first = first_part(pattern.as_str());
        if first.contains('*') {
            return &mut self.wild;
        }
        self.by_first_part.entry(first.into()).or_default()
    }

    pub(super) fn find(&self, pattern: &Pattern) -> Option<TopicId> {
        let first = first_part(pattern.as_str());
        let bucket =
            if first.contains('*') { &self.wild } else { self.by_first_part.get(first)? };
        bucket.iter().find(|(known, _)| known == pattern).map(|(_, topic)| *topic)
    }

    pub(super) fn insert(&mut self, pattern: Pattern, topic: TopicId) {
        self.bucket(&pattern).push((pattern, topic));
    }

    pub(super) fn remove(&mut self, pattern: &Pattern) {
        let bucket = self.bucket(pattern);
        bucket.retain(|(known, _)| known != pattern);
        let first = first_part(pattern.as_str());
        if self.by_first_part.get(first).is_some_and(Vec::is_empty) {
            self.by_first_part.remove(first);
        }
    }

    pub(super) fn overlapping(&self, pattern: &Pattern, out: &mut SmallVec<[TopicId; 8]>) {
        let first = first_part(pattern.as_str());
        let mut add = |all: &[(Pattern, TopicId)]| {
            let hits = all.iter().filter(|(known, _)| known.overlaps(pattern));
            out.extend(hits.map(|(_, topic)| *topic));
        };
        add(&self.wild);
        if first.contains('*') {
            self.by_first_part.values().for_each(|bucket| add(bucket));
        } else if let Some(bucket) = self.by_first_part.get(first) {
            add(bucket);
        }
    }

    pub(super) fn matching(&self, name: &str, out: &mut SmallVec<[TopicId; 8]>) {
        let literal = self.by_first_part.get(first_part(name)).map_or(&[][..], Vec::as_slice);
        let hits = literal.iter().chain(&self.wild).filter(|(pattern, _)| pattern.matches(name));
        out.extend(hits.map(|(_, topic)| *topic));
    }
}
