//! Rust as a flat list of tokens: what stands in macros counts, what stands in comments and
//! strings does not.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Word(String),
    Sign(char),
    Open(char),
    Close(char),
    Literal,
}

/// A token and its line.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) line: usize,
}

impl Token {
    pub(crate) fn is_word(&self, word: &str) -> bool {
        matches!(&self.kind, Kind::Word(own) if own == word)
    }

    pub(crate) fn word(&self) -> Option<&str> {
        match &self.kind {
            Kind::Word(word) => Some(word),
            _ => None,
        }
    }
}

/// The tokens of a file.
pub(crate) fn flatten(text: &str) -> Vec<Token> {
    let stream: TokenStream = text.parse().expect("it compiles");
    let mut out = Vec::new();
    push(stream, &mut out);
    out
}

fn push(stream: TokenStream, out: &mut Vec<Token>) {
    for tree in stream {
        let line = tree.span().start().line;
        let kind = match tree {
            TokenTree::Ident(ident) => Kind::Word(ident.to_string()),
            TokenTree::Punct(punct) => Kind::Sign(punct.as_char()),
            TokenTree::Literal(_) => Kind::Literal,
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ('(', ')'),
                    Delimiter::Brace => ('{', '}'),
                    Delimiter::Bracket => ('[', ']'),
                    Delimiter::None => (' ', ' '),
                };
                out.push(Token { kind: Kind::Open(open), line });
                push(group.stream(), out);
                let line = group.span_close().start().line;
                out.push(Token { kind: Kind::Close(close), line });
                continue;
            }
        };
        out.push(Token { kind, line });
    }
}

/// Index after the group that opens at `at`.
pub(crate) fn skip_group(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(at) {
        match token.kind {
            Kind::Open(_) => depth += 1,
            Kind::Close(_) => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return index + 1;
        }
    }
    tokens.len()
}

/// True if `::` stands at `at`.
pub(crate) fn is_path_sign(tokens: &[Token], at: usize) -> bool {
    let sign = |at: usize| tokens.get(at).is_some_and(|token| token.kind == Kind::Sign(':'));
    sign(at) && sign(at + 1)
}

/// The tokens without items under `#[cfg(test)]`, `#[cfg(all(test, ..))]` and `#[test]`.
pub(crate) fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let is_attribute = tokens[at].kind == Kind::Sign('#')
            && tokens.get(at + 1).is_some_and(|token| token.kind == Kind::Open('['));
        if is_attribute {
            let end = skip_group(tokens, at + 1);
            if is_test_attribute(&tokens[at + 2..end - 1]) {
                at = skip_item(tokens, end);
                continue;
            }
        }
        out.push(tokens[at].clone());
        at += 1;
    }
    out
}

fn is_test_attribute(inside: &[Token]) -> bool {
    let has = |word: &str| inside.iter().any(|token| token.is_word(word));
    match inside.first() {
        Some(first) if first.is_word("cfg") => has("test") && !has("not") && !has("any"),
        Some(first) => first.is_word("test"),
        None => false,
    }
}

/// Index after the item at `at`: behind its first block or its semicolon.
fn skip_item(tokens: &[Token], mut at: usize) -> usize {
    while at < tokens.len() {
        match tokens[at].kind {
            Kind::Sign(';') => return at + 1,
            Kind::Open('{') => return skip_group(tokens, at),
            Kind::Open(_) => at = skip_group(tokens, at),
            _ => at += 1,
        }
    }
    at
}

#[test]
fn tests_are_left_out_and_nothing_else() {
    let text = "fn a() {} #[cfg(test)] mod tests { fn b() {} } #[cfg(not(test))] fn c() {} \
                #[test] fn d() {} #[cfg(all(test, loom))] mod e; fn f() {}";
    let words: Vec<String> = without_tests(&flatten(text))
        .iter()
        .filter_map(|token| token.word().map(str::to_owned))
        .filter(|word| word.len() == 1)
        .collect();
    assert_eq!(words, ["a", "c", "f"]);
}
