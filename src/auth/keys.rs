//! The secrets that sign tokens.

use std::fmt;

use ring::{
    hmac,
    rand::{SecureRandom, SystemRandom},
};
use thiserror::Error;

/// Shortest secret that is not weak: as long as the output of SHA-256 (RFC 7518 3.2).
pub const SECRET_BYTES_STRONG: usize = 32;
/// Bytes of a generated secret: as long as the output of SHA-512, the longest that is needed.
pub const SECRET_BYTES_GENERATED: usize = 64;
/// Most keys at once; a token without a `kid` is tried with each of them.
pub const KEYS_MAX: usize = 16;

/// Why secrets cannot be used. The texts never hold a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyError {
    /// A secret of no bytes would accept forged tokens.
    #[error("the secret is empty")]
    Empty,
    /// More than [`KEYS_MAX`].
    #[error("more than {KEYS_MAX} keys")]
    TooMany,
    /// The system's random source failed.
    #[error("the system's random source failed")]
    Random,
}

/// HMAC with SHA-2, the only signatures taken (RFC 7518 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
}

impl Algorithm {
    /// Reads the `alg` of a header. Its case counts (RFC 7515 4.1.1).
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "HS256" => Some(Self::Hs256),
            "HS384" => Some(Self::Hs384),
            "HS512" => Some(Self::Hs512),
            _ => None,
        }
    }

    /// Its name in a header.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
        }
    }

    /// Bytes of a signature.
    #[must_use]
    pub fn signature_len(self) -> usize {
        match self {
            Self::Hs256 => 32,
            Self::Hs384 => 48,
            Self::Hs512 => 64,
        }
    }
}

/// A secret in the clear, kept only to be handed on. Its debug text hides it.
#[derive(Clone)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// The secret of the process that this one goes on for.
    #[must_use]
    pub fn of(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// Makes a random secret of [`SECRET_BYTES_GENERATED`] bytes.
///
/// # Errors
/// [`KeyError::Random`] when the system has no randomness.
pub fn generate() -> Result<Secret, KeyError> {
    let mut bytes = [0; SECRET_BYTES_GENERATED];
    SystemRandom::new().fill(&mut bytes).map_err(|_| KeyError::Random)?;
    Ok(Secret(Box::new(bytes)))
}

/// One secret, its two hash blocks computed once for each algorithm.
struct Key {
    kid: Option<Box<str>>,
    weak: bool,
    hs256: hmac::Key,
    hs384: hmac::Key,
    hs512: hmac::Key,
}

impl Key {
    fn new(kid: Option<&str>, secret: &[u8]) -> Result<Self, KeyError> {
        if secret.is_empty() {
            return Err(KeyError::Empty);
        }
        Ok(Self {
            kid: kid.map(Box::from),
            weak: secret.len() < SECRET_BYTES_STRONG,
            hs256: hmac::Key::new(hmac::HMAC_SHA256, secret),
            hs384: hmac::Key::new(hmac::HMAC_SHA384, secret),
            hs512: hmac::Key::new(hmac::HMAC_SHA512, secret),
        })
    }

    fn of(&self, algorithm: Algorithm) -> &hmac::Key {
        match algorithm {
            Algorithm::Hs256 => &self.hs256,
            Algorithm::Hs384 => &self.hs384,
            Algorithm::Hs512 => &self.hs512,
        }
    }
}

/// The keys in force, at most [`KEYS_MAX`]; several let old tokens live on while secrets change.
#[derive(Default)]
pub struct Keys {
    keys: Vec<Key>,
}

impl Keys {
    /// No keys: every token is refused.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// One key without a name.
    ///
    /// # Errors
    /// [`KeyError::Empty`].
    pub fn single(secret: &[u8]) -> Result<Self, KeyError> {
        Ok(Self { keys: vec![Key::new(None, secret)?] })
    }

    /// Keys with or without a name (`kid`). The first one signs.
    ///
    /// # Errors
    /// [`KeyError::Empty`] for an empty secret, [`KeyError::TooMany`].
    pub fn new<K, S>(keys: impl IntoIterator<Item = (Option<K>, S)>) -> Result<Self, KeyError>
    where
        K: AsRef<str>,
        S: AsRef<[u8]>,
    {
        let mut list = Vec::new();
        for (kid, secret) in keys {
            if list.len() == KEYS_MAX {
                return Err(KeyError::TooMany);
            }
            list.push(Key::new(kid.as_ref().map(AsRef::as_ref), secret.as_ref())?);
        }
        Ok(Self { keys: list })
    }

    /// True when there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// How many secrets are shorter than [`SECRET_BYTES_STRONG`]: worth a loud warning.
    #[must_use]
    pub fn weak(&self) -> usize {
        self.keys.iter().filter(|key| key.weak).count()
    }

    /// True when any key has a name; an unknown `kid` is then refused.
    pub(super) fn named(&self) -> bool {
        self.keys.iter().any(|key| key.kid.is_some())
    }

    /// The keys a token with this `kid` may be signed by: those of that name, or all when the
    /// token names none or no key has a name.
    pub(super) fn candidates<'a>(
        &'a self,
        kid: Option<&'a str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'a hmac::Key> {
        let kid = if self.named() { kid } else { None };
        self.keys
            .iter()
            .filter(move |key| kid.is_none_or(|kid| key.kid.as_deref() == Some(kid)))
            .map(move |key| key.of(algorithm))
    }

    /// The key that signs new tokens, with its name.
    pub(super) fn signing(&self, algorithm: Algorithm) -> Option<(Option<&str>, &hmac::Key)> {
        self.keys.first().map(|key| (key.kid.as_deref(), key.of(algorithm)))
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.keys.iter().map(|key| key.kid.as_deref().unwrap_or("(unnamed)"));
        f.write_str("Keys")?;
        f.debug_list().entries(names).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// RFC 4231 4.3, test case 2.
    #[test]
    fn hmac_matches_rfc_4231() {
        let keys = Keys::single(b"Jefe").unwrap();
        let sign = |algorithm| {
            let (_, key) = keys.signing(algorithm).unwrap();
            hex(hmac::sign(key, b"what do ya want for nothing?").as_ref())
        };
        assert_eq!(
            sign(Algorithm::Hs256),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            sign(Algorithm::Hs384),
            "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e\
             8e2240ca5e69e2c78b3239ecfab21649"
        );
        assert_eq!(
            sign(Algorithm::Hs512),
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554\
             9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"
        );
    }

    #[test]
    fn short_secrets_are_weak_and_empty_ones_refused() {
        assert_eq!(Keys::single(&[7; 31]).unwrap().weak(), 1);
        assert_eq!(Keys::single(&[7; 32]).unwrap().weak(), 0);
        assert_eq!(Keys::single(b"").unwrap_err(), KeyError::Empty);
        let many = (0..17u8).map(|n| (None::<&str>, [n; 32]));
        assert_eq!(Keys::new(many).unwrap_err(), KeyError::TooMany);
        assert!(Keys::none().is_empty());
    }

    #[test]
    fn kid_picks_the_key() {
        let keys = Keys::new([(Some("a"), b"one"), (Some("b"), b"two"), (None, b"old")]).unwrap();
        let count = |kid| keys.candidates(kid, Algorithm::Hs256).count();
        assert_eq!((count(Some("a")), count(Some("c")), count(None)), (1, 0, 3));
        let unnamed = Keys::new([(None::<&str>, b"one"), (None, b"two")]).unwrap();
        assert_eq!(unnamed.candidates(Some("c"), Algorithm::Hs256).count(), 2);
    }

    #[test]
    fn generated_secrets_differ_and_hide() {
        let (one, two) = (generate().unwrap(), generate().unwrap());
        assert_eq!(one.as_bytes().len(), SECRET_BYTES_GENERATED);
        assert_ne!(one.as_bytes(), two.as_bytes());
        assert_eq!(format!("{one:?}"), "Secret(***)");
        let keys = Keys::new([(Some("k1"), "hunter2")]).unwrap();
        assert_eq!(format!("{keys:?}"), r#"Keys["k1"]"#);
    }
}
