//! An event becomes bytes once: what that costs, beside copying as many bytes.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringcast::proto::sse::{Epoch, Frame};

fn frame_encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("frame_encode");
    let lines = "a line of forty characters or thereabouts\n".repeat(100);
    let flat = |len: usize| "x".repeat(len);
    for (name, data) in [("128 B", flat(128)), ("4 KiB", flat(4_096)), ("100 lines", lines)] {
        group.throughput(Throughput::Bytes(data.len() as u64));
        group.bench_function(format!("{name}/encode and stamp"), |b| {
            b.iter(|| {
                let mut frame = Frame::encode(Some("update"), black_box(&data), None);
                frame.stamp(Epoch::from_random(7), 123_456);
                frame
            });
        });
        group.bench_function(format!("{name}/copy"), |b| {
            b.iter(|| black_box(data.as_bytes()).to_vec());
        });
    }
    group.finish();
}

criterion_group!(benches, frame_encode);
criterion_main!(benches);
