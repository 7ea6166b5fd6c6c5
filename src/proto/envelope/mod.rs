//! What a reader finds in `data:`: the publisher's text, or an envelope around it.

mod typed;

use std::borrow::Cow;

use serde::Serialize;
use thiserror::Error;

use super::iso8601;

/// The envelopes a namespace chooses from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Envelope {
    /// The text as it was published.
    #[default]
    Raw,
    /// `{"canal","mensagem","timestamp"}`: the message is a JSON string, whatever it holds, the
    /// timestamp ISO 8601.
    CanalJson,
    /// A notification: `{"id","userId","type","title","message","data"?,"timestamp","priority"?}`.
    ///
    /// An object with a `title` or a `message` is one and is completed; any other JSON object or
    /// array becomes its `data`, and any other text its `message`. Members the publisher gave stay
    /// as written, unknown ones behind the known; but on a user's own channel `userId` is that
    /// user in every copy, and a `timestamp` in milliseconds is turned into ISO 8601.
    ///
    /// What is missing: `id` and `type` from the event ([`Facts`]), `userId` null, `title` and
    /// `message` empty, `timestamp` now.
    Typed,
}

/// What an envelope tells of its event.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The channel's name.
    pub channel: &'a str,
    /// The event's name, if it has one: the `type` of a notification that brings none (else
    /// `message`).
    pub event: Option<&'a str>,
    /// Names this notification if it brings no id. It is not the stream's `id:`, which is only
    /// known when the event is appended.
    pub id: &'a str,
    /// Wall clock, milliseconds since 1970.
    pub now_unix_ms: u64,
}

/// Why data cannot be put into an envelope: the publish is refused (400).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EnvelopeError {
    /// A notification's priority.
    #[error("the priority of a notification is low, medium or high")]
    Priority,
    /// A notification's member that is no text.
    #[error("`{0}` of a notification is a text")]
    NoText(&'static str),
    /// A notification's timestamp.
    #[error("the timestamp of a notification is an ISO 8601 text or milliseconds since 1970")]
    Timestamp,
    /// A member named twice: readers would differ on which one counts.
    #[error("`{0}` of a notification is given twice")]
    Twice(&'static str),
}

impl Envelope {
    /// Its name in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::CanalJson => "canal-json",
            Self::Typed => "typed",
        }
    }

    /// Reads a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Raw, Self::CanalJson, Self::Typed].into_iter().find(|known| known.as_str() == name)
    }

    /// Puts published data into the envelope; before it is sealed, if it is.
    ///
    /// # Errors
    /// An [`EnvelopeError`], of [`Envelope::Typed`] only.
    pub fn wrap<'d>(self, data: &'d str, facts: &Facts<'_>) -> Result<Cow<'d, str>, EnvelopeError> {
        match self {
            Self::Raw => Ok(Cow::Borrowed(data)),
            Self::CanalJson => Ok(Cow::Owned(to_json(&CanalJson {
                canal: facts.channel,
                mensagem: data,
                timestamp: &iso8601(facts.now_unix_ms),
            }))),
            Self::Typed => typed::wrap(data, facts).map(Cow::Owned),
        }
    }
}

#[derive(Serialize)]
struct CanalJson<'a> {
    canal: &'a str,
    mensagem: &'a str,
    timestamp: &'a str,
}

/// Texts and objects of texts always have a JSON form.
fn to_json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests;
