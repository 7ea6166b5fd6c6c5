//! `ringcast check`: configuration and machine, each finding with its cure.

use std::process::ExitCode;

use clap::ValueEnum;
use serde_json::{Value, json};

use super::SourceArgs;
use crate::config::{self, Finding, Severity};
use crate::control::exit;
use crate::driver::probe;

/// Open files that a server for many streams should be allowed; each ring's table has as many.
const DESCRIPTORS_GOOD: u64 = 65_536;

/// Form of an output.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    sources: SourceArgs,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Something about this machine.
struct Machine {
    level: &'static str,
    what: String,
    cure: &'static str,
    lasting: &'static str,
}

/// A finding in one line: `error: ORIGIN: KEY = VALUE: PROBLEM; CURE`.
pub(super) fn line(finding: &Finding) -> String {
    format!("{}: {finding}", level(finding.severity))
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// `ringcast check`.
pub(super) fn run(args: &CheckArgs) -> ExitCode {
    let (findings, good) = match config::load(&args.sources.sources()) {
        Ok(loaded) => (loaded.warnings, true),
        Err(findings) => (findings, false),
    };
    // With a bad configuration the server would not come to look at the machine.
    let machine = if good { machine() } else { Vec::new() };
    let fit = machine.iter().all(|one| one.level != "error");
    let code = match (good, fit) {
        (false, _) => exit::CONFIG,
        (_, false) => exit::FAILURE,
        _ => 0,
    };
    let text = match args.format {
        Format::Text => text(&findings, &machine),
        Format::Json => json(&findings, &machine, code),
    };
    super::config::print(&text);
    ExitCode::from(code)
}

/// What the cheap looks at this machine show.
fn machine() -> Vec<Machine> {
    let report = match probe::probe() {
        Ok(report) => report,
        Err(cause) => {
            let what = format!("io_uring cannot be used: {cause}");
            return vec![Machine { level: "error", what, cure: "", lasting: "" }];
        }
    };
    let hard = report.descriptor_limit.hard;
    let mut all = vec![Machine { level: "ok", what: report.to_string(), cure: "", lasting: "" }];
    if hard < DESCRIPTORS_GOOD {
        all.push(Machine {
            level: "warning",
            what: format!("RLIMIT_NOFILE is {hard}: more rings are needed for many streams"),
            cure: "ulimit -n 1048576 (docker run --ulimit nofile=1048576)",
            lasting: "LimitNOFILE=1048576 in the systemd unit",
        });
    }
    all
}

fn text(findings: &[Finding], machine: &[Machine]) -> String {
    let mut lines: Vec<String> = findings.iter().map(line).collect();
    if findings.iter().all(|finding| finding.severity == Severity::Warning) {
        lines.insert(0, "ok: the configuration can be used".to_owned());
    }
    for one in machine {
        let Machine { level, what, cure, lasting } = one;
        let cure =
            if cure.is_empty() { String::new() } else { format!("; {cure}, to last: {lasting}") };
        lines.push(format!("{level}: machine: {what}{cure}"));
    }
    lines.join("\n") + "\n"
}

fn json(findings: &[Finding], machine: &[Machine], code: u8) -> String {
    let configuration = findings.iter().map(|finding| {
        json!({
            "area": "configuration",
            "level": level(finding.severity),
            "origin": finding.origin.to_string(),
            "key": finding.key,
            "value": finding.value,
            "problem": finding.problem,
            "cure": finding.cure,
        })
    });
    let machine = machine.iter().map(|one| {
        json!({
            "area": "machine",
            "level": one.level,
            "problem": one.what,
            "cure": one.cure,
            "lasting": one.lasting,
        })
    });
    let all: Vec<Value> = configuration.chain(machine).collect();
    format!("{:#}\n", json!({ "exit": code, "findings": all }))
}
