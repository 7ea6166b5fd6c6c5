use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn rates() -> Rates<u32> {
    Rates::new(RateLimits::default())
}

fn due(rates: &mut Rates<u32>, now_ms: u64) -> Vec<(u32, u64)> {
    rates.due(now_ms).map(|due| (due.item, due.superseded)).collect()
}

fn held(opens_at_ms: u64, superseded: Option<u32>) -> Decision<u32> {
    Decision::Held { opens_at_ms, superseded }
}

#[test]
fn the_first_leaves_and_the_last_follows() {
    let mut rates = rates();
    let typing =
        |rates: &mut Rates<u32>, now, item| rates.offer("chat", "chat:typing", 1000, now, item, 1);
    assert_eq!(typing(&mut rates, 0, 1), Decision::Leave(1));
    assert_eq!(typing(&mut rates, 10, 2), held(1000, None));
    assert_eq!(typing(&mut rates, 20, 3), held(1000, Some(2)));
    assert_eq!(typing(&mut rates, 999, 4), held(1000, Some(3)));
    assert_eq!(rates.due_at_ms(), Some(1000));
    assert_eq!(due(&mut rates, 999), []);
    // A late look: the next window begins when the event left.
    assert_eq!(due(&mut rates, 1005), [(4, 2)]);
    assert_eq!(typing(&mut rates, 2004, 5), held(2005, None));
    assert_eq!(due(&mut rates, 2005), [(5, 0)]);
    assert_eq!(due(&mut rates, 3005), []);
    assert!(rates.is_empty());
    assert_eq!(typing(&mut rates, 3005, 6), Decision::Leave(6));
}

#[test]
fn targets_and_events_do_not_mix() {
    let mut rates = rates();
    for (target, event) in [("a", "bc"), ("ab", "c"), ("a", ""), ("", "a"), ("a", "b")] {
        assert_eq!(rates.offer(target, event, 1000, 0, 1, 1), Decision::Leave(1));
    }
    assert_eq!(rates.len(), 5);
    assert_eq!(rates.offer("a", "bc", 1000, 0, 2, 1), held(1000, None));
    let all: Vec<Due<u32>> = rates.due(1000).collect();
    assert_eq!((&*all[0].target, &*all[0].event, all.len()), ("a", "bc", 1));
    assert_eq!(rates.offer("x", "y", 0, 0, 7, 1), Decision::Leave(7));
    assert_eq!(rates.len(), 1);
}

#[test]
fn a_window_that_is_over_needs_no_look() {
    let mut rates = rates();
    assert_eq!(rates.offer("a", "e", 100, 0, 1, 1), Decision::Leave(1));
    assert_eq!(rates.offer("a", "e", 500, 100, 2, 1), Decision::Leave(2));
    assert_eq!(rates.offer("a", "e", 100, 599, 3, 1), held(600, None));
    // Held, the window over, nobody looked: order is kept, nothing overtakes.
    assert_eq!(rates.offer("a", "e", 100, 700, 4, 1), held(600, Some(3)));
    assert_eq!(due(&mut rates, 700), [(4, 1)]);
}

#[test]
fn bounds_give_back() {
    let mut rates = Rates::new(RateLimits { windows_max: 2, held_bytes_max: 10 });
    assert_eq!(rates.offer("a", "e", 100, 0, 1, 50), Decision::Leave(1));
    assert_eq!(rates.offer("b", "e", 100, 0, 2, 50), Decision::Leave(2));
    assert_eq!(rates.offer("c", "e", 100, 0, 3, 1), Decision::Full(3));
    assert_eq!(rates.offer("a", "e", 100, 0, 4, 6), held(100, None));
    assert_eq!(rates.offer("b", "e", 100, 0, 5, 5), Decision::Full(5));
    assert_eq!(rates.offer("b", "e", 100, 0, 6, 4), held(100, None));
    assert_eq!(rates.offer("a", "e", 100, 0, 7, 7), Decision::Full(7));
    assert_eq!(rates.offer("a", "e", 100, 0, 8, 2), held(100, Some(4)));
    assert_eq!(rates.held_bytes(), 6);
    assert_eq!(due(&mut rates, 100).len(), 2);
    assert_eq!(rates.held_bytes(), 0);
    assert_eq!(due(&mut rates, 200), []);
    assert_eq!(rates.offer("c", "e", 100, 200, 3, 1), Decision::Leave(3));
}

#[test]
fn the_table_shrinks() {
    let mut rates = rates();
    for number in 0..50_000 {
        let (window, target) = (if number % 100 == 0 { 5000 } else { 1000 }, number.to_string());
        assert_eq!(rates.offer(&target, "e", window, 0, number, 1), Decision::Leave(number));
    }
    let full = rates.table_bytes();
    assert_eq!(rates.offer("100", "e", 5000, 999, 7, 1), held(5000, None));
    assert_eq!(due(&mut rates, 1000), []);
    assert_eq!(rates.len(), 500);
    assert!(rates.table_bytes() * 20 < full, "{} of {full}", rates.table_bytes());
    // What stayed is still found.
    assert_eq!(rates.offer("100", "e", 5000, 1000, 8, 1), held(5000, Some(7)));
    assert_eq!(rates.offer("200", "e", 5000, 1000, 9, 1), held(5000, None));
    assert_eq!(due(&mut rates, 5000).len(), 2);
}

/// One key by its definition: when it last let an event go, and what waits.
#[derive(Default)]
struct Naive {
    left_at: Option<u64>,
    waits: Vec<u32>,
}

proptest! {
    /// Against a list of what waits for each key, looked through at every step.
    #[test]
    fn lets_go_as_lists_do(
        steps in prop::collection::vec((0..4_usize, 0..40_u64, any::<bool>()), 0..200),
        window in 1..100_u64,
    ) {
        let mut rates = rates();
        let mut naive: BTreeMap<usize, Naive> = BTreeMap::new();
        let (mut now, mut offered, mut gone) = (0, 0_u64, 0_u64);
        for (item, (key, pause, look)) in (0..).zip(steps) {
            now += pause;
            if look {
                let mut expected: Vec<(u32, u64)> = Vec::new();
                for one in naive.values_mut() {
                    let over = one.left_at.is_some_and(|at| at + window <= now);
                    if over && let Some(last) = one.waits.pop() {
                        expected.push((last, one.waits.drain(..).count() as u64));
                        one.left_at = Some(now);
                    }
                }
                let mut found = due(&mut rates, now);
                gone += found.iter().map(|(_, superseded)| 1 + superseded).sum::<u64>();
                found.sort_unstable();
                expected.sort_unstable();
                prop_assert_eq!(found, expected);
                continue;
            }
            offered += 1;
            let one = naive.entry(key).or_default();
            let over = one.left_at.is_none_or(|at| at + window <= now);
            let expected = if over && one.waits.is_empty() {
                one.left_at = Some(now);
                gone += 1;
                Decision::Leave(item)
            } else {
                let superseded = one.waits.last().copied();
                one.waits.push(item);
                held(one.left_at.unwrap() + window, superseded)
            };
            prop_assert_eq!(rates.offer("t", &key.to_string(), window, now, item, 3), expected);
            let waiting = naive.values().filter(|one| !one.waits.is_empty()).count();
            prop_assert_eq!(rates.held_bytes(), waiting * 3);
        }
        // Every event left, waits, or was counted.
        let waiting: usize = naive.values().map(|one| one.waits.len()).sum();
        prop_assert_eq!(gone + waiting as u64, offered);
        if waiting > 0 {
            prop_assert!(rates.due_at_ms().is_some());
        }
    }
}
