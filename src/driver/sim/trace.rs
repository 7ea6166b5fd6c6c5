//! The last things that happened, for the text of a failure.

use std::collections::VecDeque;
use std::fmt;
use std::sync::OnceLock;

/// Lines kept, unless `RINGCAST_SIM_TRACE` asks for more.
const LINES_MAX: usize = 160;

fn lines_max() -> usize {
    static ASKED: OnceLock<usize> = OnceLock::new();
    *ASKED.get_or_init(|| {
        let asked = std::env::var("RINGCAST_SIM_TRACE").ok().and_then(|text| text.parse().ok());
        asked.unwrap_or(LINES_MAX)
    })
}

/// One thing that happened: when, what, and up to three numbers that say to whom and how much.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    at_us: u64,
    what: &'static str,
    numbers: [u64; 3],
}

/// A bounded memory of what happened, and a checksum of everything that ever happened.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    lines: VecDeque<Line>,
    checksum: u64,
}

impl Trace {
    pub(crate) fn note(&mut self, at_us: u64, what: &'static str, numbers: [u64; 3]) {
        let mut sum = self.checksum;
        let name = what.bytes().map(u64::from);
        for part in name.chain([at_us]).chain(numbers) {
            sum = (sum.rotate_left(5) ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        self.checksum = sum;
        if self.lines.len() == lines_max() {
            self.lines.pop_front();
        }
        self.lines.push_back(Line { at_us, what, numbers });
    }

    /// Equal for two runs only if the same things happened at the same times.
    pub(crate) fn checksum(&self) -> u64 {
        self.checksum
    }

    /// The kept lines, oldest first.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.iter().map(ToString::to_string).collect()
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c] = self.numbers;
        let (ms, us) = (self.at_us / 1_000, self.at_us % 1_000);
        write!(f, "{ms:>7}.{us:03} ms  {:<28} {a:>6} {b:>8} {c:>8}", self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_newest_lines_and_sums_all() {
        let (mut long, mut short) = (Trace::default(), Trace::default());
        for at_us in 0..1_000 {
            long.note(at_us, "tick", [at_us, 0, 0]);
        }
        short.note(999, "tick", [999, 0, 0]);
        assert_eq!(long.lines().len(), lines_max());
        assert_eq!(long.lines().last(), short.lines().last());
        assert_ne!(long.checksum(), short.checksum());
    }
}
