//! What the driver takes for granted about this kernel, each fact as a test.
//!
//! They talk to io_uring directly, not through the driver: if one fails on another kernel, the
//! driver's reasoning has to change, not only its code. Facts that need a process of their own
//! (limits, filters, another user) run in a child, see `kernel_facts/child.rs`.
#![allow(unsafe_code)]
#![allow(missing_docs)]

#[path = "kernel_facts/accepts.rs"]
mod accepts;
#[path = "kernel_facts/child.rs"]
mod child;
#[path = "kernel_facts/closing.rs"]
mod closing;
#[path = "kernel_facts/limits.rs"]
mod limits;
#[path = "kernel_facts/rig.rs"]
mod rig;
#[path = "kernel_facts/sends.rs"]
mod sends;
#[path = "kernel_facts/waiting.rs"]
mod waiting;
