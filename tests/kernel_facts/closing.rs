//! Hang-ups, shutdown, close, cancel.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use io_uring::types::{CancelBuilder, DestinationSlot, Fd, Fixed};
use io_uring::{cqueue, opcode};

use crate::rig::{Rig, client_of, fd, listener, pair};

const PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn the_hang_up_watch_ignores_data_and_fires_once_on_fin() {
    let (server, mut client) = pair();
    let mut rig = Rig::new(256);
    rig.poll(fd(&server), libc::POLLRDHUP, 1);
    client.write_all(b"chatter").expect("write");
    assert_eq!(rig.settle(), []);
    client.shutdown(Shutdown::Write).expect("half-close");
    let done = rig.wait(1, PATIENCE);
    let [(1, events, flags)] = done[..] else { panic!("{done:?}") };
    assert_ne!(events & i32::from(libc::POLLRDHUP), 0);
    assert!(!cqueue::more(flags), "gone by itself");
}

#[test]
fn the_hang_up_watch_fires_on_a_reset() {
    let (server, client) = pair();
    let mut rig = Rig::new(256);
    rig.poll(fd(&server), libc::POLLRDHUP, 1);
    socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).expect("linger");
    drop(client);
    assert_eq!(rig.wait(1, PATIENCE).len(), 1);
}

#[test]
fn our_own_shutdown_retires_the_hang_up_watch() {
    let (server, _client) = pair();
    let mut rig = Rig::new(256);
    rig.poll(fd(&server), libc::POLLRDHUP, 1);
    server.shutdown(Shutdown::Both).expect("shutdown");
    let done = rig.wait(1, PATIENCE);
    assert!(matches!(done[..], [(1, _, flags)] if !cqueue::more(flags)), "{done:?}");
}

/// Registers the server end as entry 0 of a direct table, its plain descriptor closed.
fn direct(rig: &mut Rig, server: TcpStream) {
    rig.ring.submitter().register_files(&[fd(&server)]).expect("register");
}

/// A receive with a buffer that lives for ever.
fn receive(rig: &mut Rig, data: u64) {
    let buffer: &'static mut [u8] = vec![0; 64].leak();
    let entry = opcode::Recv::new(Fixed(0), buffer.as_mut_ptr(), 64).build();
    // SAFETY: the buffer is leaked.
    unsafe { rig.push(&entry, data) };
    rig.submit();
}

#[test]
fn a_close_with_a_receive_in_flight_sends_no_fin() {
    let (server, mut client) = pair();
    let mut rig = Rig::new(256);
    direct(&mut rig, server);
    receive(&mut rig, 1);
    rig.ask(opcode::Close::new(Fixed(0)).build(), 2);
    assert!(matches!(rig.wait(1, PATIENCE)[..], [(2, 0, _)]), "closed, so it says");
    client.set_read_timeout(Some(Duration::from_millis(150))).expect("timeout");
    let silence = client.read(&mut [0]).expect_err("the peer is not told");
    assert_eq!(silence.kind(), std::io::ErrorKind::WouldBlock);
    client.write_all(b"ghost").expect("write");
    assert!(matches!(rig.wait(1, PATIENCE)[..], [(1, 5, _)]), "and the receive still completes");
}

#[test]
fn shutdown_then_the_completions_then_close_tells_the_peer_at_once() {
    let (server, mut client) = pair();
    let mut rig = Rig::new(256);
    direct(&mut rig, server);
    receive(&mut rig, 1);
    rig.ask(opcode::Shutdown::new(Fixed(0), libc::SHUT_RDWR).build(), 2);
    let mut done = Vec::new();
    while done.len() < 2 {
        let more = rig.wait(1, PATIENCE);
        assert!(!more.is_empty(), "{done:?}");
        done.extend(more.into_iter().map(|(data, result, _)| (data, result)));
    }
    done.sort_unstable();
    assert_eq!(done, [(1, 0), (2, 0)], "the receive ends with end-of-file");
    rig.ask(opcode::Close::new(Fixed(0)).build(), 3);
    assert!(matches!(rig.wait(1, PATIENCE)[..], [(3, 0, _)]));
    assert_eq!(client.read(&mut [0]).expect("end of file"), 0);
}

/// Why the driver holds a close back until the shutdown has completed.
#[test]
fn shutdown_looks_its_descriptor_up_after_the_enter() {
    let mut hit = false;
    for _ in 0..50 {
        let (first, _first_client) = pair();
        let (second, _second_client) = pair();
        let mut rig = Rig::new(256);
        direct(&mut rig, first);
        rig.ask(opcode::Shutdown::new(Fixed(0), libc::SHUT_RDWR).build(), 1);
        rig.ask(opcode::Close::new(Fixed(0)).build(), 2);
        rig.submit();
        let fds = [fd(&second)];
        let _ = rig.ring.submitter().register_files_update(0, &fds);
        let mut done = Vec::new();
        while done.len() < 2 {
            done.extend(rig.wait(1, PATIENCE));
        }
        let shutdown = done.iter().find(|(data, ..)| *data == 1).expect("completed").1;
        // EBADF: the slot was empty when it looked. 0 with the second socket shut: worse.
        let wrong = shutdown == 0 && (&second).write(b"x").is_err();
        hit |= wrong || shutdown == -libc::EBADF;
    }
    assert!(hit, "a shutdown in the same enter as a close always won: the driver may stop waiting");
}

#[test]
fn a_cancelled_accept_may_have_succeeded() {
    let listener = listener();
    let mut rig = Rig::new(256);
    rig.ring.submitter().register_files_sparse(8).expect("table");
    let slot = DestinationSlot::auto_target();
    let entry = opcode::Accept::new(Fd(fd(&listener)), std::ptr::null_mut(), std::ptr::null_mut())
        .file_index(Some(slot))
        .build();
    rig.ask(entry, 1);
    rig.submit();
    let mut client = client_of(&listener);
    rig.ask(opcode::AsyncCancel2::new(CancelBuilder::user_data(1)).build(), 2);
    let mut done = rig.wait(2, PATIENCE);
    done.sort_unstable();
    match done[0] {
        (1, 0.., _) => {
            let index = u32::try_from(done[0].1).expect("an index");
            rig.ask(opcode::Close::new(Fixed(index)).build(), 3);
            rig.wait(1, PATIENCE);
            assert_eq!(client.read(&mut [0]).expect("a live connection, closed by us"), 0);
        }
        (1, errno, _) => assert_eq!(errno, -libc::ECANCELED, "the client waits in the backlog"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_synchronous_cancel_of_anything_ends_everything() {
    let (server, _client) = pair();
    let listener = listener();
    let mut rig = Rig::new(256);
    for n in 0..10 {
        rig.poll(fd(&server), libc::POLLRDHUP, n);
        rig.poll(fd(&listener), libc::POLLIN, 100 + n);
    }
    rig.ring.submitter().register_sync_cancel(None, CancelBuilder::any()).expect("cancel");
    let done = rig.wait(20, Duration::ZERO);
    assert_eq!(done.len(), 20);
    assert!(done.iter().all(|(_, result, _)| *result == -libc::ECANCELED), "{done:?}");
}
