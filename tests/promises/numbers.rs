//! What is told of the server's work, against what its clients did.

use std::time::Duration;

use crate::rig::{Rig, SOON, data_of};
use crate::support::wait_until;

/// The sum of a metric's samples, over cores if it has some.
fn metric(text: &str, name: &str) -> u64 {
    let is_own = |line: &&str| line.split(['{', ' ']).next() == Some(name);
    let value = |line: &str| line.rsplit(' ').next()?.parse::<u64>().ok();
    text.lines().filter(is_own).filter_map(value).sum()
}

fn metrics(rig: &Rig) -> String {
    String::from_utf8(rig.server.get_admin("/metrics").body).expect("UTF-8")
}

#[test]
fn s008_s115_statistics_count_channels_clients_and_messages() {
    let mut rig = Rig::start();
    let numbers = |rig: &Rig| {
        let stats = rig.server.get("/stats").json();
        let number = |name: &str| stats[name].as_u64().unwrap_or_else(|| panic!("{name}: {stats}"));
        ["activeChannels", "connectedClients", "publishedMessages"].map(number)
    };
    assert_eq!(numbers(&rig), [0, 0, 0]);
    let mut streams: Vec<_> = ["/sse/a", "/sse/a", "/sse/b"].map(|path| rig.open(path)).into();
    for channel in ["a", "b", "a", "a", "alone"] {
        rig.publish(channel, "x");
    }
    assert_eq!(data_of(&mut streams[0], 3).len(), 3);
    let counted = || numbers(&rig) == [3, 3, 5];
    assert!(wait_until(SOON, Duration::from_millis(10), counted), "{:?}", numbers(&rig));
    streams.pop();
    let left = || numbers(&rig) == [3, 2, 5];
    assert!(wait_until(SOON, Duration::from_millis(10), left), "{:?}", numbers(&rig));
}

#[test]
fn s108_all_connections_ever_established_are_counted() {
    let rig = Rig::start();
    let mut streams: Vec<_> = (0..5).map(|_| rig.open("/sse/a")).collect();
    streams.truncate(2);
    let active = || metric(&metrics(&rig), "sse_active_connections") == 2;
    assert!(wait_until(SOON, Duration::from_millis(20), active));
    let text = metrics(&rig);
    for line in [
        "# HELP sse_total_connections Total number of SSE connections established",
        "# TYPE sse_total_connections counter",
        "sse_total_connections 5",
        "# HELP sse_active_connections Number of active SSE connections",
        "# TYPE sse_active_connections gauge",
        "sse_active_connections 2",
    ] {
        assert!(text.lines().any(|known| known == line), "{line:?} is missing:\n{text}");
    }
}

#[test]
fn s117_metrics_tell_active_connections_and_sent_notifications() {
    let mut rig = Rig::start();
    let mut streams: Vec<_> = (0..4).map(|_| rig.open("/sse/a")).collect();
    let _other = rig.open("/sse/b");
    for _ in 0..5 {
        rig.publish("a", "x");
    }
    for stream in &mut streams {
        assert_eq!(data_of(stream, 5).len(), 5);
    }
    let numbers = || {
        let text = metrics(&rig);
        ["ringcast_streams", "ringcast_publishes_total", "ringcast_deliveries_total"]
            .map(|name| metric(&text, name))
    };
    assert!(
        wait_until(SOON, Duration::from_millis(20), || numbers() == [5, 5, 20]),
        "{:?}",
        numbers()
    );
}
