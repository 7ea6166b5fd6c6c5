use super::*;

pub(in crate::bench) fn options() -> Options {
    Options {
        scenario: Scenario::Fanout,
        url: "http://127.0.0.1:8080".to_owned(),
        connections: 10,
        channels: 1,
        publishers: 1,
        rate: Rate::Max,
        data_bytes: 128,
        events: Some(10),
        duration: Duration::from_secs(1),
        rings: None,
        token: None,
        subscribe_token: None,
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
    Plan::new(options, 20_000, 7)
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
    assert_eq!(flag(|o| o.connections = 0), "connections");
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
        for number in 0..plan.units() {
            let unit = plan.unit(number);
            assert!(unit / channels < lanes);
            of_channel[plan.channel_of_unit(unit)] += 1;
            of_publisher[plan.publisher_of_unit(unit)] += 1;
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
