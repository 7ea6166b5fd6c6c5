use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::hub::Pending;

fn key(n: u8) -> ChannelKey {
    KeyHasher::poor().key(&format!("c{n}"))
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
        let mut hub = Hub::new("broadcast".into(), KeyHasher::poor());
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
        let mut hub = Hub::new("broadcast".into(), KeyHasher::poor());
        let id = (0..joins).map(|slot| hub.link_channel(slot, &key(1))).last().unwrap();
        let keeper = hub.link_channel(1_000, &key(1));
        prop_assert_eq!(id, keeper);
        let first = hub.owe(id, Pending { position: 0, seq: 1, len: 10, picky: false });
        prop_assert!(first);
        let topic = hub.topic_mut(id).unwrap();
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
            let Some(cursor) = topic.step() else { break };
            visited.insert(topic.member(cursor).unwrap());
        }
        let topic = hub.topic_mut(id).unwrap();
        while let Some(cursor) = topic.step() {
            visited.insert(topic.member(cursor).unwrap());
        }
        for slot in (0..joins).chain([1_000]) {
            prop_assert!(gone.contains(&slot) || visited.contains(&slot), "{} was passed by", slot);
        }
        prop_assert!(!hub.end_walk(id) && !hub.topic(id).unwrap().owes());
    }
}

#[test]
fn patterns_are_found_by_their_first_part_or_as_wild() {
    let mut hub = Hub::new("broadcast".into(), KeyHasher::poor());
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
    let mut hub = Hub::new("broadcast".into(), KeyHasher::poor());
    let id = hub.link_channel(1, &key(1));
    for seq in 1..=4 {
        assert_eq!(hub.owe(id, Pending { position: seq, seq, len: 40, picky: false }), seq == 1);
    }
    let carried = |hub: &Hub| hub.topic(id).unwrap().walk().map(|w| (w.events, w.target_seq));
    hub.topic_mut(id).unwrap().begin_walk(1, 100);
    assert_eq!(carried(&hub), Some((2, 2)));
    assert!(hub.end_walk(id));
    hub.topic_mut(id).unwrap().begin_walk(1, 10);
    assert_eq!(carried(&hub), Some((1, 3)));
}

/// A million users: what a topic of one stream takes.
#[test]
fn a_topic_without_debts_is_small() {
    assert!(size_of::<Topic>() <= 56, "{}", size_of::<Topic>());
}

#[test]
fn a_topic_knows_whether_something_pending_is_picky() {
    let mut hub = Hub::new("broadcast".into(), KeyHasher::poor());
    let id = hub.link_channel(1, &key(1));
    let is_picky = |hub: &Hub| hub.topic(id).unwrap().is_picky();
    for (seq, picky) in [(1, false), (2, true), (2, true), (3, false)] {
        hub.owe(id, Pending { position: seq, seq, len: 60, picky });
    }
    let mut seen = Vec::new();
    loop {
        seen.push(is_picky(&hub));
        hub.topic_mut(id).unwrap().begin_walk(1, 100);
        if !hub.end_walk(id) {
            break;
        }
    }
    assert_eq!(seen, [true, true, false]);
    hub.owe(id, Pending { position: 4, seq: 4, len: 1, picky: false });
    assert!(!is_picky(&hub), "a debt that was used before is clean");
}

#[test]
fn patterns_that_overlap_are_found() {
    let mut hub = Hub::new("broadcast".into(), KeyHasher::poor());
    let of = |text: &str| Pattern::parse(text).unwrap();
    let all = ["orders.*", "*.eu", "stock.**"].map(of);
    let ids: Vec<TopicId> = (1..).zip(&all).map(|(slot, p)| hub.link_pattern(slot, p)).collect();
    let found = |text: &str| {
        let mut found = SmallVec::new();
        hub.overlapping_patterns(&of(text), &mut found);
        found.sort();
        found.into_vec()
    };
    assert_eq!(found("orders.*"), [ids[0], ids[1]]);
    assert!(found("orders.us.*").is_empty());
    assert_eq!(found("stock.*"), [ids[1], ids[2]]);
    assert_eq!(found("**"), ids);
    assert!(found("user:*").is_empty());
}
