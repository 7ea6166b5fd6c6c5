//! Bytes to values and back: HTTP, the event stream, publish commands. No I/O, no clock.

pub mod channel;
pub mod envelope;
pub mod forwarded;
pub mod gzip;
pub mod http;
mod iso;
mod nearest;
pub mod paths;
pub mod prefixes;
pub mod proxy_header;
pub mod publish;
pub mod sse;
pub mod subscribe;

pub use iso::iso8601;
pub use nearest::nearest;
