//! Papers that must be there and agree with each other.

use crate::source::File;

/// Files a reader expects at the root.
const EXPECTED: [&str; 8] = [
    "README.md",
    "CHANGELOG.md",
    "ARCHITECTURE.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "Makefile",
    "deny.toml",
    "docs/limits.md",
];

/// Everything that is missing or does not fit.
pub(crate) fn check(files: &[File]) -> Vec<String> {
    let mut findings = missing(files);
    findings.extend(check_decisions(files));
    findings.extend(check_changelog(files));
    findings.extend(check_links(files));
    findings.extend(check_lock(files));
    findings
}

fn text_of<'a>(files: &'a [File], path: &str) -> Option<&'a str> {
    files.iter().find(|file| file.path == path).map(|file| file.text.as_str())
}

fn missing(files: &[File]) -> Vec<String> {
    let absent = EXPECTED.iter().filter(|path| text_of(files, path).is_none());
    absent.map(|path| format!("{path} is missing")).collect()
}

/// docs/adr holds `NNNN-name.md`, numbered from 0001 without a hole, each titled with its number.
fn check_decisions(files: &[File]) -> Vec<String> {
    let mut findings = Vec::new();
    let mut next = 1;
    for file in files {
        let Some(name) = file.path.strip_prefix("docs/adr/") else { continue };
        let number = name.get(..4).and_then(|digits| digits.parse::<u32>().ok());
        if number != Some(next) || name.get(4..5) != Some("-") || !name.ends_with(".md") {
            findings.push(format!("{}: {next:04}-name.md expected", file.path));
        }
        let digits = name.get(..4).unwrap_or_default();
        if !file.text.starts_with(&format!("# {digits}. ")) {
            findings.push(format!("{}: does not begin with \"# {digits}. \"", file.path));
        }
        next = number.unwrap_or(next) + 1;
    }
    findings
}

/// The version of the crate has a heading, or there is one for what is not released.
fn check_changelog(files: &[File]) -> Vec<String> {
    let (Some(log), Some(manifest)) =
        (text_of(files, "CHANGELOG.md"), text_of(files, "Cargo.toml"))
    else {
        return Vec::new();
    };
    let version = manifest
        .lines()
        .find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"'))
        .unwrap_or_default();
    let headed = |name: &str| log.lines().any(|line| line.starts_with(&format!("## [{name}]")));
    if headed(version) || headed("Unreleased") {
        return Vec::new();
    }
    vec![format!("CHANGELOG.md: no heading for {version} and none for what is unreleased")]
}

/// Relative links of Markdown files lead to a file or a folder with files.
fn check_links(files: &[File]) -> Vec<String> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with(".md")) {
        for (number, line) in file.text.lines().enumerate() {
            for rest in line.split("](").skip(1) {
                let target = rest.split([')', '#', ' ']).next().unwrap_or_default();
                if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                    continue;
                }
                let path = resolve(&file.path, target);
                let folder = format!("{}/", path.trim_end_matches('/'));
                let leads = |other: &File| other.path == path || other.path.starts_with(&folder);
                if !files.iter().any(leads) {
                    let line = number + 1;
                    findings.push(format!("{}:{line}: no {target}", file.path));
                }
            }
        }
    }
    findings
}

/// `target` as seen from the file at `from`.
fn resolve(from: &str, target: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

/// Lock files of npm name no registry: each user has their own.
fn check_lock(files: &[File]) -> Vec<String> {
    files
        .iter()
        .filter(|file| file.path.ends_with("package-lock.json"))
        .filter(|file| file.text.contains("\"resolved\": \"http"))
        .map(|file| format!("{}: names a registry", file.path))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_found() {
        let files: Vec<File> = EXPECTED.iter().map(|path| File::new(path, "")).collect();
        assert_eq!(missing(&files).len(), 0);
        assert_eq!(missing(&files[1..]), ["README.md is missing"]);
    }

    #[test]
    fn decisions_out_of_order_are_found() {
        let good = File::new("docs/adr/0001-a.md", "# 0001. A");
        let hole = File::new("docs/adr/0003-c.md", "# 0003. C");
        let title = File::new("docs/adr/0002-b.md", "# Something");
        let name = File::new("docs/adr/notes.md", "# notes");
        let count = |files: &[File]| check_decisions(files).len();
        assert_eq!(count(std::slice::from_ref(&good)), 0);
        assert_eq!(count(&[good, hole]), 1);
        assert_eq!(count(&[File::new("docs/adr/0001-a.md", "# 0001. A"), title]), 1);
        assert_eq!(count(&[name]), 2);
    }

    #[test]
    fn a_changelog_without_its_version_is_found() {
        let manifest = "[package]\nversion = \"1.2.3\"\n";
        let count = |log: &str| {
            check_changelog(&[File::new("CHANGELOG.md", log), File::new("Cargo.toml", manifest)])
                .len()
        };
        assert_eq!(count("## [1.2.3] - 2026-01-01"), 0);
        assert_eq!(count("## [Unreleased]"), 0);
        assert_eq!(count("## [1.2.2]"), 1);
    }

    #[test]
    fn a_dead_link_is_found() {
        let page = |text: &str| {
            let files = [File::new("docs/a.md", text), File::new("docs/adr/0001-x.md", "")];
            check_links(&files).len()
        };
        assert_eq!(page("[x](adr/0001-x.md) [y](https://example.org/z) [z](#here)"), 0);
        assert_eq!(page("[x](../docs/adr/) [x](adr/0001-x.md#part)"), 0);
        assert_eq!(page("[x](adr/0002-x.md)"), 1);
        assert_eq!(page("[a](b.md) and [c](d.md)"), 2);
    }

    #[test]
    fn a_registry_in_a_lock_file_is_found() {
        let lock = |text: &str| check_lock(&[File::new("a/package-lock.json", text)]).len();
        assert_eq!(lock("{\"resolved\": \"https://registry.example/x.tgz\"}"), 1);
        assert_eq!(lock("{\"integrity\": \"sha512-x\"}"), 0);
    }
}
