//! What a publisher asks for.

mod error;

use std::borrow::Cow;

use super::channel::{self, Pattern, check_name};
use super::sse::EventId;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use smallvec::SmallVec;

pub use error::PublishError;

/// Longest event name, key and idempotency key, bytes.
const NAME_MAX: usize = 255;
/// Longest delay of an event, milliseconds: seven days.
pub const DELAY_MS_MAX: u64 = 604_800_000;
/// Longest time over which an event is spread, milliseconds.
pub const SPREAD_MS_MAX: u32 = 60_000;
/// Most channels of one event, those that its pattern finds included.
pub const TARGETS_MAX: usize = 1_000;
/// Most streams and users that an event leaves out.
pub const EXCLUDED_MAX: usize = 100;

/// Somebody who does not get an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Excluded {
    /// The stream that `sse.open` calls so.
    Connection(String),
    /// All streams of a user.
    User(String),
}

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
    /// Also every channel that matches; never users, tenants or the broadcast.
    pub pattern: Option<Pattern>,
    /// Who does not get it, at most [`EXCLUDED_MAX`].
    pub exclude: Vec<Excluded>,
    /// Answer once all cores have handed it to their sockets.
    pub wait_written: bool,
    /// Streams get it within so many milliseconds, at most [`SPREAD_MS_MAX`].
    pub spread_ms: u32,
}

/// Keys of the JSON command served here.
const KEYS: [&str; 22] = [
    "pattern",
    "exclude",
    "wait",
    "spread_ms",
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
            pattern: None,
            exclude: Vec::new(),
            wait_written: false,
            spread_ms: 0,
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
            if self.channels.len() >= TARGETS_MAX {
                return Err(PublishError::TooManyTargets);
            }
            self.channels.push(name.to_owned());
        }
        Ok(())
    }

    /// Users and tenants are named one by one: a wildcard never reaches them.
    fn match_pattern(&mut self, text: &str) -> Result<(), PublishError> {
        let bad = |why: &str| PublishError::Pattern(text.to_owned(), why.to_owned());
        if !text.contains('*') {
            return self.target(text);
        }
        let pattern = Pattern::parse(text).map_err(|error| bad(&error.to_string()))?;
        if channel::is_reserved(pattern.literal_prefix()) {
            return Err(bad("reaches users or tenants, which are named one by one"));
        }
        self.pattern = Some(pattern);
        Ok(())
    }

    fn leave_out(&mut self, text: &str) -> Result<(), PublishError> {
        if self.exclude.len() >= EXCLUDED_MAX {
            return Err(PublishError::TooManyExcluded);
        }
        let bad = || PublishError::Excluded(text.to_owned());
        let excluded = match text.split_once(':') {
            Some(("conn", id)) if !id.is_empty() && id.len() <= NAME_MAX => {
                Excluded::Connection(id.to_owned())
            }
            Some(("user", user)) if channel::user_channel(user).is_ok() => {
                Excluded::User(user.to_owned())
            }
            _ => return Err(bad()),
        };
        self.exclude.push(excluded);
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
            "users" => {
                for user in value.split(',') {
                    self.user(user)?;
                }
            }
            "tenant" | "tenantId" => self.tenant(value)?,
            "pattern" => self.match_pattern(value)?,
            "exclude" => {
                for text in value.split(',') {
                    self.leave_out(text)?;
                }
            }
            "wait" if value == "written" => self.wait_written = true,
            "wait" => return Err(bad()),
            "spread_ms" => self.spread_ms = value.parse().map_err(|_| bad())?,
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
            "exclude" => {
                for item in value.as_array().ok_or_else(bad)? {
                    self.leave_out(item.as_str().ok_or_else(bad)?)?;
                }
            }
            "spread_ms" => {
                let spread = value.as_u64().and_then(|ms| u32::try_from(ms).ok());
                self.spread_ms = spread.ok_or_else(bad)?;
            }
            "store" => self.store = value.as_bool().ok_or_else(bad)?,
            "ttl_ms" => self.ttl_ms = Some(value.as_u64().ok_or_else(bad)?),
            "delay_ms" => self.delay_ms = Some(value.as_u64().ok_or_else(bad)?),
            "retry" => {
                let retry = value.as_u64().and_then(|ms| u32::try_from(ms).ok());
                self.retry = Some(retry.ok_or_else(bad)?);
            }
            "event" | "key" | "idempotency_key" | "expected_id" | "pattern" | "wait" => {
                self.option(key, text()?)?;
            }
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
        if self.channels.is_empty() && self.pattern.is_none() {
            return Err(PublishError::NoTarget);
        }
        let is_one = self.channels.len() == 1 && self.pattern.is_none();
        if self.expected_id.is_some() && !is_one {
            return Err(PublishError::ExpectedTargets);
        }
        if self.delay_ms.is_some_and(|ms| ms > DELAY_MS_MAX) {
            return Err(PublishError::Value("delay_ms".to_owned()));
        }
        if self.delay_ms.is_some() && self.expected_id.is_some() {
            return Err(PublishError::ExpectedLate);
        }
        self.check_spread()?;
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

    /// For one of several in a request.
    ///
    /// # Errors
    /// It would hold up the others.
    pub fn check_many(self) -> Result<Self, PublishError> {
        if self.wait_written { Err(PublishError::WaitMany) } else { Ok(self) }
    }

    fn check_spread(&self) -> Result<(), PublishError> {
        if self.spread_ms > SPREAD_MS_MAX {
            return Err(PublishError::Value("spread_ms".to_owned()));
        }
        match (self.wait_written, self.delay_ms, self.spread_ms) {
            (true, Some(1..), _) => Err(PublishError::WaitLate("delay_ms")),
            (true, _, 1..) => Err(PublishError::WaitLate("spread_ms")),
            _ => Ok(()),
        }
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
mod tests;
