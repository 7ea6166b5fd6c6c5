//! What a subscriber asks for.

use serde::Deserialize;
use thiserror::Error;

use super::channel::{NameError, Selector};
use super::sse::EventId;

/// Longest id a client may send back, bytes.
pub const RESUME_ID_MAX: usize = 128;
/// Long-poll wait when the client names none, and the longest it may name, milliseconds.
const POLL_TIMEOUT_MS: u64 = 25_000;
const POLL_TIMEOUT_MAX_MS: u64 = 120_000;

/// Where a stream begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resume {
    /// With the next event.
    Live,
    /// After this id.
    After(EventId),
    /// After an id that is none of ours.
    Foreign(String),
    /// With the oldest event there is.
    Earliest,
    /// With events since this wall-clock millisecond.
    SinceUnixMs(u64),
    /// With events of the last so many milliseconds.
    SinceAgoMs(u64),
    /// With the last so many events of each channel.
    Last(usize),
    /// The server has ended this stream for good: answer 204.
    Ended,
}

/// Which form events take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EventForm {
    /// `text/event-stream`.
    #[default]
    Sse,
    /// `application/x-ndjson`.
    Ndjson,
    /// One JSON answer.
    Poll,
}

/// Which control events a stream carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Control {
    /// Gap and bye.
    #[default]
    Default,
    /// All.
    On,
    /// None.
    Off,
}

/// A subscription as asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Channels and patterns, each once.
    pub selectors: Vec<Selector>,
    /// Where it begins.
    pub resume: Resume,
    /// Control events.
    pub control: Control,
    /// Only events of these names (`message` for unnamed ones).
    pub events: Option<Vec<String>>,
    /// Answer with what is there, and end.
    pub once: bool,
    /// How long a long-poll waits, milliseconds.
    pub poll_timeout_ms: u64,
}

/// Why a subscription was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SubscribeError {
    /// A name or pattern is not one.
    #[error("{0:?} is no channel: {1}")]
    Channel(String, NameError),
    /// More channels than a stream may have.
    #[error("a stream has at most {0} channels")]
    TooMany(usize),
    /// An id over [`RESUME_ID_MAX`].
    #[error("the last event id has more than 128 bytes")]
    IdTooLong,
    /// The body is not what it should be.
    #[error("the body is not {{\"channels\":[..]}}: {0}")]
    Json(String),
    /// A value that the option does not know.
    #[error("{0:?} is no value of {1}")]
    Value(String, &'static str),
}

impl Subscription {
    /// Reads path segment (decoded, or none), query pairs and the `Last-Event-ID` header.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read<'a>(
        path: Option<&str>,
        query: impl Iterator<Item = (&'a str, &'a str)>,
        last_event_id: Option<&str>,
        channels_max: usize,
    ) -> Result<Self, SubscribeError> {
        let mut subscription = Self {
            selectors: Vec::new(),
            resume: Resume::Live,
            control: Control::Default,
            events: None,
            once: false,
            poll_timeout_ms: POLL_TIMEOUT_MS,
        };
        if let Some(path) = path {
            subscription.add(path, channels_max)?;
        }
        let mut query_id = None;
        let mut since = None;
        let mut last = None;
        for (name, value) in query {
            match name {
                name if is_channel_option(name) => subscription.add(value, channels_max)?,
                "last_event_id" | "lastEventId" | "Last-Event-ID" | "lastEvent" => {
                    query_id = query_id.or(Some(value).filter(|id| !id.is_empty()));
                }
                "since" => since = Some(read_since(value)?),
                "last" | "k" | "rewind" => last = Some(Resume::Last(number(value, "last")?)),
                "control" => subscription.control = read_control(value)?,
                "events" => {
                    let names = value.split(',').filter(|name| !name.is_empty());
                    subscription.events = Some(names.map(str::to_owned).collect());
                }
                "poll" => subscription.once = value == "1" || value == "true",
                "timeout" => {
                    let seconds: u64 = number(value, "timeout")?;
                    subscription.poll_timeout_ms =
                        seconds.saturating_mul(1_000).min(POLL_TIMEOUT_MAX_MS);
                }
                _ => {}
            }
        }
        let id = last_event_id.filter(|id| !id.is_empty()).or(query_id);
        subscription.resume = match id {
            Some(id) => read_id(id)?,
            None => since.or(last).unwrap_or(Resume::Live),
        };
        Ok(subscription)
    }

    /// Adds the channels of a JSON body: `{"channels": ["a", "b"]}`.
    ///
    /// # Errors
    /// No such body, or as [`Subscription::add`].
    pub fn add_json(&mut self, body: &[u8], channels_max: usize) -> Result<(), SubscribeError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct List {
            channels: Vec<String>,
        }
        let list: List = serde_json::from_slice(body)
            .map_err(|error| SubscribeError::Json(error.to_string()))?;
        list.channels.iter().try_for_each(|channel| self.add(channel, channels_max))
    }

    /// Adds a comma list of channels.
    ///
    /// # Errors
    /// A name that is none, or more of them than `channels_max`.
    pub fn add(&mut self, list: &str, channels_max: usize) -> Result<(), SubscribeError> {
        for text in list.split(',') {
            let selector = Selector::parse(text)
                .map_err(|error| SubscribeError::Channel(text.to_owned(), error))?;
            if !self.selectors.contains(&selector) {
                self.selectors.push(selector);
            }
            if self.selectors.len() > channels_max {
                return Err(SubscribeError::TooMany(channels_max));
            }
        }
        Ok(())
    }
}

/// Options of the query that name channels.
#[must_use]
pub fn is_channel_option(name: &str) -> bool {
    matches!(name, "channel" | "channels" | "canal" | "topic")
}

fn number<T: std::str::FromStr>(text: &str, name: &'static str) -> Result<T, SubscribeError> {
    text.parse().map_err(|_| SubscribeError::Value(text.to_owned(), name))
}

fn read_control(text: &str) -> Result<Control, SubscribeError> {
    match text {
        "on" => Ok(Control::On),
        "off" => Ok(Control::Off),
        _ => Err(SubscribeError::Value(text.to_owned(), "control")),
    }
}

fn read_id(text: &str) -> Result<Resume, SubscribeError> {
    if text.len() > RESUME_ID_MAX {
        return Err(SubscribeError::IdTooLong);
    }
    if text.strip_suffix(".end").is_some_and(|id| EventId::parse(id.as_bytes()).is_some()) {
        return Ok(Resume::Ended);
    }
    let id = EventId::parse(text.as_bytes());
    Ok(id.map_or_else(|| Resume::Foreign(text.to_owned()), Resume::After))
}

/// `<id>`, `earliest`, a span like `10m`, or Unix seconds.
fn read_since(text: &str) -> Result<Resume, SubscribeError> {
    if text == "earliest" {
        return Ok(Resume::Earliest);
    }
    if EventId::parse(text.as_bytes()).is_some() {
        return read_id(text);
    }
    let bad = || SubscribeError::Value(text.to_owned(), "since");
    if text.bytes().all(|b| b.is_ascii_digit()) {
        let seconds: u64 = text.parse().map_err(|_| bad())?;
        return Ok(Resume::SinceUnixMs(seconds.saturating_mul(1_000)));
    }
    let (unit_at, unit) = text.char_indices().next_back().ok_or_else(bad)?;
    let unit_ms: u64 = match unit {
        's' => 1_000,
        'm' => 60_000,
        'h' => 3_600_000,
        'd' => 86_400_000,
        _ => return Err(bad()),
    };
    let count: u64 = text[..unit_at].parse().map_err(|_| bad())?;
    Ok(Resume::SinceAgoMs(count.saturating_mul(unit_ms)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(
        path: &str,
        query: &[(&str, &str)],
        header: Option<&str>,
    ) -> Result<Subscription, SubscribeError> {
        Subscription::read(Some(path), query.iter().copied(), header, 8)
    }

    #[test]
    fn channels_from_path_and_query_each_once() {
        let query = [("channel", "b,c"), ("canal", "a"), ("other", "x")];
        let all = read("a,b", &query, None).unwrap().selectors;
        let all: Vec<&str> = all.iter().map(Selector::as_str).collect();
        assert_eq!(all, ["a", "b", "c"]);
        assert!(matches!(read("a,", &[], None), Err(SubscribeError::Channel(..))));
        assert_eq!(read("1,2,3,4,5,6,7,8,9", &[], None), Err(SubscribeError::TooMany(8)));
    }

    #[test]
    fn the_first_resume_spelling_wins() {
        let id = "abcdefgh-9";
        let after = Resume::After(EventId::parse(id.as_bytes()).unwrap());
        let resume = |query: &[_], header| read("a", query, header).unwrap().resume;
        assert_eq!(resume(&[("lastEventId", "zzz")], Some(id)), after);
        assert_eq!(resume(&[("last_event_id", id)], Some("")), after);
        assert_eq!(resume(&[("since", id)], None), after);
        assert_eq!(resume(&[("since", "earliest")], None), Resume::Earliest);
        assert_eq!(resume(&[("since", "10m")], None), Resume::SinceAgoMs(600_000));
        assert_eq!(
            resume(&[("since", "1700000000")], None),
            Resume::SinceUnixMs(1_700_000_000_000)
        );
        assert_eq!(resume(&[("k", "3")], None), Resume::Last(3));
        assert_eq!(resume(&[], Some("abcdefgh-9.end")), Resume::Ended);
        assert_eq!(resume(&[], Some("foreign")), Resume::Foreign("foreign".into()));
        assert_eq!(read("a", &[], Some(&"x".repeat(129))), Err(SubscribeError::IdTooLong));
        assert!(read("a", &[("since", "é")], None).is_err());
        assert!(read("a", &[("last", "-1")], None).is_err());
    }
}
