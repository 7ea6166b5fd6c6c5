//! The driver against real sockets on loopback.

mod accepting;
mod rings;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;

const PATIENCE: Duration = Duration::from_secs(5);

fn small() -> UringSettings {
    UringSettings {
        connections_max: 64,
        receive_buffers: 8,
        sibling_receive_buffers: 8,
        receive_buffer_bytes: 512,
        accepts_in_flight: 8,
        ..UringSettings::default()
    }
}

struct Bench {
    driver: UringDriver,
    addresses: Vec<SocketAddr>,
    seen: Vec<Completion>,
}

impl Bench {
    fn new(settings: UringSettings) -> Self {
        Self::with(settings, vec![TcpListener::bind("127.0.0.1:0").expect("a free port")])
    }

    fn with(settings: UringSettings, listeners: Vec<TcpListener>) -> Self {
        let addresses = listeners.iter().map(|l| l.local_addr().expect("bound")).collect();
        let doorbells = Arc::new(Doorbells::new(1));
        let mut driver = UringDriver::new(&settings, listeners, 0, doorbells).expect("a driver");
        driver.accept_room(settings.connections_max);
        Self { driver, addresses, seen: Vec::new() }
    }

    fn client(&self) -> TcpStream {
        let client = TcpStream::connect(self.addresses[0]).expect("connect");
        client.set_read_timeout(Some(PATIENCE)).expect("timeout");
        client
    }

    /// Turns until a completion satisfies `wanted`; takes it out of those seen.
    fn until(&mut self, what: &str, wanted: impl Fn(&Completion) -> bool) -> Completion {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.seen.iter().position(&wanted) {
                return self.seen.remove(at);
            }
            assert!(Instant::now() < end, "no {what}; seen {:?}", self.seen);
            self.turn(20);
        }
    }

    fn turn(&mut self, ms: u64) {
        let until = self.driver.now().mono_ms + ms;
        self.driver.enter(Some(until));
        self.driver.completions(&mut self.seen);
    }

    fn turns(&mut self, ms: u64) {
        let end = Instant::now() + Duration::from_millis(ms);
        while Instant::now() < end {
            self.turn(5);
        }
    }

    fn accepted(&mut self) -> (Sock, SocketAddr) {
        match self.until("accept", |c| matches!(c, Completion::Accepted { .. })) {
            Completion::Accepted { sock, peer, .. } => (sock, peer),
            other => panic!("{other:?}"),
        }
    }

    fn pair(&mut self) -> (Sock, TcpStream) {
        let client = self.client();
        let (sock, peer) = self.accepted();
        assert_eq!(peer, client.local_addr().expect("connected"));
        (sock, client)
    }

    fn received(&mut self, who: ConnId) -> Vec<u8> {
        let got =
            self.until("receive", |c| matches!(c, Completion::Received { id, .. } if *id == who));
        let Completion::Received { data, .. } = got else { panic!("{got:?}") };
        let bytes = self.driver.received(&data).to_vec();
        self.driver.recycle(data);
        bytes
    }

    fn send(&mut self, sock: Sock, bytes: &[u8]) {
        self.driver.send(&mut std::iter::once(Outgoing { sock, token: 77, bytes }));
    }

    fn sent(&mut self) -> Result<usize, i32> {
        match self.until("sent", |c| matches!(c, Completion::Sent { .. })) {
            Completion::Sent { token: 77, result } => result,
            other => panic!("{other:?}"),
        }
    }

    fn close(&mut self, sock: Sock, id: ConnId) {
        self.driver.close(sock, id);
        self.until("closed", |c| *c == Completion::Closed { id });
    }
}

fn id(slot: u32) -> ConnId {
    ConnId { slot, generation: slot + 100 }
}

#[test]
fn a_connection_lives_from_accept_to_close() {
    let mut bench = Bench::new(small());
    let (sock, mut client) = bench.pair();
    bench.driver.watch_hangup(sock, id(1));
    bench.driver.receive(sock, id(1));
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("write");
    assert_eq!(bench.received(id(1)), b"GET / HTTP/1.1\r\n\r\n");

    bench.send(sock, b"hello");
    let mut got = [0; 5];
    client.read_exact(&mut got).expect("read");
    assert_eq!(&got, b"hello");
    bench.turns(20);
    assert_eq!(bench.seen, [], "a healthy send says nothing");

    client.shutdown(Shutdown::Write).expect("half-close");
    bench.until("hang-up", |c| *c == Completion::HungUp { id: id(1) });
    bench.driver.receive(sock, id(1));
    bench.until("end", |c| *c == Completion::ReceiveEnded { id: id(1), errno: 0 });
    assert_eq!(bench.driver.open(), 1);
    bench.close(sock, id(1));
    assert_eq!(bench.driver.open(), 0);
    assert_eq!(client.read(&mut got).expect("end of file"), 0);
}

#[test]
fn our_own_shutdown_retires_what_is_armed() {
    let mut bench = Bench::new(small());
    let (sock, mut client) = bench.pair();
    bench.driver.watch_hangup(sock, id(3));
    bench.driver.receive(sock, id(3));
    bench.turns(10);
    bench.driver.shutdown(sock, Shut::Both);
    bench.until("hang-up", |c| *c == Completion::HungUp { id: id(3) });
    bench.until("end", |c| matches!(c, Completion::ReceiveEnded { id: who, .. } if *who == id(3)));
    bench.close(sock, id(3));
    assert_eq!(client.read(&mut [0; 1]).expect("end of file"), 0);
}

#[test]
fn a_half_closed_socket_still_delivers_what_was_queued() {
    let mut bench = Bench::new(small());
    let (sock, mut client) = bench.pair();
    bench.send(sock, b"bye");
    bench.driver.shutdown(sock, Shut::Write);
    bench.driver.close(sock, id(1));
    bench.until("closed", |c| *c == Completion::Closed { id: id(1) });
    let mut all = Vec::new();
    client.read_to_end(&mut all).expect("read to the end");
    assert_eq!(all, b"bye");
}

/// shutdown runs on a kernel worker which looks its descriptor up late: closed in the same turn,
/// it would hit whoever gets the slot next.
#[test]
fn a_shutdown_never_hits_the_next_owner_of_the_slot() {
    let mut bench =
        Bench::new(UringSettings { connections_max: 2, accepts_in_flight: 2, ..small() });
    for round in 0..200 {
        let (sock, _client) = bench.pair();
        bench.driver.shutdown(sock, Shut::Both);
        bench.driver.close(sock, id(round));
        bench.driver.accept_room(2);
        let (next, mut other) = bench.pair();
        bench.until("closed", |c| *c == Completion::Closed { id: id(round) });
        bench.send(next, b"alive");
        let mut got = [0; 5];
        other.read_exact(&mut got).expect("the next owner is untouched");
        bench.close(next, id(round));
        bench.driver.accept_room(2);
    }
}

#[test]
fn a_full_send_buffer_gives_a_short_count_then_nothing_then_room() {
    let mut bench = Bench::new(small());
    let (sock, mut client) = bench.pair();
    let big = vec![b'x'; 64 << 20];
    bench.send(sock, &big);
    let first = bench.sent().expect("a count");
    assert!(0 < first && first < big.len(), "{first}");
    let mut sent = first;
    // The kernel may find a little more room while the client's side is being filled.
    let full = Instant::now() + PATIENCE;
    loop {
        bench.send(sock, &big[..1 << 20]);
        match bench.sent() {
            Ok(0) => break,
            Ok(more) => sent += more,
            Err(errno) => panic!("errno {errno}"),
        }
        assert!(Instant::now() < full);
    }
    bench.driver.watch_writable(sock, id(9));
    bench.turns(30);
    assert_eq!(bench.seen, [], "no room yet");
    let mut got = 0;
    let mut buffer = vec![0; 1 << 20];
    while got < sent {
        got += client.read(&mut buffer).expect("read");
    }
    assert_eq!(got, sent, "exactly the counted bytes arrived");
    bench.until("room", |c| *c == Completion::Writable { id: id(9) });
    bench.close(sock, id(9));
}

/// The worker reads the outcome of its sends before it plans the next ones.
#[test]
fn short_sends_are_told_without_another_enter() {
    let settings = UringSettings { connections_max: 40, descriptors_per_ring: 16, ..small() };
    let mut bench = Bench::new(settings);
    let peers: Vec<_> = (0..40).map(|_| bench.pair()).collect();
    let big = vec![b'x'; 16 << 20];
    let mut batch = (0..).zip(&peers).map(|(token, (sock, _))| {
        let bytes = if token % 2 == 0 { &big[..] } else { b"small" };
        Outgoing { sock: *sock, token, bytes }
    });
    bench.driver.send(&mut batch);
    bench.driver.completions(&mut bench.seen);
    let mut told: Vec<_> = bench
        .seen
        .iter()
        .map(|c| match c {
            Completion::Sent { token, result: Ok(1..) } => *token,
            other => panic!("{other:?}"),
        })
        .collect();
    told.sort_unstable();
    assert_eq!(told, (0..40).step_by(2).collect::<Vec<_>>());
}

#[test]
fn a_lost_peer_is_noticed_by_the_second_send() {
    let mut bench = Bench::new(small());
    let (sock, client) = bench.pair();
    drop(client);
    std::thread::sleep(Duration::from_millis(20));
    bench.send(sock, b"first");
    bench.turns(20);
    assert_eq!(bench.seen, [], "the first send still succeeds");
    bench.send(sock, b"second");
    assert_eq!(bench.sent(), Err(libc::EPIPE));
    bench.close(sock, id(1));
}

#[test]
fn receives_wait_for_a_buffer_and_lose_nothing() {
    let mut bench = Bench::new(UringSettings { receive_buffers: 2, ..small() });
    let mut peers: Vec<_> = (0..6).map(|n| (n, bench.pair())).collect();
    for (n, (sock, client)) in &mut peers {
        bench.driver.receive(*sock, id(*n));
        client.write_all(&[b'a' + u8::try_from(*n).expect("small")]).expect("write");
    }
    bench.turns(30);
    let mut held = Vec::new();
    let mut got = Vec::new();
    for _ in 0..6 {
        let next = bench.until("receive", |c| matches!(c, Completion::Received { .. }));
        let Completion::Received { id, data } = next else { panic!() };
        got.push((id.slot, bench.driver.received(&data).to_vec()));
        held.push(data);
        if held.len() == 2 {
            bench.turns(10);
            assert_eq!(bench.seen, [], "both buffers are held");
            for data in held.drain(..) {
                bench.driver.recycle(data);
            }
        }
    }
    got.sort();
    let expected: Vec<_> = (0..6).map(|n: u8| (u32::from(n), vec![b'a' + n])).collect();
    assert_eq!(got, expected);
    assert!(bench.driver.counts().buffers_exhausted >= 4);
}

#[test]
fn plain_descriptors_do_the_same() {
    let settings = UringSettings { descriptors: Descriptors::Plain, ..small() };
    let mut bench = Bench::new(settings);
    let (sock, mut client) = bench.pair();
    bench.driver.watch_hangup(sock, id(1));
    bench.driver.receive(sock, id(1));
    client.write_all(b"ping").expect("write");
    assert_eq!(bench.received(id(1)), b"ping");
    bench.send(sock, b"pong");
    let mut got = [0; 4];
    client.read_exact(&mut got).expect("read");
    assert_eq!(&got, b"pong");
    bench.driver.shutdown(sock, Shut::Both);
    bench.until("hang-up", |c| *c == Completion::HungUp { id: id(1) });
    bench.close(sock, id(1));
    assert_eq!(client.read(&mut got).expect("end of file"), 0);
}
