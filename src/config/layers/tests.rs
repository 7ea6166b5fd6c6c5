use super::*;

fn file(text: &str) -> (Vec<String>, Vec<String>) {
    let layer = Layer::file("f.toml", text);
    let entry = |e: &Entry| format!("{} {} {}", e.origin, e.name(), e.node.shown);
    let findings = layer.findings.iter().map(ToString::to_string).collect();
    (layer.entries.iter().map(entry).collect(), findings)
}

#[test]
fn sections_dots_and_the_short_form() {
    let (entries, findings) =
        file("workers = 2\nadmin = '[::1]:1'\nlimits.per_user = 3\n[auth.claims]\nadmin = 'a'\n");
    assert_eq!(findings, [""; 0]);
    let expected = [
        "f.toml:2 admin.address '[::1]:1'",
        "f.toml:5 auth.claims.admin 'a'",
        "f.toml:3 limits.per_user 3",
        "f.toml:1 workers 2",
    ];
    assert_eq!(entries, expected);
}

#[test]
fn rows_by_name_and_as_a_list() {
    let by_name = file("[namespaces.'a:']\nmode = 'log'\n").0;
    let listed = file("[[namespaces]]\nprefix = 'a:'\nmode = 'log'\n").0;
    assert_eq!(by_name[1], "f.toml:2 namespaces.\"a:\".mode 'log'");
    assert_eq!(listed[1], "f.toml:3 namespaces.\"a:\".mode 'log'");
    assert_eq!(by_name.len(), 2);
    for bad in [
        "[[namespaces]]\nmode = 'log'\n",
        "namespaces = 1\n",
        "namespaces = [1]\n",
        "namespaces.a = 1\n",
        "[[namespaces]]\nprefix = 'a'\n[[namespaces]]\nprefix = 'a'\n",
    ] {
        assert_eq!(file(bad).1.len(), 1, "{bad}");
    }
}

#[test]
fn unknown_names_are_told_without_their_values() {
    let (_, findings) = file("[limit]\nper_usr = 'hush'\n[heartbeat]\ninterval = 'hush'\n[x.y]\n");
    let text = findings.join("\n");
    assert!(!text.contains("hush"), "{text}");
    for part in [
        "f.toml:2: limit.per_usr: unknown key; did you mean limits.per_user?",
        "f.toml:4: heartbeat.interval: unknown key; did you mean heartbeat.interval_ms?",
        "f.toml:5: x.y: unknown key; see",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn set_splits_at_the_first_sign_outside_quotes() {
    for (text, parts) in [
        ("a=b=c", Some(("a", "b=c"))),
        ("a.\"x=y\".b = 1", Some(("a.\"x=y\".b", "1"))),
        ("a", None),
        ("\"a=b", None),
    ] {
        assert_eq!(split_outside_quotes(text), parts, "{text}");
    }
}
