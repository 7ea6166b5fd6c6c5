//! Hostile tokens whose signature is true: what they say is wrong.

use std::time::{SystemTime, UNIX_EPOCH};

use super::cases::Cases;
use super::forge::{AUDIENCE, HEADER, ISSUER, base64, claims, good_claims, seal, token};

/// Values that are no id, as JSON.
const NO_IDS: [&str; 24] = [
    r#""""#,
    r#"" ""#,
    r#""*""#,
    r#""**""#,
    r#""a b""#,
    r#""a,b""#,
    r#""a/b""#,
    r#""a.*""#,
    r#""*.a""#,
    r#""a\n""#,
    r#""a\r\ndata: x""#,
    r#""\u0000""#,
    r#""a\u007f""#,
    r#""a\u0085""#,
    r#""../x""#,
    "1.5",
    "1e3",
    "-1e300",
    "true",
    "false",
    "[]",
    r#"["u"]"#,
    r#"{"id":"u"}"#,
    "18446744073709551616",
];

const NO_GRANTS: [&str; 15] = [
    "5",
    "true",
    "{}",
    r#"{"a":true}"#,
    "[1]",
    r#"["a",null]"#,
    r#"[["a"]]"#,
    r#"[""]"#,
    r#"["a b"]"#,
    r#"["a,b"]"#,
    r#""a,b""#,
    r#"["a.*b"]"#,
    r#"["**.a"]"#,
    r#"["a\u0000"]"#,
    r#"["a/../b"]"#,
];

/// No JSON object by RFC 8259, or not alone; `@` stands for members nothing is wrong with.
const NO_JSON: [&str; 26] = [
    "",
    " ",
    "{",
    "}",
    "null",
    "[]",
    "1",
    "true",
    "\"text\"",
    "@",
    "[{@}]",
    "{@",
    "{@}x",
    "{@}{@}",
    "{@},",
    "{@,}",
    "{@ /* x */}",
    "{@}// x",
    "{@,'x':1}",
    "{@,x:1}",
    "\u{feff}{@}",
    "{@}\0",
    "{@,\"x\":NaN}",
    "{@,\"x\":1e400}",
    "{@,\"x\":\"\\ud800\"}",
    "{@,\"x\":\"\n\"}",
];

/// All of them.
pub(super) fn add(cases: &mut Cases) {
    ids(cases);
    grants(cases);
    times(cases);
    unreadable(cases);
    twice(cases);
    deep(cases);
    meant_for_others(cases);
    types(cases);
    extensions(cases);
}

fn ids(cases: &mut Cases) {
    let long = format!("\"{}\"", "x".repeat(255));
    for value in NO_IDS.iter().copied().chain([&*long]) {
        for name in ["sub", "id"] {
            let said = claims(&format!(r#""{name}":{value}"#));
            cases.add(format!("{name} {value}"), token(HEADER, said));
        }
        for name in ["tenant", "tenantId"] {
            let said = claims(&format!(r#""sub":"u","{name}":{value}"#));
            cases.add(format!("{name} {value}"), token(HEADER, said));
        }
    }
    let long = format!("\"{}\"", "x".repeat(256));
    for value in ["true", "[]", "{}", "\"\"", "1.5", &long] {
        let said = claims(&format!(r#""sub":"u","jti":{value}"#));
        cases.add(format!("jti {value}"), token(HEADER, said));
    }
}

fn grants(cases: &mut Cases) {
    let many = format!("[{}\"x\"]", "\"x\",".repeat(1_200));
    for value in NO_GRANTS.iter().copied().chain([&*many]) {
        for name in ["channels", "publish"] {
            let said = claims(&format!(r#""sub":"u","{name}":{value}"#));
            cases.add(format!("{name} {value}"), token(HEADER, said));
        }
    }
    let said = claims(r#""sub":"u","channels":null"#);
    cases.add("channels null", token(HEADER, said));
    for value in ["null", "0", "1", "\"true\"", "[true]", "{}"] {
        let said = claims(&format!(r#""sub":"u","subscription_active":{value}"#));
        cases.add(format!("subscription_active {value}"), token(HEADER, said));
    }
    let said = claims(r#""sub":"u","subscription_active":false"#);
    cases.add_inactive("subscription_active false", token(HEADER, said));
}

fn times(cases: &mut Cases) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let (past, ahead) = (now - 10, now + 86_400);
    let texts = ["\"4102444800\"", "\"soon\"", "true", "null", "[]", "[4102444800]", "{}", "\"\""];
    let unreadable =
        ["1e400", "-1e400", "NaN", "Infinity", "0x7fffffff", "+4102444800", "007", "5."];
    for value in texts.into_iter().chain(unreadable) {
        for name in ["exp", "nbf", "iat"] {
            let said = claims(&format!(r#""sub":"u","{name}":{value}"#));
            cases.add(format!("{name} {value}"), token(HEADER, said));
        }
    }
    let past = [past.to_string(), format!("{past}.9"), now.to_string()];
    let over = ["0", "-0", "-1", "-1.5", "1", "1e-300", "-1e300", "-9223372036854775808"];
    for value in over.into_iter().chain(past.iter().map(String::as_str)) {
        let said = claims(&format!(r#""sub":"u","exp":{value}"#));
        cases.add(format!("exp {value}"), token(HEADER, said));
    }
    let ahead = [ahead.to_string(), format!("{ahead}.5")];
    let far = ["4102444800", "1e10", "1e300", "9223372036854775808", "18446744073709551615"];
    for value in far.into_iter().chain(ahead.iter().map(String::as_str)) {
        let said = claims(&format!(r#""sub":"u","nbf":{value}"#));
        cases.add(format!("nbf {value}"), token(HEADER, said));
    }
    let said = claims(r#""sub":"u","exp":4102444800,"nbf":4102444799"#);
    cases.add("a window far ahead", token(HEADER, said));
}

fn unreadable(cases: &mut Cases) {
    let good = good_claims();
    let inner = |object: &str| object[1..object.len() - 1].to_owned();
    for text in NO_JSON {
        let header = text.replace('@', &inner(HEADER));
        cases.add(format!("header {text:?}"), token(header, &good));
        let said = text.replace('@', &inner(&good));
        cases.add(format!("claims {text:?}"), token(HEADER, said));
    }
    let broken: [(&str, &[u8]); 6] = [
        ("a lone byte", b"\xff"),
        ("overlong", b"\xc0\xaf"),
        ("a surrogate", b"\xed\xa0\x80"),
        ("beyond Unicode", b"\xf4\x90\x80\x80"),
        ("cut off", b"\xe2\x82"),
        ("UTF-16", b"\xff\xfe{\0}\0"),
    ];
    for (name, bytes) in broken {
        let inside = |before: &str| [before.as_bytes(), bytes, b"\"}"].concat();
        let header = inside(r#"{"alg":"HS256","x":""#);
        cases.add(format!("header not UTF-8: {name}"), token(header, good_claims()));
        let said = claims(r#""sub":"u""#);
        let said = inside(said.trim_end_matches("\"}"));
        cases.add(format!("claims not UTF-8: {name}"), token(HEADER, said));
    }
}

fn twice(cases: &mut Cases) {
    for header in [
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":"HS256","alg":"none"}"#,
        r#"{"alg":"HS256","alg":"HS256"}"#,
        r#"{"alg":"HS256","\u0061lg":"none"}"#,
        r#"{"alg":"HS256","typ":"JWT","typ":"JWT"}"#,
        r#"{"alg":"HS256","kid":"first","kid":"second"}"#,
        r#"{"alg":"HS256","x":{"a":1,"a":2}}"#,
    ] {
        cases.add(format!("twice: {header}"), token(header, good_claims()));
    }
    for rest in [
        r#""sub":"u","sub":"v""#,
        r#""sub":"u","sub":"u""#,
        r#""sub":"u","\u0073ub":"v""#,
        r#""sub":"u","admin":false,"admin":true"#,
        r#""sub":"u","exp":4102444800,"exp":1"#,
        r#""sub":"u","exp":1,"exp":4102444800"#,
        r#""sub":"u","channels":["a"],"channels":["**"]"#,
        r#""sub":"u","publish":[],"publish":["**"]"#,
        r#""sub":"u","x":[{"a":1,"a":2}]"#,
        r#""sub":"u","aud":"other""#,
    ] {
        cases.add(format!("twice: {rest}"), token(HEADER, claims(rest)));
    }
}

fn deep(cases: &mut Cases) {
    for depth in [128, 500, 1_400] {
        let lists = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let half = depth / 4;
        let tables = format!("{}1{}", "{\"a\":".repeat(half + 128), "}".repeat(half + 128));
        for (kind, nested) in [("lists", lists), ("tables", tables)] {
            let header = format!(r#"{{"alg":"HS256","x":{nested}}}"#);
            cases.add(format!("header of {depth} {kind}"), token(header, good_claims()));
            let said = claims(&format!(r#""sub":"u","x":{nested}"#));
            cases.add(format!("claims of {depth} {kind}"), token(HEADER, said));
        }
        // Never closed.
        cases.add(format!("{depth} open lists"), token(HEADER, "[".repeat(depth)));
    }
}

fn meant_for_others(cases: &mut Cases) {
    let (lower, part) = (AUDIENCE.to_lowercase(), &AUDIENCE[1..]);
    for (name, audience) in [
        ("none", String::new()),
        ("another", r#""aud":"other","#.to_owned()),
        ("empty", r#""aud":"","#.to_owned()),
        ("in lower case", format!(r#""aud":"{lower}","#)),
        ("a part", format!(r#""aud":"{part}","#)),
        ("with a space", format!(r#""aud":"{AUDIENCE} ","#)),
        ("an empty list", r#""aud":[],"#.to_owned()),
        ("a list in a list", format!(r#""aud":[["{AUDIENCE}"]],"#)),
        ("a table", format!(r#""aud":{{"{AUDIENCE}":true}},"#)),
        ("null", r#""aud":null,"#.to_owned()),
        ("a switch", r#""aud":true,"#.to_owned()),
    ] {
        let said = format!(r#"{{{audience}"iss":"{ISSUER}","sub":"u"}}"#);
        cases.add(format!("audience: {name}"), token(HEADER, said));
    }
    for (name, issuer) in [
        ("none", String::new()),
        ("another", r#""iss":"https://other.example","#.to_owned()),
        ("with a slash", format!(r#""iss":"{ISSUER}/","#)),
        ("in upper case", format!(r#""iss":"{}","#, ISSUER.to_uppercase())),
        ("a list", format!(r#""iss":["{ISSUER}"],"#)),
        ("null", r#""iss":null,"#.to_owned()),
        ("a number", r#""iss":1,"#.to_owned()),
    ] {
        let said = format!(r#"{{{issuer}"aud":"{AUDIENCE}","sub":"u"}}"#);
        cases.add(format!("issuer: {name}"), token(HEADER, said));
    }
}

fn types(cases: &mut Cases) {
    for typ in [
        r#""""#,
        r#""JWS""#,
        r#""JOSE""#,
        r#""JWE""#,
        r#""JWT ""#,
        r#"" JWT""#,
        r#""JWT\u0000""#,
        r#""logout+jwt""#,
        r#""dpop+jwt""#,
        r#""secevent+jwt""#,
        r#""refresh+jwt""#,
        r#""id_token""#,
        r#""application/json""#,
        r#""text/jwt""#,
        r#""application/application/jwt""#,
        "null",
        "1",
        "true",
        r#"["JWT"]"#,
        r#"{"JWT":1}"#,
    ] {
        let header = format!(r#"{{"alg":"HS256","typ":{typ}}}"#);
        cases.add(format!("typ {typ}"), token(header, good_claims()));
    }
}

/// `crit` (RFC 7515 4.1.11) and unencoded payloads (RFC 7797), which no JWT may have.
fn extensions(cases: &mut Cases) {
    for rest in [
        r#""crit":["exp"],"exp":4102444800"#,
        r#""crit":["alg"]"#,
        r#""crit":["x"],"x":1"#,
        r#""crit":[]"#,
        r#""crit":null"#,
        r#""crit":false"#,
        r#""crit":"exp""#,
        r#""crit":{}"#,
        r#""\u0063rit":["x"]"#,
        r#""crit":["b64"],"b64":false"#,
        r#""crit":["b64"],"b64":true"#,
        r#""b64":false"#,
        r#""b64":null"#,
        r#""b64":0"#,
        r#""b64":"false""#,
    ] {
        let header = format!(r#"{{"alg":"HS256",{rest}}}"#);
        cases.add(format!("header with {rest}"), token(header, good_claims()));
    }
    for header in
        [r#"{"alg":"HS256","b64":false,"crit":["b64"]}"#, r#"{"alg":"HS256","b64":false}"#]
    {
        let head = base64(header);
        for (name, payload) in [("claims as they are", good_claims()), ("no dot", "x".into())] {
            cases.add(format!("{header}, {name}"), seal(&format!("{head}.{payload}")));
        }
    }
}
