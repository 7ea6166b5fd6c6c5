//! A reader of event streams, written from the WHATWG text (HTML 9.2.6, "Interpreting an event
//! stream") and sharing nothing with the code under test. Stricter than that in one thing: a line
//! that is no field the server knows is handed out, because it can only be half a frame.

/// An event as a reader gets it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Event {
    /// Of this block; none when it has no id line.
    pub(crate) id: Option<String>,
    /// `message` where the block names none.
    pub(crate) name: String,
    pub(crate) data: String,
}

/// What the stream says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    Event(Event),
    /// No line of ours.
    Strange(String),
}

#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    after_cr: bool,
    begun: bool,
    id: Option<String>,
    name: String,
    data: String,
}

impl Parser {
    /// Takes bytes as they come and hands out what is complete.
    pub(crate) fn feed(&mut self, bytes: &[u8], out: &mut Vec<Item>) {
        for &byte in bytes {
            let was_cr = std::mem::take(&mut self.after_cr);
            match byte {
                // The second half of a CRLF.
                b'\n' if was_cr => {}
                b'\n' | b'\r' => {
                    self.after_cr = byte == b'\r';
                    let line = std::mem::take(&mut self.line);
                    self.take_line(&line, out);
                }
                _ => self.line.push(byte),
            }
        }
    }

    fn take_line(&mut self, line: &[u8], out: &mut Vec<Item>) {
        let first = !std::mem::replace(&mut self.begun, true);
        let line = line.strip_prefix("\u{feff}".as_bytes()).filter(|_| first).unwrap_or(line);
        let text = String::from_utf8_lossy(line);
        if text.is_empty() {
            return self.dispatch(out);
        }
        if text.starts_with(':') {
            return;
        }
        let (field, value) = text.split_once(':').unwrap_or((&text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "retry" if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) => {}
            _ => out.push(Item::Strange(text.chars().take(80).collect())),
        }
    }

    fn dispatch(&mut self, out: &mut Vec<Item>) {
        let id = self.id.take();
        let mut name = std::mem::take(&mut self.name);
        let mut data = std::mem::take(&mut self.data);
        if data.pop().is_none() {
            return;
        }
        if name.is_empty() {
            "message".clone_into(&mut name);
        }
        out.push(Item::Event(Event { id, name, data }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], step: usize) -> Vec<Item> {
        let (mut parser, mut out) = (Parser::default(), Vec::new());
        for piece in bytes.chunks(step) {
            parser.feed(piece, &mut out);
        }
        out
    }

    fn event(id: Option<&str>, name: &str, data: &str) -> Item {
        Item::Event(Event { id: id.map(Into::into), name: name.into(), data: data.into() })
    }

    /// The examples of HTML 9.2.6 and line ends of all three kinds, in pieces of any size.
    #[test]
    fn reads_what_the_standard_shows() {
        let text = b"\xef\xbb\xbf:ok\nretry: 3000\n: test stream\n\ndata: first event\nid: 1\n\n\
            data:second event\nid\n\ndata:  third event\n\ndata\n\ndata\ndata\n\ndata:\n\
            \ndata: YHOO\r\ndata: +2\rdata: 10\n\nevent: add\ndata: 7\n\nevent: none\n\ndata: cut\n";
        let expected = [
            event(Some("1"), "message", "first event"),
            event(Some(""), "message", "second event"),
            event(None, "message", " third event"),
            event(None, "message", ""),
            event(None, "message", "\n"),
            event(None, "message", ""),
            event(None, "message", "YHOO\n+2\n10"),
            event(None, "add", "7"),
        ];
        for step in [1, 2, 3, 7, 1_000] {
            assert_eq!(read(text, step), expected, "{step}");
        }
    }

    #[test]
    fn half_a_frame_is_seen() {
        assert_eq!(read(b"da\n", 9), [Item::Strange("da".into())]);
        assert_eq!(read(b"retry: 3x\n", 9), [Item::Strange("retry: 3x".into())]);
    }
}
