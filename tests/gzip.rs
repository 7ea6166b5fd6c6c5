//! Compressing an event allocates nothing once the output has its room.

use ringcast::proto::gzip::{Encoder, write_stored};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

#[test]
fn a_segment_allocates_nothing() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let mut encoder = Encoder::new(6);
    let mut random = fastrand::Rng::with_seed(1);
    let frames: Vec<Vec<u8>> = [2, 48, 300, 5_000, 70_000]
        .into_iter()
        .flat_map(|len: usize| {
            let noise = (0..len).map(|_| random.u8(..)).collect();
            [noise, b"data: {\"value\":25}\n".iter().copied().cycle().take(len).collect()]
        })
        .collect();
    let mut out = Vec::with_capacity(100_000);
    let before = dhat::HeapStats::get().total_blocks;
    for frame in frames.iter().cycle().take(1_000) {
        out.clear();
        encoder.encode_into(frame, &mut out);
        out.clear();
        write_stored(frame, &mut out);
    }
    assert_eq!(dhat::HeapStats::get().total_blocks - before, 0);
}
