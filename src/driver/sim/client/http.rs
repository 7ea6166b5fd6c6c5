//! The little of HTTP that the clients read: a status, a length, a type.

/// The head of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) content_length: Option<usize>,
    pub(crate) content_type: String,
    /// Bytes of the head itself.
    pub(crate) len: usize,
}

/// What the beginning of some input is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Read {
    Partial,
    Head(Head),
    /// No answer of HTTP.
    Strange,
}

/// Reads the head of an answer.
pub(crate) fn read_head(input: &[u8]) -> Read {
    const START: &[u8] = b"HTTP/1.1 ";
    let common = input.len().min(START.len());
    if input[..common] != START[..common] {
        return Read::Strange;
    }
    let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") else {
        return if input.len() > 4_096 { Read::Strange } else { Read::Partial };
    };
    let Ok(text) = std::str::from_utf8(&input[..end]) else { return Read::Strange };
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.get(START.len()..START.len() + 3));
    let Some(Ok(status)) = status.map(str::parse) else { return Read::Strange };
    let mut head =
        Head { status, content_length: None, content_type: String::new(), len: end + 4 };
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { return Read::Strange };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => head.content_length = value.trim().parse().ok(),
            "content-type" => value.trim().clone_into(&mut head.content_type),
            _ => {}
        }
    }
    Read::Head(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_heads_and_only_heads() {
        let text = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\ncontent-length: 7\r\n\r\nx";
        let Read::Head(head) = read_head(text) else { panic!("no head") };
        assert_eq!((head.status, head.content_length), (200, Some(7)));
        assert_eq!((head.content_type.as_str(), head.len), ("text/event-stream", text.len() - 1));
        for cut in 0..text.len() - 1 {
            assert_eq!(read_head(&text[..cut]), Read::Partial, "{cut}");
        }
        assert_eq!(read_head(b"data: x\n\n"), Read::Strange);
        assert_eq!(read_head(b"HTTP/1.1 2x0 OK\r\n\r\n"), Read::Strange);
    }
}
