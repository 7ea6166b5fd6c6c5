//! A delivery allocates nothing: the same events to fifty times as many streams need no more
//! allocations than to a few.
//!
//! The worker runs in this process, on the real kernel, under a counting allocator. Everything
//! else that runs meanwhile works with buffers made beforehand.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ringcast::auth::{ConnectionNames, Keys, PublisherToken, Rules};
use ringcast::driver::{Doorbells, UringDriver, UringSettings};
use ringcast::journal::{Journal, JournalSettings};
use ringcast::proto::sse::Epoch;
use ringcast::worker::{Live, Node, Options, Phase, Worker};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const TOKEN: &str = "publish-token";
const FEW: usize = 10;
const MANY: usize = 500;
const EVENTS: usize = 200;
/// Tables that double once in a while: far below one allocation per hundred deliveries.
const SLACK: u64 = 64;

struct Rig {
    address: SocketAddr,
    streams: Vec<TcpStream>,
    publisher: TcpStream,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

impl Rig {
    fn connect(&mut self, streams: usize) {
        while self.streams.len() < streams {
            let mut stream = TcpStream::connect(self.address).expect("a connection");
            stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
            stream.write_all(b"GET /sse/a HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
            let mut seen = Vec::new();
            while !seen.windows(7).any(|part| part == b"\nretry:") {
                let count = stream.read(&mut self.buffer).expect("a head");
                seen.extend_from_slice(&self.buffer[..count]);
            }
            self.streams.push(stream);
        }
    }

    /// Publishes so many events, one at a time; each stream reads each of them.
    fn round(&mut self, events: usize) {
        for _ in 0..events {
            self.publisher.write_all(&self.request).expect("sent");
            read_until(&mut self.publisher, &mut self.buffer, b"}");
            for stream in &mut self.streams {
                read_until(stream, &mut self.buffer, b"\n\n");
            }
        }
    }

    /// Allocations of the whole process while `events` events go to all streams.
    fn allocations(&mut self, events: usize) -> u64 {
        let before = dhat::HeapStats::get().total_blocks;
        self.round(events);
        dhat::HeapStats::get().total_blocks - before
    }
}

/// Reads until what was read ends with `mark`.
fn read_until(stream: &mut TcpStream, buffer: &mut [u8], mark: &[u8]) {
    let mut len = 0;
    while !buffer[..len].ends_with(mark) {
        let count = stream.read(&mut buffer[len..]).expect("more");
        assert!(count > 0, "closed");
        len += count;
    }
}

fn node() -> (Arc<Node>, ringcast::journal::Reader) {
    let settings = JournalSettings { entries: 1 << 10, ..JournalSettings::default() };
    let (journal, mut readers) = Journal::new(settings, Epoch::from_random(7), 1, 7, 1);
    let node = Node::new(
        Live {
            // No heartbeat may come between two events.
            options: Options { heartbeat_ms: 3_600_000, ..Options::default() },
            keys: Keys::single(b"a secret of thirty-two bytes or more").expect("a key"),
            rules: Rules::default(),
            publisher: Some(PublisherToken::new(TOKEN.as_bytes()).expect("a token")),
            callback: None,
        },
        journal,
        ConnectionNames::generate().expect("randomness"),
        1,
        0,
    );
    (Arc::new(node), readers.remove(0))
}

#[test]
fn a_delivery_allocates_nothing() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (node, reader) = node();
    let worker = thread::spawn({
        let node = Arc::clone(&node);
        move || {
            let settings = UringSettings { connections_max: 2_000, ..UringSettings::default() };
            let doorbells = Arc::new(Doorbells::new(1));
            let driver = UringDriver::new(&settings, vec![listener], 0, doorbells);
            Worker::new(node, 0, driver.expect("io_uring"), reader).run();
        }
    });
    let publisher = TcpStream::connect(address).expect("a connection");
    publisher.set_nodelay(true).expect("no delay");
    publisher.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let request = format!(
        "POST /publish/a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Length: 128\r\n\r\n{}",
        "x".repeat(128)
    );
    let (buffer, streams) = (vec![0; 64 << 10], Vec::with_capacity(MANY));
    let mut rig = Rig { address, streams, publisher, request: request.into_bytes(), buffer };
    rig.connect(FEW);
    rig.round(EVENTS);
    let few = rig.allocations(EVENTS);
    rig.connect(MANY);
    rig.round(EVENTS);
    let many = rig.allocations(EVENTS);
    node.advance(Phase::Stopping);
    worker.join().expect("the worker ends");
    assert!(few > 0, "publishing allocates: the counter counts");
    let per_publish = few / EVENTS as u64;
    assert!(per_publish < 60, "{per_publish} allocations for one publish");
    assert!(many <= few + SLACK, "{few} allocations for {FEW} streams, {many} for {MANY}");
}
