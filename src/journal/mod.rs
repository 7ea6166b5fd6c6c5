//! The one order of events and the histories.

mod aim;
mod append;
pub mod event;
mod namespace;
mod parked;
mod receipt;
mod recent;
mod ring;
mod snapshot;
mod store;
mod wake;

pub use aim::{Aim, StreamPlace};
pub use append::{Appended, Journal, JournalSettings, PatternStart, Refused, Unpublished};
pub use event::{ChannelKey, Draft, Event, KeyHasher, short_us};
pub use namespace::{Mode, Namespace, Namespaces, Overflow};
pub use parked::{Parked, Ticket};
pub use receipt::{Receipt, Written};
pub use ring::Reader;
pub use snapshot::{JournalRecord, Unsound, hash_witness};
pub use store::{Purpose, Range, Span, StoreSettings};
pub use wake::Wakes;

#[cfg(test)]
pub(crate) mod testing;
