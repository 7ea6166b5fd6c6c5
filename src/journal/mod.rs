//! The one order of events and the histories.

pub mod event;

pub use event::{ChannelKey, Draft, Event};
