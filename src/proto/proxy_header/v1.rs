//! Version 1, a line of text (section 2.1).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::{Outcome, ProxyError, V1_BYTES_MAX};

pub(super) const SIGNATURE: &[u8] = b"PROXY ";

pub(super) fn parse(buf: &[u8]) -> Outcome {
    let text = &buf[..buf.len().min(V1_BYTES_MAX)];
    // Of the bytes below space only the CR of the line end belongs here.
    let Some(at) = text.iter().position(|b| !(b' '..=b'~').contains(b)) else {
        return if text.len() < V1_BYTES_MAX { Ok(None) } else { Err(ProxyError::Line) };
    };
    match (text[at], text.get(at + 1)) {
        (b'\r', Some(b'\n')) => {}
        (b'\r', None) if text.len() < V1_BYTES_MAX => return Ok(None),
        _ => return Err(ProxyError::Line),
    }
    // A line cut within its signature.
    let rest = text[..at].strip_prefix(SIGNATURE).ok_or(ProxyError::Line)?;
    let rest = std::str::from_utf8(rest).map_err(|_| ProxyError::Line)?;
    Ok(Some((read(rest).ok_or(ProxyError::Line)?, at + 2)))
}

/// What stands behind the signature.
#[expect(clippy::option_option, reason = "a bad line, no source, a source")]
fn read(rest: &str) -> Option<Option<SocketAddr>> {
    let (family, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    match family {
        "TCP4" => read_pair::<Ipv4Addr>(rest).map(Some),
        "TCP6" => read_pair::<Ipv6Addr>(rest).map(Some),
        // "The receiver must ignore anything presented before the CRLF."
        "UNKNOWN" => Some(None),
        _ => None,
    }
}

/// Source and destination, then their ports, single spaces between them.
fn read_pair<A: FromStr + Into<IpAddr>>(text: &str) -> Option<SocketAddr> {
    let mut parts = text.split(' ');
    let mut address = || parts.next()?.parse::<A>().ok();
    let (source, _destination) = (address()?, address()?);
    let mut port = || read_port(parts.next()?);
    let (source_port, _destination_port) = (port()?, port()?);
    parts.next().is_none().then(|| SocketAddr::new(source.into(), source_port))
}

/// A decimal number without a sign or a leading zero.
fn read_port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}
