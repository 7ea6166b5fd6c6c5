//! Promises of the main job, kept by the real binary on real sockets.
//!
//! A test's name begins with the rows of docs/ledger.md it shows, where there are any.

#[path = "../support/mod.rs"]
mod support;

mod addresses;
mod aliases;
mod callback;
mod caps;
mod changes;
mod endpoints;
mod forms;
mod hostile;
mod http;
mod late;
mod limits;
mod namespaces;
mod numbers;
mod operate;
mod origins;
mod presence;
mod publish;
mod restart;
mod resume;
mod rig;
mod slow;
mod storm;
mod subscribe;
mod targets;
mod tokens;
mod top;
mod wire;
