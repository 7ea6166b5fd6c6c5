//! One event, encoded once for every reader.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use super::id::{Epoch, EventId};
use crate::proto::gzip;

const ID_FIELD: &[u8] = b"id: ";
/// Room kept in front for the id line, which is written when the id is known.
const ID_ROOM: usize = ID_FIELD.len() + EventId::TEXT_MAX + 1;

/// An event block of the stream: `id:`, `event:`, `retry:`, `data:` lines and the blank line.
///
/// It is encoded before the id is known (outside every lock) and stamped in place afterwards.
/// Every line end in the data (LF, CR or CRLF) begins a new `data:` line, so no byte of it can
/// be read as a field of its own (WHATWG HTML 9.2.5 splits lines at all three).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Frame {
    #[serde(with = "serde_bytes")]
    bytes: Box<[u8]>,
    start: u32,
    event_len: u32,
    data_at: u32,
    /// The stamped block as a gzip segment, once somebody has asked for it.
    #[serde(skip)]
    segment: OnceLock<Box<[u8]>>,
}

impl Frame {
    /// Encodes an event. `event` holds no CR, LF or NUL (the caller has checked).
    #[must_use]
    pub fn encode(event: Option<&str>, data: &str, retry_ms: Option<u32>) -> Self {
        let event = event.filter(|name| !name.is_empty());
        let mut bytes = Vec::with_capacity(Self::encoded_len(event, data, retry_ms));
        bytes.resize(ID_ROOM, 0);
        if let Some(name) = event {
            debug_assert!(!name.bytes().any(|b| matches!(b, b'\r' | b'\n' | 0)));
            bytes.extend_from_slice(b"event: ");
            bytes.extend_from_slice(name.as_bytes());
            bytes.push(b'\n');
        }
        if let Some(retry_ms) = retry_ms {
            bytes.extend_from_slice(b"retry: ");
            bytes.extend_from_slice(itoa::Buffer::new().format(retry_ms).as_bytes());
            bytes.push(b'\n');
        }
        let data_at = bytes.len();
        for line in lines(data.as_bytes()) {
            bytes.extend_from_slice(b"data: ");
            bytes.extend_from_slice(line);
            bytes.push(b'\n');
        }
        bytes.push(b'\n');
        Self {
            bytes: bytes.into_boxed_slice(),
            start: to_u32(ID_ROOM),
            event_len: to_u32(event.map_or(0, str::len)),
            data_at: to_u32(data_at),
            segment: OnceLock::new(),
        }
    }

    /// Bytes that [`Frame::encode`] will take, the room for the id included.
    #[must_use]
    pub fn encoded_len(event: Option<&str>, data: &str, retry_ms: Option<u32>) -> usize {
        let breaks = lines(data.as_bytes()).count();
        ID_ROOM
            + event.map_or(0, |name| name.len() + 8)
            + retry_ms.map_or(0, |_| 18)
            + data.len()
            + breaks * 7
            + 1
    }

    /// Writes the id line in front of the block.
    pub fn stamp(&mut self, epoch: Epoch, seq: u64) {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(seq).as_bytes();
        let len = ID_FIELD.len() + Epoch::LEN + 1 + digits.len() + 1;
        let start = ID_ROOM - len;
        let (head, rest) = self.bytes[start..ID_ROOM].split_at_mut(ID_FIELD.len());
        head.copy_from_slice(ID_FIELD);
        rest[..Epoch::LEN].copy_from_slice(epoch.as_str().as_bytes());
        rest[Epoch::LEN] = b'-';
        rest[Epoch::LEN + 1..][..digits.len()].copy_from_slice(digits);
        rest[rest.len() - 1] = b'\n';
        self.start = to_u32(start);
    }

    /// The block as it goes on the wire.
    #[must_use]
    pub fn wire(&self) -> &[u8] {
        &self.bytes[self.start as usize..]
    }

    /// The block as a gzip segment: compressed when it is first asked for, then the same bytes for
    /// every reader on every core. It must be stamped.
    pub fn segment(&self, encoder: &mut gzip::Encoder) -> &[u8] {
        self.segment.get_or_init(|| {
            let mut segment = Vec::with_capacity(self.wire().len() + 16);
            encoder.encode_into(self.wire(), &mut segment);
            segment.into_boxed_slice()
        })
    }

    /// The segment, where it was made.
    #[must_use]
    pub fn made_segment(&self) -> Option<&[u8]> {
        self.segment.get().map(|segment| &**segment)
    }

    /// The same with a segment that was made elsewhere.
    #[must_use]
    pub fn with_segment(self, segment: Box<[u8]>) -> Self {
        Self { segment: OnceLock::from(segment), ..self }
    }

    /// Its parts fit each other: what was read from outside may be used.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let (start, data_at) = (self.start as usize, self.data_at as usize);
        start <= ID_ROOM && ID_ROOM <= data_at && data_at + 2 <= self.bytes.len()
    }

    /// Bytes of memory the block holds, a segment aside (which is hardly ever longer).
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The event's name, when it has one.
    #[must_use]
    pub fn event(&self) -> Option<&str> {
        let at = ID_ROOM + b"event: ".len();
        let name = self.bytes.get(at..at + self.event_len as usize)?;
        std::str::from_utf8(name).ok().filter(|name| !name.is_empty())
    }

    /// The data as a reader puts it together: lines joined by LF.
    #[must_use]
    pub fn data(&self) -> String {
        let block = &self.bytes[self.data_at as usize..self.bytes.len() - 2];
        let text = std::str::from_utf8(block).unwrap_or_default();
        text.strip_prefix("data: ").unwrap_or_default().replace("\ndata: ", "\n")
    }
}

/// Splits at LF, CR and CRLF; always at least one line.
fn lines(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(data);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(at) = memchr::memchr2(b'\r', b'\n', text) else {
            rest = None;
            return Some(text);
        };
        let width = if text[at..].starts_with(b"\r\n") { 2 } else { 1 };
        rest = Some(&text[at + width..]);
        Some(&text[..at])
    })
}

/// Frames are bounded by `limits.body_bytes_max`, far below 4 GiB.
fn to_u32(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
