//! The kernel and the other cores, behind one contract.
//!
//! [`contract`] says what a worker may ask and what it is told. `uring` answers with the real
//! kernel, `sim` with a seeded one. All `unsafe` of this room lives in [`sys`].

pub mod contract;
pub mod sys;

pub use contract::{Completion, ConnId, Driver, Now, Outgoing, Received, Sock};
