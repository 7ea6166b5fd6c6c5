//! Signed channel grants: the right to read one channel or pattern, in the query of a URL.
//!
//! `?s=<expiry>.<mac>` on a subscription to one channel or pattern grants just that. To grant a
//! pattern to a reader who asks for channels inside it, the query carries it too:
//! `?grant=orders.*&s=...`.
//!
//! - `expiry`: Unix seconds in base 36, lower case, without leading zeros; the first second in which
//!   the grant is refused.
//! - `mac`: the first 128 bits of HMAC-SHA256 over `v1|<granted>|<expiry>`, in base64url without
//!   padding (22 characters). `granted` is the channel name or pattern percent-decoded, `expiry`
//!   its text in `s`.
//!
//! The keys are those of the tokens, and a grant is true under any of them. What is signed is
//! unambiguous, though names may hold `|`: the expiry is what stands behind the last one. Nor can it
//! be taken for a JWT, whose signed text holds no `|`.
//!
//! A grant names nobody: it opens no user or tenant channel of its own accord (a grant of
//! `user:42` does) and never publishes. Against a JWT it is a quarter of the length and one HMAC
//! over a few bytes, no JSON; `docs/adr/0008` weighs them.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use thiserror::Error;

use super::{Algorithm, Keys, access::Grants};
use crate::proto::channel::Selector;

/// Name of the signature in the query.
pub const SIGNATURE_PARAMETER: &str = "s";
/// Name of what is granted in the query, where it is not the one channel asked for.
pub const GRANTED_PARAMETER: &str = "grant";

const VERSION: &str = "v1";
const MAC_BYTES: usize = 16;
const MAC_CHARS: usize = 22;
/// Digits of `u64::MAX` in base 36.
const EXPIRY_CHARS_MAX: usize = 13;
const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// Why a grant is refused; the answer is 401. No variant holds any byte of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// Not `expiry.mac` in their one spelling.
    #[error("the grant `s` is not well-formed")]
    Malformed,
    /// What it grants is neither a channel name nor a pattern.
    #[error("what is granted is neither a channel name nor a pattern")]
    Granted,
    /// No secret is configured.
    #[error("this server has no secret to verify grants with")]
    NoKeys,
    /// Changed, or signed by another secret.
    #[error("the grant's signature is not valid for this channel")]
    Signature,
    /// Its time is over.
    #[error("the grant expired {ago_s} s ago")]
    Expired {
        /// Seconds since then.
        ago_s: u64,
    },
}

/// A grant that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// What may be subscribed; wildcards never reach reserved names.
    pub channels: Grants,
    /// First second in which it is refused: the stream ends then.
    pub expires_unix_s: u64,
}

/// Makes the value of `s` that grants a channel or pattern, signed by the first key.
///
/// # Errors
/// [`SignatureError::NoKeys`].
pub fn mint(
    granted: &Selector,
    expires_unix_s: u64,
    keys: &Keys,
) -> Result<String, SignatureError> {
    let (_, key) = keys.signing(Algorithm::Hs256).ok_or(SignatureError::NoKeys)?;
    let mut text = write_base36(expires_unix_s);
    let mac = mac(key, granted.as_str(), &text);
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(mac.to_be_bytes(), &mut text);
    Ok(text)
}

/// Verifies a grant: `granted` is the value of `grant` or, without one, the one channel or pattern
/// asked for; `signature` is the value of `s`.
///
/// # Errors
/// A [`SignatureError`].
pub fn verify(
    granted: &str,
    signature: &str,
    keys: &Keys,
    now_unix_s: u64,
) -> Result<Granted, SignatureError> {
    let channels = Grants::list([granted]).map_err(|_| SignatureError::Granted)?;
    let (expiry, encoded) = signature.split_once('.').ok_or(SignatureError::Malformed)?;
    let expires_unix_s = read_base36(expiry).ok_or(SignatureError::Malformed)?;
    let given = read_mac(encoded).ok_or(SignatureError::Malformed)?;
    let mut candidates = keys.candidates(None, Algorithm::Hs256).peekable();
    if candidates.peek().is_none() {
        return Err(SignatureError::NoKeys);
    }
    // One comparison of 128 bits: its time does not tell how many of them are right.
    if !candidates.any(|key| mac(key, granted, expiry) ^ given == 0) {
        return Err(SignatureError::Signature);
    }
    match now_unix_s.checked_sub(expires_unix_s) {
        Some(ago_s) => Err(SignatureError::Expired { ago_s }),
        None => Ok(Granted { channels, expires_unix_s }),
    }
}

fn mac(key: &hmac::Key, granted: &str, expiry: &str) -> u128 {
    let mut context = hmac::Context::with_key(key);
    for part in [VERSION, "|", granted, "|", expiry] {
        context.update(part.as_bytes());
    }
    let tag = context.sign();
    // HMAC-SHA256 has 32 bytes.
    tag.as_ref().first_chunk::<MAC_BYTES>().map_or(0, |first| u128::from_be_bytes(*first))
}

/// Canonical base64url only, so that a grant has one spelling.
fn read_mac(text: &str) -> Option<u128> {
    // Base64 decodes in groups of three.
    let mut room = [0; MAC_BYTES.next_multiple_of(3)];
    let len = URL_SAFE_NO_PAD.decode_slice(text, &mut room).ok()?;
    (text.len() == MAC_CHARS && len == MAC_BYTES).then_some(())?;
    room.first_chunk().map(|first| u128::from_be_bytes(*first))
}

fn write_base36(mut number: u64) -> String {
    let mut digits = Vec::with_capacity(EXPIRY_CHARS_MAX + 1 + MAC_CHARS);
    loop {
        digits.push(DIGITS[usize::try_from(number % 36).unwrap_or(0)]);
        number /= 36;
        if number == 0 {
            break;
        }
    }
    digits.reverse();
    String::from_utf8(digits).unwrap_or_default()
}

/// In its one spelling: lower case, no sign, no leading zero.
fn read_base36(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
    if !plain || text.len() > EXPIRY_CHARS_MAX || (text.len() > 1 && text.starts_with('0')) {
        return None;
    }
    u64::from_str_radix(text, 36).ok()
}

#[cfg(test)]
mod tests;
