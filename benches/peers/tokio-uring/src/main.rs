//! The peer: server-sent events on tokio-uring as its documentation leads one to write them: a task
//! per connection, a queue per stream, an awaited write per event.
//!
//! A stream whose queue is full loses the event, as in the other peers with queues.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_uring::net::{TcpListener, TcpStream};

/// Events a stream's queue holds; it is allocated as it fills.
const QUEUE: usize = 1_024;
const READ_BYTES: usize = 4_096;
const HEADERS_MAX: usize = 64;
const STREAM_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
    Cache-Control: no-cache\r\nConnection: close\r\n\r\n";

#[derive(Default)]
struct Hub {
    channels: RefCell<HashMap<String, HashMap<u64, mpsc::Sender<Bytes>>>>,
    events: Cell<u64>,
    streams: Cell<u64>,
}

impl Hub {
    fn subscribe(&self, channel: &str) -> (u64, mpsc::Receiver<Bytes>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let id = self.streams.get() + 1;
        self.streams.set(id);
        self.channels.borrow_mut().entry(channel.to_owned()).or_default().insert(id, sender);
        (id, receiver)
    }

    fn unsubscribe(&self, channel: &str, id: u64) {
        let mut channels = self.channels.borrow_mut();
        let Some(streams) = channels.get_mut(channel) else { return };
        streams.remove(&id);
        if streams.is_empty() {
            channels.remove(channel);
        }
    }

    fn publish(&self, channel: &str, data: &str) -> String {
        let id = self.events.get() + 1;
        self.events.set(id);
        let lines: String = data.split('\n').map(|line| format!("data: {line}\n")).collect();
        let event = Bytes::from(format!("id: {id}\n{lines}\n"));
        let channels = self.channels.borrow();
        let streams = channels.get(channel);
        for queue in streams.into_iter().flat_map(HashMap::values) {
            let _ = queue.try_send(event.clone());
        }
        let heard = streams.map_or(0, HashMap::len);
        format!("{{\"id\":\"{id}\",\"subscribers\":{heard}}}")
    }
}

enum Request {
    Subscribe(String),
    Publish(String, String),
    Unknown,
}

/// The first request in `bytes` and its length, once it is whole.
fn parse(bytes: &[u8]) -> Result<Option<(Request, usize)>, httparse::Error> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = request.parse(bytes)? else { return Ok(None) };
    let length = request.headers.iter().find(|h| h.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|h| str::from_utf8(h.value).ok()?.parse().ok()).unwrap_or(0);
    let Some(body) = bytes.get(head..).and_then(|rest| rest.get(..length)) else {
        return Ok(None);
    };
    let path = request.path.unwrap_or("/");
    let found = match (request.method, path.strip_prefix("/sse/"), path.strip_prefix("/publish/")) {
        (Some("GET"), Some(channel), _) => Request::Subscribe(channel.to_owned()),
        (Some("POST"), _, Some(channel)) => {
            Request::Publish(channel.to_owned(), String::from_utf8_lossy(body).into_owned())
        }
        _ => Request::Unknown,
    };
    Ok(Some((found, head + length)))
}

async fn serve(hub: &Hub, socket: TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut received = Vec::new();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        while let Some((request, length)) = parse(&received).map_err(io::Error::other)? {
            received.drain(..length);
            let (status, body) = match request {
                Request::Subscribe(channel) => {
                    drop((received, buffer));
                    let (id, events) = hub.subscribe(&channel);
                    let ended = stream(&socket, events).await;
                    hub.unsubscribe(&channel, id);
                    return ended;
                }
                Request::Publish(channel, data) => ("200 OK", hub.publish(&channel, &data)),
                Request::Unknown => ("404 Not Found", String::new()),
            };
            let length = body.len();
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
            socket.write_all(answer.into_bytes()).await.0?;
        }
        let (read, returned) = socket.read(buffer).await;
        buffer = returned;
        match read? {
            0 => return Ok(()),
            count => received.extend_from_slice(&buffer[..count]),
        }
    }
}

/// Writes one event after the other, until the client closes.
async fn stream(socket: &TcpStream, mut events: mpsc::Receiver<Bytes>) -> io::Result<()> {
    socket.write_all(STREAM_HEAD).await.0?;
    let mut closed = pin!(socket.read(vec![0; 1]));
    loop {
        tokio::select! {
            _ = &mut closed => return Ok(()),
            event = events.recv() => match event {
                Some(event) => socket.write_all(event).await.0?,
                None => return Ok(()),
            },
        }
    }
}

fn main() {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).expect("a port");
    tokio_uring::start(async {
        let hub = Rc::new(Hub::default());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = TcpListener::bind(address).expect("a free port");
        loop {
            let (socket, _) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    eprintln!("accept: {error}");
                    continue;
                }
            };
            let hub = Rc::clone(&hub);
            tokio_uring::spawn(async move {
                let _ = serve(&hub, socket).await;
            });
        }
    });
}
