//! Words that say "not finished", and the names of somebody's machine.

use crate::source::File;

/// Written in halves so that this file does not find itself.
const BANNED: [&str; 7] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("HA", "CK"),
    concat!("dbg", "!"),
    concat!("#[ign", "ore"),
    concat!("unimpl", "emented!"),
];

/// Absolute places that exist only where somebody works.
const MACHINE_PATHS: [&str; 4] =
    [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/tm", "p/")];

/// Banned words, whole and in the given case.
pub(crate) fn check(file: &File) -> Vec<String> {
    find(file, &BANNED, |line, at, word| {
        let is_letter = |c: char| c.is_alphanumeric() || c == '_';
        let before = line[..at].chars().next_back().is_some_and(is_letter);
        let after = line[at + word.len()..].chars().next().is_some_and(is_letter);
        let whole =
            word.ends_with(char::is_alphanumeric) && word.starts_with(char::is_alphanumeric);
        !(before || (whole && after))
    })
}

/// Machine paths: at the front of a path, not in the middle of a URL or a relative path.
pub(crate) fn check_paths(file: &File) -> Vec<String> {
    find(file, &MACHINE_PATHS, |line, at, _| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !(c.is_alphanumeric() || "/._-~}>*".contains(c)))
    })
}

fn find(file: &File, words: &[&str], counts: impl Fn(&str, usize, &str) -> bool) -> Vec<String> {
    let mut findings = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        for word in words {
            if line.match_indices(word).any(|(at, _)| counts(line, at, word)) {
                findings.push(format!("{}:{}: {word}", file.path, number + 1));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planted_words_are_found() {
        for word in BANNED {
            let file = File::new("docs/x.md", &format!("before\n({word}) after"));
            assert_eq!(check(&file), [format!("docs/x.md:2: {word}")]);
        }
        let innocent = File::new("a.md", concat!("MYTO", "DO TO", "DOS XX", "XX \\uXX", "XX"));
        assert_eq!(check(&innocent), [""; 0]);
    }

    #[test]
    fn planted_paths_are_found() {
        for path in MACHINE_PATHS {
            for text in [format!("\"{path}x\""), format!("see {path}x"), format!("{path}x")] {
                assert_eq!(check_paths(&File::new("a.sh", &text)).len(), 1, "{text}");
            }
            let text = format!("https://example.org{path}x ..{path}x docs{path}x");
            assert_eq!(check_paths(&File::new("a.sh", &text)).len(), 0, "{text}");
        }
    }
}
