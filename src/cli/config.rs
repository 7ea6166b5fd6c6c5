//! `ringcast config`: what is in force, and pages made from the table of keys.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Subcommand;

use super::SourceArgs;
use super::check::Format;
use crate::config;

/// Arguments of `config`.
#[derive(Debug, clap::Args)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print the values in force, each with its origin; secrets are masked.
    Show {
        #[command(flatten)]
        sources: SourceArgs,
        /// Form of the output.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Print a TOML file with every key, its default and what it is.
    Init,
    /// Print a JSON Schema of the TOML file.
    Schema,
}

/// `ringcast config`.
pub(super) fn run(args: &ConfigArgs) -> ExitCode {
    let text = match &args.command {
        ConfigCommand::Init => config::sample(),
        ConfigCommand::Schema => config::schema(),
        ConfigCommand::Show { sources, format } => match sources.load() {
            Ok(loaded) => match format {
                Format::Text => config::show_text(&loaded.values),
                Format::Json => config::show_json(&loaded.values),
            },
            Err(code) => return code,
        },
    };
    print(&text)
}

/// Prints a page; whoever reads it may have gone.
pub(super) fn print(text: &str) -> ExitCode {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}
