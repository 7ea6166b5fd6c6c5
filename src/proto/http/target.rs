//! Request targets: path, query, percent-encoding.

use std::borrow::Cow;

use thiserror::Error;

/// Why a part of a target cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TargetError {
    /// `%` without two hexadecimal digits.
    #[error("'%' is not followed by two hexadecimal digits")]
    Escape,
    /// The bytes are not UTF-8.
    #[error("the percent-decoded bytes are not UTF-8")]
    Utf8,
}

/// Path and query of a target.
#[must_use]
pub fn split_target(target: &str) -> (&str, &str) {
    target.split_once('?').unwrap_or((target, ""))
}

/// Raw segments of a path that begins with `/`. Decode each by itself: `%2F` divides nothing.
pub fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.strip_prefix('/').unwrap_or(path).split('/')
}

/// Replaces `%XX` (RFC 3986 2.1).
///
/// # Errors
/// A bad escape, or bytes that are not UTF-8.
pub fn decode_percent(text: &str) -> Result<Cow<'_, str>, TargetError> {
    if !text.contains('%') {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else { return Err(TargetError::Escape) };
        out.push(u8::try_from(high * 16 + low).unwrap_or_default());
    }
    String::from_utf8(out).map(Cow::Owned).map_err(|_| TargetError::Utf8)
}

/// Decoded pairs of a query or a form (WHATWG URL 5.1): `&` between, `+` is a space.
///
/// # Errors
/// Each pair by itself.
pub fn pairs(
    query: &str,
) -> impl Iterator<Item = Result<(Cow<'_, str>, Cow<'_, str>), TargetError>> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((decode_form(name)?, decode_form(value)?))
    })
}

fn decode_form(text: &str) -> Result<Cow<'_, str>, TargetError> {
    if !text.contains('+') {
        return decode_percent(text);
    }
    decode_percent(&text.replace('+', " ")).map(|text| Cow::Owned(text.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        assert_eq!(decode_percent("Ol%C3%A1").unwrap(), "Olá");
        assert_eq!(decode_percent("a+b").unwrap(), "a+b");
        for bad in ["%", "%4", "%zz", "a%"] {
            assert_eq!(decode_percent(bad), Err(TargetError::Escape), "{bad}");
        }
        assert_eq!(decode_percent("%ff"), Err(TargetError::Utf8));
    }

    #[test]
    fn an_escaped_slash_divides_nothing() {
        let (path, query) = split_target("/sse/a%2Fb?x=1&y=a%26b+c&z");
        let raw: Vec<&str> = segments(path).collect();
        assert_eq!(raw, ["sse", "a%2Fb"]);
        let all: Vec<_> = pairs(query).map(Result::unwrap).collect();
        let all: Vec<(&str, &str)> = all.iter().map(|(n, v)| (&**n, &**v)).collect();
        assert_eq!(all, [("x", "1"), ("y", "a&b c"), ("z", "")]);
    }
}
