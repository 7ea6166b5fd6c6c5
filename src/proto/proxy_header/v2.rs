//! Version 2, a block of bytes (section 2.2).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Outcome, ProxyError, V2_LENGTH_MAX, begins_as};

pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, command, family, length.
pub(super) const HEAD: usize = 16;

const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;

/// Bytes of the addresses and ports of each family.
const INET_LEN: usize = 12;
const INET6_LEN: usize = 36;
const UNIX_LEN: usize = 216;

pub(super) fn parse(buf: &[u8]) -> Outcome {
    debug_assert!(begins_as(buf, SIGNATURE));
    let command = buf.get(12).copied();
    let family = buf.get(13).copied();
    if command.is_some_and(|command| !matches!(command, LOCAL | PROXY)) {
        return Err(ProxyError::Unassigned);
    }
    // The family of LOCAL is ignored, as is all that follows.
    let needed = match (command, family) {
        (Some(PROXY), Some(family)) => addresses_len(family).ok_or(ProxyError::Unassigned)?,
        _ => 0,
    };
    let Some(&[high, low]) = buf.get(14..HEAD) else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > V2_LENGTH_MAX {
        return Err(ProxyError::TooLong);
    }
    if length < needed {
        return Err(ProxyError::Short);
    }
    let Some(block) = buf.get(HEAD..HEAD + length) else { return Ok(None) };
    let source = match needed {
        INET_LEN => read_inet(block),
        INET6_LEN => read_inet6(block),
        _ => None,
    };
    Ok(Some((source, HEAD + length)))
}

/// Bytes of addresses for a family and a transport, `None` if the pair is not assigned.
fn addresses_len(family: u8) -> Option<usize> {
    match family {
        0x00 => Some(0),
        0x11 | 0x12 => Some(INET_LEN),
        0x21 | 0x22 => Some(INET6_LEN),
        0x31 | 0x32 => Some(UNIX_LEN),
        _ => None,
    }
}

fn read_inet(block: &[u8]) -> Option<SocketAddr> {
    let address: [u8; 4] = block.first_chunk().copied()?;
    Some(SocketAddr::new(Ipv4Addr::from(address).into(), read_port(block, 8)?))
}

fn read_inet6(block: &[u8]) -> Option<SocketAddr> {
    let address: [u8; 16] = block.first_chunk().copied()?;
    Some(SocketAddr::new(Ipv6Addr::from(address).into(), read_port(block, 32)?))
}

fn read_port(block: &[u8], at: usize) -> Option<u16> {
    block.get(at..)?.first_chunk().map(|port| u16::from_be_bytes(*port))
}
