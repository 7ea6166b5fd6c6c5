//! The name somebody meant.

/// The name nearest to `text`, if one is near enough to be meant.
pub(super) fn nearest<'n>(text: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let wanted = plain(text);
    let near = names.map(|name| (strsim::damerau_levenshtein(&wanted, &plain(name)), name));
    // The first of the nearest: names come in the order of the table.
    let (distance, name) = near.min_by_key(|(distance, _)| *distance)?;
    (distance <= (wanted.len() / 3).clamp(1, 5)).then_some(name)
}

/// Case and separators do not make another name: `heartbeatInterval` is near `heartbeat.interval`.
fn plain(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let names = ["limits.per_user", "limits.per_ip", "heartbeat.interval_ms"];
        for (text, found) in [
            ("limits.peruser", Some("limits.per_user")),
            ("limit.per_usr", Some("limits.per_user")),
            ("heartbeatInterval", Some("heartbeat.interval_ms")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(text, names.into_iter()), found, "{text}");
        }
    }
}
