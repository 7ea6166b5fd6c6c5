//! Configuration from outside: every broken file is told as it should be, every layer counts, and
//! a namespace's options hold on the wire.

mod support;

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use support::server::{Server, command, new_folder};

/// Runs the binary in an empty folder.
fn run(args: &[&str], env: &[(&str, &str)]) -> Output {
    run_in(&new_folder(), args, env)
}

fn run_in(folder: &Path, args: &[&str], env: &[(&str, &str)]) -> Output {
    let output = command(folder, env).args(args).output().expect("the binary runs");
    let _ = std::fs::remove_dir_all(folder);
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn broken_files() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/config/broken");
    let entries = std::fs::read_dir(folder).expect("the folder").flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    files
}

/// Beside each broken file stands what the server says to it. Write them anew, and read them, with
/// RINGCAST_TEST_WRITE_GOLDEN=1.
#[test]
fn every_broken_file_is_told_with_line_key_value_and_cure() {
    let files = broken_files();
    assert!(files.len() >= 30, "{}", files.len());
    for path in files {
        let folder = new_folder();
        std::fs::copy(&path, folder.join("ringcast.toml")).expect("copied");
        let output = run_in(&folder, &["serve", "--config", "ringcast.toml"], &[]);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{path:?}: {told}");
        assert_eq!(text(&output.stdout), "", "{path:?}");
        assert!(!told.contains("hush"), "{told}");
        let golden = path.with_extension("txt");
        if std::env::var_os("RINGCAST_TEST_WRITE_GOLDEN").is_some() {
            std::fs::write(&golden, &told).expect("written");
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(told, expected, "{path:?}");
    }
}

/// `config show --format json` of these variables: key to value.
fn shown(env: &[(&str, &str)]) -> Value {
    let output = run(&["config", "show", "--format", "json"], env);
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn s023_s024_s034_s038_s039_the_old_names_are_known() {
    let env = [
        ("SSE_HEARTBEAT_INTERVAL", "20000"),
        ("SSE_CONNECTION_TIMEOUT", "300000"),
        ("JWT_SSE_EXPIRES_IN", "2h"),
        ("AUTH_TOKEN", "a-token-nobody-sees"),
        ("MAX_SSE_CLIENTS", "500"),
    ];
    let all = shown(&env);
    for (key, value) in [
        ("heartbeat.interval_ms", "20000"),
        ("limits.lifetime_max_ms", "300000"),
        ("auth.token_ttl", "2h"),
        ("auth.publish_token", "***"),
        ("limits.connections_max", "500"),
    ] {
        assert_eq!(
            (&all[key]["value"], &all[key]["origin"]),
            (&value.into(), &"environment".into())
        );
    }
    assert_eq!(all["auth.jwt_secret"]["origin"], "default");
    assert!(!all.to_string().contains("nobody"), "{all}");
}

#[test]
fn the_layers_are_read_from_where_they_are() {
    let folder = new_folder();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("written");
    write(
        "a.toml",
        "[stream]\nretry_ms = 1\n[heartbeat]\ninterval_ms = 1000\n[log]\nlevel = \"warn\"\n",
    );
    write(".env", "RINGCAST_STREAM__RETRY_MS=2 # from the file\nSSE_HEARTBEAT_INTERVAL=2000\n");
    let args = ["config", "show", "--config", "a.toml", "--set", "limits.stall_max_ms=4000"];
    let output = run_in(&folder, &args, &[("RINGCAST_STREAM__RETRY_MS", "3")]);
    let told = text(&output.stdout);
    for line in [
        "stream.retry_ms = 3  (environment, RINGCAST_STREAM__RETRY_MS)",
        "heartbeat.interval_ms = 2000  (.env:2, SSE_HEARTBEAT_INTERVAL)",
        "log.level = warn  (a.toml:6)",
        "limits.stall_max_ms = 4000  (command line)",
        "workers = one per core  (default)",
    ] {
        assert!(told.lines().any(|told| told == line), "{line} in\n{told}");
    }
}

#[test]
fn check_says_what_is_wrong_and_ends_with_78() {
    let good = run(&["check"], &[]);
    assert_eq!(good.status.code(), Some(0), "{}", text(&good.stdout));
    assert!(text(&good.stdout).contains("io_uring"), "{}", text(&good.stdout));
    let bad = run(&["check", "--set", "workers=x", "--format", "json"], &[]);
    assert_eq!(bad.status.code(), Some(78));
    let found: Value = serde_json::from_slice(&bad.stdout).expect("JSON");
    assert!(found.as_array().expect("a list").iter().any(|one| one["level"] == "error"), "{found}");
    let missing = run(&["check", "--config", "/no/such/file.toml"], &[]);
    assert!(text(&missing.stdout).contains("--config=\"/no/such/file.toml\""), "{missing:?}");
}

#[test]
fn a_file_to_begin_with_is_taken_as_it_is() {
    let folder = new_folder();
    let init = run(&["config", "init"], &[]);
    std::fs::write(folder.join("ringcast.toml"), &init.stdout).expect("written");
    let checked = run_in(&folder, &["check", "--config", "ringcast.toml"], &[]);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stdout));
    let schema = run(&["config", "schema"], &[]);
    let schema: Value = serde_json::from_slice(&schema.stdout).expect("JSON");
    assert_eq!(schema["properties"]["workers"]["type"], "integer");
}

#[test]
fn a_namespaces_options_hold_on_the_wire() {
    const TOKEN: &str = "publish-token-of-the-config-tests";
    let folder = new_folder();
    let file = folder.join("ringcast.toml");
    let text = "[namespaces.\"R:\"]\nevents_max = 2\n[namespaces.\"price:\"]\nmode = \"latest\"\n\
                [limits]\nbody_bytes_max = 2048\n";
    std::fs::write(&file, text).expect("written");
    let path = file.display().to_string();
    let server = Server::start(&["--workers", "1", "--config", &path], &[("AUTH_TOKEN", TOKEN)]);
    let mut publisher = support::http::Publisher::new(server.listen, TOKEN);
    for n in 0..5 {
        for channel in ["R:1", "price:1", "other"] {
            publisher.publish(channel, format!("{n}").as_bytes());
        }
    }
    let kept = |channel: &str| {
        let answer = server.get(&format!("/poll/{channel}?since=earliest&timeout=1")).json();
        let events = answer["events"].as_array().cloned().unwrap_or_default();
        events.iter().map(|event| event["data"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(kept("R:1"), ["3", "4"]);
    assert_eq!(kept("price:1"), ["4"]);
    assert_eq!(kept("other"), ["0", "1", "2", "3", "4"]);
    let bearer = format!("Bearer {TOKEN}");
    let body = vec![b'x'; 4096];
    let headers = [("Authorization", &*bearer)];
    let answer = support::http::request(server.listen, "POST", "/publish/a", &headers, &body);
    assert_eq!(answer.expect("an answer").status, 413);
    let _ = std::fs::remove_dir_all(&folder);
}
