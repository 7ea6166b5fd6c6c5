//! Start, pages, stop: what operators see first.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::rig::{Rig, SOON, TOKEN, data_of, next};
use crate::support::server::{Server, command, free_address, new_folder};

#[test]
fn s007_s008_health_and_stats_answer_on_both_addresses() {
    let mut rig = Rig::start();
    let _stream = rig.open("/sse/a");
    rig.publish("a", "x");
    for path in ["/health", "/livez", "/readyz", "/stats"] {
        assert_eq!(rig.server.get(path).status, 200, "{path}");
        assert_eq!(rig.server.get_admin(path).status, 200, "{path}");
    }
    let health = rig.server.get("/health").json();
    assert_eq!(health["status"], "ok");
    assert!(health["timestamp"].is_string() && health["uptime"].is_number(), "{health}");
    let stats = rig.server.get("/stats").json();
    assert!(stats.is_object(), "{stats}");
}

#[test]
fn s120_stats_by_core_add_up() {
    let mut rig = Rig::start();
    let mut streams: Vec<_> = (0..8).map(|_| rig.open("/sse/a")).collect();
    rig.publish("a", "x");
    for stream in &mut streams {
        assert_eq!(data_of(stream, 1), ["x"]);
    }
    let mut seen = Value::Null;
    let counted = crate::support::wait_until(SOON, Duration::from_millis(50), || {
        let cores = rig.server.get_admin("/stats/cores").json();
        let list = cores["cores"].as_array().or(cores.as_array()).cloned().unwrap_or_default();
        let sum = |name: &str| list.iter().filter_map(|core| core[name].as_u64()).sum::<u64>();
        let good = list.len() == 2 && sum("deliveries") == 8 && sum("connections") >= 8;
        seen = cores;
        good
    });
    assert!(counted, "{seen}");
}

#[test]
fn metrics_are_prometheus_text() {
    let rig = Rig::start();
    let answer = rig.server.get_admin("/metrics");
    assert!(answer.header("content-type").is_some_and(|media| media.starts_with("text/plain")));
    let text = String::from_utf8(answer.body).expect("UTF-8");
    let mut samples = 0;
    for line in text.lines() {
        if line.starts_with("# HELP ") || line.starts_with("# TYPE ") || line.is_empty() {
            continue;
        }
        let (name, value) = line.rsplit_once(' ').expect("a sample");
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let known = ["ringcast_", "sse_", "process_"].iter().any(|first| name.starts_with(first));
        assert!(known, "{line}");
        samples += 1;
    }
    assert!(samples > 10, "{text}");
}

#[test]
fn sigterm_says_bye_to_streams_and_exits_with_0() {
    let mut rig = Rig::start();
    let mut streams: Vec<_> = (0..5).map(|_| rig.open("/sse/a")).collect();
    let id = rig.publish("a", "x");
    rig.server.signal("TERM");
    for stream in &mut streams {
        let event = next(stream);
        assert_eq!((&*event.id, &*event.data), (&*id, "x"));
        let bye = next(stream);
        assert_eq!(bye.event, "sse.bye");
        let value: Value = serde_json::from_str(&bye.data).expect("JSON");
        assert_eq!(value["reason"], "drain");
        assert_eq!(value["reconnect"], true);
        assert!(stream.ends_within(SOON));
    }
    let status = rig.server.wait_exit(SOON).expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", rig.server.output());
}

#[test]
fn a_second_sigterm_ends_it_now() {
    let mut rig = Rig::start();
    let _streams: Vec<_> = (0..200).map(|_| rig.open("/sse/a")).collect();
    rig.server.signal("TERM");
    std::thread::sleep(Duration::from_millis(50));
    rig.server.signal("TERM");
    let status = rig.server.wait_exit(Duration::from_secs(10)).expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", rig.server.output());
}

#[test]
fn s160_a_second_instance_on_the_same_port_exits_with_75() {
    let rig = Rig::start();
    let folder = new_folder();
    let mut second = Server::spawn(&folder, rig.address(), free_address(), &[], &[]);
    let status = second.wait_exit(SOON).expect("it does not start");
    assert_eq!(status.code(), Some(75), "{}", second.output());
    assert!(second.output().contains(&rig.address().to_string()), "{}", second.output());
    assert_eq!(rig.server.get("/health").status, 200, "the first one goes on");
}

#[test]
fn bad_settings_exit_with_78_and_name_all_of_them() {
    let folder = new_folder();
    let output = command(&folder, &[("JWT_SSE_EXPIRES_IN", "soon")])
        .args(["--listen", "nowhere", "--admin", "here"])
        .output()
        .expect("the binary runs");
    let _ = std::fs::remove_dir_all(&folder);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{text}");
    for part in ["--listen", "nowhere", "--admin", "here", "JWT_SSE_EXPIRES_IN", "soon"] {
        assert!(text.contains(part), "{part} is not named:\n{text}");
    }
}

#[test]
fn wrong_usage_exits_with_2_and_token_without_a_secret_with_78() {
    let folder = new_folder();
    let run = |args: &[&str]| {
        let none: [(&str, &str); 0] = [];
        let output = command(&folder, &none).args(args).output().expect("the binary runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(run(&["--nonsense"]).0, Some(2));
    let (code, text) = run(&["token", "--sub", "u"]);
    assert_eq!(code, Some(78), "{text}");
    assert!(text.contains("JWT_SECRET"), "{text}");
    let _ = std::fs::remove_dir_all(&folder);
}

#[test]
fn a_refused_io_uring_exits_with_69_and_names_the_cause() {
    // A filter that answers io_uring_setup with EPERM, as container runtimes do.
    let script = "\
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def op(code, jt, jf, k): return struct.pack('HBBI', code, jt, jf, k)
prog = op(0x20, 0, 0, 0) + op(0x15, 0, 1, 425) + op(0x06, 0, 0, 0x00050001) \
     + op(0x06, 0, 0, 0x7fff0000)
buf = ctypes.create_string_buffer(prog)
fprog = ctypes.create_string_buffer(struct.pack('HxxxxxxQ', 4, ctypes.addressof(buf)))
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, fprog, 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])
";
    let folder = new_folder();
    let output = std::process::Command::new("python3")
        .args(["-c", script, crate::support::server::BINARY])
        .args(["--listen", &free_address().to_string(), "--admin", &free_address().to_string()])
        .current_dir(&folder)
        .stdin(Stdio::null())
        .output()
        .expect("python3 runs");
    let _ = std::fs::remove_dir_all(&folder);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(69), "{text}");
    assert!(text.contains("seccomp"), "the cause is named: {text}");
}

#[test]
fn the_terminal_client_publishes_and_subscribes() {
    let mut rig = Rig::start();
    let folder = new_folder();
    let url = format!("http://{}", rig.address());
    let none: [(&str, &str); 0] = [];
    let id = rig.publish("t", "before");
    let mut subscriber = command(&folder, &none)
        .args(["subscribe", "t", "--last", "1", "--url", &url])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut lines = {
        use std::io::BufRead;
        std::io::BufReader::new(subscriber.stdout.take().expect("piped")).lines()
    };
    let mut text = lines.next().expect("a line").expect("text") + "\n";
    let output = command(&folder, &none)
        .args(["publish", "t", "hello", "--event", "greeting", "--url", &url, "--token", TOKEN])
        .output()
        .expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    while !text.contains("hello") {
        text.push_str(&lines.next().expect("a line").expect("text"));
        text.push('\n');
    }
    let _ = subscriber.kill();
    let _ = subscriber.wait();
    let _ = std::fs::remove_dir_all(&folder);
    assert!(text.contains("before") && text.contains("greeting"), "{text}");
    assert!(!id.is_empty());
}

#[test]
fn s084_tokens_never_appear_in_what_is_printed() {
    let rig = Rig::start();
    for path in ["/sse/a?token=leak-query", "/stats?token=leak-query", "/nothing?token=leak-query"]
    {
        let _ = rig.server.get(path);
    }
    let headers = [("Authorization", "Bearer leak-header"), ("Cookie", "access_token=leak-cookie")];
    let _ = crate::support::http::request(rig.address(), "GET", "/sse/a", &headers, b"");
    let output = rig.server.output();
    assert!(!output.contains("leak") && !output.contains(TOKEN), "{output}");
}

#[test]
fn s121_log_lines_tell_start_drain_and_stop_as_text_or_json() {
    let mut text = Rig::start();
    text.server.signal("TERM");
    assert!(text.server.wait_exit(SOON).is_some());
    let output = text.server.output();
    for part in ["[ringcast] info: started", "info: draining", "info: stopped"] {
        let line = output.lines().find(|line| line.contains(part));
        let line = line.unwrap_or_else(|| panic!("{part} is missing:\n{output}"));
        assert!(line.starts_with("20") && line[..24].ends_with('Z'), "a timestamp: {line}");
    }
    let json = Server::start(&["--log-format", "json", "--log-level", "info"], &[]);
    let output = json.output();
    let started = output.lines().filter(|line| line.starts_with('{')).find_map(|line| {
        let value: Value = serde_json::from_str(line).expect("JSON");
        (value["message"] == "started").then_some(value)
    });
    let started = started.unwrap_or_else(|| panic!("no such line:\n{output}"));
    assert_eq!(started["level"], "INFO");
    assert_eq!(started["pid"], json.pid());
    assert!(started["timestamp"].is_string());
}

/// Without a watch on each stream (no kernel memory above the bare socket) those that are gone are
/// noticed by the heartbeats that fail.
#[test]
fn s186_dead_streams_are_found_by_heartbeat_alone() {
    let env = [("RINGCAST_STREAM__WATCH_HANGUP", "false"), ("SSE_HEARTBEAT_INTERVAL", "200")];
    let mut rig = Rig::start_with(&env);
    let mut kept = rig.open("/sse/a");
    let gone: Vec<_> = (0..20).map(|_| rig.open("/sse/a")).collect();
    let open = |rig: &Rig| rig.server.get("/stats").json()["activeConnections"].clone();
    drop(gone);
    let found = crate::support::wait_until(SOON, Duration::from_millis(50), || open(&rig) == 1);
    assert!(found, "{} are still open", open(&rig));
    rig.publish("a", "x");
    assert_eq!(data_of(&mut kept, 1), ["x"]);
}
