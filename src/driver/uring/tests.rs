use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::*;
use crate::driver::Outgoing;

fn driver(settings: &UringSettings) -> (UringDriver, std::net::SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let doorbells = Arc::new(Doorbells::new(1));
    let mut driver = UringDriver::new(settings, vec![listener], 0, doorbells).unwrap();
    driver.accept_room(settings.connections_max);
    (driver, address)
}

/// Turns the driver until a completion is `wanted` and takes it out of `seen`; two seconds at most.
fn until<T>(
    driver: &mut UringDriver,
    seen: &mut Vec<Completion>,
    mut wanted: impl FnMut(&Completion) -> Option<T>,
) -> T {
    let end = Instant::now() + Duration::from_secs(2);
    loop {
        let found = seen.iter().enumerate().find_map(|(at, c)| Some((at, wanted(c)?)));
        if let Some((at, found)) = found {
            seen.remove(at);
            return found;
        }
        assert!(Instant::now() < end, "never came; seen {seen:?}");
        let wake = driver.now().mono_ms + 20;
        driver.enter(Some(wake));
        driver.completions(seen);
    }
}

fn accepted(completion: &Completion) -> Option<(Sock, std::net::SocketAddr)> {
    match completion {
        Completion::Accepted { sock, peer, .. } => Some((*sock, *peer)),
        _ => None,
    }
}

const ID: ConnId = ConnId { slot: 3, generation: 9 };

fn send(driver: &mut UringDriver, sock: Sock, bytes: &[u8]) -> Vec<Completion> {
    driver.send(&mut [Outgoing { sock, token: 5, bytes }].into_iter());
    let mut out = Vec::new();
    driver.completions(&mut out);
    out
}

#[test]
fn one_connection_from_accept_to_close() {
    let mut seen = Vec::new();
    let (mut driver, address) = driver(&UringSettings::default());
    let mut client = TcpStream::connect(address).unwrap();
    let (sock, peer) = until(&mut driver, &mut seen, accepted);
    assert_eq!(peer, client.local_addr().unwrap());

    driver.receive(sock, ID);
    client.write_all(b"hello").unwrap();
    let data = until(&mut driver, &mut seen, |c| match c {
        Completion::Received { id: ID, data } => {
            Some(Received { ring: data.ring, buffer: data.buffer, len: data.len })
        }
        _ => None,
    });
    let text = driver.received(&data).to_vec();
    driver.recycle(data);
    assert_eq!(text, b"hello");

    assert_eq!(send(&mut driver, sock, b"world"), [], "a healthy send says nothing");
    let mut buffer = [0; 5];
    client.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"world");

    driver.watch_hangup(sock, ID);
    drop(client);
    until(&mut driver, &mut seen, |c| (*c == Completion::HungUp { id: ID }).then_some(()));
    driver.shutdown(sock, Shut::Both);
    driver.close(sock, ID);
    until(&mut driver, &mut seen, |c| (*c == Completion::Closed { id: ID }).then_some(()));
}

#[test]
fn a_full_buffer_is_told_and_becomes_writable() {
    let mut seen = Vec::new();
    let (mut driver, address) = driver(&UringSettings::default());
    let mut client = TcpStream::connect(address).unwrap();
    let (sock, _) = until(&mut driver, &mut seen, accepted);
    let big = vec![b'x'; 16 << 20];
    let told = send(&mut driver, sock, &big);
    let [Completion::Sent { token: 5, result: Ok(taken) }] = told[..] else { panic!("{told:?}") };
    assert!(taken > 0 && taken < big.len());
    assert_eq!(
        send(&mut driver, sock, b"y"),
        [Completion::Sent { token: 5, result: Ok(0) }],
        "a full buffer takes nothing and says so"
    );
    driver.watch_writable(sock, ID);
    let reader = std::thread::spawn(move || {
        let mut left = taken;
        let mut buffer = vec![0; 1 << 20];
        while left > 0 {
            left -= client.read(&mut buffer).unwrap();
        }
        client
    });
    until(&mut driver, &mut seen, |c| (*c == Completion::Writable { id: ID }).then_some(()));
    reader.join().unwrap();
}

#[test]
fn without_room_clients_wait_in_the_backlog() {
    let settings = UringSettings { connections_max: 2, accepts: 8, ..UringSettings::default() };
    let mut seen = Vec::new();
    let (mut driver, address) = driver(&settings);
    let clients: Vec<_> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
    let (first, _) = until(&mut driver, &mut seen, accepted);
    until(&mut driver, &mut seen, accepted);
    let wake = driver.now().mono_ms + 50;
    driver.enter(Some(wake));
    let mut out = Vec::new();
    driver.completions(&mut out);
    assert_eq!(out, [], "the table is full");
    driver.close(first, ID);
    until(&mut driver, &mut seen, accepted);
    drop(clients);
}

#[test]
fn several_rings_hold_more_than_one_table() {
    let settings =
        UringSettings { connections_max: 9, descriptors_per_ring: 4, ..UringSettings::default() };
    let mut seen = Vec::new();
    let (mut driver, address) = driver(&settings);
    assert_eq!((driver.rings(), driver.capacity()), (3, 9));
    let mut clients: Vec<_> = (0..9).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut socks: Vec<Sock> = Vec::new();
    while socks.len() < 9 {
        socks.push(until(&mut driver, &mut seen, accepted).0);
    }
    socks.sort_by_key(|sock| sock.0);
    socks.dedup();
    assert_eq!(socks.len(), 9);
    let mut batch = socks.iter().map(|sock| Outgoing { sock: *sock, token: 0, bytes: b"all" });
    driver.send(&mut batch);
    for client in &mut clients {
        let mut buffer = [0; 3];
        client.read_exact(&mut buffer).unwrap();
        assert_eq!(&buffer, b"all");
    }
    // The last sock lives on a sibling ring: its events must wake the main one.
    let last = *socks.last().unwrap();
    driver.watch_hangup(last, ID);
    drop(clients);
    until(&mut driver, &mut seen, |c| (*c == Completion::HungUp { id: ID }).then_some(()));
}

#[test]
fn a_bell_wakes_a_sleeper() {
    let doorbells = Arc::new(Doorbells::new(1));
    let bells = Arc::clone(&doorbells);
    let (ready, wait) = std::sync::mpsc::channel();
    let sleeper = std::thread::spawn(move || {
        let mut driver = UringDriver::new(&UringSettings::default(), Vec::new(), 0, bells).unwrap();
        ready.send(()).unwrap();
        let wake = driver.now().mono_ms + 5_000;
        driver.enter(Some(wake));
        let mut out = Vec::new();
        driver.completions(&mut out);
        out
    });
    wait.recv().unwrap();
    crate::driver::ControlBell::new().unwrap().ring(&doorbells, 0);
    assert_eq!(sleeper.join().unwrap(), [Completion::Doorbell]);
}
