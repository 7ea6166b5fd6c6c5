//! Channels come and go with those who use them; pages of health.

use std::time::Duration;

use serde_json::Value;

use crate::rig::{Rig, SOON, data_of, next};
use crate::support::wait_until;

fn channels(rig: &Rig) -> u64 {
    rig.server.get("/stats").json()["activeChannels"].as_u64().expect("a number")
}

#[test]
fn s012_the_streams_health_has_a_path_of_its_own() {
    let rig = Rig::start();
    let _streams = [rig.open("/sse/a"), rig.open("/sse/b")];
    for answer in [rig.server.get("/health/sse"), rig.server.get_admin("/health/sse")] {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let health = answer.json();
        assert_eq!(
            (&health["status"], &health["connections"]["active"]),
            (&"ok".into(), &2.into())
        );
    }
}

#[test]
fn s065_s173_a_channel_is_made_by_its_first_stream_and_goes_when_it_is_idle() {
    let mut rig = Rig::start_file("[channels]\nidle_expire = '1s'\n", &[]);
    assert_eq!(channels(&rig), 0);
    let mut kept = rig.open("/sse/kept");
    let stream = rig.open("/sse/passing");
    assert_eq!(channels(&rig), 2);
    let [first, last] = ["x", "lost"].map(|data| rig.publish("passing", data));
    rig.publish("kept", "1");
    drop(stream);
    assert!(wait_until(SOON, Duration::from_millis(100), || channels(&rig) == 1));
    // One with clients stays, however long nothing is sent.
    rig.publish("kept", "2");
    assert_eq!(data_of(&mut kept, 2), ["1", "2"]);
    assert_eq!(data_of(&mut rig.open("/sse/kept?last=9"), 2), ["1", "2"]);
    // What went with the other one is told.
    rig.publish("passing", "y");
    let mut again = rig.open("/sse/passing?since=earliest");
    assert_eq!(data_of(&mut again, 1), ["y"]);
    let mut resumed = rig.resume("/sse/passing", &first);
    let gap = next(&mut resumed);
    let told: Value = serde_json::from_str(&gap.data).expect("JSON");
    assert_eq!((&*gap.event, &told["reason"]), ("sse.gap", &Value::from("expired")));
    assert_eq!(next(&mut resumed).data, "y");
    // Who had all of it missed nothing.
    assert_eq!(next(&mut rig.resume("/sse/passing", &last)).data, "y");
}

#[test]
fn s174_a_channel_without_clients_may_be_published_to() {
    let mut rig = Rig::start();
    for data in ["one", "two"] {
        assert_eq!(rig.publisher.publish("nobody", data.as_bytes()).subscribers, 0);
    }
    assert_eq!(data_of(&mut rig.open("/sse/nobody?since=earliest"), 2), ["one", "two"]);
}
