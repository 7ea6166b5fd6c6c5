//! A server with a fixed publish token, and what most tests do with it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::http::{self, Client, Publisher, Response, TIMEOUT};
use crate::support::server::{Server, new_folder};
use crate::support::sse::{Event, Stream};

/// `AUTH_TOKEN` of the servers here.
pub(crate) const TOKEN: &str = "publish-token-of-the-promises";
/// Longest wait for an event that must come.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// How long nothing must come.
pub(crate) const QUIET: Duration = Duration::from_millis(300);

pub(crate) struct Rig {
    pub(crate) server: Server,
    pub(crate) publisher: Publisher,
}

impl Rig {
    /// Anonymous subscribers are welcome, publishers need [`TOKEN`].
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(env: &[(&str, &str)]) -> Self {
        let mut all = vec![("AUTH_TOKEN", TOKEN)];
        all.extend_from_slice(env);
        Self::of(Server::start(&["--workers", "2"], &all))
    }

    /// With this configuration file and environment.
    pub(crate) fn start_file(text: &str, env: &[(&str, &str)]) -> Self {
        let folder = new_folder();
        std::fs::write(folder.join("ringcast.toml"), text).expect("written");
        let mut all = vec![("AUTH_TOKEN", TOKEN)];
        all.extend_from_slice(env);
        let args = ["--workers", "2", "--config", "ringcast.toml"];
        Self::of(Server::start_in(folder, &args, &all))
    }

    /// With this server.
    pub(crate) fn of(server: Server) -> Self {
        let publisher = Publisher::new(server.listen, TOKEN);
        Self { server, publisher }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.listen
    }

    pub(crate) fn open(&self, path: &str) -> Stream {
        self.open_with(path, &[])
    }

    pub(crate) fn open_with(&self, path: &str, headers: &[(&str, &str)]) -> Stream {
        let stream = Stream::open(self.address(), path, headers).expect("an answer");
        assert_eq!(stream.status, 200, "{path}");
        stream
    }

    /// A stream that goes on after `id`.
    pub(crate) fn resume(&self, path: &str, id: &str) -> Stream {
        self.open_with(path, &[("Last-Event-ID", id)])
    }

    /// Publishes to `/publish/{target}`; the event's id.
    pub(crate) fn publish(&mut self, target: &str, data: &str) -> String {
        self.publisher.publish(target, data.as_bytes()).id
    }

    /// `POST /publish{query}` with a body of this type.
    pub(crate) fn post(&self, query: &str, media: &str, body: &str) -> Response {
        let bearer = format!("Bearer {TOKEN}");
        let headers = [("Authorization", &*bearer), ("Content-Type", media)];
        let path = format!("/publish{query}");
        http::request(self.address(), "POST", &path, &headers, body.as_bytes()).expect("an answer")
    }

    /// A JSON command that must be accepted.
    pub(crate) fn command(&self, body: &Value) -> Value {
        let answer = self.post("", "application/json", &body.to_string());
        assert_eq!(answer.status, 200, "{body}: {}", String::from_utf8_lossy(&answer.body));
        answer.json()
    }

    /// Sends bytes as they are, and reads until the server closes or `limit` has passed.
    pub(crate) fn raw(&self, bytes: &[u8], limit: Duration) -> String {
        raw(self.address(), bytes, limit)
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address()).expect("a connection")
    }
}

/// Sends bytes as they are, and reads until the server closes or `limit` has passed.
pub(crate) fn raw(address: SocketAddr, bytes: &[u8], limit: Duration) -> String {
    let end = Instant::now() + limit;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).expect("a connection");
    stream.write_all(bytes).expect("sent");
    let mut out = Vec::new();
    let mut buffer = [0; 4096];
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|l| !l.is_zero()) {
        stream.set_read_timeout(Some(left)).expect("a timeout");
        match stream.read(&mut buffer) {
            Ok(count @ 1..) => out.extend_from_slice(&buffer[..count]),
            _ => break,
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
    String::from_utf8_lossy(&out).into_owned()
}

/// The next events' data; fewer if they do not come.
pub(crate) fn data_of(stream: &mut Stream, count: usize) -> Vec<String> {
    (0..count).map_while(|_| stream.next(SOON)).map(|event| event.data).collect()
}

/// The next event, which must come.
pub(crate) fn next(stream: &mut Stream) -> Event {
    stream.next(SOON).expect("an event")
}

/// Nothing comes for a while.
pub(crate) fn assert_quiet(stream: &mut Stream) {
    let event = stream.next(QUIET);
    assert!(event.is_none(), "unexpected {event:?}");
}

/// A problem document of this status whose text holds `part`.
pub(crate) fn assert_problem(answer: &Response, status: u16, part: &str) {
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert_eq!(answer.status, status, "{text}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{text}");
    let problem = answer.json();
    assert_eq!(problem["status"], status);
    assert!(problem["type"].is_string() && problem["title"].is_string(), "{text}");
    let detail = problem["detail"].as_str().expect("a detail");
    assert!(detail.contains(part), "{detail:?} does not speak of {part:?}");
}
