//! Options of channels by the longest prefix of their name.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::rig::{Rig, SOON, assert_quiet, data_of, next};
use crate::support::http;

/// A server with this TOML file.
fn start(text: &str) -> Rig {
    Rig::start_file(text, &[])
}

#[test]
fn the_longest_prefix_says_how_many_events_are_kept() {
    let mut rig = start(
        "[namespaces.'short:']\nhistory_events = 3\n\
         [namespaces.'short:but:']\nhistory_events = 5\n\
         [namespaces.'none:']\nhistory_events = 0\n\
         [namespaces.'state:']\nmode = 'latest'\n",
    );
    for (channel, kept) in [
        ("short:a", 3),
        ("short:but:a", 5),
        ("short", 8),
        ("other:a", 8),
        ("none:a", 0),
        ("state:a", 1),
    ] {
        for number in 0..8 {
            rig.publish(channel, &number.to_string());
        }
        let mut stream = rig.open(&format!("/sse/{channel}?last=100"));
        let expected: Vec<String> = (8 - kept..8).map(|number| number.to_string()).collect();
        let gap = stream.next(std::time::Duration::from_millis(300));
        let mut seen: Vec<String> = Vec::new();
        if let Some(first) = gap.filter(|event| event.event != "sse.gap") {
            seen.push(first.data);
        }
        seen.extend(data_of(&mut stream, kept - seen.len()));
        assert_eq!(seen, expected, "{channel}");
        assert_quiet(&mut stream);
    }
}

#[test]
fn the_age_of_a_namespace_ends_its_history() {
    let mut rig = start("[namespaces.'young:']\nhistory_age_ms = '200ms'\n");
    rig.publish("young:a", "old");
    rig.publish("old:a", "old");
    std::thread::sleep(std::time::Duration::from_millis(400));
    rig.publish("young:a", "new");
    rig.publish("old:a", "new");
    assert_eq!(data_of(&mut rig.open("/sse/old:a?last=2"), 2), ["old", "new"]);
    let mut stream = rig.open("/sse/young:a?last=2");
    let mut event = next(&mut stream);
    if event.event == "sse.gap" {
        event = next(&mut stream);
    }
    assert_eq!(event.data, "new");
}

/// Publishes far more than the sockets and the history hold while nobody reads, then reads until
/// one of the marks comes.
fn what_a_stalled_reader_is_told(rig: &mut Rig, channel: &str) -> String {
    let mut stalled = TcpStream::connect(rig.address()).expect("a connection");
    let request = http::head(rig.address(), "GET", &format!("/sse/{channel}"), &[]) + "\r\n";
    stalled.write_all(request.as_bytes()).expect("sent");
    stalled.set_read_timeout(Some(SOON)).expect("a timeout");
    // The answer's head: the stream is joined before anything is published.
    let mut first = [0; 1];
    stalled.read_exact(&mut first).expect("a byte");
    let data = "x".repeat(16 << 10);
    for _ in 0..1_024 {
        rig.publish(channel, &data);
    }
    let (mut text, mut buffer) = (Vec::new(), vec![0; 1 << 20]);
    loop {
        let count = stalled.read(&mut buffer).expect("more to read");
        text.extend_from_slice(&buffer[..count]);
        let tail =
            String::from_utf8_lossy(&text[text.len().saturating_sub(count + 64)..]).into_owned();
        for mark in ["sse.gap", "sse.bye"] {
            // With its data line.
            if tail.split(mark).nth(1).is_some_and(|after| after.contains("}\n")) {
                return tail;
            }
        }
        assert!(count > 0, "closed without a word: {} bytes, {tail:?}", text.len());
    }
}

#[test]
fn a_stalled_reader_is_disconnected_or_skips_as_its_namespace_says() {
    let mut rig = start(
        "[namespaces.'cut:']\noverflow = 'disconnect'\nhistory_bytes = '64KiB'\n\
         [namespaces.'cut:not:']\noverflow = 'skip'\n",
    );
    let told = what_a_stalled_reader_is_told(&mut rig, "cut:a");
    let data = told.split("sse.bye").nth(1).and_then(|rest| rest.split("data: ").nth(1));
    let line = data.and_then(|data| data.lines().next()).unwrap_or_else(|| panic!("{told:.200}"));
    let bye: Value = serde_json::from_str(line).expect("JSON");
    assert_eq!((&bye["reason"], &bye["reconnect"]), (&Value::from("slow"), &Value::from(true)));
    // The longer prefix sets only its policy; the size is that of the shorter one.
    let told = what_a_stalled_reader_is_told(&mut rig, "cut:not:a");
    assert!(told.contains("sse.gap") && !told.contains("sse.bye"));
}
