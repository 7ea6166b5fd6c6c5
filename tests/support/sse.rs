//! A stream's reader, written from the WHATWG text ("9.2.6 Interpreting an event stream").

use std::collections::VecDeque;
use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::http;

/// One dispatched event.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub(crate) struct Event {
    /// The last event id at dispatch, so an event without an `id` field repeats the one before.
    pub(crate) id: String,
    /// `message` when the block named none.
    pub(crate) event: String,
    pub(crate) data: String,
}

/// Turns bytes into events, however they are cut.
#[derive(Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    after_cr: bool,
    started: bool,
    last_id: String,
    event: String,
    data: String,
    /// Reconnection time in ms, when the stream gave one.
    pub(crate) retry_ms: Option<u64>,
    /// Comment lines seen, heartbeats among them.
    pub(crate) comments: u64,
}

impl Parser {
    /// Takes bytes, hands out the events they complete.
    pub(crate) fn feed(&mut self, bytes: &[u8], out: &mut impl FnMut(Event)) {
        for &byte in bytes {
            let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\r' | b'\n' => {
                    let line = std::mem::take(&mut self.line);
                    self.take_line(&line, out);
                }
                _ => self.line.push(byte),
            }
        }
    }

    fn take_line(&mut self, line: &[u8], out: &mut impl FnMut(Event)) {
        let text = String::from_utf8_lossy(line);
        let mut text = text.as_ref();
        if !std::mem::replace(&mut self.started, true) {
            text = text.strip_prefix('\u{feff}').unwrap_or(text);
        }
        if text.is_empty() {
            return self.dispatch(out);
        }
        let (name, value) = text.split_once(':').unwrap_or((text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "" => self.comments += 1,
            "event" => value.clone_into(&mut self.event),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => value.clone_into(&mut self.last_id),
            "retry" if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) => {
                self.retry_ms = value.parse().ok();
            }
            _ => {}
        }
    }

    fn dispatch(&mut self, out: &mut impl FnMut(Event)) {
        let event = std::mem::take(&mut self.event);
        let mut data = std::mem::take(&mut self.data);
        if data.is_empty() {
            return;
        }
        data.pop();
        let event = if event.is_empty() { "message".to_owned() } else { event };
        out(Event { id: self.last_id.clone(), event, data });
    }
}

/// An open stream.
pub(crate) struct Stream {
    reader: BufReader<TcpStream>,
    pending: VecDeque<Event>,
    pub(crate) parser: Parser,
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
}

impl Stream {
    /// GET `path` and read the answer's head.
    pub(crate) fn open(
        address: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
    ) -> io::Result<Self> {
        let mut head = http::head(address, "GET", path, headers);
        head.push_str("Accept: text/event-stream\r\n\r\n");
        Self::send(address, head.as_bytes())
    }

    /// POST `body` to `path` and read the answer's head.
    pub(crate) fn open_post(
        address: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Self> {
        let mut head = http::head(address, "POST", path, headers);
        head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        Self::send(address, &[head.as_bytes(), body].concat())
    }

    fn send(address: SocketAddr, request: &[u8]) -> io::Result<Self> {
        let mut stream = TcpStream::connect_timeout(&address, http::TIMEOUT)?;
        stream.set_read_timeout(Some(http::TIMEOUT))?;
        stream.write_all(request)?;
        let mut reader = BufReader::new(stream);
        let (status, headers) = http::read_head(&mut reader)?;
        Ok(Self { reader, pending: VecDeque::new(), parser: Parser::default(), status, headers })
    }

    /// Comment lines seen so far, heartbeats among them.
    pub(crate) fn comments(&self) -> u64 {
        self.parser.comments
    }

    /// The next event; `None` when none came within `limit` or the stream ended.
    pub(crate) fn next(&mut self, limit: Duration) -> Option<Event> {
        let end = Instant::now() + limit;
        let mut buffer = [0; 16 * 1024];
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some(event);
            }
            let left = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            self.reader.get_ref().set_read_timeout(Some(left)).ok()?;
            match self.reader.read(&mut buffer) {
                Ok(0) | Err(_) => return None,
                Ok(count) => {
                    let pending = &mut self.pending;
                    self.parser.feed(&buffer[..count], &mut |event| pending.push_back(event));
                }
            }
        }
    }

    /// Breaks off: what is left unsent is dropped and the close is a reset (socket(7)).
    pub(crate) fn reset(self) {
        let _ = socket2::SockRef::from(self.reader.get_ref()).set_linger(Some(Duration::ZERO));
    }

    /// True when the stream ends (or is reset) within `limit`; events on the way are kept.
    pub(crate) fn ends_within(&mut self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        let mut buffer = [0; 16 * 1024];
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            if left.is_zero() || self.reader.get_ref().set_read_timeout(Some(left)).is_err() {
                break;
            }
            match self.reader.read(&mut buffer) {
                Ok(0) => return true,
                Ok(count) => {
                    let pending = &mut self.pending;
                    self.parser.feed(&buffer[..count], &mut |event| pending.push_back(event));
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => return false,
                    _ => return true,
                },
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the WHATWG text, cut at every byte.
    #[test]
    fn reads_the_standards_examples() {
        let text = b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\n\
                     data:  third event\n\ndata\n\ndata\ndata\n\ndata:";
        for cut in 0..text.len() {
            let mut parser = Parser::default();
            let mut seen = Vec::new();
            for part in [&text[..cut], &text[cut..]] {
                parser.feed(part, &mut |event| seen.push((event.id, event.data)));
            }
            let expected = [("1", "first event"), ("", "second event"), ("", " third event")];
            let expected = expected.into_iter().chain([("", ""), ("", "\n")]);
            let expected: Vec<_> = expected.map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
            assert_eq!(seen, expected, "cut at {cut}");
        }
    }
}
