//! HTTP/1.1 answers in pieces as they arrive: status, and a body of any framing (RFC 9112 6.3).

use thiserror::Error;

/// Longest head, bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Longest line that gives a chunk's size, bytes.
const SIZE_LINE_BYTES_MAX: usize = 256;

/// Bytes that are no HTTP answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not an HTTP/1.1 answer")]
pub struct AnswerError;

#[derive(Debug)]
enum State {
    Head,
    /// A body that the end of the connection ends.
    Open,
    /// Bytes left.
    Length(u64),
    /// At a chunk's size line.
    Size,
    /// Bytes left of a chunk.
    Chunk(u64),
    /// At the line end behind a chunk.
    ChunkEnd,
    /// In the fields behind the last chunk.
    Trailer,
    Done,
}

/// Reads one answer after the other.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    /// Of the last head that was complete; 0 before the first.
    status: u16,
    /// The server ends the connection behind this answer.
    closes: bool,
    /// The body is compressed by gzip.
    gzip: bool,
    /// An unfinished head or size line.
    held: Vec<u8>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { state: State::Head, status: 0, closes: false, gzip: false, held: Vec::new() }
    }
}

impl Decoder {
    /// The status, once the head is complete; 0 before.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The answer is complete.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// No further answer comes on this connection.
    #[must_use]
    pub fn closes(&self) -> bool {
        self.closes
    }

    /// The body is compressed by gzip.
    #[must_use]
    pub fn is_gzip(&self) -> bool {
        self.gzip
    }

    /// Makes ready for the next answer.
    pub fn restart(&mut self) {
        *self = Self::default();
    }

    /// Takes the next bytes and hands the body's on. What stands behind a complete answer is left
    /// out.
    ///
    /// # Errors
    /// When they are no HTTP answer.
    pub fn feed(
        &mut self,
        mut input: &[u8],
        body: &mut dyn FnMut(&[u8]),
    ) -> Result<(), AnswerError> {
        while !input.is_empty() {
            match &mut self.state {
                State::Done => return Ok(()),
                State::Open => {
                    body(input);
                    return Ok(());
                }
                State::Length(left) | State::Chunk(left) => {
                    let take = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                    let (now, later) = input.split_at(take);
                    body(now);
                    input = later;
                    *left -= take as u64;
                    if *left == 0 {
                        let chunked = matches!(self.state, State::Chunk(_));
                        self.state = if chunked { State::ChunkEnd } else { State::Done };
                    }
                }
                State::Head => input = self.read_head(input)?,
                State::Size | State::ChunkEnd | State::Trailer => input = self.read_line(input)?,
            }
        }
        Ok(())
    }

    fn read_head<'a>(&mut self, input: &'a [u8]) -> Result<&'a [u8], AnswerError> {
        let before = self.held.len();
        let room = (HEAD_BYTES_MAX + 1).saturating_sub(before).min(input.len());
        self.held.extend_from_slice(&input[..room]);
        let from = before.saturating_sub(3);
        let Some(at) = memchr::memmem::find(&self.held[from..], b"\r\n\r\n") else {
            return if self.held.len() > HEAD_BYTES_MAX { Err(AnswerError) } else { Ok(&[]) };
        };
        let end = from + at + 4;
        let head = std::mem::take(&mut self.held);
        self.take_head(&head[..end - 2])?;
        Ok(&input[end - before..])
    }

    fn take_head(&mut self, head: &[u8]) -> Result<(), AnswerError> {
        let head = std::str::from_utf8(head).map_err(|_| AnswerError)?;
        let mut lines = head.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let (version, rest) = first.split_at_checked(9).ok_or(AnswerError)?;
        let digits = rest.get(..3).ok_or(AnswerError)?;
        if !matches!(version, "HTTP/1.1 " | "HTTP/1.0 ") {
            return Err(AnswerError);
        }
        let status = digits.parse().map_err(|_| AnswerError)?;
        if (100..200).contains(&status) {
            return Ok(()); // the real one follows
        }
        (self.status, self.state, self.closes) = (status, State::Open, version == "HTTP/1.0 ");
        let mut chunked = false;
        self.gzip = false;
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => {
                    self.state = State::Length(value.parse().map_err(|_| AnswerError)?);
                }
                "transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
                "content-encoding" => self.gzip = value.eq_ignore_ascii_case("gzip"),
                "connection" if value.eq_ignore_ascii_case("close") => self.closes = true,
                "connection" if value.eq_ignore_ascii_case("keep-alive") => self.closes = false,
                _ => {}
            }
        }
        if chunked {
            self.state = State::Size;
        }
        if matches!(self.state, State::Length(0)) || matches!(status, 204 | 304) {
            self.state = State::Done;
        }
        self.closes |= matches!(self.state, State::Open);
        Ok(())
    }

    /// One line of the chunked framing.
    fn read_line<'a>(&mut self, input: &'a [u8]) -> Result<&'a [u8], AnswerError> {
        let Some(end) = memchr::memchr(b'\n', input) else {
            self.held.extend_from_slice(input);
            let long = self.held.len() > SIZE_LINE_BYTES_MAX;
            return if long { Err(AnswerError) } else { Ok(&[]) };
        };
        self.held.extend_from_slice(&input[..end]);
        let line = self.held.strip_suffix(b"\r").unwrap_or(&self.held);
        self.state = match self.state {
            State::ChunkEnd if line.is_empty() => State::Size,
            State::ChunkEnd => return Err(AnswerError),
            State::Trailer if line.is_empty() => State::Done,
            State::Trailer => State::Trailer,
            _ => match chunk_size(line).ok_or(AnswerError)? {
                0 => State::Trailer,
                size => State::Chunk(size),
            },
        };
        self.held.clear();
        Ok(&input[end + 1..])
    }
}

fn chunk_size(line: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(line).ok()?;
    u64::from_str_radix(text.split(';').next()?.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Status, body and end, the bytes given in pieces of `piece`.
    fn read(text: &str, piece: usize) -> Result<(u16, String, bool), AnswerError> {
        let mut decoder = Decoder::default();
        let mut body = Vec::new();
        for piece in text.as_bytes().chunks(piece) {
            decoder.feed(piece, &mut |bytes| body.extend_from_slice(bytes))?;
        }
        let body = String::from_utf8(body).expect("text");
        Ok((decoder.status(), body, decoder.is_done()))
    }

    #[test]
    fn every_framing_in_pieces_of_every_size() {
        for (text, status, body, done) in [
            ("HTTP/1.1 200 OK\r\n\r\ndata: x\n\n", 200, "data: x\n\n", false),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP", 200, "hello", true),
            ("HTTP/1.1 404 N\r\ncontent-length: 0\r\n\r\n", 404, "", true),
            ("HTTP/1.1 204 No\r\n\r\n", 204, "", true),
            ("HTTP/1.1 100 C\r\n\r\nHTTP/1.1 201 X\r\nContent-Length: 1\r\n\r\na", 201, "a", true),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n\
                 0123456789\r\n0\r\nT: x\r\n\r\n",
                200,
                "abc0123456789",
                true,
            ),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", 200, "ab", false),
        ] {
            for piece in 1..=text.len() {
                assert_eq!(read(text, piece), Ok((status, body.to_owned(), done)), "{text:?}");
            }
        }
    }

    #[test]
    fn anything_else_is_an_error_not_a_hang() {
        for text in [
            "SSH-2.0-OpenSSH_9.2\r\n\r\n",
            "HTTP/1.1 abc\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
        ] {
            assert_eq!(read(text, 7), Err(AnswerError), "{text:?}");
        }
        assert_eq!(read(&"x".repeat(HEAD_BYTES_MAX + 1), 4096), Err(AnswerError));
    }

    #[test]
    fn the_coding_is_known() {
        for (line, gzip) in
            [("", false), ("content-encoding: GZIP\r\n", true), ("Content-Encoding: br\r\n", false)]
        {
            let mut decoder = Decoder::default();
            let head = format!("HTTP/1.1 200 OK\r\n{line}\r\n");
            decoder.feed(head.as_bytes(), &mut |_| {}).expect("an answer");
            assert_eq!(decoder.is_gzip(), gzip, "{line}");
        }
    }

    #[test]
    fn the_end_of_the_connection_is_foretold() {
        for (line, closes) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", false),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n", true),
            ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n", true),
            ("HTTP/1.1 200 OK\r\n", true),
        ] {
            let mut decoder = Decoder::default();
            decoder.feed(format!("{line}\r\n").as_bytes(), &mut |_| {}).expect("an answer");
            assert_eq!(decoder.closes(), closes, "{line}");
        }
    }
}
