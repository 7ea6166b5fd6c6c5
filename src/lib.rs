//! ringcast: a Server-Sent Events server on io_uring.
//!
//! The idea: a connection is an offset in one ordered log. Every event is encoded once, appended
//! to one node-wide [`journal`], and a stream is only a position in it. Live delivery, slow
//! readers, long-poll and `Last-Event-ID` are one mechanism: *send what lies between this position
//! and the head*.
//!
//! The rooms, lowest first; each may use those above it in this list only as drawn in
//! ARCHITECTURE.md:
//!
//! - [`proto`]: bytes to values and back. No I/O, no clock.
//! - [`auth`]: who may do what. Pure.
//! - [`journal`]: the one order, the histories.
//! - [`hub`]: subscribers of one core. Pure.
//! - [`conn`]: one connection's life as a state table. Pure.
//! - [`driver`]: the kernel and the other cores; the only `unsafe` beside the journal's ring.
//! - [`worker`]: one core at work.
//! - [`control`], [`admin`], [`obs`], [`config`], [`cli`]: the cold half.
//! - [`bench`]: the load tool, a client of any such server.
#![deny(unsafe_code)]

pub mod admin;
pub mod auth;
pub mod bench;
pub mod cli;
pub mod config;
pub mod conn;
pub mod control;
pub mod driver;
pub mod hub;
pub mod journal;
pub mod obs;
pub mod proto;
pub mod worker;
