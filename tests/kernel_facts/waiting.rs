//! Sleeping, waking, draining.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use io_uring::types::{Fd, TimeoutFlags, Timespec};
use io_uring::{cqueue, opcode};
use ringcast::driver::sys::bell::eventfd;

use crate::rig::{Rig, fd};

/// So many sockets with a watch for input each, submitted.
fn watched(rig: &mut Rig, count: u64) -> Vec<(UnixStream, UnixStream)> {
    let pairs: Vec<_> = (0..count).map(|_| UnixStream::pair().expect("socketpair")).collect();
    for (n, (ours, _)) in (0..).zip(&pairs) {
        rig.poll(fd(ours), libc::POLLIN, n);
    }
    pairs
}

fn poke(pair: &(UnixStream, UnixStream)) {
    use std::io::Write;
    (&pair.1).write_all(b"x").expect("write");
}

/// Runs the closure after 20 ms on another thread; returns when it began.
fn later<T: Send + 'static>(
    what: impl FnOnce() -> T + Send + 'static,
) -> std::thread::JoinHandle<(Instant, T)> {
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        let began = Instant::now();
        (began, what())
    })
}

#[test]
fn one_enter_runs_twenty_deferred_completions_unless_it_asks_for_more() {
    let mut rig = Rig::new(1024);
    let pairs = watched(&mut rig, 200);
    pairs.iter().for_each(poke);
    let first = rig.wait(1, Duration::from_secs(1)).len();
    assert_eq!(first, 20, "the driver drains when it has seen 16 or more");
    let rest = rig.wait(1024, Duration::ZERO).len();
    assert_eq!(rest, 180, "a large count with no time runs all");
}

/// An absolute timeout ends a later sleep that has no time of its own, also after other sleeps.
#[test]
fn an_alarm_stays_armed_over_many_sleeps() {
    let mut rig = Rig::new(256);
    let begin = Instant::now();
    let now = ringcast::driver::sys::mono_ms();
    let until = Duration::from_millis(now + 200);
    let at = Timespec::from(until);
    let alarm = opcode::Timeout::new(&raw const at).flags(TimeoutFlags::ABS).build();
    // SAFETY: the kernel copies the time when it takes the entry, before `at` goes.
    unsafe { rig.push(&alarm, 99) };
    rig.submit();
    let pairs = watched(&mut rig, 3);
    for pair in &pairs {
        poke(pair);
        let done = rig.wait(1, Duration::from_secs(1));
        assert!(done.len() == 1 && done[0].0 != 99, "too early: {done:?}");
    }
    rig.ring.submit_and_wait(1).expect("a sleep without a time");
    let (data, result, _) = rig.ready()[0];
    assert_eq!((data, result), (99, -libc::ETIME));
    assert!(begin.elapsed() >= Duration::from_millis(190), "{:?}", begin.elapsed());
}

#[test]
fn sleeping_for_many_holds_up_a_lone_event() {
    let mut rig = Rig::new(256);
    let mut pairs = watched(&mut rig, 2);
    let (one, two) = (pairs.remove(0), pairs.remove(0));
    let poked = later(move || {
        poke(&one);
        one
    });
    let got = rig.wait(256, Duration::from_millis(150)).len();
    let woken = Instant::now();
    let (began, _one) = poked.join().expect("poke");
    assert_eq!(got, 1);
    assert!(woken - began > Duration::from_millis(80), "it came only with the timeout");

    let poked = later(move || {
        poke(&two);
        two
    });
    let got = rig.wait(1, Duration::from_secs(5)).len();
    let woken = Instant::now();
    let (began, _two) = poked.join().expect("poke");
    assert_eq!(got, 1);
    assert!(woken - began < Duration::from_secs(1), "a sleep for one ends at once");
}

#[test]
fn a_message_wakes_a_sleeping_ring() {
    let (tell, told) = mpsc::channel();
    let sleeper = std::thread::spawn(move || {
        let mut rig = Rig::new(256);
        tell.send(rig.ring.as_raw_fd()).expect("the test lives");
        (rig.wait(1, Duration::from_secs(5)), Instant::now())
    });
    let door = told.recv().expect("a ring");
    std::thread::sleep(Duration::from_millis(20));
    let mut rig = Rig::new(256);
    let entry = opcode::MsgRingData::new(Fd(door), 5, 777, None).build();
    rig.ask(entry, 1);
    let began = Instant::now();
    assert!(matches!(rig.wait(1, Duration::from_secs(1))[..], [(1, 0, _)]));
    let (done, woken) = sleeper.join().expect("the sleeper");
    assert!(matches!(done[..], [(777, 5, _)]), "{done:?}");
    assert!(woken.saturating_duration_since(began) < Duration::from_secs(1));
}

#[test]
fn polling_a_deferred_ring_does_not_wake_but_its_eventfd_does() {
    let mut main = Rig::new(256);
    let mut sibling = Rig::new(256);
    let pairs = watched(&mut sibling, 3);
    main.poll(sibling.ring.as_raw_fd(), libc::POLLIN, 1);
    // The first poll of such a ring switches its wake-ups on by task work, which itself wakes.
    assert_eq!(main.settle(), []);
    poke(&pairs[0]);
    assert_eq!(main.settle(), [], "the ring's own fd does not become readable");
    assert_eq!(sibling.wait(1, Duration::ZERO).len(), 1, "though work was pending");
    // Now it does: a completion has been posted.
    main.wait(1, Duration::ZERO);

    let eventfd = eventfd().expect("eventfd");
    sibling.ring.submitter().register_eventfd(eventfd.as_raw_fd()).expect("register");
    let events = u32::from(libc::POLLIN.cast_unsigned());
    let watch = opcode::PollAdd::new(Fd(eventfd.as_raw_fd()), events).multi(true).build();
    main.ask(watch, 2);
    main.submit();
    poke(&pairs[1]);
    let done = main.wait(1, Duration::from_secs(5));
    let [(2, _, flags)] = done[..] else { panic!("{done:?}") };
    assert!(!cqueue::more(flags), "a ring's signal ends even a repeating poll");
    assert_eq!(sibling.wait(1, Duration::ZERO).len(), 1);

    // It must be read before it is watched again.
    let watch = opcode::PollAdd::new(Fd(eventfd.as_raw_fd()), events).build();
    main.ask(watch.clone(), 3);
    assert_eq!(main.settle().len(), 1, "still readable");
    let mut eventfd = File::from(eventfd);
    eventfd.read_exact(&mut [0; 8]).expect("a count");
    main.ask(watch, 4);
    assert_eq!(main.settle(), []);
    poke(&pairs[2]);
    assert_eq!(main.wait(1, Duration::from_secs(5)).len(), 1);
}

#[test]
fn an_overflown_queue_keeps_everything() {
    let mut rig = Rig::new(64);
    for n in 0..300 {
        rig.ask(opcode::Nop::new().build(), n);
    }
    rig.submit();
    assert!(rig.ring.submission().cq_overflow());
    let mut seen = Vec::new();
    loop {
        let more = rig.wait(64, Duration::ZERO);
        if more.is_empty() {
            break;
        }
        seen.extend(more.into_iter().map(|(data, ..)| data));
    }
    assert_eq!(seen, (0..300).collect::<Vec<_>>(), "all of them, in order");
}
