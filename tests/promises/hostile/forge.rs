//! Tokens made by hand: HMAC by RFC 2104, base64 by RFC 4648, on nothing but the bare hash, so that
//! neither the server's signing nor its decoding has a part in what is asked of it.

use ring::digest::{self, Algorithm, SHA256, SHA384, SHA512};

/// `JWT_SECRET` of the strict server: it has no `kid`.
pub(super) const SECRET: &[u8] = b"the-secret-without-a-name-of-forty-eight-bytes-!";
/// Its secrets with a `kid`.
pub(super) const NAMED: [(&str, &[u8]); 2] = [
    ("first", b"the-first-secret-that-has-a-name-and-enough-bytes"),
    ("second", b"the-second-secret-that-has-a-name-and-enough-bytes"),
];
/// `auth.audience` of the strict server.
pub(super) const AUDIENCE: &str = "Ringcast-Hostile";
/// `auth.issuer` of the strict server.
pub(super) const ISSUER: &str = "https://issuer.example";
/// A header nothing is wrong with.
pub(super) const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// The alphabet of base64url (RFC 4648 5).
pub(super) const URL: &[u8; 64] =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// The other one (RFC 4648 4).
pub(super) const STANDARD: &[u8; 64] =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// HMAC (RFC 2104 2).
pub(super) fn hmac(hash: &'static Algorithm, key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut block = vec![0; hash.block_len()];
    let digest;
    let key = if key.len() > block.len() {
        digest = digest::digest(hash, key);
        digest.as_ref()
    } else {
        key
    };
    block[..key.len()].copy_from_slice(key);
    let padded = |mask: u8, text: &[u8]| {
        let mut all: Vec<u8> = block.iter().map(|byte| byte ^ mask).collect();
        all.extend_from_slice(text);
        digest::digest(hash, &all)
    };
    padded(0x5c, padded(0x36, text).as_ref()).as_ref().to_vec()
}

/// Base64 without padding.
pub(super) fn base64_by(alphabet: &[u8; 64], bytes: impl AsRef<[u8]>) -> String {
    let mut out = String::new();
    for three in bytes.as_ref().chunks(3) {
        let byte = |at: usize| three.get(at).copied().unwrap_or_default();
        let bits = u32::from_be_bytes([0, byte(0), byte(1), byte(2)]);
        for at in 0..=three.len() {
            let index = usize::try_from(bits >> (18 - 6 * at) & 63).expect("six bits");
            out.push(char::from(alphabet[index]));
        }
    }
    out
}

/// Base64url without padding.
pub(super) fn base64(bytes: impl AsRef<[u8]>) -> String {
    base64_by(URL, bytes)
}

/// `header.claims`, encoded and not signed.
pub(super) fn parts(header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
    format!("{}.{}", base64(header), base64(claims))
}

/// `parts` with its signature.
pub(super) fn seal_by(hash: &'static Algorithm, key: &[u8], parts: &str) -> String {
    format!("{parts}.{}", base64(hmac(hash, key, parts.as_bytes())))
}

/// `parts` as the holder of [`SECRET`] signs them.
pub(super) fn seal(parts: &str) -> String {
    seal_by(&SHA256, SECRET, parts)
}

/// A token rightly signed, whatever it says.
pub(super) fn token(header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
    seal(&parts(header, claims))
}

/// The claims every token here needs, and `rest`.
pub(super) fn claims(rest: &str) -> String {
    format!(r#"{{"aud":"{AUDIENCE}","iss":"{ISSUER}",{rest}}}"#)
}

/// Claims nothing is wrong with.
pub(super) fn good_claims() -> String {
    claims(r#""sub":"u","publish":["**"],"exp":4102444800"#)
}

#[test]
fn signs_as_the_standards_do() {
    let hex = |bytes: Vec<u8>| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    // RFC 4231 4.3 and, with a key longer than a block, 4.7.
    let (text, long) = (b"what do ya want for nothing?", [0xaa; 131]);
    let ends = |hash, key: &[u8], text: &[u8], begin: &str, end: &str| {
        let sum = hex(hmac(hash, key, text));
        assert!(sum.starts_with(begin) && sum.ends_with(end), "{sum}");
    };
    ends(&SHA256, b"Jefe", text, "5bdcc146bf60754e", "9dec58b964ec3843");
    ends(&SHA384, b"Jefe", text, "af45d2e376484031", "8e2240ca5e69e2c78b3239ecfab21649");
    ends(&SHA512, b"Jefe", text, "164b7a7bfcf819e2", "4b636e070a38bce737");
    let text = b"Test Using Larger Than Block-Size Key - Hash Key First";
    ends(&SHA256, &long, text, "60e431591ee0b67f", "0ee37f54");
    // RFC 4648 10.
    for (plain, coded) in
        [("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"), ("foobar", "Zm9vYmFy")]
    {
        assert_eq!(base64(plain), coded);
    }
    assert_eq!(
        (base64([0xfb, 0xff]), base64_by(STANDARD, [0xfb, 0xff])),
        ("-_8".into(), "+/8".into())
    );
}
