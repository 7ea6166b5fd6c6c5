//! Several rings, doorbells, bursts, the end of a driver.

use super::*;
use crate::driver::ControlBell;

#[test]
fn connections_beyond_one_table_go_to_sibling_rings() {
    fill_forty(16, 3);
}

/// The kernel registers only 16 ring fds of a thread.
#[test]
fn more_rings_than_a_thread_may_register_work_too() {
    fill_forty(2, 20);
}

fn fill_forty(descriptors_per_ring: usize, rings: u64) {
    let settings = UringSettings { connections_max: 40, descriptors_per_ring, ..small() };
    let mut bench = Bench::new(settings);
    assert_eq!(bench.driver.capacity(), 40);
    let mut peers: Vec<_> = (0..40).map(|n| (id(n), bench.pair())).collect();
    assert_eq!(bench.driver.counts().rings, rings);
    assert_eq!(bench.driver.open(), 40);
    let extra = bench.client();
    bench.turns(20);
    assert_eq!(bench.seen, [], "the forty-first waits");
    for (who, (sock, client)) in &mut peers {
        bench.driver.watch_hangup(*sock, *who);
        bench.driver.receive(*sock, *who);
        client.write_all(&who.slot.to_be_bytes()).expect("write");
    }
    for (who, _) in &peers {
        assert_eq!(bench.received(*who), who.slot.to_be_bytes());
    }
    let bytes: Vec<_> = peers.iter().map(|(who, _)| who.slot.to_le_bytes()).collect();
    let mut batch = peers.iter().zip(&bytes).map(|((_, (sock, _)), bytes)| Outgoing {
        sock: *sock,
        token: 1,
        bytes,
    });
    bench.driver.send(&mut batch);
    for (who, (_, client)) in &mut peers {
        let mut got = [0; 4];
        client.read_exact(&mut got).expect("read");
        assert_eq!(got, who.slot.to_le_bytes());
    }
    for (who, (sock, client)) in peers {
        drop(client);
        bench.until("hang-up", |c| *c == Completion::HungUp { id: who });
        bench.close(sock, who);
    }
    bench.driver.accept_room(40);
    drop(extra);
    bench.accepted();
    assert_eq!(bench.driver.open(), 1);
}

#[test]
fn a_sleeper_in_the_main_ring_hears_a_sibling_at_once() {
    let mut bench =
        Bench::new(UringSettings { connections_max: 2, descriptors_per_ring: 1, ..small() });
    let pairs = [bench.pair(), bench.pair()];
    let (sock, client) =
        pairs.iter().find(|(sock, _)| place(*sock).0 == 1).expect("one of two lives in a sibling");
    let sock = *sock;
    let mut worst = Duration::ZERO;
    for round in 0..20 {
        bench.driver.receive(sock, id(round));
        bench.turn(1);
        let mut other: TcpStream = client.try_clone().expect("clone");
        let writer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(10));
            let now = Instant::now();
            other.write_all(b"x").expect("write");
            now
        });
        let until = bench.driver.now().mono_ms + 2_000;
        bench.driver.enter(Some(until));
        let woken = Instant::now();
        bench.driver.completions(&mut bench.seen);
        assert_eq!(bench.received(id(round)), b"x");
        worst = worst.max(woken.saturating_duration_since(writer.join().expect("writer")));
    }
    assert!(worst < Duration::from_millis(500), "{worst:?}");
    // And it does not keep waking for what was heard already.
    bench.turns(20);
    let enters = bench.driver.counts().enters;
    bench.turn(300);
    let enters = bench.driver.counts().enters - enters;
    assert!(enters < 10, "{enters} enters in an idle sleep");
}

#[test]
fn a_doorbell_wakes_a_sleeping_worker_on_another_thread() {
    let doorbells = Arc::new(Doorbells::new(2));
    let theirs = Arc::clone(&doorbells);
    let (ready, started) = std::sync::mpsc::channel();
    let sleeper = std::thread::spawn(move || {
        let mut driver = UringDriver::new(&small(), vec![], 1, theirs).expect("a driver");
        ready.send(()).expect("the other side lives");
        let mut seen = Vec::new();
        for _ in 0..2 {
            let start = Instant::now();
            let until = driver.now().mono_ms + 5_000;
            driver.enter(Some(until));
            assert!(start.elapsed() < Duration::from_secs(4), "woken, not timed out");
            driver.completions(&mut seen);
        }
        seen
    });
    started.recv().expect("started");
    let mut driver = UringDriver::new(&small(), vec![], 0, Arc::clone(&doorbells)).expect("driver");
    std::thread::sleep(Duration::from_millis(30));
    for _ in 0..5 {
        driver.ring(1);
    }
    assert_eq!(driver.counts().doorbells, 1, "rings of one turn are one message");
    driver.enter(None);
    std::thread::sleep(Duration::from_millis(30));
    let mut bell = ControlBell::new().expect("a bell");
    assert!(bell.ring(&doorbells, 1));
    let seen = sleeper.join().expect("the sleeper");
    assert_eq!(seen, [Completion::Doorbell, Completion::Doorbell]);
    assert!(!bell.ring(&doorbells, 1), "nobody is home any more");
}

#[test]
fn a_burst_of_completions_is_fetched_in_one_turn() {
    let mut bench =
        Bench::new(UringSettings { connections_max: 200, receive_buffers: 256, ..small() });
    let mut peers: Vec<_> = (0..150).map(|n| (n, bench.pair())).collect();
    for (n, (sock, _)) in &peers {
        bench.driver.receive(*sock, id(*n));
    }
    bench.turn(1);
    for (_, (_, client)) in &mut peers {
        client.write_all(b"now").expect("write");
    }
    std::thread::sleep(Duration::from_millis(20));
    bench.turn(1000);
    let got = bench.seen.iter().filter(|c| matches!(c, Completion::Received { .. })).count();
    assert_eq!(got, 150);
}

#[test]
fn a_small_completion_queue_overflows_and_loses_nothing() {
    let settings = UringSettings {
        connections_max: 200,
        submissions: 8,
        completions: 8,
        receive_buffers: 256,
        ..small()
    };
    let mut bench = Bench::new(settings);
    let peers: Vec<_> = (0..100).map(|_| bench.pair()).collect();
    // A failing send posts its completion at once, so a hundred at once overflow eight places.
    for (sock, _) in &peers {
        bench.driver.shutdown(*sock, Shut::Write);
    }
    bench.turns(30);
    bench.seen.clear();
    let mut batch =
        peers.iter().map(|(sock, _)| Outgoing { sock: *sock, token: 5, bytes: b"late" });
    bench.driver.send(&mut batch);
    bench.driver.completions(&mut bench.seen);
    let failed = Completion::Sent { token: 5, result: Err(libc::EPIPE) };
    assert_eq!(bench.seen.iter().filter(|c| **c == failed).count(), 100);
    assert!(bench.driver.counts().overflows > 0);
}

/// Rings are counted, because other tests open sockets at the same time; these have a few rings
/// each, a leak would leave two hundred.
#[test]
fn a_dropped_driver_gives_everything_back() {
    let rings = || {
        let entries = std::fs::read_dir("/proc/self/fd").expect("descriptors");
        entries
            .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
            .filter(|target| target.to_string_lossy().contains("io_uring"))
            .count()
    };
    let before = rings();
    for _ in 0..100 {
        let mut bench =
            Bench::new(UringSettings { connections_max: 2, descriptors_per_ring: 1, ..small() });
        let (sock, mut client) = bench.pair();
        bench.driver.receive(sock, id(1));
        let _second = bench.pair();
        bench.turn(1);
        drop(bench);
        // (The ring's end may interrupt a read of this thread: read_to_end goes on.)
        let end = client.read_to_end(&mut Vec::new());
        assert!(matches!(end, Ok(0)), "the socket was closed with its ring: {end:?}");
    }
    let after = rings();
    assert!(after < before + 100, "{before} rings before, {after} after");
}
