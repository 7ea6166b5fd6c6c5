//! Channel names and patterns.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest channel name, bytes after percent-decoding.
pub const NAME_BYTES_MAX: usize = 255;
/// The channel every stream receives.
pub const BROADCAST: &str = "broadcast";
/// What the channels of users begin with.
pub const USER: &str = "user:";
/// What the channels of tenants begin with.
pub const TENANT: &str = "tenant:";

/// Why a text is no channel name or pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NameError {
    /// Nothing.
    #[error("a channel name cannot be empty")]
    Empty,
    /// Over [`NAME_BYTES_MAX`].
    #[error("a channel name has at most 255 bytes")]
    TooLong,
    /// A byte that no name may hold.
    #[error("a channel name holds no control character, space, ',', '/' or '*'")]
    BadByte,
    /// A `*` that does not stand alone between dots, or a `**` that is not last.
    #[error("in a pattern '*' stands for one whole part between dots and '**' only at the end")]
    BadWildcard,
}

/// Checks a channel name: 1 to 255 bytes, no control character, space, `,`, `/` or `*`.
///
/// # Errors
/// What is wrong with it.
pub fn check_name(name: &str) -> Result<(), NameError> {
    if name.contains('*') {
        return Err(NameError::BadByte);
    }
    check_text(name)
}

fn check_text(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong);
    }
    let bad = |c: char| c.is_control() || matches!(c, ' ' | ',' | '/');
    if name.chars().any(bad) { Err(NameError::BadByte) } else { Ok(()) }
}

/// Names that a wildcard never reaches: the broadcast, users, tenants.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    name == BROADCAST || name.starts_with(USER) || name.starts_with(TENANT)
}

/// The channel of one user.
///
/// # Errors
/// When the subject cannot be part of a channel name.
pub fn user_channel(subject: &str) -> Result<String, NameError> {
    let name = format!("{USER}{subject}");
    if subject.is_empty() { Err(NameError::Empty) } else { check_name(&name).map(|()| name) }
}

/// The channel of one tenant.
///
/// # Errors
/// When the tenant cannot be part of a channel name.
pub fn tenant_channel(tenant: &str) -> Result<String, NameError> {
    let name = format!("{TENANT}{tenant}");
    if tenant.is_empty() { Err(NameError::Empty) } else { check_name(&name).map(|()| name) }
}

/// A set of channel names: parts between dots, `*` for any one part, a final `**` for all the
/// rest (one part or more).
///
/// It matches reserved names only where it is spelled with their prefix: `user:*`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    text: Box<str>,
}

impl TryFrom<String> for Pattern {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::parse(&text)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.text.into()
    }
}

impl Pattern {
    /// Reads a pattern. A text without `*` is a pattern that matches itself.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        check_text(text)?;
        let (head, body) = Self::split(text);
        let mut parts = body.split('.').peekable();
        while let Some(part) = parts.next() {
            let good = match part {
                "*" => true,
                "**" => parts.peek().is_none(),
                part => !part.contains('*'),
            };
            if !good {
                return Err(NameError::BadWildcard);
            }
        }
        if head.contains('*') {
            return Err(NameError::BadWildcard);
        }
        Ok(Self { text: text.into() })
    }

    /// A reserved prefix and the rest.
    fn split(text: &str) -> (&str, &str) {
        let len =
            [USER, TENANT].iter().find(|prefix| text.starts_with(**prefix)).map_or(0, |p| p.len());
        text.split_at(len)
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What all its names begin with.
    #[must_use]
    pub fn literal_prefix(&self) -> &str {
        self.text.split('*').next().unwrap_or_default()
    }

    /// The name belongs to the set.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let (prefix, body) = Self::split(&self.text);
        let (name_prefix, name_body) = Self::split(name);
        if prefix != name_prefix || (name == BROADCAST && &*self.text != BROADCAST) {
            return false;
        }
        let mut names = name_body.split('.');
        for part in body.split('.') {
            match (part, names.next()) {
                ("**", Some(_)) => return true,
                ("*", Some(_)) => {}
                (literal, Some(found)) if literal == found => {}
                _ => return false,
            }
        }
        names.next().is_none()
    }

    /// Every name of `other` belongs to this set too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let (prefix, body) = Self::split(&self.text);
        let (other_prefix, other_body) = Self::split(&other.text);
        if prefix != other_prefix || (&*other.text == BROADCAST && &*self.text != BROADCAST) {
            return false;
        }
        let mut others = other_body.split('.');
        for part in body.split('.') {
            match (part, others.next()) {
                ("**", Some(_)) => return true,
                (_, Some("**")) => return false,
                ("*", Some(_)) => {}
                (literal, Some(found)) if literal == found => {}
                _ => return false,
            }
        }
        others.next().is_none()
    }

    /// Some name belongs to both sets.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let (prefix, body) = Self::split(&self.text);
        let (other_prefix, other_body) = Self::split(&other.text);
        let is_broadcast = |pattern: &Self| &*pattern.text == BROADCAST;
        if prefix != other_prefix || is_broadcast(self) != is_broadcast(other) {
            return false;
        }
        let (mut parts, mut others) = (body.split('.'), other_body.split('.'));
        loop {
            match (parts.next(), others.next()) {
                (Some("**"), Some(_)) | (Some(_), Some("**")) | (None, None) => return true,
                (Some("*"), Some(_)) | (Some(_), Some("*")) => {}
                (Some(part), Some(found)) if part == found => {}
                _ => return false,
            }
        }
    }
}

/// What a stream can ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// One channel.
    Name(String),
    /// All channels that match.
    Pattern(Pattern),
}

impl Selector {
    /// A text with `*` is a pattern, any other a name.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.contains('*') {
            return Pattern::parse(text).map(Self::Pattern);
        }
        check_name(text).map(|()| Self::Name(text.to_owned()))
    }

    /// What all its names begin with.
    #[must_use]
    pub fn literal_prefix(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Pattern(pattern) => pattern.literal_prefix(),
        }
    }

    /// It selects names that a wildcard never reaches.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        is_reserved(self.literal_prefix())
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Pattern(pattern) => pattern.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_within_and_outside_the_rules() {
        for good in ["a", "news", "ROULETTE:123:v2", "chat.room-1", "Olá", "日本", &"x".repeat(255)]
        {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        let long = "x".repeat(256);
        for bad in ["", "a b", "a,b", "a/b", "a*", "\n", "a\u{7f}", "a\u{85}", &long] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn wildcards_match_whole_parts() {
        let cases = [
            ("orders.*", "orders.eu", true),
            ("orders.*", "orders", false),
            ("orders.*", "orders.eu.1", false),
            ("orders.**", "orders.eu.1", true),
            ("orders.**", "orders", false),
            ("**", "anything.at.all", true),
            ("**", "broadcast", false),
            ("*", "broadcast", false),
            ("**", "user:42", false),
            ("*", "tenant:t1", false),
            ("user:*", "user:42", true),
            ("user:*", "user:a.b", false),
            ("user:**", "user:a.b", true),
            ("user:*", "tenant:42", false),
            ("broadcast", "broadcast", true),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(
                Pattern::parse(pattern).unwrap().matches(name),
                expected,
                "{pattern} {name}"
            );
        }
        for bad in ["a*", "**.a", "a.**.b", "*a.b", "us*r:1"] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }

    fn text() -> impl Strategy<Value = String> {
        let part = prop::sample::select(vec!["a", "b", "*", "c"]);
        let prefix = prop::sample::select(vec!["", "", "user:", "tenant:"]);
        (prefix, prop::collection::vec(part, 1..4), any::<bool>()).prop_map(
            |(prefix, parts, rest)| {
                format!("{prefix}{}{}", parts.join("."), if rest { ".**" } else { "" })
            },
        )
    }

    proptest! {
        /// `covers` and `overlaps` against their definitions over all short names.
        #[test]
        fn covers_means_every_name_and_overlaps_some(one in text(), two in text()) {
            let (one, two) = (Pattern::parse(&one).unwrap(), Pattern::parse(&two).unwrap());
            // "z" is a part no pattern spells, so it stands for all others.
            let parts = ["a", "b", "c", "z"];
            let mut names = vec![String::new()];
            let mut all = vec!["broadcast".to_owned()];
            for _ in 0..5 {
                names = names.iter().flat_map(|head| parts.map(|part| {
                    if head.is_empty() { part.to_owned() } else { format!("{head}.{part}") }
                })).collect();
                all.extend(names.iter().flat_map(|name| ["", "user:", "tenant:"].map(|p| format!("{p}{name}"))));
            }
            let every = all.iter().filter(|name| two.matches(name)).all(|name| one.matches(name));
            prop_assert_eq!(one.covers(&two), every);
            let some = all.iter().any(|name| one.matches(name) && two.matches(name));
            prop_assert_eq!(one.overlaps(&two), some);
        }
    }
}
