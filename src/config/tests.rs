use super::*;
use std::path::Path;

/// A folder of its own that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let folder = std::env::temp_dir().join(format!("ringcast-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for (name, text) in files {
            std::fs::write(folder.join(name), text).unwrap();
        }
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn load_in(folder: &Path, env: &[(&str, &str)], flags: Flags) -> Result<Loaded, Vec<Finding>> {
    let variables = env.iter().map(|(name, value)| (name.into(), value.into())).collect();
    load(&Sources { flags, variables, folder: folder.to_path_buf() })
}

fn load_env(env: &[(&str, &str)]) -> Result<Loaded, Vec<Finding>> {
    load_in(Path::new("/nowhere"), env, Flags::default())
}

fn with_set(set: &[&str]) -> Flags {
    Flags { set: set.iter().map(|text| (*text).to_owned()).collect(), ..Flags::default() }
}

fn lines(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}

#[test]
fn the_table_and_the_tree_agree_and_names_are_unique() {
    let (values, findings) = Values::defaults();
    assert_eq!(lines(&findings), [""; 0]);
    assert!(values.settings().is_some());
    let mut names: Vec<&str> = settings::keys().map(|key| key.name).collect();
    let own = settings::keys().flat_map(|key| key.variables.iter().map(|(name, _)| *name));
    names.extend(own);
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    for key in settings::keys() {
        assert!(key.doc.trim().ends_with('.'), "{}: a sentence ends with a dot", key.name);
    }
}

#[test]
fn defaults_and_the_port() {
    let settings = load_env(&[]).unwrap().settings;
    assert_eq!(settings.listen[0].to_string(), "127.0.0.1:8080");
    assert_eq!(settings.listen[1].to_string(), "[::1]:8080");
    assert_eq!(settings.admin.address.to_string(), "127.0.0.1:8081");
    assert_eq!((settings.worker_count(4), settings.heartbeat.interval_ms), (4, 30_000));
    assert_eq!((settings.auth.token_ttl, settings.limits.per_user), (604_800, Some(5)));
    assert!(settings.anonymous());
    let settings = load_env(&[("PORT", "3000")]).unwrap().settings;
    let all: Vec<String> = settings.listen.iter().map(ToString::to_string).collect();
    assert_eq!(all, ["0.0.0.0:3000", "[::]:3000"]);
    let loaded = load_env(&[("PORT", "tcp://10.0.0.1:80")]).unwrap();
    assert_eq!((loaded.settings.listen.len(), loaded.warnings.len()), (2, 1));
    assert_eq!(loaded.settings.listen[0].port(), 8080);
}

#[test]
fn numbers_as_parse_int_reads_them() {
    let env = [
        ("SSE_HEARTBEAT_INTERVAL", "15000 # 15 s"),
        ("SSE_CONNECTION_TIMEOUT", "0"),
        ("MAX_SSE_CLIENTS", "many"),
        ("POLL_INTERVAL", "1"),
    ];
    let loaded = load_env(&env).unwrap();
    let settings = &loaded.settings;
    assert_eq!(settings.heartbeat.interval_ms, 15_000);
    assert_eq!((settings.stream.lifetime_max_ms, settings.limits.connections_max), (None, None));
    assert_eq!(settings.poll.interval_ms, 10, "drawn to the bound");
    assert_eq!(loaded.warnings.iter().filter(|w| w.problem.contains("plain")).count(), 4);
    // The same text where a number is one: an error.
    let findings = load_env(&[("RINGCAST_HEARTBEAT__INTERVAL_MS", "15000 # 15 s")]).unwrap_err();
    assert!(findings[0].to_string().starts_with("RINGCAST_HEARTBEAT__INTERVAL_MS: heartbeat."));
}

#[test]
fn layers_in_their_order() {
    let folder = Folder::new(
        "layers",
        &[
            (
                "a.toml",
                "heartbeat.interval_ms = '1s'\nstream.retry_ms = 1\ndrain.within_ms = 1\npublish.timeout_ms = 1\n",
            ),
            (
                ".env",
                "RINGCAST_STREAM__RETRY_MS=2 # comment\nRINGCAST_DRAIN__WITHIN_MS=2\nRINGCAST_PUBLISH__TIMEOUT_MS='2'\n",
            ),
        ],
    );
    let env = [
        ("RINGCAST_CONFIG", "a.toml"),
        ("RINGCAST_DRAIN__WITHIN_MS", "3"),
        ("RINGCAST_PUBLISH__TIMEOUT_MS", "3"),
    ];
    let loaded = load_in(&folder.0, &env, with_set(&["publish.timeout_ms=4"])).unwrap();
    let settings = &loaded.settings;
    assert_eq!(settings.limits.head_timeout_ms, 10_000);
    assert_eq!(settings.heartbeat.interval_ms, 1_000);
    assert_eq!(settings.stream.retry_ms, 2);
    assert_eq!(settings.drain.within_ms, 3);
    assert_eq!(settings.publish.timeout_ms, 4);
    for (key, origin) in [
        ("limits.head_timeout_ms", "default"),
        ("heartbeat.interval_ms", "a.toml:1"),
        ("stream.retry_ms", ".env:1 RINGCAST_STREAM__RETRY_MS"),
        ("drain.within_ms", "RINGCAST_DRAIN__WITHIN_MS"),
        ("publish.timeout_ms", "--set"),
    ] {
        assert_eq!(loaded.values.origin(key).to_string(), origin);
    }
    // A variable with the key's own name counts more than one of another system.
    let env = [("SSE_HEARTBEAT_INTERVAL", "1000"), ("RINGCAST_HEARTBEAT__INTERVAL_MS", "2000")];
    assert_eq!(load_env(&env).unwrap().settings.heartbeat.interval_ms, 2_000);
}

#[test]
fn all_errors_at_once_and_secrets_nowhere() {
    let flags = Flags {
        listen: vec!["nowhere".into()],
        admin: Some("x".into()),
        set: vec!["auth.jwt_keys={k = 5}".into(), "nonsense".into(), "jwt_secret=hush".into()],
        ..Flags::default()
    };
    let env = [
        ("RINGCAST_LOG__LEVEL", "loud"),
        ("SSE_ENCRYPTION_KEY", "hush-hush"),
        ("JWT_SSE_EXPIRES_IN", "soon"),
        ("AUTH_TOKEN_FILE", "/nowhere/token"),
    ];
    let findings = load_in(Path::new("/nowhere"), &env, flags).unwrap_err();
    let errors = findings.iter().filter(|f| f.severity == Severity::Error);
    let text = errors.map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert_eq!(text.lines().count(), 9, "{text}");
    assert!(!text.contains("hush"), "{text}");
    for part in [
        "RINGCAST_LOG__LEVEL: log.level = \"loud\": no such choice; write one of off,",
        "SSE_ENCRYPTION_KEY: encryption.keys = ***: 9 bytes are too few;",
        "JWT_SSE_EXPIRES_IN: auth.token_ttl = \"soon\":",
        "AUTH_TOKEN_FILE: auth.publish_token = \"/nowhere/token\": there is no such file;",
        "--listen: listen = \"nowhere\": not an address and port;",
        "--set: jwt_secret: unknown key; did you mean auth.jwt_secret?",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn no_page_shows_a_secret() {
    let env = [
        ("JWT_SECRET", "hush-hush"),
        ("AUTH_TOKEN", "hush"),
        ("SSE_ENCRYPTION_KEY", "hush-hush-hush-hush-hush-hush-hush"),
        ("RINGCAST_AUTH__JWT_KEYS", "a=hush1,b=hush2"),
        ("RINGCAST_ENGINE", "redis://:hush@localhost"),
    ];
    let loaded = load_env(&env).unwrap();
    assert_eq!(loaded.settings.auth.jwt_keys["b"].expose(), "hush2");
    assert!(!loaded.settings.anonymous());
    let other = load_env(&[]).unwrap();
    let pages = [
        show_text(&loaded.values),
        show_json(&loaded.values),
        format!("{loaded:?}"),
        format!("{:?}", other.values.changes(&loaded.values)),
        lines(&loaded.warnings).join("\n"),
    ];
    for page in pages {
        assert!(!page.contains("hush"), "{page}");
        assert!(page.contains("***"), "{page}");
    }
}

#[test]
fn a_secret_from_a_file() {
    let folder = Folder::new("secret", &[("token", "from-the-file\n")]);
    let env = [("AUTH_TOKEN_FILE", "token")];
    let loaded = load_in(&folder.0, &env, Flags::default()).unwrap();
    assert_eq!(loaded.settings.auth.publish_token.unwrap().expose(), "from-the-file");
    assert_eq!(loaded.values.origin("auth.publish_token").to_string(), "AUTH_TOKEN_FILE");
    let env = [("AUTH_TOKEN_FILE", "token"), ("AUTH_TOKEN", "from-the-variable")];
    let loaded = load_in(&folder.0, &env, Flags::default()).unwrap();
    assert_eq!(loaded.settings.auth.publish_token.unwrap().expose(), "from-the-variable");
    assert_eq!(loaded.warnings.len(), 1);
}

#[test]
fn only_the_exact_text_true_compresses() {
    for (text, on, warnings) in [
        ("true", true, 0),
        ("false", false, 0),
        ("TRUE", false, 1),
        ("1", false, 1),
        ("", false, 0),
    ] {
        let loaded = load_env(&[("SSE_ENABLE_COMPRESSION", text)]).unwrap();
        assert_eq!(loaded.settings.compression.enabled, on, "{text}");
        assert_eq!(loaded.warnings.len(), warnings, "{text}");
    }
}

#[test]
fn origins_of_both_names_together() {
    let origins = |env: &[(&str, &str)]| load_env(env).unwrap().settings.cors.origins;
    assert_eq!(origins(&[]), ["http://localhost:3000"]);
    let (list, one) =
        (("SSE_CORS_ORIGINS", "https://a, https://b"), ("FRONTEND_URL", "https://c/"));
    assert_eq!(origins(&[list]), ["https://a", "https://b"]);
    assert_eq!(origins(&[one]), ["https://c"]);
    assert_eq!(origins(&[list, one]), ["https://a", "https://b", "https://c"]);
}

#[test]
fn every_option_of_a_channel_comes_from_the_longest_prefix_that_sets_it() {
    let set = [
        "namespaces.\"\".overflow=disconnect",
        "namespaces.a.history_events=7",
        "namespaces.a.history_age_ms=10m",
        "namespaces.\"a:b\".history_events=3",
        "namespaces.\"a:b\".rates={typing = '1s'}",
    ];
    let settings = load_in(Path::new("/nowhere"), &[], with_set(&set)).unwrap().settings;
    let all = crate::journal::Namespaces::new(
        settings.namespaces.iter().map(NamespaceSettings::journal).collect(),
    );
    let of = |name: &str| {
        let namespace = all.lookup(name);
        (namespace.history_events, namespace.history_age_ms, namespace.overflow)
    };
    use crate::journal::Overflow::Disconnect;
    assert_eq!(of("a:b:c"), (3, 600_000, Disconnect));
    assert_eq!(of("a:c"), (7, 600_000, Disconnect));
    assert_eq!(of("b"), (1_000, 3_600_000, Disconnect));
    assert_eq!(settings.namespaces.iter().filter(|n| n.rates.contains_key("typing")).count(), 1);
    assert_eq!(settings.aliases.len(), 12);
}

#[test]
fn defaults_of_a_namespace_are_those_of_the_journal() {
    let settings = load_env(&[]).unwrap().settings;
    assert_eq!(settings.namespaces.len(), 1);
    assert_eq!(settings.namespaces[0].journal(), crate::journal::Namespace::default());
}

#[test]
fn the_sample_is_a_file_of_defaults() {
    // With its keys uncommented it says what holds without it. A duration in a key of seconds or
    // milliseconds reads the same either way.
    let text: String = sample()
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => rest,
            _ => line,
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let folder = Folder::new("sample", &[("all.toml", &text), ("none.toml", &sample())]);
    let flags = |name: &str| Flags { config: Some(name.into()), ..Flags::default() };
    let none = load_in(&folder.0, &[], flags("none.toml")).unwrap();
    assert_eq!(none.settings, load_env(&[]).unwrap().settings);
    let all = match load_in(&folder.0, &[], flags("all.toml")) {
        Ok(loaded) => loaded,
        Err(findings) => panic!("{:#?}", lines(&findings)),
    };
    let mut settings = all.settings;
    assert_eq!((settings.namespaces.len(), settings.aliases.len()), (2, 13));
    settings.namespaces.pop();
    settings.aliases.retain(|alias| alias.path.as_deref() != Some("/live/{room}"));
    assert_eq!(settings, none.settings);
}

#[test]
fn the_schema_names_every_key() {
    let schema: serde_json::Value = serde_json::from_str(&schema()).unwrap();
    for key in settings::keys() {
        let path: Vec<&str> = key.name.split('.').collect();
        let found = &schema.pointer(&format!("/properties/{}", path.join("/properties/"))).unwrap();
        assert!(found["description"].is_string(), "{}", key.name);
    }
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn unknown_variables_are_spoken_of_where_they_look_like_a_key() {
    let env = [
        ("RINGCAST_LIMITS__PERUSER", "1"),
        ("RINGCAST_SERVICE_HOST", "10.0.0.1"),
        ("RINGCAST_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("RINGCAST_URL", "http://localhost"),
        ("SOMETHING", "else"),
    ];
    let warnings = lines(&load_env(&env).unwrap().warnings);
    let expected =
        "RINGCAST_LIMITS__PERUSER: unknown variable; did you mean RINGCAST_LIMITS__PER_USER?";
    assert_eq!(warnings, [expected]);
}

#[test]
fn what_changed_and_what_a_running_server_takes() {
    let old = load_env(&[]).unwrap();
    let set =
        ["heartbeat.interval_ms=5s", "workers=3", "limits.per_user=9", "namespaces.a.mode=latest"];
    let new = load_in(Path::new("/nowhere"), &[], with_set(&set)).unwrap();
    let changes = old.values.changes(&new.values);
    let seen: Vec<(&str, &str, &str, Force)> =
        changes.iter().map(|c| (&*c.name, &*c.from, &*c.to, c.force)).collect();
    let expected = [
        ("workers", "\"auto\"", "3", Force::Restart),
        ("limits.per_user", "5", "9", Force::Reload),
        ("heartbeat.interval_ms", "30000", "5000", Force::Reload),
        ("namespaces.a.mode", "(not set)", "\"latest\"", Force::Restart),
    ];
    assert_eq!(seen, expected);
    let mut running = old.values.clone();
    running.take_reloadable(&new.values);
    let settings = running.settings().unwrap();
    assert_eq!((settings.heartbeat.interval_ms, settings.workers), (5_000, None));
    assert_eq!(settings.limits.per_user, Some(9));
    assert_eq!(running.changes(&old.values).len(), 2);
}

#[test]
fn no_error_repeats_a_secret_however_it_is_written() {
    for written in [
        "hush",
        "'hush",
        "\"hush",
        "\"\"\"hush",
        "'a' hush",
        "[hush]",
        "['hush']",
        "{ x = 'hush' }",
        "'a' 'hush'",
        "hush hush",
        "\\hush",
    ] {
        for key in ["jwt_secret", "jwt_keys", "jwt_secrt"] {
            let text = format!("[auth]\n{key} = {written}\n");
            let folder = Folder::new("written", &[("r.toml", &text)]);
            let flags = Flags { config: Some("r.toml".into()), ..Flags::default() };
            if let Err(findings) = load_in(&folder.0, &[], flags) {
                let said = lines(&findings).join("\n");
                assert!(!said.contains("hush"), "{text}{said}");
            }
        }
    }
    for written in ["hush", "hush=", "a=b,hush=", "{hush", "{a=hush}"] {
        let findings = load_env(&[("RINGCAST_AUTH__JWT_KEYS", written)]).unwrap_err();
        let said = lines(&findings).join("\n");
        assert!(!said.contains("hush"), "{written}: {said}");
    }
    let folder = Folder::new("line", &[(".env", "JWT_SECRET hush\nJWT_SECRET='hush\n")]);
    let said = lines(&load_in(&folder.0, &[], Flags::default()).unwrap_err()).join("\n");
    assert!(!said.contains("hush"), "{said}");
}

proptest::proptest! {
    /// Whatever is written: an answer, never a panic.
    #[test]
    fn any_text_is_read(text in "[ -~\\n\u{0}-\u{ff}é]{0,80}", key in 0..200_usize) {
        let _ = Values::defaults().0.apply(Layer::file("f", &text));
        let _ = dotenv::parse(&text);
        let keys: Vec<&Key> = settings::keys().collect();
        let key = keys[key % keys.len()];
        for text in [text.clone(), format!("{}={text}", key.name), format!("namespaces.{text}")] {
            let flags = Flags { set: vec![text], ..Flags::default() };
            let _ = Values::defaults().0.apply(Layer::flags(&flags));
        }
        let value = Variable { name: key.variable(), value: text, origin: Origin::Default };
        let own = key.variables.iter().map(|(name, _)| Variable { name: (*name).into(), ..value.clone() });
        let all: Vec<Variable> = own.chain([value.clone()]).collect();
        let _ = Values::defaults().0.apply(Layer::variables(&all, &|_| Err(String::new())));
    }

    /// Nearly a file: the samples with some bytes changed.
    #[test]
    fn a_changed_file_is_read(at in proptest::collection::vec((0..30_000_usize, "[ -~\\n]"), 1..8)) {
        let mut text: Vec<char> = sample().replace("\n#", "\n").chars().collect();
        for (place, with) in at {
            let place = place % text.len();
            text[place] = with.chars().next().unwrap_or(' ');
        }
        let text: String = text.into_iter().collect();
        let (mut values, _) = Values::defaults();
        let _ = values.apply(Layer::file("f", &text));
        let settings = values.settings();
        proptest::prop_assert!(settings.is_some());
        let _ = settings.map(|settings| checks::check(&values, &settings));
    }
}
