//! Event ids: `<epoch>-<seq>`.
//!
//! Only bytes of `[A-Za-z0-9._-]`, so that a cross-origin reconnect with `Last-Event-ID` needs no
//! preflight (Fetch, "CORS-safelisted request-header").

use std::fmt;

use serde::{Deserialize, Serialize};

/// Names one life of a log: 8 base36 characters, chosen when the log begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Epoch([u8; Self::LEN]);

impl Epoch {
    /// Characters in an epoch.
    pub const LEN: usize = 8;
    const DIGITS: &'static [u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

    /// Makes an epoch from 64 random bits.
    #[must_use]
    pub fn from_random(mut bits: u64) -> Self {
        let mut text = [b'0'; Self::LEN];
        for byte in &mut text {
            *byte = Self::DIGITS[usize::try_from(bits % 36).unwrap_or(0)];
            bits /= 36;
        }
        Self(text)
    }

    /// Reads exactly 8 base36 characters (lower case).
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text: [u8; Self::LEN] = text.try_into().ok()?;
        text.iter().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase()).then_some(Self(text))
    }

    /// Its characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("00000000")
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The id of one event: which log, and its place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EventId {
    /// The log's life.
    pub epoch: Epoch,
    /// Place in the node-wide order; rises by the order of append, starts at 1.
    pub seq: u64,
}

impl EventId {
    /// Longest text form: epoch, `-`, 20 digits.
    pub const TEXT_MAX: usize = Epoch::LEN + 1 + 20;

    /// Reads `<epoch>-<seq>` in its one canonical spelling: no sign, no leading zero.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (epoch, rest) = text.split_at_checked(Epoch::LEN)?;
        let digits = rest.strip_prefix(b"-")?;
        let canonical = !digits.is_empty()
            && digits.iter().all(u8::is_ascii_digit)
            && (digits.len() == 1 || digits[0] != b'0');
        if !canonical {
            return None;
        }
        let seq = std::str::from_utf8(digits).ok()?.parse().ok()?;
        Some(Self { epoch: Epoch::parse(epoch)?, seq })
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let id = EventId { epoch: Epoch::parse(b"0abc12zz").unwrap(), seq: 1844 };
        assert_eq!(id.to_string(), "0abc12zz-1844");
        assert_eq!(EventId::parse(b"0abc12zz-1844"), Some(id));
    }

    #[test]
    fn foreign_spellings_are_no_ids() {
        for text in [
            "",
            "0abc12zz",
            "0abc12zz-",
            "0abc12zz-01",
            "0abc12zz-+1",
            "0ABC12ZZ-1",
            "0abc12z-1",
            "0abc12zz-18446744073709551616",
            "0abc12zz-1 ",
            "42",
        ] {
            assert_eq!(EventId::parse(text.as_bytes()), None, "{text}");
        }
    }
}
