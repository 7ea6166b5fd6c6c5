//! The writers of the bytes are flate2's own encoder with and without a window, and blocks put
//! together by hand.

use flate2::write::GzEncoder;
use flate2::{Compress, Compression, FlushCompress};

use super::*;

const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
const SHARED: usize = 1;

fn event(number: usize) -> String {
    format!("id: e-{number}\ndata: {number} {}\n\n", "ab".repeat(number * 40))
}

/// Each text as a segment of its own.
fn alone(texts: &[String]) -> Vec<Vec<u8>> {
    let segment = |text: &String| {
        let mut deflate = Compress::new(Compression::new(6), false);
        let mut out = Vec::with_capacity(text.len() + 100);
        let status = deflate.compress_vec(text.as_bytes(), &mut out, FlushCompress::Sync);
        assert_eq!(status.expect("deflated"), Status::Ok);
        out
    };
    texts.iter().map(segment).collect()
}

/// What a stream says after each of these pieces.
fn read(number: usize, pieces: &[&[u8]]) -> Result<Vec<String>, UnzipError> {
    let (mut unzip, mut segments) = (Unzip::new(number), Segments::default());
    let mut seen = Vec::new();
    for piece in pieces {
        let mut text = Vec::new();
        unzip.feed(piece, &mut segments, &mut |part| text.extend_from_slice(part))?;
        seen.push(String::from_utf8(text).expect("text"));
    }
    Ok(seen)
}

#[test]
fn every_segment_is_read_when_it_is_there_in_both_ways() {
    let texts: Vec<String> = (0..20).map(event).collect();
    let segments = alone(&texts);
    for number in [0, SHARED, SAMPLE - 1, SAMPLE] {
        let mut pieces = vec![&HEADER[..]];
        pieces.extend(segments.iter().map(Vec::as_slice));
        let seen = read(number, &pieces).expect("gzip");
        assert_eq!((&*seen[0], &seen[1..]), ("", &texts[..]), "stream {number}");
    }
    assert!(matches!(Unzip::new(SAMPLE), Unzip::Own(_)));
    assert!(matches!(Unzip::new(SAMPLE + 1), Unzip::Shared { .. }));
}

#[test]
fn a_cut_at_any_byte_loses_nothing() {
    let texts: Vec<String> = (0..4).map(event).collect();
    let wire = [&HEADER[..], &alone(&texts).concat(), b"\0\x02\0\xfd\xff:\n"].concat();
    for number in [0, SHARED] {
        for cut in 0..=wire.len() {
            let seen = read(number, &[&wire[..cut], &wire[cut..]]).expect("gzip");
            assert_eq!(seen.concat(), texts.concat() + ":\n", "cut at {cut}");
        }
        let drips: Vec<&[u8]> = wire.chunks(1).collect();
        assert_eq!(read(number, &drips).expect("gzip").concat(), texts.concat() + ":\n");
    }
}

/// The same bytes are inflated once, and others that differ in a single bit are not taken for
/// them.
#[test]
fn only_the_same_bytes_have_the_same_text() {
    let texts = [event(3), event(3).replace('3', "4")];
    let wires = alone(&texts);
    let mut segments = Segments::default();
    for round in 0..50 {
        let mut stream = Unzip::new(SHARED);
        stream.feed(&HEADER, &mut segments, &mut |_| {}).expect("a header");
        let at = round % 2;
        let mut text = Vec::new();
        let result = stream.feed(&wires[at], &mut segments, &mut |part| text.extend(part));
        assert_eq!((result, text.as_slice()), (Ok(()), texts[at].as_bytes()));
    }
    assert_eq!(segments.known.len(), 3, "the header's rest, and one for each text");
    let mut flipped = wires[0].clone();
    flipped[8] ^= 1;
    let seen = read(SHARED, &[&HEADER, &flipped]);
    assert_ne!(seen.map(|seen| seen.concat()), Ok(texts[0].clone()));
}

/// Segments that lean on others cannot be shared, and the tool says so instead of reading them.
#[test]
fn what_needs_a_window_is_refused() {
    let mut writer = GzEncoder::new(Vec::new(), Compression::new(6));
    let text = event(9);
    let mut pieces = Vec::new();
    for _ in 0..2 {
        writer.write_all(text.as_bytes()).expect("written");
        writer.flush().expect("flushed");
        pieces.push(std::mem::take(writer.get_mut()));
    }
    let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
    assert_eq!(read(SHARED, &pieces), Err(UnzipError));
    // A decoder of its own has the window.
    assert_eq!(read(0, &pieces).expect("gzip"), [text.clone(), text]);
}

#[test]
fn anything_else_is_refused() {
    for number in [0, SHARED] {
        for wrong in [&b"retry: 2000\n\n"[..], b"\x1f\x8b\x07\0\0\0\0\0\0\xff"] {
            assert_eq!(read(number, &[wrong, b"data: x\n\n"]), Err(UnzipError), "{wrong:?}");
        }
        // A block of the kind that does not exist.
        assert_eq!(read(number, &[&HEADER, &[7, 0, 0, 0]]), Err(UnzipError));
    }
    // The end of the member.
    let mut deflate = Compress::new(Compression::new(6), false);
    let mut out = Vec::with_capacity(100);
    deflate.compress_vec(b"data: x\n\n", &mut out, FlushCompress::Finish).expect("deflated");
    assert_eq!(read(SHARED, &[&HEADER, &out]), Err(UnzipError));
}
