//! The true address of a client behind proxies.

mod cidr;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use cidr::{Cidr, CidrError, Trusted};

/// Who told the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToldBy {
    /// The connection itself (or its PROXY protocol header): nothing usable was forwarded.
    Peer,
    /// A trusted peer's `X-Forwarded-For`.
    ForwardedFor,
    /// A trusted peer's `X-Real-IP`.
    RealIp,
}

/// The address limits and logs go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// Never an IPv4 address in IPv6 clothes.
    pub ip: IpAddr,
    /// Where it comes from. A trusted peer that told none is a proxy's own request, or a proxy
    /// that hides its clients: connect rates exempt it.
    pub told_by: ToldBy,
}

/// Finds the client's address.
///
/// `peer` is the other end of the connection, or the source of its PROXY protocol header. Only if
/// it is trusted are the fields read: `forwarded_for`, the values of `X-Forwarded-For` in the order
/// of their lines, from the right. Each proxy has added the address it saw; the first one that
/// is not itself a trusted proxy is the client, and what stands left of it is the client's own
/// invention. If all are trusted, it is the leftmost of them. What cannot be read as an address ends
/// the search at the address before it.
///
/// `real_ip`, the value of `X-Real-IP`, counts where `X-Forwarded-For` names nothing at all.
pub fn client<'a>(
    peer: IpAddr,
    trusted: &Trusted,
    forwarded_for: impl DoubleEndedIterator<Item = &'a str>,
    real_ip: Option<&str>,
) -> Client {
    let mut found = Client { ip: peer.to_canonical(), told_by: ToldBy::Peer };
    if !trusted.contains(peer) {
        return found;
    }
    let elements = forwarded_for.rev().flat_map(|value| value.rsplit(','));
    let mut named = false;
    for element in elements.map(str::trim).filter(|element| !element.is_empty()) {
        named = true;
        let Some(ip) = read_address(element) else { return found };
        found = Client { ip, told_by: ToldBy::ForwardedFor };
        if !trusted.contains(ip) {
            return found;
        }
    }
    match real_ip.map(str::trim).and_then(read_address) {
        Some(ip) if !named => Client { ip, told_by: ToldBy::RealIp },
        _ => found,
    }
}

/// An address with or without a port; some proxies write one: `192.0.2.1:80`, `[2001:db8::1]:80`.
fn read_address(text: &str) -> Option<IpAddr> {
    let ip = if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let has_port = port.strip_prefix(':').is_some_and(is_port);
        (port.is_empty() || has_port).then_some(())?;
        IpAddr::V6(address.parse::<Ipv6Addr>().ok()?)
    } else if let Some((address, _)) = text.split_once(':').filter(|(_, p)| is_port(p)) {
        // One colon only: an IPv6 address has more, and what follows its first is no port.
        IpAddr::V4(address.parse::<Ipv4Addr>().ok()?)
    } else {
        text.parse().ok()?
    };
    Some(ip.to_canonical())
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// What caps and rates count by: an IPv4 address, or the /64 of an IPv6 one, which is what one
/// subscriber gets (RFC 6177) and can choose its addresses from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IpKey {
    /// The whole address.
    V4(u32),
    /// Its first 64 bits.
    V6(u64),
}

impl From<IpAddr> for IpKey {
    fn from(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self::V4(ip.to_bits()),
            // The upper half fits.
            IpAddr::V6(ip) => Self::V6(u64::try_from(ip.to_bits() >> 64).unwrap_or(u64::MAX)),
        }
    }
}

impl fmt::Display for IpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::V4(bits) => write!(f, "{}", Ipv4Addr::from_bits(bits)),
            Self::V6(bits) => write!(f, "{}/64", Ipv6Addr::from_bits(u128::from(bits) << 64)),
        }
    }
}

#[cfg(test)]
mod tests;
