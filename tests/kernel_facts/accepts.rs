//! Accepting into a table of direct descriptors.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use io_uring::opcode;
use io_uring::types::{DestinationSlot, Fd};

use crate::rig::{Done, Rig, client_of, fd, listener};

const PATIENCE: Duration = Duration::from_secs(5);

/// Where the kernel writes one peer's address; leaked.
struct Place {
    address: *mut libc::sockaddr_in,
    length: *mut libc::socklen_t,
}

impl Place {
    fn read(&self) -> SocketAddr {
        // SAFETY: both are leaked boxes, and the accept has completed.
        let (address, length) = unsafe { (*self.address, *self.length) };
        assert_eq!(length, 16);
        assert_eq!(i32::from(address.sin_family), libc::AF_INET);
        let ip = Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr));
        SocketAddr::from((ip, u16::from_be(address.sin_port)))
    }
}

fn accept(rig: &mut Rig, listener: &impl AsRawFd, data: u64) -> Place {
    // SAFETY: a sockaddr_in of zeros is valid.
    let address = Box::leak(Box::new(unsafe { std::mem::zeroed::<libc::sockaddr_in>() }));
    let length = Box::leak(Box::new(16));
    let place = Place { address, length };
    let entry = opcode::Accept::new(Fd(listener.as_raw_fd()), place.address.cast(), place.length)
        .file_index(Some(DestinationSlot::auto_target()))
        .build();
    // SAFETY: the memory is leaked.
    unsafe { rig.push(&entry, data) };
    place
}

fn with_table(slots: u32) -> Rig {
    let rig = Rig::new(256);
    rig.ring.submitter().register_files_sparse(slots).expect("table");
    rig
}

fn gather(rig: &mut Rig, count: usize) -> Vec<Done> {
    let mut done = Vec::new();
    while done.len() < count {
        let more = rig.wait(count - done.len(), PATIENCE);
        assert!(!more.is_empty(), "only {done:?}");
        done.extend(more);
    }
    done
}

#[test]
fn one_shot_accepts_pick_free_slots_and_tell_the_peers() {
    let listener = listener();
    let mut rig = with_table(8);
    let places: Vec<_> = (0..4).map(|n| accept(&mut rig, &listener, n)).collect();
    rig.submit();
    let clients: Vec<_> = (0..4).map(|_| client_of(&listener)).collect();
    let done = gather(&mut rig, 4);
    let mut slots: Vec<_> = done.iter().map(|(_, slot, _)| *slot).collect();
    slots.sort_unstable();
    assert_eq!(slots, [0, 1, 2, 3]);
    let mut told: Vec<_> = places.iter().map(Place::read).collect();
    let mut real: Vec<_> = clients.iter().map(|c| c.local_addr().expect("bound")).collect();
    told.sort_unstable();
    real.sort_unstable();
    assert_eq!(told, real);
}

#[test]
fn a_full_table_answers_enfile_and_closes_the_client() {
    let listener = listener();
    let mut rig = with_table(2);
    for n in 0..3 {
        accept(&mut rig, &listener, n);
    }
    rig.submit();
    let mut clients: Vec<_> = (0..3).map(|_| client_of(&listener)).collect();
    let done = gather(&mut rig, 3);
    assert_eq!(done.iter().filter(|(_, result, _)| *result == -libc::ENFILE).count(), 1);
    let closed = clients.iter_mut().filter_map(|client| {
        client.set_read_timeout(Some(Duration::from_millis(100))).expect("timeout");
        let end = client.read(&mut [0]);
        matches!(end, Ok(0)).then_some(())
    });
    assert_eq!(closed.count(), 1, "accepted, then thrown away");
}

#[test]
fn any_ring_may_accept_on_any_workers_listener() {
    use ringcast::driver::listener::{ListenerSettings, open};
    let settings = ListenerSettings { reuse_port: true, ..ListenerSettings::default() };
    let first = open(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), &settings).expect("listen");
    let address = first.local_addr().expect("bound");
    let second = open(address, &settings).expect("listen beside");
    let mut rig = with_table(64);
    for n in 0..32 {
        accept(&mut rig, &first, n);
        accept(&mut rig, &second, 100 + n);
    }
    rig.submit();
    let _clients: Vec<_> = (0..32).map(|_| TcpStream::connect(address).expect("connect")).collect();
    let done = gather(&mut rig, 32);
    assert!(done.iter().all(|(_, result, _)| *result >= 0), "{done:?}");
    let of_first = done.iter().filter(|(data, ..)| *data < 100).count();
    assert!(0 < of_first && of_first < 32, "the kernel spreads clients over both: {of_first}");
}

#[test]
fn closing_a_listener_resets_its_backlog() {
    let listener = listener();
    let mut waiting = client_of(&listener);
    drop(listener);
    let error = waiting.read(&mut [0]).expect_err("reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn only_the_dontwait_flag_keeps_an_accept_from_waiting() {
    let listener: TcpListener = listener();
    listener.set_nonblocking(true).expect("nonblocking");
    let mut rig = with_table(2);
    accept(&mut rig, &listener, 1);
    assert_eq!(rig.settle(), [], "O_NONBLOCK on the listener is ignored");
    let mut entry =
        opcode::Accept::new(Fd(fd(&listener)), std::ptr::null_mut(), std::ptr::null_mut())
            .file_index(Some(DestinationSlot::auto_target()))
            .build();
    // SAFETY: an entry is struct io_uring_sqe, ioprio a u16 at byte 2; 2 is IORING_ACCEPT_DONTWAIT.
    unsafe { (&raw mut entry).cast::<u16>().add(1).write(2) };
    rig.ask(entry, 2);
    let done = rig.wait(1, PATIENCE);
    assert!(matches!(done[..], [(2, errno, _)] if errno == -libc::EAGAIN), "{done:?}");
}
