//! A small blocking HTTP/1.1 client on `std::net`.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Limit of one connect, read or write.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

/// An answer, its body whole.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// First value of a header; `name` in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?}", String::from_utf8_lossy(&self.body)))
    }
}

/// One GET on a connection of its own.
pub(crate) fn get(address: SocketAddr, path: &str) -> io::Result<Response> {
    request(address, "GET", path, &[], b"")
}

/// One request on a connection of its own.
pub(crate) fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Response> {
    let mut client = Client::connect(address)?;
    let mut all = vec![("Connection", "close")];
    all.extend_from_slice(headers);
    client.request(method, path, &all, body)
}

/// A keep-alive connection.
pub(crate) struct Client {
    address: SocketAddr,
    reader: BufReader<TcpStream>,
}

impl Client {
    /// Connects.
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(Self { address, reader: BufReader::new(stream) })
    }

    /// Sends a request and reads its answer.
    pub(crate) fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        self.send(method, path, headers, body)?;
        self.read_answer(method == "HEAD")
    }

    /// Sends a request without reading, for pipelining.
    pub(crate) fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<()> {
        let mut bytes = head(self.address, method, path, headers);
        if !body.is_empty() || method == "POST" {
            let _ = write!(bytes, "Content-Length: {}\r\n", body.len());
        }
        bytes.push_str("\r\n");
        let mut bytes = bytes.into_bytes();
        bytes.extend_from_slice(body);
        self.reader.get_mut().write_all(&bytes)
    }

    /// Reads one answer.
    pub(crate) fn read_answer(&mut self, no_body: bool) -> io::Result<Response> {
        let (status, headers) = loop {
            let (status, headers) = read_head(&mut self.reader)?;
            if !(100..200).contains(&status) {
                break (status, headers);
            }
        };
        let field = |name: &str| {
            headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.clone())
        };
        let mut body = Vec::new();
        if no_body || status == 204 || status == 304 {
            // No body by RFC 9112 section 6.3.
        } else if field("transfer-encoding").is_some_and(|coding| coding == "chunked") {
            read_chunks(&mut self.reader, &mut body)?;
        } else if let Some(length) = field("content-length") {
            body.resize(length.parse().map_err(|_| invalid("content-length"))?, 0);
            self.reader.read_exact(&mut body)?;
        } else {
            self.reader.read_to_end(&mut body)?;
        }
        Ok(Response { status, headers, body })
    }
}

/// Request line and fields, without the last empty line.
pub(crate) fn head(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> String {
    let mut text = format!("{method} {path} HTTP/1.1\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        let _ = write!(text, "Host: {address}\r\n");
    }
    for (name, value) in headers {
        let _ = write!(text, "{name}: {value}\r\n");
    }
    text
}

/// Reads status line and fields up to the empty line.
pub(crate) fn read_head(reader: &mut impl BufRead) -> io::Result<(u16, Vec<(String, String)>)> {
    let line = read_line(reader)?;
    let status = line
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| invalid(&line))?;
    Ok((status, read_fields(reader)?))
}

/// Reads request line and fields up to the empty line.
pub(crate) fn read_request(
    reader: &mut impl BufRead,
) -> io::Result<(String, Vec<(String, String)>)> {
    Ok((read_line(reader)?, read_fields(reader)?))
}

fn read_fields(reader: &mut impl BufRead) -> io::Result<Vec<(String, String)>> {
    let mut headers = Vec::new();
    loop {
        let line = read_line(reader)?;
        if line.is_empty() {
            return Ok(headers);
        }
        let (name, value) = line.split_once(':').ok_or_else(|| invalid(&line))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

fn read_chunks(reader: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let line = read_line(reader)?;
        let size = usize::from_str_radix(&line, 16).map_err(|_| invalid(&line))?;
        let start = body.len();
        body.resize(start + size, 0);
        reader.read_exact(&mut body[start..])?;
        if !read_line(reader)?.is_empty() {
            return Err(invalid("end of chunk"));
        }
        if size == 0 {
            return Ok(());
        }
    }
}

/// One line without its CRLF, which must be there.
fn read_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    match line.strip_suffix("\r\n") {
        Some(text) => Ok(text.to_owned()),
        None if line.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
        None => Err(invalid(&line)),
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// Publishes over one keep-alive connection, which is opened again when the server closed it.
pub(crate) struct Publisher {
    address: SocketAddr,
    authorization: String,
    client: Option<Client>,
}

/// What the server said about one publish.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) id: String,
    pub(crate) subscribers: u64,
}

impl Publisher {
    /// With a bearer token.
    pub(crate) fn new(address: SocketAddr, token: &str) -> Self {
        Self { address, authorization: format!("Bearer {token}"), client: None }
    }

    /// `POST /publish/{target}`, `target` being a channel with an optional query; must be
    /// accepted.
    pub(crate) fn publish(&mut self, target: &str, data: &[u8]) -> Published {
        let answer = self.try_publish(target, data).expect("an answer");
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, 200, "publish to {target}: {text}");
        let json = answer.json();
        Published {
            id: json["id"].as_str().unwrap_or_else(|| panic!("no id in {text}")).to_owned(),
            subscribers: json["subscribers"]
                .as_u64()
                .unwrap_or_else(|| panic!("no subscribers in {text}")),
        }
    }

    /// The same, whatever the answer is.
    pub(crate) fn try_publish(&mut self, target: &str, data: &[u8]) -> io::Result<Response> {
        let client = match &mut self.client {
            Some(client) => client,
            None => self.client.insert(Client::connect(self.address)?),
        };
        let headers = [("Authorization", self.authorization.as_str())];
        let answer = client.request("POST", &format!("/publish/{target}"), &headers, data);
        let keep = answer.as_ref().is_ok_and(|answer| {
            answer.header("connection").is_none_or(|value| !value.eq_ignore_ascii_case("close"))
        });
        if !keep {
            self.client = None;
        }
        answer
    }
}
