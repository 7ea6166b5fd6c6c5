use std::collections::BTreeMap;

use super::*;
use crate::journal::{Mode, Overflow};

fn sources(env: &[(&str, &str)], dotenv: Option<&str>) -> Sources {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Sources::new(env.collect::<BTreeMap<_, _>>(), dotenv)
}

fn load(flags: &Flags, env: &[(&str, &str)]) -> Result<Settings, Vec<ConfigError>> {
    Settings::load(flags, &sources(env, None), 4)
}

fn set(pairs: &[&str]) -> Flags {
    Flags { set: pairs.iter().map(|pair| (*pair).to_owned()).collect(), ..Flags::default() }
}

#[test]
fn defaults_and_the_port() {
    let settings = load(&Flags::default(), &[]).unwrap();
    assert_eq!(settings.listen.len(), 2);
    assert_eq!(settings.listen[0].to_string(), "127.0.0.1:8080");
    assert_eq!(settings.admin.to_string(), "127.0.0.1:8081");
    assert_eq!(
        (settings.workers, settings.heartbeat_ms, settings.token_ttl_s),
        (4, 30_000, 604_800)
    );
    assert_eq!(settings.namespaces, [Namespace::default()]);
    assert_eq!((settings.cookies, settings.audience), (vec!["access_token".to_owned()], vec![]));
    assert!(settings.anonymous && settings.limits.lifetime_max_ms.is_none());
    let settings = load(&Flags::default(), &[("PORT", "3000"), ("JWT_SECRET", "x")]).unwrap();
    assert_eq!(settings.listen[0].to_string(), "0.0.0.0:3000");
    assert!(!settings.anonymous);
}

/// The table's own bounds hold for its own defaults.
#[test]
fn every_default_may_be_written_down() {
    for setting in SETTINGS {
        if let (Kind::Number { min, max, .. }, Ok(default)) =
            (setting.kind, setting.default.parse())
        {
            assert!((min..=max).contains(&default), "{}", setting.key);
            let flags = set(&[&format!("{}={}", setting.key, setting.default)]);
            load(&flags, &[]).unwrap_or_else(|errors| panic!("{errors:?}"));
        }
        if let Kind::Choice(all) = setting.kind {
            assert!(all.contains(&setting.default), "{}", setting.key);
        }
    }
}

#[test]
fn s029_numbers_of_the_old_names_are_read_as_parse_int_reads_them() {
    let env = [("SSE_HEARTBEAT_INTERVAL", "15000 # 15 s"), ("SSE_CONNECTION_TIMEOUT", "0")];
    let settings = load(&Flags::default(), &env).unwrap();
    assert_eq!((settings.heartbeat_ms, settings.limits.lifetime_max_ms), (15_000, None));
    assert_eq!(settings.warnings.len(), 2);
    // Ours are not.
    let errors = load(&Flags::default(), &[("RINGCAST_HEARTBEAT__INTERVAL_MS", "15000 # 15 s")]);
    assert!(errors.unwrap_err()[0].to_string().contains("write a whole number from 100"));
}

#[test]
fn a_later_layer_wins_over_an_earlier_one() {
    let beat = |flags: &Flags, env: &[(&str, &str)], dotenv, file: &str| {
        let sources = sources(env, dotenv).with_file("f.toml", file);
        Settings::load(flags, &sources, 1).unwrap().heartbeat_ms
    };
    let file = "[heartbeat]\ninterval_ms = 1000\n";
    let dotenv = Some("SSE_HEARTBEAT_INTERVAL=2000 # two seconds\n");
    let env = [("SSE_HEARTBEAT_INTERVAL", "3000")];
    let own = [("SSE_HEARTBEAT_INTERVAL", "3000"), ("RINGCAST_HEARTBEAT__INTERVAL_MS", "4000")];
    let flags = set(&["heartbeat.interval_ms=5000"]);
    assert_eq!(beat(&Flags::default(), &[], None, ""), 30_000);
    assert_eq!(beat(&Flags::default(), &[], None, file), 1_000);
    assert_eq!(beat(&Flags::default(), &[], dotenv, file), 2_000);
    assert_eq!(beat(&Flags::default(), &env, dotenv, file), 3_000);
    assert_eq!(beat(&Flags::default(), &own, dotenv, file), 4_000);
    assert_eq!(beat(&flags, &own, dotenv, file), 5_000);
}

#[test]
fn namespaces_take_what_they_do_not_say_from_all() {
    let file = "[history]\nevents_max = 7\n[namespaces.\"R:\"]\nmode = \"latest\"\n\
                overflow = \"conflate\"\n[namespaces.\"R:x\"]\nevents_max = 9\n";
    let sources = sources(&[], None).with_file("f.toml", file);
    let settings = Settings::load(&Flags::default(), &sources, 1).unwrap();
    let all = crate::journal::Namespaces::new(settings.namespaces);
    let of = |channel| {
        let found = all.lookup(channel);
        (found.history_events, found.mode, found.overflow)
    };
    assert_eq!(of("other"), (7, Mode::Log, Overflow::Skip));
    assert_eq!(of("R:1"), (7, Mode::Latest, Overflow::Conflate));
    assert_eq!(of("R:x1"), (9, Mode::Log, Overflow::Skip));
}

#[test]
fn all_errors_at_once_and_no_secret_anywhere() {
    let flags = Flags {
        listen: vec!["nowhere".into()],
        admin: Some("x".into()),
        ..set(&["wrokers=3", "plain", "workers=0", "auth.jwt_secert=hush-hush"])
    };
    let env = [("RINGCAST_LOG__LEVEL", "loud"), ("JWT_SECRET_FILE", "/no/such/file")];
    let errors = load(&flags, &env).unwrap_err();
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    for expected in [
        "command line: --set=\"wrokers\": no such setting, did you mean workers?",
        "command line: --set=\"plain\": write --set key=value",
        "command line: --set=\"auth.jwt_secert\": no such setting, did you mean auth.jwt_secret?",
        "command line: --listen=\"nowhere\": write an address",
        "command line: --admin=\"x\": write an address",
        "command line: workers=\"0\": write a whole number from 1 to 256 (threads)",
        "environment: RINGCAST_LOG__LEVEL=\"loud\": write one of off, error, warn, info, debug",
        "environment: JWT_SECRET_FILE=\"/no/such/file\": the file cannot be read",
    ] {
        assert!(
            errors.iter().any(|error| error.starts_with(expected)),
            "{expected} in {errors:#?}"
        );
    }
    assert!(!errors.join("").contains("hush"));
    let env = [("JWT_SECRET", "hush-hush"), ("AUTH_TOKEN", "hush")];
    let settings = load(&Flags::default(), &env).unwrap();
    let shown = show(&Flags::default(), &sources(&env, None));
    assert!(!format!("{settings:?}{shown}").contains("hush"), "{shown}");
    assert!(shown.contains("auth.jwt_secret = ***  (environment, JWT_SECRET)"), "{shown}");
}

#[test]
fn names_that_mean_nothing_here_are_warned_of() {
    let env = [("RINGCAST_LOG__LEVLE", "debug"), ("SSE_CLEANUP_INTERVAL", "60000")];
    let warnings = load(&Flags::default(), &env).unwrap().warnings;
    assert_eq!(
        warnings,
        [
            "environment: RINGCAST_LOG__LEVLE is no setting, did you mean RINGCAST_LOG__LEVEL?",
            "environment: SSE_CLEANUP_INTERVAL is not followed by this version",
        ]
    );
}

#[test]
fn the_file_to_begin_with_is_a_file() {
    // As it is: nothing but comments and empty sections.
    let text = init();
    let empty = sources(&[], None).with_file("init.toml", &text);
    Settings::load(&Flags::default(), &empty, 4).unwrap();
    // With all comments taken away from values that are values.
    let (own, _) = text.split_once("# Channels whose names").unwrap();
    let told: String = own
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.contains(" = ") && !rest.contains("= \"") => format!("{rest}\n"),
            _ if line.starts_with('#') => String::new(),
            _ => format!("{line}\n"),
        })
        .collect();
    let full = sources(&[], None).with_file("init.toml", &told);
    let settings = Settings::load(&Flags::default(), &full, 4).unwrap();
    assert_eq!(settings.heartbeat_ms, 30_000);
}

#[test]
fn the_schema_knows_every_key() {
    let schema: serde_json::Value = serde_json::from_str(&schema()).unwrap();
    for setting in SETTINGS {
        let pointer = setting.key.replace('.', "/properties/");
        let found = schema.pointer(&format!("/properties/{pointer}"));
        assert!(found.is_some_and(|found| found["description"] == setting.about), "{pointer}");
    }
}

/// Write it anew with RINGCAST_TEST_WRITE_DOCS=1.
#[test]
fn the_docs_list_every_setting() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/settings.md");
    let expected = print::markdown();
    if std::env::var_os("RINGCAST_TEST_WRITE_DOCS").is_some() {
        std::fs::write(path, &expected).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), expected);
}
