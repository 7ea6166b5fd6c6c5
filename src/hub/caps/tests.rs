use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use proptest::prelude::*;

use super::*;

fn id(number: u32) -> StreamId {
    StreamId::new(3, number, 7)
}

#[test]
fn ids_hold_their_parts() {
    for (worker, slot, generation) in
        [(0, 0, 0), (4094, (1 << 28) - 1, (1 << 24) - 1), (1, 0xabc_def0, 0x12_3456)]
    {
        let id = StreamId::new(worker, slot, generation);
        assert_eq!((id.worker(), id.slot(), id.generation()), (worker, slot, generation));
    }
    assert_eq!(StreamId::new(1, 2, 0xff00_0003), StreamId::new(1, 2, 3));
}

#[test]
fn the_oldest_goes_or_the_newest_is_refused() {
    let caps = Caps::default();
    let user = caps.key(Scope::User, "42");
    for number in 0..3 {
        assert_eq!(caps.try_enter(user, id(number), 3, OnLimit::EvictOldest), Entry::Enter);
    }
    assert_eq!(caps.try_enter(user, id(9), 3, OnLimit::Reject), Entry::Refuse);
    assert_eq!(caps.try_enter(user, id(3), 3, OnLimit::EvictOldest), Entry::Evict(id(0)));
    assert!(!caps.leave(user, id(0)), "it is out already");
    assert!(caps.leave(user, id(2)) && !caps.leave(user, id(2)));
    assert_eq!(caps.try_enter(user, id(4), 3, OnLimit::EvictOldest), Entry::Enter);
    assert_eq!(caps.try_enter(user, id(5), 3, OnLimit::EvictOldest), Entry::Evict(id(1)));
    // In already: nothing changes, at the cap or not.
    assert_eq!(caps.try_enter(user, id(3), 3, OnLimit::EvictOldest), Entry::Enter);
    assert_eq!(caps.try_enter(user, id(6), 3, OnLimit::EvictOldest), Entry::Evict(id(3)));
    assert_eq!(caps.count(user), 3);
    assert_eq!(caps.try_enter(user, id(7), 0, OnLimit::EvictOldest), Entry::Refuse);
}

#[test]
fn scopes_do_not_mix() {
    let caps = Caps::default();
    let keys = [
        caps.key(Scope::User, "a"),
        caps.key(Scope::Tenant, "a"),
        caps.key(Scope::User, "ab"),
        caps.key(Scope::Total, &()),
    ];
    for key in keys {
        assert_eq!(caps.try_enter(key, id(1), 1, OnLimit::Reject), Entry::Enter);
    }
    assert_eq!(caps.keys(), 4);
    // Other tables have other secrets.
    assert_ne!(Caps::default().key(Scope::User, "a"), keys[0]);
}

#[test]
fn a_lowered_cap_never_lets_the_count_grow() {
    let caps = Caps::default();
    let key = caps.key(Scope::Tenant, "t");
    for number in 0..10 {
        caps.try_enter(key, id(number), 10, OnLimit::Reject);
    }
    assert_eq!(caps.try_enter(key, id(10), 5, OnLimit::EvictOldest), Entry::Evict(id(0)));
    assert_eq!(caps.try_enter(key, id(11), 5, OnLimit::Reject), Entry::Refuse);
    assert_eq!(caps.count(key), 10);
}

/// The figures of the docs above.
#[test]
fn a_million_users_are_cheap_and_go_without_a_trace() {
    const USERS: u32 = 1_000_000;
    let caps = Caps::default();
    let empty = caps.bytes();
    let keys: Vec<CapKey> = (0..USERS).map(|user| caps.key(Scope::User, &user)).collect();
    for stream in 0..3 {
        for (user, key) in (0..).zip(&keys) {
            let id = id(user * 3 + stream);
            assert_eq!(caps.try_enter(*key, id, 3, OnLimit::EvictOldest), Entry::Enter);
        }
        let each = if stream == 0 { 17 } else { 33 };
        let bytes = caps.bytes() - empty;
        // Beside the small table of those that had one stream before.
        let expected = 64 * (32_768 * each + 16);
        assert!((expected..expected + 128 * 1024).contains(&bytes), "{bytes}: {stream}");
    }
    assert!(caps.bytes() < 70 * USERS as usize);
    for (user, key) in (0..).zip(&keys) {
        assert!((0..3).all(|stream| caps.leave(*key, id(user * 3 + stream))));
    }
    assert_eq!(caps.keys(), 0);
    assert!(caps.bytes() < 256 * 1024, "{} bytes", caps.bytes());
}

#[test]
fn a_large_tenant_pays_by_the_stream_and_shrinks() {
    const STREAMS: u32 = 100_000;
    let caps = Caps::default();
    let (empty, key) = (caps.bytes(), caps.key(Scope::Tenant, "large"));
    for number in 0..STREAMS {
        assert_eq!(caps.try_enter(key, id(number), usize::MAX, OnLimit::Reject), Entry::Enter);
    }
    let each = (caps.bytes() - empty) / STREAMS as usize;
    assert!((33..=80).contains(&each), "{each} bytes a stream");
    // Out of order, all but the last two thousand.
    for number in (0..STREAMS - 2000).rev() {
        assert!(caps.leave(key, id(number)));
    }
    assert!(caps.bytes() - empty < 300_000, "{} bytes", caps.bytes());
    for number in STREAMS - 2000..STREAMS {
        assert!(caps.leave(key, id(number)));
    }
    assert_eq!((caps.count(key), caps.keys()), (0, 0));
}

#[derive(Debug, Clone)]
enum Step {
    Enter { key: u8, id: u32, cap: usize, on_limit: OnLimit },
    Leave { key: u8, id: u32 },
}

/// Few keys and ids, so that they meet; caps on both sides of where a record changes its form.
fn step() -> impl Strategy<Value = Step> {
    let on_limit = prop::sample::select(vec![OnLimit::EvictOldest, OnLimit::Reject]);
    prop_oneof![
        3 => (0..3_u8, 0..60_u32, 0..50_usize, on_limit)
            .prop_map(|(key, id, cap, on_limit)| Step::Enter { key, id, cap, on_limit }),
        2 => (0..3_u8, 0..60_u32).prop_map(|(key, id)| Step::Leave { key, id }),
    ]
}

proptest! {
    /// Against a list of streams for each key.
    #[test]
    fn counts_as_lists_do(steps in prop::collection::vec(step(), 0..600)) {
        let caps = Caps::default();
        let mut lists: HashMap<u8, Vec<StreamId>> = HashMap::new();
        for step in steps {
            match step {
                Step::Enter { key, id: number, cap, on_limit } => {
                    let list = lists.entry(key).or_default();
                    let expected = if cap == 0 {
                        Entry::Refuse
                    } else if list.contains(&id(number)) {
                        Entry::Enter
                    } else if list.len() < cap {
                        list.push(id(number));
                        Entry::Enter
                    } else if on_limit == OnLimit::Reject {
                        Entry::Refuse
                    } else {
                        list.push(id(number));
                        Entry::Evict(list.remove(0))
                    };
                    let entry =
                        caps.try_enter(caps.key(Scope::User, &key), id(number), cap, on_limit);
                    prop_assert_eq!(entry, expected);
                }
                Step::Leave { key, id: number } => {
                    let list = lists.entry(key).or_default();
                    let at = list.iter().position(|known| *known == id(number));
                    let was_in = at.map(|at| list.remove(at)).is_some();
                    prop_assert_eq!(caps.leave(caps.key(Scope::User, &key), id(number)), was_in);
                }
            }
            for (key, list) in &lists {
                prop_assert_eq!(caps.count(caps.key(Scope::User, key)), list.len());
            }
        }
        let used = lists.values().filter(|list| !list.is_empty()).count();
        prop_assert_eq!(caps.keys(), used);
    }
}

const THREADS: u16 = 8;
const KEYS: usize = 5;
const ROUNDS: u32 = 20_000;

/// Where streams are refused, there are never more in than the cap, seen from outside the table.
#[test]
fn threads_together_never_pass_the_cap() {
    let caps = Caps::default();
    let inside: [AtomicUsize; KEYS] = Default::default();
    thread::scope(|scope| {
        for worker in 0..THREADS {
            let (caps, inside) = (&caps, &inside);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(u64::from(worker));
                for slot in 0..ROUNDS {
                    let number = random.usize(..KEYS);
                    let (key, id) = (caps.key(Scope::Ip, &number), StreamId::new(worker, slot, 0));
                    if caps.try_enter(key, id, number + 1, OnLimit::Reject) == Entry::Enter {
                        let now = inside[number].fetch_add(1, Ordering::SeqCst) + 1;
                        assert!(now <= number + 1, "{now} are in");
                        inside[number].fetch_sub(1, Ordering::SeqCst);
                        assert!(caps.leave(key, id));
                    }
                }
            });
        }
    });
    assert_eq!(caps.keys(), 0);
}

/// Where the oldest goes, every stream that entered is evicted once, leaves once, or is still in.
#[test]
fn threads_together_lose_no_stream() {
    let caps = Caps::default();
    let ended = AtomicUsize::new(0);
    thread::scope(|scope| {
        for worker in 0..THREADS {
            let (caps, ended) = (&caps, &ended);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(u64::from(worker));
                for slot in 0..ROUNDS {
                    let number = random.usize(..KEYS);
                    let (key, id) =
                        (caps.key(Scope::User, &number), StreamId::new(worker, slot, 0));
                    match caps.try_enter(key, id, 2 + number * 3, OnLimit::EvictOldest) {
                        Entry::Enter => {}
                        Entry::Evict(_) => {
                            ended.fetch_add(1, Ordering::Relaxed);
                        }
                        Entry::Refuse => panic!("evicting refuses nobody"),
                    }
                    if random.bool() && caps.leave(key, id) {
                        ended.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let counts: Vec<usize> =
        (0..KEYS).map(|number| caps.count(caps.key(Scope::User, &number))).collect();
    assert!(counts.iter().enumerate().all(|(number, count)| *count <= 2 + number * 3));
    let inside: usize = counts.iter().sum();
    let entered = usize::from(THREADS) * ROUNDS as usize;
    assert_eq!(inside + ended.load(Ordering::Relaxed), entered);
}

#[test]
fn another_process_goes_on_with_them() {
    let caps = Caps::default();
    let (few, many) = (caps.key(Scope::User, "few"), caps.key(Scope::Tenant, "many"));
    for number in 0..9 {
        caps.try_enter(many, id(number), 99, OnLimit::Reject);
    }
    caps.leave(many, id(0));
    for number in [20, 10, 15] {
        caps.try_enter(few, id(number), 99, OnLimit::Reject);
    }
    let record = postcard::to_stdvec(&caps.record()).unwrap();
    let moved = Caps::restore(postcard::from_bytes(&record).unwrap());
    assert_eq!(moved.key(Scope::User, "few"), few, "names have the same keys there");
    assert_eq!((moved.count(few), moved.count(many)), (3, 8));
    for oldest in [20, 10, 15] {
        let newest = id(oldest + 100);
        assert_eq!(moved.try_enter(few, newest, 3, OnLimit::EvictOldest), Entry::Evict(id(oldest)));
    }
    for oldest in 1..9 {
        let newest = id(oldest + 100);
        let entry = moved.try_enter(many, newest, 8, OnLimit::EvictOldest);
        assert_eq!(entry, Entry::Evict(id(oldest)));
    }
}
