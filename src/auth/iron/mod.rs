//! Sealed events: the `Fe26.2` form of npm `@hapi/iron` 7 and `iron-webcrypto`.
//!
//! `Fe26.2*keyId*salt*iv*ciphertext*expiration*macSalt*mac`: the JSON text under AES-256-CBC, then
//! HMAC-SHA256 over all in front of the last two parts. Each of the two keys is PBKDF2-SHA1 of the
//! password and its own salt, with **one** iteration: the form relies on a password that is a long
//! random secret. Binary parts are base64url without padding; the salts are hexadecimal text and
//! are used as that text.
//!
//! Salts are drawn anew for every seal, as the packages do, so nothing can be derived beforehand:
//! a seal or unseal costs two key derivations (two blocks of PBKDF2-SHA1 each: some 16 runs of
//! SHA-1's inner function) beside its AES and HMAC. An event is sealed once, for all its readers.
//!
//! In a browser the key is in the reader's hands: sealing keeps data from proxies and logs, not
//! from the user. Sealed data does not shrink; gzip is not worth its cost there.

mod keys;
mod payload;

use std::num::NonZeroU32;

use aes::Aes256;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{hmac, pbkdf2};
use thiserror::Error;

pub use keys::{IronKeyError, IronKeys, PASSWORD_CHARS_MIN};
pub use payload::payload;

/// What every sealed text begins with.
pub const PREFIX: &str = "Fe26.2";
/// Random bytes that one seal uses up: two salts and the first block's vector.
pub const RANDOM_BYTES: usize = SALT_BYTES + IV_BYTES + SALT_BYTES;
/// How far the clocks of two services may differ, milliseconds: an expired text is taken so much
/// longer, as the packages do by default.
pub const SKEW_MS: u64 = 60_000;

const SALT_BYTES: usize = 32;
const IV_BYTES: usize = 16;
const BLOCK_BYTES: usize = 16;
const KEY_BYTES: usize = 32;
const PARTS: usize = 8;
const ITERATIONS: NonZeroU32 = NonZeroU32::MIN;

/// Why a text cannot be sealed or unsealed. No variant holds any byte of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IronError {
    /// No password is configured.
    #[error("there is no key to seal with")]
    NoKeys,
    /// Not eight parts, another prefix, or a part that is not in its one spelling.
    #[error("this is not a well-formed Fe26.2 text")]
    Malformed,
    /// It is sealed under an id that is not among the keys.
    #[error("it is sealed by a key that is not known here")]
    UnknownKey,
    /// Changed on the way, or sealed by another password.
    #[error("its authentication code is not valid")]
    Mac,
    /// Its expiration has passed, [`SKEW_MS`] included.
    #[error("it expired {ago_ms} ms ago")]
    Expired {
        /// Milliseconds since then.
        ago_ms: u64,
    },
}

/// Seals a JSON text under the first key.
///
/// `json` must be JSON, for the packages parse what they unseal: see [`payload`]. `random` must be
/// fresh for each call. `expires_unix_ms`: after it the packages refuse the text; none is usual for
/// events, which carry a timestamp instead.
///
/// # Errors
/// [`IronError::NoKeys`].
pub fn seal(
    json: &str,
    keys: &IronKeys,
    random: &[u8; RANDOM_BYTES],
    expires_unix_ms: Option<u64>,
) -> Result<String, IronError> {
    let (id, password) = keys.sealing().ok_or(IronError::NoKeys)?;
    let (salt, rest) = random.split_at(SALT_BYTES);
    let (iv, mac_salt) = rest.split_at(IV_BYTES);
    let salt = hex(salt);
    let mac_salt = hex(mac_salt);
    let expiration = expires_unix_ms.map_or(String::new(), |at| at.to_string());
    let ciphertext = encrypt(json.as_bytes(), &derive(password, &salt), iv);
    let iv = URL_SAFE_NO_PAD.encode(iv);
    let ciphertext = URL_SAFE_NO_PAD.encode(ciphertext);
    let mut sealed = format!("{PREFIX}*{id}*{salt}*{iv}*{ciphertext}*{expiration}");
    let mac = hmac::sign(&mac_key(password, &mac_salt), sealed.as_bytes());
    sealed.reserve_exact(2 + mac_salt.len() + 43);
    sealed.push('*');
    sealed.push_str(&mac_salt);
    sealed.push('*');
    URL_SAFE_NO_PAD.encode_string(mac, &mut sealed);
    Ok(sealed)
}

/// Opens a sealed text and returns the JSON in it, not parsed. The code is checked, in constant
/// time, before anything is decrypted.
///
/// # Errors
/// An [`IronError`].
pub fn unseal(sealed: &str, keys: &IronKeys, now_unix_ms: u64) -> Result<String, IronError> {
    let parts: Vec<&str> = sealed.splitn(PARTS + 1, '*').collect();
    let [prefix, id, salt, iv, ciphertext, expiration, mac_salt, mac] = parts[..] else {
        return Err(IronError::Malformed);
    };
    if prefix != PREFIX {
        return Err(IronError::Malformed);
    }
    let password = keys.opening(id).ok_or(IronError::UnknownKey)?;
    let signed = &sealed[..sealed.len() - mac_salt.len() - mac.len() - 2];
    let mac = decode(mac)?;
    hmac::verify(&mac_key(password, mac_salt), signed.as_bytes(), &mac)
        .map_err(|_| IronError::Mac)?;
    check_expiration(expiration, now_unix_ms)?;
    let text = decrypt(decode(ciphertext)?, &derive(password, salt), &decode(iv)?)?;
    String::from_utf8(text).map_err(|_| IronError::Malformed)
}

fn check_expiration(text: &str, now_unix_ms: u64) -> Result<(), IronError> {
    if text.is_empty() {
        return Ok(());
    }
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(IronError::Malformed);
    }
    let at_ms: u64 = text.parse().map_err(|_| IronError::Malformed)?;
    match now_unix_ms.checked_sub(at_ms) {
        Some(ago_ms) if ago_ms >= SKEW_MS => Err(IronError::Expired { ago_ms }),
        _ => Ok(()),
    }
}

/// A key of one password and salt.
fn derive(password: &str, salt: &str) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    let (salt, password) = (salt.as_bytes(), password.as_bytes());
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA1, ITERATIONS, salt, password, &mut key);
    key
}

fn mac_key(password: &str, salt: &str) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &derive(password, salt))
}

/// `iv` has [`IV_BYTES`].
fn encrypt(text: &[u8], key: &[u8; KEY_BYTES], iv: &[u8]) -> Vec<u8> {
    let mut buffer = vec![0; text.len() / BLOCK_BYTES * BLOCK_BYTES + BLOCK_BYTES];
    let len = cbc::Encryptor::<Aes256>::new_from_slices(key, iv)
        .ok()
        .and_then(|cipher| cipher.encrypt_padded_b2b::<Pkcs7>(text, &mut buffer).ok())
        .map_or(0, <[u8]>::len);
    // PKCS#7 always adds one to sixteen bytes, and the buffer has exactly that room.
    debug_assert_eq!(len, buffer.len());
    buffer
}

fn decrypt(mut text: Vec<u8>, key: &[u8; KEY_BYTES], iv: &[u8]) -> Result<Vec<u8>, IronError> {
    let len = cbc::Decryptor::<Aes256>::new_from_slices(key, iv)
        .ok()
        .and_then(|cipher| cipher.decrypt_padded::<Pkcs7>(&mut text).ok())
        .map(<[u8]>::len)
        .ok_or(IronError::Malformed)?;
    text.truncate(len);
    Ok(text)
}

/// In its one canonical spelling (RFC 4648 3.5), so that a text has no second form.
fn decode(part: &str) -> Result<Vec<u8>, IronError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| IronError::Malformed)
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(u32::from(digit), 16))
        .collect()
}

#[cfg(test)]
mod tests;
