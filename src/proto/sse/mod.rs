//! The event stream format (WHATWG HTML, 9.2 "Server-sent events").

mod encode;
mod frame;
mod id;

pub use encode::{
    ByeReason, ControlEvent, GapReason, HEARTBEAT, write_event_json, write_preamble,
    write_stream_head,
};
pub use frame::Frame;
pub use id::{Epoch, EventId};
