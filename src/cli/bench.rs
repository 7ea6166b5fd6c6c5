//! `ringcast bench`: arguments to options, the report to the terminal.

use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;

use crate::bench::{self, Options, Rate, Scenario, plan};
use crate::control::exit;

/// Flags of `bench`.
#[derive(Debug, clap::Args)]
pub(super) struct BenchArgs {
    /// The server.
    #[arg(long, env = "RINGCAST_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// What is measured; what is not said below is the scenario's own.
    #[arg(long, value_enum, default_value_t = ScenarioName::Fanout)]
    scenario: ScenarioName,
    /// Streams.
    #[arg(long, value_name = "N")]
    connections: Option<usize>,
    /// Channels the streams are spread over; in mixed those beside the broadcast's.
    #[arg(long, value_name = "C")]
    channels: Option<usize>,
    /// Events a second; `max`: as fast as publishes are answered; `wait`: the next event when all
    /// streams have read the one before.
    #[arg(long, value_name = "R")]
    publish_rate: Option<Rate>,
    /// Connections that publish.
    #[arg(long, value_name = "N")]
    publishers: Option<usize>,
    /// Events of one publish request, as NDJSON if more than one.
    #[arg(long, value_name = "L", default_value_t = 1)]
    publish_lines: usize,
    /// Bytes of an event's data.
    #[arg(long, value_name = "B")]
    data_bytes: Option<usize>,
    /// Events in all; in replay and storm those to be replayed.
    #[arg(long, value_name = "M")]
    events: Option<u64>,
    /// Streams that stop reading [default: stall 10, else 0].
    #[arg(long, value_name = "PCT")]
    subscribers_stall: Option<u8>,
    /// Streams that break off, miss an event and come again, in idle [default: storm 100, else 0].
    #[arg(long, value_name = "PCT")]
    reconnect: Option<u8>,
    /// Longest time of publishing, in idle the time of holding; seconds, or with a unit (500ms, 2m).
    #[arg(long, value_name = "S", default_value = "30", value_parser = seconds)]
    duration: Duration,
    /// Exit 99 if the 99th percentile from publish call to read is above; milliseconds, or with a
    /// unit (800us, 1s).
    #[arg(long, value_name = "D", value_parser = millis)]
    max_p99: Option<Duration>,
    /// Exit 99 if more deliveries are lost; failed streams and publishes count too.
    #[arg(long, value_name = "N")]
    max_lost: Option<u64>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// A token that may publish to `bench-*`.
    #[arg(long, env = "AUTH_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// A token that may subscribe to `bench-*`.
    #[arg(long)]
    subscribe_token: Option<String>,
    /// Gives each stream a token of its own, with subject and tenant, signed by JWT_SECRET.
    #[arg(long)]
    identities: bool,
    /// What signs them.
    #[arg(long, env = "JWT_SECRET", hide_env_values = true, hide = true)]
    identity_secret: Option<String>,
    /// Where to subscribe.
    #[arg(long, value_name = "PATH", default_value = "/sse/{channel}")]
    subscribe_path: String,
    /// Where to publish.
    #[arg(long, value_name = "PATH", default_value = "/publish/{channel}")]
    publish_path: String,
    /// Streams ask for gzip and fail without it; each event is unpacked and checked.
    #[arg(long)]
    gzip: bool,
    /// Rings of streams, each on a thread of its own [default: as few as RLIMIT_NOFILE allows].
    #[arg(long, value_name = "N")]
    rings: Option<usize>,
    /// Process id of a local server [default: whoever listens there].
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
}

/// Names of scenarios.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum ScenarioName {
    /// How fast streams open.
    Connect,
    /// What open streams cost while nothing happens.
    Idle,
    /// Events to many streams at once.
    Fanout,
    /// The same from many publishers, as fast as they are answered.
    Burst,
    /// Events to many channels of few streams each.
    Channels,
    /// Streams that open with a history to be read.
    Replay,
    /// All streams break off, miss events and come again with their ids.
    Storm,
    /// Events to single streams while others get broadcasts.
    Mixed,
    /// Some streams stop reading.
    Stall,
    /// How fast events are taken.
    Publish,
}

impl From<ScenarioName> for Scenario {
    fn from(name: ScenarioName) -> Self {
        match name {
            ScenarioName::Connect => Self::Connect,
            ScenarioName::Idle => Self::Idle,
            ScenarioName::Fanout => Self::Fanout,
            ScenarioName::Burst => Self::Burst,
            ScenarioName::Channels => Self::Channels,
            ScenarioName::Replay => Self::Replay,
            ScenarioName::Storm => Self::Storm,
            ScenarioName::Mixed => Self::Mixed,
            ScenarioName::Stall => Self::Stall,
            ScenarioName::Publish => Self::Publish,
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    plan::parse_duration(text, Duration::from_secs(1))
}

fn millis(text: &str) -> Result<Duration, String> {
    plan::parse_duration(text, Duration::from_millis(1))
}

impl From<BenchArgs> for Options {
    fn from(args: BenchArgs) -> Self {
        let scenario = Scenario::from(args.scenario);
        let own = scenario.defaults();
        Self {
            scenario,
            url: args.url,
            connections: args.connections.unwrap_or(own.connections),
            channels: args.channels.unwrap_or(own.channels),
            publishers: args.publishers.unwrap_or(own.publishers),
            rate: args.publish_rate.unwrap_or(own.rate),
            data_bytes: args.data_bytes.unwrap_or(own.data_bytes),
            lines: args.publish_lines,
            events: args.events.unwrap_or(own.events),
            stall_percent: args.subscribers_stall.unwrap_or(own.stall_percent),
            reconnect_percent: args.reconnect.unwrap_or(own.reconnect_percent),
            identity_secret: args.identity_secret.filter(|_| args.identities),
            duration: args.duration,
            gzip: args.gzip,
            rings: args.rings,
            token: args.token,
            subscribe_token: args.subscribe_token,
            subscribe_path: args.subscribe_path,
            publish_path: args.publish_path,
            server_pid: args.server_pid,
            max_p99: args.max_p99,
            max_lost: args.max_lost,
        }
    }
}

/// `ringcast bench`.
pub(super) fn run(args: BenchArgs) -> ExitCode {
    let json = args.json;
    match bench::run(args.into()) {
        Ok(report) => {
            if json {
                println!("{}", report.json());
            } else {
                println!("{report}");
            }
            if report.passed { ExitCode::SUCCESS } else { ExitCode::from(exit::MISSED) }
        }
        Err(error) => {
            eprintln!("ringcast: {error}");
            ExitCode::from(match error {
                bench::BenchError::Options(_) => exit::USAGE,
                bench::BenchError::Ring(_) => exit::UNAVAILABLE,
                _ => exit::FAILURE,
            })
        }
    }
}
