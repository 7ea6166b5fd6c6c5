//! Tokens as a user makes them: `ringcast token`.

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

/// A compact JWS (RFC 7515) over these two texts, by HMAC-SHA256.
pub(crate) fn sign(secret: &str, header: &str, claims: &str) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let mac = ring::hmac::sign(&key, text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac))
}
