//! What a publisher asks for.

use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use smallvec::SmallVec;
use thiserror::Error;

use super::channel::{self, NameError, check_name};
use super::sse::EventId;

/// Longest event name, key and idempotency key, bytes.
const NAME_MAX: usize = 255;
/// Longest delay of an event, milliseconds: seven days.
pub const DELAY_MS_MAX: u64 = 604_800_000;

/// One publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Channels it goes to, each once; users, tenants and the broadcast by their channels.
    pub channels: Vec<String>,
    /// The event's name.
    pub event: Option<String>,
    /// Its data.
    pub data: String,
    /// Superseding key.
    pub key: Option<String>,
    /// Not replayed after so many milliseconds.
    pub ttl_ms: Option<u64>,
    /// May be replayed to a reconnect.
    pub store: bool,
    /// Reconnection time to tell the readers, milliseconds.
    pub retry: Option<u32>,
    /// The publisher's own key against double appends.
    pub idempotency_key: Option<String>,
    /// Append only if this is the channel's last id.
    pub expected_id: Option<EventId>,
    /// Append it so many milliseconds later, at most [`DELAY_MS_MAX`].
    pub delay_ms: Option<u64>,
}

/// Why a publish was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PublishError {
    /// No target.
    #[error("no channel, user or tenant is named")]
    NoTarget,
    /// A name that is none.
    #[error("{0:?} is no channel: {1}")]
    Channel(String, NameError),
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

/// Keys of the JSON command served here.
const KEYS: [&str; 18] = [
    "delay_ms",
    "retry",
    "channel",
    "channels",
    "canal",
    "user",
    "userId",
    "users",
    "tenant",
    "tenantId",
    "broadcast",
    "event",
    "data",
    "key",
    "ttl_ms",
    "store",
    "idempotency_key",
    "expected_id",
];

impl Command {
    /// An empty command; fill it, then [`Command::check`].
    #[must_use]
    pub fn new() -> Self {
        Self {
            channels: Vec::new(),
            event: None,
            data: String::new(),
            key: None,
            ttl_ms: None,
            store: true,
            retry: None,
            idempotency_key: None,
            expected_id: None,
            delay_ms: None,
        }
    }

    /// Adds a channel.
    ///
    /// # Errors
    /// It is no channel name.
    pub fn target(&mut self, name: &str) -> Result<(), PublishError> {
        let bad = |error| PublishError::Channel(name.to_owned(), error);
        check_name(name).map_err(bad)?;
        if !self.channels.iter().any(|known| known == name) {
            self.channels.push(name.to_owned());
        }
        Ok(())
    }

    fn user(&mut self, subject: &str) -> Result<(), PublishError> {
        let name = channel::user_channel(subject)
            .map_err(|error| PublishError::Channel(subject.to_owned(), error))?;
        self.target(&name)
    }

    fn tenant(&mut self, tenant: &str) -> Result<(), PublishError> {
        let name = channel::tenant_channel(tenant)
            .map_err(|error| PublishError::Channel(tenant.to_owned(), error))?;
        self.target(&name)
    }

    /// Takes an option of the query (`msg`, `data` too). Names it does not know are not its own.
    ///
    /// # Errors
    /// A value it cannot take.
    pub fn option(&mut self, name: &str, value: &str) -> Result<(), PublishError> {
        let bad = || PublishError::Value(name.to_owned());
        match name {
            "channel" | "canal" | "channels" => {
                for name in value.split(',') {
                    self.target(name)?;
                }
            }
            "user" | "userId" => self.user(value)?,
            "tenant" | "tenantId" => self.tenant(value)?,
            "msg" | "data" => value.clone_into(&mut self.data),
            "event" => self.event = Some(value.to_owned()),
            "key" => self.key = Some(value.to_owned()),
            "ttl_ms" => self.ttl_ms = Some(value.parse().map_err(|_| bad())?),
            "delay_ms" => self.delay_ms = Some(value.parse().map_err(|_| bad())?),
            "retry" => self.retry = Some(value.parse().map_err(|_| bad())?),
            "store" => {
                self.store = match value {
                    "true" | "1" => true,
                    "false" | "0" => false,
                    _ => return Err(bad()),
                };
            }
            "idempotency_key" => self.idempotency_key = Some(value.to_owned()),
            "expected_id" => {
                self.expected_id = Some(EventId::parse(value.as_bytes()).ok_or_else(bad)?);
            }
            "id" => return Err(PublishError::OwnId),
            _ => {}
        }
        Ok(())
    }

    /// Reads the JSON form into a command that may have options of the query already.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn json(mut self, text: &[u8]) -> Result<Self, PublishError> {
        let text = std::str::from_utf8(text).map_err(|_| PublishError::NotUtf8)?;
        let Pairs(pairs) = parse(text)?;
        for (key, raw) in &pairs {
            match &**key {
                "data" => self.data = data_text(raw)?,
                "channel" | "canal" if raw.get().starts_with('"') => {
                    let Text(name) = parse(raw.get())?;
                    self.target(&name)?;
                }
                key => self.json_key(key, &parse(raw.get())?)?,
            }
        }
        Ok(self)
    }

    fn json_key(&mut self, key: &str, value: &Value) -> Result<(), PublishError> {
        let bad = || PublishError::Value(key.to_owned());
        let text = || value.as_str().ok_or_else(bad);
        // Subjects and tenants may be numbers.
        let literal = |value: &Value| match value {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) if number.is_u64() || number.is_i64() => Ok(number.to_string()),
            _ => Err(bad()),
        };
        match key {
            "channel" | "canal" => self.target(text()?)?,
            "channels" => {
                for item in value.as_array().ok_or_else(bad)? {
                    self.target(item.as_str().ok_or_else(bad)?)?;
                }
            }
            "user" | "userId" => self.user(&literal(value)?)?,
            "users" => {
                for item in value.as_array().ok_or_else(bad)? {
                    self.user(&literal(item)?)?;
                }
            }
            "tenant" | "tenantId" => self.tenant(&literal(value)?)?,
            "broadcast" => {
                if value.as_bool().ok_or_else(bad)? {
                    self.target(channel::BROADCAST)?;
                }
            }
            "store" => self.store = value.as_bool().ok_or_else(bad)?,
            "ttl_ms" => self.ttl_ms = Some(value.as_u64().ok_or_else(bad)?),
            "delay_ms" => self.delay_ms = Some(value.as_u64().ok_or_else(bad)?),
            "retry" => {
                let retry = value.as_u64().and_then(|ms| u32::try_from(ms).ok());
                self.retry = Some(retry.ok_or_else(bad)?);
            }
            "event" | "key" | "idempotency_key" | "expected_id" => self.option(key, text()?)?,
            "id" => return Err(PublishError::OwnId),
            _ => {
                return Err(PublishError::UnknownKey {
                    key: key.to_owned(),
                    nearest: super::nearest(key, KEYS),
                });
            }
        }
        Ok(())
    }

    /// The last look before it is appended.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(self) -> Result<Self, PublishError> {
        if self.channels.is_empty() {
            return Err(PublishError::NoTarget);
        }
        if self.expected_id.is_some() && self.channels.len() != 1 {
            return Err(PublishError::ExpectedTargets);
        }
        if self.delay_ms.is_some_and(|ms| ms > DELAY_MS_MAX) {
            return Err(PublishError::Value("delay_ms".to_owned()));
        }
        if self.delay_ms.is_some() && self.expected_id.is_some() {
            return Err(PublishError::ExpectedLate);
        }
        if let Some(event) = &self.event {
            let bad = |b: u8| matches!(b, b'\r' | b'\n' | 0);
            if event.is_empty() || event.len() > NAME_MAX || event.bytes().any(bad) {
                return Err(PublishError::EventName);
            }
            if event.starts_with("sse.") {
                return Err(PublishError::EventReserved);
            }
        }
        for (name, value) in [("key", &self.key), ("idempotency_key", &self.idempotency_key)] {
            if value.as_ref().is_some_and(|text| text.is_empty() || text.len() > NAME_MAX) {
                return Err(PublishError::Value(name.to_owned()));
            }
        }
        Ok(self)
    }
}

impl Default for Command {
    fn default() -> Self {
        Self::new()
    }
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, PublishError> {
    serde_json::from_str(text).map_err(|error| PublishError::Json(error.to_string()))
}

/// A string, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// An object's members in their order; of two with one name the later counts.
struct Pairs<'a>(SmallVec<[(Cow<'a, str>, &'a RawValue); 4]>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs: SmallVec<[(Cow<'de, str>, &'de RawValue); 4]> = SmallVec::new();
                while let Some((Text(key), value)) = map.next_entry()? {
                    match pairs.iter().position(|(known, _)| *known == key) {
                        Some(known) => pairs[known].1 = value,
                        // So many different ones include an unknown one: refused in any case.
                        None if pairs.len() > KEYS.len() + 1 => {}
                        None => pairs.push((key, value)),
                    }
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// A string verbatim, any other JSON as it was written, without white space between its tokens.
fn data_text(raw: &RawValue) -> Result<String, PublishError> {
    let text = raw.get();
    if text.starts_with('"') {
        return serde_json::from_str(text).map_err(|error| PublishError::Json(error.to_string()));
    }
    let mut out = String::with_capacity(text.len());
    let (mut quoted, mut escaped) = (false, false);
    for c in text.chars() {
        if quoted || !c.is_ascii_whitespace() {
            out.push(c);
        }
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
    }
    Ok(out)
}

/// Splits a JSON array into its elements as they were written.
///
/// # Errors
/// It is no array.
pub fn batch(text: &[u8]) -> Result<Vec<&RawValue>, PublishError> {
    let text = std::str::from_utf8(text).map_err(|_| PublishError::NotUtf8)?;
    serde_json::from_str(text).map_err(|error| PublishError::Json(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Result<Command, PublishError> {
        Command::new().json(text.as_bytes())?.check()
    }

    #[test]
    fn data_is_verbatim_or_compact() {
        let data =
            |text: &str| json(&format!("{{\"channel\":\"a\",\"data\":{text}}}")).unwrap().data;
        assert_eq!(data(r#""plain \n text""#), "plain \n text");
        assert_eq!(
            data(r#"{ "a" : 1.0, "b c" : [ 12345678901234567890123, "x \" y" ] }"#),
            r#"{"a":1.0,"b c":[12345678901234567890123,"x \" y"]}"#
        );
        assert_eq!(data("null"), "null");
    }

    #[test]
    fn targets_of_all_kinds_each_once() {
        let command = json(
            r#"{"channels":["a","b","a"],"user":42,"users":["x","42"],"tenant":"t","broadcast":true}"#,
        );
        assert_eq!(
            command.unwrap().channels,
            ["a", "b", "user:42", "user:x", "tenant:t", "broadcast"]
        );
    }

    #[test]
    fn of_two_members_with_one_name_the_later_counts() {
        let command = json(r#"{"channel":"a","data":"x","channel":"b","data":"y"}"#).unwrap();
        assert_eq!((command.channels, command.data), (vec!["b".to_owned()], "y".to_owned()));
        let escaped = json(r#"{"ch\u0061nnel":"\u00e9"}"#).unwrap();
        assert_eq!(escaped.channels, ["é"]);
        let many: String = (0..100_000).map(|n| format!("\"k{n}\":0,")).collect();
        let refused = json(&format!("{{\"channel\":\"a\",{many}\"z\":1}}")).unwrap_err();
        assert!(matches!(refused, PublishError::UnknownKey { .. }), "{refused}");
    }

    #[test]
    fn wrong_commands_name_what_is_wrong() {
        let unknown = json(r#"{"chanel":"a"}"#).unwrap_err();
        assert!(unknown.to_string().contains("\"channel\""), "{unknown}");
        assert_eq!(json(r#"{"channel":"a","id":"1"}"#), Err(PublishError::OwnId));
        assert_eq!(json(r#"{"data":"x"}"#), Err(PublishError::NoTarget));
        assert_eq!(json(r#"{"channel":"a","event":""}"#), Err(PublishError::EventName));
        assert_eq!(json(r#"{"channel":"a","event":"a\nb"}"#), Err(PublishError::EventName));
        assert_eq!(json(r#"{"channel":"a","event":"sse.bye"}"#), Err(PublishError::EventReserved));
        assert!(matches!(json(r#"{"channel":"a b"}"#), Err(PublishError::Channel(..))));
        assert!(matches!(json("[1]"), Err(PublishError::Json(_))));
        assert!(matches!(json(r#"{"channel":"a","ttl_ms":-1}"#), Err(PublishError::Value(_))));
        assert_eq!(
            json(r#"{"channels":["a","b"],"expected_id":"abcdefgh-1"}"#),
            Err(PublishError::ExpectedTargets)
        );
    }
}
