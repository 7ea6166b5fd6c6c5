//! Tokens that an attacker or a broken issuer may send: more than 200, each with its refusal.

use base64::engine::general_purpose::URL_SAFE;

use super::*;
use crate::auth::error::Claim;

const ALGORITHMS: &[&str] = &[
    "none",
    "None",
    "NONE",
    "nOnE",
    "",
    " ",
    "hs256",
    "Hs256",
    "HS256 ",
    " HS256",
    "HS-256",
    "HS1",
    "HS224",
    "HS257",
    "HS2560",
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "ES256K",
    "EdDSA",
    "Ed25519",
    "dir",
    "A128KW",
    "HMAC",
    "SHA256",
    "HS256\u{0}",
    "HS256,none",
    "\u{ff28}S256",
];

const HEADERS_WITHOUT_ALGORITHM: &[&str] = &[
    "{}",
    r#"{"typ":"JWT"}"#,
    r#"{"alg":null}"#,
    r#"{"alg":256}"#,
    r#"{"alg":true}"#,
    r#"{"alg":["HS256"]}"#,
    r#"{"alg":{"HS256":1}}"#,
    r#"{"Alg":"HS256"}"#,
    r#"{"header":{"alg":"HS256"}}"#,
];

const TYPES: &[&str] = &[
    r#""JWS""#,
    r#""JOSE""#,
    r#""logout+jwt""#,
    r#""dpop+jwt""#,
    r#""JWT ""#,
    r#""""#,
    r#""secevent+jwt""#,
    "null",
    "1",
    r#"["JWT"]"#,
    r#""application/json""#,
    r#""text/jwt""#,
];

const HEADERS_UNREADABLE: &[&str] = &[
    "",
    "{",
    "}",
    "null",
    "[]",
    "1",
    r#""HS256""#,
    "HS256",
    r#"{"alg":"HS256"}x"#,
    r#"{"alg":"HS256"}{}"#,
    r#"{"alg":"HS256",}"#,
    r#"{'alg':'HS256'}"#,
    r#"{alg:"HS256"}"#,
    "\u{feff}{\"alg\":\"HS256\"}",
    r#"{"alg":"none","alg":"HS256"}"#,
    r#"{"alg":"HS256","alg":"HS256"}"#,
    r#"{"alg":"HS256","\u0061lg":"none"}"#,
    r#"{"alg":"HS256","x":1e400}"#,
    r#"{"alg":"HS256","x":NaN}"#,
    "{\"alg\":\"HS256\"}\0",
    "{\"alg\":\"HS256\n\"}",
    r#"{"alg":"HS256","x":"\ud800"}"#,
];

const CLAIMS_UNREADABLE: &[&str] = &[
    "",
    "{",
    "null",
    "[]",
    r#"["sub"]"#,
    "42",
    r#""42""#,
    r#"{"sub":"42"}x"#,
    r#"{"sub":"42","sub":"43"}"#,
    r#"{"admin":false,"admin":true}"#,
    r#"{"sub":"42","\u0073ub":"1"}"#,
    r#"{"x":{"a":1,"a":2}}"#,
    r#"{"exp":1e400}"#,
    r#"{"exp":-1e400}"#,
    r#"{"exp":NaN}"#,
    r#"{"exp":Infinity}"#,
    r#"{"exp":0x7fffffff}"#,
    r#"{"exp":+5}"#,
    r#"{"exp":4102444800.}"#,
    r#"{"sub":"\ud800"}"#,
    r#"{"sub":42,}"#,
    "\u{feff}{}",
];

const NO_IDS: &[&str] = &[
    r#""""#,
    r#""*""#,
    r#""**""#,
    r#""a b""#,
    r#""a,b""#,
    r#""a/b""#,
    r#""a.*""#,
    r#""a\n""#,
    r#""\u0000""#,
    r#""a\u007f""#,
    r#""../x""#,
    "1.5",
    "1e3",
    "1e30",
    "true",
    "[]",
    r#"["42"]"#,
    r#"{"id":1}"#,
    "18446744073709551616",
];

const STATES: &[(&str, TokenError)] = &[
    (r#"{"exp":0}"#, TokenError::Expired { ago_s: NOW }),
    (r#"{"exp":-1}"#, TokenError::Expired { ago_s: NOW }),
    (r#"{"exp":-1e300}"#, TokenError::Expired { ago_s: NOW }),
    (r#"{"exp":1e-300}"#, TokenError::Expired { ago_s: NOW }),
    (r#"{"exp":1800000000}"#, TokenError::Expired { ago_s: 0 }),
    (r#"{"exp":1800000000.9}"#, TokenError::Expired { ago_s: 0 }),
    (r#"{"exp":1799999990}"#, TokenError::Expired { ago_s: 10 }),
    (r#"{"nbf":1800000001}"#, TokenError::NotYet { in_s: 1 }),
    (r#"{"nbf":1800000000.1}"#, TokenError::NotYet { in_s: 1 }),
    (r#"{"nbf":1e300}"#, TokenError::NotYet { in_s: u64::MAX - NOW }),
    (r#"{"sub":"42","subscription_active":false}"#, TokenError::SubscriptionInactive),
];

/// An attacker's own key in the header is not used, wherever it stands.
fn with_own_key(field: &str) -> String {
    let jwk = format!(r#"{{"kty":"oct","k":"{}"}}"#, b64(b"attacker"));
    let value = if field == "jwk" { jwk } else { r#""http://evil.example/k""#.to_owned() };
    let header = format!(r#"{{"alg":"HS256","{field}":{value}}}"#);
    seal(&format!("{}.{}", b64(header), b64(CLAIMS)), b"attacker")
}

fn bad_headers() -> Vec<(String, TokenError)> {
    let mut table = Vec::new();

    for algorithm in ALGORITHMS {
        let header = Value::Object([("alg".to_owned(), (*algorithm).into())].into_iter().collect());
        table.push((signed(header.to_string(), CLAIMS), TokenError::Algorithm));
    }
    for header in HEADERS_WITHOUT_ALGORITHM {
        table.push((signed(header, CLAIMS), TokenError::Algorithm));
    }
    for typ in TYPES {
        let header = format!(r#"{{"alg":"HS256","typ":{typ}}}"#);
        table.push((signed(header, CLAIMS), TokenError::Type));
    }
    for crit in [r#"["exp"]"#, "[]", "null", r#""b64""#, r#"["b64"],"b64":false"#, "{}", "0"] {
        let header = format!(r#"{{"alg":"HS256","crit":{crit}}}"#);
        table.push((signed(header, CLAIMS), TokenError::Critical));
    }
    for b64 in ["false", "null", "0", r#""true""#] {
        let header = format!(r#"{{"alg":"HS256","b64":{b64}}}"#);
        table.push((signed(header, CLAIMS), TokenError::Critical));
    }
    for kid in ["null", "1", "[]", r#"["k"]"#, "{}", "true"] {
        let header = format!(r#"{{"alg":"HS256","kid":{kid}}}"#);
        table.push((signed(header, CLAIMS), TokenError::Header));
    }
    let deep = format!(r#"{{"alg":"HS256","x":{}1{}}}"#, "[".repeat(1000), "]".repeat(1000));
    for header in HEADERS_UNREADABLE.iter().copied().chain([&*deep]) {
        table.push((signed(header, CLAIMS), TokenError::Header));
    }
    table.push((signed(b"{\"alg\":\"HS256\",\"x\":\"\xff\"}", CLAIMS), TokenError::Header));
    table
}

fn bad_signatures() -> Vec<(String, TokenError)> {
    let good = signed(HEADER, CLAIMS);
    let (parts, signature) = good.rsplit_once('.').unwrap();
    let mut table: Vec<(String, TokenError)> =
        ["", "A", "AA", "AAAA", &signature[1..], &signature[..42], &format!("{signature}A")]
            .into_iter()
            .map(|other| (format!("{parts}.{other}"), TokenError::Signature))
            .collect();
    for secret in [&b""[..], b"secret", &SECRET[1..], b"null", b"0", b"undefined", b"[object]"] {
        table.push((seal(parts, secret), TokenError::Signature));
    }
    let [header, claims] = [b64(HEADER), b64(CLAIMS)];
    // The signature of something else: no dot, only a part, parts swapped, a changed claim.
    for other in [format!("{header}{claims}"), header.clone(), claims, format!("{parts}.")] {
        let stolen = seal(&other, SECRET);
        let stolen = stolen.rsplit_once('.').unwrap().1;
        table.push((format!("{parts}.{stolen}"), TokenError::Signature));
    }
    let admin = b64(r#"{"sub":"1","admin":true}"#);
    table.push((format!("{header}.{admin}.{signature}"), TokenError::Signature));
    // The hash without a key, and hex instead of base64.
    let plain = ring::digest::digest(&ring::digest::SHA256, parts.as_bytes());
    table.push((format!("{parts}.{}", b64(plain)), TokenError::Signature));
    table.push((format!("{parts}.{}", "ab".repeat(32)), TokenError::Signature));
    // Zeros of each length, and the length of another algorithm.
    for len in [31, 32, 33, 48, 64] {
        table.push((format!("{parts}.{}", b64(vec![0; len])), TokenError::Signature));
    }
    for algorithm in ["HS384", "HS512"] {
        let header = format!(r#"{{"alg":"{algorithm}"}}"#);
        table.push((signed(header, CLAIMS), TokenError::Signature));
    }
    for field in ["jwk", "jku", "x5u", "x5c", "x5t"] {
        table.push((with_own_key(field), TokenError::Signature));
    }
    for bit in 0..8 {
        let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        bytes[bit * 4] ^= 1 << bit;
        table.push((format!("{parts}.{}", b64(bytes)), TokenError::Signature));
    }
    table
}

fn bad_shapes() -> Vec<(String, TokenError)> {
    let good = signed(HEADER, CLAIMS);
    let (parts, signature) = good.rsplit_once('.').unwrap();
    let (header, claims) = parts.split_once('.').unwrap();
    let padded = seal(&format!("{}.{claims}", URL_SAFE.encode(r#"{"alg":"HS256"}  "#)), SECRET);
    let payload_padded =
        seal(&format!("{header}.{}", URL_SAFE.encode(r#"{"sub":"4"} "#) + "="), SECRET);
    // 43 characters hold two bits more than 32 bytes: in the last character they must be zero.
    let last = signature.as_bytes()[42];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let at = alphabet.iter().position(|b| *b == last).unwrap();
    let mut table = Vec::new();
    for offset in 1..4 {
        let other = char::from(alphabet[at + offset]);
        table.push(format!("{parts}.{}{other}", &signature[..42]));
    }
    table.extend([
        "a".to_owned(),
        ".".to_owned(),
        "a.b".to_owned(),
        parts.to_owned(),
        format!("{good}."),
        format!("{good}.{signature}"),
        format!("{header}..{claims}.{signature}"),
        format!("{header}{claims}.{signature}"),
        format!("{good},{good}"),
        format!("Bearer {good}"),
        format!(" {good}"),
        format!("\t{good}"),
        format!("\"{good}\""),
        format!("\u{feff}{good}"),
        format!("{}é.{claims}.{signature}", &header[1..]),
        format!("{header}=.{claims}.{signature}"),
        format!("{header} .{claims}.{signature}"),
        format!("%65{}.{claims}.{signature}", &header[1..]),
        format!("{}.{claims}.{signature}", &header[1..]),
        padded,
        payload_padded,
        seal(&format!("{header}. {claims}"), SECRET),
        seal(&format!("{header}.{claims}\n"), SECRET),
        seal(&format!("{header}.A"), SECRET),
        seal(&format!("{header}.+/+/"), SECRET),
        seal(&format!("{header}.e31"), SECRET),
        "ey".repeat(100),
        "....".to_owned(),
        good.replace('.', "%2E"),
        good.replace('.', "\u{ff0e}"),
    ]);
    let mut table: Vec<_> = table.into_iter().map(|t| (t, TokenError::Malformed)).collect();
    table.push(("..".to_owned(), TokenError::Header));
    table.push((String::new(), TokenError::Missing));
    for tail in ["=", "==", " ", "\n", "\0", "\r\n"] {
        table.push((format!("{good}{tail}"), TokenError::Signature));
    }
    for size in [TOKEN_BYTES_MAX, 100_000, 1_000_000] {
        let claims = format!(r#"{{"sub":"42","x":"{}"}}"#, "y".repeat(size));
        table.push((signed(HEADER, claims), TokenError::TooLong));
        table.push((".".repeat(size + 1), TokenError::TooLong));
    }
    table
}

fn bad_claims() -> Vec<(String, TokenError)> {
    let mut table = Vec::new();
    let deep = format!(r#"{{"x":{}1{}}}"#, "[".repeat(1000), "]".repeat(1000));
    let deep_objects = format!("{}1{}", r#"{"x":"#.repeat(500), "}".repeat(500));
    for claims in CLAIMS_UNREADABLE.iter().copied().chain([&*deep, &*deep_objects]) {
        table.push((signed(HEADER, claims), TokenError::Payload));
    }
    table.push((signed(HEADER, b"{\"sub\":\"\xc0\xaf\"}"), TokenError::Payload));
    let mut wrong = |name: &str, values: &[&str], claim: Claim| {
        for value in values {
            let token = signed(HEADER, format!(r#"{{"{name}":{value}}}"#));
            table.push((token, TokenError::Claim(claim)));
        }
    };
    let no_numbers = ["null", "true", r#""4102444800""#, r#""""#, "[4102444800]", r#"{"s":1}"#];
    wrong("exp", &no_numbers, Claim::Expires);
    wrong("nbf", &no_numbers, Claim::NotBefore);
    wrong("iat", &no_numbers, Claim::IssuedAt);
    let long = format!("\"{}\"", "x".repeat(251));

    wrong("sub", NO_IDS, Claim::Subject);
    wrong("sub", &[&long], Claim::Subject);
    wrong("id", &NO_IDS[..5], Claim::Subject);
    wrong("tenant", &NO_IDS[1..], Claim::Tenant);
    wrong("tenantId", &NO_IDS[..5], Claim::Tenant);
    let no_grants = ["1", "true", "{}", r#""a b""#, r#"["a",1]"#, r#"["a",null]"#, r#"[["a"]]"#];
    wrong("channels", &no_grants, Claim::Channels);
    wrong("channels", &["null", r#"["a/b"]"#, r#"[""]"#], Claim::Channels);
    wrong("publish", &no_grants, Claim::Publish);
    wrong("jti", &["1.5", "[]", "{}", r#""""#], Claim::TokenId);
    wrong("subscription_active", &["0", r#""false""#, "null"], Claim::SubscriptionActive);
    for (claims, error) in STATES {
        table.push((signed(HEADER, claims), *error));
    }
    table
}

/// None passes, none panics, and each is refused for its own reason (so no row hides behind
/// another's mistake).
#[test]
fn hostile_tokens() {
    assert!(check(&signed(HEADER, CLAIMS)).is_ok(), "the tables' own signing is right");
    let table = [bad_headers(), bad_signatures(), bad_shapes(), bad_claims()].concat();
    assert!(table.len() >= 200, "{}", table.len());
    for (token, error) in &table {
        let shown: String = token.chars().take(300).collect();
        assert_eq!(check(token).unwrap_err(), *error, "{shown}");
        assert!(matches!(error.status(), 401 | 403));
        let words = format!("{error} {error:?}");
        assert!(token.len() < 20 || !words.contains(&token[..20.min(token.len())]), "{words}");
    }
}
