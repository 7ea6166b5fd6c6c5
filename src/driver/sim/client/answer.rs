//! HTTP answers as a publisher reads them.

/// A whole answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The connection ends after it.
    pub(crate) close: bool,
    pub(crate) body: String,
    /// `Last-Event-ID`.
    pub(crate) cursor: Option<String>,
}

/// The status and the fields of an answer head, when all of it is there: also how long it is.
pub(crate) fn read_head(bytes: &[u8]) -> Option<(u16, String, usize)> {
    let len = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..len]).into_owned();
    let status = text.split(' ').nth(1).and_then(|digits| digits.parse().ok()).unwrap_or(0);
    Some((status, text.to_ascii_lowercase(), len))
}

/// Takes the next whole answer off the beginning of `bytes`.
pub(crate) fn take_answer(bytes: &mut Vec<u8>) -> Option<Answer> {
    let (status, fields, head_len) = read_head(bytes)?;
    let field = |name: &str| {
        fields.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    };
    let body_len: usize = field("content-length").and_then(|len| len.parse().ok()).unwrap_or(0);
    if bytes.len() < head_len + body_len {
        return None;
    }
    let close = field("connection") == Some("close");
    let cursor = field("last-event-id").map(str::to_owned);
    let body = String::from_utf8_lossy(&bytes[head_len..head_len + body_len]).into_owned();
    bytes.drain(..head_len + body_len);
    Some(Answer { status, close, body, cursor })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_whole_answers_only() {
        let all = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 503 No\r\n\
                    Connection: close\r\nContent-Length: 0\r\n\r\n";
        let mut bytes = Vec::new();
        let mut answers = Vec::new();
        for byte in all {
            bytes.push(*byte);
            answers.extend(take_answer(&mut bytes));
        }
        let seen: Vec<_> = answers.iter().map(|a| (a.status, a.close, a.body.as_str())).collect();
        assert_eq!(seen, [(200, false, "hi"), (503, true, "")]);
        assert!(bytes.is_empty());
    }
}
