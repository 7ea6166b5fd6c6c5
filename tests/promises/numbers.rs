//! What is told of the server's work, against what its clients did.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::{Rig, SOON, assert_problem, data_of, next};
use crate::support::http::{self, Response};
use crate::support::sse::Stream;
use crate::support::token::token;
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

const SECRET: &str = "secret-of-the-numbers-32-bytes-long";

fn bearer(args: &[&str]) -> String {
    format!("Bearer {}", token(SECRET, args))
}

/// `GET path` on the public address, with this field if it is not empty.
fn get(rig: &Rig, path: &str, authorization: &str) -> Response {
    let headers = [("Authorization", authorization)];
    let headers = if authorization.is_empty() { &headers[..0] } else { &headers };
    http::request(rig.address(), "GET", path, headers, b"").expect("an answer")
}

/// Streams of these users (`user@tenant`).
fn open(rig: &Rig, who: &[&str]) -> Vec<Stream> {
    let token = |who: &str| match who.split_once('@') {
        Some((user, tenant)) => token(SECRET, &["--sub", user, "--tenant", tenant]),
        None => token(SECRET, &["--sub", who]),
    };
    who.iter().map(|who| rig.open(&format!("/sse/a?token={}", token(who)))).collect()
}

fn within_a_moment(condition: impl Fn() -> bool) -> bool {
    wait_until(SOON, Duration::from_millis(20), condition)
}

#[test]
fn s113_s114_s116_statistics_name_users_and_tenants_to_admins_alone() {
    let rig = Rig::start_with(&[("JWT_SECRET", SECRET)]);
    let mut streams = open(&rig, &["ana@t1", "ana@t1", "zoe@t1", "max@t2"]);
    let admin = bearer(&["--sub", "root", "--admin"]);
    let stats = |authorization: &str| get(&rig, "/stats", authorization).json();
    assert!(within_a_moment(|| stats("")["totalConnections"] == 4), "{}", stats(""));
    let all = stats(&admin);
    for name in ["totalConnections", "activeConnections", "totalClients", "connectedClients"] {
        assert_eq!(all[name], 4, "{name}: {all}");
    }
    assert_eq!((&all["totalUsers"], &all["totalTenants"]), (&json!(3), &json!(2)));
    let users = json!({"ana": 2, "zoe": 1, "max": 1});
    assert_eq!((&all["connectionsByUser"], &all["clientsByUser"]), (&users, &users));
    assert_eq!(all["clientsByTenant"], json!({"t1": 3, "t2": 1}));
    assert_eq!(all["truncated"], false);
    let memory = &all["memoryUsage"];
    for name in ["rss", "heapTotal", "heapUsed", "external", "arrayBuffers"] {
        assert!(memory[name].is_u64(), "{name}: {memory}");
    }
    // On the operators' address of this machine without a token too.
    let operators = rig.server.get_admin("/stats").json();
    assert_eq!(operators["clientsByTenant"], all["clientsByTenant"]);
    for nobody in [String::new(), bearer(&["--sub", "ana"])] {
        let part = stats(&nobody);
        assert_eq!((&part["totalUsers"], &part["totalConnections"]), (&json!(3), &json!(4)));
        for name in ["connectionsByUser", "clientsByUser", "clientsByTenant"] {
            assert_eq!(part[name], json!({}), "{name}");
        }
    }
    streams.truncate(2);
    let left = || stats(&admin)["connectionsByUser"] == json!({"ana": 2});
    assert!(within_a_moment(left), "{}", stats(&admin));
    let all = stats(&admin);
    assert_eq!((&all["totalUsers"], &all["totalTenants"]), (&json!(1), &json!(1)));
    assert_eq!((&all["connectionsEstablished"], &all["totalConnections"]), (&json!(4), &json!(2)));
}

#[test]
fn s111_s112_health_tells_connections_uptime_and_memory() {
    let rig = Rig::start_with(&[("JWT_SECRET", SECRET)]);
    let _streams = open(&rig, &["ana", "ana", "zoe"]);
    let admin = bearer(&["--sub", "root", "--admin"]);
    let health = |path: &str, authorization: &str| get(&rig, path, authorization).json();
    assert!(within_a_moment(|| health("/health", "")["connections"]["total"] == 3));
    let body = health("/health", &admin);
    let connections = &body["connections"];
    assert_eq!((&body["status"], &connections["active"]), (&json!("ok"), &json!(3)));
    assert_eq!(connections["byUser"], json!({"ana": 2, "zoe": 1}));
    assert_eq!(
        (&connections["totalUsers"], &connections["totalConnections"]),
        (&json!(2), &json!(3))
    );
    // As the kernel tells it at about the same time.
    let path = format!("/proc/{}/statm", rig.server.pid());
    let statm = std::fs::read_to_string(path).expect("a process");
    let pages: u64 = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("pages");
    let rss = body["memory"]["rss"].as_u64().expect("bytes");
    assert!(rss.abs_diff(pages * 4_096) < 32 << 20, "{rss} beside {} ", pages * 4_096);
    let time = body["timestamp"].as_str().expect("a time");
    assert!(time.len() == 24 && time.ends_with('Z') && time.starts_with("20"), "{time}");
    assert!(body["uptime"].as_f64().is_some_and(|s| (0.0..600.0).contains(&s)), "{body}");
    // Nobody else is told names; a wrong token does not make a server ill.
    for nobody in ["", "Bearer wrong", &bearer(&["--sub", "ana"])] {
        let answer = get(&rig, "/health/sse", nobody);
        assert_eq!((answer.status, &answer.json()["connections"]["byUser"]), (200, &json!({})));
    }
    // The older system's path and word.
    let older = health("/notifications/health/sse", "");
    assert_eq!(
        (&older["status"], &older["connections"]["totalUsers"]),
        (&json!("healthy"), &json!(2))
    );
}

#[test]
fn s082_statistics_may_ask_for_a_token() {
    let user = bearer(&["--sub", "ana"]);
    let admin = bearer(&["--sub", "root", "--admin"]);
    let open = Rig::start_with(&[("JWT_SECRET", SECRET)]);
    assert_eq!(get(&open, "/stats", "").status, 200);
    assert_problem(&get(&open, "/stats", "Bearer wrong"), 401, "token");
    assert_problem(&get(&open, "/notifications/sse/stats", ""), 401, "token");
    assert_problem(&get(&open, "/notifications/sse/stats", &user), 403, "admin");
    assert_eq!(get(&open, "/notifications/sse/stats", &admin).status, 200);
    assert_problem(&get(&open, "/api/v1/notificacao/sse/stats", ""), 401, "token");
    assert_eq!(get(&open, "/api/v1/notificacao/sse/stats", &user).status, 200);
    let closed = Rig::start_file("[stats]\npublic = false\n", &[("JWT_SECRET", SECRET)]);
    assert_problem(&get(&closed, "/stats", ""), 401, "token");
    assert_eq!(get(&closed, "/stats", &user).status, 200);
    assert_eq!(get(&closed, "/health", "").status, 200, "the balancer has no token");
}

#[test]
fn s107_active_connections_have_a_label_for_as_many_users_as_is_set() {
    let env = [("JWT_SECRET", SECRET)];
    let file = "[metrics]\nuser_labels_max = 2\n[auth]\nanonymous = true\n";
    let rig = Rig::start_file(file, &env);
    let _streams = open(&rig, &["ana", "ana", "ana", "zoe", "zoe", "max"]);
    let _nobody = rig.open("/sse/a");
    let samples = || -> BTreeSet<String> {
        let text = metrics(&rig);
        let own = text.lines().filter(|line| line.starts_with("sse_active_connections"));
        own.map(str::to_owned).collect()
    };
    let wanted: BTreeSet<String> = [
        "sse_active_connections{user_id=\"ana\"} 3",
        "sse_active_connections{user_id=\"zoe\"} 2",
        // Who has none of their own.
        "sse_active_connections 2",
    ]
    .map(str::to_owned)
    .into();
    assert!(within_a_moment(|| samples() == wanted), "{:?}", samples());
    let plain = Rig::start_with(&env);
    let _streams = open(&plain, &["ana"]);
    assert!(within_a_moment(|| metric(&metrics(&plain), "sse_active_connections") == 1));
    assert!(!metrics(&plain).contains("user_id"), "no label is asked for");
}

#[test]
fn s109_the_duration_of_connections_is_a_histogram() {
    let rig = Rig::start();
    let short: Vec<_> = (0..3).map(|_| rig.open("/sse/a")).collect();
    let long = rig.open("/sse/a");
    drop(short);
    let counted = |of: u64| {
        within_a_moment(|| metric(&metrics(&rig), "sse_connection_duration_seconds_count") == of)
    };
    assert!(counted(3));
    std::thread::sleep(Duration::from_millis(1_100));
    drop(long);
    assert!(counted(4));
    let text = metrics(&rig);
    let family = "sse_connection_duration_seconds";
    let help = format!("# HELP {family} Duration of SSE connections in seconds");
    assert!(text.lines().any(|line| line == help));
    assert!(text.lines().any(|line| line == format!("# TYPE {family} histogram")));
    let bucket = format!("{family}_bucket{{le=\"");
    let buckets = text.lines().filter_map(|line| line.strip_prefix(&bucket)?.split_once("\"} "));
    let buckets: Vec<(&str, u64)> = buckets.map(|(le, n)| (le, n.parse().expect("n"))).collect();
    let bounds: Vec<&str> = buckets.iter().map(|(le, _)| *le).collect();
    assert_eq!(bounds, ["1", "5", "10", "30", "60", "300", "600", "1800", "3600", "+Inf"]);
    assert_eq!(buckets[8].1, 4, "nobody stayed an hour: {buckets:?}");
    assert!(buckets[0].1 <= 3, "one stayed more than a second: {buckets:?}");
    let sum = text.lines().find_map(|line| line.strip_prefix(&format!("{family}_sum ")));
    let sum: f64 = sum.and_then(|n| n.parse().ok()).expect("a sum");
    assert!((1.1..60.0).contains(&sum), "{sum} s in all");
}

#[test]
fn s110_messages_sent_are_counted_by_type_and_the_types_are_bounded() {
    let mut rig = Rig::start();
    let mut streams = [rig.open("/sse/a"), rig.open("/sse/a"), rig.open("/sse/a,b")];
    let _lines = rig.open_with("/sse/a", &[("Accept", "application/x-ndjson")]);
    rig.publish("a?event=chat", "1");
    rig.publish("a?event=chat", "2");
    rig.publish("b?event=alert", "3");
    rig.publish("a", "4");
    for name in 0..60 {
        rig.publish(&format!("b?event=flood{name}"), "5");
    }
    assert_eq!(data_of(&mut streams[2], 64).len(), 64);
    let sent = |kind: &str| {
        let text = metrics(&rig);
        let line = format!("sse_messages_sent_total{{type=\"{kind}\"}} ");
        text.lines().find_map(|found| found.strip_prefix(&line)?.parse::<u64>().ok())
    };
    let wanted = [Some(8), Some(1), Some(4)];
    let counted = || ["chat", "alert", "message"].map(sent);
    assert!(within_a_moment(|| counted() == wanted), "{:?}", counted());
    assert_eq!(sent("flood0"), Some(1));
    assert_eq!(sent("flood59"), None);
    let text = metrics(&rig);
    let kinds = text.lines().filter(|line| line.starts_with("sse_messages_sent_total{"));
    assert_eq!(kinds.count(), 33, "bounded, and the rest is other");
    let total = metric(&text, "sse_messages_sent_total");
    assert_eq!((total, metric(&text, "ringcast_deliveries_total")), (73, 73));
    assert!(text.contains("# HELP sse_messages_sent_total Total number of SSE messages sent\n"));
}

#[test]
fn delivery_latency_is_measured_for_what_is_sent_at_once() {
    let mut rig = Rig::start();
    let mut streams: Vec<_> = (0..20).map(|_| rig.open("/sse/a")).collect();
    for _ in 0..10 {
        rig.publish("a", "x");
    }
    for stream in &mut streams {
        assert_eq!(data_of(stream, 10).len(), 10);
    }
    // What is replayed has no latency.
    assert_eq!(data_of(&mut rig.open("/sse/a?last=10"), 10).len(), 10);
    let sent = || {
        let text = metrics(&rig);
        [
            metric(&text, "ringcast_deliveries_total"),
            metric(&text, "ringcast_delivery_latency_seconds_count"),
        ]
    };
    assert!(within_a_moment(|| sent() == [210, 200]), "{:?}", sent());
    let cores = rig.server.get_admin("/stats/cores").json();
    let cores = cores["cores"].as_array().expect("cores");
    let counted: u64 =
        cores.iter().filter_map(|c| c["delivery_latency_us"]["count"].as_u64()).sum();
    assert_eq!((cores.len(), counted), (2, 200));
    for core in cores.iter().filter(|core| core["delivery_latency_us"]["count"] != 0) {
        let [p50, p99] = ["p50", "p99"].map(|name| core["delivery_latency_us"][name].as_u64());
        assert!(p50.is_some() && p50 <= p99, "{core}");
    }
    // A core that has nothing to do sleeps.
    let idle = || {
        let cores = rig.server.get_admin("/stats/cores").json();
        let all = cores["cores"].as_array().expect("cores").clone();
        all.iter().all(|core| core["busy_permille"].as_u64().is_some_and(|busy| busy < 500))
            && all.iter().all(|core| core["asleep_us"].as_u64().is_some_and(|us| us > 500_000))
    };
    assert!(within_a_moment(idle), "{cores:?}");
}

/// The families that another parser finds: `name kind`, one a line, and the samples' names.
const PARSE: &str = r#"
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as text
for family in (open_metrics if sys.argv[1] == "open" else text)(sys.stdin.read()):
    assert family.documentation, family.name
    for sample in family.samples:
        print(sample.name, family.type, sample.value)
"#;

fn parsed(kind: &str, body: &[u8]) -> String {
    let mut child = Command::new(crate::support::program::python())
        .args(["-c", PARSE, kind])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python runs");
    child.stdin.take().expect("piped").write_all(body).expect("written");
    let output = child.wait_with_output().expect("it ends");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}\n{}", String::from_utf8_lossy(body));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn another_parser_reads_the_metrics_in_both_forms() {
    let mut rig = Rig::start();
    let mut stream = rig.open("/sse/a");
    rig.publish("a?event=say%20%22hi%22%5C", "x");
    assert_eq!(next(&mut stream).data, "x");
    drop(stream);
    assert!(within_a_moment(
        || metric(&metrics(&rig), "sse_connection_duration_seconds_count") == 1
    ));
    let accept = [("Accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")];
    let open = http::request(rig.server.admin, "GET", "/metrics", &accept, b"").expect("an answer");
    let kind = open.header("content-type").expect("a type");
    assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
    assert!(open.body.ends_with(b"\n# EOF\n"));
    let open = parsed("open", &open.body);
    let text = parsed("text", metrics(&rig).as_bytes());
    let names = |found: &str| -> BTreeSet<String> {
        found.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
    };
    let (open, text) = (names(&open), names(&text));
    let own = |name: &&String| !name.starts_with("sse_");
    assert_eq!(open.iter().collect::<Vec<_>>(), text.iter().filter(own).collect::<Vec<_>>());
    assert!(open.len() > 40 && text.len() > open.len(), "{text:?}");
}

/// Names of metrics that stand in an expression.
fn names_in(expression: &str) -> Vec<&str> {
    let words = expression.split(|sign: char| !(sign.is_ascii_alphanumeric() || sign == '_'));
    let own = |word: &&str| ["ringcast_", "sse_", "process_"].iter().any(|p| word.starts_with(p));
    words.filter(own).collect()
}

fn shipped(file: &str) -> String {
    let path = format!("{}/deploy/{file}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).expect("a shipped file")
}

/// All values under this key, however deep.
fn under<'v>(value: &'v Value, key: &str, found: &mut Vec<&'v str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get(key).and_then(Value::as_str));
            fields.values().for_each(|value| under(value, key, found));
        }
        Value::Array(all) => all.iter().for_each(|value| under(value, key, found)),
        _ => {}
    }
}

#[test]
fn s118_every_name_in_the_shipped_alerts_and_dashboard_is_in_a_scrape() {
    let rig = Rig::start();
    let text = metrics(&rig);
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let scraped: BTreeSet<&str> =
        samples.filter_map(|line| line.split(['{', ' ']).next()).collect();
    let rules = shipped("alerts.yml");
    let alerts: Vec<&str> =
        rules.split("expr:").skip(1).filter_map(|rest| rest.split("for:").next()).collect();
    let board: Value = serde_json::from_str(&shipped("grafana.json")).expect("JSON");
    let mut panels = Vec::new();
    under(&board, "expr", &mut panels);
    under(&board, "query", &mut panels);
    assert!(alerts.len() > 10 && panels.len() > 25, "{} {}", alerts.len(), panels.len());
    let used: BTreeSet<&str> =
        alerts.iter().chain(&panels).flat_map(|expression| names_in(expression)).collect();
    for expression in &alerts {
        assert!(!names_in(expression).is_empty() || expression.contains("up{"), "{expression}");
    }
    let missing: Vec<_> = used.difference(&scraped).collect();
    assert!(missing.is_empty(), "{missing:?} are not in a scrape");
    // What the older system's operators watched.
    for watched in ["ringcast_streams", "process_resident_memory_bytes"] {
        assert!(alerts.iter().any(|expression| names_in(expression).contains(&watched)));
    }
}

/// `promtool` with these arguments and this input: its exit code and what it said.
fn promtool(args: &[&str], input: &[u8]) -> (Option<i32>, String) {
    let mut child = Command::new(crate::support::program::promtool())
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs");
    child.stdin.take().expect("piped").write_all(input).expect("written");
    let output = child.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn promtool_has_nothing_against_the_metrics_and_the_rules() {
    let mut rig = Rig::start();
    let mut stream = rig.open("/sse/a");
    rig.publish("a?event=chat", "x");
    assert_eq!(next(&mut stream).data, "x");
    let (_, said) = promtool(&["check", "metrics"], metrics(&rig).as_bytes());
    // A counter of an older system whose name is not ours to choose.
    let against: Vec<&str> =
        said.lines().filter(|line| !line.starts_with("sse_total_connections ")).collect();
    assert!(against.is_empty(), "{against:?}");
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/alerts.yml");
    let (code, said) = promtool(&["check", "rules", rules], b"");
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn the_metrics_may_be_open_where_the_rest_is_not() {
    let env = [("JWT_SECRET", SECRET)];
    let rig =
        Rig::start_file("[admin]\nmetrics_public = true\nhosts = ['ops.example.org']\n", &env);
    let from = |path: &str, host: &str| {
        http::request(rig.server.admin, "GET", path, &[("Host", host)], b"").expect("an answer")
    };
    assert_eq!(from("/metrics", "10.0.0.1:9000").status, 200);
    assert_eq!(from("/stats", "10.0.0.1:9000").status, 421);
    for host in ["ops.example.org", "OPS.example.org:8081"] {
        assert_eq!(from("/stats", host).status, 200, "{host}");
    }
    assert_eq!(from("/stats", "ops.example.org.evil.example").status, 421);
}
