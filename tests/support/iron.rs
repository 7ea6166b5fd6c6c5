//! Opens sealed texts, written from the description of the form: an oracle beside the library.

use aes::Aes256;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, KeyIvInit};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{hmac, pbkdf2};

/// The text inside; `None` where the password is another one or a byte was changed.
pub(crate) fn open(sealed: &str, password: &str) -> Option<String> {
    let parts: Vec<&str> = sealed.split('*').collect();
    let ["Fe26.2", _, salt, iv, ciphertext, _, mac_salt, mac] = parts[..] else { return None };
    let signed = parts[..6].join("*");
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &derive(password, mac_salt));
    hmac::verify(&key, signed.as_bytes(), &decode(mac)?).ok()?;
    let mut text = decode(ciphertext)?;
    let cipher = cbc::Decryptor::<Aes256>::new_from_slices(&derive(password, salt), &decode(iv)?);
    let text = cipher.ok()?.decrypt_padded::<Pkcs7>(&mut text).ok()?;
    String::from_utf8(text.to_vec()).ok()
}

/// The id of the key that sealed it.
pub(crate) fn key_id(sealed: &str) -> Option<&str> {
    sealed.strip_prefix("Fe26.2*")?.split('*').next()
}

fn derive(password: &str, salt: &str) -> [u8; 32] {
    let (mut key, once) = ([0; 32], std::num::NonZeroU32::MIN);
    let (salt, password) = (salt.as_bytes(), password.as_bytes());
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA1, once, salt, password, &mut key);
    key
}
