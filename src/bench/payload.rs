//! An event's data: which run, which event, when it was published, filled up to its size.
//!
//! `RRRRRRRR-NNNNNNNNNNNNNNNN-TTTTTTTTTTTTTTTT-....`: run, number, and nanoseconds since the start
//! of the run, in hexadecimal.

/// Fewest bytes of data.
pub const MIN: usize = 43;

const RUN: usize = 8;
const WIDE: usize = 16;
const FILL: u8 = b'.';

/// What an event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payload {
    /// Its number in the run.
    pub number: u64,
    /// When it was published (or was due), nanoseconds since the start of the run.
    pub time_ns: u64,
}

/// What some data is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// An event of this run, whole.
    Ours(Payload),
    /// It begins as one of this run's but is damaged.
    Corrupt,
    /// Somebody else's.
    Foreign,
}

/// Appends an event's data of exactly `bytes` (at least [`MIN`]).
pub fn write(out: &mut Vec<u8>, run: u32, payload: Payload, bytes: usize) {
    let end = out.len() + bytes;
    write_hex(out, u64::from(run), RUN);
    write_hex(out, payload.number, WIDE);
    write_hex(out, payload.time_ns, WIDE);
    out.resize(end, FILL);
}

/// Reads data that should have `bytes` bytes.
#[must_use]
pub fn read(data: &[u8], run: u32, bytes: usize) -> Reading {
    let Some((run_read, rest)) = read_hex(data, RUN) else { return Reading::Foreign };
    if run_read != u64::from(run) {
        return Reading::Foreign;
    }
    let whole = data.len() == bytes;
    let Some((number, rest)) = read_hex(rest, WIDE).filter(|_| whole) else {
        return Reading::Corrupt;
    };
    let Some((time_ns, rest)) = read_hex(rest, WIDE) else { return Reading::Corrupt };
    if rest.iter().any(|b| *b != FILL) {
        return Reading::Corrupt;
    }
    Reading::Ours(Payload { number, time_ns })
}

fn write_hex(out: &mut Vec<u8>, value: u64, digits: usize) {
    for digit in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(value >> (digit * 4) & 15) as usize]);
    }
    out.push(b'-');
}

fn read_hex(text: &[u8], digits: usize) -> Option<(u64, &[u8])> {
    let (number, rest) = text.split_at_checked(digits)?;
    let mut value = 0;
    for b in number {
        let digit = match b {
            b'0'..=b'9' => b - b'0',
            b'a'..=b'f' => b - b'a' + 10,
            _ => return None,
        };
        value = value << 4 | u64::from(digit);
    }
    Some((value, rest.strip_prefix(b"-")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for bytes in [MIN, MIN + 1, 128, 5_000] {
            for (number, time_ns) in [(0, 0), (1, u64::MAX), (u64::MAX, 12_345_678_901)] {
                let mut data = b"before".to_vec();
                write(&mut data, 0xdead_beef, Payload { number, time_ns }, bytes);
                assert_eq!(data.len(), 6 + bytes);
                let ours = Reading::Ours(Payload { number, time_ns });
                assert_eq!(read(&data[6..], 0xdead_beef, bytes), ours);
                assert_eq!(read(&data[6..], 0xdead_bee0, bytes), Reading::Foreign);
            }
        }
    }

    #[test]
    fn the_form_is_the_documented_one() {
        let mut data = Vec::new();
        write(&mut data, 0xab, Payload { number: 0x1f, time_ns: 256 }, 46);
        assert_eq!(data, b"000000ab-000000000000001f-0000000000000100-...");
    }

    #[test]
    fn any_damaged_byte_is_noticed() {
        let mut data = Vec::new();
        write(&mut data, 5, Payload { number: 9, time_ns: 10 }, 60);
        for at in 0..data.len() {
            let mut damaged = data.clone();
            damaged[at] = b'#';
            assert!(!matches!(read(&damaged, 5, 60), Reading::Ours(_)), "byte {at}");
        }
        assert_eq!(read(&data[..59], 5, 60), Reading::Corrupt);
        assert_eq!(read(b"hello", 5, 60), Reading::Foreign);
        assert_eq!(read(b"", 5, 60), Reading::Foreign);
    }
}
