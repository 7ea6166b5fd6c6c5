//! One connection's life. Pure: it says which step is allowed, others take it.

mod armed;
mod state;

pub use armed::{Armed, Operation};
pub use state::{State, Step};
