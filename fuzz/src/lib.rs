//! What must hold for any bytes. Run by `cargo fuzz run <name>`, and for a while by `cargo test`.

use ringcast::auth::{Keys, Rules, jwt};
use ringcast::proto::channel::Selector;
use ringcast::proto::http::{
    Body, BodyError, Framing, HeadLimits, Parsed, Scan, decode_percent, pairs, parse_head,
    split_target,
};
use ringcast::proto::publish::{Command, batch};
use ringcast::proto::sse::{EventId, Frame};
use ringcast::proto::subscribe::Subscription;

/// A head is complete at one length only, however its bytes come.
pub fn head(data: &[u8]) {
    let limits = HeadLimits::default();
    let whole = match parse_head(data, &mut Scan::default(), &limits) {
        Parsed::Complete { head, len } => {
            assert!(len <= data.len());
            let _ = (head.framing(), head.keeps_alive(), head.expects_continue(), head.bearer());
            let _ = (head.cookie("access_token"), head.media_type(), head.lists("accept", "*/*"));
            Some(len)
        }
        Parsed::Partial | Parsed::Invalid(_) => None,
    };
    // Byte by byte, up to where it is decided.
    let mut scan = Scan::default();
    for end in 0..=data.len() {
        match parse_head(&data[..end], &mut scan, &limits) {
            Parsed::Partial => {}
            Parsed::Complete { len, .. } => {
                assert_eq!((Some(len), len), (whole, end));
                return;
            }
            Parsed::Invalid(_) => {
                assert_eq!(whole, None);
                return;
            }
        }
    }
    assert_eq!(whole, None);
}

/// A body decodes to the same bytes and ends at the same place, however it is cut.
pub fn body(data: &[u8]) {
    let decode = |step: usize| -> Result<Option<(Vec<u8>, usize)>, BodyError> {
        let mut body = Body::new(Framing::Chunked, 1 << 16)?;
        let (mut held, mut out, mut used) = (Vec::new(), Vec::new(), 0);
        for part in data.chunks(step) {
            held.extend_from_slice(part);
            loop {
                let fed = body.feed(&held, &mut out)?;
                assert!(fed.used <= held.len());
                held.drain(..fed.used);
                used += fed.used;
                if fed.done {
                    return Ok(Some((out, used)));
                }
                if fed.used == 0 {
                    break;
                }
            }
        }
        Ok(None)
    };
    let whole = decode(data.len().max(1));
    assert_eq!(whole.is_ok(), decode(1).is_ok());
    if let (Ok(whole), Ok(cut)) = (whole, decode(1)) {
        assert_eq!(whole, cut);
    }
}

/// Paths and queries decode or are refused.
pub fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (path, query) = split_target(text);
    assert!(path.len() + query.len() <= text.len());
    if let Ok(decoded) = decode_percent(path) {
        assert!(decoded.len() <= path.len());
        let _ = Selector::parse(&decoded);
    }
    let pairs: Vec<_> = pairs(query).filter_map(Result::ok).collect();
    let query = pairs.iter().map(|(name, value)| (&**name, &**value));
    if let Ok(subscription) = Subscription::read(Some(path), query, None, 64) {
        assert!(subscription.selectors.len() <= 64);
    }
}

/// No bytes are a token of a secret nobody knows.
pub fn token(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let keys = Keys::single(b"a secret nobody has told to the fuzzer, ever").expect("a key");
    assert!(jwt::verify(text, &keys, &Rules::default(), 1_700_000_000).is_err());
}

/// An id that is read is written as it was.
pub fn resume(data: &[u8]) {
    if let Some(id) = EventId::parse(data) {
        assert_eq!(id.to_string().as_bytes(), data);
        assert!(data.len() <= 64);
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = Subscription::read(Some("a"), std::iter::empty(), Some(text), 64);
}

/// What is accepted becomes a frame whose data can be had back, line ends as LF.
pub fn publish(data: &[u8]) {
    if let Ok(elements) = batch(data) {
        for element in elements {
            let _ = Command::new().json(element.get().as_bytes()).and_then(Command::check);
        }
    }
    let Ok(command) = Command::new().json(data).and_then(Command::check) else { return };
    let frame = Frame::encode(command.event.as_deref(), &command.data, None);
    assert_eq!(frame.data(), command.data.replace("\r\n", "\n").replace('\r', "\n"));
    assert_eq!(frame.event(), command.event.as_deref());
    assert!(frame.wire().ends_with(b"\n\n"));
}
