//! Which of several values counts, and what each variable means.

use serde_json::{Value, json};

use crate::run::Folder;

#[test]
fn each_layer_counts_more_than_the_one_before() {
    let toml = "[stream]\nretry_ms = 1\nidle_timeout_ms = '1m'\n[drain]\nwithin_ms = 1\n[limits]\nkeepalive_ms = '1s'\n";
    let dotenv = "RINGCAST_STREAM__RETRY_MS=2\nexport RINGCAST_DRAIN__WITHIN_MS='2' # two\nRINGCAST_LIMITS__KEEPALIVE_MS=2000\n";
    let folder = Folder::new(&[("r.toml", toml), (".env", dotenv)]);
    let env = [("RINGCAST_DRAIN__WITHIN_MS", "3"), ("RINGCAST_LIMITS__KEEPALIVE_MS", "3000")];
    let args = ["--config", "r.toml", "--set", "limits.keepalive_ms=4s"];
    let shown = folder.show(&args, &env);
    for (key, value, origin) in [
        ("limits.head_timeout_ms", 10_000, "default"),
        ("stream.idle_timeout_ms", 60_000, "r.toml:3"),
        ("stream.retry_ms", 2, ".env:1 RINGCAST_STREAM__RETRY_MS"),
        ("drain.within_ms", 3, "RINGCAST_DRAIN__WITHIN_MS"),
        ("limits.keepalive_ms", 4_000, "--set"),
    ] {
        assert_eq!(shown[key]["value"], value, "{key}");
        assert_eq!(shown[key]["origin"], origin, "{key}");
    }
}

#[test]
fn the_file_may_be_named_by_a_variable_and_must_be_there() {
    let folder = Folder::new(&[("r.toml", "refuse = 'status'\n")]);
    let env = [("RINGCAST_CONFIG", "r.toml")];
    assert_eq!(folder.shown("refuse", &[], &env), (json!("status"), "r.toml:1".to_owned()));
    for args in [&["check", "--config", "none.toml"][..], &["--config", "none.toml"]] {
        let output = folder.run(args, &[]);
        assert_eq!(output.code, Some(78), "{output:?}");
        let text = output.stdout + &output.stderr;
        assert!(text.contains("--config: config = \"none.toml\": there is no such file"), "{text}");
    }
}

fn value(key: &str, env: &[(&str, &str)]) -> Value {
    Folder::new(&[]).shown(key, &[], env).0
}

#[test]
fn s023_s024_s025_s026_intervals_and_caps_of_a_and_b() {
    for (variable, key, usual) in [
        ("SSE_HEARTBEAT_INTERVAL", "heartbeat.interval_ms", json!(30_000)),
        // A stream that hears heartbeats is never idle: an absolute end is off by default.
        ("SSE_CONNECTION_TIMEOUT", "stream.lifetime_max_ms", json!("off")),
        ("SSE_MAX_CONNECTIONS_PER_USER", "limits.per_user", json!(5)),
        ("SSE_CLEANUP_INTERVAL", "stream.cleanup_interval_ms", json!(60_000)),
    ] {
        assert_eq!(value(key, &[]), usual, "{key}");
        assert_eq!(value(key, &[(variable, "12345")]), 12_345, "{variable}");
    }
}

#[test]
fn s027_only_the_exact_text_true_compresses() {
    let of = |text| value("compression.enabled", &[("SSE_ENABLE_COMPRESSION", text)]);
    assert_eq!(of("true"), true);
    for text in ["", "TRUE", "True", "1", "yes", " true", "false"] {
        assert_eq!(of(text), false, "{text:?}");
    }
}

#[test]
fn s028_s035_origins_of_a_and_b() {
    let a = ("SSE_CORS_ORIGINS", "http://localhost:3000,https://pgben.semtas.gov.br");
    let b = ("FRONTEND_URL", "https://app.example.org");
    let key = "cors.origins";
    assert_eq!(value(key, &[]), json!(["http://localhost:3000"]));
    assert_eq!(value(key, &[a]), json!(["http://localhost:3000", "https://pgben.semtas.gov.br"]));
    assert_eq!(value(key, &[b]), json!(["https://app.example.org"]));
    assert_eq!(value(key, &[a, b]).as_array().map(Vec::len), Some(3));
}

#[test]
fn s029_numbers_are_read_as_parse_int_or_default() {
    let key = "heartbeat.interval_ms";
    for (text, number) in [
        ("15000", 15_000),
        ("15000 # half of it", 15_000),
        ("15000ms", 15_000),
        ("0", 30_000),
        ("-1", 30_000),
        ("soon", 30_000),
        ("", 30_000),
    ] {
        let env = [("SSE_HEARTBEAT_INTERVAL", text)];
        assert_eq!(value(key, &env), number, "{text:?}");
        let warned = Folder::new(&[]).run(&["check"], &env).stdout.contains("no plain number");
        assert_eq!(warned, !["15000", ""].contains(&text), "{text:?}");
    }
    let folder = Folder::new(&[(".env", "SSE_HEARTBEAT_INTERVAL=15000 # half of it\n")]);
    let output = folder.run(&["check"], &[]);
    assert!(!output.stdout.contains("plain number"), "cut off in .env: {output:?}");
}

#[test]
fn s030_the_names_of_a_are_told_their_keys() {
    let text = "heartbeatInterval = 1\nconnectionTimeout = 1\nmaxConnectionsPerUser = 1\ncleanupInterval = 1\nenableCompression = 1\ncorsOrigins = 1\n";
    let folder = Folder::new(&[("a.toml", text)]);
    let output = folder.run(&["check", "--config", "a.toml"], &[]);
    assert_eq!(output.code, Some(78));
    for key in [
        "heartbeat.interval_ms",
        "stream.lifetime_max_ms",
        "limits.per_user",
        "stream.cleanup_interval_ms",
        "compression.enabled",
        "cors.origins",
    ] {
        assert!(output.stdout.contains(&format!("did you mean {key}?")), "{key}: {output:?}");
    }
}

#[test]
fn s034_life_and_secret_of_tokens() {
    assert_eq!(value("auth.token_ttl", &[]), 604_800);
    assert_eq!(value("auth.token_ttl", &[("JWT_SSE_EXPIRES_IN", "12h")]), 43_200);
    let env = [("JWT_SECRET", "never-shown-never-shown-never-shown")];
    assert_eq!(value("auth.jwt_secret", &env), "***");
    assert_eq!(value("auth.jwt_secret", &[]), "");
}

#[test]
fn s036_s037_s038_s039_keys_polls_tokens_and_the_total() {
    let key = "never-shown-never-shown-never-shown";
    assert_eq!(value("encryption.keys", &[("SSE_ENCRYPTION_KEY", key)]), json!({ "": "***" }));
    assert_eq!(value("poll.interval_ms", &[]), 5_000);
    assert_eq!(value("poll.interval_ms", &[("POLL_INTERVAL", "1000")]), 1_000);
    assert_eq!(value("auth.publish_token", &[("AUTH_TOKEN", "never-shown-never")]), "***");
    assert_eq!(value("limits.connections_max", &[]), "auto");
    assert_eq!(value("limits.connections_max", &[("MAX_SSE_CLIENTS", "500")]), 500);
}

#[test]
fn s040_limits_are_configurable() {
    let toml =
        "[limits]\nper_user = 3\nconnections_max = 500\n[stream]\nidle_timeout_ms = 300_000\n";
    let folder = Folder::new(&[("e.toml", toml)]);
    let shown = folder.show(&["--config", "e.toml"], &[]);
    assert_eq!(shown["limits.per_user"]["value"], 3);
    assert_eq!(shown["limits.connections_max"]["value"], 500);
    assert_eq!(shown["stream.idle_timeout_ms"]["value"], 300_000);
    assert_eq!(shown["limits.per_user_on_limit"]["value"], "evict_oldest");
}

#[test]
fn s020_s021_the_port() {
    assert_eq!(value("listen", &[]), json!(["127.0.0.1:8080", "[::1]:8080"]));
    assert_eq!(value("listen", &[("PORT", "3000")]), json!(["0.0.0.0:3000", "[::]:3000"]));
}

#[test]
fn secrets_come_from_files_too() {
    let folder = Folder::new(&[("secret", "0123456789abcdef0123456789abcdef\n")]);
    let env = [("JWT_SECRET_FILE", "secret")];
    let shown = folder.shown("auth.jwt_secret", &[], &env);
    assert_eq!(shown, (json!("***"), "JWT_SECRET_FILE".to_owned()));
    let made = folder.run(&["token", "--sub", "u"], &env);
    assert_eq!(made.code, Some(0), "{made:?}");
    let direct = [("JWT_SECRET", "0123456789abcdef0123456789abcdef")];
    let other = folder.run(&["token", "--sub", "u"], &direct);
    // The same secret signs the same head; the times of the bodies may differ by a second.
    assert_eq!(made.stdout.split('.').next(), other.stdout.split('.').next());
    let gone = folder.run(&["check"], &[("JWT_SECRET_FILE", "gone")]);
    assert_eq!(gone.code, Some(78), "{gone:?}");
}
