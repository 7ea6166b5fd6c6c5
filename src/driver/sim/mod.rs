//! The seeded kernel: many workers, one thread, a virtual clock.
//!
//! One seed replays a run exactly. [`driver::SimDriver`] answers the contract and checks its
//! rules; simulated clients subscribe, publish, stall and break off over it; the books in
//! [`ledger`] know what every stream must have received. What goes wrong is drawn by
//! [`faults::Faults`].

mod client;
mod driver;
mod faults;
mod flaw;
mod kernel;
mod ledger;
mod link;
mod net;
mod script;
mod side;
mod trace;
mod world;

pub(crate) use driver::SimDriver;
pub(crate) use flaw::{Failure, Flaw};
pub(crate) use script::{PUBLISH_TOKEN, Script};
pub(crate) use world::{Fleet, World};
