//! The fixed token of publishers, `AUTH_TOKEN`.

use std::fmt;

use ring::{hmac, rand::SystemRandom};

use super::keys::KeyError;

/// Knows the fixed token without keeping it: only its HMAC under a key made for this run.
///
/// Comparing two HMACs under a key nobody outside knows makes the time independent of how many
/// leading bytes are right and of the token's length.
#[derive(Clone)]
pub struct PublisherToken {
    key: hmac::Key,
    tag: hmac::Tag,
}

impl PublisherToken {
    /// Takes the configured token.
    ///
    /// # Errors
    /// [`KeyError::Empty`] for an empty token, [`KeyError::Random`].
    pub fn new(token: &[u8]) -> Result<Self, KeyError> {
        if token.is_empty() {
            return Err(KeyError::Empty);
        }
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| KeyError::Random)?;
        Ok(Self { tag: hmac::sign(&key, token), key })
    }

    /// True when `given` is the token. Constant time.
    #[must_use]
    pub fn matches(&self, given: &[u8]) -> bool {
        hmac::verify(&self.key, given, self.tag.as_ref()).is_ok()
    }
}

impl fmt::Debug for PublisherToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublisherToken(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_token_matches() {
        let token = PublisherToken::new(b"s3cret-token").unwrap();
        assert!(token.matches(b"s3cret-token"));
        for other in
            ["", "s", "s3cret-toke", "s3cret-token ", "S3cret-token", "s3cret-token\0", "x"]
        {
            assert!(!token.matches(other.as_bytes()), "{other:?}");
        }
        assert!(token.clone().matches(b"s3cret-token"));
    }

    #[test]
    fn empty_is_refused_and_debug_hides() {
        assert_eq!(PublisherToken::new(b"").unwrap_err(), KeyError::Empty);
        let shown = format!("{:?}", PublisherToken::new(b"s3cret-token").unwrap());
        assert_eq!(shown, "PublisherToken(***)");
    }
}
