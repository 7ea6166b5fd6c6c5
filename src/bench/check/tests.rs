use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::super::payload::Payload;
use super::*;

const COURSE: Course = Course { run: 77, data_bytes: 50, channels: 1, units: 1 };

fn block(course: &Course, number: u64, id: &str) -> Vec<u8> {
    let mut text = format!("id: {id}\ndata: ").into_bytes();
    payload::write(&mut text, course.run, Payload { number, time_ns: number }, course.data_bytes);
    text.extend_from_slice(b"\n\n");
    text
}

fn read(course: &Course, channel: usize, text: &[u8], piece: usize) -> (Checker, Findings) {
    let (mut checker, mut findings) = (Checker::default(), Findings::default());
    for piece in text.chunks(piece) {
        checker.feed(piece, course, channel, &mut findings, &mut |_| {});
    }
    (checker, findings)
}

fn stream(numbers: &[u64]) -> Vec<u8> {
    let blocks = numbers.iter().zip(1..).flat_map(|(n, id)| block(&COURSE, *n, &format!("e-{id}")));
    b":ok\nretry: 3000\n".iter().copied().chain(blocks).collect()
}

#[test]
fn a_whole_stream_has_no_findings_however_it_is_cut() {
    let text = stream(&[0, 1, 2, 3]);
    for piece in 1..=text.len() {
        let (checker, findings) = read(&COURSE, 0, &text, piece);
        assert_eq!(findings, Findings { received: 4, ..Findings::default() });
        assert_eq!(checker.lost(&COURSE, 0, &[4], &[]), 0);
        assert_eq!(checker.lost(&COURSE, 0, &[6], &[]), 2);
    }
}

#[test]
fn each_planted_fault_is_the_one_that_is_found() {
    let findings = |numbers: &[u64]| {
        let (checker, findings) = read(&COURSE, 0, &stream(numbers), 1_000);
        let lost = checker.lost(&COURSE, 0, &[5], &[]);
        (lost, findings.duplicates, findings.out_of_order, findings.received)
    };
    assert_eq!(findings(&[0, 1, 2, 3, 4]), (0, 0, 0, 5));
    assert_eq!(findings(&[0, 1, 3, 4]), (1, 0, 0, 4));
    assert_eq!(findings(&[1, 2, 3]), (2, 0, 0, 3));
    assert_eq!(findings(&[]), (5, 0, 0, 0));
    assert_eq!(findings(&[0, 1, 1, 2, 3, 4]), (0, 1, 0, 5));
    assert_eq!(findings(&[0, 2, 1, 3, 4]), (0, 0, 1, 5));
    assert_eq!(findings(&[4, 3, 2, 1, 0, 0]), (0, 1, 4, 5));
}

#[test]
fn ids_must_rise_within_one_log() {
    let count = |ids: &[&str]| {
        let blocks = ids.iter().zip(0..).flat_map(|(id, number)| block(&COURSE, number, id));
        read(&COURSE, 0, &blocks.collect::<Vec<u8>>(), 64).1.ids_not_rising
    };
    assert_eq!(count(&["a-1", "a-2", "a-10"]), 0);
    assert_eq!(count(&["a-1", "a-1", "a-3", "a-2"]), 2);
    assert_eq!(count(&["a-9", "b-1", "b-2"]), 0);
    assert_eq!(count(&["17", "x", "", "17"]), 0);
}

#[test]
fn others_events_and_damaged_ones_are_told_apart() {
    let mut text =
        b"data: hello\n\nevent: sse.gap\ndata: {}\n\nevent: sse.bye\ndata: {}\n\n".to_vec();
    text.extend(block(&Course { run: 78, ..COURSE }, 0, "a-1"));
    text.extend(block(&Course { data_bytes: 51, ..COURSE }, 0, "a-2"));
    text.extend_from_slice(b": comment\r\n\r\nid: a-3\r\n\r\n");
    let (_, findings) = read(&COURSE, 0, &text, 13);
    let expected = Findings { foreign: 2, corrupt: 1, gaps: 1, byes: 1, ..Findings::default() };
    assert_eq!(findings, expected);
    let two = Course { channels: 2, units: 2, ..COURSE };
    let (_, findings) = read(&two, 0, &block(&two, 1, "a-1"), 13);
    assert_eq!((findings.corrupt, findings.received), (1, 0));
}

#[test]
fn failed_publishes_are_nobodys_loss() {
    let (checker, _) = read(&COURSE, 0, &stream(&[0, 3]), 99);
    // 1, 2 in a hole, 4, 5 at the end.
    assert_eq!(checker.lost(&COURSE, 0, &[6], &[]), 4);
    assert_eq!(checker.lost(&COURSE, 0, &[6], &[1, 5]), 2);
    assert_eq!(checker.lost(&COURSE, 0, &[6], &[0, 1, 2, 3, 4, 5]), 0);
}

proptest! {
    /// Any mixture of loss, repetition and order, over several channels and lanes, against sets.
    #[test]
    fn counts_agree_with_sets(
        channels in 1_usize..4,
        more in 0_u64..6,
        picks in prop::collection::vec(0_u64..60, 0..80),
        piece in 1_usize..200,
    ) {
        let units = channels as u64 + more;
        let course = Course { channels, units, ..COURSE };
        let channel = (picks.len()) % channels;
        let mine: Vec<u64> =
            picks.into_iter().filter(|n| n % units % channels as u64 == channel as u64).collect();
        let text: Vec<u8> = mine.iter().flat_map(|n| block(&course, *n, "x")).collect();
        let (checker, findings) = read(&course, channel, &text, piece);

        let (mut seen, mut highest) = (HashSet::new(), HashMap::new());
        let (mut duplicates, mut late) = (0, 0);
        for number in &mine {
            let top = highest.entry(number % units).or_insert(*number);
            if !seen.insert(*number) {
                duplicates += 1;
            } else if *number < *top {
                late += 1;
            }
            *top = (*top).max(*number);
        }
        prop_assert_eq!(findings.received, seen.len() as u64);
        prop_assert_eq!(findings.duplicates, duplicates);
        prop_assert_eq!(findings.out_of_order, late);
        let all: Vec<u64> =
            (0..60).filter(|n| n % units % channels as u64 == channel as u64).collect();
        let published: Vec<u64> =
            (0..units).map(|unit| (0..60).filter(|n| n % units == unit).count() as u64).collect();
        let lost = all.iter().filter(|n| !seen.contains(*n)).count() as u64;
        prop_assert_eq!(checker.lost(&course, channel, &published, &[]), lost);
    }
}
