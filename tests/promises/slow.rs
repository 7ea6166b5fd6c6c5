//! A reader that stops reading costs its half-sent frame, and nobody else anything.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::rig::{Rig, SOON, next};
use crate::support::http;

/// Resident bytes of a process (proc(5), status).
fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib * 1024
}

#[test]
fn s100_a_reader_that_stops_while_a_gibibyte_is_published_costs_next_to_nothing() {
    const FRAME: usize = 1 << 20;
    const FRAMES: usize = 1 << 10;
    let mut rig = Rig::start();
    let data = "x".repeat(FRAME - 64);
    let mut reader = rig.open("/sse/big,other");
    // Each frame is read before the next is published: what the server holds is then not what
    // lies between the two.
    let mut publish = |rig: &mut Rig| {
        let id = rig.publish("big", &data);
        let event = next(&mut reader);
        assert_eq!((&*event.event, event.data.len()), ("message", data.len()));
        assert_eq!(event.id, id);
    };
    // What the history, the recent log and the allocator take for themselves.
    for _ in 0..128 {
        publish(&mut rig);
    }
    let mut stalled = TcpStream::connect(rig.address()).expect("a connection");
    let request = http::head(rig.address(), "GET", "/sse/big", &[]) + "\r\n";
    stalled.write_all(request.as_bytes()).expect("sent");
    let before = resident_bytes(rig.server.pid());
    let mut most = before;
    for _ in 0..FRAMES {
        publish(&mut rig);
        most = most.max(resident_bytes(rig.server.pid()));
    }
    rig.publish("other", "still here");
    assert_eq!(next(&mut reader).data, "still here");
    // Its half-sent frame, and slack of the allocator: far from the gibibyte a queue would hold.
    let grown = most.saturating_sub(before);
    assert!(grown < 48 * FRAME as u64, "grew by {} MiB", grown >> 20);
    // When it reads again it is told what it missed.
    stalled.set_read_timeout(Some(SOON)).expect("a timeout");
    let mut text = Vec::new();
    let mut buffer = vec![0; 1 << 20];
    while !text.windows(8).any(|part| part == b"sse.gap\n") {
        let count = stalled.read(&mut buffer).expect("more to read");
        assert!(count > 0, "it was closed");
        // A mark may lie across two reads.
        text.drain(..text.len().saturating_sub(16));
        text.extend_from_slice(&buffer[..count]);
    }
}
