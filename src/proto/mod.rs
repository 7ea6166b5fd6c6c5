//! Bytes to values and back: HTTP, the event stream, publish commands. No I/O, no clock.

pub mod http;
pub mod sse;
