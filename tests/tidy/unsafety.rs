//! The one address of `unsafe`.

use crate::source::File;
use crate::tokens::flatten;

/// Where the word may stand: the kernel's side of the driver, the journal's ring, and the tests
/// that put the kernel's own calls to the question.
const ADDRESSES: [&str; 3] = ["src/driver/sys/", "src/journal/ring/", "tests/kernel_facts"];

/// The word, or a permission for it, anywhere else.
pub(crate) fn check(file: &File) -> Vec<String> {
    if !file.is_rust() || ADDRESSES.iter().any(|address| file.path.starts_with(address)) {
        return Vec::new();
    }
    let tokens = flatten(&file.text);
    let permits = |at: usize| {
        tokens[at].is_word("unsafe_code")
            && at >= 2
            && (tokens[at - 2].is_word("allow") || tokens[at - 2].is_word("expect"))
    };
    (0..tokens.len())
        .filter(|&at| tokens[at].is_word("unsafe") || permits(at))
        .map(|at| format!("{}:{}: unsafe outside its address", file.path, tokens[at].line))
        .collect()
}

#[test]
fn a_planted_block_is_found() {
    let block = "fn f(p: *const u8) -> u8 { unsafe { *p } }";
    let count = |path: &str, text: &str| check(&File::new(path, text)).len();
    assert_eq!(count("src/hub/topics.rs", block), 1);
    assert_eq!(count("tests/promises.rs", block), 1);
    assert_eq!(count("src/driver/uring.rs", "#![allow(unsafe_code)]"), 1);
    assert_eq!(count("src/driver/sys/ring.rs", block), 0);
    assert_eq!(count("src/journal/ring/mod.rs", block), 0);
    assert_eq!(count("src/lib.rs", "#![deny(unsafe_code)] // unsafe"), 0);
}
