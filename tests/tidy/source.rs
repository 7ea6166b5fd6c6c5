//! The files of the repository.

use std::fs;
use std::path::Path;

/// What is made, not written.
const SKIPPED: [&str; 9] =
    ["target", "node_modules", ".git", ".venv", ".env", "logs", "dist", "corpus", "artifacts"];

/// Larger files are data.
const BYTES_MAX: u64 = 1 << 20;

/// A text file.
#[derive(Debug)]
pub(crate) struct File {
    /// From the root of the repository, parts joined by `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    /// A planted one.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Tests may be longer than what they test: `tests.rs` and `tests/` beside the code, and the
    /// test programs.
    pub(crate) fn is_test(&self) -> bool {
        self.path.starts_with("tests/")
            || self.path.ends_with("/tests.rs")
            || self.path.contains("/tests/")
    }

    /// The room of a file in src/: the first part of its path. `None` elsewhere.
    pub(crate) fn room(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        Some(inside.split_once('/').map_or_else(|| inside.trim_end_matches(".rs"), |(a, _)| a))
    }

    /// How many modules lie between this file's module and the root of the crate.
    pub(crate) fn depth(&self) -> usize {
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let parts = inside.split('/').count();
        let named_by_folder = ["mod.rs", "lib.rs", "main.rs"];
        let own = inside.rsplit('/').next().is_some_and(|name| !named_by_folder.contains(&name));
        parts - 1 + usize::from(own)
    }
}

/// All text files of the repository, in the order of their paths.
pub(crate) fn repository() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(root, "", &mut files);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(files.iter().any(|file| file.path == "src/lib.rs"), "not the repository");
    files
}

fn collect(folder: &Path, prefix: &str, files: &mut Vec<File>) {
    for entry in fs::read_dir(folder).expect("readable") {
        let entry = entry.expect("readable");
        let name = entry.file_name().into_string().expect("file names are UTF-8");
        let path = format!("{prefix}{name}");
        if SKIPPED.contains(&name.as_str()) {
            continue;
        }
        let kind = entry.file_type().expect("readable");
        if kind.is_dir() {
            collect(&entry.path(), &format!("{path}/"), files);
        } else if kind.is_file() && entry.metadata().is_ok_and(|data| data.len() <= BYTES_MAX) {
            // What is not UTF-8 is no text.
            if let Ok(text) = fs::read_to_string(entry.path()) {
                files.push(File { path, text });
            }
        }
    }
}

#[test]
fn rooms_and_depths_are_read_from_paths() {
    for (path, room, depth) in [
        ("src/lib.rs", "lib", 0),
        ("src/hub/mod.rs", "hub", 1),
        ("src/hub/topics.rs", "hub", 2),
        ("src/hub/topics/tests.rs", "hub", 3),
        ("src/journal/ring/mod.rs", "journal", 2),
    ] {
        let file = File::new(path, "");
        assert_eq!((file.room(), file.depth()), (Some(room), depth), "{path}");
    }
    assert_eq!(File::new("tests/tidy/main.rs", "").room(), None);
}
