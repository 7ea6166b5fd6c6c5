//! The event stream format (WHATWG HTML, 9.2 "Server-sent events").

pub mod frame;
pub mod id;

pub use frame::Frame;
pub use id::{Epoch, EventId};
