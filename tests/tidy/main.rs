//! What must hold of the sources themselves: walls between the rooms, sizes, the one address of
//! `unsafe`, words that must not stay, papers that must be there.
//!
//! Every check takes text and returns findings, so that each has a test on a planted fault: a
//! check that cannot fail proves nothing.

mod ledger;
mod papers;
mod sizes;
mod source;
mod tokens;
mod unsafety;
mod walls;
mod words;

use source::File;

/// Runs a check over the repository and fails with all findings at once.
fn expect_clean(check: impl Fn(&File) -> Vec<String>) {
    let findings: Vec<String> = source::repository().iter().flat_map(check).collect();
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
}

#[test]
fn rooms_keep_their_walls() {
    expect_clean(walls::check);
}

#[test]
fn lower_rooms_are_pure() {
    expect_clean(walls::check_purity);
}

#[test]
fn every_room_stands_in_the_table() {
    let findings = walls::check_table(&source::repository());
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[test]
fn unsafe_has_one_address() {
    expect_clean(unsafety::check);
}

#[test]
fn files_and_functions_stay_small() {
    expect_clean(sizes::check);
}

#[test]
fn no_word_waits_for_later() {
    expect_clean(words::check);
}

#[test]
fn no_machine_is_named() {
    expect_clean(words::check_paths);
}

#[test]
fn papers_are_in_order() {
    let findings = papers::check(&source::repository());
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[test]
fn tests_name_rows_of_the_ledger() {
    let findings = ledger::check(&source::repository());
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}
