//! What a run is to do: options, checked; who publishes what, and when.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use thiserror::Error;

use super::payload;

/// Connections from one loopback source address: beyond some 4,000 the kernel searches long for a
/// free port.
pub const CONNECTIONS_PER_SOURCE: usize = 4_000;
/// Most streams: 127.1.0.0/16 gives so many source addresses, of so many each.
pub const CONNECTIONS_MAX: usize = 4_000_000;
/// Largest event, bytes: what the server takes by default.
pub const DATA_BYTES_MAX: usize = 1 << 20;
const CHANNELS_MAX: usize = 1_000_000;
const PUBLISHERS_MAX: usize = 1_000;
const EVENTS_MAX: u64 = 1 << 40;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// How fast streams open.
    Connect,
    /// What open streams cost while nothing happens.
    Idle,
    /// Events to many streams at once.
    Fanout,
}

impl Scenario {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Idle => "idle",
            Self::Fanout => "fanout",
        }
    }

    /// Events published when the command line does not say.
    #[must_use]
    pub fn events_default(self) -> u64 {
        match self {
            Self::Connect => 0,
            // One event at the end proves that every stream is still there.
            Self::Idle => 1,
            Self::Fanout => 100,
        }
    }
}

/// When the next event is published.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rate {
    /// So many events a second, due at fixed moments, whatever the server does.
    PerSecond(f64),
    /// As soon as the publish before on the same connection was answered.
    Max,
    /// As soon as every stream has read the event before: one event per send.
    Wait,
}

impl std::str::FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "max" => return Ok(Self::Max),
            "wait" => return Ok(Self::Wait),
            _ => {}
        }
        match text.parse::<f64>() {
            Ok(rate) if rate > 0.0 && rate <= 10_000_000.0 => Ok(Self::PerSecond(rate)),
            _ => Err("events a second (above 0, at most 10000000), max, or wait".to_owned()),
        }
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::PerSecond(rate) => write!(f, "{rate}"),
            Self::Max => f.write_str("max"),
            Self::Wait => f.write_str("wait"),
        }
    }
}

/// What the command line says.
#[derive(Debug, Clone)]
pub struct Options {
    /// What is measured.
    pub scenario: Scenario,
    /// `http://HOST:PORT`.
    pub url: String,
    /// Streams.
    pub connections: usize,
    /// Channels the streams are spread over.
    pub channels: usize,
    /// Connections that publish.
    pub publishers: usize,
    /// When events are published.
    pub rate: Rate,
    /// Bytes of an event's data.
    pub data_bytes: usize,
    /// Events in all; `None`: the scenario's own number.
    pub events: Option<u64>,
    /// Longest time of publishing (of holding the streams in `idle`).
    pub duration: Duration,
    /// Rings, each on a thread of its own; `None`: as few as RLIMIT_NOFILE allows.
    pub rings: Option<usize>,
    /// Bearer token of the publisher.
    pub token: Option<String>,
    /// Bearer token of the streams.
    pub subscribe_token: Option<String>,
    /// Where to subscribe; `{channel}` stands for the channel's name.
    pub subscribe_path: String,
    /// Where to publish.
    pub publish_path: String,
    /// The server's process, if it cannot be found by its listening socket.
    pub server_pid: Option<u32>,
    /// Fail if the 99th percentile of the latency is above.
    pub max_p99: Option<Duration>,
    /// Fail if more events are lost.
    pub max_lost: Option<u64>,
}

/// Options that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OptionsError {
    /// Not `http://host:port`.
    #[error("--url {0:?}: write http://HOST:PORT (https is not spoken here)")]
    Url(String),
    /// The name has no address.
    #[error("--url: {0:?} has no address: {1}")]
    Resolve(String, String),
    /// A number out of its range.
    #[error("--{flag} {value}: at least {min}, at most {max}")]
    Range {
        /// Which flag.
        flag: &'static str,
        /// What it says.
        value: u64,
        /// The least it may say.
        min: u64,
        /// The most it may say.
        max: u64,
    },
    /// A path without the channel's place in it.
    #[error("--{0}: begin with / and write {{channel}} where the channel's name stands")]
    Path(&'static str),
    /// A token that would break the request.
    #[error("--{0}: a token has no spaces or control characters")]
    Token(&'static str),
    /// Waiting for all streams needs a single publisher.
    #[error("--publish-rate wait publishes one event at a time: take --publishers 1")]
    WaitingPublishers,
}

/// A run, checked and resolved.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The options it was made from.
    pub options: Options,
    /// Where to connect.
    pub target: SocketAddr,
    /// The `Host` line's value.
    pub host: String,
    /// Events at most.
    pub events: u64,
    /// Rings of streams.
    pub rings: usize,
    /// Marks the events of this run, so that others on the same channels are told apart.
    pub run: u32,
}

impl Plan {
    /// Checks the options; `slots_max` is what one ring may hold (RLIMIT_NOFILE), `run` any number
    /// that other runs do not have.
    ///
    /// # Errors
    /// The first option that cannot be followed.
    pub fn new(options: Options, slots_max: usize, run: u32) -> Result<Self, OptionsError> {
        let (host, target) = resolve(&options.url)?;
        let events = options.events.unwrap_or(options.scenario.events_default());
        let ranges = [
            ("connections", options.connections as u64, 1, CONNECTIONS_MAX as u64),
            ("channels", options.channels as u64, 1, CHANNELS_MAX as u64),
            ("publishers", options.publishers as u64, 1, PUBLISHERS_MAX as u64),
            ("data-bytes", options.data_bytes as u64, payload::MIN as u64, DATA_BYTES_MAX as u64),
            ("events", events, 0, EVENTS_MAX),
            ("rings", options.rings.unwrap_or(1) as u64, 1, 256),
        ];
        for (flag, value, min, max) in ranges {
            if !(min..=max).contains(&value) {
                return Err(OptionsError::Range { flag, value, min, max });
            }
        }
        let paths =
            [("subscribe-path", &options.subscribe_path), ("publish-path", &options.publish_path)];
        for (flag, path) in paths {
            let plain = path.bytes().all(|b| b.is_ascii_graphic());
            if !plain || !path.starts_with('/') || !path.contains("{channel}") {
                return Err(OptionsError::Path(flag));
            }
        }
        let tokens = [("token", &options.token), ("subscribe-token", &options.subscribe_token)];
        for (flag, token) in tokens {
            if token.as_ref().is_some_and(|token| !token.bytes().all(|b| b.is_ascii_graphic())) {
                return Err(OptionsError::Token(flag));
            }
        }
        if options.rate == Rate::Wait && options.publishers > 1 {
            return Err(OptionsError::WaitingPublishers);
        }
        let needed = options.connections.div_ceil(slots_max.max(1));
        let rings = options.rings.unwrap_or(1).max(needed).min(options.connections);
        Ok(Self { options, target, host, events, rings, run })
    }

    /// Events go round over so many units: a channel, or a publisher's share of one where there
    /// are more publishers than channels. Within a unit they are in order.
    #[must_use]
    pub fn units(&self) -> u64 {
        self.options.channels.max(self.options.publishers) as u64
    }

    /// Units of one channel, at most.
    #[must_use]
    pub fn lanes(&self) -> usize {
        self.options.publishers.div_ceil(self.options.channels)
    }

    /// Event `number` belongs to this unit ...
    #[must_use]
    pub fn unit(&self, number: u64) -> usize {
        usize::try_from(number % self.units()).unwrap_or(usize::MAX)
    }

    /// ... of this channel ...
    #[must_use]
    pub fn channel_of_unit(&self, unit: usize) -> usize {
        unit % self.options.channels
    }

    /// ... and is published by this publisher.
    #[must_use]
    pub fn publisher_of_unit(&self, unit: usize) -> usize {
        unit % self.options.publishers
    }

    /// The channel of a stream.
    #[must_use]
    pub fn channel_of_stream(&self, stream: usize) -> usize {
        stream % self.options.channels
    }

    /// The streams of a ring: a range of stream numbers.
    #[must_use]
    pub fn streams_of_ring(&self, ring: usize) -> std::ops::Range<usize> {
        let all = self.options.connections;
        all * ring / self.rings..all * (ring + 1) / self.rings
    }

    /// The address a stream comes from: many where the target is loopback, where each gives only
    /// so many ports.
    #[must_use]
    pub fn source(&self, stream: usize) -> Option<IpAddr> {
        let IpAddr::V4(ip) = self.target.ip() else { return None };
        if !ip.is_loopback() {
            return None;
        }
        let number = stream / CONNECTIONS_PER_SOURCE;
        let (high, low) = (u8::try_from(number / 250), u8::try_from(number % 250 + 1));
        Some(IpAddr::V4(Ipv4Addr::new(127, 1, high.unwrap_or(0), low.unwrap_or(1))))
    }

    /// A channel's name.
    #[must_use]
    pub fn channel_name(channel: usize) -> String {
        format!("bench-{channel}")
    }

    /// The request that opens a stream of a channel.
    #[must_use]
    pub fn subscribe_request(&self, channel: usize) -> Vec<u8> {
        let path = self.options.subscribe_path.replace("{channel}", &Self::channel_name(channel));
        let token = token_line(self.options.subscribe_token.as_deref());
        let host = &self.host;
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n{token}\r\n")
            .into_bytes()
    }

    /// The head of a publish to a channel, up to its empty line.
    #[must_use]
    pub fn publish_head(&self, channel: usize) -> Vec<u8> {
        let path = self.options.publish_path.replace("{channel}", &Self::channel_name(channel));
        let token = token_line(self.options.token.as_deref());
        let (host, bytes) = (&self.host, self.options.data_bytes);
        format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\n{token}Content-Type: text/plain\r\n\
             Content-Length: {bytes}\r\n\r\n"
        )
        .into_bytes()
    }

    /// When event `number` is due after the start of publishing; `None` where the answers set the
    /// pace.
    #[must_use]
    pub fn due(&self, number: u64) -> Option<Duration> {
        match self.options.rate {
            #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 events")]
            Rate::PerSecond(rate) => Some(Duration::from_secs_f64(number as f64 / rate)),
            Rate::Max | Rate::Wait => None,
        }
    }
}

fn token_line(token: Option<&str>) -> String {
    token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default()
}

/// `http://host[:port][/]` to the `Host` value and an address.
fn resolve(url: &str) -> Result<(String, SocketAddr), OptionsError> {
    let wrong = || OptionsError::Url(url.to_owned());
    let rest = url.strip_prefix("http://").ok_or_else(wrong)?;
    let host = rest.strip_suffix('/').unwrap_or(rest);
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    if host.is_empty() || !host.bytes().all(plain) {
        return Err(wrong());
    }
    let has_port = host.rsplit_once(':').is_some_and(|(name, port)| {
        port.parse::<u16>().is_ok() && (!name.contains(':') || name.ends_with(']'))
    });
    let full = if has_port { host.to_owned() } else { format!("{host}:80") };
    let fail = |text: String| OptionsError::Resolve(host.to_owned(), text);
    let mut addresses = full.to_socket_addrs().map_err(|error| fail(error.to_string()))?;
    let address = addresses.next().ok_or_else(|| fail("none".to_owned()))?;
    Ok((host.to_owned(), address))
}

/// Reads a time such as `250us`, `5ms`, `1.5s`, `2m`, `1h`; a plain number is in `unit`.
///
/// # Errors
/// A line that says what to write.
pub fn parse_duration(text: &str, unit: Duration) -> Result<Duration, String> {
    let wrong = || "a time such as 250us, 5ms, 1.5s, 2m or 1h".to_owned();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, name) = text.split_at(split);
    let unit = match name {
        "" => unit,
        "us" => Duration::from_micros(1),
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        "h" => Duration::from_secs(3_600),
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let seconds = number * unit.as_secs_f64();
    if !(0.0..=30.0 * 86_400.0).contains(&seconds) {
        return Err("at most 30 days".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests;
