use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<String, HeadError> {
    match parse_head(text.as_bytes(), &mut Scan::default(), &HeadLimits::default()) {
        Parsed::Complete { head, len } => {
            assert!(text.as_bytes()[..len].ends_with(b"\r\n\r\n"));
            Ok(format!("{:?} {} {:?}", head.method, head.target, head.framing()))
        }
        Parsed::Partial => Ok("partial".into()),
        Parsed::Invalid(error) => Err(error),
    }
}

const GOOD: &str = "GET /sse/a?x=1 HTTP/1.1\r\nHost: h\r\nLast-Event-ID: 5\r\nCookie: a=1; b=\"2\"\r\n\
                    Authorization: bearer tok\r\nConnection: x, Close\r\n\r\n";

#[test]
fn a_head_and_its_fields() {
    let Parsed::Complete { head, len } =
        parse_head(GOOD.as_bytes(), &mut Scan::default(), &HeadLimits::default())
    else {
        panic!("not complete")
    };
    assert_eq!((head.method, head.target, len), (Method::Get, "/sse/a?x=1", GOOD.len()));
    assert_eq!(head.field("last-event-id"), Some("5"));
    assert_eq!((head.cookie("b"), head.cookie("c")), (Some("2"), None));
    assert_eq!(head.bearer(), Some("tok"));
    assert!(!head.keeps_alive());
}

/// A token with anything else around it is another token.
#[test]
fn only_ows_and_one_pair_of_quotes_stand_around_values() {
    let read = |field: &str| {
        let text = format!("GET / HTTP/1.1\r\nHost: h\r\n{field}\r\n\r\n");
        let limits = HeadLimits::default();
        match parse_head(text.as_bytes(), &mut Scan::default(), &limits) {
            Parsed::Complete { head, .. } => {
                head.bearer().or(head.cookie("c")).unwrap_or("none").to_owned()
            }
            _ => panic!("not complete"),
        }
    };
    for (field, value) in [
        ("Authorization: Bearer \t t \t", "t"),
        ("Authorization: Bearer t\u{a0}", "t\u{a0}"),
        ("Authorization: Bearer \u{3000}t", "\u{3000}t"),
        ("Authorization: Bearer \u{85}", "\u{85}"),
        ("Cookie: a=1;\t c=t\t; b=2", "t"),
        ("Cookie: c=\"t\"", "t"),
        ("Cookie: c=\"t", "\"t"),
        ("Cookie: c=\"\"t\"\"", "\"t\""),
        ("Cookie: c=\"", "\""),
        ("Cookie: c=t\u{a0}", "t\u{a0}"),
        ("Cookie: \u{a0}c=t", "none"),
    ] {
        assert_eq!(read(field), value, "{field}");
    }
}

#[test]
fn partial_at_every_cut_and_linear_in_a_drip() {
    let limits = HeadLimits::default();
    let mut scan = Scan::default();
    for cut in 0..GOOD.len() {
        assert!(
            matches!(parse_head(&GOOD.as_bytes()[..cut], &mut scan, &limits), Parsed::Partial),
            "{cut}"
        );
        assert_eq!(scan.searched, cut, "the search goes on where it stopped");
    }
    assert!(matches!(
        parse_head(GOOD.as_bytes(), &mut scan, &limits),
        Parsed::Complete { len, .. } if len == GOOD.len()
    ));
}

#[test]
fn what_smuggles_is_refused() {
    let cases = [
        (
            "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            HeadError::Length,
        ),
        (
            "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            HeadError::Length,
        ),
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\n", HeadError::Length),
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1,1\r\n\r\n", HeadError::Length),
        (
            "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n",
            HeadError::Length,
        ),
        (
            "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            HeadError::TransferCoding,
        ),
        (
            "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            HeadError::TransferCoding,
        ),
        ("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", HeadError::TransferCoding),
        ("GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", HeadError::Folded),
        ("GET / HTTP/1.1\r\nHost : h\r\n\r\n", HeadError::FieldName),
        ("GET / HTTP/1.1\r\nHost: h\r\n: x\r\n\r\n", HeadError::FieldName),
        ("GET / HTTP/1.1\r\nHost: h\r\nnocolon\r\n\r\n", HeadError::FieldName),
        ("GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n", HeadError::LineEnd),
        ("GET / HTTP/1.1\nHost: h\r\n\r\n", HeadError::LineEnd),
        ("GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n", HeadError::FieldValue),
        ("GET / HTTP/1.1\r\n\r\n", HeadError::Host),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", HeadError::Host),
        ("GET  / HTTP/1.1\r\nHost: h\r\n\r\n", HeadError::RequestLine),
        ("GET / HTTP/2.0\r\nHost: h\r\n\r\n", HeadError::Version),
        ("GET / FTP/1.1\r\nHost: h\r\n\r\n", HeadError::RequestLine),
        ("GET noslash HTTP/1.1\r\nHost: h\r\n\r\n", HeadError::Target),
        ("GET /é HTTP/1.1\r\nHost: h\r\n\r\n", HeadError::Target),
        ("G(T / HTTP/1.1\r\nHost: h\r\n\r\n", HeadError::RequestLine),
    ];
    for (text, error) in cases {
        assert_eq!(parse(text), Err(error), "{text:?}");
    }
}

#[test]
fn forms_of_targets() {
    assert_eq!(parse("GET http://h:1/a?b HTTP/1.1\r\nHost: h\r\n\r\n").unwrap(), "Get /a?b None");
    assert_eq!(parse("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n").unwrap(), "Options * None");
    assert_eq!(parse("GET * HTTP/1.1\r\nHost: h\r\n\r\n"), Err(HeadError::Target));
    assert_eq!(parse("\r\nGET / HTTP/1.0\r\n\r\n").unwrap(), "Get / None");
}

#[test]
fn bounds() {
    let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(17_000));
    assert_eq!(parse(&long), Err(HeadError::TooLarge));
    assert_eq!(parse(&long[..17_000]), Err(HeadError::TargetTooLong));
    let many = format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "A: b\r\n".repeat(100));
    assert_eq!(parse(&many), Err(HeadError::TooLarge));
    assert_eq!(parse("\u{16}\u{3}\u{1}"), Err(HeadError::RequestLine));
}

fn token() -> impl Strategy<Value = String> {
    "[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}"
}

fn head_text() -> impl Strategy<Value = String> {
    let value = "[ -~\t]{0,20}";
    (token(), "/[!-~]{0,30}", prop::collection::vec((token(), value), 0..8), any::<bool>())
        .prop_map(|(method, target, fields, old)| {
            let version = if old { "1.0" } else { "1.1" };
            let mut text = format!("{method} {target} HTTP/{version}\r\nHost: h\r\n");
            for (name, value) in fields {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
            text + "\r\n"
        })
}

/// httparse's reading of the same bytes.
type Reading = (String, String, Vec<(String, String)>, usize);

fn oracle(bytes: &[u8]) -> Option<Reading> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut fields);
    let Ok(httparse::Status::Complete(len)) = request.parse(bytes) else { return None };
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let fields = request.headers.iter().map(|f| (f.name.to_owned(), text(f.value))).collect();
    Some((request.method?.into(), request.path?.into(), fields, len))
}

fn ours(bytes: &[u8]) -> Option<Reading> {
    let parsed = parse_head(bytes, &mut Scan::default(), &HeadLimits::default());
    let Parsed::Complete { head, len } = parsed else { return None };
    let method = match head.method {
        Method::Other(name) => name.to_owned(),
        known => format!("{known:?}").to_uppercase(),
    };
    let fields = head.fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Some((method, head.target.to_owned(), fields, len))
}

proptest! {
    #[test]
    fn good_heads_read_as_httparse_reads_them(text in head_text()) {
        let framed = ["content-length", "transfer-encoding", "host: h\r\nhost"];
        prop_assume!(!framed.iter().any(|name| text.to_lowercase().contains(name)));
        prop_assert_eq!(ours(text.as_bytes()), oracle(text.as_bytes()));
    }

    /// Stricter is allowed, other is not: what we accept, httparse reads alike.
    #[test]
    fn what_we_accept_httparse_accepts_alike(
        text in head_text(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = text.into_bytes();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(reading) = ours(&bytes) {
            // httparse does not trim trailing tabs and spaces alike and leaves absolute targets.
            let Some(other) = oracle(&bytes) else {
                return Err(TestCaseError::fail(format!("{:?}", String::from_utf8_lossy(&bytes))));
            };
            prop_assert_eq!(&reading.0, &other.0);
            prop_assert_eq!(reading.3, other.3);
            prop_assert_eq!(&reading.2, &other.2);
        }
    }
}
