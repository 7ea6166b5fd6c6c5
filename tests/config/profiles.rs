//! The shipped files of variables give the numbers of system A.

use serde_json::json;

use crate::run::Folder;

/// Heartbeat, lifetime, streams of a user, sweep, compression, origins.
type Numbers = (u64, u64, u64, u64, bool, &'static [&'static str]);

fn holds(name: &str, numbers: Numbers) {
    let path = format!("{}/deploy/profiles/{name}.env", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("the profile");
    let as_dotenv = Folder::new(&[(".env", &text)]);
    // As `docker run --env-file` does it: each line as it stands.
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let env: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once('=')).collect();
    let empty = Folder::new(&[]);
    for shown in [as_dotenv.show(&[], &[]), empty.show(&[], &env)] {
        let (heartbeat_ms, lifetime_ms, per_user, sweep_ms, compressed, origins) = numbers;
        for (key, value) in [
            ("heartbeat.interval_ms", json!(heartbeat_ms)),
            ("stream.lifetime_max_ms", json!(lifetime_ms)),
            ("limits.per_user", json!(per_user)),
            ("stream.cleanup_interval_ms", json!(sweep_ms)),
            ("compression.enabled", json!(compressed)),
            ("cors.origins", json!(origins)),
            ("log.files", json!("logs")),
        ] {
            assert_eq!(shown[key]["value"], value, "{name}: {key}");
        }
    }
    let checked = as_dotenv.run(&["check"], &[]);
    let warning = ".env:10 RINGCAST_LOG__FILES: log.files = \"logs\": not in force in this version";
    assert!(checked.stdout.contains(warning), "{checked:?}");
}

#[test]
fn s031_development() {
    let origins = &["http://localhost:3000", "http://localhost:3001"];
    holds("development", (10_000, 600_000, 10, 30_000, false, origins));
}

#[test]
fn s032_staging() {
    holds("staging", (20_000, 300_000, 5, 45_000, true, &["https://pgben-staging.semtas.gov.br"]));
}

#[test]
fn s033_production() {
    holds("production", (30_000, 300_000, 3, 60_000, true, &["https://pgben.semtas.gov.br"]));
}
