//! gzip shared by all (RFC 1952 around RFC 1951).
//!
//! A stream that accepts gzip is sent [`HEADER`] once and then *segments*: each event is compressed
//! once, by itself, and the same bytes go to every such stream. A segment
//! - begins and ends at a byte, so any segment may follow any other;
//! - refers to nothing before it, so a reader may join anywhere, skip, or be given replayed ones;
//! - ends flushed, so a reader that inflates what it has got sees the whole event at once.
//!
//! No segment is the last block of its member and no trailer is sent: a stream ends with its
//! connection, as without gzip. A trailer would need the checksum of what this one stream was
//! sent, the one thing that cannot be shared.
//!
//! The length of a segment tells something of what is in it: a secret and a stranger's text in one
//! event can be guessed at by it (BREACH), in two events they cannot.
//!
//! Sealed events gain nothing from it: ciphertext does not shrink and leaves as stored blocks.

mod accept;

use flate2::{Compress, Compression, FlushCompress, Status};

pub use accept::accepts_gzip;

/// A gzip member's header (RFC 1952 2.3): deflate, no name, no time, unknown system. Sent once, in
/// front of a stream's first segment.
pub const HEADER: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// Bytes in front of a stored block's data: three bits and padding, length, its complement.
const STORED_HEAD: usize = 5;
/// Most bytes of one stored block (RFC 1951 3.2.4: 16 bits of length).
const STORED_MAX: usize = u16::MAX as usize;
/// Frames up to this many bytes are stored unseen. The flush alone costs five bytes; they would
/// gain a few at best.
const STORED_UNSEEN_MAX: usize = 48;

/// Appends `frame` as a segment of stored blocks: for what is short or rare (preamble, control
/// events), and the longest any segment gets: 5 bytes more than the frame for each 65,535 begun.
///
/// An empty frame is an empty segment.
pub fn write_stored(frame: &[u8], out: &mut Vec<u8>) {
    out.reserve(stored_len(frame.len()));
    for block in frame.chunks(STORED_MAX) {
        // A chunk has at most STORED_MAX bytes.
        let len = u16::try_from(block.len()).unwrap_or(u16::MAX);
        out.push(0);
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&(!len).to_le_bytes());
        out.extend_from_slice(block);
    }
}

/// A segment made once and sent often: other forms of heartbeat, farewells.
#[must_use]
pub fn stored_segment(frame: &[u8]) -> Box<[u8]> {
    let mut out = Vec::new();
    write_stored(frame, &mut out);
    out.into_boxed_slice()
}

/// Bytes of a segment of stored blocks.
fn stored_len(frame_len: usize) -> usize {
    frame_len + frame_len.div_ceil(STORED_MAX) * STORED_HEAD
}

/// Makes segments. One for each worker: it holds about 300 KB of tables and is used again for
/// every frame without a new allocation.
#[derive(Debug)]
pub struct Encoder {
    deflate: Compress,
}

impl Encoder {
    /// `level`: 1 (fast) to 9 (small); others are taken as the nearest of these.
    #[must_use]
    pub fn new(level: u32) -> Self {
        Self { deflate: Compress::new(Compression::new(level.clamp(1, 9)), false) }
    }

    /// Appends the segment of one frame; never more bytes than [`write_stored`] would.
    pub fn encode_into(&mut self, frame: &[u8], out: &mut Vec<u8>) {
        if frame.len() <= STORED_UNSEEN_MAX || !self.shrink(frame, out) {
            write_stored(frame, out);
        }
    }

    /// Appends the frame deflated. False, and nothing appended, where stored is no longer.
    fn shrink(&mut self, frame: &[u8], out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let room = stored_len(frame.len());
        out.resize(start + room, 0);
        // A fresh window for each frame: nothing can refer to a frame before it.
        self.deflate.reset();
        let status = self.deflate.compress(frame, &mut out[start..], FlushCompress::Sync);
        let len = usize::try_from(self.deflate.total_out()).unwrap_or(room);
        // With room left, the flush is complete: its empty stored block stands at the end.
        let is_smaller = matches!(status, Ok(Status::Ok))
            && self.deflate.total_in() == frame.len() as u64
            && len < room;
        out.truncate(if is_smaller { start + len } else { start });
        is_smaller
    }
}

#[cfg(test)]
mod tests;
