//! Whether a client wants gzip (RFC 9110 12.5.3).

/// Weight of a coding that may not be used.
const NEVER: u16 = 0;
/// Weight without `q`, in thousandths.
const FULL: u16 = 1000;

/// True when an `Accept-Encoding` value (several lines joined by commas) allows gzip and does not
/// rather have the stream unencoded.
///
/// `x-gzip` is gzip (RFC 9110 8.4.1.3). `*` speaks for what is not named. Where gzip is named
/// twice, the lower weight counts; a weight that cannot be read counts as 0. An empty value, or one
/// that says nothing of gzip or `*`, means no.
#[must_use]
pub fn accepts_gzip(accept_encoding: &[u8]) -> bool {
    let (mut gzip, mut identity, mut any) = (None, None, None);
    for member in accept_encoding.split(|b| *b == b',') {
        let mut parts = member.split(|b| *b == b';');
        let coding = parts.next().unwrap_or_default().trim_ascii();
        let known =
            if coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip") {
                &mut gzip
            } else if coding.eq_ignore_ascii_case(b"identity") {
                &mut identity
            } else if coding == b"*" {
                &mut any
            } else {
                continue;
            };
        let weight = match (parts.next(), parts.next()) {
            (None, _) => FULL,
            (Some(parameter), None) => read_weight(parameter).unwrap_or(NEVER),
            (Some(_), Some(_)) => NEVER,
        };
        *known = Some(known.map_or(weight, |other: u16| other.min(weight)));
    }
    let gzip = gzip.or(any).unwrap_or(NEVER);
    // Not named, plain is always possible but not asked for.
    gzip > NEVER && gzip >= identity.or(any).unwrap_or(NEVER)
}

/// `q=` and a qvalue: 0 to 1 with at most three digits behind the point. In thousandths.
fn read_weight(parameter: &[u8]) -> Option<u16> {
    let (name, value) = parameter.trim_ascii().split_at_checked(2)?;
    if !name.eq_ignore_ascii_case(b"q=") {
        return None;
    }
    let (whole, fraction) = value.split_first()?;
    let digits = match fraction.split_first() {
        None => &[],
        Some((b'.', digits)) if digits.len() <= 3 && digits.iter().all(u8::is_ascii_digit) => {
            digits
        }
        Some(_) => return None,
    };
    let thousandths =
        [100, 10, 1].iter().zip(digits).map(|(place, digit)| place * u16::from(digit - b'0')).sum();
    match (whole, thousandths) {
        (b'0', thousandths) => Some(thousandths),
        (b'1', 0) => Some(FULL),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn headers_of_real_clients() {
        for value in [
            "gzip",
            "gzip, deflate, br, zstd",
            "br;q=1.0, gzip;q=0.8, *;q=0.1",
            "X-GZIP",
            "*",
            "deflate, gzip;q=1.0, *;q=0.5",
            "GZip ; q=0.001",
            "identity;q=0.5, gzip;q=0.5",
            "identity;q=0, *;q=0.2",
        ] {
            assert!(accepts_gzip(value.as_bytes()), "{value}");
        }
        for value in [
            "",
            " ",
            ",",
            "identity",
            "br, zstd",
            "gzip;q=0",
            "gzip;q=0.000, *",
            "x-gzip;q=0, *",
            "*;q=0",
            "gzipped",
            "identity;q=0.5, gzip;q=0.4",
            "gzip;q=0.3, *;q=0.5",
            "gzip;q=2",
            "gzip;q=1.001",
            "gzip;q=0.5555",
            "gzip;q=.5",
            "gzip;q=",
            "gzip;level=9",
            "gzip;q=1;q=1",
            "gzip, gzip;q=0",
        ] {
            assert!(!accepts_gzip(value.as_bytes()), "{value}");
        }
    }

    /// A coding, its weight in thousandths where one is written, and how it is written.
    type Member = (&'static str, Option<u16>, bool);

    fn member() -> impl Strategy<Value = Member> {
        let coding = prop::sample::select(vec!["gzip", "x-gzip", "identity", "*", "br", "deflate"]);
        (coding, prop::option::of(prop_oneof![Just(0), Just(1000), 0..=1000_u16]), any::<bool>())
    }

    fn write((coding, weight, spaced): &Member) -> String {
        let space = if *spaced { " \t" } else { "" };
        let coding = if *spaced { coding.to_uppercase() } else { (*coding).to_owned() };
        let weight = weight.map_or(String::new(), |weight| {
            let text = format!("{:.3}", f64::from(weight) / 1000.0);
            let text =
                if *spaced { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
            format!("{space};{space}q={text}")
        });
        format!("{space}{coding}{weight}{space}")
    }

    proptest! {
        /// Against the rules read as a table of weights.
        #[test]
        fn weights_decide(members in prop::collection::vec(member(), 0..6)) {
            let text = members.iter().map(write).collect::<Vec<_>>().join(",");
            let lowest = |names: &[&str]| {
                let named = members.iter().filter(|(coding, ..)| names.contains(coding));
                named.map(|(_, weight, _)| weight.unwrap_or(1000)).min()
            };
            let star = lowest(&["*"]);
            let gzip = lowest(&["gzip", "x-gzip"]).or(star).unwrap_or(0);
            let plain = lowest(&["identity"]).or(star).unwrap_or(0);
            prop_assert_eq!(accepts_gzip(text.as_bytes()), gzip > 0 && gzip >= plain, "{}", text);
        }

        #[test]
        fn any_bytes_are_read(text in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = accepts_gzip(&text);
        }
    }
}
