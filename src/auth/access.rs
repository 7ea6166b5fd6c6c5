//! Lists of channel names and patterns that a token grants.

use thiserror::Error;

use crate::proto::channel::{Pattern, Selector, is_reserved};

/// Most names and patterns in one list.
pub const GRANTS_MAX: usize = 1000;

/// Why a list of grants is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum GrantError {
    /// An entry is neither a channel name nor a pattern.
    #[error("entry {index} is neither a channel name nor a pattern")]
    Invalid {
        /// Place of the entry, from 0.
        index: usize,
    },
    /// More than [`GRANTS_MAX`] entries.
    #[error("more than {GRANTS_MAX} entries")]
    TooMany,
}

/// Which channels may be used.
///
/// Wildcards never reach the reserved names (`broadcast`, `user:...`, `tenant:...`); only an entry
/// spelled with that prefix does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grants(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    None,
    Unreserved,
    Everything,
    List(List),
}

/// Names are sorted, for a search by halves.
#[derive(Debug, Clone, PartialEq, Eq)]
struct List {
    names: Box<[Box<str>]>,
    patterns: Box<[Pattern]>,
}

impl Grants {
    /// Nothing: what an absent `publish` means.
    #[must_use]
    pub fn none() -> Self {
        Self(Kind::None)
    }

    /// Every name and pattern that is not reserved: what absent `channels` mean.
    #[must_use]
    pub fn everything_unreserved() -> Self {
        Self(Kind::Unreserved)
    }

    /// Every name, reserved ones too: what the fixed publisher token has.
    #[must_use]
    pub fn everything() -> Self {
        Self(Kind::Everything)
    }

    /// Exactly these names and patterns; an empty list grants nothing.
    ///
    /// # Errors
    /// A [`GrantError`]; one bad entry refuses the whole list.
    pub fn list<T: AsRef<str>>(entries: impl IntoIterator<Item = T>) -> Result<Self, GrantError> {
        let mut names = Vec::new();
        let mut patterns = Vec::new();
        for (index, entry) in entries.into_iter().enumerate() {
            if index == GRANTS_MAX {
                return Err(GrantError::TooMany);
            }
            match Selector::parse(entry.as_ref()) {
                Ok(Selector::Name(name)) => names.push(name.into_boxed_str()),
                Ok(Selector::Pattern(pattern)) => patterns.push(pattern),
                Err(_) => return Err(GrantError::Invalid { index }),
            }
        }
        if names.is_empty() && patterns.is_empty() {
            return Ok(Self::none());
        }
        names.sort_unstable();
        Ok(Self(Kind::List(List { names: names.into(), patterns: patterns.into() })))
    }

    /// True when this channel is granted. `name` is a valid channel name.
    #[must_use]
    pub fn covers_name(&self, name: &str) -> bool {
        match &self.0 {
            Kind::None => false,
            Kind::Unreserved => !is_reserved(name),
            Kind::Everything => true,
            Kind::List(list) => {
                list.names.binary_search_by(|known| (**known).cmp(name)).is_ok()
                    || list.patterns.iter().any(|pattern| pattern.matches(name))
            }
        }
    }

    /// True when every name the pattern can match is granted by one entry.
    #[must_use]
    pub fn covers_pattern(&self, wanted: &Pattern) -> bool {
        match &self.0 {
            Kind::None => false,
            Kind::Unreserved => !is_reserved(wanted.as_str()),
            Kind::Everything => true,
            Kind::List(list) => list.patterns.iter().any(|pattern| pattern.covers(wanted)),
        }
    }

    /// [`Grants::covers_name`] or [`Grants::covers_pattern`].
    #[must_use]
    pub fn covers(&self, selector: &Selector) -> bool {
        match selector {
            Selector::Name(name) => self.covers_name(name),
            Selector::Pattern(pattern) => self.covers_pattern(pattern),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[&str]) -> Grants {
        Grants::list(entries).unwrap()
    }

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn names_and_patterns() {
        let grants = list(&["zulu", "news", "sports.*", "deep.**"]);
        for name in ["news", "zulu", "sports.golf", "deep.a", "deep.a.b.c"] {
            assert!(grants.covers_name(name), "{name}");
        }
        for name in ["newsx", "new", "sports", "sports.golf.x", "deep", "other", "NEWS"] {
            assert!(!grants.covers_name(name), "{name}");
        }
        assert!(grants.covers_pattern(&pattern("sports.*")));
        assert!(grants.covers_pattern(&pattern("deep.x.*")));
        for wanted in ["sports.**", "*", "**", "news.*"] {
            assert!(!grants.covers_pattern(&pattern(wanted)), "{wanted}");
        }
    }

    #[test]
    fn wildcards_never_reach_reserved_names() {
        let reserved = ["broadcast", "user:42", "tenant:t1"];
        for grants in [list(&["*", "**"]), Grants::everything_unreserved()] {
            assert!(grants.covers_name("news"));
            for name in reserved {
                assert!(!grants.covers_name(name), "{name} by {grants:?}");
            }
            assert!(grants.covers_pattern(&pattern("*")));
            assert!(!grants.covers_pattern(&pattern("user:*")), "{grants:?}");
        }
        for name in reserved {
            assert!(Grants::everything().covers_name(name));
            assert!(!Grants::none().covers_name(name));
            assert!(list(&[name]).covers_name(name));
        }
        let users = list(&["user:*"]);
        assert!(users.covers_name("user:42") && users.covers_pattern(&pattern("user:*")));
        assert!(!users.covers_name("tenant:t1") && !users.covers_name("news"));
    }

    #[test]
    fn bad_entries_refuse_the_list() {
        assert_eq!(Grants::list(["a", "b c"]), Err(GrantError::Invalid { index: 1 }));
        assert_eq!(Grants::list([""]), Err(GrantError::Invalid { index: 0 }));
        let many = (0..=GRANTS_MAX).map(|n| n.to_string());
        assert_eq!(Grants::list(many), Err(GrantError::TooMany));
        assert_eq!(Grants::list::<&str>([]), Ok(Grants::none()));
    }
}
