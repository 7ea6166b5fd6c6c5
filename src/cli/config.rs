//! `ringcast config` and `ringcast check`.

use std::process::ExitCode;
use std::thread;

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::config::{self, Flags, Settings, Sources};
use crate::control::exit;
use crate::driver::probe;

/// What stands below the flags.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Layers {
    /// TOML file [default: RINGCAST_CONFIG, or none].
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<String>,
    /// A setting by its key, may be given several times; docs/settings.md lists them.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
}

/// Flags of `config`.
#[derive(Debug, clap::Args)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Every setting with its value and where that comes from; secrets are not shown.
    Show {
        #[command(flatten)]
        layers: Layers,
        /// Form.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// A TOML file with every setting, commented.
    Init,
    /// The JSON Schema of that file.
    Schema,
}

/// Flags of `check`.
#[derive(Debug, clap::Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    layers: Layers,
    /// Form.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Settings of all layers, or the exit code after the errors were told.
pub(super) fn settings(flags: &Flags, file: Option<&str>) -> Result<Settings, ExitCode> {
    load(flags, &Sources::of_process(file)).map_err(|errors| {
        for error in errors {
            eprintln!("ringcast: {error}");
        }
        ExitCode::from(exit::CONFIG)
    })
}

fn load(flags: &Flags, sources: &Sources) -> Result<Settings, Vec<config::ConfigError>> {
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Settings::load(flags, sources, cores)
}

/// `ringcast config`.
pub(super) fn config(args: &ConfigArgs) -> ExitCode {
    match &args.what {
        What::Init => print!("{}", config::init()),
        What::Schema => println!("{}", config::schema()),
        What::Show { layers, format } => {
            let flags = Flags { set: layers.set.clone(), ..Flags::default() };
            let sources = Sources::of_process(layers.config.as_deref());
            match format {
                Format::Text => print!("{}", config::show(&flags, &sources)),
                Format::Json => println!("{}", config::show_json(&flags, &sources)),
            }
            // Shown all the same: what is wrong is easier seen beside the rest.
            if let Err(errors) = load(&flags, &sources) {
                errors.iter().for_each(|error| eprintln!("ringcast: {error}"));
                return ExitCode::from(exit::CONFIG);
            }
        }
    }
    ExitCode::SUCCESS
}

/// One thing that `check` has found.
struct Finding {
    level: &'static str,
    text: String,
}

/// `ringcast check`.
pub(super) fn check(args: &CheckArgs) -> ExitCode {
    let flags = Flags { set: args.layers.set.clone(), ..Flags::default() };
    let sources = Sources::of_process(args.layers.config.as_deref());
    let mut findings = Vec::new();
    let mut code = ExitCode::SUCCESS;
    match probe::probe() {
        Ok(report) => findings.push(Finding { level: "ok", text: report.to_string() }),
        Err(error) => {
            findings.push(Finding { level: "error", text: error.to_string() });
            code = ExitCode::FAILURE;
        }
    }
    match load(&flags, &sources) {
        Ok(settings) => {
            let warnings = settings.warnings.into_iter();
            findings.extend(warnings.map(|text| Finding { level: "warning", text }));
        }
        Err(errors) => {
            let errors = errors.iter().map(ToString::to_string);
            findings.extend(errors.map(|text| Finding { level: "error", text }));
            code = ExitCode::from(exit::CONFIG);
        }
    }
    match args.format {
        Format::Text => {
            findings.iter().for_each(|Finding { level, text }| println!("{level}: {text}"));
        }
        Format::Json => {
            let all = findings.iter().map(|f| json!({ "level": f.level, "text": f.text }));
            println!("{}", Value::from(all.collect::<Vec<Value>>()));
        }
    }
    code
}
