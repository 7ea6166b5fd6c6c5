//! `ringcast restart`: a new process takes over from the running one, with all its connections.

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use super::operator::{Operator, OperatorArgs};
use crate::control::exit;

/// How often the server is asked whether it is done.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Arguments of `restart`.
#[derive(Debug, clap::Args)]
pub(super) struct RestartArgs {
    #[command(flatten)]
    operator: OperatorArgs,
    /// Give up after so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
}

#[derive(Deserialize)]
struct Stats {
    process: Process,
    #[serde(rename = "totalConnections")]
    streams: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Process {
    pid: i32,
    predecessor: Option<i32>,
    restart_failed: Option<Failed>,
}

#[derive(Deserialize, PartialEq, Eq)]
struct Failed {
    at: String,
    why: String,
}

/// `ringcast restart`.
pub(super) fn run(args: &RestartArgs) -> ExitCode {
    match restart(args) {
        Ok(told) => {
            super::config::print(&told);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("ringcast restart: {error}");
            ExitCode::from(exit::FAILURE)
        }
    }
}

fn restart(args: &RestartArgs) -> Result<String, String> {
    let operator = Operator::new(&args.operator);
    let begun = Instant::now();
    let before = operator.read::<Stats>("/stats")?.process;
    let pid = Pid::from_raw(before.pid).ok_or("the server says no process of its own")?;
    kill_process(pid, Signal::USR2).map_err(|error| {
        format!(
            "process {} of the server cannot be told: {error} (run it on the same machine, as the \
             same user)",
            before.pid
        )
    })?;
    while begun.elapsed() < Duration::from_secs(args.timeout) {
        thread::sleep(LOOK_EVERY);
        // While one takes over from the other nobody may answer.
        let Ok(Stats { process, streams }) = operator.read("/stats") else { continue };
        if process.predecessor == Some(before.pid) {
            let (old, new) = (before.pid, process.pid);
            return Ok(format!("process {new} serves in place of {old}: {streams} streams\n"));
        }
        if let Some(failed) = process.restart_failed
            && before.restart_failed.as_ref() != Some(&failed)
        {
            return Err(format!("process {} goes on as before: {}", before.pid, failed.why));
        }
    }
    Err(format!("process {} did not say what became of it within {} s", before.pid, args.timeout))
}
