//! Sessions that no signature can verify: what a service is asked about them, what its answer
//! means, and which answers are remembered.
//!
//! Others carry the questions there and the answers back; here is only what they mean.

use std::{fmt, net::IpAddr, sync::Arc};

use ring::{hmac, rand::SystemRandom};
use thiserror::Error;

use super::{Grants, Identity, Rules, TokenError, claims, json, keys::KeyError};

mod table;

pub use table::{Reply, Table};

/// Longest answer that is read, bytes.
pub const ANSWER_BYTES_MAX: usize = 64 << 10;
/// A refusal is remembered no longer than this, milliseconds: a login follows it closely.
const REFUSED_KEEP_MS: u64 = 3_000;

/// Bounds of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Longest wait for an answer, milliseconds.
    pub timeout_ms: u64,
    /// How long an answer is remembered, milliseconds; 0: not at all.
    pub cache_ms: u64,
    /// Most answers that are remembered.
    pub cache_entries: usize,
    /// Most questions at once.
    pub in_flight_max: usize,
}

/// The service that knows sessions, and how its answers are read.
#[derive(Debug)]
pub struct Callback {
    /// Where it is asked.
    pub url: String,
    /// Bounds of asking.
    pub bounds: Bounds,
    rules: Rules,
    /// Made anew with every set of settings, so that what was remembered under others is not found.
    key: hmac::Key,
}

/// Stands for credentials without holding any byte of them: an HMAC under a key of this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

/// What a request brought to show who asks. Its debug text hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Value of `Authorization`; a token in the query stands here as `Bearer`.
    pub authorization: Option<Box<str>>,
    /// Value of `Cookie`, all of its lines.
    pub cookie: Option<Box<str>>,
}

/// What the service is asked.
#[derive(Debug)]
pub struct Question {
    /// Whom to ask.
    pub callback: Arc<Callback>,
    /// Who asks here?
    pub credentials: Credentials,
    /// The true address of the first one who asked so.
    pub client: IpAddr,
    /// The path that was asked for, without its query, which may hold a token.
    pub path: Box<str>,
}

/// Who somebody is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// This one.
    Accepted(Arc<Identity>),
    /// Nobody who may come in.
    Refused(Refusal),
    /// There was no usable answer.
    Unknown,
}

/// Why a session is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The service answered 401.
    #[error("the session is not valid")]
    Unauthorized,
    /// The service answered 403.
    #[error("this session may not subscribe")]
    Forbidden,
    /// It answered with nothing that names or grants anything.
    #[error("the session names nobody")]
    Nobody,
    /// Its claims do not hold here.
    #[error(transparent)]
    Claims(#[from] TokenError),
}

/// Why an answer cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unusable {
    /// Of another status than 2xx, 401 and 403.
    #[error("it answered with status {0}")]
    Status(u16),
    /// Its body is no JSON object, or names a claim twice.
    #[error("its answer is not a JSON object")]
    Body,
}

impl Callback {
    /// A service that has not been asked yet. `rules` are those of tokens; whom a token is meant for
    /// and who issued it is not asked of an answer, which was given to this server.
    ///
    /// # Errors
    /// [`KeyError::Random`] when the system has no randomness.
    pub fn new(url: String, bounds: Bounds, rules: &Rules) -> Result<Self, KeyError> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| KeyError::Random)?;
        let rules = Rules { audience: Vec::new(), issuer: Vec::new(), ..rules.clone() };
        Ok(Self { url, bounds, rules, key })
    }

    /// What stands for these credentials. With another `generation` (of revocations) it is another.
    #[must_use]
    pub fn fingerprint(&self, credentials: &Credentials, generation: u64) -> Fingerprint {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&generation.to_le_bytes());
        for part in [&credentials.authorization, &credentials.cookie] {
            // The length parts them: no text can pass for two others.
            let len = part.as_ref().map_or(u64::MAX, |part| part.len() as u64);
            context.update(&len.to_le_bytes());
            context.update(part.as_deref().unwrap_or_default().as_bytes());
        }
        let tag = context.sign();
        // HMAC-SHA256 has 32 bytes.
        Fingerprint(tag.as_ref().first_chunk().copied().unwrap_or_default())
    }

    /// What an answer says. Publishing is never granted: browsers send cookies along with forged
    /// requests.
    ///
    /// # Errors
    /// [`Unusable`]: nobody comes in by such an answer.
    pub fn judge(&self, status: u16, body: &[u8], now_unix_s: u64) -> Result<Verdict, Unusable> {
        match status {
            200..=299 => {}
            401 => return Ok(Verdict::Refused(Refusal::Unauthorized)),
            403 => return Ok(Verdict::Refused(Refusal::Forbidden)),
            other => return Err(Unusable::Status(other)),
        }
        // Without a session Auth.js answers 200 with `null` or `{}`.
        if body.trim_ascii() == b"null" {
            return Ok(Verdict::Refused(Refusal::Nobody));
        }
        let object = json::read_object(body).ok_or(Unusable::Body)?;
        let claims = match claims::read(&object, &self.rules, now_unix_s) {
            Ok(claims) => claims,
            Err(error) => return Ok(Verdict::Refused(error.into())),
        };
        let named = claims.subject.is_some() || claims.tenant.is_some() || claims.admin;
        if !named && self.rules.channels.find(&object).is_none() {
            return Ok(Verdict::Refused(Refusal::Nobody));
        }
        let identity = Identity { publish: Grants::none(), ..Identity::from(claims) };
        Ok(Verdict::Accepted(Arc::new(identity)))
    }

    /// How long an answer is remembered, milliseconds.
    fn keep_ms(&self, verdict: &Verdict) -> u64 {
        match verdict {
            Verdict::Accepted(_) => self.bounds.cache_ms,
            Verdict::Refused(_) => self.bounds.cache_ms.min(REFUSED_KEEP_MS),
            Verdict::Unknown => 0,
        }
    }
}

impl Credentials {
    /// What a request brought; `None` for nothing.
    #[must_use]
    pub fn new(authorization: Option<String>, cookie: Option<String>) -> Option<Self> {
        let filled =
            |text: Option<String>| text.filter(|text| !text.is_empty()).map(String::into_boxed_str);
        let (authorization, cookie) = (filled(authorization), filled(cookie));
        let some = authorization.is_some() || cookie.is_some();
        some.then_some(Self { authorization, cookie })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(***)")
    }
}

impl Question {
    /// Bytes it is counted with while it waits.
    fn size(&self) -> usize {
        let Credentials { authorization, cookie } = &self.credentials;
        let len = |part: &Option<Box<str>>| part.as_ref().map_or(0, |part| part.len());
        size_of::<Self>() + len(authorization) + len(cookie) + self.path.len()
    }
}

impl Refusal {
    /// HTTP status.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Unauthorized | Self::Nobody => 401,
            Self::Forbidden => 403,
            Self::Claims(error) => error.status(),
        }
    }
}

#[cfg(test)]
mod tests;
