//! Going on after an id: exact, or told.

use std::time::Duration;

use crate::rig::{Rig, assert_quiet, data_of, next};

#[test]
fn s052_s172_one_id_resumes_any_set_of_channels_by_every_spelling() {
    let mut rig = Rig::start();
    rig.publish("a", "a1");
    let id = rig.publish("b", "b1");
    rig.publish("a", "a2");
    rig.publish("c", "c1");
    rig.publish("b", "b2");
    rig.publish("broadcast", "all");
    let expected = ["a2", "b2", "all"];
    let mut by_header = rig.resume("/sse/a,b", &id);
    assert_eq!(data_of(&mut by_header, 3), expected);
    assert_quiet(&mut by_header);
    for name in ["last_event_id", "lastEventId", "Last-Event-ID", "lastEvent", "since"] {
        let mut stream = rig.open(&format!("/sse/a,b?{name}={id}"));
        assert_eq!(data_of(&mut stream, 3), expected, "{name}");
        assert_quiet(&mut stream);
    }
    // The header wins, an empty one is absent.
    let mut stream =
        rig.open_with(&format!("/sse/a,b?last_event_id={id}"), &[("Last-Event-ID", "")]);
    assert_eq!(data_of(&mut stream, 3), expected);
}

#[test]
fn s016_last_counts_per_channel_and_since_counts_time() {
    let mut rig = Rig::start();
    for n in 0..3 {
        rig.publish("a", &format!("a{n}"));
        rig.publish("b", &format!("b{n}"));
    }
    for name in ["last", "k", "rewind"] {
        let mut stream = rig.open(&format!("/sse/a,b?{name}=2"));
        assert_eq!(data_of(&mut stream, 4), ["a1", "b1", "a2", "b2"], "{name}");
        assert_quiet(&mut stream);
    }
    let mut none = rig.open("/sse/a?last=0");
    assert_quiet(&mut none);
    let mut span = rig.open("/sse/a?since=10m");
    assert_eq!(data_of(&mut span, 3), ["a0", "a1", "a2"]);
    let mut future = rig.open("/sse/a?since=4000000000");
    assert_quiet(&mut future);
    let mut epoch = rig.open("/sse/a?since=1");
    assert_eq!(data_of(&mut epoch, 3), ["a0", "a1", "a2"]);
}

#[test]
fn foreign_and_future_ids_are_told_as_gaps_never_as_errors() {
    let mut rig = Rig::start();
    let id = rig.publish("a", "kept");
    let (epoch, _) = id.split_once('-').expect("an id");
    let future = format!("{epoch}-999999");
    for asked in ["zzzzzzzz-1", "17", "garbage", &future] {
        let mut stream = rig.resume("/sse/a", asked);
        let gap = next(&mut stream);
        assert_eq!(gap.event, "sse.gap", "{asked}");
        let value: serde_json::Value = serde_json::from_str(&gap.data).expect("JSON");
        assert_eq!(value["requested"], *asked);
        assert_eq!(value["reason"], "epoch");
        assert_eq!(next(&mut stream).data, "kept", "what is there follows");
    }
    let long = "x".repeat(129);
    let answer = crate::support::http::request(
        rig.address(),
        "GET",
        "/sse/a",
        &[("Last-Event-ID", &long)],
        b"",
    );
    assert_eq!(answer.expect("an answer").status, 400);
}

#[test]
fn an_id_that_is_no_longer_kept_is_told_with_the_place_it_goes_on() {
    let mut rig = Rig::start();
    let first = rig.publish("a", "0");
    // The default history keeps 1,000 events of a channel.
    for n in 1..=1_100 {
        rig.publish("a", &n.to_string());
    }
    let mut stream = rig.resume("/sse/a", &first);
    let gap = next(&mut stream);
    assert_eq!(gap.event, "sse.gap");
    let value: serde_json::Value = serde_json::from_str(&gap.data).expect("JSON");
    assert_eq!(value["reason"], "expired");
    assert_eq!(value["requested"], *first);
    let data = data_of(&mut stream, 1_000);
    let expected: Vec<String> = (101..=1_100).map(|n: i32| n.to_string()).collect();
    assert_eq!(data, expected);
}

#[test]
fn a_hole_in_one_channel_costs_the_others_nothing() {
    let mut rig = Rig::start();
    let first = rig.publish("busy", "0");
    rig.publish("calm", "still kept");
    for n in 1..=1_100 {
        rig.publish("busy", &n.to_string());
    }
    let mut stream = rig.resume("/sse/busy,calm", &first);
    assert_eq!(next(&mut stream).event, "sse.gap");
    assert_eq!(next(&mut stream).data, "still kept");
    let data = data_of(&mut stream, 1_000);
    assert_eq!((data[0].as_str(), data[999].as_str()), ("101", "1100"));
    assert_quiet(&mut stream);
}

#[test]
fn a_replay_joins_live_delivery_without_a_seam() {
    let mut rig = Rig::start();
    let first = rig.publish("j", "0");
    let address = rig.address();
    // All of it stays within the kept 1,000.
    let total = 900;
    let publisher = std::thread::spawn(move || {
        for n in 1..=total {
            rig.publish("j", &n.to_string());
        }
        rig
    });
    // Streams that join in the middle of it, each from the beginning.
    let mut readers = Vec::new();
    for _ in 0..20 {
        let id = first.clone();
        readers.push(std::thread::spawn(move || {
            let headers = [("Last-Event-ID", &*id)];
            let mut stream =
                crate::support::sse::Stream::open(address, "/sse/j", &headers).expect("a stream");
            let mut seen: Vec<i32> = Vec::new();
            while seen.last() != Some(&total) {
                let event = next(&mut stream);
                assert_eq!(event.event, "message", "{event:?}");
                seen.push(event.data.parse().expect("a number"));
            }
            seen
        }));
        std::thread::sleep(Duration::from_millis(5));
    }
    let rig = publisher.join().expect("published");
    for reader in readers {
        let seen = reader.join().expect("read");
        assert_eq!(seen, (1..=total).collect::<Vec<_>>());
    }
    drop(rig);
}
