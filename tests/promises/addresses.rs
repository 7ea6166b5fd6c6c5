//! Whom an event reaches: users, tenants, resources, channels.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::{Rig, SOON, assert_quiet, data_of, next};
use crate::support::sse::Stream;
use crate::support::token::{sign, token};
use crate::support::{http, wait_until};

const SECRET: &str = "a-secret-of-more-than-thirty-two-bytes-for-tests";

fn start() -> Rig {
    Rig::start_with(&[("JWT_SECRET", SECRET)])
}

fn of(rig: &Rig, claims: &Value) -> Stream {
    rig.open(&format!("/sse?token={}", sign(SECRET, None, claims)))
}

#[test]
fn s055_all_connections_of_a_user_receive_what_is_sent_to_it() {
    let mut rig = start();
    let ana = token(SECRET, &["--sub", "ana"]);
    // Whatever else they subscribe to.
    let paths = ["/sse", "/sse/news", "/sse/user:ana"];
    let mut all: Vec<_> =
        paths.iter().map(|path| rig.open(&format!("{path}?token={ana}"))).collect();
    let mut other = of(&rig, &json!({"sub": "ana2"}));
    assert_eq!(rig.publisher.publish("user:ana", b"hello").subscribers, 3);
    for stream in &mut all {
        assert_eq!(data_of(stream, 1), ["hello"]);
        assert_quiet(stream);
    }
    assert_quiet(&mut other);
}

#[test]
fn s058_a_notification_is_stored_and_then_pushed() {
    let rig = start();
    let mut here = of(&rig, &json!({"sub": "ana"}));
    let one = rig.command(&json!({"user": "bob", "data": "to bob"}));
    let both = rig.command(&json!({"users": ["ana", "bob"], "data": "to both"}));
    assert_eq!(data_of(&mut here, 1), ["to both"]);
    // Who was away finds both, or what came after the last one seen.
    let bob = token(SECRET, &["--sub", "bob"]);
    let mut later = rig.open(&format!("/sse?since=earliest&token={bob}"));
    assert_eq!(data_of(&mut later, 2), ["to bob", "to both"]);
    let id = one["id"].as_str().expect("an id");
    let event = next(&mut rig.resume(&format!("/sse?token={bob}"), id));
    assert_eq!((&*event.data, &*event.id), ("to both", both["id"].as_str().expect("an id")));
}

#[test]
fn s059_the_user_is_the_subject_or_the_id_or_stands_deeper() {
    let text = "[auth.claims]\nsubject = ['sub', 'id', 'user.id']\n";
    let rig = Rig::start_file(text, &[("JWT_SECRET", SECRET)]);
    for claims in [
        json!({"sub": "42"}),
        json!({"id": "42"}),
        json!({"id": 42}),
        json!({"sub": "42", "id": "7"}),
        json!({"user": {"id": "42", "name": "Ana"}}),
    ] {
        let mut stream = of(&rig, &claims);
        let event = rig.command(&json!({"userId": 42, "data": claims}));
        assert_eq!(event["subscribers"], 1, "{claims}");
        assert_eq!(data_of(&mut stream, 1), [claims.to_string()]);
        drop(stream);
        let gone = || rig.server.get("/stats").json()["activeConnections"] == 0;
        assert!(wait_until(SOON, Duration::from_millis(10), gone));
    }
}

#[test]
fn s060_nothing_of_a_user_stays_when_its_last_connection_goes() {
    let rig = start();
    let channels = || rig.server.get("/stats").json()["activeChannels"].as_u64().expect("a number");
    let reached =
        || rig.command(&json!({"user": "ana", "data": "x", "store": false}))["subscribers"].clone();
    assert_eq!(channels(), 0);
    let mut all: Vec<_> = (0..3).map(|_| of(&rig, &json!({"sub": "ana"}))).collect();
    let with_user = channels();
    assert!(with_user > 0);
    for left in (0..3).rev() {
        assert_eq!(reached(), left + 1);
        drop(all.pop());
        assert!(wait_until(SOON, Duration::from_millis(10), || reached() == left));
    }
    // Another user's streams know nothing of it either.
    let mut other = of(&rig, &json!({"sub": "bob"}));
    assert_eq!(reached(), 0);
    assert_quiet(&mut other);
    assert_eq!(rig.server.get("/stats").json()["activeConnections"], 1);
}

#[test]
fn s061_each_connection_has_an_id_of_its_own() {
    let rig = Rig::start();
    let mut ids = HashSet::new();
    let mut streams: Vec<_> = (0..100).map(|_| rig.open("/sse/a?control=on")).collect();
    // The later ones take the places of the earlier ones.
    for turn in 0..2 {
        for stream in &mut streams {
            let open: Value = serde_json::from_str(&next(stream).data).expect("JSON");
            let id = open["connection"].as_str().expect("an id").to_owned();
            assert!(!id.is_empty() && ids.insert(id.clone()), "{id} came twice");
        }
        if turn == 0 {
            streams.clear();
            streams.extend((0..100).map(|_| rig.open("/sse/a?control=on")));
        }
    }
    assert_eq!(ids.len(), 200);
}

#[test]
fn s062_a_resource_is_its_type_and_its_id() {
    let rig = Rig::start();
    let mut one = rig.open("/sse/ROULETTE:123");
    let mut versions = rig.open("/sse/ROULETTE:123:v2,ROULETTE:124");
    rig.command(&json!({"channel": "ROULETTE:123", "data": "spin"}));
    rig.command(&json!({"channel": "ROULETTE:123:v2", "data": "spin v2"}));
    rig.command(&json!({"channel": "BLACKJACK:123", "data": "not these"}));
    assert_eq!(data_of(&mut one, 1), ["spin"]);
    assert_eq!(data_of(&mut versions, 1), ["spin v2"]);
    assert_quiet(&mut one);
    assert_quiet(&mut versions);
}

#[test]
fn s063_s068_each_stream_receives_its_own_channels_and_no_others() {
    const CHANNELS: usize = 60;
    let mut rig = Rig::start();
    // Three of all channels each, so that every channel has three streams.
    let names = |at: usize| [at, (at + 1) % CHANNELS, (at + 7) % CHANNELS];
    let mut streams: Vec<_> = (0..CHANNELS)
        .map(|at| rig.open(&format!("/sse/{}", names(at).map(|n| format!("c{n}")).join(","))))
        .collect();
    for round in 0..3 {
        for channel in 0..CHANNELS {
            let sent = rig
                .publisher
                .publish(&format!("c{channel}"), format!("{round} {channel}").as_bytes());
            assert_eq!(sent.subscribers, 3);
        }
    }
    for (at, stream) in streams.iter_mut().enumerate() {
        let mut own = names(at);
        own.sort_unstable();
        let expected: Vec<String> =
            (0..3).flat_map(|round| own.map(|n| format!("{round} {n}"))).collect();
        assert_eq!(data_of(stream, 9), expected, "stream {at}");
    }
    for stream in streams.iter_mut().take(5) {
        assert_quiet(stream);
    }
}

#[test]
fn s066_s067_events_of_a_tenant_reach_its_own_members_only() {
    let text = "[auth.claims]\ntenant = ['tenant', 'tenantId', 'session.lastActiveTenantId']\n";
    let mut rig = Rig::start_file(text, &[("JWT_SECRET", SECRET)]);
    let t1 = [
        json!({"sub": "a", "tenant": "t1"}),
        json!({"sub": "b", "tenantId": "t1"}),
        json!({"sub": "c", "session": {"lastActiveTenantId": "t1"}}),
    ];
    let mut members: Vec<_> = t1.iter().map(|claims| of(&rig, claims)).collect();
    let mut others =
        [json!({"sub": "d", "tenant": "t2"}), json!({"sub": "t1"})].map(|claims| of(&rig, &claims));
    assert_eq!(rig.command(&json!({"tenantId": "t1", "data": "ours"}))["subscribers"], 3);
    rig.publish("tenant:t2", "theirs");
    rig.command(&json!({"broadcast": true, "data": "everybody's"}));
    for stream in &mut members {
        assert_eq!(data_of(stream, 2), ["ours", "everybody's"]);
    }
    assert_eq!(data_of(&mut others[0], 2), ["theirs", "everybody's"]);
    assert_eq!(data_of(&mut others[1], 1), ["everybody's"]);
    // Nor does a wish help, or a name that means more than itself.
    for (tenant, path) in [("t1", "tenant:t2"), ("t1", "tenant:*"), ("*", "tenant:t1")] {
        let claims = json!({"sub": "e", "tenant": tenant});
        let token = sign(SECRET, None, &claims);
        let path = format!("/sse/{path}?token={token}");
        let status =
            http::request(rig.address(), "HEAD", &path, &[], b"").expect("an answer").status;
        assert!(matches!(status, 401 | 403), "{claims} {path}: {status}");
    }
}

#[test]
fn s070_clients_subscribe_by_event_name_and_by_conversation() {
    let rig = Rig::start();
    let mut updates = rig.open("/sse/app?events=data:update");
    let mut seventh = rig.open("/sse/conversation:7?events=chat:message,chat:typing");
    let send = |channel: &str, event: &str, data: &str| {
        rig.command(&json!({"channel": channel, "event": event, "data": data}));
    };
    send("app", "data:update", "changed");
    send("app", "system:announcement", "not asked for");
    send("conversation:8", "chat:message", "elsewhere");
    send("conversation:7", "chat:typing", "...");
    send("conversation:7", "presence:update", "not asked for");
    send("conversation:7", "chat:message", "hi");
    assert_eq!(data_of(&mut updates, 1), ["changed"]);
    assert_eq!(data_of(&mut seventh, 2), ["...", "hi"]);
    assert_quiet(&mut updates);
    assert_quiet(&mut seventh);
}
