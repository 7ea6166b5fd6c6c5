//! Lifetimes of tokens as written in `JWT_SSE_EXPIRES_IN` and `--ttl`.

use thiserror::Error;

/// Longest lifetime: 100 years of 365.25 days, seconds.
pub const TTL_S_MAX: u64 = 3_155_760_000;

/// Why a text is no lifetime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TtlError {
    /// Not `7d`, `10m`, `1h30m`, `3600` ...
    #[error("not a duration such as 3600 (seconds), 10m, 1h30m or 7d")]
    Malformed,
    /// Zero or more than [`TTL_S_MAX`].
    #[error("a lifetime lies between 1 second and 100 years")]
    OutOfRange,
}

/// Reads a lifetime and returns whole seconds, rounded up.
///
/// A plain number means seconds. Units are those of npm's `ms`, in any case: `ms s m h d w y`
/// (a year is 365.25 days) and their long names, with or without a space, with a fraction
/// (`1.5h`), and several in a row (`1h30m`).
///
/// # Errors
/// A [`TtlError`].
pub fn parse(text: &str) -> Result<u64, TtlError> {
    let mut rest = text.trim_ascii();
    if rest.is_empty() || rest.len() > 100 {
        return Err(TtlError::Malformed);
    }
    if rest.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return to_seconds(number(rest)? * 1000.0);
    }
    let mut total_ms = 0.0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (amount, after) = rest.split_at(digits);
        let after = after.trim_ascii_start();
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(letters);
        total_ms += number(amount)? * unit_ms(unit).ok_or(TtlError::Malformed)?;
        rest = after.trim_ascii_start();
    }
    to_seconds(total_ms)
}

/// A decimal without sign or exponent.
fn number(text: &str) -> Result<f64, TtlError> {
    if !text.bytes().any(|b| b.is_ascii_digit()) {
        return Err(TtlError::Malformed);
    }
    text.parse().map_err(|_| TtlError::Malformed)
}

fn unit_ms(unit: &str) -> Option<f64> {
    const S: f64 = 1000.0;
    const D: f64 = 86_400.0 * S;
    Some(match unit.to_ascii_lowercase().as_str() {
        "ms" | "msec" | "msecs" | "millisecond" | "milliseconds" => 1.0,
        "s" | "sec" | "secs" | "second" | "seconds" => S,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0 * S,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3600.0 * S,
        "d" | "day" | "days" => D,
        "w" | "week" | "weeks" => 7.0 * D,
        "y" | "yr" | "yrs" | "year" | "years" => 365.25 * D,
        _ => return None,
    })
}

fn to_seconds(ms: f64) -> Result<u64, TtlError> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let seconds = (ms / 1000.0).ceil() as u64;
    if seconds == 0 || seconds > TTL_S_MAX { Err(TtlError::OutOfRange) } else { Ok(seconds) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_usual_spellings() {
        for (text, seconds) in [
            ("7d", 604_800),
            ("10m", 600),
            ("3600", 3600),
            (" 3600 ", 3600),
            ("1h30m", 5400),
            ("1h 30m", 5400),
            ("1.5h", 5400),
            ("2 Days", 172_800),
            ("1w", 604_800),
            ("1y", 31_557_600),
            ("500ms", 1),
            ("1500ms", 2),
            ("90s", 90),
            ("100y", TTL_S_MAX),
        ] {
            assert_eq!(parse(text), Ok(seconds), "{text}");
        }
    }

    #[test]
    fn refuses_the_rest() {
        for text in ["", "d", "7x", "-7d", "+7d", "1e3", "1..5h", ".", "7d!", "h1", "1h30", "٣d"] {
            assert_eq!(parse(text), Err(TtlError::Malformed), "{text}");
        }
        for text in ["0", "0d", "101y", "99999999999999999999999d"] {
            assert_eq!(parse(text), Err(TtlError::OutOfRange), "{text}");
        }
        assert_eq!(parse(&"9".repeat(500)), Err(TtlError::Malformed));
    }
}
