//! `config show`, `config init`, `config schema`, `check`.

use serde_json::Value;

use crate::run::Folder;

#[test]
fn what_is_shown_is_a_file_that_says_the_same() {
    let folder = Folder::new(&[]);
    let set = ["--set", "namespaces.\"user:\".history_events=5", "--set", "limits.per_ip=7"];
    let shown = folder.run(&[&["config", "show"], &set[..]].concat(), &[]);
    assert_eq!(shown.code, Some(0), "{shown:?}");
    for line in [
        "limits.per_ip = 7  # --set",
        "heartbeat.interval_ms = 30000  # default",
        "namespaces.\"user:\".history_events = 5  # --set",
    ] {
        assert!(shown.stdout.lines().any(|shown| shown == line), "{line}\n{}", shown.stdout);
    }
    let again = Folder::new(&[("shown.toml", &shown.stdout)]);
    let (before, after) = (folder.show(&set, &[]), again.show(&["--config", "shown.toml"], &[]));
    let (before, after) = (before.as_object().expect("one"), after.as_object().expect("one"));
    assert_eq!(before.len(), after.len());
    for (key, one) in before {
        assert_eq!(after[key]["value"], one["value"], "{key}");
    }
}

#[test]
fn the_file_of_init_can_be_used_as_it_is() {
    let init = Folder::new(&[]).run(&["config", "init"], &[]);
    assert_eq!(init.code, Some(0));
    let folder = Folder::new(&[("ringcast.toml", &init.stdout)]);
    let checked = folder.run(&["check", "--config", "ringcast.toml"], &[]);
    assert!(checked.stdout.starts_with("ok: the configuration can be used\n"), "{checked:?}");
    assert!(init.stdout.contains("\n#interval_ms = \"30s\"\n"), "{}", init.stdout);
}

#[test]
fn the_schema_is_json() {
    let output = Folder::new(&[]).run(&["config", "schema"], &[]);
    let schema: Value = serde_json::from_str(&output.stdout).expect("JSON");
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert!(schema.pointer("/properties/limits/properties/per_user").is_some());
    assert!(schema.pointer("/properties/namespaces/anyOf/0/additionalProperties").is_some());
}

#[test]
fn check_tells_findings_as_json_and_the_machine_where_the_configuration_is_good() {
    let folder = Folder::new(&[]);
    let good = folder.run(&["check", "--format", "json"], &[("JWT_SECRET", "short")]);
    assert_eq!(good.code, Some(0), "{good:?}");
    let value: Value = serde_json::from_str(&good.stdout).expect("JSON");
    let findings = value["findings"].as_array().expect("a list");
    let areas: Vec<&str> = findings.iter().filter_map(|one| one["area"].as_str()).collect();
    assert!(areas.contains(&"configuration") && areas.contains(&"machine"), "{value:#}");
    assert_eq!(findings[0]["key"], "auth.jwt_secret");
    assert_eq!(findings[0]["origin"], "JWT_SECRET");
    assert!(!good.stdout.contains("short\""), "the secret is shown: {}", good.stdout);
    let bad = folder.run(&["check", "--format", "json", "--set", "workers=none"], &[]);
    let value: Value = serde_json::from_str(&bad.stdout).expect("JSON");
    assert_eq!((bad.code, &value["exit"]), (Some(78), &Value::from(78)));
    assert_eq!(value["findings"][0]["value"], "\"none\"");
}

#[test]
fn check_exits_with_1_where_io_uring_is_refused() {
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
    let folder = Folder::new(&[]);
    let output = std::process::Command::new("python3")
        .args(["-c", script, crate::support::server::BINARY, "check"])
        .current_dir(&folder.0)
        .output()
        .expect("python3 runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("error: machine:") && text.contains("seccomp"), "{text}");
}
