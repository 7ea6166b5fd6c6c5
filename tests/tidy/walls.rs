//! Which room may know which.

use crate::source::File;
use crate::tokens::{Kind, Token, flatten, is_path_sign, skip_group, without_tests};

/// Each room and the rooms it may name beside itself, lowest first. ARCHITECTURE.md draws it.
const WALLS: &[(&str, &[&str])] = &[
    ("proto", &[]),
    ("auth", &["proto"]),
    ("journal", &["proto"]),
    ("hub", &["proto", "journal"]),
    ("conn", &["proto", "journal"]),
    ("driver", &[]),
    ("obs", &[]),
    ("admin", &["proto", "obs"]),
    ("config", &["proto", "auth", "journal"]),
    ("worker", &["proto", "auth", "journal", "hub", "conn", "driver", "admin", "obs", "config"]),
    (
        "control",
        &["proto", "auth", "journal", "hub", "conn", "driver", "admin", "obs", "config", "worker"],
    ),
    ("bench", &["proto", "auth", "driver", "obs"]),
    ("cli", &["proto", "auth", "journal", "driver", "admin", "obs", "config", "control", "bench"]),
];

/// Rooms that return values and do nothing else.
const PURE: [&str; 5] = ["proto", "auth", "journal", "hub", "conn"];

/// What a pure room does not say outside its tests. The last part may be a macro's name.
const IMPURE: &[&[&str]] = &[
    &["Instant", "now"],
    &["SystemTime", "now"],
    &["std", "fs"],
    &["std", "env"],
    &["std", "process"],
    &["std", "thread"],
    &["TcpStream"],
    &["TcpListener"],
    &["UdpSocket"],
    &["UnixStream"],
    &["tracing"],
    &["tokio"],
    &["tokio_uring"],
    &["io_uring"],
    &["socket2"],
    &["libc"],
    &["ureq"],
    &["println"],
    &["eprintln"],
    &["print"],
    &["eprint"],
];

/// Every name of another room that the table does not allow.
pub(crate) fn check(file: &File) -> Vec<String> {
    let Some(room) = file.room().filter(|_| file.is_rust()) else { return Vec::new() };
    let tokens = flatten(&file.text);
    if room == "main" {
        return check_main(file, &tokens);
    }
    let Some((_, allowed)) = WALLS.iter().find(|(name, _)| *name == room) else {
        return Vec::new();
    };
    named_rooms(&tokens, file.depth())
        .into_iter()
        .filter(|(name, _)| name != room && !allowed.contains(&name.as_str()))
        .filter(|(name, _)| WALLS.iter().any(|(known, _)| known == name))
        .map(|(name, line)| format!("{}:{line}: {room} may not know {name}", file.path))
        .collect()
}

/// The binary is nothing but a call of the command line.
fn check_main(file: &File, tokens: &[Token]) -> Vec<String> {
    let names = tokens.windows(4).filter(|four| four[0].is_word("ringcast"));
    let others = names.filter(|four| is_path_sign(four, 1) && !four[3].is_word("cli"));
    others.map(|four| format!("{}:{}: not the command line", file.path, four[0].line)).collect()
}

/// Names after `crate::` or after as many `super::` as lead to the root, with their lines; in a
/// group the first part of each member.
fn named_rooms(tokens: &[Token], file_depth: usize) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let mut blocks: Vec<bool> = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at].kind {
            Kind::Open('{') => {
                let is_module = at >= 2 && tokens[at - 2].is_word("mod");
                blocks.push(is_module);
            }
            Kind::Close('}') => {
                blocks.pop();
            }
            Kind::Word(word) if word == "crate" && is_path_sign(tokens, at + 1) => {
                first_parts(tokens, at + 3, &mut found);
            }
            Kind::Word(word) if word == "super" => {
                let depth = file_depth + blocks.iter().filter(|is_module| **is_module).count();
                let mut ups = 1;
                let mut next = at + 1;
                while is_path_sign(tokens, next)
                    && tokens.get(next + 2).is_some_and(|token| token.is_word("super"))
                {
                    ups += 1;
                    next += 3;
                }
                if ups == depth && is_path_sign(tokens, next) {
                    first_parts(tokens, next + 2, &mut found);
                }
                at = next;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// The name at `at`, or those at the front of each member of a `{...}` group there.
fn first_parts(tokens: &[Token], at: usize, found: &mut Vec<(String, usize)>) {
    let Some(token) = tokens.get(at) else { return };
    if let Some(word) = token.word() {
        found.push((word.to_owned(), token.line));
        return;
    }
    if token.kind != Kind::Open('{') {
        return;
    }
    let end = skip_group(tokens, at);
    let mut inside = at + 1;
    let mut at_front = true;
    while inside + 1 < end {
        match &tokens[inside].kind {
            Kind::Word(word) if at_front => {
                found.push((word.clone(), tokens[inside].line));
                at_front = false;
            }
            Kind::Sign(',') => at_front = true,
            Kind::Open(_) => {
                inside = skip_group(tokens, inside);
                continue;
            }
            _ => {}
        }
        inside += 1;
    }
}

/// Clocks, files, sockets, threads and log lines in a pure room.
pub(crate) fn check_purity(file: &File) -> Vec<String> {
    let Some(room) = file.room().filter(|room| PURE.contains(room)) else { return Vec::new() };
    if !file.is_rust() || file.is_test() {
        return Vec::new();
    }
    let tokens = without_tests(&flatten(&file.text));
    let mut findings = Vec::new();
    for at in 0..tokens.len() {
        for path in IMPURE {
            if says(&tokens, at, path) {
                let (line, what) = (tokens[at].line, path.join("::"));
                findings.push(format!("{}:{line}: {room} is pure and says {what}", file.path));
            }
        }
    }
    findings
}

/// True if the words of `path`, joined by `::`, stand at `at`. A single word counts only where it
/// leads a path or a macro call or ends a `use`, not as somebody's own field or variable.
fn says(tokens: &[Token], at: usize, path: &[&str]) -> bool {
    let mut next = at;
    for (number, part) in path.iter().enumerate() {
        if number > 0 {
            if !is_path_sign(tokens, next) {
                return false;
            }
            next += 2;
        }
        if !tokens.get(next).is_some_and(|token| token.is_word(part)) {
            return false;
        }
        next += 1;
    }
    let kind = tokens.get(next).map(|token| &token.kind);
    match path {
        [word] if word.starts_with(char::is_uppercase) => true,
        [_] => is_path_sign(tokens, next) || kind == Some(&Kind::Sign('!')),
        _ => true,
    }
}

/// Every folder of src/ is a room of the table and every room of the table has a folder or a
/// good reason.
pub(crate) fn check_table(files: &[File]) -> Vec<String> {
    let mut findings = Vec::new();
    let rooms = files.iter().filter(|file| file.is_rust()).filter_map(File::room);
    for room in rooms.filter(|room| !["lib", "main"].contains(room)) {
        if !WALLS.iter().any(|(known, _)| *known == room) {
            findings.push(format!("src/{room} is not in the table of walls"));
        }
    }
    for (at, (room, allowed)) in WALLS.iter().enumerate() {
        for below in *allowed {
            let position = WALLS.iter().position(|(known, _)| known == below);
            if position.is_none_or(|position| position >= at) {
                findings.push(format!("{room} may know {below}, which is not below it"));
            }
        }
    }
    findings.dedup();
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> usize {
        check(&File::new(path, text)).len()
    }

    #[test]
    fn a_name_through_a_wall_is_found_however_it_is_written() {
        for text in [
            "use crate::obs::Counters;",
            "use crate::{proto::sse, obs};",
            "use crate::{\n proto::{sse, http},\n obs::Counters,\n};",
            "fn f() { crate::obs::count(); }",
            "fn f() { log!(crate::obs::X); }",
            "use super::super::obs;",
            "mod inner { use super::super::super::obs::X; }",
        ] {
            assert_eq!(findings("src/hub/topics.rs", text), 1, "{text}");
        }
    }

    #[test]
    fn what_is_allowed_or_only_looks_so_is_left_alone() {
        for text in [
            "use crate::proto::sse::Frame;",
            "use crate::hub::Hub;",
            "use super::obs::Own;",
            "// crate::obs\nconst A: &str = \"crate::obs\";",
            "use crate::{journal, proto::{obs}};",
        ] {
            assert_eq!(findings("src/hub/topics.rs", text), 0, "{text}");
        }
        assert_eq!(findings("src/control/mod.rs", "use crate::obs::Counters;"), 0);
        assert_eq!(findings("tests/x.rs", "use crate::obs::Counters;"), 0);
    }

    #[test]
    fn the_binary_names_only_the_command_line() {
        assert_eq!(findings("src/main.rs", "fn main() { ringcast::cli::run() }"), 0);
        assert_eq!(findings("src/main.rs", "fn main() { ringcast::worker::run() }"), 1);
    }

    #[test]
    fn a_clock_in_a_pure_room_is_found() {
        let count = |path: &str, text: &str| check_purity(&File::new(path, text)).len();
        for text in [
            "fn f() { std::time::Instant::now(); }",
            "use std::time::SystemTime; fn f() { SystemTime::now(); }",
            "fn f() { tracing::info!(\"x\"); }",
            "fn f() { println!(\"x\"); }",
            "use std::net::TcpStream;",
            "fn f() { let _ = std::fs::read(\"x\"); }",
        ] {
            assert_eq!(count("src/hub/topics.rs", text), 1, "{text}");
            assert_eq!(count("src/worker/turn.rs", text), 0, "{text}");
        }
        let tested = "#[cfg(test)] mod tests { fn f() { std::time::Instant::now(); } }";
        assert_eq!(count("src/hub/topics.rs", tested), 0);
        assert_eq!(count("src/hub/topics.rs", "fn f(print: u8) -> u8 { print }"), 0);
    }

    #[test]
    fn a_room_outside_the_table_is_found() {
        assert_eq!(check_table(&[File::new("src/attic/mod.rs", "")]).len(), 1);
        assert_eq!(check_table(&[File::new("src/hub/mod.rs", "")]).len(), 0);
    }
}
