//! The event stream format (WHATWG HTML, 9.2 "Server-sent events").

mod encode;
mod frame;
mod heartbeat;
mod id;

pub use encode::{
    ByeReason, ControlEvent, GapReason, write_event_json, write_preamble, write_stream_head,
};
pub use frame::Frame;
pub use heartbeat::Heartbeat;
pub use id::{Epoch, EventId};
