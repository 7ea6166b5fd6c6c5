//! The oracles are two inflaters that share no code with the encoder: miniz_oxide, told to give out
//! what it has after each segment, and a walk over the blocks' heads.

use std::io::{Read, Write};

use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZFlush};
use proptest::prelude::*;

use super::*;
use crate::proto::sse::Frame;

/// What a reader that was sent `HEADER` and then these segments has seen after each of them.
fn read_live(segments: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut state = InflateState::new_boxed(DataFormat::Raw);
    let mut buffer = vec![0; 1 << 16];
    let mut seen = Vec::new();
    for segment in segments {
        let mut input = &segment[..];
        let mut text = Vec::new();
        loop {
            let step = inflate(&mut state, input, &mut buffer, MZFlush::Sync);
            text.extend_from_slice(&buffer[..step.bytes_written]);
            input = &input[step.bytes_consumed..];
            if step.bytes_written == 0 && step.bytes_consumed == 0 {
                break;
            }
        }
        assert!(input.is_empty(), "{} bytes are left", input.len());
        seen.push(text);
    }
    seen
}

fn encode(encoder: &mut Encoder, frame: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encoder.encode_into(frame, &mut out);
    out
}

fn json_event(number: usize) -> Vec<u8> {
    let data = format!(
        "{{\"id\":{number},\"type\":\"order\",\"user\":\"user-{number}\",\"title\":\"Order {number}\",\
         \"message\":\"The order {number} was shipped\",\"timestamp\":\"2026-11-23T15:04:05Z\"}}"
    );
    Frame::encode(Some("update"), &data, None).wire().to_vec()
}

#[test]
fn the_header_is_a_plain_member() {
    let whole = {
        let mut writer = flate2::GzBuilder::new().write(Vec::new(), Compression::default());
        writer.write_all(b"x").unwrap();
        writer.finish().unwrap()
    };
    assert_eq!(HEADER[..8], whole[..8]);
    assert_eq!(HEADER.len(), 10);
}

#[test]
fn heartbeats_are_stored() {
    assert_eq!(&*stored_segment(b":\n"), [0, 2, 0, 0xfd, 0xff, b':', b'\n']);
    assert_eq!(encode(&mut Encoder::new(6), b":\n"), &*stored_segment(b":\n"));
    assert_eq!(&*stored_segment(b""), b"");
}

/// A decoder with the header before it, fed by drips, says everything it could by then.
#[test]
fn a_streaming_gzip_reader_sees_each_event_at_once() {
    let mut encoder = Encoder::new(6);
    let mut reader = flate2::write::GzDecoder::new(Vec::new());
    reader.write_all(HEADER).unwrap();
    let mut expected = Vec::new();
    for number in 0..100 {
        let frame = json_event(number);
        reader.write_all(&encode(&mut encoder, &frame)).unwrap();
        reader.write_all(&stored_segment(b":\n")).unwrap();
        reader.flush().unwrap();
        expected.extend_from_slice(&frame);
        expected.extend_from_slice(b":\n");
        assert_eq!(reader.get_ref(), &expected, "event {number}");
    }
}

/// Nobody sends a trailer, so what a strict reader says at the end is that it was cut.
#[test]
fn the_member_never_ends() {
    let mut bytes = HEADER.to_vec();
    Encoder::new(6).encode_into(&json_event(1), &mut bytes);
    let mut text = Vec::new();
    let error = flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut text).unwrap_err();
    assert_eq!((error.kind(), text), (std::io::ErrorKind::UnexpectedEof, json_event(1)));
}

#[test]
fn json_shrinks_and_noise_is_stored() {
    let mut encoder = Encoder::new(6);
    let frame = json_event(7);
    let segment = encode(&mut encoder, &frame);
    assert!(segment.len() * 10 < frame.len() * 9, "{} of {}", segment.len(), frame.len());
    assert!(segment.ends_with(&[0, 0, 0xff, 0xff]), "not flushed");

    let mut random = fastrand::Rng::with_seed(7);
    let noise: Vec<u8> = (0..200_000).map(|_| random.u8(..)).collect();
    let stored = stored_segment(&noise);
    assert_eq!(stored.len(), noise.len() + 4 * STORED_HEAD);
    assert_eq!(encode(&mut encoder, &noise), &*stored);
    assert_eq!(read_live(&[stored.to_vec()]), [noise]);
}

/// The state of the encoder leaves no trace: the same frame, the same bytes.
#[test]
fn a_frame_has_one_segment_whatever_came_before() {
    let mut used = Encoder::new(6);
    let mut out = Vec::with_capacity(1 << 20);
    let room = out.capacity();
    for number in 0..50 {
        out.clear();
        used.encode_into(&json_event(number), &mut out);
        assert_eq!(out, encode(&mut Encoder::new(6), &json_event(number)));
    }
    assert_eq!(out.capacity(), room, "the output was allocated again");
}

#[test]
fn levels_out_of_range_are_the_nearest() {
    let frame = json_event(3).repeat(20);
    for (level, same) in [(0, 1), (77, 9)] {
        let (one, two) = (&mut Encoder::new(level), &mut Encoder::new(same));
        assert_eq!(encode(one, &frame), encode(two, &frame));
    }
}

fn frame() -> impl Strategy<Value = Vec<u8>> {
    let noise = prop::collection::vec(any::<u8>(), 0..300);
    let words =
        prop::collection::vec(prop::sample::select(vec!["data: ", "{\"a\":", "x", "\n"]), 0..400);
    let long = (any::<u8>(), 65_000..140_000_usize).prop_map(|(byte, len)| vec![byte; len]);
    prop_oneof![
        6 => noise,
        6 => words.prop_map(|words| words.concat().into_bytes()),
        1 => long,
    ]
}

proptest! {
    /// Any selection of segments, in any order and with repetitions, reads as those frames, each
    /// one as soon as it has come; none is longer than stored.
    #[test]
    fn any_combination_inflates_live(
        frames in prop::collection::vec(frame(), 1..6),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        level in 1..=9_u32,
    ) {
        let mut encoder = Encoder::new(level);
        let mut segments = Vec::new();
        for frame in &frames {
            let segment = encode(&mut encoder, frame);
            prop_assert!(segment.len() <= stored_len(frame.len()));
            segments.push(segment);
        }
        let order: Vec<usize> = order.iter().map(|index| index.index(frames.len())).collect();
        let sent: Vec<Vec<u8>> = order.iter().map(|at| segments[*at].clone()).collect();
        let expected: Vec<Vec<u8>> = order.iter().map(|at| frames[*at].clone()).collect();
        prop_assert_eq!(read_live(&sent), expected);
    }
}
