//! Sends: what posts a completion, what is kept, what is lost.

use std::io::{Read, Write};
use std::net::Shutdown;

use crate::rig::{QUIET, Rig, fd, narrow_pair, pair};

/// More than the narrow pair takes without a reader.
const TOO_MUCH: usize = 4 << 20;

#[test]
fn a_healthy_send_posts_no_completion_and_frees_its_buffer() {
    let (server, mut client) = pair();
    let mut rig = Rig::new(256);
    let mut bytes = vec![b'a'; 200];
    assert_eq!(rig.send(fd(&server), &bytes, QUIET, 1), []);
    bytes.fill(b'b');
    drop(bytes);
    let mut got = [0; 200];
    client.read_exact(&mut got).expect("read");
    assert!(got.iter().all(|byte| *byte == b'a'), "the bytes were taken before enter returned");
    assert_eq!(rig.settle(), []);
}

#[test]
fn a_full_buffer_gives_one_short_count_then_eagain() {
    let (server, mut client) = narrow_pair();
    let mut rig = Rig::new(256);
    let bytes = vec![b'x'; TOO_MUCH];
    let done = rig.send(fd(&server), &bytes, QUIET, 1);
    let [(1, short, _)] = done[..] else { panic!("{done:?}") };
    assert!(0 < short && usize::try_from(short).is_ok_and(|short| short < TOO_MUCH));
    let mut taken = short;
    let refused = loop {
        let done = rig.send(fd(&server), &bytes, QUIET, 2);
        let [(2, result, _)] = done[..] else { panic!("{done:?}") };
        if result < 0 {
            break result;
        }
        taken += result;
    };
    assert_eq!(refused, -libc::EAGAIN);
    server.shutdown(Shutdown::Write).expect("shutdown");
    let got = client.read_to_end(&mut Vec::new()).expect("read");
    assert_eq!(i32::try_from(got), Ok(taken), "the counts are exact");
}

#[test]
fn without_waitall_a_short_send_is_silent_loss() {
    let (server, mut client) = narrow_pair();
    let mut rig = Rig::new(256);
    let bytes = vec![b'x'; TOO_MUCH];
    let done = rig.send(fd(&server), &bytes, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL, 1);
    assert_eq!(done, [], "nothing says that it was short");
    server.shutdown(Shutdown::Write).expect("shutdown");
    let got = client.read_to_end(&mut Vec::new()).expect("read");
    assert!(0 < got && got < TOO_MUCH, "{got}");
}

#[test]
fn without_dontwait_the_kernel_keeps_the_pointer() {
    let (server, mut client) = narrow_pair();
    let mut rig = Rig::new(256);
    let bytes: &'static [u8] = vec![b'x'; TOO_MUCH].leak();
    let done = rig.send(fd(&server), bytes, libc::MSG_WAITALL | libc::MSG_NOSIGNAL, 1);
    assert_eq!(done, [], "it waits inside the kernel, bytes and all");
    let reader = std::thread::spawn(move || {
        let mut got = vec![0; TOO_MUCH];
        client.read_exact(&mut got).expect("read");
        client
    });
    while !reader.is_finished() {
        assert_eq!(rig.settle(), [], "and ends as a success, hence silently");
    }
    reader.join().expect("all of it was read, long after the first enter");
}

#[test]
fn a_second_send_in_one_enter_follows_a_short_first() {
    let (server, mut client) = narrow_pair();
    let mut rig = Rig::new(256);
    // The first is short by a full buffer; by the time of the second the client's side may have
    // taken a little, so one of a few tries shows it.
    let first = vec![b'1'; TOO_MUCH];
    rig.queue_send(fd(&server), &first, QUIET, 1);
    for n in 0..40 {
        rig.queue_send(fd(&server), b"2", QUIET, 2 + n);
    }
    let done = rig.settle();
    let short = done.iter().find(|(data, ..)| *data == 1).expect("the first was short").1;
    server.shutdown(Shutdown::Write).expect("shutdown");
    let mut got = Vec::new();
    client.read_to_end(&mut got).expect("read");
    let ones = got.iter().filter(|byte| **byte == b'1').count();
    assert_eq!(i32::try_from(ones), Ok(short));
    let seconds = got.len() - ones;
    let failed = done.iter().filter(|(data, result, _)| *data > 1 && *result < 0).count();
    assert_eq!(seconds + failed, 40);
    assert!(seconds > 0, "had none gone through, two sends in one enter would be safe");
}

#[test]
fn a_peer_that_closed_is_noticed_by_the_second_send() {
    let (server, client) = pair();
    let mut rig = Rig::new(256);
    drop(client);
    assert_eq!(rig.send(fd(&server), b"one", QUIET, 1), []);
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert!(
        matches!(rig.send(fd(&server), b"two", QUIET, 2)[..], [(2, errno, _)] if errno == -libc::EPIPE)
    );
}

#[test]
fn a_bad_entry_in_a_batch_leaves_its_neighbours_alone() {
    let (server, mut client) = pair();
    let mut rig = Rig::new(256);
    rig.queue_send(fd(&server), b"left ", QUIET, 1);
    rig.queue_send(1_000_000, b"nowhere", QUIET, 2);
    let (other, mut other_client) = pair();
    rig.queue_send(fd(&other), b"right", QUIET, 3);
    assert!(matches!(rig.settle()[..], [(2, errno, _)] if errno == -libc::EBADF));
    let mut got = [0; 5];
    client.read_exact(&mut got).expect("read");
    assert_eq!(&got, b"left ");
    other_client.read_exact(&mut got).expect("read");
    assert_eq!(&got, b"right");
    client.write_all(b"still alive").expect("write");
}
