//! Who is asking, and what they may do.

use std::sync::Arc;

use ring::digest;
use thiserror::Error;

use super::{access::Grants, claims::Claims};
use crate::proto::channel::{BROADCAST, Selector};

/// Why a channel is refused. The same for channels that exist and those that do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Denied {
    /// A token could open it.
    #[error("an access token is required for this channel")]
    TokenRequired,
    /// This identity has no right to it.
    #[error("this token does not grant the channel")]
    NotGranted,
}

impl Denied {
    /// HTTP status.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::TokenRequired => 401,
            Self::NotGranted => 403,
        }
    }
}

/// How an identity was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// Not at all.
    Anonymous,
    /// By a verified token or a callback.
    Token,
    /// By the fixed publisher token (`AUTH_TOKEN`).
    Publisher,
}

/// Who is asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// How it was shown.
    pub proof: Proof,
    /// The user's id.
    pub subject: Option<Arc<str>>,
    /// The tenant's id.
    pub tenant: Option<Arc<str>>,
    /// May see operators' pages.
    pub admin: bool,
    /// Ends at this second since 1970; `None`: never.
    pub expires_unix_s: Option<u64>,
    /// What may be subscribed, beside one's own.
    pub channels: Grants,
    /// What may be published to.
    pub publish: Grants,
    /// The token's own id.
    pub jti: Option<Arc<str>>,
    /// Second since 1970 at which the token was issued.
    pub iat_unix_s: Option<u64>,
    /// Names the publisher for idempotency keys: the same for every token of the same subject and
    /// tenant, in every process.
    pub scope: u64,
}

impl Identity {
    /// Somebody without a token.
    #[must_use]
    pub fn anonymous() -> Self {
        Self {
            proof: Proof::Anonymous,
            subject: None,
            tenant: None,
            admin: false,
            expires_unix_s: None,
            channels: Grants::everything_unreserved(),
            publish: Grants::none(),
            jti: None,
            iat_unix_s: None,
            scope: scope(b'a', None, None),
        }
    }

    /// The holder of `AUTH_TOKEN`: publishes everywhere and is not admin.
    #[must_use]
    pub fn publisher() -> Self {
        Self {
            proof: Proof::Publisher,
            publish: Grants::everything(),
            scope: scope(b'p', None, None),
            ..Self::anonymous()
        }
    }

    /// True without any proof.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.proof == Proof::Anonymous
    }

    /// True once the token has ended.
    #[must_use]
    pub fn is_expired(&self, now_unix_s: u64) -> bool {
        self.expires_unix_s.is_some_and(|end| now_unix_s >= end)
    }

    /// May this stream receive `selector`?
    ///
    /// One's own `user:<sub>` and `tenant:<tenant>` always; `broadcast` with any token (every
    /// stream receives it anyhow); the rest by the grants. Anonymous streams get unreserved names
    /// where `anonymous_allowed`, never patterns.
    ///
    /// # Errors
    /// [`Denied::TokenRequired`] without a token, else [`Denied::NotGranted`].
    pub fn may_subscribe(
        &self,
        selector: &Selector,
        anonymous_allowed: bool,
    ) -> Result<(), Denied> {
        if self.is_anonymous() {
            let open = match selector {
                Selector::Name(name) => anonymous_allowed && self.channels.covers_name(name),
                Selector::Pattern(_) => false,
            };
            return if open { Ok(()) } else { Err(Denied::TokenRequired) };
        }
        let own = match selector {
            Selector::Name(name) => name == BROADCAST || self.owns(name),
            Selector::Pattern(_) => false,
        };
        if own || self.channels.covers(selector) { Ok(()) } else { Err(Denied::NotGranted) }
    }

    /// May this identity publish to `target`? Users, tenants and the broadcast are the names
    /// `user:<id>`, `tenant:<id>` and `broadcast`; none is open by itself, not even one's own.
    ///
    /// # Errors
    /// [`Denied::TokenRequired`] without a token, else [`Denied::NotGranted`].
    pub fn may_publish(&self, target: &Selector) -> Result<(), Denied> {
        if self.is_anonymous() {
            Err(Denied::TokenRequired)
        } else if self.publish.covers(target) {
            Ok(())
        } else {
            Err(Denied::NotGranted)
        }
    }

    fn owns(&self, name: &str) -> bool {
        let is_own = |prefix, id: &Option<Arc<str>>| {
            id.is_some() && name.strip_prefix(prefix) == id.as_deref()
        };
        is_own("user:", &self.subject) || is_own("tenant:", &self.tenant)
    }
}

impl From<Claims> for Identity {
    fn from(claims: Claims) -> Self {
        Self {
            proof: Proof::Token,
            scope: scope(b't', claims.subject.as_deref(), claims.tenant.as_deref()),
            subject: claims.subject,
            tenant: claims.tenant,
            admin: claims.admin,
            expires_unix_s: claims.expires_unix_s,
            channels: claims.channels,
            publish: claims.publish,
            jti: claims.jti,
            iat_unix_s: claims.iat_unix_s,
        }
    }
}

/// The first 64 bits of SHA-256, so that nobody can choose a subject with another's scope and it
/// stays the same over restarts. Ids hold no control characters, so 0 and 1 part them surely.
fn scope(kind: u8, subject: Option<&str>, tenant: Option<&str>) -> u64 {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(&[kind]);
    for id in [subject, tenant] {
        hash.update(&[u8::from(id.is_some())]);
        hash.update(id.unwrap_or_default().as_bytes());
    }
    let digest = hash.finish();
    digest.as_ref().first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(subject: Option<&str>, tenant: Option<&str>, channels: Grants) -> Identity {
        Identity::from(Claims {
            subject: subject.map(Arc::from),
            tenant: tenant.map(Arc::from),
            admin: false,
            expires_unix_s: Some(100),
            iat_unix_s: None,
            jti: None,
            channels,
            publish: Grants::list(["news", "user:*"]).unwrap(),
        })
    }

    fn selector(text: &str) -> Selector {
        Selector::parse(text).unwrap()
    }

    #[test]
    fn anonymous_gets_unreserved_names_only() {
        let who = Identity::anonymous();
        assert_eq!(who.may_subscribe(&selector("news"), true), Ok(()));
        assert_eq!(who.may_subscribe(&selector("news"), false), Err(Denied::TokenRequired));
        for text in ["broadcast", "user:1", "tenant:t", "*", "**", "news.*", "user:*"] {
            let answer = who.may_subscribe(&selector(text), true);
            assert_eq!(answer, Err(Denied::TokenRequired), "{text}");
        }
        assert_eq!(who.may_publish(&selector("news")), Err(Denied::TokenRequired));
    }

    #[test]
    fn own_channels_are_always_open() {
        let who = of(Some("42"), Some("t1"), Grants::none());
        for text in ["user:42", "tenant:t1", "broadcast"] {
            assert_eq!(who.may_subscribe(&selector(text), false), Ok(()), "{text}");
        }
        for text in ["user:4", "user:421", "tenant:42", "user:t1", "news", "user:*", "42"] {
            let answer = who.may_subscribe(&selector(text), true);
            assert_eq!(answer, Err(Denied::NotGranted), "{text}");
        }
        let nobody = of(None, None, Grants::everything_unreserved());
        assert!(nobody.may_subscribe(&selector("user:42"), true).is_err());
        assert!(nobody.may_subscribe(&selector("news.**"), true).is_ok());
    }

    #[test]
    fn publishing_needs_a_grant() {
        let who = of(Some("42"), Some("t1"), Grants::everything_unreserved());
        for text in ["news", "user:42", "user:7"] {
            assert_eq!(who.may_publish(&selector(text)), Ok(()), "{text}");
        }
        for text in ["sports", "tenant:t1", "broadcast", "**"] {
            assert_eq!(who.may_publish(&selector(text)), Err(Denied::NotGranted), "{text}");
        }
        let publisher = Identity::publisher();
        for text in ["news", "user:7", "tenant:t1", "broadcast", "**", "user:*"] {
            assert_eq!(publisher.may_publish(&selector(text)), Ok(()), "{text}");
        }
        assert!(!publisher.admin && !publisher.is_anonymous());
    }

    #[test]
    fn scopes_tell_publishers_apart() {
        let scope = |subject, tenant| of(subject, tenant, Grants::none()).scope;
        let all = [
            scope(None, None),
            scope(Some("a"), None),
            scope(None, Some("a")),
            scope(Some("a"), Some("b")),
            scope(Some("ab"), None),
            Identity::anonymous().scope,
            Identity::publisher().scope,
        ];
        let unique: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(unique.len(), all.len());
        assert_eq!(scope(Some("a"), Some("b")), scope(Some("a"), Some("b")));
    }

    #[test]
    fn expiry_is_the_first_refused_second() {
        let who = of(None, None, Grants::none());
        assert!(!who.is_expired(99) && who.is_expired(100));
        assert!(!Identity::anonymous().is_expired(u64::MAX));
    }
}
