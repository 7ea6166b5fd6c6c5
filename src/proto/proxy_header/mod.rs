//! The PROXY protocol, versions 1 and 2 (HAProxy, `doc/proxy-protocol.txt`): the line or block with
//! which a balancer tells whose connection it forwards.
//!
//! It is never guessed: the caller asks for it on connections of trusted balancers only, and there
//! it must come first. Like a request head it is complete, partial or invalid, and what can never
//! become a header is invalid at its first wrong byte.

mod v1;
mod v2;

use std::net::SocketAddr;

use thiserror::Error;

/// Longest header of version 1, line end included (section 2.1).
pub const V1_BYTES_MAX: usize = 107;
/// Most bytes that version 2 may announce behind its first sixteen: 216 for the longest pair of
/// addresses, the rest for fields (TLVs) that are skipped unread.
pub const V2_LENGTH_MAX: usize = 2048;
/// Longest header.
pub const BYTES_MAX: usize = v2::HEAD + V2_LENGTH_MAX;

/// Answer of [`parse`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// A whole header of `len` bytes; the request begins behind it.
    Complete {
        /// Where the forwarded connection comes from. `None`: the balancer does not say (`LOCAL`,
        /// its own health checks; `UNKNOWN`; no internet address): the peer's own counts.
        source: Option<SocketAddr>,
        /// Bytes of the header.
        len: usize,
    },
    /// The end has not come yet; at most [`BYTES_MAX`] bytes will be needed.
    Partial,
    /// No such header: close the connection (section 2: "must be rejected").
    Invalid(ProxyError),
}

/// Why a header was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProxyError {
    /// It begins as neither version does.
    #[error("no PROXY protocol header stands in front of the request")]
    Missing,
    /// Version 1: not `PROXY TCP4|TCP6 source destination port port`, or no line end in time.
    #[error("the line of PROXY protocol version 1 is malformed")]
    Line,
    /// Version 2: a version, command, family or transport that is not assigned.
    #[error("the block of PROXY protocol version 2 has an unknown command or family")]
    Unassigned,
    /// Version 2: shorter than the addresses it should hold.
    #[error("the block of PROXY protocol version 2 is too short for its addresses")]
    Short,
    /// Version 2: longer than [`V2_LENGTH_MAX`].
    #[error("the block of PROXY protocol version 2 has more than {V2_LENGTH_MAX} bytes")]
    TooLong,
}

/// Reads a header from the beginning of `buf`. Call it again with more bytes after
/// [`Parsed::Partial`].
#[must_use]
pub fn parse(buf: &[u8]) -> Parsed {
    let outcome = if begins_as(buf, v1::SIGNATURE) {
        v1::parse(buf)
    } else if begins_as(buf, v2::SIGNATURE) {
        v2::parse(buf)
    } else {
        Err(ProxyError::Missing)
    };
    match outcome {
        Ok(Some((source, len))) => Parsed::Complete { source, len },
        Ok(None) => Parsed::Partial,
        Err(error) => Parsed::Invalid(error),
    }
}

/// What a version answers: source and length, or nothing yet.
type Outcome = Result<Option<(Option<SocketAddr>, usize)>, ProxyError>;

/// As far as there are bytes, they are those of `signature`.
fn begins_as(buf: &[u8], signature: &[u8]) -> bool {
    buf.iter().zip(signature).all(|(found, expected)| found == expected)
}

#[cfg(test)]
mod tests;
