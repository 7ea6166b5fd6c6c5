//! Sets of addresses.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use thiserror::Error;

/// Why a text is no block of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CidrError {
    /// What stands in front of the `/`, or alone, is no address.
    #[error("not an IPv4 or IPv6 address")]
    Address,
    /// What stands behind it is no length of a prefix.
    #[error("the prefix length is a number up to 32 (IPv4) or 128 (IPv6)")]
    Prefix,
}

/// A block of addresses, `10.0.0.0/8` (RFC 4632, RFC 4291 2.3); an address alone is itself.
///
/// IPv4 blocks hold IPv4 addresses in IPv6 clothes (`::ffff:10.0.0.1`) too. Bits behind the prefix
/// do not count: `10.1.2.3/8` is `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    /// IPv4 addresses as `::ffff:a.b.c.d`, bits behind the prefix 0.
    bits: u128,
    /// Of 128 bits.
    prefix: u32,
}

/// Bits in front of an IPv4 address in IPv6 clothes.
const MAPPED: u32 = 96;

fn bits_of(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

fn mask(prefix: u32) -> u128 {
    u128::MAX.checked_shl(128 - prefix).unwrap_or(0)
}

impl Cidr {
    /// The address lies in the block.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        bits_of(ip) & mask(self.prefix) == self.bits
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let ip: IpAddr = address.parse().map_err(|_| CidrError::Address)?;
        let (before, most) = if ip.is_ipv4() { (MAPPED, 32) } else { (0, 128) };
        let length = length.map_or(Ok(most), |length| {
            let plain = length.bytes().all(|b| b.is_ascii_digit());
            length.parse().ok().filter(|length| plain && *length <= most).ok_or(CidrError::Prefix)
        })?;
        let prefix = before + length;
        Ok(Self { bits: bits_of(ip) & mask(prefix), prefix })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ip = Ipv6Addr::from_bits(self.bits);
        match ip.to_ipv4_mapped() {
            Some(ip) if self.prefix >= MAPPED => write!(f, "{ip}/{}", self.prefix - MAPPED),
            _ => write!(f, "{ip}/{}", self.prefix),
        }
    }
}

/// The proxies whose word counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trusted(Box<[Cidr]>);

impl Trusted {
    /// Nobody.
    #[must_use]
    pub fn nobody() -> Self {
        Self::default()
    }

    /// The address is one of them.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|block| block.contains(ip))
    }

    /// True when there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Cidr> for Trusted {
    fn from_iter<I: IntoIterator<Item = Cidr>>(blocks: I) -> Self {
        Self(blocks.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn blocks_and_their_spelling() {
        for (text, shown) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("192.0.2.1", "192.0.2.1/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("::/0", "::/0"),
            ("::1", "::1/128"),
            ("2001:DB8:1::/48", "2001:db8:1::/48"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ] {
            assert_eq!(cidr(text).to_string(), shown, "{text}");
            assert_eq!(cidr(shown), cidr(text));
        }
        for (text, error) in [
            ("", CidrError::Address),
            ("/8", CidrError::Address),
            ("10/8", CidrError::Address),
            ("10.0.0.0.0/8", CidrError::Address),
            ("010.0.0.0/8", CidrError::Address),
            ("example.org", CidrError::Address),
            ("10.0.0.0/33", CidrError::Prefix),
            ("10.0.0.0/", CidrError::Prefix),
            ("10.0.0.0/+8", CidrError::Prefix),
            ("10.0.0.0/8/8", CidrError::Prefix),
            ("::/129", CidrError::Prefix),
        ] {
            assert_eq!(text.parse::<Cidr>(), Err(error), "{text}");
        }
    }

    #[test]
    fn versions_do_not_mix() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(cidr("10.0.0.0/8").contains(ip("::ffff:10.9.9.9")));
        assert!(cidr("0.0.0.0/0").contains(ip("203.0.113.9")));
        assert!(!cidr("0.0.0.0/0").contains(ip("2001:db8::1")));
        assert!(!cidr("127.0.0.1").contains(ip("::1")));
        assert!(!Trusted::nobody().contains(ip("127.0.0.1")) && Trusted::nobody().is_empty());
    }

    /// The address as a text of its bits.
    fn binary(ip: IpAddr) -> String {
        match ip {
            IpAddr::V4(ip) => ip.octets().iter().map(|byte| format!("{byte:08b}")).collect(),
            IpAddr::V6(ip) => ip.octets().iter().map(|byte| format!("{byte:08b}")).collect(),
        }
    }

    proptest! {
        /// Against comparing texts of bits, with an address near the block.
        #[test]
        fn contains_means_the_same_first_bits(
            address in prop_oneof![
                any::<[u8; 4]>().prop_map(IpAddr::from),
                any::<[u8; 16]>().prop_map(IpAddr::from),
            ],
            length in 0..=128_usize,
            flipped in 0..128_u32,
        ) {
            let bits = binary(address);
            let length = length.min(bits.len());
            let flipped = flipped % u32::try_from(bits.len()).unwrap();
            let near: IpAddr = match address {
                IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() ^ 1 << flipped).into(),
                IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() ^ 1 << flipped).into(),
            };
            let block = cidr(&format!("{address}/{length}"));
            prop_assert!(block.contains(address));
            let same = bits[..length] == binary(near)[..length];
            prop_assert_eq!(block.contains(near), same, "{} {}", block, near);
        }
    }
}
