//! Tokens that are true and still do not count any more.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::Identity;

/// Most users and token ids that are revoked at once.
pub const REVOKED_MAX: usize = 100_000;

/// Which tokens end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revoked {
    /// The token of this id (`jti`).
    Token(String),
    /// All tokens of this user issued up to now.
    Subject(String),
    /// All tokens issued before this second since 1970, and all that do not say when.
    IssuedBefore(u64),
}

/// What is revoked on a node. It ends with the process, and each entry after its time.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Revocations {
    /// Until when, by token id.
    tokens: HashMap<Box<str>, u64>,
    /// Last second of issue that is revoked, and until when, by user.
    subjects: HashMap<Box<str>, (u64, u64)>,
    issued_before_unix_s: u64,
}

impl Revocations {
    /// Adds one, to be kept until `until_unix_s`. False: as many as may be are there.
    pub fn add(&mut self, revoked: &Revoked, now_unix_s: u64, until_unix_s: u64) -> bool {
        if self.len() >= REVOKED_MAX {
            self.tokens.retain(|_, until| *until > now_unix_s);
            self.subjects.retain(|_, (_, until)| *until > now_unix_s);
        }
        let full = self.len() >= REVOKED_MAX;
        match revoked {
            Revoked::Token(id) if !full || self.tokens.contains_key(&**id) => {
                self.tokens.insert(id.as_str().into(), until_unix_s);
            }
            Revoked::Subject(name) if !full || self.subjects.contains_key(&**name) => {
                self.subjects.insert(name.as_str().into(), (now_unix_s, until_unix_s));
            }
            Revoked::IssuedBefore(second) => {
                self.issued_before_unix_s = self.issued_before_unix_s.max(*second);
            }
            Revoked::Token(_) | Revoked::Subject(_) => return false,
        }
        true
    }

    /// This identity's token does not count any more.
    #[must_use]
    pub fn covers(&self, identity: &Identity, now_unix_s: u64) -> bool {
        let issued = identity.iat_unix_s.unwrap_or(0);
        let of_token = identity.jti.as_deref().and_then(|id| self.tokens.get(id));
        let of_subject = identity.subject.as_deref().and_then(|name| self.subjects.get(name));
        issued < self.issued_before_unix_s
            || of_token.is_some_and(|until| now_unix_s < *until)
            || of_subject.is_some_and(|(last, until)| issued <= *last && now_unix_s < *until)
    }

    /// Users and token ids that are revoked.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tokens.len() + self.subjects.len()
    }

    /// There is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && self.issued_before_unix_s == 0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn token(subject: &str, id: Option<&str>, issued: Option<u64>) -> Identity {
        Identity {
            subject: Some(Arc::from(subject)),
            jti: id.map(Arc::from),
            iat_unix_s: issued,
            ..Identity::anonymous()
        }
    }

    #[test]
    fn each_kind_ends_its_tokens_and_no_others() {
        let mut all = Revocations::default();
        assert!(all.is_empty());
        assert!(all.add(&Revoked::Token("t1".to_owned()), 100, 200));
        assert!(all.covers(&token("u", Some("t1"), Some(150)), 150));
        assert!(!all.covers(&token("u", Some("t2"), Some(150)), 150));
        assert!(!all.covers(&token("u", None, None), 150));
        assert!(!all.covers(&token("u", Some("t1"), Some(150)), 200), "its time is over");

        assert!(all.add(&Revoked::Subject("u".to_owned()), 100, 200));
        assert!(all.covers(&token("u", None, Some(100)), 150));
        assert!(all.covers(&token("u", None, None), 150));
        assert!(!all.covers(&token("u", None, Some(101)), 150), "a new login counts");
        assert!(!all.covers(&token("v", None, Some(1)), 150));

        assert!(all.add(&Revoked::IssuedBefore(90), 100, 200));
        assert!(all.covers(&token("v", None, Some(89)), 1_000));
        assert!(all.covers(&token("v", None, None), 1_000));
        assert!(!all.covers(&token("v", None, Some(90)), 1_000));
        assert!(all.add(&Revoked::IssuedBefore(10), 100, 200));
        assert!(all.covers(&token("v", None, Some(89)), 1_000), "it only grows");
    }

    #[test]
    fn they_are_bounded_and_old_ones_make_room() {
        let mut all = Revocations::default();
        for id in 0..REVOKED_MAX {
            assert!(all.add(&Revoked::Token(id.to_string()), 0, 10));
            if id % 1_000 != 0 {
                continue;
            }
            assert_eq!(all.len(), id + 1);
        }
        assert!(!all.add(&Revoked::Subject("u".to_owned()), 5, 10));
        assert!(all.add(&Revoked::Token("7".to_owned()), 5, 20), "it is there already");
        assert!(all.add(&Revoked::Subject("u".to_owned()), 10, 20));
        assert_eq!(all.len(), 2);
    }
}
