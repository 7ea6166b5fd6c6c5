//! Tells the binary which commit it was built from.

use std::path::Path;
use std::process::Command;

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let text = output.status.success().then(|| String::from_utf8(output.stdout).ok())??;
    Some(text.trim().to_owned())
}

fn main() {
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo:rustc-env=RINGCAST_COMMIT={commit}");
    println!("cargo:rerun-if-changed=build.rs");
    // In a linked work tree `.git` is no folder; a file that is not there would build all anew.
    let folder = git(&["rev-parse", "--git-dir"]).unwrap_or_default();
    let head = Path::new(&folder).join("HEAD");
    if head.is_file() {
        println!("cargo:rerun-if-changed={}", head.display());
    }
}
