//! What somebody may have meant.

/// The known word with the fewest edits from `word`, when it is near: at most two edits.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let best = known.into_iter().map(|known| (edits(word, known), known)).min()?;
    (best.0 <= 2).then_some(best.1)
}

/// Levenshtein distance; of `one` the first 64 characters count.
fn edits(one: &str, two: &str) -> usize {
    let two: Vec<char> = two.chars().collect();
    let mut row: Vec<usize> = (0..=two.len()).collect();
    for (i, a) in one.chars().take(64).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in two.iter().enumerate() {
            let change = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_not() {
        let known = ["log.level", "log.format", "workers"];
        assert_eq!(nearest("log.levle", known), Some("log.level"));
        assert_eq!(nearest("worker", known), Some("workers"));
        assert_eq!(nearest("listen", known), None);
    }
}
