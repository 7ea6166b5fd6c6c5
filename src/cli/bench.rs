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
    /// What is measured.
    #[arg(long, value_enum, default_value_t = ScenarioName::Fanout)]
    scenario: ScenarioName,
    /// Streams.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    connections: usize,
    /// Channels the streams are spread over.
    #[arg(long, value_name = "C", default_value_t = 1)]
    channels: usize,
    /// Events a second; `max`: as fast as publishes are answered; `wait`: the next event when all
    /// streams have read the one before.
    #[arg(long, value_name = "R", default_value = "10")]
    publish_rate: Rate,
    /// Connections that publish.
    #[arg(long, value_name = "N", default_value_t = 1)]
    publishers: usize,
    /// Bytes of an event's data.
    #[arg(long, value_name = "B", default_value_t = 128)]
    data_bytes: usize,
    /// Events in all [default: fanout 100, idle 1, connect 0].
    #[arg(long, value_name = "M")]
    events: Option<u64>,
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
    /// Where to subscribe.
    #[arg(long, value_name = "PATH", default_value = "/sse/{channel}")]
    subscribe_path: String,
    /// Where to publish.
    #[arg(long, value_name = "PATH", default_value = "/publish/{channel}")]
    publish_path: String,
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
}

fn seconds(text: &str) -> Result<Duration, String> {
    plan::parse_duration(text, Duration::from_secs(1))
}

fn millis(text: &str) -> Result<Duration, String> {
    plan::parse_duration(text, Duration::from_millis(1))
}

impl From<BenchArgs> for Options {
    fn from(args: BenchArgs) -> Self {
        Self {
            scenario: match args.scenario {
                ScenarioName::Connect => Scenario::Connect,
                ScenarioName::Idle => Scenario::Idle,
                ScenarioName::Fanout => Scenario::Fanout,
            },
            url: args.url,
            connections: args.connections,
            channels: args.channels,
            publishers: args.publishers,
            rate: args.publish_rate,
            data_bytes: args.data_bytes,
            events: args.events,
            duration: args.duration,
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
