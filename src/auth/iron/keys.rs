//! The passwords that seal.

use std::fmt;

use thiserror::Error;

use crate::auth::keys::KEYS_MAX;

/// Fewest characters of a password, counted as JavaScript does (UTF-16): the packages refuse less.
pub const PASSWORD_CHARS_MIN: usize = 32;
/// What the packages look up for a text without a key id.
const DEFAULT_ID: &str = "default";

/// Why passwords cannot be used. The texts never hold one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IronKeyError {
    /// Under [`PASSWORD_CHARS_MIN`].
    #[error("the key has {chars} characters, at least {PASSWORD_CHARS_MIN} are needed")]
    Short {
        /// How many it has.
        chars: usize,
    },
    /// An id with other bytes than `A-Z a-z 0-9 _`.
    #[error("a key id holds only letters, digits and '_'")]
    Id,
    /// Two passwords under one id.
    #[error("two keys have the same id")]
    Twice,
    /// More than [`KEYS_MAX`].
    #[error("more than {KEYS_MAX} keys")]
    TooMany,
}

/// The passwords in force, at most [`KEYS_MAX`]: the first one seals, all of them unseal, so that
/// services can change theirs one after the other.
#[derive(Clone, Default)]
pub struct IronKeys {
    keys: Vec<(Box<str>, Box<str>)>,
}

impl IronKeys {
    /// No passwords: nothing can be sealed.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// One password without an id: `SSE_ENCRYPTION_KEY`. It unseals texts of any id, as a plain
    /// string given to the packages does.
    ///
    /// # Errors
    /// [`IronKeyError::Short`].
    pub fn single(password: &str) -> Result<Self, IronKeyError> {
        Self::new([("", password)])
    }

    /// Passwords by id, the empty id for none. In the packages the reader gives them as an object;
    /// there the password of texts without an id is named `default`, and here either name will do.
    ///
    /// # Errors
    /// An [`IronKeyError`].
    pub fn new<I, P>(keys: impl IntoIterator<Item = (I, P)>) -> Result<Self, IronKeyError>
    where
        I: AsRef<str>,
        P: AsRef<str>,
    {
        let mut list: Vec<(Box<str>, Box<str>)> = Vec::new();
        for (id, password) in keys {
            let (id, password) = (id.as_ref(), password.as_ref());
            let chars = password.encode_utf16().count();
            if chars < PASSWORD_CHARS_MIN {
                return Err(IronKeyError::Short { chars });
            }
            if !id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                return Err(IronKeyError::Id);
            }
            if list.iter().any(|(known, _)| lookup_name(known) == lookup_name(id)) {
                return Err(IronKeyError::Twice);
            }
            if list.len() == KEYS_MAX {
                return Err(IronKeyError::TooMany);
            }
            list.push((id.into(), password.into()));
        }
        Ok(Self { keys: list })
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Id and password that seal.
    pub(super) fn sealing(&self) -> Option<(&str, &str)> {
        self.keys.first().map(|(id, password)| (&**id, &**password))
    }

    /// The password that unseals texts of this id.
    pub(super) fn opening(&self, id: &str) -> Option<&str> {
        if let [(only, password)] = &self.keys[..]
            && only.is_empty()
        {
            return Some(password);
        }
        let named = |(known, _): &&(Box<str>, Box<str>)| lookup_name(known) == lookup_name(id);
        self.keys.iter().find(named).map(|(_, password)| &**password)
    }
}

fn lookup_name(id: &str) -> &str {
    if id.is_empty() { DEFAULT_ID } else { id }
}

impl fmt::Debug for IronKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.keys.iter().map(|(id, _)| lookup_name(id));
        f.write_str("IronKeys")?;
        f.debug_list().entries(names).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "one-password-of-32-characters-00";
    const TWO: &str = "two-password-of-32-characters-00";

    #[test]
    fn weak_and_doubtful_keys_are_refused() {
        let error = |keys: &[(&str, &str)]| IronKeys::new(keys.iter().copied()).unwrap_err();
        assert_eq!(error(&[("", &ONE[1..])]), IronKeyError::Short { chars: 31 });
        assert_eq!(error(&[("a-b", ONE)]), IronKeyError::Id);
        assert_eq!(error(&[("a*", ONE)]), IronKeyError::Id);
        assert_eq!(error(&[("", ONE), ("default", TWO)]), IronKeyError::Twice);
        assert_eq!(error(&[("a", ONE), ("a", ONE)]), IronKeyError::Twice);
        let many = (0..=KEYS_MAX).map(|n| (format!("k{n}"), ONE));
        assert_eq!(IronKeys::new(many).unwrap_err(), IronKeyError::TooMany);
        // 32 characters in UTF-16, 16 code points, 64 bytes.
        assert!(IronKeys::single(&"\u{1f600}".repeat(16)).is_ok());
        assert!(IronKeys::single(&"é".repeat(31)).is_err());
    }

    #[test]
    fn ids_choose_the_password() {
        let single = IronKeys::single(ONE).unwrap();
        assert_eq!((single.opening(""), single.opening("any")), (Some(ONE), Some(ONE)));
        let named = IronKeys::new([("k2", TWO)]).unwrap();
        assert_eq!((named.opening(""), named.opening("k2")), (None, Some(TWO)));
        let both = IronKeys::new([("k2", TWO), ("", ONE)]).unwrap();
        assert_eq!(both.sealing(), Some(("k2", TWO)));
        assert_eq!((both.opening(""), both.opening("default")), (Some(ONE), Some(ONE)));
        assert_eq!(both.opening("k1"), None);
        assert!(IronKeys::none().sealing().is_none() && IronKeys::none().is_empty());
    }

    #[test]
    fn debug_hides_the_passwords() {
        let keys = IronKeys::new([("k2", TWO), ("", ONE)]).unwrap();
        assert_eq!(format!("{keys:?}"), "IronKeys[\"k2\", \"default\"]");
    }
}
