//! Command line.
/// Runs the command given in the arguments.
pub fn run() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
