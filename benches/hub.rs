//! The index of one core: joining and leaving, the walk over a topic's members, a heartbeat tick.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringcast::hub::{Hub, Stripes};
use ringcast::journal::{Journal, JournalSettings};
use ringcast::proto::sse::Epoch;

const STREAMS: u32 = 100_000;

fn hub(c: &mut Criterion) {
    let (journal, _readers) =
        Journal::new(JournalSettings::default(), Epoch::from_random(7), 1, 7, 1);
    let shared = journal.key("shared");
    let mut group = c.benchmark_group("hub");

    let mut hub = Hub::new("broadcast".into(), journal.hasher());
    let topic = (0..STREAMS).map(|slot| hub.link_channel(slot, &shared)).last().expect("streams");
    group.throughput(Throughput::Elements(u64::from(STREAMS)));
    group.bench_function("walk over 100,000 members", |b| {
        let members = hub.topic(topic).expect("it has members");
        b.iter(|| {
            let slots = (0..members.len()).rev().filter_map(|at| members.member(at));
            slots.map(u64::from).sum::<u64>()
        });
    });

    group.throughput(Throughput::Elements(1));
    group.bench_function("leave and join beside 100,000", |b| {
        let mut slot = 0;
        b.iter(|| {
            slot = (slot + 7_919) % STREAMS;
            hub.unlink(black_box(slot), |_| {});
            hub.link_channel(slot, &shared)
        });
    });

    group.throughput(Throughput::Elements(u64::from(STREAMS)));
    group.bench_function("visit 100,000 slots by stripes", |b| {
        let mut stripes = Stripes::new(30_000, 0);
        let mut now_ms = 0;
        b.iter(|| {
            now_ms += 30_000;
            let mut visits = 0;
            while stripes.next(now_ms, STREAMS).is_some() {
                visits += 1;
            }
            visits
        });
    });
    group.finish();
}

criterion_group!(benches, hub);
criterion_main!(benches);
