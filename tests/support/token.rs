//! Tokens as a user makes them: `ringcast token`, or by the hands of another service.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use serde_json::{Value, json};

use super::server::{command, new_folder};

/// Runs `ringcast token ARGS` with `JWT_SECRET=secret`; the printed token.
pub(crate) fn token(secret: &str, args: &[&str]) -> String {
    let folder = new_folder();
    let output = command(&folder, &[("JWT_SECRET", secret)])
        .arg("token")
        .args(args)
        .output()
        .expect("the binary runs");
    let _ = std::fs::remove_dir_all(&folder);
    assert!(
        output.status.success(),
        "ringcast token {args:?}: {:?} {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).expect("a token is ASCII");
    let token = text.trim();
    assert_eq!(token.split('.').count(), 3, "not a compact JWS: {token}");
    token.to_owned()
}

/// A token with these claims as another service signs it (RFC 7515, HS256), under a key's id if
/// there are several.
pub(crate) fn sign(secret: &str, kid: Option<&str>, claims: &Value) -> String {
    let mut header = json!({ "alg": "HS256", "typ": "JWT" });
    if let Some(kid) = kid {
        header["kid"] = kid.into();
    }
    let [header, claims] = [&header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let signed = format!("{header}.{claims}");
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// What a token says, its signature not looked at.
pub(crate) fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).expect("three parts");
    let text = URL_SAFE_NO_PAD.decode(part).expect("base64url");
    serde_json::from_slice(&text).expect("JSON")
}
