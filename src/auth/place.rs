//! Where a token stands in a request.

use std::{borrow::Cow, fmt};

/// Names in the query that may carry a token, in order.
pub const QUERY_NAMES: [&str; 3] = ["token", "access_token", "authorization"];
/// The cookie that is looked at when nothing else is configured.
pub const COOKIE_DEFAULT: &str = "access_token";

/// Which part of the request a token came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Query string: may stand in logs and histories.
    Query,
    /// `Authorization: Bearer`.
    Header,
    /// Cookie: sent by browsers without being asked.
    Cookie,
}

impl Place {
    /// Only the header publishes: a query leaks through logs, a cookie comes along with forged
    /// requests (CSRF).
    #[must_use]
    pub fn may_publish(self) -> bool {
        self == Self::Header
    }
}

/// A token and where it stood. Its debug text hides the token.
#[derive(Clone, PartialEq, Eq)]
pub struct Found<'a> {
    /// Never empty, not verified.
    pub token: Cow<'a, str>,
    /// Where it stood.
    pub place: Place,
}

impl fmt::Debug for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found").field("token", &"***").field("place", &self.place).finish()
    }
}

/// The parts of a request that may carry a token, values already percent-decoded.
pub struct Places<'q, 'a> {
    /// First value of a query name.
    pub query: &'q mut dyn FnMut(&str) -> Option<Cow<'a, str>>,
    /// The credentials of `Authorization: Bearer`, see [`bearer`].
    pub bearer: Option<&'a str>,
    /// Value of a cookie.
    pub cookie: &'q mut dyn FnMut(&str) -> Option<Cow<'a, str>>,
}

/// Finds the token: query, then header, then the cookies in the order given. An empty value
/// counts as absent.
pub fn find<'a>(places: Places<'_, 'a>, cookie_names: &[impl AsRef<str>]) -> Option<Found<'a>> {
    let Places { query, bearer, cookie } = places;
    let filled = |token: &Cow<'a, str>| !token.is_empty();
    let mut in_query = || QUERY_NAMES.into_iter().find_map(|name| query(name).filter(filled));
    let in_header = || bearer.map(Cow::Borrowed).filter(filled);
    let mut in_cookie =
        || cookie_names.iter().find_map(|name| cookie(name.as_ref()).filter(filled));
    let (token, place) = in_query()
        .map(|token| (token, Place::Query))
        .or_else(|| in_header().map(|token| (token, Place::Header)))
        .or_else(|| in_cookie().map(|token| (token, Place::Cookie)))?;
    Some(Found { token, place })
}

/// Takes the credentials out of an `Authorization` value (RFC 9110 11.4; the scheme's case does
/// not count). `None` for another scheme or none; credentials that are not ASCII become `?`,
/// which no verifier takes, so that they are refused rather than ignored.
#[must_use]
pub fn bearer(value: &[u8]) -> Option<&str> {
    let value = value.trim_ascii();
    let (scheme, rest) = value.split_at_checked(b"bearer".len())?;
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return None;
    }
    if rest.is_empty() {
        return Some("");
    }
    if !matches!(rest.first(), Some(b' ' | b'\t')) {
        return None;
    }
    let token = rest.trim_ascii_start();
    Some(if token.is_ascii() { std::str::from_utf8(token).unwrap_or("?") } else { "?" })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pairs<'a> = &'a [(&'a str, &'a str)];

    fn look<'a>(
        query: Pairs<'a>,
        bearer: Option<&'a str>,
        cookies: Pairs<'a>,
    ) -> Option<Found<'a>> {
        let get = |pairs: Pairs<'a>, name: &str| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| Cow::Borrowed(*value))
        };
        let places = Places {
            query: &mut |name| get(query, name),
            bearer,
            cookie: &mut |name| get(cookies, name),
        };
        find(places, &["session", COOKIE_DEFAULT])
    }

    fn found<'a>(token: &'a str, place: Place) -> Option<Found<'a>> {
        Some(Found { token: Cow::Borrowed(token), place })
    }

    #[test]
    fn first_place_wins_and_empty_is_absent() {
        let cookies: Pairs<'_> = &[("access_token", "c"), ("other", "x")];
        assert_eq!(look(&[("token", "q")], Some("h"), cookies), found("q", Place::Query));
        let query: Pairs<'_> = &[("authorization", "z"), ("access_token", "a"), ("token", "")];
        assert_eq!(look(query, Some("h"), cookies), found("a", Place::Query));
        assert_eq!(look(&[("token", "")], Some("h"), cookies), found("h", Place::Header));
        assert_eq!(look(&[], Some(""), cookies), found("c", Place::Cookie));
        let both: Pairs<'_> = &[("access_token", "c"), ("session", "s")];
        assert_eq!(look(&[], None, both), found("s", Place::Cookie));
        assert_eq!(look(&[], None, &[("other", "x")]), None);
        assert_eq!(look(&[("token", "")], Some(""), &[("session", "")]), None);
    }

    #[test]
    fn only_the_header_publishes() {
        assert!(Place::Header.may_publish());
        assert!(!Place::Query.may_publish());
        assert!(!Place::Cookie.may_publish());
    }

    #[test]
    fn bearer_credentials() {
        assert_eq!(bearer(b"Bearer abc"), Some("abc"));
        assert_eq!(bearer(b"bEARER   abc "), Some("abc"));
        assert_eq!(bearer(b"Bearer"), Some(""));
        assert_eq!(bearer(b"Bearer "), Some(""));
        assert_eq!(bearer(b"Bearerabc"), None);
        assert_eq!(bearer(b"Basic abc"), None);
        assert_eq!(bearer(b""), None);
        assert_eq!(bearer(b"Bearer \xff\xfe"), Some("?"));
        assert_eq!(bearer("Bearer é".as_bytes()), Some("?"));
    }

    #[test]
    fn debug_hides_the_token() {
        let shown = format!("{:?}", found("s3cret", Place::Query));
        assert!(!shown.contains("s3cret") && shown.contains("Query"), "{shown}");
    }
}
