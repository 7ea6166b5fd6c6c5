//! Facts that need a process of their own: the test binary starts itself again.

use std::process::Command;

const WHICH: &str = "KERNEL_FACTS_CHILD";

/// Runs `name` (see [`child_entry`]) in a child and returns what it printed between the marks.
pub(crate) fn run(name: &str) -> String {
    let program = std::env::current_exe().expect("own path");
    let output = Command::new(program)
        .args(["--exact", "child::child_entry", "--nocapture", "--test-threads=1"])
        .env(WHICH, name)
        .output()
        .expect("start the child");
    let text = String::from_utf8_lossy(&output.stdout);
    let said = text.split_once("<<").and_then(|(_, rest)| rest.split_once(">>"));
    let Some((said, _)) = said else {
        panic!("child {name}: {text}\n{}", String::from_utf8_lossy(&output.stderr));
    };
    said.to_owned()
}

/// Does nothing unless started by [`run`].
#[test]
fn child_entry() {
    let Ok(name) = std::env::var(WHICH) else { return };
    let said = match name.as_str() {
        "seccomp EPERM" => crate::limits::probe_under_filter(libc::EPERM),
        "seccomp ENOSYS" => crate::limits::probe_under_filter(libc::ENOSYS),
        "locked memory" => crate::limits::probe_without_locked_memory(),
        "tables" => crate::limits::tables_under_a_small_limit(),
        "accept" => crate::limits::accept_without_descriptors(),
        other => panic!("no child {other}"),
    };
    println!("<<{said}>>");
}
