//! Files of variables, as `.env`.

/// A variable and its line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) line: usize,
    pub(crate) name: String,
    pub(crate) value: String,
    /// An unquoted value holds a `#` that is part of it.
    pub(crate) doubtful: bool,
}

/// Reads `NAME=value` lines. `export` in front, quotes and inline comments (a `#` after white
/// space) are understood; in double quotes `\n`, `\r`, `\t`, `\"`, `\\` and `\$` are too.
///
/// Gives the lines that cannot be read with what is wrong.
pub(crate) fn parse(text: &str) -> (Vec<Line>, Vec<(usize, &'static str)>) {
    let (mut lines, mut errors) = (Vec::new(), Vec::new());
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (number, raw) in text.lines().enumerate() {
        let trimmed = raw.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        match read(trimmed) {
            Ok((name, value, doubtful)) => {
                lines.push(Line { line: number + 1, name, value, doubtful });
            }
            Err(problem) => errors.push((number + 1, problem)),
        }
    }
    (lines, errors)
}

fn read(line: &str) -> Result<(String, String, bool), &'static str> {
    let exported = line.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t']));
    let (name, value) = exported.unwrap_or(line).split_once('=').ok_or("no = in this line")?;
    let name = name.trim();
    let good = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if name.is_empty() || !name.chars().all(good) {
        return Err("no name of a variable before the =");
    }
    let value = value.trim_start();
    let (value, doubtful) = match value.chars().next() {
        Some('\'') => (single(value)?, false),
        Some('"') => (double(value)?, false),
        _ => {
            let plain = unquoted(value);
            let doubtful = plain.contains('#');
            (plain.to_owned(), doubtful)
        }
    };
    Ok((name.to_owned(), value, doubtful))
}

fn unquoted(value: &str) -> &str {
    let comment = value.char_indices().find(|(at, c)| {
        *c == '#' && value[..*at].chars().next_back().is_none_or(char::is_whitespace)
    });
    value[..comment.map_or(value.len(), |(at, _)| at)].trim_end()
}

const OPEN: &str = "the closing quote is missing";

/// Only a comment may follow a closing quote.
fn nothing_after(rest: &str) -> Result<(), &'static str> {
    let rest = rest.trim_start();
    if rest.is_empty() || rest.starts_with('#') {
        Ok(())
    } else {
        Err("text after the closing quote")
    }
}

fn single(value: &str) -> Result<String, &'static str> {
    let (inside, rest) = value[1..].split_once('\'').ok_or(OPEN)?;
    nothing_after(rest)?;
    Ok(inside.to_owned())
}

fn double(value: &str) -> Result<String, &'static str> {
    let mut out = String::new();
    let mut chars = value.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => {
                nothing_after(&value[at + 1..])?;
                return Ok(out);
            }
            '\\' => match chars.next().ok_or(OPEN)?.1 {
                'n' => out.push('\n'),
                'r' => out.push('\r'),
                't' => out.push('\t'),
                c @ ('"' | '\\' | '$') => out.push(c),
                c => out.extend(['\\', c]),
            },
            c => out.push(c),
        }
    }
    Err(OPEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(line: &str) -> String {
        let (lines, errors) = parse(line);
        assert!(errors.is_empty(), "{line}: {errors:?}");
        lines.into_iter().next().map(|line| line.value).unwrap_or_default()
    }

    #[test]
    fn values_as_shells_and_node_write_them() {
        for (line, expected) in [
            ("A=1", "1"),
            ("  export A = 1  ", "1"),
            ("A=30000 # half a minute", "30000"),
            ("A=a#b", "a#b"),
            ("A=# nothing", ""),
            ("A=", ""),
            ("A='a # b' # c", "a # b"),
            (r#"A="a \"b\" \n# c\$ \x""#, "a \"b\" \n# c$ \\x"),
            ("A=a=b", "a=b"),
            ("\u{feff}A=1", "1"),
            ("A=x y \r", "x y"),
        ] {
            assert_eq!(value(line), expected, "{line:?}");
        }
        assert!(parse("A=a#b").0[0].doubtful);
        assert_eq!(parse("# A=1\n\nB=2").0[0].line, 3);
    }

    #[test]
    fn lines_that_cannot_be_read_are_told() {
        let text = "A\n=1\nA B=1\nA='x\nA=\"x\nA='x'y\nexportA=1\n";
        let (lines, errors) = parse(text);
        assert_eq!(errors.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
        assert_eq!(lines[0].name, "exportA");
    }
}
