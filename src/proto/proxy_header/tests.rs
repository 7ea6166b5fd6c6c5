//! The oracle for what is right is the crate `proxy-header`, which writes and reads both versions.

use std::net::IpAddr;

use proptest::prelude::*;
use proxy_header::{ParseConfig, ProxiedAddress, ProxyHeader};

use super::*;

fn complete(source: Option<&str>, len: usize) -> Parsed {
    Parsed::Complete { source: source.map(|text| text.parse().unwrap()), len }
}

/// A block of version 2.
fn block(command: u8, family: u8, length: u16, rest: &[u8]) -> Vec<u8> {
    [v2::SIGNATURE, &[command, family], &length.to_be_bytes(), rest].concat()
}

#[test]
fn lines() {
    let longest = "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \
                   ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    assert_eq!(longest.len(), V1_BYTES_MAX);
    for (text, source) in [
        ("PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n", Some("192.0.2.1:56324")),
        ("PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n", Some("255.255.255.255:65535")),
        ("PROXY TCP6 2001:DB8::1 ::1 4124 443\r\n", Some("[2001:db8::1]:4124")),
        ("PROXY UNKNOWN\r\n", None),
        ("PROXY UNKNOWN what ever\r\n", None),
        (longest, None),
    ] {
        assert_eq!(parse(text.as_bytes()), complete(source, text.len()), "{text}");
        let more = format!("{text}GET / HTTP/1.1\r\n");
        assert_eq!(parse(more.as_bytes()), complete(source, text.len()), "{text}");
    }
}

#[test]
fn lines_that_are_refused() {
    let long = format!("PROXY UNKNOWN {}", "x".repeat(V1_BYTES_MAX));
    let late = format!("PROXY UNKNOWN {}\r\n", "x".repeat(V1_BYTES_MAX - 15));
    for text in [
        "PROXY TCP4 192.0.2.1 198.51.100.7 56324\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443 \r\n",
        "PROXY TCP4 192.0.2.1  198.51.100.7 56324 443\r\n",
        "PROXY TCP4 192.0.2.01 198.51.100.7 56324 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 056324 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 65536 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 +1 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 1 \r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.7 1 2\r\n",
        "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
        "PROXY UDP4 192.0.2.1 198.51.100.7 1 2\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY \r\n",
        "PROXY UNKNOWN\n",
        "PROXY UNKNOWN\rx",
        "PROXY UNKNOWN \t\r\n",
        &long,
        &late,
    ] {
        assert_eq!(parse(text.as_bytes()), Parsed::Invalid(ProxyError::Line), "{text}");
    }
    for text in ["GET / HTTP/1.1\r\n", "PROXYX", "P ", "proxy ", "\r\nGET", "\0"] {
        assert_eq!(parse(text.as_bytes()), Parsed::Invalid(ProxyError::Missing), "{text:?}");
    }
}

#[test]
fn blocks() {
    let inet = [192, 0, 2, 1, 198, 51, 100, 7, 0xdc, 0x04, 1, 0xbb];
    let mut inet6 = [0; 36];
    inet6[..2].copy_from_slice(&[0x20, 0x01]);
    inet6[15] = 9;
    inet6[32..34].copy_from_slice(&[0, 80]);
    let with_fields = [&inet[..], &[0x04, 0, 3, 1, 2, 3]].concat();
    for (bytes, source) in [
        (block(0x21, 0x11, 12, &inet), Some("192.0.2.1:56324")),
        (block(0x21, 0x12, 12, &inet), Some("192.0.2.1:56324")),
        (block(0x21, 0x11, 18, &with_fields), Some("192.0.2.1:56324")),
        (block(0x21, 0x21, 36, &inet6), Some("[2001::9]:80")),
        (block(0x21, 0x31, 216, &[7; 216]), None),
        (block(0x21, 0x00, 0, &[]), None),
        (block(0x21, 0x00, 2, &[1, 2]), None),
        (block(0x20, 0x00, 0, &[]), None),
        (block(0x20, 0xff, 3, &[1, 2, 3]), None),
        (block(0x20, 0x11, 12, &inet), None),
    ] {
        assert_eq!(parse(&bytes), complete(source, bytes.len()), "{bytes:?}");
    }
}

#[test]
fn blocks_that_are_refused() {
    let longest = u16::try_from(V2_LENGTH_MAX).unwrap();
    for (bytes, error) in [
        (block(0x22, 0x11, 12, &[0; 12]), ProxyError::Unassigned),
        (block(0x11, 0x11, 12, &[0; 12]), ProxyError::Unassigned),
        (block(0x21, 0x41, 12, &[0; 12]), ProxyError::Unassigned),
        (block(0x21, 0x13, 12, &[0; 12]), ProxyError::Unassigned),
        (block(0x21, 0x10, 12, &[0; 12]), ProxyError::Unassigned),
        (block(0x21, 0x01, 12, &[0; 12]), ProxyError::Unassigned),
        (block(0x21, 0x11, 11, &[0; 11]), ProxyError::Short),
        (block(0x21, 0x21, 35, &[0; 35]), ProxyError::Short),
        (block(0x21, 0x31, 215, &[0; 215]), ProxyError::Short),
        (block(0x21, 0x11, longest + 1, &[]), ProxyError::TooLong),
        (block(0x20, 0x00, u16::MAX, &[]), ProxyError::TooLong),
    ] {
        assert_eq!(parse(&bytes), Parsed::Invalid(error), "{bytes:?}");
    }
    assert_eq!(parse(&block(0x21, 0x11, longest, &[])), Parsed::Partial);
}

/// A header as the oracle writes it, and its source.
fn written() -> impl Strategy<Value = (Vec<u8>, Option<SocketAddr>)> {
    let four = any::<([u8; 4], [u8; 4])>()
        .prop_map(|(source, destination)| (IpAddr::from(source), IpAddr::from(destination)));
    let six = any::<([u8; 16], [u8; 16])>()
        .prop_map(|(source, destination)| (IpAddr::from(source), IpAddr::from(destination)));
    let fields = prop::collection::vec(any::<u8>(), 0..100);
    let addresses = prop::option::of((prop_oneof![four, six], any::<(u16, u16)>()));
    (addresses, any::<bool>(), fields).prop_map(|(addresses, second, field)| {
        let pair = addresses.map(|((source, destination), (from, to))| {
            (SocketAddr::new(source, from), SocketAddr::new(destination, to))
        });
        let mut header = pair.map_or_else(ProxyHeader::with_local, |(source, destination)| {
            ProxyHeader::with_address(ProxiedAddress::stream(source, destination))
        });
        let mut bytes = Vec::new();
        if second {
            header.append_tlv(proxy_header::Tlv::Noop(field.len()));
            header.encode_v2(&mut bytes).unwrap();
        } else {
            header.encode_v1(&mut bytes).unwrap();
        }
        (bytes, pair.map(|(source, _)| source))
    })
}

/// Bytes near a header: one written by the oracle with some of them changed.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    (written(), changes).prop_map(|((mut bytes, _), changes)| {
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

proptest! {
    #[test]
    fn headers_of_the_oracle_are_read_at_every_split(
        (bytes, source) in written(),
        rest in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        for cut in 0..bytes.len() {
            prop_assert_eq!(parse(&bytes[..cut]), Parsed::Partial, "{} bytes", cut);
        }
        let whole = Parsed::Complete { source, len: bytes.len() };
        prop_assert_eq!(parse(&[&bytes[..], &rest].concat()), whole);
    }

    /// What is read from a damaged header the oracle reads in the same way.
    #[test]
    fn nothing_is_read_that_the_oracle_does_not(mut bytes in damaged()) {
        if let Parsed::Complete { source, len } = parse(&bytes) {
            // Section 2.2: with LOCAL the family is ignored. The oracle reads it all the same.
            if bytes.starts_with(v2::SIGNATURE) && bytes[12] == 0x20 {
                bytes[13] = 0;
            }
            let config = ParseConfig::default();
            let (header, oracle_len) = ProxyHeader::parse(&bytes, config).expect("complete");
            let oracle = header.proxied_address().map(|address| address.source);
            prop_assert_eq!((source, len), (oracle, oracle_len));
        }
    }

    /// More bytes never take an answer back, and the end of waiting is bounded.
    #[test]
    fn answers_are_final(
        bytes in prop_oneof![damaged(), prop::collection::vec(any::<u8>(), 0..200)],
    ) {
        let mut last = Parsed::Partial;
        for cut in 0..=bytes.len() {
            let now = parse(&bytes[..cut]);
            if last != Parsed::Partial {
                prop_assert_eq!(now, last, "{} bytes", cut);
            }
            last = now;
        }
        let filled = [&bytes[..], &[b'x'; BYTES_MAX]].concat();
        prop_assert_ne!(parse(&filled), Parsed::Partial);
    }
}
