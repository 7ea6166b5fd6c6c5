//! The command line: arguments to settings, then run.

mod bench;
mod check;
mod client;
mod config;
mod operator;
mod restart;
mod token;
mod top;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::config::{self as settings, Flags, Loaded, Sources};
use crate::control::{self, exit};

/// A Server-Sent Events server on io_uring for very high connection counts.
#[derive(Debug, Parser)]
#[command(name = "ringcast", version = VERSION, about)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

/// Version with the commit it was built from.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("RINGCAST_COMMIT"), ")");

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (the default).
    Serve(ServeArgs),
    /// Print a signed token; needs JWT_SECRET.
    Token(token::TokenArgs),
    /// Show settings, or print a file or schema of them.
    Config(config::ConfigArgs),
    /// Read configuration and machine, and tell what is wrong.
    Check(check::CheckArgs),
    /// Publish an event.
    Publish(client::PublishArgs),
    /// Print the events of channels.
    Subscribe(client::SubscribeArgs),
    /// Have a new process take over from a running server, with all its connections.
    Restart(restart::RestartArgs),
    /// Watch the cores of a running server.
    Top(top::TopArgs),
    /// Measure a server under load: open streams, publish, check every stream.
    Bench(Box<bench::BenchArgs>),
    /// Print shell completions.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

/// Where settings come from, beside the environment and `.env`.
#[derive(Debug, Default, clap::Args)]
struct SourceArgs {
    /// TOML file of settings [default: RINGCAST_CONFIG].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Sets one key, over all other sources; may be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

#[derive(Debug, Default, clap::Args)]
struct ServeArgs {
    #[command(flatten)]
    sources: SourceArgs,
    /// Address to serve, may be given several times [default: 127.0.0.1:8080 and [::1]:8080].
    #[arg(long, value_name = "ADDR")]
    listen: Vec<String>,
    /// Operators' address [default: 127.0.0.1:8081].
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// Worker threads [default: one per core].
    #[arg(long, value_name = "N")]
    workers: Option<String>,
    /// Log lines of this level and above go to stderr: off, error, warn, info, debug
    /// [default: info].
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Form of the log lines: text, json [default: text].
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

/// Runs the command given in the arguments.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        None => serve(cli.serve),
        Some(Command::Serve(args)) => serve(args),
        Some(Command::Token(args)) => token::run(&args),
        Some(Command::Config(args)) => config::run(&args),
        Some(Command::Check(args)) => check::run(&args),
        Some(Command::Publish(args)) => client::publish(&args),
        Some(Command::Subscribe(args)) => client::subscribe(&args),
        Some(Command::Restart(args)) => restart::run(&args),
        Some(Command::Top(args)) => top::run(&args),
        Some(Command::Bench(args)) => bench::run(*args),
        Some(Command::Completions { shell }) => {
            clap_complete::generate(shell, &mut Cli::command(), "ringcast", &mut std::io::stdout());
            ExitCode::SUCCESS
        }
    }
}

impl SourceArgs {
    fn sources(&self) -> Sources {
        let flags =
            Flags { config: self.config.clone(), set: self.set.clone(), ..Flags::default() };
        Sources { flags, variables: std::env::vars_os().collect(), folder: PathBuf::new() }
    }

    /// Reads all layers; on errors prints everything that was found.
    fn load(&self) -> Result<Loaded, ExitCode> {
        load(&self.sources())
    }
}

fn load(sources: &Sources) -> Result<Loaded, ExitCode> {
    settings::load(sources).map_err(|findings| {
        for finding in findings {
            eprintln!("{}", check::line(&finding));
        }
        ExitCode::from(exit::CONFIG)
    })
}

fn serve(args: ServeArgs) -> ExitCode {
    let mut sources = args.sources.sources();
    sources.flags = Flags {
        listen: args.listen,
        admin: args.admin,
        workers: args.workers,
        log_level: args.log_level,
        log_format: args.log_format,
        ..sources.flags
    };
    match load(&sources) {
        Ok(loaded) => control::serve(&loaded, sources),
        Err(code) => code,
    }
}
