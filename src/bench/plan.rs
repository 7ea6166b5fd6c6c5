//! What a run is to do: options, checked; who publishes what, and when.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use thiserror::Error;

use super::Scenario;
use super::payload::{self, Payload};
use crate::auth::sign::{TokenRequest, sign};
use crate::auth::{Algorithm, Keys, Rules, TokenError};

/// Connections from one loopback source address: beyond some 4,000 the kernel searches long for a
/// free port.
pub const CONNECTIONS_PER_SOURCE: usize = 4_000;
/// Most streams: 127.1.0.0/16 gives so many source addresses, of so many each.
pub const CONNECTIONS_MAX: usize = 4_000_000;
/// Largest event, bytes: what the server takes by default.
pub const DATA_BYTES_MAX: usize = 1 << 20;
const CHANNELS_MAX: usize = 1_000_000;
const PUBLISHERS_MAX: usize = 1_000;
const LINES_MAX: usize = 100_000;
/// Life of the streams' own tokens.
const TOKEN_TTL_S: u64 = 7 * 86_400;
const EVENTS_MAX: u64 = 1 << 40;

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

impl Rate {
    /// When event `index` is due after the start of publishing; `None` where the answers set the
    /// pace.
    #[must_use]
    pub fn due(self, index: u64) -> Option<Duration> {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 events")]
            Self::PerSecond(rate) => Some(Duration::from_secs_f64(index as f64 / rate)),
            Self::Max | Self::Wait => None,
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
    /// Channels the streams are spread over; in `mixed` those of one stream each, beside the
    /// broadcast's.
    pub channels: usize,
    /// Connections that publish.
    pub publishers: usize,
    /// When events are published.
    pub rate: Rate,
    /// Bytes of an event's data.
    pub data_bytes: usize,
    /// Events of one publish request: 1 in the form of a plain body, more as NDJSON.
    pub lines: usize,
    /// Events in all; in `replay` and `storm` those to be replayed.
    pub events: u64,
    /// Streams that stop reading, percent.
    pub stall_percent: u8,
    /// Streams that break off, miss an event and come again, percent (`idle`; in `storm` all do).
    pub reconnect_percent: u8,
    /// Longest time of publishing (of holding the streams in `idle`).
    pub duration: Duration,
    /// Streams ask for gzip, and must get it.
    pub gzip: bool,
    /// Rings, each on a thread of its own; `None`: as few as RLIMIT_NOFILE allows.
    pub rings: Option<usize>,
    /// Bearer token of the publisher.
    pub token: Option<String>,
    /// Bearer token of the streams.
    pub subscribe_token: Option<String>,
    /// Gives each stream a token of its own, with subject and tenant, signed by this secret.
    pub identity_secret: Option<String>,
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
    /// The single events of `mixed` are due at fixed moments.
    #[error("--scenario mixed: --publish-rate is a number, the single events a second")]
    MixedRate,
    /// A secret that signs nothing.
    #[error("--identity-secret: {0}")]
    Identity(String),
}

/// A run, checked and resolved.
#[derive(Debug)]
pub struct Plan {
    /// The options it was made from.
    pub options: Options,
    /// Where to connect.
    pub target: SocketAddr,
    /// The `Host` line's value.
    pub host: String,
    /// Events at most (of `mixed`: its single ones).
    pub events: u64,
    /// Rings of streams.
    pub rings: usize,
    /// Marks the events of this run, so that others on the same channels are told apart.
    pub run: u32,
    /// What signs the streams' own tokens, and when it does.
    keys: Option<Keys>,
    now_unix_s: u64,
}

impl Options {
    fn check(&self) -> Result<(), OptionsError> {
        let ranges = [
            ("connections", self.connections as u64, 0, CONNECTIONS_MAX as u64),
            ("channels", self.channels as u64, 1, CHANNELS_MAX as u64),
            ("publishers", self.publishers as u64, 1, PUBLISHERS_MAX as u64),
            ("data-bytes", self.data_bytes as u64, payload::MIN as u64, DATA_BYTES_MAX as u64),
            ("publish-lines", self.lines as u64, 1, LINES_MAX as u64),
            ("events", self.events, 0, EVENTS_MAX),
            ("subscribers-stall", self.stall_percent.into(), 0, 99),
            ("reconnect", self.reconnect_percent.into(), 0, 100),
            ("rings", self.rings.unwrap_or(1) as u64, 1, 256),
        ];
        for (flag, value, min, max) in ranges {
            if !(min..=max).contains(&value) {
                return Err(OptionsError::Range { flag, value, min, max });
            }
        }
        let paths =
            [("subscribe-path", &self.subscribe_path), ("publish-path", &self.publish_path)];
        for (flag, path) in paths {
            let plain = path.bytes().all(|b| b.is_ascii_graphic());
            if !plain || !path.starts_with('/') || !path.contains("{channel}") {
                return Err(OptionsError::Path(flag));
            }
        }
        let tokens = [("token", &self.token), ("subscribe-token", &self.subscribe_token)];
        for (flag, token) in tokens {
            if token.as_ref().is_some_and(|token| !token.bytes().all(|b| b.is_ascii_graphic())) {
                return Err(OptionsError::Token(flag));
            }
        }
        if self.rate == Rate::Wait && self.publishers > 1 {
            return Err(OptionsError::WaitingPublishers);
        }
        if self.scenario == Scenario::Mixed && self.rate.due(0).is_none() {
            return Err(OptionsError::MixedRate);
        }
        Ok(())
    }
}

impl Plan {
    /// Checks the options; `slots_max` is what one ring may hold (RLIMIT_NOFILE), `run` any number
    /// that other runs do not have, `now_unix_s` the time of signing tokens.
    ///
    /// # Errors
    /// The first option that cannot be followed.
    pub fn new(
        mut options: Options,
        slots_max: usize,
        run: u32,
        now_unix_s: u64,
    ) -> Result<Self, OptionsError> {
        let (host, target) = resolve(&options.url)?;
        options.check()?;
        if options.scenario == Scenario::Mixed {
            options.channels += 1;
        }
        let secret = options.identity_secret.as_deref();
        let keys = secret.map(|secret| Keys::single(secret.as_bytes())).transpose();
        let keys = keys.map_err(|error| OptionsError::Identity(error.to_string()))?;
        let needed = options.connections.div_ceil(slots_max.max(1));
        let rings = options.rings.unwrap_or(1).max(needed).min(options.connections);
        // The single streams have a ring to themselves: they are not to wait in one queue with the
        // broadcasts on the reading side.
        let rings = rings + usize::from(options.scenario == Scenario::Mixed);
        let events = options.events;
        let plan = Self { options, target, host, events, rings, run, keys, now_unix_s };
        plan.own_token(0).map_err(|error| OptionsError::Identity(error.to_string()))?;
        Ok(plan)
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

    /// ... of this channel.
    #[must_use]
    pub fn channel_of_unit(&self, unit: usize) -> usize {
        unit % self.options.channels
    }

    /// The channel of a stream. In `mixed` each channel but the first has one, and those are the
    /// last.
    #[must_use]
    pub fn channel_of_stream(&self, stream: usize) -> usize {
        let (channels, streams) = (self.options.channels, self.options.connections);
        if self.options.scenario == Scenario::Mixed {
            return (stream + channels).saturating_sub(streams).min(channels - 1);
        }
        stream % channels
    }

    /// Its events go to a single stream while others get broadcasts.
    #[must_use]
    pub fn is_single(&self, channel: usize) -> bool {
        self.options.scenario == Scenario::Mixed && channel > 0
    }

    /// The stream is one of those that stop reading.
    #[must_use]
    pub fn stalls(&self, stream: usize) -> bool {
        stream % 100 < usize::from(self.options.stall_percent)
    }

    /// The stream is one of those that break off and come again.
    #[must_use]
    pub fn reconnects(&self, stream: usize) -> bool {
        stream % 100 < usize::from(self.options.reconnect_percent)
    }

    /// The streams of a ring: a range of stream numbers.
    #[must_use]
    pub fn streams_of_ring(&self, ring: usize) -> std::ops::Range<usize> {
        let (mut all, mut rings) = (self.options.connections, self.rings);
        if self.options.scenario == Scenario::Mixed {
            let singles = self.options.channels - 1;
            (all, rings) = (all.saturating_sub(singles), rings - 1);
            if ring == rings {
                return all..self.options.connections;
            }
        }
        all * ring / rings..all * (ring + 1) / rings
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

    /// A channel's name. A replay has channels of its own: what others have published there would
    /// be replayed too.
    #[must_use]
    pub fn channel_name(&self, channel: usize) -> String {
        match self.options.scenario {
            Scenario::Replay => format!("bench-{:08x}-{channel}", self.run),
            _ => format!("bench-{channel}"),
        }
    }

    /// Appends the request that opens a stream, or opens it again behind `last_id`.
    pub fn subscribe_request(&self, stream: usize, last_id: &[u8], out: &mut Vec<u8>) {
        let name = self.channel_name(self.channel_of_stream(stream));
        let mut path = self.options.subscribe_path.replace("{channel}", &name);
        if self.options.scenario == Scenario::Replay {
            path.push(if path.contains('?') { '&' } else { '?' });
            path.push_str("since=earliest");
        }
        let own = self.own_token(stream).ok().flatten();
        let token = token_line(own.as_deref().or(self.options.subscribe_token.as_deref()));
        let host = &self.host;
        let lines = [
            format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n"),
            token,
            if self.options.gzip { "Accept-Encoding: gzip\r\n" } else { "" }.to_owned(),
        ];
        lines.iter().for_each(|line| out.extend_from_slice(line.as_bytes()));
        if !last_id.is_empty() {
            out.extend_from_slice(b"Last-Event-ID: ");
            out.extend_from_slice(last_id);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }

    /// The token of a stream, where each has its own: a subject of its own, a tenant of a hundred.
    fn own_token(&self, stream: usize) -> Result<Option<String>, TokenError> {
        let Some(keys) = &self.keys else { return Ok(None) };
        let request = TokenRequest {
            sub: Some(format!("bench-user-{stream}")),
            tenant: Some(format!("bench-tenant-{}", stream % 100)),
            ttl_s: Some(TOKEN_TTL_S),
            ..TokenRequest::default()
        };
        let claims = request.claims(&Rules::default(), self.now_unix_s)?;
        sign(&claims, keys, Algorithm::Hs256).map(Some)
    }

    /// Appends a publish of these events, all of one channel: one as a plain body, several as a
    /// command on each line.
    pub fn publish_request(&self, payloads: &[(usize, Payload)], out: &mut Vec<u8>) {
        let token = token_line(self.options.token.as_deref());
        let (host, bytes) = (&self.host, self.options.data_bytes);
        if self.options.lines == 1 {
            let Some((channel, payload)) = payloads.first() else { return };
            let path = self.options.publish_path.replace("{channel}", &self.channel_name(*channel));
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: {host}\r\n{token}Content-Type: text/plain\r\n\
                 Content-Length: {bytes}\r\n\r\n"
            );
            out.extend_from_slice(head.as_bytes());
            return payload::write(out, self.run, *payload, bytes);
        }
        let mut body = Vec::with_capacity(payloads.len() * (bytes + 64));
        for (channel, payload) in payloads {
            let name = self.channel_name(*channel);
            for part in ["{\"channel\":\"", &name, "\",\"data\":\""] {
                body.extend_from_slice(part.as_bytes());
            }
            payload::write(&mut body, self.run, *payload, bytes);
            body.extend_from_slice(b"\"}\n");
        }
        let head = format!(
            "POST /publish HTTP/1.1\r\nHost: {host}\r\n{token}\
             Content-Type: application/x-ndjson\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(&body);
    }

    /// When event `index` is due after the start of publishing; `None` where the answers set the
    /// pace.
    #[must_use]
    pub fn due(&self, index: u64) -> Option<Duration> {
        self.options.rate.due(index)
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
pub(super) mod tests;
