//! What a token says, read by the rules of this server.

use std::{borrow::Cow, sync::Arc};

use serde_json::{Map, Number, Value};

use super::{
    access::Grants,
    error::{Claim, TokenError},
};
use crate::proto::channel::{tenant_channel, user_channel};

/// Longest `jti` that is taken, bytes.
pub const TOKEN_ID_BYTES_MAX: usize = 255;

/// Where a claim stands: a name at the top (also one with dots in it, such as
/// `https://example.com/tenant`), else names of nested objects joined by dots (`user.id`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimPath(Box<str>);

impl ClaimPath {
    /// Takes a path as configured. `None` for an empty one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(text.into()))
    }

    /// The path as configured.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Finds the value. A JSON `null` is found too.
    #[must_use]
    pub fn find<'a>(&self, claims: &'a Map<String, Value>) -> Option<&'a Value> {
        if let Some(value) = claims.get(&*self.0) {
            return Some(value);
        }
        let mut names = self.0.split('.');
        let first = claims.get(names.next()?)?;
        names.try_fold(first, |value, name| value.as_object()?.get(name))
    }
}

/// A claim that says yes: boolean `true`, or with `=` a text that is equal or listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimTest {
    /// Where.
    pub path: ClaimPath,
    /// `None`: the claim must be boolean `true`. Otherwise it must be this text, or a list that
    /// holds it.
    pub equals: Option<Box<str>>,
}

impl ClaimTest {
    /// Reads `admin` or `role=admin` (split at the last `=`). `None` where a side is empty.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.rsplit_once('=') {
            None => Some(Self { path: ClaimPath::parse(text)?, equals: None }),
            Some((_, "")) => None,
            Some((path, value)) => {
                Some(Self { path: ClaimPath::parse(path)?, equals: Some(value.into()) })
            }
        }
    }

    fn holds(&self, claims: &Map<String, Value>) -> bool {
        match (self.path.find(claims), self.equals.as_deref()) {
            (Some(Value::Bool(yes)), None) => *yes,
            (Some(Value::String(text)), Some(wanted)) => text == wanted,
            (Some(Value::Array(list)), Some(wanted)) => {
                list.iter().any(|item| item.as_str() == Some(wanted))
            }
            _ => false,
        }
    }
}

/// How claims are read and what they must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Seconds of clock difference that are forgiven at `exp` and `nbf`. 0 by default, so that a
    /// stream ends exactly at `exp`.
    pub leeway_s: u64,
    /// When not empty, `aud` must name one of these.
    pub audience: Vec<String>,
    /// When not empty, `iss` must be one of these.
    pub issuer: Vec<String>,
    /// Where the user's id stands; the first path that is there counts.
    pub subject: Vec<ClaimPath>,
    /// Where the tenant's id stands; the first path that is there counts.
    pub tenant: Vec<ClaimPath>,
    /// What makes an admin.
    pub admin: ClaimTest,
    /// Where the grants to subscribe stand.
    pub channels: ClaimPath,
    /// Where the grants to publish stand.
    pub publish: ClaimPath,
    /// Where the boolean stands that refuses a user when false.
    pub subscription_active: ClaimPath,
}

impl Default for Rules {
    fn default() -> Self {
        let path = |text: &str| ClaimPath(text.into());
        Self {
            leeway_s: 0,
            audience: Vec::new(),
            issuer: Vec::new(),
            subject: vec![path("sub"), path("id")],
            tenant: vec![path("tenant"), path("tenantId")],
            admin: ClaimTest { path: path("admin"), equals: None },
            channels: path("channels"),
            publish: path("publish"),
            subscription_active: path("subscription_active"),
        }
    }
}

/// The claims of a verified token that count here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The user's id. `user:<subject>` is a valid channel name.
    pub subject: Option<Arc<str>>,
    /// The tenant's id. `tenant:<tenant>` is a valid channel name.
    pub tenant: Option<Arc<str>>,
    /// May see operators' pages.
    pub admin: bool,
    /// From this second since 1970 on the token is refused (`exp` and the leeway); `None`: never
    /// ends.
    pub expires_unix_s: Option<u64>,
    /// Second since 1970 at which it was issued (`iat`).
    pub iat_unix_s: Option<u64>,
    /// Its own id.
    pub jti: Option<Arc<str>>,
    /// What may be subscribed.
    pub channels: Grants,
    /// What may be published to.
    pub publish: Grants,
}

/// Reads claims whose truth is already known (a verified JWT, or the answer of a callback).
///
/// Absent: `exp` never ends, `channels` grant every unreserved name, `publish` grants nothing,
/// `admin` is no. A JSON `null` counts as absent where that gives no more rights, and is refused
/// in `exp`, `nbf`, `iat`, `channels` and `subscription_active`.
///
/// # Errors
/// A [`TokenError`] of the claim that is wrong.
pub fn read(
    claims: &Map<String, Value>,
    rules: &Rules,
    now_unix_s: u64,
) -> Result<Claims, TokenError> {
    let expires_unix_s = check_times(claims, rules, now_unix_s)?;
    check_audience(claims, &rules.audience)?;
    check_issuer(claims, &rules.issuer)?;
    match rules.subscription_active.find(claims) {
        None | Some(Value::Bool(true)) => {}
        Some(Value::Bool(false)) => return Err(TokenError::SubscriptionInactive),
        Some(_) => return Err(TokenError::Claim(Claim::SubscriptionActive)),
    }
    let subject = read_id(claims, &rules.subject, Claim::Subject)?;
    let tenant = read_id(claims, &rules.tenant, Claim::Tenant)?;
    if subject.as_deref().is_some_and(|id| user_channel(id).is_err()) {
        return Err(TokenError::Claim(Claim::Subject));
    }
    if tenant.as_deref().is_some_and(|id| tenant_channel(id).is_err()) {
        return Err(TokenError::Claim(Claim::Tenant));
    }
    let publish = match rules.publish.find(claims) {
        None | Some(Value::Null) => Grants::none(),
        Some(value) => read_grants(value, Claim::Publish)?,
    };
    Ok(Claims {
        subject,
        tenant,
        admin: rules.admin.holds(claims),
        expires_unix_s,
        iat_unix_s: read_time(claims, "iat", Claim::IssuedAt, f64::floor)?,
        jti: read_token_id(claims)?,
        channels: match rules.channels.find(claims) {
            None => Grants::everything_unreserved(),
            Some(value) => read_grants(value, Claim::Channels)?,
        },
        publish,
    })
}

/// Checks `exp` and `nbf`; gives the second from which the token is refused.
fn check_times(
    claims: &Map<String, Value>,
    rules: &Rules,
    now_unix_s: u64,
) -> Result<Option<u64>, TokenError> {
    let expires = read_time(claims, "exp", Claim::Expires, f64::floor)?;
    let refused_from = expires.map(|expires| expires.saturating_add(rules.leeway_s));
    if let (Some(expires), Some(refused_from)) = (expires, refused_from) {
        // "On or after" that second (RFC 7519 4.1.4).
        if now_unix_s >= refused_from {
            return Err(TokenError::Expired { ago_s: now_unix_s - expires });
        }
    }
    let not_before = read_time(claims, "nbf", Claim::NotBefore, f64::ceil)?.unwrap_or(0);
    if now_unix_s.saturating_add(rules.leeway_s) < not_before {
        return Err(TokenError::NotYet { in_s: not_before - now_unix_s });
    }
    Ok(refused_from)
}

/// A NumericDate (RFC 7519 2): a JSON number, never a text. Values out of range saturate.
fn read_time(
    claims: &Map<String, Value>,
    name: &str,
    claim: Claim,
    round: fn(f64) -> f64,
) -> Result<Option<u64>, TokenError> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::Number(number)) => {
            to_seconds(number, round).map(Some).ok_or(TokenError::Claim(claim))
        }
        Some(_) => Err(TokenError::Claim(claim)),
    }
}

fn to_seconds(number: &Number, round: fn(f64) -> f64) -> Option<u64> {
    if let Some(seconds) = number.as_u64() {
        return Some(seconds);
    }
    let seconds = number.as_f64().filter(|seconds| seconds.is_finite())?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    Some(round(seconds) as u64)
}

fn check_audience(claims: &Map<String, Value>, wanted: &[String]) -> Result<(), TokenError> {
    let is_wanted =
        |value: &Value| value.as_str().is_some_and(|text| wanted.iter().any(|w| w == text));
    let fits = match claims.get("aud") {
        _ if wanted.is_empty() => true,
        Some(Value::Array(list)) => list.iter().any(is_wanted),
        Some(value) => is_wanted(value),
        None => false,
    };
    if fits { Ok(()) } else { Err(TokenError::Audience) }
}

fn check_issuer(claims: &Map<String, Value>, wanted: &[String]) -> Result<(), TokenError> {
    let issuer = claims.get("iss").and_then(Value::as_str);
    let fits = wanted.is_empty() || issuer.is_some_and(|text| wanted.iter().any(|w| w == text));
    if fits { Ok(()) } else { Err(TokenError::Issuer) }
}

/// A text or a whole number, taken literally; never empty.
fn read_literal(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) if !text.is_empty() => Some(Cow::Borrowed(text)),
        Value::Number(number) if number.is_u64() || number.is_i64() => {
            Some(Cow::Owned(number.to_string()))
        }
        _ => None,
    }
}

fn read_id(
    claims: &Map<String, Value>,
    paths: &[ClaimPath],
    claim: Claim,
) -> Result<Option<Arc<str>>, TokenError> {
    let found = paths.iter().find_map(|path| path.find(claims).filter(|value| !value.is_null()));
    let Some(value) = found else {
        return Ok(None);
    };
    read_literal(value).map(|id| Some(Arc::from(id))).ok_or(TokenError::Claim(claim))
}

fn read_token_id(claims: &Map<String, Value>) -> Result<Option<Arc<str>>, TokenError> {
    match claims.get("jti") {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match read_literal(value) {
            Some(id) if id.len() <= TOKEN_ID_BYTES_MAX => Ok(Some(Arc::from(id))),
            _ => Err(TokenError::Claim(Claim::TokenId)),
        },
    }
}

/// One text or a list of texts.
fn read_grants(value: &Value, claim: Claim) -> Result<Grants, TokenError> {
    let grants = match value {
        Value::String(entry) => Grants::list([entry]),
        Value::Array(list) => {
            let entries: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
            Grants::list(entries.ok_or(TokenError::Claim(claim))?)
        }
        _ => return Err(TokenError::Claim(claim)),
    };
    grants.map_err(|_| TokenError::Claim(claim))
}

#[cfg(test)]
mod tests;
