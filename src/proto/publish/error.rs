//! What can be wrong with a publish.

use thiserror::Error;

use super::{EXCLUDED_MAX, TARGETS_MAX};
use crate::proto::channel::NameError;

/// Why a publish was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PublishError {
    /// No target.
    #[error("no channel, pattern, user or tenant is named")]
    NoTarget,
    /// A name that is none.
    #[error("{0:?} is no channel: {1}")]
    Channel(String, NameError),
    /// No pattern, or one of names that a publish spells one by one.
    #[error("\"pattern\": {0:?} {1}")]
    Pattern(String, String),
    /// More than [`TARGETS_MAX`] of them.
    #[error(
        "an event goes to at most {TARGETS_MAX} channels (\"channels\", \"users\", \"pattern\")"
    )]
    TooManyTargets,
    /// More than [`EXCLUDED_MAX`] of them.
    #[error("\"exclude\" has at most {EXCLUDED_MAX} entries")]
    TooManyExcluded,
    /// An entry of `exclude`.
    #[error(
        "\"exclude\": {0:?} is neither \"conn:\" and a connection's id nor \"user:\" and a user"
    )]
    Excluded(String),
    /// Nobody waits for what is late.
    #[error("\"wait\" does not go with {0:?}")]
    WaitLate(&'static str),
    /// The other results would wait for it.
    #[error("\"wait\" is for one event, not for a batch or a stream of them")]
    WaitMany,
    /// Event names: 1 to 255 bytes, no line end, no NUL.
    #[error("the event name is empty, too long, or holds a line end or NUL")]
    EventName,
    /// Names of control events.
    #[error("event names that begin with 'sse.' belong to the server")]
    EventReserved,
    /// Not UTF-8.
    #[error("the data is not UTF-8")]
    NotUtf8,
    /// Not JSON, or not an object.
    #[error("the body is not the JSON it should be: {0}")]
    Json(String),
    /// A key the command does not know.
    #[error("{key:?} is no key of a publish{}", .nearest.map(|n| format!(", did you mean {n:?}?")).unwrap_or_default())]
    UnknownKey {
        /// As it was spelled.
        key: String,
        /// The nearest known one.
        nearest: Option<&'static str>,
    },
    /// An id of the publisher's own.
    #[error(
        "ids are given by the server, because they are the readers' cursor; use idempotency_key"
    )]
    OwnId,
    /// A value of the wrong kind.
    #[error("the value of {0:?} is not valid")]
    Value(String),
    /// `expected_id` is for one channel.
    #[error("expected_id needs exactly one channel")]
    ExpectedTargets,
    /// Nobody knows what the last id will be then.
    #[error("expected_id and delay_ms do not go together")]
    ExpectedLate,
}
