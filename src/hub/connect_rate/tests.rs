use std::collections::HashMap as Naive;

use proptest::prelude::*;

use super::*;

const WINDOW: u64 = 60_000;

fn key(number: u32) -> Option<IpKey> {
    Some(IpKey::V4(number))
}

#[test]
fn ten_a_minute() {
    let mut rate = ConnectRate::new(10, WINDOW, 1000);
    for second in 0..10 {
        assert_eq!(rate.admit(key(1), second * 1000), Admission::Admitted);
    }
    for (now, retry_after_ms) in [(10_000, 50_000), (59_999, 1)] {
        assert_eq!(rate.admit(key(1), now), Admission::Refused { retry_after_ms });
    }
    assert_eq!(rate.admit(key(2), 10_000), Admission::Admitted);
    // Refused ones did not count: at the end of the minute the oldest makes room for one.
    assert_eq!(rate.admit(key(1), WINDOW), Admission::Admitted);
    assert_eq!(rate.admit(key(1), WINDOW), Admission::Refused { retry_after_ms: 1000 });
    assert_eq!(rate.admit(None, WINDOW), Admission::Unknown);
}

#[test]
fn s183_the_table_is_swept_and_shrinks() {
    let mut rate = ConnectRate::new(10, WINDOW, 1_000_000);
    for number in 0..100_000 {
        assert_eq!(rate.admit(key(number), u64::from(number) / 10), Admission::Admitted);
    }
    assert_eq!((rate.admissions(), rate.addresses()), (100_000, 100_000));
    let full = rate.bytes();
    rate.sweep(WINDOW + 9_990);
    assert_eq!((rate.admissions(), rate.addresses()), (90, 90));
    assert!(rate.bytes() * 50 < full, "{} of {full}", rate.bytes());
    rate.sweep(u64::MAX);
    assert_eq!((rate.admissions(), rate.addresses()), (0, 0));
}

#[test]
fn memory_is_bounded_and_a_flood_forgets_the_oldest() {
    let mut rate = ConnectRate::new(1, WINDOW, 1000);
    for number in 0..50_000 {
        assert_eq!(rate.admit(key(number), 0), Admission::Admitted);
    }
    assert_eq!((rate.admissions(), rate.addresses()), (1000, 1000));
    assert!(rate.bytes() <= (32 + 170) * 1000, "{} bytes", rate.bytes());
    assert_eq!(rate.admit(key(49_999), 0), Admission::Refused { retry_after_ms: WINDOW });
    assert_eq!(rate.admit(key(0), 0), Admission::Admitted);
}

#[test]
fn limits_of_nothing_are_taken_as_one() {
    let mut rate = ConnectRate::new(0, 1000, 0);
    assert_eq!(rate.admit(key(1), 0), Admission::Admitted);
    assert_eq!(rate.admit(key(1), 999), Admission::Refused { retry_after_ms: 1 });
    assert_eq!(rate.admit(key(1), 1000), Admission::Admitted);
}

proptest! {
    /// Against all admissions of all times, counted anew for each connect.
    #[test]
    fn admits_as_a_list_of_times_does(
        connects in prop::collection::vec((0..4_u32, 0..30_u64), 0..200),
        max in 1..5_u32,
        window in 1..100_u64,
    ) {
        let mut rate = ConnectRate::new(max, window, 1000);
        let mut admitted: Naive<u32, Vec<u64>> = Naive::new();
        let mut now = 0;
        for (number, pause) in connects {
            now += pause;
            let times = admitted.entry(number).or_default();
            let inside: Vec<u64> = times.iter().copied().filter(|at| at + window > now).collect();
            let expected = if inside.len() < max as usize {
                times.push(now);
                Admission::Admitted
            } else {
                Admission::Refused { retry_after_ms: inside[0] + window - now }
            };
            prop_assert_eq!(rate.admit(key(number), now), expected);
            let all = admitted.values().flatten().filter(|at| **at + window > now).count();
            prop_assert_eq!(rate.admissions(), all);
        }
    }

    /// However full, and if a core's clock lags: no key is ever admitted more often than its limit
    /// among what is remembered, and nothing is remembered beyond the bound.
    #[test]
    fn a_full_table_stays_true(
        connects in prop::collection::vec((0..6_u32, 0..50_u64), 0..300),
        bound in 1..9_usize,
    ) {
        let mut rate = ConnectRate::new(2, 40, bound);
        for (number, now) in connects {
            let _ = rate.admit(key(number), now);
            prop_assert!(rate.admissions() <= bound);
            let mut counts: Naive<IpKey, u32> = Naive::new();
            for entry in &rate.entries {
                *counts.entry(entry.key).or_default() += 1;
            }
            prop_assert!(counts.values().all(|count| *count <= 2));
            prop_assert_eq!(counts.len(), rate.records.len());
            for (key, record) in &rate.records {
                prop_assert_eq!(counts[key], record.count);
                prop_assert_eq!(rate.entry(record.first).map(|entry| entry.key), Some(*key));
            }
        }
    }
}
