//! The command line: arguments to settings, then run.

mod bench;
mod client;
mod config;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::auth::sign::{TokenRequest, sign};
use crate::auth::{Algorithm, Keys, ttl};
use crate::config::Flags;
use crate::control::{self, exit};
use crate::driver::sys;

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
    Token(TokenArgs),
    /// Publish an event.
    Publish(client::PublishArgs),
    /// Print the events of channels.
    Subscribe(client::SubscribeArgs),
    /// Measure a server under load: open streams, publish, check every stream.
    Bench(Box<bench::BenchArgs>),
    /// Show the settings that hold, a file to begin with, or its schema.
    Config(config::ConfigArgs),
    /// Check the settings, and whether io_uring is to be had here.
    Check(config::CheckArgs),
    /// Print shell completions.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Default, clap::Args)]
struct ServeArgs {
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
    #[command(flatten)]
    layers: config::Layers,
}

#[derive(Debug, clap::Args)]
struct TokenArgs {
    /// The user's id.
    #[arg(long)]
    sub: String,
    /// The tenant's id.
    #[arg(long)]
    tenant: Option<String>,
    /// Names and patterns it may subscribe to [default: every unreserved name].
    #[arg(long, value_delimiter = ',')]
    channels: Option<Vec<String>>,
    /// Names and patterns it may publish to [default: none].
    #[arg(long, value_delimiter = ',')]
    publish: Vec<String>,
    /// An admin's token.
    #[arg(long)]
    admin: bool,
    /// How long it is valid [default: JWT_SSE_EXPIRES_IN, or 7d].
    #[arg(long)]
    ttl: Option<String>,
}

/// Runs the command given in the arguments.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        None => serve(cli.serve),
        Some(Command::Serve(args)) => serve(args),
        Some(Command::Token(args)) => token(&args),
        Some(Command::Publish(args)) => client::publish(&args),
        Some(Command::Subscribe(args)) => client::subscribe(&args),
        Some(Command::Bench(args)) => bench::run(*args),
        Some(Command::Config(args)) => config::config(&args),
        Some(Command::Check(args)) => config::check(&args),
        Some(Command::Completions { shell }) => {
            clap_complete::generate(shell, &mut Cli::command(), "ringcast", &mut std::io::stdout());
            ExitCode::SUCCESS
        }
    }
}

fn serve(args: ServeArgs) -> ExitCode {
    let flags = Flags {
        listen: args.listen,
        admin: args.admin,
        workers: args.workers,
        log_level: args.log_level,
        log_format: args.log_format,
        set: args.layers.set,
    };
    match config::settings(&flags, args.layers.config.as_deref()) {
        Ok(settings) => control::serve(&settings),
        Err(code) => code,
    }
}

fn token(args: &TokenArgs) -> ExitCode {
    let settings = match config::settings(&Flags::default(), None) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    let fail = |text: String| {
        eprintln!("ringcast: {text}");
        ExitCode::from(exit::CONFIG)
    };
    let Some(secret) = &settings.jwt_secret else {
        return fail("no secret: set JWT_SECRET (or JWT_SECRET_FILE) to the server's".to_owned());
    };
    let ttl_s = match args.ttl.as_deref().map(ttl::parse).transpose() {
        Ok(ttl_s) => ttl_s.unwrap_or(settings.token_ttl_s),
        Err(error) => return fail(format!("--ttl: {error}")),
    };
    let request = TokenRequest {
        sub: Some(args.sub.clone()),
        tenant: args.tenant.clone(),
        channels: args.channels.clone(),
        publish: args.publish.clone(),
        admin: args.admin,
        ttl_s: Some(ttl_s),
    };
    let keys = match Keys::single(secret.as_bytes()) {
        Ok(keys) => keys,
        Err(error) => return fail(format!("JWT_SECRET: {error}")),
    };
    let signed = request
        .claims(&settings.rules(), sys::unix_ms() / 1_000)
        .and_then(|claims| sign(&claims, &keys, Algorithm::Hs256));
    match signed {
        Ok(token) => {
            println!("{token}");
            ExitCode::SUCCESS
        }
        Err(error) => fail(error.to_string()),
    }
}
