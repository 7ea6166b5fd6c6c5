//! The log: append, append from several threads, read, replay from a history.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use ringcast::journal::{Draft, Journal, JournalSettings, Purpose, Range, Reader};
use ringcast::proto::sse::{Epoch, Frame};
use smallvec::smallvec;

const DATA: &str = "one hundred and twenty-eight bytes of an event, or nearly so: \
    xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

fn journal(workers: usize) -> (Arc<Journal>, Vec<Reader>) {
    Journal::new(JournalSettings::default(), Epoch::from_random(7), 1, 7, workers)
}

fn draft(journal: &Journal, channel: &str) -> Draft {
    Draft {
        frame: Frame::encode(None, DATA, None),
        targets: smallvec![journal.key(channel)],
        key: None,
        ttl_ms: None,
        store: true,
        idempotency: None,
        expected: None,
        aim: None,
    }
}

/// Appends as the one publisher and reads as the one worker.
fn append_and_read(c: &mut Criterion) {
    let mut group = c.benchmark_group("journal");
    let (journal, mut readers) = journal(1);
    let mut position = 0;
    group.bench_function("append and read, one thread", |b| {
        b.iter(|| {
            journal.append(draft(&journal, "a"), 1, 1).expect("room");
            while readers[0].get(position).is_some() {
                position += 1;
            }
            readers[0].finish(position);
            journal.reclaim();
        });
    });
    group.finish();
}

/// Two publishers at once, each to a channel of its own, and a worker that reads.
fn append_across_threads(c: &mut Criterion) {
    let mut group = c.benchmark_group("journal");
    group.bench_function("append, two publishers and a reader", |b| {
        b.iter_custom(|appends| {
            let (journal, mut readers) = journal(1);
            let done = Arc::new(AtomicBool::new(false));
            let reader = std::thread::spawn({
                let (journal, done) = (Arc::clone(&journal), Arc::clone(&done));
                move || {
                    let mut position = 0;
                    while !done.load(Ordering::Relaxed) {
                        while readers[0].get(position).is_some() {
                            position += 1;
                        }
                        readers[0].finish(position);
                        journal.reclaim();
                        std::hint::spin_loop();
                    }
                }
            });
            let begun = Instant::now();
            std::thread::scope(|scope| {
                for channel in ["a", "b"] {
                    let journal = &journal;
                    scope.spawn(move || {
                        for _ in 0..appends.div_ceil(2) {
                            while journal.append(draft(journal, channel), 1, 1).is_err() {
                                std::thread::yield_now();
                            }
                        }
                    });
                }
            });
            let took: Duration = begun.elapsed();
            done.store(true, Ordering::Relaxed);
            reader.join().expect("the reader ends");
            took
        });
    });
    group.finish();
}

/// What a resuming stream reads: the last hundred of a thousand events.
fn store_replay(c: &mut Criterion) {
    let mut group = c.benchmark_group("journal");
    let (journal, _readers) = journal(1);
    for _ in 0..1_000 {
        journal.append(draft(&journal, "a"), 1, 1).expect("room");
    }
    let key = journal.key("a");
    let mut out = Vec::with_capacity(100);
    group.bench_function("replay of 100 events", |b| {
        b.iter(|| {
            out.clear();
            let range = Range {
                purpose: Purpose::Resume,
                after: black_box(900),
                upto: 1_000,
                bytes_max: usize::MAX,
                unix_ms: 1,
            };
            let (span, _) = journal.read_channel(&key, range, &mut out);
            assert!(span.complete && out.len() == 100);
        });
    });
    group.finish();
}

criterion_group!(benches, append_and_read, append_across_threads, store_replay);
criterion_main!(benches);
