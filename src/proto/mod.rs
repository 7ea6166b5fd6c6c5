//! Bytes to values and back: HTTP, the event stream, publish commands. No I/O, no clock.

pub mod channel;
pub mod http;
pub mod publish;
pub mod sse;
pub mod subscribe;
