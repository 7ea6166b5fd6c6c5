//! The subscribers of one core: who is linked to which topic, and what each topic still owes.
//!
//! Pure: no I/O, and time is an argument. A *topic* is what a stream can be linked to on this
//! core: a channel (users and tenants are channels), a pattern, or the broadcast, to which every
//! stream belongs without a link.
//!
//! Beside them stand the limits. [`rates`] and [`connect_rate`] have one owner each; [`caps`] is the
//! one table that all cores of a node share. [`presence`] says who is there.

pub mod caps;
pub mod connect_rate;
mod links;
mod patterns;
pub mod presence;
mod pulse;
pub mod rates;
mod shelves;
mod stripes;
mod topic;
mod topics;

pub use pulse::Pulse;
pub use shelves::Shelves;
pub use stripes::Stripes;
pub use topic::{Pending, Topic, TopicName, Walk};
pub use topics::{Hub, TopicId};
