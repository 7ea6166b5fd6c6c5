//! HTTP/1.1, RFC 9110 and RFC 9112: the little of it that an event server needs, strictly.

mod body;
pub mod cors;
mod head;
mod response;
mod target;

pub use body::{Body, BodyError, Fed};
pub use head::{Framing, Head, HeadError, HeadLimits, Method, Parsed, Scan, Version, parse_head};
pub use response::{CONTINUE, Problem, Response};
pub use target::{TargetError, decode_percent, pairs, segments, split_target};
