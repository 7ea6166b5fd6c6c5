//! Signs of life.

use serde::{Deserialize, Serialize};

use crate::proto::iso::iso8601;

/// Keeps proxies from closing a silent stream: what is sent when nothing else was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Heartbeat {
    /// A comment line of two bytes.
    #[default]
    Short,
    /// `:heartbeat` and an empty line. (`@microsoft/fetch-event-source` takes it for a message
    /// without data.)
    Comment,
    /// A message: `{"type":"heartbeat","timestamp":"..."}`, ISO 8601.
    Data,
    /// The same as an event named `heartbeat`.
    Event,
}

impl Heartbeat {
    /// Writes one.
    pub fn write(self, unix_ms: u64, out: &mut Vec<u8>) {
        match self {
            Self::Short => return out.extend_from_slice(b":\n"),
            Self::Comment => return out.extend_from_slice(b":heartbeat\n\n"),
            Self::Data => {}
            Self::Event => out.extend_from_slice(b"event: heartbeat\n"),
        }
        out.extend_from_slice(b"data: {\"type\":\"heartbeat\",\"timestamp\":\"");
        out.extend_from_slice(iso8601(unix_ms).as_bytes());
        out.extend_from_slice(b"\"}\n\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form() {
        for (form, text) in [
            (Heartbeat::Short, ":\n"),
            (Heartbeat::Comment, ":heartbeat\n\n"),
            (
                Heartbeat::Data,
                "data: {\"type\":\"heartbeat\",\"timestamp\":\"2000-02-28T23:59:59.999Z\"}\n\n",
            ),
            (
                Heartbeat::Event,
                "event: heartbeat\n\
                 data: {\"type\":\"heartbeat\",\"timestamp\":\"2000-02-28T23:59:59.999Z\"}\n\n",
            ),
        ] {
            let mut out = Vec::new();
            form.write(951_782_399_999, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }
}
