use proptest::prelude::*;

use super::*;
use crate::proto::http::Problem;

const APP: &str = "https://app.example.org";

fn cors(origins: &[&str]) -> Cors {
    Cors::new(origins).unwrap()
}

fn text(fields: &Fields<'_>) -> String {
    let mut out = Vec::new();
    write_fields(fields, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_named_origin_is_echoed_with_credentials() {
    let cors = cors(&["http://localhost:3000", APP]);
    assert_eq!(
        text(&cors.fields(Some(APP))),
        "Access-Control-Allow-Origin: https://app.example.org\r\n\
         Access-Control-Allow-Credentials: true\r\n\
         Vary: Origin\r\n\
         Access-Control-Expose-Headers: Retry-After\r\n"
    );
    assert_eq!(
        text(&cors.preflight(Some(APP))),
        "Access-Control-Allow-Origin: https://app.example.org\r\n\
         Access-Control-Allow-Credentials: true\r\n\
         Vary: Origin\r\n\
         Access-Control-Allow-Methods: GET, POST, PUT, DELETE, OPTIONS\r\n\
         Access-Control-Allow-Headers: Origin, X-Requested-With, Content-Type, Accept, \
         Authorization, Cache-Control, Last-Event-ID, Idempotency-Key\r\n\
         Access-Control-Max-Age: 7200\r\n"
    );
    assert!(cors.allows(APP) && cors.cookies_count(Some(APP)) && cors.cookies_count(None));
}

#[test]
fn any_other_is_told_nothing_but_that_it_varies() {
    let cors = cors(&[APP]);
    for origin in [
        "null",
        "",
        "https://app.example.org/",
        "https://APP.example.org",
        "http://app.example.org",
        "https://app.example.org:443",
        "https://app.example.org.evil.example",
        "https://evil.example",
        "*",
    ] {
        assert_eq!(text(&cors.fields(Some(origin))), "Vary: Origin\r\n", "{origin}");
        assert_eq!(text(&cors.preflight(Some(origin))), "Vary: Origin\r\n", "{origin}");
        assert!(!cors.allows(origin) && !cors.cookies_count(Some(origin)), "{origin}");
    }
    assert_eq!(text(&cors.fields(None)), "Vary: Origin\r\n");
}

#[test]
fn a_star_gives_no_credentials() {
    let any = cors(&["*"]);
    for origin in [Some("https://evil.example"), Some(APP), None] {
        assert_eq!(
            text(&any.fields(origin)),
            "Access-Control-Allow-Origin: *\r\nAccess-Control-Expose-Headers: Retry-After\r\n"
        );
        assert!(!any.cookies_count(origin));
    }
    assert!(any.allows(APP) && !any.allows("null"));
    assert_eq!(text(&any.fields(Some("null"))), "");

    let both = cors(&["*", APP]);
    assert!(text(&both.fields(Some(APP))).contains("Credentials: true"));
    let other = text(&both.fields(Some("https://evil.example")));
    assert!(other.contains("Origin: *\r\n") && other.contains("Vary: Origin"), "{other}");
    assert!(!other.contains("Credentials"), "{other}");
    assert!(both.cookies_count(Some(APP)) && !both.cookies_count(None));
}

#[test]
fn lists() {
    assert_eq!(Cors::default(), cors(&[ORIGIN_DEFAULT]));
    assert_eq!(cors(&[APP, "https://APP.example.org/"]), cors(&[APP]));
    assert_eq!(Cors::new(["*", "null"]).unwrap_err(), (1, OriginError::Null));
    let none = cors(&[]);
    assert!(none.fields(Some(APP)).is_empty() && none.preflight(Some(APP)).is_empty());
}

#[test]
fn the_lines_stand_on_errors() {
    let cors = cors(&[APP]);
    let mut out = Vec::new();
    Problem::new(429, "rate", "slowly").retry_after(3).write(
        false,
        false,
        &cors.fields(Some(APP)),
        &mut out,
    );
    let out = String::from_utf8(out).unwrap();
    for line in ["Allow-Origin: https://app.example.org\r\n", "Retry-After: 3\r\n", "Vary: Origin"]
    {
        assert!(out.contains(line), "{out}");
    }
}

proptest! {
    /// No page but a named one ever gets credentials, `null` gets nothing, and what an answer
    /// echoes is on the list.
    #[test]
    fn credentials_are_for_named_origins_only(
        list in prop::collection::vec("https://[a-c]|\\*", 0..4),
        origin in prop::option::of("https://[a-d]|null|\\*|"),
    ) {
        let cors = Cors::new(&list).unwrap();
        let named = origin.as_ref().is_some_and(|origin| {
            origin != "*" && list.contains(origin)
        });
        let any = list.iter().any(|entry| entry == "*");
        for fields in [cors.fields(origin.as_deref()), cors.preflight(origin.as_deref())] {
            let get = |wanted: &str| {
                fields.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value)
            };
            let allowed = match origin.as_deref() {
                Some(origin) if named => Some(origin),
                Some("null") => None,
                _ => any.then_some("*"),
            };
            prop_assert_eq!(get("Access-Control-Allow-Origin"), allowed);
            prop_assert_eq!(get("Access-Control-Allow-Credentials").is_some(), named);
            // An answer that could differ for another origin says so.
            let names_some = list.iter().any(|entry| entry != "*");
            prop_assert_eq!(get("Vary").is_some(), names_some);
        }
    }
}
