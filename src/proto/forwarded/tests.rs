use proptest::prelude::*;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn trusted(blocks: &[&str]) -> Trusted {
    blocks.iter().map(|block| block.parse::<Cidr>().unwrap()).collect()
}

fn look(peer: &str, forwarded_for: &[&str], real_ip: Option<&str>) -> (String, ToldBy) {
    let trusted = trusted(&["10.0.0.0/8", "127.0.0.1", "fd00::/8"]);
    let found = client(ip(peer), &trusted, forwarded_for.iter().copied(), real_ip);
    (found.ip.to_string(), found.told_by)
}

#[test]
fn the_rightmost_untrusted_address_counts() {
    use ToldBy::{ForwardedFor, Peer, RealIp};
    for (peer, forwarded_for, real_ip, expected, told_by) in [
        // Nobody else is believed.
        ("203.0.113.9", &["192.0.2.1"][..], Some("192.0.2.2"), "203.0.113.9", Peer),
        ("10.0.0.1", &["192.0.2.1"], None, "192.0.2.1", ForwardedFor),
        ("::ffff:10.0.0.1", &["192.0.2.1"], None, "192.0.2.1", ForwardedFor),
        // What stands left of the client is its own invention.
        ("10.0.0.1", &["1.1.1.1, 192.0.2.1,10.0.0.7"], None, "192.0.2.1", ForwardedFor),
        ("10.0.0.1", &["1.1.1.1", "192.0.2.1", "10.0.0.7"], None, "192.0.2.1", ForwardedFor),
        // All trusted: a client within.
        ("127.0.0.1", &["10.0.0.9, 10.0.0.7"], None, "10.0.0.9", ForwardedFor),
        // No address.
        ("10.0.0.1", &["192.0.2.1, unknown"], Some("192.0.2.2"), "10.0.0.1", Peer),
        ("10.0.0.1", &["192.0.2.1, _x, 10.0.0.7"], None, "10.0.0.7", ForwardedFor),
        ("10.0.0.1", &["10.1.2.3.4"], None, "10.0.0.1", Peer),
        // Nothing named.
        ("10.0.0.1", &[], None, "10.0.0.1", Peer),
        ("10.0.0.1", &[" , ,"], Some(" 192.0.2.2 "), "192.0.2.2", RealIp),
        ("10.0.0.1", &["192.0.2.1"], Some("192.0.2.2"), "192.0.2.1", ForwardedFor),
        ("10.0.0.1", &[], Some("what"), "10.0.0.1", Peer),
        // Ports, versions.
        ("10.0.0.1", &["192.0.2.1:4711"], None, "192.0.2.1", ForwardedFor),
        ("10.0.0.1", &["[2001:db8::1]:4711"], None, "2001:db8::1", ForwardedFor),
        ("10.0.0.1", &["2001:db8::1, [fd00::1]"], None, "2001:db8::1", ForwardedFor),
        ("10.0.0.1", &["::ffff:192.0.2.1"], None, "192.0.2.1", ForwardedFor),
        ("fd00::1", &["192.0.2.1"], None, "192.0.2.1", ForwardedFor),
    ] {
        let found = look(peer, forwarded_for, real_ip);
        assert_eq!(found, (expected.to_owned(), told_by), "{peer} {forwarded_for:?}");
    }
}

#[test]
fn addresses_that_cannot_be_read() {
    for text in [
        "",
        "localhost",
        "1.2.3",
        "1.2.3.4:",
        "1.2.3.4:x",
        "1.2.3.4:65536",
        "[::1",
        "::1]",
        "[::1]x",
        "[::1]:",
        "[1.2.3.4]",
        "fe80::1%eth0",
        "\"1.2.3.4\"",
        "1.2.3.4/8",
    ] {
        assert_eq!(read_address(text), None, "{text}");
    }
    assert_eq!(read_address("::1:80"), Some(ip("::1:80")));
}

#[test]
fn keys_of_addresses() {
    let key = |text: &str| IpKey::from(ip(text));
    assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
    assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
    assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
    // The IPv4 address 0.0.0.1 is not the /64 of ::1.
    assert_ne!(key("0.0.0.0"), key("::1"));
    assert_eq!(key("192.0.2.1").to_string(), "192.0.2.1");
    assert_eq!(key("2001:db8:1:2::1").to_string(), "2001:db8:1:2::/64");
}

proptest! {
    /// Whatever a client writes in front, the answer is the address the last trusted proxy saw.
    #[test]
    fn no_client_can_choose_its_address(
        invented in prop::collection::vec("[0-9a-f:., ]{0,20}|10\\.0\\.0\\.[1-9]|unknown", 0..4),
        hops in prop::collection::vec(1..255_u8, 0..4),
        seen in any::<[u8; 4]>().prop_map(IpAddr::from),
        one_line in any::<bool>(),
    ) {
        let set = trusted(&["10.0.0.0/8"]);
        prop_assume!(!set.contains(seen));
        let mut elements = invented;
        elements.push(seen.to_string());
        elements.extend(hops.iter().map(|hop| format!("10.0.0.{hop}")));
        let lines = if one_line { vec![elements.join(", ")] } else { elements };
        let found = client(ip("10.0.0.1"), &set, lines.iter().map(String::as_str), Some("8.8.8.8"));
        prop_assert_eq!(found, Client { ip: seen, told_by: ToldBy::ForwardedFor });
    }

    /// Against a walk over all elements at once.
    #[test]
    fn reads_as_a_walk_from_the_right(
        elements in prop::collection::vec("10\\.0\\.0\\.[1-3]|192\\.0\\.2\\.[1-3]|x|", 0..6),
        peer in "10\\.0\\.0\\.1|192\\.0\\.2\\.9",
    ) {
        let set = trusted(&["10.0.0.0/8"]);
        let mut expected = ip(&peer);
        let mut walk: Vec<&str> =
            elements.iter().map(String::as_str).filter(|element| !element.is_empty()).collect();
        while set.contains(expected) && let Some(element) = walk.pop() {
            match element.parse() {
                Ok(address) => expected = address,
                Err(_) => break,
            }
        }
        let line = elements.join(",");
        let found = client(ip(&peer), &set, [line.as_str()].into_iter(), None);
        prop_assert_eq!(found.ip, expected);
    }
}
