//! `.env` files.
//!
//! The rules are those of npm's `dotenv`, for which the files of the replaced systems were
//! written: `NAME=value`, perhaps after `export`; an unquoted value ends at `#` and is trimmed;
//! between `'`, `"` or `` ` `` everything stands as it is, line ends too, but `\n` and `\r` within
//! `"` become line ends. Nothing is substituted. A line that is no assignment is passed over.

/// One assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assignment {
    /// Line of the name, from 1.
    pub(super) line: usize,
    /// Left of the sign.
    pub(super) name: String,
    /// Right of it, without quotes and comment.
    pub(super) value: String,
}

/// All assignments of a file, in its order.
#[must_use]
pub(super) fn parse(text: &str) -> Vec<Assignment> {
    let mut found = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while !rest.is_empty() {
        let used = match assignment(rest) {
            Some((name, value, used)) => {
                found.push(Assignment { line, name, value });
                used
            }
            None => line_len(rest),
        };
        line += rest[..used].matches('\n').count();
        rest = &rest[used..];
    }
    found
}

/// Bytes of the first line, its end included.
fn line_len(text: &str) -> usize {
    text.find('\n').map_or(text.len(), |end| end + 1)
}

/// Name, value and length, to the end of its last line, of the assignment at the front.
fn assignment(text: &str) -> Option<(String, String, usize)> {
    let is_blank = [' ', '\t', '\r'];
    let start = text.trim_start_matches(is_blank);
    let start = match start.strip_prefix("export") {
        Some(after) if after.starts_with(is_blank) => after.trim_start_matches(is_blank),
        _ => start,
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let after = start.trim_start_matches(is_name);
    let name = &start[..start.len() - after.len()];
    let value = after.trim_start_matches(is_blank).strip_prefix('=')?;
    let value = value.trim_start_matches(is_blank);
    if name.is_empty() {
        return None;
    }
    let before = text.len() - value.len();
    if let Some(quote) = value.chars().next().filter(|first| "'\"`".contains(*first))
        && let Some(end) = value[1..].find(quote)
    {
        let (inner, after) = (&value[1..=end], end + 2);
        let inner = match quote {
            '"' => inner.replace("\\n", "\n").replace("\\r", "\r"),
            _ => inner.to_owned(),
        };
        return Some((name.to_owned(), inner, before + after + line_len(&value[after..])));
    }
    let len = line_len(value);
    let plain = value[..len].split('#').next().unwrap_or_default().trim();
    Some((name.to_owned(), plain.to_owned(), before + len))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What npm's `dotenv` 16 makes of the same lines.
    #[test]
    fn lines_are_read_as_dotenv_reads_them() {
        let text = "A=1\nexport B = two words # a comment\n# C=3\nD=\"x # y\\nz\"\nE='it\\n''s'\n\
                    F=`a\nb`\nnot a line\nG=\nH=a=b\n I=\"\" \nJ=#x\n\nK=\"unclosed\n";
        let found: Vec<(usize, String, String)> =
            parse(text).into_iter().map(|one| (one.line, one.name, one.value)).collect();
        let expected = [
            (1, "A", "1"),
            (2, "B", "two words"),
            (4, "D", "x # y\nz"),
            (5, "E", "it\\n"),
            (6, "F", "a\nb"),
            (9, "G", ""),
            (10, "H", "a=b"),
            (11, "I", ""),
            (12, "J", ""),
            (14, "K", "\"unclosed"),
        ];
        let expected =
            expected.map(|(line, name, value)| (line, name.to_owned(), value.to_owned()));
        assert_eq!(found, expected);
    }
}
