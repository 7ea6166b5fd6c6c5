#[cfg(not(ringcast_loom))]
use std::collections::VecDeque;

use super::*;
use crate::journal::testing::event;

/// What every entry of these tests is counted with.
fn size() -> u64 {
    event(1, "c", "x").ring_bytes()
}

#[cfg(not(ringcast_loom))]
mod plain {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The ring against a queue per reader.
        #[test]
        fn readers_see_one_order(ops in prop::collection::vec((0u8..4, 0u64..6), 1..200)) {
            let (ring, mut readers) = Ring::new(8, 1 << 40, Recent::new(1 << 20, 0), 2);
            let mut oracle: Vec<VecDeque<u64>> = vec![VecDeque::new(); 2];
            let mut at = [0_u64; 2];
            let mut next = 0;
            for (op, n) in ops {
                if op < 2 {
                    let full = oracle.iter().map(VecDeque::len).max().unwrap() >= 8;
                    match ring.claim(size()) {
                        Some(claimed) => {
                            prop_assert!(!full);
                            ring.publish(claimed, event(next + 100, "c", "x"));
                            oracle.iter_mut().for_each(|queue| queue.push_back(next + 100));
                            next += 1;
                        }
                        None => prop_assert!(full),
                    }
                } else {
                    let who = usize::from(op - 2);
                    for _ in 0..n {
                        let seen = readers[who].get(at[who]).map(|event| event.seq);
                        prop_assert_eq!(seen, oracle[who].pop_front());
                        at[who] += u64::from(seen.is_some());
                    }
                    readers[who].finish(at[who]);
                    ring.reclaim();
                }
            }
        }
    }

    #[test]
    fn bytes_bound_it_but_one_alone_goes_through() {
        let (ring, mut readers) = Ring::new(8, 100, Recent::new(1 << 20, 0), 1);
        let big = event(1, "c", "x");
        let bytes = big.ring_bytes();
        assert!(bytes > 100);
        ring.publish(ring.claim(bytes).unwrap(), big);
        assert!(ring.claim(size()).is_none());
        readers[0].finish(1);
        assert!(ring.reclaim());
        assert!(ring.claim(size()).is_some());
    }

    #[test]
    fn a_retired_reader_does_not_hold_the_ring() {
        let (ring, mut readers) = Ring::new(2, 1 << 40, Recent::new(1 << 20, 0), 2);
        for seq in 0..2 {
            ring.publish(ring.claim(size()).unwrap(), event(seq, "c", "x"));
        }
        readers[0].finish(2);
        ring.reclaim();
        assert!(ring.claim(size()).is_none());
        readers.truncate(1);
        ring.reclaim();
        assert!(ring.claim(size()).is_some());
    }

    #[test]
    fn threads_agree_on_the_order() {
        const EACH: u64 = 5_000;
        let (ring, readers) = Ring::new(64, 1 << 40, Recent::new(1 << 16, 0), 2);
        let producers: Vec<_> = (0..2_u64)
            .map(|who| {
                let ring = Arc::clone(&ring);
                std::thread::spawn(move || {
                    for n in 0..EACH {
                        let entry = event(who * EACH + n, "c", "x");
                        let claimed = loop {
                            match ring.claim(entry.ring_bytes()) {
                                Some(claimed) => break claimed,
                                None => std::thread::yield_now(),
                            }
                        };
                        ring.publish(claimed, entry);
                    }
                })
            })
            .collect();
        let readers: Vec<_> = readers
            .into_iter()
            .map(|mut reader| {
                let ring = Arc::clone(&ring);
                std::thread::spawn(move || {
                    let mut seen = Vec::new();
                    while (seen.len() as u64) < EACH * 2 {
                        match reader.get(seen.len() as u64) {
                            Some(event) => seen.push(event.seq),
                            None => std::thread::yield_now(),
                        }
                        reader.finish(seen.len() as u64);
                        ring.reclaim();
                    }
                    seen
                })
            })
            .collect();
        producers.into_iter().for_each(|thread| thread.join().unwrap());
        let seen: Vec<Vec<u64>> = readers.into_iter().map(|t| t.join().unwrap()).collect();
        assert_eq!(seen[0], seen[1]);
        for who in 0..2 {
            let own: Vec<u64> = seen[0].iter().copied().filter(|n| n / EACH == who).collect();
            assert!(own.is_sorted() && own.len() as u64 == EACH, "producer {who}");
        }
    }
}

#[cfg(ringcast_loom)]
mod checked {
    use super::*;

    /// Two producers, one reader: every entry once, and both readers' views agree with the claims.
    #[test]
    fn loom_every_entry_is_read_once_in_the_claimed_order() {
        loom::model(|| {
            let (ring, readers) = Ring::new(2, 1 << 40, Recent::new(1 << 20, 0), 1);
            let producers: Vec<_> = (0..2)
                .map(|who| {
                    let ring = Arc::clone(&ring);
                    loom::thread::spawn(move || {
                        let claimed = ring.claim(size()).expect("room for both");
                        let position = claimed.position;
                        ring.publish(claimed, event(10 + who, "c", "x"));
                        (position, 10 + who)
                    })
                })
                .collect();
            let first = readers[0].get(0).map(|event| event.seq);
            let mut order: Vec<_> = producers.into_iter().map(|t| t.join().unwrap()).collect();
            order.sort_unstable();
            if let Some(first) = first {
                assert_eq!(first, order[0].1);
            }
            for (position, seq) in order {
                assert_eq!(readers[0].get(position).map(|event| event.seq), Some(seq));
            }
        });
    }

    /// A slot is emptied only when the reader has given it back, and only then claimed again.
    #[test]
    fn loom_a_slot_is_reused_only_after_it_was_given_back() {
        loom::model(|| {
            let (ring, mut readers) = Ring::new(2, 1 << 40, Recent::new(1 << 20, 0), 1);
            for seq in 0..2 {
                ring.publish(ring.claim(size()).unwrap(), event(seq, "c", "x"));
            }
            let producer = {
                let ring = Arc::clone(&ring);
                loom::thread::spawn(move || match ring.claim(size()) {
                    Some(claimed) => {
                        assert_eq!(claimed.position, 2);
                        ring.publish(claimed, event(2, "c", "x"));
                        true
                    }
                    None => false,
                })
            };
            assert_eq!(readers[0].get(0).map(|event| event.seq), Some(0));
            readers[0].finish(1);
            ring.reclaim();
            assert_eq!(readers[0].get(1).map(|event| event.seq), Some(1));
            let published = producer.join().unwrap();
            assert_eq!(readers[0].get(2).map(|event| event.seq), published.then_some(2));
        });
    }
}
