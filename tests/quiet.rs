//! A server that has nothing to do leaves the cores alone.

mod support;

use std::time::Duration;

use support::server::Server;

/// How often the cold half's thread has gone to sleep (proc_pid_status(5)).
fn sleeps(pid: u32) -> u64 {
    let path = format!("/proc/{pid}/task/{pid}/status");
    let text = std::fs::read_to_string(path).expect("our child");
    let line = text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.and_then(|count| count.trim().parse().ok()).expect("a count")
}

/// It shares a core with a worker: each time it wakes, a fan-out stands still.
#[test]
fn the_cold_half_does_not_wake_without_cause() {
    let server = Server::start(&["--workers", "1"], &[]);
    server.get_admin("/livez");
    // The closing of that connection may still be under way.
    std::thread::sleep(Duration::from_millis(300));
    let before = sleeps(server.pid());
    std::thread::sleep(Duration::from_secs(1));
    let woken = sleeps(server.pid()) - before;
    assert!(woken <= 2, "woken {woken} times in a second");
    // The count does count.
    server.get_admin("/livez");
    let limit = Duration::from_secs(10);
    let counted = || sleeps(server.pid()) > before + woken;
    assert!(support::wait_until(limit, Duration::from_millis(20), counted), "never slept");
}
