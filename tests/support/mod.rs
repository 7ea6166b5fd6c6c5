//! What tests need to drive the built binary from outside: start and stop it, publish to it, read
//! a stream from it.
//!
//! Nothing here uses the library: a fault in its parser or encoder must not hide itself by being
//! on both ends.
#![allow(dead_code, reason = "each test program uses its own part of this module")]

pub(crate) mod browser;
pub(crate) mod cutter;
pub(crate) mod http;
pub(crate) mod iron;
pub(crate) mod program;
pub(crate) mod server;
pub(crate) mod sse;
pub(crate) mod token;

use std::time::{Duration, Instant};

/// Polls `check` each `pause` until it is true; false after `limit`.
pub(crate) fn wait_until(
    limit: Duration,
    pause: Duration,
    mut check: impl FnMut() -> bool,
) -> bool {
    let end = Instant::now() + limit;
    loop {
        if check() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(pause);
    }
}
