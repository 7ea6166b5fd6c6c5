//! The store against a list of everything ever published.

use proptest::prelude::*;

use super::*;
use crate::journal::namespace::Namespace;
use crate::journal::testing::{draft, epoch};
use crate::journal::{Journal, JournalSettings, Reader, Refused};

const EVENTS_MAX: usize = 4;
const IDLE_MS: u64 = 100;

fn settings(leave_tombstones: bool, window_bytes: usize) -> JournalSettings {
    let namespace = Namespace {
        history_events: EVENTS_MAX,
        laggard_window_bytes: window_bytes,
        ..Namespace::default()
    };
    let store = StoreSettings {
        namespaces: Namespaces::new(vec![namespace]),
        idle_ms: IDLE_MS,
        leave_tombstones,
        ..StoreSettings::default()
    };
    JournalSettings { entries: 1 << 12, store, ..JournalSettings::default() }
}

fn journal(leave_tombstones: bool, window_bytes: usize) -> (Arc<Journal>, Vec<Reader>) {
    Journal::new(settings(leave_tombstones, window_bytes), epoch(), 1, 7, 1)
}

fn append(journal: &Journal, name: &str, store: bool, now_ms: u64) -> u64 {
    let mut draft = draft(name, "payload");
    draft.targets = smallvec::smallvec![journal.key(name)];
    draft.store = store;
    journal.append(draft, now_ms * 1_000, now_ms).unwrap().seq
}

fn read(journal: &Journal, name: &str, after: u64, upto: u64) -> (Vec<u64>, Span) {
    let mut out = Vec::new();
    let range = Range { purpose: Purpose::Resume, after, upto, bytes_max: usize::MAX, unix_ms: 1 };
    let (span, _) = journal.read_channel(&journal.key(name), range, &mut out);
    (out.iter().map(|event| event.seq).collect(), span)
}

proptest! {
    /// Whatever is published, dropped and swept: a resume gets exactly what was published after
    /// its id, or is told of a hole.
    #[test]
    fn a_resume_is_exact_or_told(ops in prop::collection::vec((0u8..12, 0usize..3), 1..120)) {
        let (mut journal, mut readers) = journal(true, 200);
        let names = ["a", "b", "c"];
        let mut all: Vec<(u64, usize, bool)> = Vec::new();
        let mut now_ms = 1;
        for (op, channel) in ops {
            match op {
                0..8 => {
                    let store = op != 0;
                    all.push((append(&journal, names[channel], store, now_ms), channel, store));
                }
                8 => now_ms += IDLE_MS / 2,
                9 => {
                    // Another process goes on with it.
                    readers[0].finish(journal.head_seq() - journal.start_seq());
                    let record = postcard::to_stdvec(&journal.record()).unwrap();
                    let record = postcard::from_bytes(&record).unwrap();
                    let settings = settings(true, 200);
                    (journal, readers) = Journal::restore(record, settings, 1).unwrap();
                }
                _ => (0..SHARDS).for_each(|shard| journal.sweep(shard, now_ms, 1)),
            }
            let head = journal.head_seq();
            for (channel, name) in names.iter().enumerate() {
                for after in (0..=head).rev().take(8) {
                    let (found, span) = read(&journal, name, after, head);
                    let due: Vec<u64> = all
                        .iter()
                        .filter(|(seq, of, store)| *of == channel && *seq > after && *store)
                        .map(|(seq, ..)| *seq)
                        .collect();
                    prop_assert!(
                        found == due || span.floor > after,
                        "{} after {}: {:?} instead of {:?}, floor {}", name, after, found, due, span.floor
                    );
                    prop_assert!(due.ends_with(&found), "{:?} of {:?}", found, due);
                }
            }
        }
    }
}

#[test]
fn without_tombstones_a_dropped_channel_is_a_silent_hole() {
    for leave_tombstones in [true, false] {
        let (journal, _readers) = journal(leave_tombstones, 200);
        let seq = append(&journal, "a", true, 1);
        (0..SHARDS).for_each(|shard| journal.sweep(shard, 1 + IDLE_MS, 1));
        assert_eq!(journal.channels(), 0);
        let (found, span) = read(&journal, "a", seq - 1, seq);
        assert!(found.is_empty());
        assert_eq!(span.floor > seq - 1, leave_tombstones, "the tombstone tells of the hole");
    }
}

#[test]
fn laggards_have_their_window_even_without_history() {
    let namespace = Namespace { history_events: 0, ..Namespace::default() };
    let store =
        StoreSettings { namespaces: Namespaces::new(vec![namespace]), ..StoreSettings::default() };
    let settings = JournalSettings { store, ..JournalSettings::default() };
    let (journal, _readers) = Journal::new(settings, epoch(), 1, 7, 1);
    let seqs: Vec<u64> = (0..3).map(|_| append(&journal, "a", true, 1)).collect();
    let (found, span) = read(&journal, "a", 0, 3);
    assert_eq!((found, span.floor), (vec![], 3), "a reconnect is told that nothing is kept");
    let mut out = Vec::new();
    let range =
        Range { purpose: Purpose::Laggard, after: 1, upto: 3, bytes_max: usize::MAX, unix_ms: 1 };
    let (span, _) = journal.read_channel(&journal.key("a"), range, &mut out);
    let found: Vec<u64> = out.iter().map(|event| event.seq).collect();
    assert_eq!((found.as_slice(), span.floor), (&seqs[1..], 0));
}

#[test]
fn the_newest_event_is_kept_whatever_its_size() {
    let namespace =
        Namespace { history_bytes: 10, laggard_window_bytes: 10, ..Namespace::default() };
    let store =
        StoreSettings { namespaces: Namespaces::new(vec![namespace]), ..StoreSettings::default() };
    let settings = JournalSettings { store, ..JournalSettings::default() };
    let (journal, _readers) = Journal::new(settings, epoch(), 1, 7, 1);
    assert_eq!(append(&journal, "a", true, 1), 1);
    assert_eq!(read(&journal, "a", 0, 1), (vec![1], Span { floor: 0, complete: true }));
    assert_eq!(append(&journal, "a", true, 1), 2);
    assert_eq!(read(&journal, "a", 0, 2), (vec![2], Span { floor: 1, complete: true }));
}

#[test]
fn latest_keeps_the_newest_of_each_key() {
    let namespace = Namespace { mode: super::super::Mode::Latest, ..Namespace::default() };
    let store =
        StoreSettings { namespaces: Namespaces::new(vec![namespace]), ..StoreSettings::default() };
    let settings = JournalSettings { store, ..JournalSettings::default() };
    let (journal, _readers) = Journal::new(settings, epoch(), 1, 7, 1);
    for key in [Some("x"), Some("y"), None, Some("x"), None] {
        let mut draft = draft("a", "payload");
        draft.targets = smallvec::smallvec![journal.key("a")];
        draft.key = key.map(Into::into);
        journal.append(draft, 1, 1).unwrap();
    }
    let (found, span) = read(&journal, "a", 0, 5);
    assert_eq!((found, span.floor), (vec![2, 4, 5], 0), "superseded is not missing");
}

#[test]
fn keys_and_expected_ids_are_decided_inside_the_append() {
    let (journal, _readers) = journal(true, 200);
    let make = |idempotency: Option<(u64, &str)>, expected: Option<u64>| {
        let mut draft = draft("a", "x");
        draft.targets = smallvec::smallvec![journal.key("a")];
        draft.idempotency = idempotency.map(|(scope, key)| (scope, key.into()));
        draft.expected = expected.map(|seq| crate::proto::sse::EventId { epoch: epoch(), seq });
        journal.append(draft, 1, 1)
    };
    let first = make(Some((1, "k")), None).unwrap();
    assert_eq!(make(Some((1, "k")), None).unwrap().seq, first.seq);
    assert!(make(Some((2, "k")), None).unwrap().seq > first.seq, "another publisher's key");
    let last = journal.head_seq();
    assert!(matches!(make(None, Some(last - 1)), Err(Refused::Conflict(now)) if now == last));
    assert_eq!(make(None, Some(last)).unwrap().seq, last + 1);
}

#[test]
fn a_full_journal_changes_nothing_and_gives_the_draft_back() {
    let settings = JournalSettings { entries: 2, ..JournalSettings::default() };
    let (journal, mut readers) = Journal::new(settings, epoch(), 1, 7, 1);
    append(&journal, "a", true, 1);
    append(&journal, "a", true, 1);
    let mut third = draft("a", "third");
    third.targets = smallvec::smallvec![journal.key("a")];
    third.idempotency = Some((1, "k".into()));
    let Err(Refused::Full(back)) = journal.append(third, 1, 1) else { panic!("not full") };
    assert_eq!((journal.head_seq(), read(&journal, "a", 0, 9).0), (2, vec![1, 2]));
    readers[0].finish(1);
    assert!(journal.reclaim());
    let appended = journal.append(*back, 1, 1).unwrap();
    assert_eq!((appended.seq, appended.duplicate), (3, false));
}

#[test]
fn patterns_find_the_channels_that_exist() {
    let (journal, _readers) = journal(true, 200);
    let matching = |text: &str, max: usize| {
        let found = journal.matching(&Pattern::parse(text).unwrap(), max)?;
        let mut names: Vec<String> = found.iter().map(|key| key.name.to_string()).collect();
        names.sort();
        assert!(found.iter().all(|key| *key == journal.key(&key.name)));
        Some(names)
    };
    for name in ["orders.a", "orders.b", "orders.b.c", "order", "user:a", "tenant:t", "z"] {
        append(&journal, name, true, 1);
    }
    assert!(journal.attach(&journal.key("orders.d"), 1));
    let all = ["orders.a", "orders.b", "orders.d"].map(str::to_owned);
    assert_eq!(matching("orders.*", 3).as_deref(), Some(&all[..]));
    assert_eq!(matching("orders.*", 2), None);
    assert_eq!(matching("*", 9).map(|names| names.len()), Some(2), "no user, no tenant");
    // Channels that go are found no more.
    journal.detach(&journal.key("orders.d"), 1);
    assert_eq!(matching("orders.*", 9).map(|names| names.len()), Some(2));
    (0..SHARDS).for_each(|shard| journal.sweep(shard, 1 + IDLE_MS, 1));
    assert_eq!(matching("**", 9).map(|names| names.len()), Some(0));
}

#[test]
fn a_pattern_looks_at_a_bounded_number_of_names() {
    let (journal, _readers) = journal(true, 200);
    for n in 0..=LOOKS_MAX {
        assert!(journal.attach(&journal.key(&format!("many.{n}.x")), 1));
    }
    let find = |text: &str| journal.matching(&Pattern::parse(text).unwrap(), 9);
    assert!(find("many.*").is_none(), "none matches, and too many had to be looked at");
    assert!(find("other.*").is_some_and(|found| found.is_empty()));
}
