//! Promises of the main job, kept by the real binary on real sockets.
//!
//! A test's name begins with the row of the requirements it shows, where there is one.

#[path = "../support/mod.rs"]
mod support;

mod aliases;
mod caps;
mod forms;
mod http;
mod late;
mod namespaces;
mod operate;
mod origins;
mod publish;
mod resume;
mod rig;
mod slow;
mod storm;
mod subscribe;
mod tokens;
