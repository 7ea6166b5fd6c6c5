//! Origins (RFC 6454).

use thiserror::Error;

/// Why a text is no origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OriginError {
    /// `null` stands for pages without an origin of their own: anybody can make one.
    #[error("\"null\" cannot be allowed: any page can send it")]
    Null,
    /// No `://`, or nothing in front of it.
    #[error("an origin begins with a scheme, as in https://example.org")]
    Scheme,
    /// More than scheme, host and port.
    #[error("an origin is scheme, host and port, without a path")]
    Path,
    /// No host, or one with bytes no browser would send.
    #[error("the host of an origin is a name in ASCII or an address")]
    Host,
    /// A port that is none.
    #[error("the port of an origin is a number up to 65535")]
    Port,
}

/// A scheme, a host and perhaps a port, in the one spelling in which browsers send it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(Box<str>);

impl Origin {
    /// Reads a configured origin. Upper case, the scheme's own port and one `/` at the end, which
    /// people write and browsers do not, are taken away.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        if text.eq_ignore_ascii_case("null") {
            return Err(OriginError::Null);
        }
        let text = text.to_ascii_lowercase();
        let (scheme, rest) = text.split_once("://").ok_or(OriginError::Scheme)?;
        let begins = scheme.starts_with(|c: char| c.is_ascii_lowercase());
        let of_scheme = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
        if !begins || !scheme.bytes().all(of_scheme) {
            return Err(OriginError::Scheme);
        }
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#', '@']) {
            return Err(OriginError::Path);
        }
        let (host, port) = split_port(authority)?;
        if !is_host(host) {
            return Err(OriginError::Host);
        }
        Ok(Self(match port {
            Some(port) if default_port(scheme) != Some(port) => {
                format!("{scheme}://{host}:{port}").into()
            }
            _ => format!("{scheme}://{host}").into(),
        }))
    }

    /// As a browser sends it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// The colons of an address stand within its brackets.
fn split_port(authority: &str) -> Result<(&str, Option<u16>), OriginError> {
    let at = authority.rfind(']').map_or(0, |end| end + 1);
    let Some(colon) = authority[at..].find(':') else { return Ok((authority, None)) };
    let port = &authority[at + colon + 1..];
    let digits = port.bytes().all(|b| b.is_ascii_digit());
    let port = port.parse().ok().filter(|_| digits).ok_or(OriginError::Port)?;
    Ok((&authority[..at + colon], Some(port)))
}

fn is_host(host: &str) -> bool {
    let of_name = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    match host.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
        Some(address) => address.is_some_and(|a| a.parse::<std::net::Ipv6Addr>().is_ok()),
        None => !host.is_empty() && host.bytes().all(of_name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling() {
        for (text, origin) in [
            ("http://localhost:3000", "http://localhost:3000"),
            ("HTTPS://Pgben.Semtas.gov.br/", "https://pgben.semtas.gov.br"),
            ("https://example.org:443", "https://example.org"),
            ("http://example.org:443", "http://example.org:443"),
            ("http://example.org:0080", "http://example.org"),
            ("http://[::1]:8080/", "http://[::1]:8080"),
            ("http://[2001:db8::1]", "http://[2001:db8::1]"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ] {
            assert_eq!(Origin::parse(text).unwrap().as_str(), origin, "{text}");
        }
    }

    #[test]
    fn what_is_no_origin() {
        for (text, error) in [
            ("null", OriginError::Null),
            ("NULL", OriginError::Null),
            ("", OriginError::Scheme),
            ("example.org", OriginError::Scheme),
            ("://example.org", OriginError::Scheme),
            ("ht tp://example.org", OriginError::Scheme),
            ("https://example.org/app", OriginError::Path),
            ("https://example.org//", OriginError::Path),
            ("https://user@example.org", OriginError::Path),
            ("https://example.org?x", OriginError::Path),
            ("https://", OriginError::Host),
            ("https://*.example.org", OriginError::Host),
            ("https://exämple.org", OriginError::Host),
            ("https://a b", OriginError::Host),
            ("https://[::g]", OriginError::Host),
            ("https://a\r\nX: y", OriginError::Port),
            ("https://example.org:", OriginError::Port),
            ("https://example.org:65536", OriginError::Port),
            ("https://example.org:+1", OriginError::Port),
        ] {
            assert_eq!(Origin::parse(text), Err(error), "{text}");
        }
    }
}
