//! The kernel and the other cores, behind one contract.
//!
//! [`contract`] says what a worker may ask and what it is told. [`uring`] answers with the real
//! kernel, `sim` with a seeded one. All `unsafe` of this room lives in [`sys`].

pub mod client;
pub mod clock;
pub mod contract;
pub mod doorbell;
pub mod error;
pub mod listener;
pub mod probe;
#[cfg(test)]
pub(crate) mod sim;
pub mod sys;
pub mod uring;
pub mod user_data;

pub use contract::{Completion, ConnId, Driver, Now, Outgoing, Received, Shut, Sock};
pub use doorbell::{ControlBell, Doorbells};
pub use error::StartError;
pub use uring::{UringDriver, UringSettings};
