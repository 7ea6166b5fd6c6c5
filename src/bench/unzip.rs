//! Streams of gzip segments back to text.
//!
//! A server that compresses an event once and sends the same bytes to all makes segments that stand
//! alone: they begin and end at a byte and refer to nothing before them. So each piece of bytes is
//! inflated once, behind an empty window, and every other stream that gets the very same bytes at
//! the same place, a segment's beginning, is given the same text: what inflates without a window
//! inflates alike behind any. This keeps the load tool from being what is measured, and still every
//! event of every stream is checked.
//!
//! One stream in [`SAMPLE`] is read by a decoder of its own, with header, window and all, as a
//! browser reads it.

use std::collections::VecDeque;
use std::io::Write;

use flate2::write::GzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use thiserror::Error;

/// One stream of so many has a decoder of its own.
pub const SAMPLE: usize = 256;
/// Pieces remembered: streams that get the same get it at nearly the same time.
const KNOWN_MAX: usize = 32;
/// A segment that has not ended by then never will.
const HELD_BYTES_MAX: usize = 4 << 20;
/// A gzip member's header without name or other extras (RFC 1952 2.3) ...
const HEADER_BYTES: usize = 10;
/// ... begins so.
const HEADER_START: &[u8] = &[0x1f, 0x8b, 8, 0];
/// A stored block of 16 bytes (RFC 1951 3.2.4), and its text: only where a block may begin is the
/// one read as the other.
const PROBE: &[u8] = b"\0\x10\0\xef\xffbegins-a-block:)";
const PROBE_TEXT: &[u8] = PROBE.split_at(5).1;

/// Bytes that are no gzip of segments that stand alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not gzip in segments that stand alone")]
pub struct UnzipError;

#[derive(Debug)]
enum Reading {
    /// One or more whole segments: their text.
    Whole(Vec<u8>),
    /// The last segment's end is still to come.
    Part,
}

/// What pieces of bytes say, for all streams of one ring.
#[derive(Debug)]
pub struct Segments {
    inflate: Decompress,
    /// The latest first.
    known: VecDeque<(Vec<u8>, Reading)>,
}

impl Default for Segments {
    fn default() -> Self {
        Self { inflate: Decompress::new(false), known: VecDeque::with_capacity(KNOWN_MAX) }
    }
}

impl Segments {
    fn read(&mut self, wire: &[u8]) -> Result<&Reading, UnzipError> {
        let at = match self.known.iter().position(|(known, _)| known == wire) {
            Some(at) => at,
            None => {
                let reading = self.inflate_alone(wire)?;
                self.known.truncate(KNOWN_MAX - 1);
                self.known.push_front((wire.to_vec(), reading));
                0
            }
        };
        Ok(&self.known[at].1)
    }

    fn inflate_alone(&mut self, wire: &[u8]) -> Result<Reading, UnzipError> {
        self.inflate.reset(false);
        let mut text = Vec::with_capacity(wire.len() * 4 + 256);
        self.inflate(wire, &mut text)?;
        let len = text.len();
        let ends = self.inflate(PROBE, &mut text).is_ok() && &text[len..] == PROBE_TEXT;
        text.truncate(len);
        Ok(if ends { Reading::Whole(text) } else { Reading::Part })
    }

    /// Appends what can be said by now.
    fn inflate(&mut self, mut wire: &[u8], text: &mut Vec<u8>) -> Result<(), UnzipError> {
        loop {
            text.reserve(256);
            let (read, written) = (self.inflate.total_in(), text.len());
            let status = self.inflate.decompress_vec(wire, text, FlushDecompress::Sync);
            // The end of the member would be the end of what all can share.
            let Ok(Status::Ok | Status::BufError) = status else { return Err(UnzipError) };
            let used = usize::try_from(self.inflate.total_in() - read).unwrap_or(wire.len());
            wire = &wire[used..];
            let has_room = text.len() < text.capacity();
            if has_room && wire.is_empty() {
                return Ok(());
            }
            if has_room && used == 0 && text.len() == written {
                return Err(UnzipError);
            }
        }
    }
}

/// One stream's place in its bytes.
#[derive(Debug)]
pub enum Unzip {
    /// By what is known of the same bytes.
    Shared {
        /// The header is behind.
        begun: bool,
        /// A header or a segment whose end is still to come.
        held: Vec<u8>,
    },
    /// By a decoder of its own.
    Own(Box<GzDecoder<Vec<u8>>>),
}

impl Unzip {
    /// At the beginning of stream `number`.
    #[must_use]
    pub fn new(number: usize) -> Self {
        if number.is_multiple_of(SAMPLE) {
            Self::Own(Box::new(GzDecoder::new(Vec::new())))
        } else {
            Self::Shared { begun: false, held: Vec::new() }
        }
    }

    /// Takes the next bytes and hands the text on that they complete.
    ///
    /// # Errors
    /// When they are no such gzip.
    pub fn feed(
        &mut self,
        wire: &[u8],
        segments: &mut Segments,
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<(), UnzipError> {
        let (begun, held) = match self {
            Self::Shared { begun, held } => (begun, held),
            Self::Own(decoder) => {
                // What it cannot say now it may not need to: each event is due at once.
                decoder.write_all(wire).and_then(|()| decoder.flush()).map_err(|_| UnzipError)?;
                take(decoder.get_ref());
                decoder.get_mut().clear();
                return Ok(());
            }
        };
        let mut all = std::mem::take(held);
        let bytes = if all.is_empty() {
            wire
        } else {
            all.extend_from_slice(wire);
            &all[..]
        };
        let body = match bytes.split_at_checked(HEADER_BYTES) {
            _ if *begun => bytes,
            Some((header, body)) if header.starts_with(HEADER_START) => body,
            Some(_) => return Err(UnzipError),
            None => {
                held.extend_from_slice(bytes);
                return Ok(());
            }
        };
        *begun = true;
        match segments.read(body)? {
            Reading::Whole(text) => take(text),
            Reading::Part if body.len() > HELD_BYTES_MAX => return Err(UnzipError),
            Reading::Part => held.extend_from_slice(body),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
