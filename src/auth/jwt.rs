//! Verifying compact JWTs (RFC 7519) signed by HMAC (RFC 7518 3.2), by the rules of RFC 8725.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use serde_json::{Map, Value};

use super::{
    claims::{self, Claims, Rules},
    error::TokenError,
    json,
    keys::{Algorithm, Keys},
};

/// Longest token that is looked at, bytes.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Room for the longest signature's text: base64 of 64 bytes decodes in groups of three.
const SIGNATURE_ROOM: usize = 66;

/// Verifies a token and reads its claims. The signature is checked before the claims are decoded.
///
/// `now_unix_s`: wall clock, seconds since 1970.
///
/// # Errors
/// A [`TokenError`]; its status is 401, or 403 for an inactive subscription.
pub fn verify(
    token: &str,
    keys: &Keys,
    rules: &Rules,
    now_unix_s: u64,
) -> Result<Claims, TokenError> {
    let parts = Parts::split(token)?;
    let header = Header::read(parts.header)?;
    check_signature(&parts, &header, keys)?;
    let payload = decode(parts.payload)?;
    let claims = json::read_object(&payload).ok_or(TokenError::Payload)?;
    claims::read(&claims, rules, now_unix_s)
}

/// The three parts of a token, still encoded.
struct Parts<'a> {
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
    /// What is signed: `header.payload`.
    signed: &'a str,
}

impl<'a> Parts<'a> {
    fn split(token: &'a str) -> Result<Self, TokenError> {
        if token.is_empty() {
            return Err(TokenError::Missing);
        }
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        if payload.contains('.') {
            return Err(TokenError::Malformed);
        }
        Ok(Self { header, payload, signature, signed })
    }
}

/// What of a header counts. Keys that a token brings or points to (`jwk`, `jku`, `x5u`, `x5c`)
/// are never read.
struct Header {
    algorithm: Algorithm,
    kid: Option<String>,
}

impl Header {
    fn read(part: &str) -> Result<Self, TokenError> {
        let mut object = json::read_object(&decode(part)?).ok_or(TokenError::Header)?;
        // RFC 7797 7: no JWT has an unencoded payload, whether `crit` says so or not.
        let unencoded = object.get("b64").is_some_and(|b64| *b64 != Value::Bool(true));
        if unencoded || object.contains_key("crit") {
            return Err(TokenError::Critical);
        }
        let algorithm = match object.get("alg") {
            Some(Value::String(name)) => Algorithm::parse(name).ok_or(TokenError::Algorithm)?,
            _ => return Err(TokenError::Algorithm),
        };
        check_type(&object)?;
        let kid = match object.remove("kid") {
            None => None,
            Some(Value::String(kid)) => Some(kid),
            Some(_) => return Err(TokenError::Header),
        };
        Ok(Self { algorithm, kid })
    }
}

/// Takes no `typ`, `JWT` and `at+jwt` (RFC 9068), in any case, also as `application/...`
/// (RFC 7515 4.1.9). Any other is a token made for another use.
fn check_type(header: &Map<String, Value>) -> Result<(), TokenError> {
    let typ = match header.get("typ") {
        None => return Ok(()),
        Some(Value::String(typ)) => typ.to_ascii_lowercase(),
        Some(_) => return Err(TokenError::Type),
    };
    match typ.strip_prefix("application/").unwrap_or(&typ) {
        "jwt" | "at+jwt" => Ok(()),
        _ => Err(TokenError::Type),
    }
}

fn check_signature(parts: &Parts<'_>, header: &Header, keys: &Keys) -> Result<(), TokenError> {
    if keys.is_empty() {
        return Err(TokenError::NoKeys);
    }
    let mut room = [0; SIGNATURE_ROOM];
    let len = header.algorithm.signature_len();
    // Unpadded base64: four characters for three bytes, rounded up.
    if parts.signature.len() != (len * 4).div_ceil(3) {
        return Err(TokenError::Signature);
    }
    let taken = URL_SAFE_NO_PAD
        .decode_slice(parts.signature, &mut room)
        .map_err(|_| TokenError::Malformed)?;
    let signature = room.get(..taken).unwrap_or_default();
    let mut candidates = keys.candidates(header.kid.as_deref(), header.algorithm).peekable();
    if candidates.peek().is_none() {
        return Err(TokenError::UnknownKey);
    }
    // hmac::verify compares in constant time and refuses another length.
    candidates
        .find(|key| hmac::verify(key, parts.signed.as_bytes(), signature).is_ok())
        .map(|_| ())
        .ok_or(TokenError::Signature)
}

/// Decodes base64url without padding in its one canonical spelling: padding, white space, other
/// alphabets and bits left over are all refused (RFC 7515 2, RFC 4648 3.5).
fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed)
}

#[cfg(test)]
mod tests;
