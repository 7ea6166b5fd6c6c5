//! Why a token is refused, in the words of a user.

use thiserror::Error;

use super::jwt::TOKEN_BYTES_MAX;

/// Names a claim whose value cannot be used. The configured path may differ from this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[allow(missing_docs, reason = "each variant is the claim of its text")]
pub enum Claim {
    #[error("exp")]
    Expires,
    #[error("nbf")]
    NotBefore,
    #[error("iat")]
    IssuedAt,
    #[error("jti")]
    TokenId,
    #[error("sub")]
    Subject,
    #[error("tenant")]
    Tenant,
    #[error("channels")]
    Channels,
    #[error("publish")]
    Publish,
    #[error("subscription_active")]
    SubscriptionActive,
}

/// Why a token is refused. No variant holds any byte of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TokenError {
    /// A token is needed and there is none (or an empty one).
    #[error("an access token is required")]
    Missing,
    /// Longer than [`TOKEN_BYTES_MAX`].
    #[error("the token is longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    /// Not `header.payload.signature`, or a part is not canonical unpadded base64url.
    #[error("the token is not a well-formed JWT")]
    Malformed,
    /// The header is no JSON object, names a key twice, or a field has the wrong type.
    #[error("the token's header cannot be read")]
    Header,
    /// `alg` is not HS256, HS384 or HS512.
    #[error("the token is not signed with HS256, HS384 or HS512")]
    Algorithm,
    /// `typ` tells another kind of token (RFC 8725 3.11).
    #[error("the token is of another type than JWT")]
    Type,
    /// `crit` (RFC 7515 4.1.11) or `b64` (RFC 7797) asks for an extension; none is known here.
    #[error("the token asks for an extension that is not supported (crit, b64)")]
    Critical,
    /// No secret is configured, so nothing can be verified.
    #[error("this server has no secret to verify tokens with")]
    NoKeys,
    /// `kid` names no key of this server.
    #[error("the token is signed by a key that this server does not know (kid)")]
    UnknownKey,
    /// The signature fits no key.
    #[error("the token's signature is not valid")]
    Signature,
    /// The claims are no JSON object, or name a claim twice.
    #[error("the token's claims cannot be read")]
    Payload,
    /// A claim has the wrong type or a value that cannot be used.
    #[error("the token's claim `{0}` is not valid")]
    Claim(Claim),
    /// An operator has revoked it, its user's tokens, or all of its age.
    #[error("the token was revoked")]
    Revoked,
    /// `exp` has passed.
    #[error("the token expired {ago_s} s ago")]
    Expired {
        /// Seconds since `exp`.
        ago_s: u64,
    },
    /// `nbf` lies ahead.
    #[error("the token is valid only in {in_s} s")]
    NotYet {
        /// Seconds until `nbf`.
        in_s: u64,
    },
    /// `aud` names none of the configured audiences.
    #[error("the token is meant for another audience (aud)")]
    Audience,
    /// `iss` is none of the configured issuers.
    #[error("the token comes from another issuer (iss)")]
    Issuer,
    /// The subscription of this user is not active.
    #[error("the subscription is not active")]
    SubscriptionInactive,
}

impl TokenError {
    /// HTTP status: 403 for a true token of an inactive subscription, else 401.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::SubscriptionInactive => 403,
            _ => 401,
        }
    }

    /// A key of this server has signed the token: what is wrong stands in its claims. Of any other
    /// token somebody else may still know what it is.
    #[must_use]
    pub fn is_of_ours(self) -> bool {
        match self {
            Self::Payload
            | Self::Claim(_)
            | Self::Revoked
            | Self::Expired { .. }
            | Self::NotYet { .. }
            | Self::Audience
            | Self::Issuer
            | Self::SubscriptionInactive => true,
            Self::Missing
            | Self::TooLong
            | Self::Malformed
            | Self::Header
            | Self::Algorithm
            | Self::Type
            | Self::Critical
            | Self::NoKeys
            | Self::UnknownKey
            | Self::Signature => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_and_words() {
        assert_eq!(TokenError::SubscriptionInactive.status(), 403);
        assert_eq!(TokenError::Expired { ago_s: 37 }.status(), 401);
        assert_eq!(TokenError::Expired { ago_s: 37 }.to_string(), "the token expired 37 s ago");
        assert_eq!(
            TokenError::Claim(Claim::Expires).to_string(),
            "the token's claim `exp` is not valid"
        );
    }
}
