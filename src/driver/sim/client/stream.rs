//! An event stream as a client reads it: written from the WHATWG text, not from our encoder.

use std::io::Write;

use flate2::write::GzDecoder;
use serde_json::Value;

/// How a subscriber asks for its events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Form {
    /// An event stream.
    #[default]
    Sse,
    /// The same, compressed where the server does that.
    Gzip,
    /// A JSON object on each line.
    Lines,
    /// Long-polls.
    Poll,
}

impl Form {
    pub(crate) fn draw(rng: &mut fastrand::Rng) -> Self {
        match rng.u8(0..7) {
            0 => Self::Lines,
            1 => Self::Poll,
            2 => Self::Gzip,
            _ => Self::Sse,
        }
    }
}

/// One dispatched event.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) name: String,
    pub(crate) data: String,
    /// The last event id after this block.
    pub(crate) id: String,
    /// The block has an id field of its own.
    pub(crate) own_id: bool,
}

/// Bytes in, blocks out.
#[derive(Debug, Default)]
pub(crate) struct StreamReader {
    form: Form,
    /// What inflates it, where the answer said that it is compressed.
    gzip: Option<GzDecoder<Vec<u8>>>,
    line: Vec<u8>,
    name: String,
    data: Option<String>,
    /// The last event id buffer, and what it was at the end of the last whole block: only that
    /// is told to the server.
    buffer_id: String,
    last_id: String,
    own_id: bool,
}

impl StreamReader {
    /// A reader for a stream that goes on after this id.
    pub(crate) fn after(form: Form, last_id: &str) -> Self {
        Self { form, buffer_id: last_id.to_owned(), last_id: last_id.to_owned(), ..Self::default() }
    }

    /// The answer's head says that what follows is gzip.
    pub(crate) fn expect_gzip(&mut self) {
        self.gzip = Some(GzDecoder::new(Vec::new()));
    }

    /// The last event id.
    pub(crate) fn last_id(&self) -> &str {
        &self.last_id
    }

    /// Reads bytes; whole events go to `out`.
    ///
    /// # Errors
    /// A line that is no field of ours. (The standard lets clients skip such lines; here they
    /// are the mark of a torn frame.)
    pub(crate) fn read(&mut self, bytes: &[u8], out: &mut Vec<Block>) -> Result<(), String> {
        let inflated = match &mut self.gzip {
            Some(gzip) => {
                let written = gzip.write_all(bytes).and_then(|()| gzip.flush());
                written.map_err(|error| format!("not gzip: {error}"))?;
                std::mem::take(gzip.get_mut())
            }
            None => bytes.to_vec(),
        };
        for byte in &inflated {
            match byte {
                b'\n' => {
                    let line = std::mem::take(&mut self.line);
                    let line = String::from_utf8(line)
                        .map_err(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())?;
                    self.end_line(&line, out)?;
                }
                byte => self.line.push(*byte),
            }
        }
        Ok(())
    }

    /// Sets the last event id.
    pub(crate) fn set_last_id(&mut self, id: &str) {
        id.clone_into(&mut self.last_id);
    }

    /// Reads the body of a poll's answer.
    ///
    /// # Errors
    /// A body that is none.
    pub(crate) fn read_poll(&mut self, body: &str, out: &mut Vec<Block>) -> Result<(), String> {
        let value: Value = serde_json::from_str(body).map_err(|error| error.to_string())?;
        for event in value["events"].as_array().ok_or("no events")? {
            self.object(event, out)?;
        }
        self.set_last_id(value["last_event_id"].as_str().ok_or("no last_event_id")?);
        Ok(())
    }

    /// One event as a JSON object.
    fn object(&mut self, value: &Value, out: &mut Vec<Block>) -> Result<(), String> {
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        let (Some(name), Some(data)) = (text("event"), text("data")) else {
            return Err(value.to_string());
        };
        let own_id = text("id");
        if let Some(id) = &own_id {
            self.set_last_id(id);
        }
        let id = self.last_id.clone();
        out.push(Block { name, data, id, own_id: own_id.is_some() });
        Ok(())
    }

    fn end_line(&mut self, line: &str, out: &mut Vec<Block>) -> Result<(), String> {
        if self.form == Form::Lines {
            if line.is_empty() {
                return Ok(());
            }
            let torn = |_| line.chars().take(80).collect::<String>();
            let value: Value = serde_json::from_str(line).map_err(torn)?;
            return self.object(&value, out);
        }
        if line.is_empty() {
            let (name, data) = (std::mem::take(&mut self.name), self.data.take());
            self.last_id.clone_from(&self.buffer_id);
            let own_id = std::mem::take(&mut self.own_id);
            if let Some(data) = data {
                out.push(Block { name, data, id: self.last_id.clone(), own_id });
            }
            return Ok(());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" => {}
            "event" => value.clone_into(&mut self.name),
            "data" => match &mut self.data {
                Some(data) => *data = format!("{data}\n{value}"),
                none => *none = Some(value.to_owned()),
            },
            "id" => {
                value.clone_into(&mut self.buffer_id);
                self.own_id = true;
            }
            "retry" if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) => {}
            _ => return Err(line.chars().take(80).collect()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_standard_shows() {
        let mut reader = StreamReader::after(Form::Sse, "0");
        let mut blocks = Vec::new();
        let text = ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\n\
                    data:  third event\n\nevent: add\ndata: a\ndata\n\nevent: none\n\n";
        for byte in text.bytes() {
            reader.read(&[byte], &mut blocks).expect("fields only");
        }
        let seen: Vec<_> = blocks.iter().map(|b| (&*b.name, &*b.data, &*b.id)).collect();
        let expected = [
            ("", "first event", "1"),
            ("", "second event", ""),
            ("", " third event", ""),
            ("add", "a\n", ""),
        ];
        assert_eq!(seen, expected);
        assert!(reader.read(b"torn\n", &mut blocks).is_err());
    }
}
