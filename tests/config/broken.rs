//! Broken files and exactly what is said about each.

use std::path::Path;

use crate::run::run_in;

/// Compares with the text beside each file; `RINGCAST_BLESS=1` writes the texts anew.
#[test]
fn thirty_broken_files_say_what_is_wrong_where_and_how_to_cure_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/broken");
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .expect("readable")
        .map(|entry| entry.expect("readable").file_name().into_string().expect("UTF-8"))
        .filter(|name| name.ends_with(".toml"))
        .collect();
    names.sort();
    assert_eq!(names.len(), 30);
    let mut different = Vec::new();
    for name in names {
        let checked = run_in(&folder, &["check", "--config", &name], &[]);
        assert_eq!(checked.code, Some(78), "{name}: {checked:?}");
        assert_eq!(checked.stderr, "", "{name}");
        assert!(!checked.stdout.contains("never"), "{name} shows a secret: {}", checked.stdout);
        for line in checked.stdout.lines() {
            assert!(line.starts_with("error: ") || line.starts_with("warning: "), "{name}: {line}");
            assert!(line.contains("; "), "{name}: no cure: {line}");
        }
        let served = run_in(&folder, &["serve", "--config", &name], &[]);
        assert_eq!((served.code, &served.stderr), (Some(78), &checked.stdout), "{name}");
        let golden = folder.join(name.replace(".toml", ".txt"));
        if std::env::var_os("RINGCAST_BLESS").is_some() {
            std::fs::write(&golden, &checked.stdout).expect("written");
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        if expected != checked.stdout {
            different.push(format!("{name}:\n{}instead of\n{expected}", checked.stdout));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}
