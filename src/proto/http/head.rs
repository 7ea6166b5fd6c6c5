//! Request heads.
//!
//! Three answers: complete, partial, invalid. Nothing is allocated and nothing is kept between two
//! calls but how far the end of the head has been searched for. Where RFC 9112 lets a recipient
//! choose and the choice has been used for request smuggling, the strict one is taken.

use smallvec::SmallVec;
use thiserror::Error;

/// Fields a head may have.
const FIELDS_INLINE: usize = 24;

/// Bounds of a head.
#[derive(Debug, Clone, Copy)]
pub struct HeadLimits {
    /// Bytes of request line and fields, the empty line included.
    pub bytes_max: usize,
    /// Number of fields.
    pub fields_max: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self { bytes_max: 16 << 10, fields_max: 100 }
    }
}

/// How far the end of the head was searched: a drip of bytes costs O(n).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scan {
    searched: usize,
}

/// Answer of [`parse_head`].
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a head lies on the stack for one call: no box")]
pub enum Parsed<'b> {
    /// A whole head of `len` bytes.
    Complete {
        /// What it says.
        head: Head<'b>,
        /// Its bytes; the body begins behind them.
        len: usize,
    },
    /// The end has not come yet.
    Partial,
    /// No HTTP request; the connection cannot be used further.
    Invalid(HeadError),
}

/// Request methods this server tells apart (RFC 9110 section 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method<'b> {
    /// GET
    Get,
    /// HEAD
    Head,
    /// POST
    Post,
    /// PUT
    Put,
    /// DELETE
    Delete,
    /// OPTIONS
    Options,
    /// Any other token.
    Other(&'b str),
}

/// Protocol versions served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

/// How long the body is (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// No body.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunked coding.
    Chunked,
}

/// Why a head was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HeadError {
    /// Request line: not `METHOD SP target SP HTTP/1.x`.
    #[error("the request line is not METHOD SP target SP HTTP/1.1")]
    RequestLine,
    /// A version other than 1.0 and 1.1.
    #[error("only HTTP/1.0 and HTTP/1.1 are served")]
    Version,
    /// A target with bytes that no target holds.
    #[error("the request target holds bytes that are not allowed there")]
    Target,
    /// A line that does not end with CRLF, or a stray CR or LF.
    #[error("a line does not end with CRLF")]
    LineEnd,
    /// A line that continues the former field.
    #[error("folded field lines are not accepted")]
    Folded,
    /// A field name that is no token, or space before its colon.
    #[error("a field name is not a token directly followed by a colon")]
    FieldName,
    /// A control byte in a field value.
    #[error("a field value holds a control character")]
    FieldValue,
    /// Both lengths, two lengths, or a length that is no number.
    #[error("the body length is given twice or not as a plain number")]
    Length,
    /// A transfer coding other than `chunked`, or one in HTTP/1.0.
    #[error("the only transfer coding accepted is chunked, in HTTP/1.1")]
    TransferCoding,
    /// HTTP/1.1 without Host, or with two.
    #[error("HTTP/1.1 needs exactly one Host field")]
    Host,
    /// The target alone is over the bound.
    #[error("the request target is too long")]
    TargetTooLong,
    /// The head is over the bound.
    #[error("the request head is too large")]
    TooLarge,
}

impl HeadError {
    /// The status that answers it.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::TargetTooLong => 414,
            Self::TooLarge => 431,
            Self::Version => 505,
            _ => 400,
        }
    }
}

/// A request head, borrowed from the input.
#[derive(Debug)]
pub struct Head<'b> {
    /// The method.
    pub method: Method<'b>,
    /// Path and query, as sent (an absolute-form target loses its scheme and authority).
    pub target: &'b str,
    /// The version.
    pub version: Version,
    fields: SmallVec<[(&'b str, &'b str); FIELDS_INLINE]>,
    framing: Framing,
}

/// Reads a head from the beginning of `buf`.
///
/// Call it again with more bytes and the same `scan` after [`Parsed::Partial`].
pub fn parse_head<'b>(buf: &'b [u8], scan: &mut Scan, limits: &HeadLimits) -> Parsed<'b> {
    // RFC 9112 2.2: one empty line before the request line is forgiven.
    let skip = if buf.starts_with(b"\r\n") { 2 } else { 0 };
    let from = scan.searched.max(skip).saturating_sub(3);
    let end = memchr::memmem::find(buf.get(from..).unwrap_or_default(), b"\r\n\r\n");
    let Some(end) = end.map(|at| from + at + 4) else {
        scan.searched = buf.len();
        if buf.len() >= limits.bytes_max {
            let line = memchr::memchr(b'\n', &buf[skip..]);
            let error = if line.is_none() { HeadError::TargetTooLong } else { HeadError::TooLarge };
            return Parsed::Invalid(error);
        }
        // What can never become a request is refused at once: it may be no HTTP at all.
        let begin = buf.iter().skip(skip).take(24).take_while(|b| **b != b' ');
        if begin.copied().any(|b| !is_token(b) && b != b'\r') {
            return Parsed::Invalid(HeadError::RequestLine);
        }
        return Parsed::Partial;
    };
    if end > limits.bytes_max {
        return Parsed::Invalid(HeadError::TooLarge);
    }
    match read_head(&buf[skip..end - 2], limits) {
        Ok(head) => Parsed::Complete { head, len: end },
        Err(error) => Parsed::Invalid(error),
    }
}

/// `text`: request line and fields, each ended by CRLF.
fn read_head<'b>(text: &'b [u8], limits: &HeadLimits) -> Result<Head<'b>, HeadError> {
    let mut lines = Lines { rest: text };
    let request = lines.next().ok_or(HeadError::RequestLine)??;
    let (method, target, version) = read_request_line(request)?;
    let mut fields = SmallVec::new();
    for line in lines {
        if fields.len() == limits.fields_max {
            return Err(HeadError::TooLarge);
        }
        fields.push(read_field(line?)?);
    }
    let mut head = Head { method, target, version, fields, framing: Framing::None };
    head.framing = head.read_framing()?;
    let hosts = head.all("host").count();
    if hosts > 1 || (hosts == 0 && version == Version::Http11) {
        return Err(HeadError::Host);
    }
    Ok(head)
}

/// Lines ended by CRLF; a CR or LF anywhere else is an error.
struct Lines<'b> {
    rest: &'b [u8],
}

impl<'b> Iterator for Lines<'b> {
    type Item = Result<&'b [u8], HeadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let at = memchr::memchr2(b'\r', b'\n', self.rest);
        let line = at.filter(|at| self.rest[*at..].starts_with(b"\r\n"));
        let Some(at) = line else {
            self.rest = &[];
            return Some(Err(HeadError::LineEnd));
        };
        let line = &self.rest[..at];
        self.rest = &self.rest[at + 2..];
        Some(Ok(line))
    }
}

fn read_request_line(line: &[u8]) -> Result<(Method<'_>, &str, Version), HeadError> {
    let mut parts = line.split(|b| *b == b' ');
    let (method, target, version) = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(method), Some(target), Some(version), None) => (method, target, version),
        _ => return Err(HeadError::RequestLine),
    };
    let version = match version {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        other if other.starts_with(b"HTTP/") => return Err(HeadError::Version),
        _ => return Err(HeadError::RequestLine),
    };
    if method.is_empty() || !method.iter().copied().all(is_token) {
        return Err(HeadError::RequestLine);
    }
    let method = std::str::from_utf8(method).map_err(|_| HeadError::RequestLine)?;
    let method = match method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        other => Method::Other(other),
    };
    Ok((method, read_target(target, method)?, version))
}

fn read_target<'b>(target: &'b [u8], method: Method<'_>) -> Result<&'b str, HeadError> {
    // Visible ASCII only; clients percent-encode the rest (RFC 3986).
    if target.is_empty() || !target.iter().all(u8::is_ascii_graphic) {
        return Err(HeadError::Target);
    }
    let target = std::str::from_utf8(target).map_err(|_| HeadError::Target)?;
    if target.starts_with('/') || (target == "*" && method == Method::Options) {
        return Ok(target);
    }
    // absolute-form, RFC 9112 3.2.2: a server must accept it.
    let rest = target.strip_prefix("http://").or_else(|| target.strip_prefix("https://"));
    let rest = rest.ok_or(HeadError::Target)?;
    match rest.find(['/', '?']) {
        Some(at) if rest[at..].starts_with('/') => Ok(&rest[at..]),
        None if !rest.is_empty() => Ok("/"),
        _ => Err(HeadError::Target),
    }
}

fn read_field(line: &[u8]) -> Result<(&str, &str), HeadError> {
    if line.first().is_some_and(|b| matches!(b, b' ' | b'\t')) {
        return Err(HeadError::Folded);
    }
    let at = memchr::memchr(b':', line).ok_or(HeadError::FieldName)?;
    let (name, value) = (&line[..at], &line[at + 1..]);
    if name.is_empty() || !name.iter().copied().all(is_token) {
        return Err(HeadError::FieldName);
    }
    if value.iter().any(|b| (*b < 0x20 && *b != b'\t') || *b == 0x7f) {
        return Err(HeadError::FieldValue);
    }
    let name = std::str::from_utf8(name).map_err(|_| HeadError::FieldName)?;
    // Bytes outside ASCII are opaque (RFC 9110 5.5); none of the fields used here may hold others
    // than UTF-8.
    let value = std::str::from_utf8(value).map_err(|_| HeadError::FieldValue)?;
    Ok((name, value.trim_matches([' ', '\t'])))
}

/// tchar, RFC 9110 5.6.2.
fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

impl<'b> Head<'b> {
    fn read_framing(&self) -> Result<Framing, HeadError> {
        let mut lengths = self.all("content-length");
        let mut codings = self.all("transfer-encoding");
        match (lengths.next(), codings.next()) {
            (None, None) => Ok(Framing::None),
            (Some(_), Some(_)) => Err(HeadError::Length),
            (None, Some(coding)) => {
                let plain = coding.eq_ignore_ascii_case("chunked") && codings.next().is_none();
                if plain && self.version == Version::Http11 {
                    Ok(Framing::Chunked)
                } else {
                    Err(HeadError::TransferCoding)
                }
            }
            (Some(length), None) => {
                let digits = !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit());
                if !digits || lengths.next().is_some() {
                    return Err(HeadError::Length);
                }
                let length: u64 = length.parse().map_err(|_| HeadError::Length)?;
                Ok(if length == 0 { Framing::None } else { Framing::Length(length) })
            }
        }
    }

    /// How long the body is.
    #[must_use]
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// All values of a field, in order; `name` in lower case.
    pub fn all<'s>(&'s self, name: &'s str) -> impl DoubleEndedIterator<Item = &'b str> + 's {
        let same = move |(known, _): &&(&str, &str)| known.eq_ignore_ascii_case(name);
        self.fields.iter().filter(same).map(|(_, value)| *value)
    }

    /// The first value of a field; `name` in lower case.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&'b str> {
        let same = |(known, _): &&(&str, &str)| known.eq_ignore_ascii_case(name);
        self.fields.iter().find(same).map(|(_, value)| *value)
    }

    /// The connection may be used again (RFC 9112 9.3).
    #[must_use]
    pub fn keeps_alive(&self) -> bool {
        let has = |token: &str| self.lists("connection", token);
        match self.version {
            Version::Http11 => !has("close"),
            Version::Http10 => has("keep-alive") && !has("close"),
        }
    }

    /// The client waits for `100 Continue` (RFC 9110 10.1.1).
    #[must_use]
    pub fn expects_continue(&self) -> bool {
        self.version == Version::Http11
            && self.field("expect").is_some_and(|v| v.eq_ignore_ascii_case("100-continue"))
    }

    /// A comma list holds the token (parameters aside).
    #[must_use]
    pub fn lists(&self, name: &str, token: &str) -> bool {
        let mut items = self.all(name).flat_map(|value| value.split(','));
        items.any(|item| {
            item.split(';').next().is_some_and(|item| item.trim().eq_ignore_ascii_case(token))
        })
    }

    /// The media type of the body, parameters aside.
    #[must_use]
    pub fn media_type(&self) -> Option<&'b str> {
        self.field("content-type").and_then(|value| value.split(';').next()).map(str::trim)
    }

    /// The value of a cookie (RFC 6265 section 5.4), without the pair of quotes it may stand in.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&'b str> {
        let mut pairs = self.all("cookie").flat_map(|value| value.split(';'));
        pairs.find_map(|pair| {
            let (known, value) = pair.trim_matches([' ', '\t']).split_once('=')?;
            let unquoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            (known == name).then(|| unquoted.unwrap_or(value))
        })
    }

    /// The token of `Authorization: Bearer` (RFC 6750 2.1; the scheme in any case).
    #[must_use]
    pub fn bearer(&self) -> Option<&'b str> {
        let (scheme, token) = self.field("authorization")?.split_once(' ')?;
        // No other white space: what stands around a token and is no OWS makes it another one.
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches([' ', '\t']))
    }
}

#[cfg(test)]
mod tests;
