//! A million users with a cap of three streams each, the oldest going first, and four or five
//! connects of each from several threads at once.
//!
//! The real table of caps in this process, under a counting allocator. The oracle is no table: the
//! first round is made so that each user's connects follow each other, so what each must answer is
//! known beforehand. In the second round they race; then each call notes a moment before and one
//! after itself, and the answers must be those of one queue in some order that these moments allow.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex, PoisonError};
use std::thread;

use ringcast::hub::caps::{CapKey, Caps, Entry, OnLimit, Scope, StreamId};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// The test of memory wants nobody beside it.
static ALONE: Mutex<()> = Mutex::new(());

const USERS: u32 = 1_000_000;
const CAP: usize = 3;
/// As many as connects of a user, at most: each thread makes one of them.
const THREADS: u32 = 5;
/// At each so many-th user all threads meet when each has begun and none has called.
const STRIDE: u32 = 50;
/// What empty shards keep: 64 of at most 32 places of 33 bytes, and their tails.
const EMPTY_BYTES_MAX: usize = 128 << 10;
/// What the harness and threads that end may hold beside the table.
const ELSEWHERE_BYTES_MAX: usize = 4 << 10;

/// Every other user connects once more.
fn connects(user: u32) -> u32 {
    4 + user % 2
}

fn all_connects() -> usize {
    (0..USERS).map(|user| connects(user) as usize).sum()
}

fn stream(user: u32, connect: u32) -> StreamId {
    StreamId::new(u16::try_from(connect).expect("few"), user, 7)
}

fn enter(caps: &Caps, user: u32, connect: u32) -> Entry {
    caps.try_enter(key(caps, user), stream(user, connect), CAP, OnLimit::EvictOldest)
}

fn key(caps: &Caps, user: u32) -> CapKey {
    caps.key(Scope::User, &user)
}

/// Bytes that this process has allocated now.
fn allocated() -> usize {
    dhat::HeapStats::get().curr_bytes
}

/// What was wrong first. A thread that panicked would leave the others waiting at their meeting.
#[derive(Default)]
struct Faults(Mutex<Option<String>>);

impl Faults {
    fn note(&self, is_right: bool, what: impl FnOnce() -> String) {
        if !is_right {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(what);
        }
    }
}

/// Runs `work(thread, faults)` on each thread, and meanwhile looks at users in turn: never more
/// than the cap.
fn storm(caps: &Caps, work: impl Fn(u32, &Faults) + Sync) {
    let faults = Faults::default();
    let running = AtomicUsize::new(THREADS as usize);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (work, running, faults) = (&work, &running, &faults);
            scope.spawn(move || {
                work(thread, faults);
                running.fetch_sub(1, Ordering::Release);
            });
        }
        let mut random = fastrand::Rng::with_seed(1);
        while running.load(Ordering::Acquire) > 0 {
            for _ in 0..1_000 {
                let user = random.u32(..USERS);
                let count = caps.count(key(caps, user));
                faults.note(count <= CAP, || format!("user {user} has {count}"));
            }
            thread::yield_now();
        }
    });
    assert_eq!(faults.0.into_inner().unwrap_or_else(PoisonError::into_inner), None);
}

/// All leave, the user's streams in turns that differ, from all threads. Those that had to go are
/// not found any more, those that were in are, once.
fn leave_all(caps: &Caps, is_in: impl Fn(u32, u32) -> bool + Sync) {
    let left = AtomicUsize::new(0);
    storm(caps, |thread, faults| {
        let mut found = 0;
        for user in (thread..USERS).step_by(THREADS as usize) {
            for turn in 0..connects(user) {
                let connect = (turn + user) % connects(user);
                let leave = || caps.leave(key(caps, user), stream(user, connect));
                let (was_in, again) = (leave(), leave());
                let is_right = was_in == is_in(user, connect) && !again;
                faults.note(is_right, || format!("{connect} of {user}: {was_in} {again}"));
                found += usize::from(was_in);
            }
        }
        left.fetch_add(found, Ordering::Relaxed);
    });
    assert_eq!(left.into_inner(), USERS as usize * CAP);
    assert_eq!(caps.keys(), 0);
}

fn check_counts(caps: &Caps) {
    assert_eq!(caps.keys(), USERS as usize);
    for user in 0..USERS {
        assert_eq!(caps.count(key(caps, user)), CAP, "user {user}");
    }
}

#[test]
fn a_million_users_storm_and_each_keeps_the_last_three() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let _profiler = dhat::Profiler::builder().testing().build();
    let caps = Caps::default();
    let start = allocated();
    let mut after_rounds = Vec::new();
    let mut full = Vec::new();
    for _ in 0..2 {
        let evicted = AtomicUsize::new(0);
        let meeting = Barrier::new(THREADS as usize);
        // In each phase a thread has users of its own, the next phase's are another's: so each
        // user's connects come from several threads, one after the other.
        storm(&caps, |thread, faults| {
            for connect in 0..THREADS {
                let first = (thread + connect) % THREADS;
                for user in (first..USERS).step_by(THREADS as usize) {
                    if connect >= connects(user) {
                        continue;
                    }
                    let due = match connect.checked_sub(3) {
                        None => Entry::Enter,
                        Some(oldest) => Entry::Evict(stream(user, oldest)),
                    };
                    let entry = enter(&caps, user, connect);
                    faults.note(entry == due, || format!("{connect} of {user}: {entry:?}"));
                    evicted.fetch_add(usize::from(due != Entry::Enter), Ordering::Relaxed);
                }
                meeting.wait();
            }
        });
        assert_eq!(evicted.into_inner(), all_connects() - USERS as usize * CAP);
        check_counts(&caps);
        full.push(allocated() - start);
        let own = caps.bytes() - Caps::default().bytes();
        assert!(own.abs_diff(allocated() - start) < ELSEWHERE_BYTES_MAX, "it says {own}");
        leave_all(&caps, |user, connect| connect + 3 >= connects(user));
        after_rounds.push(allocated());
    }
    assert!(full[0] < 70 * USERS as usize, "{} bytes for {USERS} users", full[0]);
    assert!(after_rounds[0] - start < EMPTY_BYTES_MAX, "{} bytes stay", after_rounds[0] - start);
    for (what, found) in [("takes", full), ("leaves", after_rounds)] {
        let (first, second) = (found[0], found[1]);
        let differ = first.abs_diff(second);
        assert!(differ < ELSEWHERE_BYTES_MAX, "the second storm {what} {second}, not {first}");
    }
}

/// One connect that raced with others: moments around it, and who had to go for it.
#[derive(Debug, Clone, Copy)]
struct Call {
    connect: u32,
    begun: u32,
    ended: u32,
    evicts: Option<u32>,
}

/// What the threads write down: for each connect two moments and who went.
struct Notes {
    clock: AtomicU32,
    begun: Vec<AtomicU32>,
    ended: Vec<AtomicU32>,
    evicts: Vec<AtomicU8>,
}

const NOBODY: u8 = u8::MAX;

impl Notes {
    fn new() -> Self {
        let places = (USERS * THREADS) as usize;
        let moments = || (0..places).map(|_| AtomicU32::new(0)).collect();
        let evicts = (0..places).map(|_| AtomicU8::new(NOBODY)).collect();
        Self { clock: AtomicU32::new(1), begun: moments(), ended: moments(), evicts }
    }

    fn moment(&self) -> u32 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn begin(&self, user: u32, connect: u32) {
        let at = (user * THREADS + connect) as usize;
        self.begun[at].store(self.moment(), Ordering::Relaxed);
    }

    fn enter(&self, caps: &Caps, user: u32, connect: u32, faults: &Faults) {
        let at = (user * THREADS + connect) as usize;
        let entry = enter(caps, user, connect);
        self.ended[at].store(self.moment(), Ordering::Relaxed);
        match entry {
            Entry::Enter => {}
            Entry::Evict(other) => {
                faults.note(other.slot() == user, || format!("{other:?} goes for {user}"));
                let other = u8::try_from(other.worker()).unwrap_or(NOBODY - 1);
                self.evicts[at].store(other, Ordering::Relaxed);
            }
            Entry::Refuse => faults.note(false, || format!("{user} is refused")),
        }
    }

    fn calls(&self, user: u32) -> Vec<Call> {
        let call = |connect: u32| {
            let at = (user * THREADS + connect) as usize;
            let evicts = self.evicts[at].load(Ordering::Relaxed);
            Call {
                connect,
                begun: self.begun[at].load(Ordering::Relaxed),
                ended: self.ended[at].load(Ordering::Relaxed),
                evicts: Some(u32::from(evicts)).filter(|_| evicts != NOBODY),
            }
        };
        (0..connects(user)).map(call).collect()
    }
}

/// Is there an order of these calls, none before one that had ended when it began, in which a
/// queue of three gives these answers? The streams that stay, if so.
fn explain(calls: &[Call], done: u32, queue: &[u32]) -> Option<Vec<u32>> {
    let open = || calls.iter().filter(|call| done & 1 << call.connect == 0);
    if open().next().is_none() {
        return Some(queue.to_vec());
    }
    let first_end = open().map(|call| call.ended).min()?;
    open().filter(|call| call.begun < first_end).find_map(|call| {
        let (oldest, mut queue) = (queue.first().copied(), queue.to_vec());
        let is_full = queue.len() == CAP;
        if call.evicts != oldest.filter(|_| is_full) {
            return None;
        }
        queue.drain(..usize::from(is_full));
        queue.push(call.connect);
        explain(calls, done | 1 << call.connect, &queue)
    })
}

#[test]
fn connects_that_race_are_those_of_one_queue() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let caps = Caps::default();
    let notes = Notes::new();
    let meeting = Barrier::new(THREADS as usize);
    storm(&caps, |thread, faults| {
        for user in 0..USERS {
            // Each user's first is another thread's.
            let connect = (thread + user) % THREADS;
            let connects = connect < connects(user);
            if connects {
                notes.begin(user, connect);
            }
            if user % STRIDE == 0 {
                meeting.wait();
            }
            if connects {
                notes.enter(&caps, user, connect, faults);
            }
        }
    });
    check_counts(&caps);
    let (mut evicted, mut raced, mut stay) = (0, 0, Vec::with_capacity(USERS as usize));
    for user in 0..USERS {
        let calls = notes.calls(user);
        let left = explain(&calls, 0, &[]).unwrap_or_else(|| panic!("user {user}: {calls:?}"));
        evicted += calls.iter().filter(|call| call.evicts.is_some()).count();
        let overlap = |a: &Call| calls.iter().any(|b| a.begun < b.begun && b.begun < a.ended);
        raced += u32::from(calls.iter().any(overlap));
        stay.push(left.iter().fold(0_u8, |set, connect| set | 1 << connect));
    }
    assert_eq!(evicted, all_connects() - USERS as usize * CAP);
    assert!(raced >= USERS / STRIDE, "only {raced} users' connects met");
    leave_all(&caps, |user, connect| stay[user as usize] & 1 << connect != 0);
    assert!(caps.bytes() - Caps::default().bytes() < EMPTY_BYTES_MAX);
}

/// The oracle itself says no where it has to.
#[test]
fn wrong_answers_have_no_explanation() {
    let call = |connect, begun, ended, evicts| Call { connect, begun, ended, evicts };
    let mut calls =
        vec![call(0, 1, 2, None), call(1, 3, 6, None), call(2, 4, 5, None), call(3, 7, 8, Some(0))];
    assert_eq!(explain(&calls, 0, &[]).map(|stay| stay.len()), Some(CAP));
    for evicts in [None, Some(1), Some(2), Some(3)] {
        calls[3].evicts = evicts;
        assert_eq!(explain(&calls, 0, &[]), None, "{evicts:?}");
    }
    // Two that met may have entered in either order, but then the last evicts the one that was first.
    calls[3].evicts = Some(0);
    for (evicts, stay) in [(1, vec![2, 3, 4]), (2, vec![1, 3, 4])] {
        calls.truncate(4);
        calls.push(call(4, 9, 10, Some(evicts)));
        assert_eq!(explain(&calls, 0, &[]), Some(stay));
    }
    calls[1].ended = 4;
    calls[2].begun = 5;
    assert_eq!(explain(&calls, 0, &[]), None, "1 had ended when 2 began");
}
