//! Times and sizes as people write them.

/// Units of times, longest first where one begins with another.
const TIMES: [(&str, u64); 6] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("w", 604_800_000),
];

/// Units of sizes.
const SIZES: [(&str, u64); 9] = [
    ("b", 1),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
];

/// Reads `500ms`, `30s`, `10m`, `1h30m`, `7d`; whole milliseconds.
pub(super) fn millis(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    let mut total: u64 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, after) = leading_number(rest)?;
        let after = after.trim_start();
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        total = total.checked_add(number.checked_mul(factor(&TIMES, unit)?)?)?;
        rest = after.trim_start();
    }
    Some(total)
}

/// Reads `512B`, `64KiB`, `1 MiB`, `10MB`; bytes.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = leading_number(text.trim())?;
    number.checked_mul(factor(&SIZES, unit.trim())?)
}

fn leading_number(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    Some((number.parse().ok()?, rest))
}

fn factor(units: &[(&str, u64)], name: &str) -> Option<u64> {
    units.iter().find(|(unit, _)| unit.eq_ignore_ascii_case(name)).map(|(_, factor)| *factor)
}

/// The shortest text that [`millis`] reads as this.
pub(super) fn show_millis(ms: u64) -> String {
    // Weeks are read but not shown: 7d is what everybody writes.
    show(&TIMES[..5], ms).unwrap_or_else(|| format!("{ms}ms"))
}

/// A text that [`bytes`] reads as this.
pub(super) fn show_bytes(bytes: u64) -> String {
    let names = ["TiB", "GiB", "MiB", "KiB"];
    let shown = names.iter().find_map(|name| {
        let factor = factor(&SIZES, name)?;
        (bytes > 0 && bytes.is_multiple_of(factor)).then(|| format!("{}{name}", bytes / factor))
    });
    shown.unwrap_or_else(|| format!("{bytes}B"))
}

fn show(units: &[(&str, u64)], amount: u64) -> Option<String> {
    let mut units = units.iter().rev();
    let (unit, factor) = units.find(|(_, factor)| amount > 0 && amount.is_multiple_of(*factor))?;
    Some(format!("{}{unit}", amount / factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_people_write_them() {
        for (text, ms) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("10m", 600_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("7d", 604_800_000),
            ("2 W", 1_209_600_000),
        ] {
            assert_eq!(millis(text), Some(ms), "{text}");
        }
        for text in ["", "s", "10", "1.5h", "-1s", "1y", "1s2", "99999999999999999999s"] {
            assert_eq!(millis(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_as_people_write_them() {
        for (text, count) in
            [("512B", 512), ("64KiB", 65_536), ("1 MiB", 1 << 20), ("10MB", 10_000_000)]
        {
            assert_eq!(bytes(text), Some(count), "{text}");
        }
        for text in ["", "KiB", "10", "1.5MiB", "-1B", "99999999TiB"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_shown_is_read_again() {
        for amount in [0, 1, 100, 999, 1_024, 30_000, 65_536, 3_600_000, 604_800_000, 1 << 30] {
            assert_eq!(millis(&show_millis(amount)), Some(amount));
            assert_eq!(bytes(&show_bytes(amount)), Some(amount));
        }
        assert_eq!((show_millis(604_800_000), show_bytes(1 << 20)), ("7d".into(), "1MiB".into()));
    }
}
