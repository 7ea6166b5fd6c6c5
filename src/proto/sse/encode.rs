//! What a stream carries beside events: its head, heartbeats, control events.

use serde_json::{Value, json};

use super::id::{Epoch, EventId};
use crate::proto::iso8601;

/// The first lines of a stream's body. None ends with a blank line of its own: some clients
/// deliver an empty message for every one.
pub fn write_preamble(out: &mut Vec<u8>, retry_ms: u32) {
    out.extend_from_slice(b":ok\nretry: ");
    out.extend_from_slice(itoa::Buffer::new().format(retry_ms).as_bytes());
    out.push(b'\n');
}

/// The head of a stream's answer; the body ends with the connection. `fields` are header lines of
/// the caller, each ended by CRLF.
pub fn write_stream_head(out: &mut Vec<u8>, content_type: &str, fields: &[u8]) {
    out.extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Type: ");
    out.extend_from_slice(content_type.as_bytes());
    out.extend_from_slice(
        b"\r\nCache-Control: no-cache, no-transform\r\nX-Accel-Buffering: no\r\n\
          X-Content-Type-Options: nosniff\r\nConnection: keep-alive\r\n",
    );
    out.extend_from_slice(fields);
    out.extend_from_slice(b"\r\n");
}

/// Why a stream continues behind a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapReason {
    /// The events are no longer kept.
    Expired,
    /// The id belongs to another life of the log, or to none.
    Epoch,
    /// The reader was too slow.
    Overflow,
}

/// Why a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByeReason {
    /// Another stream took its place under a cap.
    Evicted,
    /// The token has expired.
    Expired,
    /// The stream has lived as long as streams may.
    Lifetime,
    /// This node is being emptied.
    Drain,
    /// An operator has ended it.
    Deleted,
    /// The operator has switched the service off.
    Disabled,
    /// The reader was too slow.
    Slow,
    /// This node is too busy.
    Busy,
}

/// A control event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlEvent {
    /// The stream has begun.
    Open {
        /// Its id.
        connection: String,
        /// What it asked for.
        channels: Vec<String>,
        /// The log's life.
        epoch: Epoch,
        /// Heartbeat interval.
        heartbeat_ms: u64,
    },
    /// There is a hole.
    Gap {
        /// The id asked for.
        requested: String,
        /// Events after this id follow.
        resumed_at: EventId,
        /// Why.
        reason: GapReason,
        /// How many are missing, where it is known.
        missed: Option<u64>,
    },
    /// All that was missed has been sent.
    CaughtUp,
    /// The stream's token ends soon.
    TokenExpiring {
        /// The first second since 1970 in which it is refused.
        expires_unix_s: u64,
    },
    /// Others have come to a channel of the stream, or gone.
    Presence {
        /// Which.
        channel: String,
        /// Users who came.
        joined: Vec<String>,
        /// Users who left.
        left: Vec<String>,
        /// Users who came or left and are not named.
        more: usize,
        /// Users who are there.
        users: usize,
        /// Streams that are there.
        streams: usize,
    },
    /// The stream ends.
    Bye {
        /// Why.
        reason: ByeReason,
        /// The client should come again.
        reconnect: bool,
        /// Where it stands; written as an id when it should not come again.
        cursor: EventId,
    },
}

impl ControlEvent {
    /// The event's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Open { .. } => "sse.open",
            Self::Gap { .. } => "sse.gap",
            Self::CaughtUp => "sse.caught-up",
            Self::TokenExpiring { .. } => "sse.token-expiring",
            Self::Presence { .. } => "sse.presence",
            Self::Bye { .. } => "sse.bye",
        }
    }

    /// The event's data.
    #[must_use]
    pub fn data(&self) -> Value {
        match self {
            Self::Open { connection, channels, epoch, heartbeat_ms } => json!({
                "connection": connection,
                "channels": channels,
                "epoch": epoch.as_str(),
                "heartbeat_ms": heartbeat_ms,
            }),
            Self::Gap { requested, resumed_at, reason, missed } => json!({
                "requested": requested,
                "resumed_at": resumed_at.to_string(),
                "reason": match reason {
                    GapReason::Expired => "expired",
                    GapReason::Epoch => "epoch",
                    GapReason::Overflow => "overflow",
                },
                "missed": missed,
            }),
            Self::CaughtUp => json!({}),
            Self::TokenExpiring { expires_unix_s } => json!({
                "expires": expires_unix_s,
                "expires_at": iso8601(expires_unix_s.saturating_mul(1_000)),
            }),
            Self::Presence { channel, joined, left, more, users, streams } => json!({
                "channel": channel,
                "joined": joined,
                "left": left,
                "more": more,
                "users": users,
                "streams": streams,
            }),
            Self::Bye { reason, reconnect, .. } => json!({
                "reason": match reason {
                    ByeReason::Evicted => "evicted",
                    ByeReason::Deleted => "deleted",
                    ByeReason::Disabled => "disabled",
                    ByeReason::Expired => "expired",
                    ByeReason::Lifetime => "lifetime",
                    ByeReason::Drain => "drain",
                    ByeReason::Slow => "slow",
                    ByeReason::Busy => "busy",
                },
                "reconnect": reconnect,
            }),
        }
    }

    /// Writes it as a block of the stream.
    pub fn write(&self, out: &mut Vec<u8>) {
        if let Self::Bye { reconnect: false, cursor, .. } = self {
            out.extend_from_slice(format!("id: {cursor}.end\n").as_bytes());
        }
        let block = format!("event: {}\ndata: {}\n\n", self.name(), self.data());
        out.extend_from_slice(block.as_bytes());
    }

    /// Writes it as a line of NDJSON.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        let line = json!({ "event": self.name(), "data": self.data().to_string() });
        out.extend_from_slice(line.to_string().as_bytes());
        out.push(b'\n');
    }
}

/// Writes an event as a JSON object.
pub fn write_event_json(
    out: &mut Vec<u8>,
    id: &EventId,
    event: Option<&str>,
    data: &str,
    channel: &str,
) {
    let value = json!({
        "id": id.to_string(),
        "event": event.unwrap_or("message"),
        "data": data,
        "channel": channel,
    });
    out.extend_from_slice(value.to_string().as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_final_bye_carries_the_end_id() {
        let cursor = EventId { epoch: Epoch::parse(b"abcdefgh").unwrap(), seq: 7 };
        let bye = |reconnect| {
            let mut out = Vec::new();
            ControlEvent::Bye { reason: ByeReason::Drain, reconnect, cursor }.write(&mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            bye(true),
            "event: sse.bye\ndata: {\"reason\":\"drain\",\"reconnect\":true}\n\n"
        );
        assert!(bye(false).starts_with("id: abcdefgh-7.end\nevent: sse.bye\n"));
    }

    #[test]
    fn the_preamble_has_no_blank_line() {
        let mut out = Vec::new();
        write_preamble(&mut out, 3_000);
        assert_eq!(out, b":ok\nretry: 3000\n");
    }
}
