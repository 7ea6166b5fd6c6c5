use proptest::prelude::*;

use super::*;

mod hostile;

const SECRET: &[u8] = b"correct horse battery staple 0123456789";
const NOW: u64 = 1_800_000_000;
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
const CLAIMS: &str = r#"{"sub":"42","exp":4102444800}"#;

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Signs any two encoded parts by HMAC-SHA256 with any secret.
fn seal(parts: &str, secret: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    format!("{parts}.{}", b64(hmac::sign(&key, parts.as_bytes())))
}

/// A token whose signature is right, whatever it says.
fn signed(header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
    seal(&format!("{}.{}", b64(header), b64(claims)), SECRET)
}

fn check(token: &str) -> Result<Claims, TokenError> {
    verify(token, &Keys::single(SECRET).unwrap(), &Rules::default(), NOW)
}

/// RFC 7515 A.1: the key, the token with its line breaks in the JSON, and its expiry.
#[test]
fn rfc_7515_a1() {
    let secret = URL_SAFE_NO_PAD
        .decode(
            "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75\
             aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
        )
        .unwrap();
    let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
                 eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt\
                 cGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
                 dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let keys = Keys::single(&secret).unwrap();
    let claims = verify(token, &keys, &Rules::default(), 1_300_819_379).unwrap();
    assert_eq!((claims.subject, claims.expires_unix_s), (None, Some(1_300_819_380)));
    let late = verify(token, &keys, &Rules::default(), 1_300_819_400);
    assert_eq!(late, Err(TokenError::Expired { ago_s: 20 }));
    let changed = token.replace("OEjXk", "OEjXl");
    assert!(verify(&changed, &keys, &Rules::default(), 1_300_819_379).is_err());
}

/// Made once by npm jsonwebtoken 9.0.3.
#[test]
fn tokens_of_npm_jsonwebtoken() {
    let token = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
        eyJzdWIiOiI0MiIsInRlbmFudElkIjoidDEiLCJjaGFubmVscyI6WyJuZXdzIiwic3BvcnRzLioiXSwiaWF0Ijox\
        NzAwMDAwMDAwLCJleHAiOjQxMDI0NDQ4MDB9.TP3Cn1hK_nxzgINkK-1y28Frk7BWBwjM_CVjsyJ_U_g";
    let claims = check(token).unwrap();
    assert_eq!((claims.subject.as_deref(), claims.tenant.as_deref()), (Some("42"), Some("t1")));
    assert_eq!(claims.expires_unix_s, Some(4_102_444_800));
    assert_eq!(claims.iat_unix_s, Some(1_700_000_000));
    assert!(claims.channels.covers_name("sports.golf") && !claims.channels.covers_name("other"));
    assert!(!claims.publish.covers_name("news") && !claims.admin);

    let token = "eyJhbGciOiJIUzM4NCIsInR5cCI6IkpXVCIsImtpZCI6ImsxIn0.\
        eyJpZCI6NywicHVibGlzaCI6Im5ld3MiLCJhZG1pbiI6dHJ1ZSwiaWF0IjoxNzAwMDAwMDAwLCJleHAiOjQxMDI0\
        NDQ4MDB9.XRKog6i5RWGXKvEN-zfhfVbAmHDfjc3D9FGPHF2cnS18dHiUkhvpNtodLJLvWayZ";
    let keys = Keys::new([(Some("k0"), &b"another secret"[..]), (Some("k1"), SECRET)]).unwrap();
    let claims = verify(token, &keys, &Rules::default(), NOW).unwrap();
    assert_eq!(claims.subject.as_deref(), Some("7"));
    assert!(claims.admin && claims.publish.covers_name("news"));
    let others = Keys::new([(Some("k0"), SECRET), (Some("k1"), b"another secret")]).unwrap();
    let crossed = verify(token, &others, &Rules::default(), NOW);
    assert_eq!(crossed, Err(TokenError::Signature), "the kid alone picks the key");
    let unknown = Keys::new([(Some("k2"), SECRET)]).unwrap();
    assert_eq!(verify(token, &unknown, &Rules::default(), NOW), Err(TokenError::UnknownKey));
    assert!(check(token).is_ok(), "a kid means nothing where no key has a name");
}

/// Made once by PyJWT 2.15.1.
#[test]
fn tokens_of_pyjwt() {
    let secret = [SECRET, b" ", SECRET].concat();
    let keys = Keys::new([(Some("a"), &b"another secret"[..]), (Some("b"), &secret)]).unwrap();
    let token = "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9.\
        eyJzdWIiOiJhbmEiLCJ0ZW5hbnQiOiJ0OSIsInB1Ymxpc2giOlsibmV3cyIsInVzZXI6KiJdLCJhdWQiOlsicmlu\
        Z2Nhc3QiLCJvdGhlciJdLCJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJqdGkiOiJqLTEiLCJpYXQiOjE3MDAw\
        MDAwMDAsIm5iZiI6MTcwMDAwMDAwMCwiZXhwIjo0MTAyNDQ0ODAwfQ.PTL1bRSN43X0_9rTc0GwR-qiLYXcJ8SNl\
        O2-MPFatuGp8UaJVLR7ki_WdWXrdGkm05srUEjWBUrFmbfrK4pS5A";
    let rules = Rules {
        audience: vec!["ringcast".into()],
        issuer: vec!["https://id.example".into()],
        ..Rules::default()
    };
    let claims = verify(token, &keys, &rules, NOW).unwrap();
    assert_eq!((claims.subject.as_deref(), claims.jti.as_deref()), (Some("ana"), Some("j-1")));
    assert!(claims.publish.covers_name("user:5") && !claims.publish.covers_name("tenant:t9"));
    assert_eq!(verify(token, &keys, &rules, 1_699_999_990), Err(TokenError::NotYet { in_s: 10 }));
    let token = "eyJhbGciOiJIUzI1NiIsImtpZCI6ImIiLCJ0eXAiOiJKV1QifQ.\
        eyJzdWIiOiJhbmEiLCJleHAiOjQxMDI0NDQ4MDAuNX0.Q9ajjYm6cbjN_xwKH6tFI7LT3HJKwwzBKCEIlNNHLvo";
    let claims = verify(token, &keys, &Rules::default(), NOW).unwrap();
    assert_eq!(claims.expires_unix_s, Some(4_102_444_800));
}

#[test]
fn good_headers_pass() {
    for header in [
        HEADER,
        r#"{"alg":"HS256"}"#,
        r#"{"alg":"HS256","typ":"jwt"}"#,
        r#"{"alg":"HS256","typ":"at+jwt"}"#,
        r#"{"alg":"HS256","typ":"application/AT+JWT"}"#,
        r#" { "alg" : "HS256" } "#,
        r#"{"alg":"HS256","kid":"anything"}"#,
        r#"{"alg":"HS256","jku":"http://evil.example","x5u":"http://evil.example"}"#,
    ] {
        assert!(check(&signed(header, CLAIMS)).is_ok(), "{header}");
    }
}

#[test]
fn several_keys_are_tried_without_a_kid() {
    let token = signed(HEADER, CLAIMS);
    let keys = Keys::new([(Some("new"), &b"new secret"[..]), (Some("old"), SECRET)]).unwrap();
    assert!(verify(&token, &keys, &Rules::default(), NOW).is_ok());
    let wrong = Keys::new([(None::<&str>, b"new secret"), (None, b"oldsecret2")]).unwrap();
    assert_eq!(verify(&token, &wrong, &Rules::default(), NOW), Err(TokenError::Signature));
    assert_eq!(verify(&token, &Keys::none(), &Rules::default(), NOW), Err(TokenError::NoKeys));
}

#[test]
fn hostile_kids() {
    let keys = Keys::new([(Some("k1"), SECRET)]).unwrap();
    for kid in ["", "k", "K1", "k1 ", "k1\\u0000", "../../dev/null", "' OR 1=1 --", "*", "k2"] {
        let token = signed(format!(r#"{{"alg":"HS256","kid":"{kid}"}}"#), CLAIMS);
        let answer = verify(&token, &keys, &Rules::default(), NOW);
        assert_eq!(answer.unwrap_err(), TokenError::UnknownKey, "{kid}");
    }
    let token = signed(r#"{"alg":"HS256","kid":"k1"}"#, CLAIMS);
    assert!(verify(&token, &keys, &Rules::default(), NOW).is_ok());
}

#[test]
fn each_changed_byte_is_seen() {
    let good = signed(HEADER, CLAIMS);
    for at in 0..good.len() {
        for other in [b'A', b'z', b'.', b'-', b'0'] {
            let mut bytes = good.clone().into_bytes();
            if bytes[at] != other {
                bytes[at] = other;
                let token = String::from_utf8(bytes).unwrap();
                assert!(check(&token).is_err(), "{token}");
            }
        }
    }
}

proptest! {
    #[test]
    fn no_text_panics_or_passes(token in ".{0,200}") {
        prop_assert!(check(&token).is_err());
    }

    #[test]
    fn no_true_header_or_claims_panic(header in ".{0,40}", claims in any::<Vec<u8>>()) {
        let _ = check(&signed(header, CLAIMS));
        let _ = check(&signed(HEADER, claims));
    }
}
