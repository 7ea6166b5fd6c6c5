use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::hub::Pending;

fn key(n: u8) -> ChannelKey {
    // All in two hash values: the index has to compare names.
    ChannelKey { hash: u64::from(n % 2), name: Arc::from(format!("c{n}")) }
}

fn members(hub: &Hub, n: u8) -> BTreeSet<u32> {
    let Some(topic) = hub.find_channel(&key(n)).and_then(|id| hub.topic(id)) else {
        return BTreeSet::new();
    };
    let all: BTreeSet<u32> = (0..topic.len()).filter_map(|at| topic.member(at)).collect();
    assert_eq!(all.len(), topic.len(), "a member stands twice");
    all
}

proptest! {
    /// The index against a map of sets.
    #[test]
    fn membership_equals_a_naive_map(ops in prop::collection::vec((0u32..12, 0u8..6, 0u8..4), 1..200)) {
        let mut hub = Hub::default();
        let mut oracle: BTreeMap<u8, BTreeSet<u32>> = BTreeMap::new();
        for (slot, channel, op) in ops {
            if op == 0 {
                let mut left = 0;
                hub.unlink(slot, |_| left += 1);
                let held = oracle.values_mut().filter_map(|set| set.remove(&slot).then_some(())).count();
                prop_assert_eq!(left, held);
            } else if oracle.entry(channel).or_default().insert(slot) {
                hub.link_channel(slot, &key(channel));
            }
            for channel in 0..6 {
                let expected = oracle.get(&channel).cloned().unwrap_or_default();
                prop_assert_eq!(members(&hub, channel), expected);
            }
        }
        let alive = oracle.values().filter(|set| !set.is_empty()).count();
        prop_assert_eq!(hub.len(), alive + 1);
    }

    /// Whoever stays a member through a whole walk is visited by it.
    #[test]
    fn a_walk_visits_everybody_who_stays(
        joins in 1u32..30,
        steps in prop::collection::vec(prop::option::of(0u32..30), 1..80),
    ) {
        let mut hub = Hub::default();
        let id = (0..joins).map(|slot| hub.link_channel(slot, &key(1))).last().unwrap();
        let keeper = hub.link_channel(1_000, &key(1));
        prop_assert_eq!(id, keeper);
        let topic = hub.topic_mut(id).unwrap();
        topic.pending.push_back(Pending { position: 0, seq: 1, len: 10 });
        let len = topic.len();
        topic.begin_walk(len, 100);
        let mut visited = BTreeSet::new();
        let mut gone = BTreeSet::new();
        for leaver in steps {
            if let Some(slot) = leaver.filter(|slot| *slot < joins) {
                hub.unlink(slot, |_| ());
                gone.insert(slot);
            }
            let topic = hub.topic_mut(id).unwrap();
            let walk = topic.walk.as_mut().unwrap();
            let Some(cursor) = walk.cursor.checked_sub(1) else { break };
            walk.cursor = cursor;
            visited.insert(topic.member(cursor).unwrap());
        }
        let topic = hub.topic_mut(id).unwrap();
        while let Some(cursor) = topic.walk.unwrap().cursor.checked_sub(1) {
            topic.walk.as_mut().unwrap().cursor = cursor;
            visited.insert(topic.member(cursor).unwrap());
        }
        for slot in (0..joins).chain([1_000]) {
            prop_assert!(gone.contains(&slot) || visited.contains(&slot), "{} was passed by", slot);
        }
        prop_assert!(!topic.end_walk());
    }
}

#[test]
fn patterns_are_found_by_their_first_part_or_as_wild() {
    let mut hub = Hub::default();
    let literal = hub.link_pattern(1, &Pattern::parse("orders.*").unwrap());
    let wild = hub.link_pattern(2, &Pattern::parse("*.eu").unwrap());
    let other = hub.link_pattern(3, &Pattern::parse("stock.**").unwrap());
    let mut found = SmallVec::new();
    hub.matching_patterns("orders.eu", &mut found);
    found.sort();
    assert_eq!(found.as_slice(), [literal, wild]);
    hub.unlink(1, |_| ());
    found.clear();
    hub.matching_patterns("orders.eu", &mut found);
    assert_eq!(found.as_slice(), [wild]);
    found.clear();
    hub.matching_patterns("stock.a.b", &mut found);
    assert_eq!(found.as_slice(), [other]);
}

#[test]
fn a_walk_carries_at_least_one_event_and_no_more_than_fit() {
    let mut hub = Hub::default();
    let id = hub.link_channel(1, &key(1));
    let topic = hub.topic_mut(id).unwrap();
    for seq in 1..=4 {
        topic.pending.push_back(Pending { position: seq, seq, len: 40 });
    }
    topic.begin_walk(1, 100);
    assert_eq!(topic.walk.map(|walk| (walk.events, walk.target_seq)), Some((2, 2)));
    assert!(topic.end_walk());
    topic.begin_walk(1, 10);
    assert_eq!(topic.walk.map(|walk| (walk.events, walk.target_seq)), Some((1, 3)));
}
