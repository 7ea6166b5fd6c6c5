//! Room, several listeners, pauses, the end.

use super::*;

#[test]
fn clients_beyond_the_room_wait_in_the_backlog() {
    let mut bench = Bench::new(small());
    bench.driver.accept_room(3);
    let clients: Vec<_> = (0..8).map(|_| bench.client()).collect();
    bench.turns(50);
    let accepted = |bench: &Bench| {
        bench.seen.iter().filter(|c| matches!(c, Completion::Accepted { .. })).count()
    };
    assert_eq!(accepted(&bench), 3);
    bench.driver.accept_room(0);
    bench.turns(30);
    assert_eq!(accepted(&bench), 3);
    bench.driver.accept_room(5);
    bench.turns(50);
    assert_eq!(accepted(&bench), 8);
    drop(clients);
}

#[test]
fn room_taken_back_is_not_given_away() {
    let mut bench = Bench::new(small());
    bench.turns(10);
    bench.driver.accept_room(0);
    bench.turns(20);
    let _waiting = bench.client();
    bench.turns(30);
    assert_eq!(bench.seen, [], "the accepts in flight were cancelled");
    bench.driver.accept_room(1);
    bench.accepted();
}

#[test]
fn two_listeners_are_told_apart_and_peers_shown() {
    let v4 = TcpListener::bind("127.0.0.1:0").expect("v4");
    let Ok(v6) = TcpListener::bind("[::1]:0") else { return };
    let mut bench = Bench::with(small(), vec![v4, v6]);
    let one = TcpStream::connect(bench.addresses[1]).expect("v6");
    let two = TcpStream::connect(bench.addresses[0]).expect("v4");
    for (number, client) in [(1, one), (0, two)] {
        let from = client.local_addr().expect("bound");
        bench.until(
            "accept",
            |c| matches!(c, Completion::Accepted { peer, listener, .. } if *peer == from && *listener == number),
        );
    }
}

fn stop_with_clients_waiting(descriptors: Descriptors) {
    let settings = UringSettings { accepts_in_flight: 2, descriptors, ..small() };
    let mut bench = Bench::new(settings);
    bench.driver.accept_room(0);
    bench.turns(10);
    let mut clients: Vec<_> = (0..9).map(|_| bench.client()).collect();
    bench.driver.accept_room(64);
    bench.driver.stop_accepting();
    let mut socks = Vec::new();
    for _ in 0..9 {
        socks.push(bench.accepted().0);
    }
    bench.turns(20);
    assert!(TcpStream::connect(bench.addresses[0]).is_err(), "the port is closed");
    for (n, sock) in socks.iter().enumerate() {
        bench.send(*sock, &[u8::try_from(n).expect("small")]);
    }
    let mut got = [0; 9];
    for (client, place) in clients.iter_mut().zip(&mut got) {
        client.read_exact(std::slice::from_mut(place)).expect("nobody was reset");
    }
    got.sort_unstable();
    assert_eq!(got, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    for sock in socks {
        bench.close(sock, id(1));
    }
}

#[test]
fn stopping_takes_the_backlog_and_closes_the_listeners() {
    stop_with_clients_waiting(Descriptors::Direct);
    stop_with_clients_waiting(Descriptors::Plain);
}

#[test]
fn stopping_while_accepts_wait_closes_the_port() {
    let mut bench = Bench::new(small());
    bench.turns(10);
    bench.driver.stop_accepting();
    bench.turns(20);
    assert!(TcpStream::connect(bench.addresses[0]).is_err());
    assert_eq!(bench.seen, []);
}

#[test]
fn stopping_without_room_closes_the_port_too() {
    let mut bench = Bench::new(small());
    bench.driver.accept_room(0);
    bench.turns(10);
    bench.driver.stop_accepting();
    bench.turns(20);
    assert!(TcpStream::connect(bench.addresses[0]).is_err());
}

/// A table smaller than believed: the kernel answers ENFILE, as it does when the system is out
/// of files.
#[test]
fn failing_accepts_pause_instead_of_spinning() {
    let mut bench = Bench::new(UringSettings {
        connections_max: 2,
        accepts_in_flight: 1,
        accept_pause_ms: 50,
        accept_pause_max_ms: 100,
        ..small()
    });
    let _full = [bench.pair(), bench.pair()];
    bench.driver.banks[0].live = 0;
    bench.driver.accept_room(2);
    let started = Instant::now();
    let _clients: Vec<_> = (0..20).map(|_| bench.client()).collect();
    let enters = bench.driver.counts().enters;
    bench.turn(5);
    while started.elapsed() < Duration::from_millis(600) {
        let until = bench.driver.now().mono_ms + 200;
        bench.driver.enter(Some(until));
        bench.driver.completions(&mut bench.seen);
    }
    let failures: Vec<_> =
        bench.seen.iter().filter(|c| matches!(c, Completion::AcceptFailed { .. })).collect();
    // 50 ms, then 100 ms each: seven pauses fit in.
    assert!((4..=8).contains(&failures.len()), "{failures:?}");
    assert_eq!(failures[0], &Completion::AcceptFailed { listener: 0, errno: libc::ENFILE });
    assert!(bench.driver.counts().enters - enters < 100);
}
