use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Instant;

use super::*;

const PATIENCE: Duration = Duration::from_secs(5);

fn ring(slots: u32, buffers: u16) -> ClientRing {
    let settings =
        ClientSettings { slots, submissions: 64, completions: 256, buffers, buffer_bytes: 256 };
    ClientRing::new(&settings).expect("a ring")
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    (listener, address)
}

fn next(ring: &mut ClientRing) -> ClientEvent {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(event) = ring.next() {
            return event;
        }
        assert!(Instant::now() < end, "nothing happens");
        ring.enter(Some(Duration::from_millis(50)));
    }
}

fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    let (stream, peer) = listener.accept().expect("accept");
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
    (stream, peer)
}

#[test]
fn a_connection_from_a_chosen_address_talks_and_closes() {
    let (listener, target) = listener();
    let mut ring = ring(4, 8);
    let source = IpAddr::V4(Ipv4Addr::new(127, 0, 3, 9));
    let sock = ring.open(Some(source), target).expect("a slot");
    assert_eq!(next(&mut ring), ClientEvent::Opened { sock });
    let (mut server, peer) = accept(&listener);
    assert_eq!(peer.ip(), source);

    ring.send(&mut [(sock, b"hello".as_slice())].into_iter());
    let mut got = [0; 5];
    server.read_exact(&mut got).expect("read");
    assert_eq!(&got, b"hello");

    for text in [b"one", b"two"] {
        server.write_all(text).expect("write");
        let ClientEvent::Received { sock: who, data } = next(&mut ring) else { panic!() };
        assert_eq!((who, ring.bytes(&data)), (sock, text.as_slice()));
        ring.recycle(data);
    }
    ring.close(sock, false);
    assert_eq!(next(&mut ring), ClientEvent::Closed { sock });
    assert_eq!(server.read(&mut got).expect("end of file"), 0);
    assert_eq!(ring.free(), 4);
}

#[test]
fn a_reset_is_one() {
    let (listener, target) = listener();
    let mut ring = ring(4, 8);
    let sock = ring.open(None, target).expect("a slot");
    next(&mut ring);
    let (mut server, _) = accept(&listener);
    ring.close(sock, true);
    assert_eq!(next(&mut ring), ClientEvent::Closed { sock });
    let error = server.read(&mut [0]).expect_err("reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn a_refused_connection_and_a_foreign_source_give_their_slots_back() {
    let (gone, target) = listener();
    drop(gone);
    let mut ring = ring(2, 8);
    for _ in 0..5 {
        let sock = ring.open(None, target).expect("a slot");
        let refused = ClientEvent::OpenFailed { sock, errno: libc::ECONNREFUSED };
        assert_eq!(next(&mut ring), refused);
        let sock = ring.open(Some([192, 0, 2, 1].into()), target).expect("a slot");
        let foreign = ClientEvent::OpenFailed { sock, errno: libc::EADDRNOTAVAIL };
        assert_eq!(next(&mut ring), foreign);
    }
    assert_eq!(ring.free(), 2);
}

#[test]
fn the_servers_end_is_told() {
    let (listener, target) = listener();
    let mut ring = ring(2, 8);
    let sock = ring.open(None, target).expect("a slot");
    next(&mut ring);
    drop(accept(&listener));
    assert_eq!(next(&mut ring), ClientEvent::Ended { sock, errno: 0 });
    ring.close(sock, false);
    assert_eq!(next(&mut ring), ClientEvent::Closed { sock });
}

#[test]
fn a_paused_connection_receives_nothing_until_it_goes_on() {
    let (listener, target) = listener();
    let mut ring = ring(2, 8);
    let sock = ring.open(None, target).expect("a slot");
    next(&mut ring);
    let (mut server, _) = accept(&listener);
    for round in 0..3 {
        ring.pause(sock);
        for _ in 0..10 {
            ring.enter(Some(Duration::from_millis(5)));
            assert_eq!(ring.next(), None);
        }
        server.write_all(b"held back").expect("write");
        ring.enter(Some(Duration::from_millis(50)));
        assert_eq!(ring.next(), None, "round {round}");
        ring.resume(sock);
        let ClientEvent::Received { data, .. } = next(&mut ring) else { panic!() };
        assert_eq!(ring.bytes(&data), b"held back");
        ring.recycle(data);
        // Resumed before the kernel has told of the pause.
        ring.pause(sock);
        ring.resume(sock);
        server.write_all(b"now").expect("write");
        let ClientEvent::Received { data, .. } = next(&mut ring) else { panic!() };
        assert_eq!(ring.bytes(&data), b"now");
        ring.recycle(data);
    }
    ring.pause(sock);
    ring.close(sock, true);
    assert_eq!(next(&mut ring), ClientEvent::Closed { sock });
}

/// More connections than submissions, completions and buffers: chains stay whole, nothing is lost.
#[test]
fn many_connections_share_few_buffers_and_lose_nothing() {
    const COUNT: u32 = 300;
    let (listener, target) = listener();
    let server = std::thread::spawn(move || {
        let mut streams: Vec<_> = (0..COUNT).map(|_| accept(&listener).0).collect();
        for _ in 0..3 {
            for stream in &mut streams {
                stream.write_all(&[7; 400]).expect("write");
            }
        }
        streams
    });
    let mut ring = ring(COUNT, 16);
    for n in 0..COUNT {
        let source = Ipv4Addr::from(0x7f00_0400 + n % 7);
        ring.open(Some(source.into()), target).expect("a slot");
    }
    assert!(ring.open(None, target).is_none(), "the table is full");
    let mut got: HashMap<ClientSock, usize> = HashMap::new();
    let mut opened = 0;
    while opened < COUNT || got.values().sum::<usize>() < 3 * 400 * COUNT as usize {
        match next(&mut ring) {
            ClientEvent::Opened { .. } => opened += 1,
            ClientEvent::Received { sock, data } => {
                let bytes = ring.bytes(&data);
                assert!(bytes.iter().all(|byte| *byte == 7));
                *got.entry(sock).or_default() += bytes.len();
                ring.recycle(data);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(got.values().all(|bytes| *bytes == 1200), "each got its own");
    let mut streams = server.join().expect("the server");
    for sock in got.keys() {
        ring.close(*sock, false);
    }
    for _ in 0..COUNT {
        assert!(matches!(next(&mut ring), ClientEvent::Closed { .. }));
    }
    assert_eq!(ring.free(), COUNT as usize);
    for stream in &mut streams {
        assert_eq!(stream.read(&mut [0]).expect("end of file"), 0);
    }
}
