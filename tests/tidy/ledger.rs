//! docs/ledger.md and the names of tests fit each other.

use std::collections::BTreeSet;

use crate::source::File;

const LEDGER: &str = "docs/ledger.md";
/// Rows of the ledger; a row is never taken out.
const ROWS: u32 = 188;

/// Rows that are missing or stand twice, and functions that name rows which do not exist.
pub(crate) fn check(files: &[File]) -> Vec<String> {
    let Some(ledger) = files.iter().find(|file| file.path == LEDGER) else {
        return vec![format!("{LEDGER} is missing")];
    };
    let (rows, mut findings) = rows(&ledger.text);
    let missing = (1..=ROWS).filter(|number| !rows.contains(number));
    findings.extend(missing.map(|number| format!("{LEDGER}: no row S{number}")));
    for file in files.iter().filter(|file| file.is_rust()) {
        for name in functions(&file.text) {
            let unknown = numbers(name).filter(|number| !rows.contains(number));
            let path = &file.path;
            findings.extend(unknown.map(|number| format!("{path}: {name}: no row S{number}")));
        }
    }
    findings
}

/// Numbers of `| S46 | E | ... |`, and what is wrong with such lines.
fn rows(text: &str) -> (BTreeSet<u32>, Vec<String>) {
    let (mut rows, mut findings) = (BTreeSet::new(), Vec::new());
    for line in text.lines().filter(|line| line.starts_with("| S")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let number = cells[1].strip_prefix('S').and_then(|digits| digits.parse().ok());
        match number {
            Some(number) if cells.len() == 5 && !cells[3].is_empty() => {
                if !rows.insert(number) {
                    findings.push(format!("{LEDGER}: S{number} stands twice"));
                }
            }
            _ => findings.push(format!("{LEDGER}: {line:?} is no row")),
        }
    }
    (rows, findings)
}

/// Names of functions.
fn functions(text: &str) -> impl Iterator<Item = &str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.lines().filter_map(move |line| {
        let line = line.trim_start();
        let (before, rest) = line.split_once("fn ")?;
        // Not in a comment, a text or another word.
        let starts = before.is_empty() || before.starts_with("pub") || before == "async ";
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        starts.then(|| &rest[..end])
    })
}

/// Rows a name holds: `s098_s099_above_its_rate` holds 98 and 99.
fn numbers(name: &str) -> impl Iterator<Item = u32> {
    name.split('_').filter_map(|part| {
        let digits = part.strip_prefix('s').filter(|digits| digits.len() >= 2)?;
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        // Other than three digits are a slip of the pen: no row.
        Some(if digits.len() == 3 { digits.parse().unwrap_or(0) } else { 0 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(skipped: u32) -> File {
        let rows = (1..=ROWS).filter(|number| *number != skipped);
        let text: String = rows.map(|number| format!("| S{number} | A | text |\n")).collect();
        File::new(LEDGER, &text)
    }

    #[test]
    fn a_missing_row_and_a_second_one_are_found() {
        assert_eq!(check(&[ledger(0)]), [""; 0]);
        assert_eq!(check(&[ledger(7)]), ["docs/ledger.md: no row S7"]);
        let twice = File::new(LEDGER, &(ledger(0).text + "| S7 | B | again |\n| S8 | text |\n"));
        let findings = check(&[twice]);
        assert_eq!(findings.len(), 2, "{findings:?}");
        assert!(findings[0].contains("S7 stands twice") && findings[1].contains("is no row"));
        assert_eq!(check(&[]), ["docs/ledger.md is missing"]);
    }

    #[test]
    fn a_test_of_no_row_is_found() {
        let count = |name: &str| {
            let text = format!("#[test]\nfn {name}() {{}}\n// fn s999_in_a_comment\n");
            check(&[ledger(0), File::new("tests/a.rs", &text)]).len()
        };
        for good in ["s001_x", "s188_s002_x", "a_s003", "of_s_and_sse", "sha256_s3", "ids2"] {
            assert_eq!(count(good), 0, "{good}");
        }
        for bad in ["s189_x", "s000_x", "x_s200", "s1888_x", "s12_x", "s001_s999_x"] {
            assert_eq!(count(bad), 1, "{bad}");
        }
    }
}
