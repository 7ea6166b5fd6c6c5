use super::*;
use crate::bench::batch::Batch;

pub(in crate::bench) fn options() -> Options {
    Options {
        scenario: Scenario::Fanout,
        url: "http://127.0.0.1:8080".to_owned(),
        connections: 10,
        channels: 1,
        publishers: 1,
        rate: Rate::Max,
        data_bytes: 128,
        lines: 1,
        events: 10,
        stall_percent: 0,
        reconnect_percent: 0,
        duration: Duration::from_secs(1),
        gzip: false,
        rings: None,
        token: None,
        subscribe_token: None,
        identity_secret: None,
        subscribe_path: "/sse/{channel}".to_owned(),
        publish_path: "/publish/{channel}".to_owned(),
        server_pid: None,
        max_p99: None,
        max_lost: None,
    }
}

fn plan(change: impl FnOnce(&mut Options)) -> Result<Plan, OptionsError> {
    let mut options = options();
    change(&mut options);
    Plan::new(options, 20_000, 7, 0)
}

#[test]
fn urls() {
    for (url, host, address) in [
        ("http://127.0.0.1:8080", "127.0.0.1:8080", "127.0.0.1:8080"),
        ("http://127.0.0.1:8080/", "127.0.0.1:8080", "127.0.0.1:8080"),
        ("http://127.0.0.1", "127.0.0.1", "127.0.0.1:80"),
        ("http://[::1]:99", "[::1]:99", "[::1]:99"),
        ("http://[::1]", "[::1]", "[::1]:80"),
    ] {
        let plan = plan(|o| o.url = url.to_owned()).expect(url);
        assert_eq!((plan.host.as_str(), plan.target.to_string().as_str()), (host, address));
    }
    for url in ["", "127.0.0.1:80", "https://127.0.0.1", "http://", "http://a b", "http://h/x"] {
        assert!(plan(|o| o.url = url.to_owned()).is_err(), "{url}");
    }
}

#[test]
fn numbers_out_of_range_name_their_flag() {
    let flag = |change: fn(&mut Options)| match plan(change).expect_err("out of range") {
        OptionsError::Range { flag, .. } => flag,
        other => panic!("{other}"),
    };
    assert_eq!(flag(|o| o.connections = CONNECTIONS_MAX + 1), "connections");
    assert_eq!(flag(|o| o.channels = 0), "channels");
    assert_eq!(flag(|o| o.data_bytes = payload::MIN - 1), "data-bytes");
    assert_eq!(flag(|o| o.publishers = 0), "publishers");
    assert!(plan(|o| o.subscribe_path = "/sse".to_owned()).is_err());
    assert!(plan(|o| o.token = Some("a\r\nb".to_owned())).is_err());
    let waits = |o: &mut Options| (o.rate, o.publishers) = (Rate::Wait, 2);
    assert_eq!(plan(waits).expect_err("two"), OptionsError::WaitingPublishers);
}

#[test]
fn rings_cover_all_streams_and_none_holds_too_many() {
    for (connections, asked, rings) in
        [(10, None, 1), (20_000, None, 1), (20_001, None, 2), (61_000, None, 4), (10, Some(3), 3)]
    {
        let plan = plan(|o| (o.connections, o.rings) = (connections, asked)).expect("good");
        assert_eq!(plan.rings, rings);
        let mut next = 0;
        for ring in 0..rings {
            let streams = plan.streams_of_ring(ring);
            assert_eq!(streams.start, next);
            assert!(streams.len() <= 20_000);
            next = streams.end;
        }
        assert_eq!(next, connections);
    }
}

#[test]
fn loopback_sources_are_spread_and_others_left_to_the_kernel() {
    let plan = plan(|o| o.connections = 2_000_000).expect("good");
    let mut counts = std::collections::HashMap::new();
    for stream in 0..2_000_000 {
        *counts.entry(plan.source(stream).expect("loopback")).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 500);
    assert!(counts.values().all(|count| *count == CONNECTIONS_PER_SOURCE));
    let mut far = plan;
    far.target = "192.0.2.1:80".parse().expect("an address");
    assert_eq!(far.source(5), None);
}

/// Each event has one channel and one publisher, and a publisher never shares a unit.
#[test]
fn events_go_round_over_channels_and_publishers() {
    for (channels, publishers, lanes) in [(1, 1, 1), (5, 2, 1), (2, 5, 3), (3, 3, 1)] {
        let plan = plan(|o| (o.channels, o.publishers) = (channels, publishers)).expect("good");
        assert_eq!(plan.lanes(), lanes);
        let mut of_channel = vec![0; channels];
        let mut of_publisher = vec![0; publishers];
        let batch = Batch::all(&plan, 0..plan.units());
        for number in 0..plan.units() {
            let unit = plan.unit(number);
            assert!(unit / channels < lanes);
            of_channel[plan.channel_of_unit(unit)] += 1;
            of_publisher[batch.publisher(number)] += 1;
        }
        assert!(of_channel.iter().chain(&of_publisher).all(|count| *count > 0));
    }
}

#[test]
fn times_and_rates() {
    let ms = |text: &str| parse_duration(text, Duration::from_millis(1)).map(|d| d.as_micros());
    assert_eq!(ms("5"), Ok(5_000));
    assert_eq!(ms("250us"), Ok(250));
    assert_eq!(ms("1.5s"), Ok(1_500_000));
    assert_eq!(ms("2m"), Ok(120_000_000));
    for text in ["", "s", "5 ms", "-1", "1.2.3s", "9999999h", "5d", "inf", "NaN"] {
        assert!(ms(text).is_err(), "{text}");
    }
    assert_eq!("2.5".parse(), Ok(Rate::PerSecond(2.5)));
    assert_eq!("max".parse(), Ok(Rate::Max));
    assert_eq!("wait".parse(), Ok(Rate::Wait));
    for text in ["0", "-1", "NaN", "inf", "fast", ""] {
        assert!(text.parse::<Rate>().is_err(), "{text}");
    }
    let plan = plan(|o| o.rate = Rate::PerSecond(4.0)).expect("good");
    assert_eq!(plan.due(6), Some(Duration::from_millis(1_500)));
}

#[test]
fn a_request_is_what_the_contract_says() {
    let text = |plan: &Plan, stream, id: &[u8]| {
        let mut out = Vec::new();
        plan.subscribe_request(stream, id, &mut out);
        String::from_utf8(out).expect("text")
    };
    let plain = plan(|o| o.channels = 3).expect("good");
    assert_eq!(
        text(&plain, 4, b"abcdefgh-7"),
        "GET /sse/bench-1 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAccept: text/event-stream\r\n\
         Last-Event-ID: abcdefgh-7\r\n\r\n"
    );
    let replay = plan(|o| o.scenario = Scenario::Replay).expect("good");
    assert!(text(&replay, 0, b"").starts_with("GET /sse/bench-00000007-0?since=earliest HTTP"));
    let own = plan(|o| o.identity_secret = Some("s".repeat(32))).expect("good");
    let (one, two) = (text(&own, 1, b""), text(&own, 2, b""));
    assert!(one.contains("Authorization: Bearer ey") && one != two, "{one}");
    let empty = plan(|o| o.identity_secret = Some(String::new()));
    assert!(matches!(empty, Err(OptionsError::Identity(_))));

    let lines = plan(|o| o.lines = 2).expect("good");
    let mut out = Vec::new();
    let payloads = [(0, Payload { number: 0, time_ns: 1 }), (0, Payload { number: 1, time_ns: 1 })];
    lines.publish_request(&payloads, &mut out);
    let text = String::from_utf8(out).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
    let channels = body.lines().map(|line| {
        let command: serde_json::Value = serde_json::from_str(line).expect("JSON");
        (command["channel"].clone(), command["data"].as_str().map(str::len))
    });
    let expected = ("bench-0".into(), Some(128));
    assert_eq!(channels.collect::<Vec<_>>(), [expected.clone(), expected]);
}

#[test]
fn a_mixed_run_has_one_stream_on_each_single_channel() {
    let mixed = plan(|o| {
        (o.scenario, o.connections, o.channels) = (Scenario::Mixed, 10, 3);
        o.rate = Rate::PerSecond(1.0);
    });
    let mixed = mixed.expect("good");
    let channels: Vec<usize> = (0..10).map(|stream| mixed.channel_of_stream(stream)).collect();
    assert_eq!(channels, [0, 0, 0, 0, 0, 0, 0, 1, 2, 3]);
    assert!(!mixed.is_single(0) && mixed.is_single(3));
    let fast = plan(|o| (o.scenario, o.rate) = (Scenario::Mixed, Rate::Max));
    assert_eq!(fast.expect_err("no pace"), OptionsError::MixedRate);
}
