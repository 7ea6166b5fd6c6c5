//! Hostile tokens that are signed wrongly, spelled wrongly or no JWT at all.

use ring::digest::{self, SHA256, SHA384, SHA512};

use super::cases::{Cases, long_token};
use super::forge::{
    HEADER, NAMED, SECRET, STANDARD, URL, base64, base64_by, claims, good_claims, hmac, parts,
    seal, seal_by, token,
};
use crate::rig::TOKEN;

/// All of them.
pub(super) fn add(cases: &mut Cases) {
    none(cases);
    confused(cases);
    keys(cases);
    brought_keys(cases);
    signatures(cases);
    secrets(cases);
    sizes(cases);
    spellings(cases);
    trailing_bits(cases);
    pieces(cases);
    other_forms(cases);
    near_misses(cases);
}

/// `alg: none` in every mix of cases, unsigned and signed.
fn none(cases: &mut Cases) {
    for upper in 0..16 {
        let letter = |(at, c): (usize, char)| {
            if upper >> at & 1 == 1 { c.to_ascii_uppercase() } else { c }
        };
        let name: String = "none".chars().enumerate().map(letter).collect();
        let parts = parts(format!(r#"{{"alg":"{name}","typ":"JWT"}}"#), good_claims());
        cases.add(format!("{name}, unsigned"), format!("{parts}."));
        cases.add(format!("{name}, two parts"), parts.clone());
        cases.add(format!("{name}, signed"), seal(&parts));
    }
}

fn confused(cases: &mut Cases) {
    let names = [
        "RS256",
        "RS384",
        "RS512",
        "PS256",
        "PS384",
        "PS512",
        "ES256",
        "ES384",
        "ES512",
        "ES256K",
        "EdDSA",
        "Ed25519",
        "HS1",
        "HS224",
        "HS257",
        "HS2560",
        "HS-256",
        "hs256",
        "Hs256",
        "HS256 ",
        " HS256",
        "HS256\\u0000",
        "HS256,none",
        "HMAC",
        "SHA256",
        "HMAC-SHA256",
        "dir",
        "A128KW",
        "A256GCMKW",
        "",
        " ",
        "\u{ff28}S256",
        "\u{210b}S256",
        "HS\u{0662}56",
    ];
    for name in names {
        let header = format!(r#"{{"alg":"{name}","typ":"JWT"}}"#);
        cases.add(format!("alg {name:?}, the HS256 key"), token(header, good_claims()));
    }
    for header in [
        "{}",
        r#"{"typ":"JWT"}"#,
        r#"{"alg":null}"#,
        r#"{"alg":256}"#,
        r#"{"alg":true}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"alg":{"HS256":1}}"#,
        r#"{"Alg":"HS256"}"#,
        r#"{"ALG":"HS256"}"#,
        r#"{" alg":"HS256"}"#,
        r#"{"header":{"alg":"HS256"}}"#,
    ] {
        cases.add(format!("header {header}"), token(header, good_claims()));
    }
    // One hash named, another one signed with.
    let hashes = [("HS256", &SHA256), ("HS384", &SHA384), ("HS512", &SHA512)];
    for (name, own) in hashes {
        let parts = parts(format!(r#"{{"alg":"{name}"}}"#), good_claims());
        let len = own.output_len();
        for (other, hash) in hashes.into_iter().filter(|(other, _)| *other != name) {
            let mut sum = hmac(hash, SECRET, parts.as_bytes());
            cases.add(format!("{name} signed by {other}"), format!("{parts}.{}", base64(&sum)));
            sum.resize(len, 0);
            let fitted = format!("{parts}.{}", base64(sum));
            cases.add(format!("{name} signed by {other}, fitted"), fitted);
        }
    }
}

fn keys(cases: &mut Cases) {
    let [(first, first_key), (second, second_key)] = NAMED;
    let header = |kid: &str| format!(r#"{{"alg":"HS256","kid":{kid}}}"#);
    for (kid, key) in [(first, second_key), (second, first_key), (first, SECRET), (second, SECRET)]
    {
        let parts = parts(header(&format!("\"{kid}\"")), good_claims());
        let own = NAMED.iter().find(|(_, own)| *own == key).map_or("no", |(name, _)| *name);
        cases.add(format!("kid {kid}, key of {own} name"), seal_by(&SHA256, key, &parts));
    }
    let long = format!("\"{}\"", "k".repeat(4_000));
    let kids = [
        "\"\"",
        "\" \"",
        "\"unknown\"",
        "\"First\"",
        "\"first \"",
        "\"first\\u0000\"",
        "\"first,second\"",
        "\"*\"",
        "\"../../../../dev/null\"",
        "\"/dev/null\"",
        "\"/proc/sys/kernel/randomize_va_space\"",
        "\"..\\\\..\\\\windows\\\\win.ini\"",
        "\"file:///etc/passwd\"",
        "\"http://127.0.0.1:1/key\"",
        "\"x' UNION SELECT 'key\"",
        "\"' OR 1=1 --\"",
        "\"| sleep 10\"",
        "\"$(id)\"",
        "\"${jndi:ldap://127.0.0.1/x}\"",
        "\"%s%s%n\"",
        "\"__proto__\"",
        "\"\\ud83d\\ude00\"",
        "null",
        "0",
        "1.5",
        "true",
        "[]",
        "[\"first\"]",
        "{}",
        "{\"first\":1}",
        &long,
    ];
    for kid in kids {
        // The key of a file without bytes, as of the named one, must not sign either.
        for (name, key) in [("the named key", first_key), ("an empty key", &b""[..])] {
            let shown: String = kid.chars().take(40).collect();
            let sealed = seal_by(&SHA256, key, &parts(header(kid), good_claims()));
            cases.add(format!("kid {shown}, {name}"), sealed);
        }
    }
}

/// Keys that come with the token, or a place to fetch them from.
fn brought_keys(cases: &mut Cases) {
    let key = b"a-key-of-the-attacker-of-more-than-32-bytes";
    let coded = base64(key);
    for (name, rest) in [
        ("jwk", format!(r#""jwk":{{"kty":"oct","k":"{coded}"}}"#)),
        ("jwk and kid", format!(r#""kid":"me","jwk":{{"kty":"oct","kid":"me","k":"{coded}"}}"#)),
        ("jwks", format!(r#""jwks":{{"keys":[{{"kty":"oct","k":"{coded}"}}]}}"#)),
        ("jku", r#""jku":"http://127.0.0.1:1/keys.json""#.to_owned()),
        ("x5u", r#""x5u":"http://127.0.0.1:1/cert.pem""#.to_owned()),
        ("x5c", format!(r#""x5c":["{coded}"]"#)),
        ("k", format!(r#""k":"{coded}""#)),
    ] {
        let header = format!(r#"{{"alg":"HS256",{rest}}}"#);
        let sealed = seal_by(&SHA256, key, &parts(header, good_claims()));
        cases.add(format!("a key of its own: {name}"), sealed);
    }
}

fn signatures(cases: &mut Cases) {
    let signed = parts(HEADER, good_claims());
    let good = hmac(&SHA256, SECRET, signed.as_bytes());
    let mut add = |name: String, bytes: &[u8]| {
        cases.add(format!("signature: {name}"), format!("{signed}.{}", base64(bytes)));
    };
    for bit in (0..256).step_by(17) {
        let mut flipped = good.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        add(format!("bit {bit} flipped"), &flipped);
    }
    for len in [1, 15, 16, 30, 31] {
        add(format!("the first {len} bytes"), &good[..len]);
    }
    for (name, extra) in [("NUL", &b"\0"[..]), ("a byte", b"x"), ("itself", &good)] {
        add(format!("{name} behind"), &[&good, extra].concat());
    }
    for byte in [0, 0xff] {
        for len in [32, 48, 64] {
            add(format!("{len} bytes of {byte:#x}"), &vec![byte; len]);
        }
    }
    let reversed: Vec<u8> = good.iter().rev().copied().collect();
    add("reversed".to_owned(), &reversed);
    add("a hash without a key".to_owned(), digest::digest(&SHA256, signed.as_bytes()).as_ref());
    add("of the claims alone".to_owned(), &hmac(&SHA256, SECRET, good_claims().as_bytes()));
    add("of nothing".to_owned(), &hmac(&SHA256, SECRET, b""));
    add("of another token".to_owned(), &hmac(&SHA256, SECRET, parts(HEADER, "{}").as_bytes()));
    let hex: String = good.iter().map(|byte| format!("{byte:02x}")).collect();
    add("hex in base64".to_owned(), hex.as_bytes());
    cases.add("signature: hex", format!("{signed}.{hex}"));
    cases.add("signature: empty", format!("{signed}."));
    // A true signature under other claims or another header.
    let sealed = seal(&signed);
    let signature = sealed.rsplit('.').next().expect("a signature");
    let admin = claims(r#""sub":"u","admin":true"#);
    cases.add("claims exchanged", format!("{}.{signature}", parts(HEADER, admin)));
    let header = r#"{"typ":"JWT","alg":"HS256"}"#;
    cases.add("header exchanged", format!("{}.{signature}", parts(header, good_claims())));
}

fn secrets(cases: &mut Cases) {
    let text = std::str::from_utf8(SECRET).expect("text");
    let signed = parts(HEADER, good_claims());
    for (name, key) in [
        ("empty", String::new()),
        ("a word", "secret".to_owned()),
        ("another", "another-secret-of-more-than-thirty-two-bytes".to_owned()),
        ("the publish token", TOKEN.to_owned()),
        ("with a space", format!("{text} ")),
        ("with a line end", format!("{text}\n")),
        ("without its last byte", text[..text.len() - 1].to_owned()),
        ("in upper case", text.to_uppercase()),
        ("reversed", text.chars().rev().collect()),
        ("twice", text.repeat(2)),
        ("in base64", base64(text)),
        ("as quoted", format!("\"{text}\"")),
    ] {
        cases.add(format!("secret: {name}"), seal_by(&SHA256, key.as_bytes(), &signed));
    }
}

fn sizes(cases: &mut Cases) {
    for bytes in [8_193, 8_200, 10_000, 15_000] {
        cases.add(format!("{bytes} bytes, signed"), long_token(bytes));
    }
    for bytes in [8_192, 8_193, 12_000, 20_000] {
        cases.add(format!("{bytes} letters"), "A".repeat(bytes));
        cases.add(format!("{bytes} dots"), ".".repeat(bytes));
    }
    let good = token(HEADER, good_claims());
    cases.add("a long signature", format!("{good}{}", "A".repeat(6_000)));
    cases.add("a long header", format!("{}{good}", "A".repeat(6_000)));
}

/// Base64 as RFC 7515 2 does not write it. Each is signed as it is spelled, so that only the
/// spelling is wrong.
fn spellings(cases: &mut Cases) {
    // Both alphabets differ in this text: `?>` and `~~` give 62 and 63.
    let said = claims(r#""sub":"u","x":"??>>~~??>>~~?>~""#);
    let (header, claims) = (base64(HEADER), base64(&said));
    let other = base64_by(STANDARD, &said);
    assert!(other != claims, "the alphabets show");
    cases.add("the standard alphabet in the claims", seal(&format!("{header}.{other}")));
    let insertions = [
        "=", "==", " ", "\t", "\n", "\r\n", "\0", "%", "%3D", "%2E", "+", "/", "*", "~", "\u{a0}",
        "\u{85}", "\u{3000}", "\u{200b}", "\u{feff}", "\u{e9}", "\u{ff21}", "\"", ",", ";", "\\",
        "\u{7f}",
    ];
    for text in insertions {
        for (place, parts) in [
            ("before the header", format!("{text}{header}.{claims}")),
            ("in the header", format!("{}{text}{}.{claims}", &header[..4], &header[4..])),
            ("after the header", format!("{header}{text}.{claims}")),
            ("before the claims", format!("{header}.{text}{claims}")),
            ("after the claims", format!("{header}.{claims}{text}")),
        ] {
            cases.add(format!("{text:?} {place}"), seal(&parts));
        }
        let good = seal(&format!("{header}.{claims}"));
        cases.add(format!("{text:?} after a good token"), format!("{good}{text}"));
        cases.add(format!("{text:?} before a good token"), format!("{text}{good}"));
        let (signed, signature) = good.rsplit_once('.').expect("a signature");
        cases.add(format!("{text:?} before the signature"), format!("{signed}.{text}{signature}"));
        let (begin, end) = signature.split_at(20);
        cases.add(format!("{text:?} in the signature"), format!("{signed}.{begin}{text}{end}"));
    }
    let good = seal(&format!("{header}.{claims}"));
    cases.add("escaped dots", good.replace('.', "%2E"));
    cases.add("escaped whole", good.bytes().map(|b| format!("%{b:02X}")).collect::<String>());
    cases.add("in quotes", format!("\"{good}\""));
    cases.add("upper case", good.to_uppercase());
    cases.add("base64 of a token", base64(&good));
    cases.add("a scheme in front", format!("Bearer {good}"));
    cases.add("two tokens, comma", format!("{good},{good}"));
    cases.add("two tokens, space", format!("{good} {good}"));
    cases.add("not UTF-8 behind", [good.as_bytes(), b"\xff"].concat());
    cases.add("not UTF-8 in front", [b"\xc3\x28", good.as_bytes()].concat());
    cases.add("not UTF-8 alone", b"\xff\xfe\xfd".to_vec());
}

/// The bits of the last letter that no byte takes must be zero (RFC 4648 3.5).
fn trailing_bits(cases: &mut Cases) {
    let other_end = |text: &str, step: usize| {
        let last = text.bytes().last().expect("a letter");
        let at = URL.iter().position(|letter| *letter == last).expect("base64");
        format!("{}{}", &text[..text.len() - 1], char::from(URL[at + step]))
    };
    // White space behind the object gives every length a rest.
    for spaces in 0..3 {
        let header = base64(format!("{HEADER}{}", " ".repeat(spaces)));
        let claims = base64(format!("{}{}", good_claims(), " ".repeat(spaces)));
        for step in [1, 2, 3] {
            // A whole group has no such bits; one letter over has four, two have two.
            if header.len() % 4 != 0 {
                let parts = format!("{}.{claims}", other_end(&header, step));
                cases.add(format!("header, {spaces} spaces, end + {step}"), seal(&parts));
            }
            if claims.len() % 4 != 0 {
                let parts = format!("{header}.{}", other_end(&claims, step));
                cases.add(format!("claims, {spaces} spaces, end + {step}"), seal(&parts));
            }
        }
    }
    let good = token(HEADER, good_claims());
    for step in [1, 2, 3] {
        cases.add(format!("signature, end + {step}"), other_end(&good, step));
    }
}

fn pieces(cases: &mut Cases) {
    let good = token(HEADER, good_claims());
    let [header, claims, signature] = good.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts")
    };
    for (name, text) in [
        ("the header", header.to_owned()),
        ("the claims", claims.to_owned()),
        ("without a signature", format!("{header}.{claims}")),
        ("without a header", format!("{claims}.{signature}")),
        ("without claims", format!("{header}.{signature}")),
        ("no header", format!(".{claims}.{signature}")),
        ("no claims", format!("{header}..{signature}")),
        ("only claims", format!(".{claims}.")),
        ("only a signature", format!("..{signature}")),
        ("a dot", ".".to_owned()),
        ("two dots", "..".to_owned()),
        ("three dots", "...".to_owned()),
        ("a dot in front", format!(".{good}")),
        ("a dot behind", format!("{good}.")),
        ("a fourth part", format!("{good}.x")),
        ("the signature twice", format!("{good}.{signature}")),
        ("twice", format!("{good}.{good}")),
        ("backwards", format!("{signature}.{claims}.{header}")),
        ("cut in the claims", good[..header.len() + 10].to_owned()),
        ("one letter less", good[..good.len() - 1].to_owned()),
        ("two letters less", good[..good.len() - 2].to_owned()),
        ("nothing, signed", seal(".")),
        ("four parts, signed", seal(&format!("{header}.{claims}.{claims}"))),
    ] {
        cases.add(format!("pieces: {name}"), text);
    }
}

/// What is no compact JWS at all.
fn other_forms(cases: &mut Cases) {
    let good = token(HEADER, good_claims());
    let [header, claims, signature] = good.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts")
    };
    let jwe = r#"{"alg":"dir","enc":"A256GCM"}"#;
    let wrapped = r#"{"alg":"RSA-OAEP","enc":"A256GCM","cty":"JWT"}"#;
    let flat =
        format!(r#"{{"protected":"{header}","payload":"{claims}","signature":"{signature}"}}"#);
    for (name, text) in [
        ("JWE, direct", format!("{}..AAAA.{claims}.{signature}", base64(jwe))),
        ("JWE, wrapped", format!("{}.AAAA.AAAA.{claims}.{signature}", base64(wrapped))),
        ("JWE, empty parts", format!("{}....", base64(jwe))),
        ("JWE header, signed", token(jwe, good_claims())),
        ("a token in a token", token(r#"{"alg":"HS256","cty":"JWT"}"#, &good)),
        ("JWS as JSON", flat),
        ("SD-JWT", format!("{good}~")),
        ("SD-JWT with a disclosure", format!("{good}~WyJzIiwiYWRtaW4iLHRydWVd~")),
        ("PASETO", "v4.local.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned()),
        ("macaroon", "MDAxY2xvY2F0aW9uIHJpbmdjYXN0CjAw".to_owned()),
        ("SAML", base64("<saml:Assertion/>")),
        ("null", "null".to_owned()),
        ("undefined", "undefined".to_owned()),
        ("true", "true".to_owned()),
        ("an object of JavaScript", "[object Object]".to_owned()),
        ("a number", "0".to_owned()),
        ("SQL", "' OR '1'='1".to_owned()),
        ("a format", "%s%s%s%n".to_owned()),
        ("a path", "../../../../etc/passwd".to_owned()),
        ("a look-up", "${jndi:ldap://127.0.0.1/a}".to_owned()),
        ("markup", "<script>alert(1)</script>".to_owned()),
        ("credentials", "admin:admin".to_owned()),
        ("a wildcard", "*".to_owned()),
        ("NUL", "\0".to_owned()),
        ("NULs", "\0.\0.\0".to_owned()),
        ("a non-breaking space", "\u{a0}".to_owned()),
        ("an ideographic space", "\u{3000}".to_owned()),
        ("letters of another script", "\u{5f0}.\u{5f0}.\u{5f0}".to_owned()),
    ] {
        cases.add(format!("form: {name}"), text);
    }
}

/// Nearly the fixed publish token.
fn near_misses(cases: &mut Cases) {
    for (name, text) in [
        ("one letter less", TOKEN[..TOKEN.len() - 1].to_owned()),
        ("one letter more", format!("{TOKEN}x")),
        ("upper case", TOKEN.to_uppercase()),
        ("NUL behind", format!("{TOKEN}\0")),
        ("non-breaking space behind", format!("{TOKEN}\u{a0}")),
        ("comma behind", format!("{TOKEN},")),
        ("twice", TOKEN.repeat(2)),
        ("base64", base64(TOKEN)),
        ("as a password", format!(":{TOKEN}")),
        ("escaped", TOKEN.replace('-', "%2D")),
    ] {
        cases.add(format!("publish token: {name}"), text);
    }
}
