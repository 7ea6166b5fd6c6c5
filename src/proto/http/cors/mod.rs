//! Cross-origin requests (Fetch, "CORS protocol").
//!
//! Named origins are echoed and may send credentials. `*` lets every other page read, without
//! credentials: cookies of such a request do not count. `null`, which any sandboxed frame can
//! send, is never an origin.

mod origin;

use smallvec::SmallVec;

pub use origin::{Origin, OriginError};

/// Allowed when nothing is configured.
pub const ORIGIN_DEFAULT: &str = "http://localhost:3000";
/// Methods a page may use.
pub const METHODS: &str = "GET, POST, PUT, DELETE, OPTIONS";
/// Fields a page may send.
pub const REQUEST_FIELDS: &str = "Origin, X-Requested-With, Content-Type, Accept, Authorization, \
                                  Cache-Control, Last-Event-ID, Idempotency-Key";
/// Fields of an answer a page may read, beside those every page may.
pub const EXPOSED_FIELDS: &str = "Retry-After";
/// How long a browser may keep a preflight's answer, seconds: the most Chromium keeps.
pub const MAX_AGE_S: &str = "7200";

const ALLOW_ORIGIN: &str = "Access-Control-Allow-Origin";
const VARY: (&str, &str) = ("Vary", "Origin");

/// Field lines of an answer, names and values; for [`super::Response::field`], the `extra` of
/// [`super::Problem::write`] or [`write_fields`].
pub type Fields<'a> = SmallVec<[(&'static str, &'a str); 6]>;

/// Who may read answers from another origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    named: Box<[Origin]>,
    any: bool,
}

impl Default for Cors {
    /// [`ORIGIN_DEFAULT`] alone.
    fn default() -> Self {
        Self { named: Origin::parse(ORIGIN_DEFAULT).into_iter().collect(), any: false }
    }
}

impl Cors {
    /// Takes the configured origins, with `*` for any. An empty list allows none.
    ///
    /// # Errors
    /// What is wrong, and with which entry, counted from 0.
    pub fn new<T: AsRef<str>>(
        origins: impl IntoIterator<Item = T>,
    ) -> Result<Self, (usize, OriginError)> {
        let mut named = Vec::new();
        let mut any = false;
        for (index, text) in origins.into_iter().enumerate() {
            let text = text.as_ref();
            if text == "*" {
                any = true;
                continue;
            }
            let origin = Origin::parse(text).map_err(|error| (index, error))?;
            if !named.contains(&origin) {
                named.push(origin);
            }
        }
        Ok(Self { named: named.into(), any })
    }

    /// The answer may be read by pages of this origin, credentials aside.
    #[must_use]
    pub fn allows(&self, origin: &str) -> bool {
        self.is_named(origin) || (self.any && origin != "null")
    }

    /// A cookie of this request counts: it comes from a named origin or, where origins are only
    /// named, without one (the same site, or no browser). A cookie that does not count is as good
    /// as absent where `*` allows the origin; else the request is refused (see [`Cors::allows`]).
    #[must_use]
    pub fn cookies_count(&self, origin: Option<&str>) -> bool {
        origin.map_or(!self.any, |origin| self.is_named(origin))
    }

    /// The lines that stand on every answer to a request, errors included. `origin`: its `Origin`.
    #[must_use]
    pub fn fields<'a>(&self, origin: Option<&'a str>) -> Fields<'a> {
        let mut fields = self.origin_fields(origin);
        if fields.iter().any(|(name, _)| *name == ALLOW_ORIGIN) {
            fields.push(("Access-Control-Expose-Headers", EXPOSED_FIELDS));
        }
        fields
    }

    /// The lines of the answer to `OPTIONS`, a 204 that needs no token and counts nowhere. For an
    /// origin that is not allowed it has none that would allow anything. The methods and fields
    /// are always the same, whatever the preflight asks for.
    #[must_use]
    pub fn preflight<'a>(&self, origin: Option<&'a str>) -> Fields<'a> {
        let mut fields = self.origin_fields(origin);
        if fields.iter().any(|(name, _)| *name == ALLOW_ORIGIN) {
            fields.push(("Access-Control-Allow-Methods", METHODS));
            fields.push(("Access-Control-Allow-Headers", REQUEST_FIELDS));
            fields.push(("Access-Control-Max-Age", MAX_AGE_S));
        }
        fields
    }

    /// Which origin, whether with credentials, and for caches that it depends on the asker: also
    /// where this one is not allowed or there is none, for the next may be (Fetch, "CORS protocol
    /// and HTTP caches").
    fn origin_fields<'a>(&self, origin: Option<&'a str>) -> Fields<'a> {
        let mut fields = Fields::new();
        match origin {
            Some(origin) if self.is_named(origin) => {
                fields.push((ALLOW_ORIGIN, origin));
                fields.push(("Access-Control-Allow-Credentials", "true"));
            }
            Some("null") => {}
            _ if self.any => fields.push((ALLOW_ORIGIN, "*")),
            _ => {}
        }
        if !self.named.is_empty() {
            fields.push(VARY);
        }
        fields
    }

    /// Byte for byte: browsers write an origin in one way only.
    fn is_named(&self, origin: &str) -> bool {
        self.named.iter().any(|named| named.as_str() == origin)
    }
}

/// Writes field lines, each ended by CRLF, as [`crate::proto::sse::write_stream_head`] takes them.
pub fn write_fields(fields: &Fields<'_>, out: &mut Vec<u8>) {
    for (name, value) in fields {
        super::response::write_field(out, name, value);
    }
}

#[cfg(test)]
mod tests;
