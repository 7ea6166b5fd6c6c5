//! The tuning script on a folder that stands for /proc/sys.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::server::new_folder;

const NAMES: [(&str, &str); 3] = [
    ("net/core/somaxconn", "4096"),
    ("net/ipv4/tcp_max_syn_backlog", "65535"),
    ("net/ipv4/tcp_mem", "287901\t383868\t575802"),
];

struct Fake(PathBuf);

impl Fake {
    fn new() -> Self {
        let folder = new_folder();
        for (name, value) in NAMES {
            let path = folder.join("sys").join(name);
            std::fs::create_dir_all(path.parent().expect("below")).expect("a folder");
            std::fs::write(path, format!("{value}\n")).expect("a file");
        }
        Self(folder)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join("sys").join(name)).expect("a file").trim().to_owned()
    }

    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tuning/apply");
        let output = Command::new(script)
            .args(arguments)
            .env("SYSCTL_ROOT", self.0.join("sys"))
            .env("STATE", self.0.join("before"))
            .output()
            .expect("bash runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_dry_run_shows_and_changes_nothing() {
    let fake = Fake::new();
    let (code, text) = fake.run(&["--dry-run"]);
    assert_eq!(code, Some(0));
    assert!(text.contains("net.core.somaxconn = 65535 (was 4096)"), "{text}");
    assert!(text.contains("net.ipv4.tcp_max_syn_backlog = 65535 (is so already)"), "{text}");
    assert!(text.contains("kernel.io_uring_disabled: not on this kernel"), "{text}");
    assert_eq!(fake.read("net/core/somaxconn"), "4096");
    assert_eq!(fake.run(&["--revert"]).0, Some(1), "nothing was changed");
}

#[test]
fn what_was_there_comes_back_even_after_two_runs() {
    let fake = Fake::new();
    assert_eq!(fake.run(&[]).0, Some(0));
    assert_eq!(fake.read("net/core/somaxconn"), "65535");
    assert_eq!(fake.read("net/ipv4/tcp_mem"), "2000000 3000000 4000000");
    assert_eq!(fake.run(&[]).0, Some(0));
    assert_eq!(fake.run(&["--revert"]).0, Some(0));
    assert_eq!(fake.read("net/core/somaxconn"), "4096");
    assert_eq!(fake.read("net/ipv4/tcp_mem"), "287901 383868 575802");
    assert_eq!(fake.run(&["--revert"]).0, Some(1));
    assert_eq!(fake.run(&["--nonsense"]).0, Some(2));
}
