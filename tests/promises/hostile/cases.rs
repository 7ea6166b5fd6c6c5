//! The tables of tokens, hostile and harmless.

use super::forge::{HEADER, NAMED, SECRET, claims, good_claims, parts, seal, seal_by, token};
use super::{said, shaped};
use ring::digest::{SHA256, SHA384, SHA512};

/// A token nobody may be admitted with.
pub(super) struct Case {
    pub(super) name: String,
    /// Not always text.
    pub(super) token: Vec<u8>,
    /// True in all else, of a user whose subscription has ended: 403 in place of 401.
    pub(super) inactive: bool,
}

/// Cases as they are added.
#[derive(Default)]
pub(super) struct Cases(Vec<Case>);

impl Cases {
    pub(super) fn add(&mut self, name: impl Into<String>, token: impl Into<Vec<u8>>) {
        self.push(Case { name: name.into(), token: token.into(), inactive: false });
    }

    pub(super) fn add_inactive(&mut self, name: &str, token: String) {
        self.push(Case { name: name.to_owned(), token: token.into_bytes(), inactive: true });
    }

    fn push(&mut self, case: Case) {
        assert!(!case.token.is_empty(), "{}: an empty token counts as none", case.name);
        self.0.push(case);
    }
}

#[test]
fn no_case_stands_twice() {
    let cases = hostile();
    let mut twice = Vec::new();
    for (at, case) in cases.iter().enumerate() {
        let same = |other: &&Case| other.name == case.name || other.token == case.token;
        twice.extend(cases[..at].iter().find(same).map(|other| (&case.name, &other.name)));
    }
    assert!(twice.is_empty(), "{twice:#?}");
}

/// Every hostile token.
pub(super) fn hostile() -> Vec<Case> {
    let mut cases = Cases::default();
    said::add(&mut cases);
    shaped::add(&mut cases);
    cases.0
}

/// Tokens like the hostile ones with which nothing is wrong: were they refused too, refusing the
/// others would show nothing.
pub(super) fn harmless() -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    for header in [
        HEADER,
        r#"{"alg":"HS256"}"#,
        r#"{"alg":"HS256","typ":"jwt"}"#,
        r#"{"alg":"HS256","typ":"at+jwt"}"#,
        r#"{"alg":"HS256","typ":"application/jwt"}"#,
        r#" { "alg" : "HS256" } "#,
        r#"{"\u0061lg":"HS256"}"#,
        r#"{"alg":"HS256","b64":true}"#,
        // A key that a token brings is not looked at.
        r#"{"alg":"HS256","jku":"https://evil.example/k","jwk":{"kty":"oct","k":"AAAA"}}"#,
    ] {
        all.push((format!("header {header}"), token(header, good_claims())));
    }
    for rest in [
        r#""sub":"u""#,
        r#""sub":42"#,
        r#""id":"u","sub":null"#,
        r#""sub":"u","tenant":7"#,
        r#""sub":"u","exp":4102444800.5"#,
        r#""sub":"u","exp":1e300"#,
        r#""sub":"u","exp":18446744073709551615"#,
        r#""sub":"u","nbf":0"#,
        r#""sub":"u","nbf":-1e300"#,
        r#""sub":"u","nbf":-1"#,
        r#""sub":"u","iat":0"#,
        r#""sub":"u","iat":-5"#,
        // When a token was made says nothing of when it may be used (RFC 7519 4.1.6).
        r#""sub":"u","iat":4102444800"#,
        r#""sub":"u","subscription_active":true"#,
        r#""sub":"u","channels":"**""#,
        r#""sub":"u","publish":null"#,
        r#""sub":"u","jti":7"#,
    ] {
        all.push((format!("claims {rest}"), token(HEADER, claims(rest))));
    }
    for (name, hash, algorithm) in
        [("HS256", &SHA256, "HS256"), ("HS384", &SHA384, "HS384"), ("HS512", &SHA512, "HS512")]
    {
        let header = format!(r#"{{"alg":"{algorithm}"}}"#);
        all.push((name.to_owned(), seal_by(hash, SECRET, &parts(header, good_claims()))));
    }
    for (kid, key) in NAMED {
        let header = format!(r#"{{"alg":"HS256","kid":"{kid}"}}"#);
        let sealed = seal_by(&SHA256, key, &parts(header, good_claims()));
        all.push((format!("kid {kid}"), sealed));
        // Without a name every key is tried.
        all.push((format!("{kid} unnamed"), seal_by(&SHA256, key, &parts(HEADER, good_claims()))));
    }
    all.push(("as long as may be".to_owned(), long_token(8_192)));
    all
}

/// A token of so many bytes, right in all else.
pub(super) fn long_token(bytes: usize) -> String {
    // Base64 skips every fourth length: spaces in the header make up for it.
    for spaces in 0..4 {
        let header = format!("{HEADER}{}", " ".repeat(spaces));
        let empty = token(&header, claims(r#""sub":"u","x":"""#)).len();
        let about = (bytes - empty) / 4 * 3;
        for pad in about.saturating_sub(6)..about + 6 {
            let said = claims(&format!(r#""sub":"u","x":"{}""#, "x".repeat(pad)));
            let parts = parts(&header, said);
            if parts.len() + 44 == bytes {
                return seal(&parts);
            }
        }
    }
    panic!("no token of {bytes} bytes");
}
