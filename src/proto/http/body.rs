//! Request bodies: by length and chunked (RFC 9112 sections 6 and 7).

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::head::Framing;

/// A chunk-size line, extensions and all.
const SIZE_LINE_MAX: usize = 256;
/// All trailer fields together.
const TRAILERS_MAX: usize = 4_096;

/// Why a body was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BodyError {
    /// Over the bound.
    #[error("the request body is too large")]
    TooLarge,
    /// Not the chunked coding.
    #[error("the chunked body is malformed")]
    Malformed,
}

impl BodyError {
    /// The status that answers it.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::TooLarge => 413,
            Self::Malformed => 400,
        }
    }
}

/// What one feed did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fed {
    /// Input bytes used; what follows belongs to the next request.
    pub used: usize,
    /// The body is complete.
    pub done: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    /// Plain bytes left.
    Length(u64),
    /// In a size line, so many bytes of it seen.
    Size {
        seen: usize,
        value: Option<u64>,
        extension: bool,
        cr: bool,
    },
    Data(u64),
    /// CRLF behind a chunk.
    DataEnd {
        cr: bool,
    },
    /// Trailer fields: bytes seen, bytes in this line, CR seen.
    Trailers {
        seen: usize,
        line: usize,
        cr: bool,
    },
    Done,
}

/// A body being read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Body {
    state: State,
    taken: u64,
    bytes_max: u64,
}

const SIZE: State = State::Size { seen: 0, value: None, extension: false, cr: false };

impl Body {
    /// A body of at most `bytes_max` decoded bytes.
    ///
    /// # Errors
    /// A length over the bound is refused before a byte is read.
    pub fn new(framing: Framing, bytes_max: u64) -> Result<Self, BodyError> {
        let state = match framing {
            Framing::None => State::Done,
            Framing::Length(length) if length > bytes_max => return Err(BodyError::TooLarge),
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => SIZE,
        };
        Ok(Self { state, taken: 0, bytes_max })
    }

    /// All that is missing of it lies in `input`, as far as that can be told without reading it.
    #[must_use]
    pub fn is_all_in(&self, input: &[u8]) -> bool {
        match self.state {
            State::Done => true,
            State::Length(left) => left <= input.len() as u64,
            _ => false,
        }
    }

    /// Takes input; decoded bytes go to the end of `out`.
    ///
    /// # Errors
    /// The connection cannot be used further.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Fed, BodyError> {
        let mut used = 0;
        while used < input.len() && self.state != State::Done {
            let rest = &input[used..];
            match self.state {
                State::Length(left) => {
                    let (taken, left) = copy(rest, left, out);
                    used += taken;
                    self.state = if left == 0 { State::Done } else { State::Length(left) };
                }
                State::Data(left) => {
                    let (taken, left) = copy(rest, left, out);
                    used += taken;
                    self.state =
                        if left == 0 { State::DataEnd { cr: false } } else { State::Data(left) };
                }
                _ => {
                    self.step(rest[0])?;
                    used += 1;
                }
            }
        }
        Ok(Fed { used, done: self.state == State::Done })
    }

    /// One byte of the chunked coding's own text.
    fn step(&mut self, byte: u8) -> Result<(), BodyError> {
        self.state = match self.state {
            State::Size { value: Some(size), cr: true, .. } if byte == b'\n' => self.begin(size)?,
            State::Size { cr: true, .. } => return Err(BodyError::Malformed),
            State::Size { seen, value, extension, .. } => size_byte(byte, seen, value, extension)?,
            State::DataEnd { cr: false } if byte == b'\r' => State::DataEnd { cr: true },
            State::DataEnd { cr: true } if byte == b'\n' => SIZE,
            State::Trailers { line, cr: true, seen } if byte == b'\n' => {
                if line == 0 {
                    State::Done
                } else {
                    State::Trailers { seen: seen + 1, line: 0, cr: false }
                }
            }
            State::Trailers { seen, line, cr: false } if seen < TRAILERS_MAX => match byte {
                b'\r' => State::Trailers { seen: seen + 1, line, cr: true },
                b'\n' | 0 => return Err(BodyError::Malformed),
                _ => State::Trailers { seen: seen + 1, line: line + 1, cr: false },
            },
            _ => return Err(BodyError::Malformed),
        };
        Ok(())
    }

    fn begin(&mut self, size: u64) -> Result<State, BodyError> {
        self.taken = self.taken.saturating_add(size);
        if self.taken > self.bytes_max {
            return Err(BodyError::TooLarge);
        }
        Ok(match size {
            0 => State::Trailers { seen: 0, line: 0, cr: false },
            size => State::Data(size),
        })
    }
}

fn size_byte(
    byte: u8,
    seen: usize,
    value: Option<u64>,
    extension: bool,
) -> Result<State, BodyError> {
    if seen >= SIZE_LINE_MAX {
        return Err(BodyError::Malformed);
    }
    let (value, extension, cr) = match (byte, value) {
        (b'\r', Some(_)) => (value, extension, true),
        (b'\n' | 0, _) => return Err(BodyError::Malformed),
        _ if extension => (value, true, false),
        (b';', Some(_)) => (value, true, false),
        _ => {
            let digit = char::from(byte).to_digit(16).ok_or(BodyError::Malformed)?;
            let value = value.unwrap_or(0).checked_mul(16).ok_or(BodyError::TooLarge)?;
            (Some(value + u64::from(digit)), false, false)
        }
    };
    Ok(State::Size { seen: seen + 1, value, extension, cr })
}

/// Copies up to `left` bytes: taken, and what is left.
fn copy(input: &[u8], left: u64, out: &mut Vec<u8>) -> (usize, u64) {
    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
    out.extend_from_slice(&input[..taken]);
    (taken, left - taken as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(wire: &[u8], cuts: usize) -> Result<(Vec<u8>, usize, bool), BodyError> {
        let mut body = Body::new(Framing::Chunked, 1_000)?;
        let (mut out, mut used) = (Vec::new(), 0);
        for part in wire.chunks(cuts.max(1)) {
            let fed = body.feed(part, &mut out)?;
            used += fed.used;
            if fed.done {
                return Ok((out, used, true));
            }
        }
        Ok((out, used, false))
    }

    proptest! {
        #[test]
        fn chunks_come_out_whole_however_they_are_cut(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 0..6),
            cut in 1usize..40,
        ) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                wire.extend(format!("{:X};ext=\"1\"\r\n", chunk.len()).bytes());
                wire.extend(chunk);
                wire.extend(b"\r\n");
            }
            wire.extend(b"0\r\nTrailer: x\r\n\r\n");
            let len = wire.len();
            wire.extend(b"GET / HTTP/1.1\r\n");
            prop_assert_eq!(read(&wire, cut), Ok((chunks.concat(), len, true)));
        }
    }

    #[test]
    fn what_is_no_chunked_coding_is_refused() {
        for bad in [
            "\r\n",
            "g\r\n",
            "5\nhello",
            "5\r\nhelloX",
            " 5\r\n",
            "5 \r\nhello\r\n",
            "-1\r\n",
            "0x5\r\n",
            "5;\nx",
            "0\r\nA: b\nC",
            "3\r\nabc\rx",
        ] {
            assert_eq!(read(bad.as_bytes(), 100), Err(BodyError::Malformed), "{bad:?}");
        }
        assert_eq!(read(b"ffffffffffffffff1\r\n", 100), Err(BodyError::TooLarge));
        assert_eq!(read(b"3e9\r\n", 100), Err(BodyError::TooLarge));
    }

    #[test]
    fn a_length_ends_where_it_says() {
        assert_eq!(Body::new(Framing::Length(11), 10).err(), Some(BodyError::TooLarge));
        let mut body = Body::new(Framing::Length(5), 10).unwrap();
        let mut out = Vec::new();
        assert_eq!(body.feed(b"hel", &mut out), Ok(Fed { used: 3, done: false }));
        assert_eq!(body.feed(b"loGET", &mut out), Ok(Fed { used: 2, done: true }));
        assert_eq!(out, b"hello");
    }
}
