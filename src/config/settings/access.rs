//! Who may do what: tokens, origins, proxies, keys of sealed data.

use std::collections::BTreeMap;

use ipnet::IpNet;

use crate::auth::Rules;
use crate::auth::claims::{ClaimPath, ClaimTest};
use crate::config::key::Force::Reload;
use crate::config::key::{Reading, section};
use crate::config::kind::{Form, Kind};
use crate::config::value::Secret;

section! {
    /// Who may do what.
    Auth at "auth." => AUTH {
        /// Secret of token signatures (HMAC). Under 32 bytes it can be guessed. Without one the
        /// server makes one for the run.
        jwt_secret: Option<Secret> = "", Kind::Or("", &Kind::Secret(1)), Reload,
            [("JWT_SECRET", Reading::Plain)];
        /// Further secrets by the `kid` of the tokens they sign; with `jwt_secret` at most 16. Without
        /// `jwt_secret` the first by name signs.
        jwt_keys: BTreeMap<String, Secret> = "", Kind::Map(&Kind::Secret(1)), Reload;
        /// The fixed token that publishes everywhere.
        publish_token: Option<Secret> = "", Kind::Or("", &Kind::Secret(1)), Reload,
            [("AUTH_TOKEN", Reading::Plain)];
        /// Life of the tokens that `ringcast token` makes.
        token_ttl: u64 = "7d", Kind::Seconds(1, 3_155_760_000), Reload,
            [("JWT_SSE_EXPIRES_IN", Reading::Plain)];
        /// Subscribers need no token; `auto` is true only while neither a secret nor a callback is set.
        anonymous: Option<bool> = "auto", Kind::Or("auto", &Kind::Switch), Reload;
        /// Cookies that may carry a token, in order.
        cookies: Vec<String> = "access_token", Kind::List(Form::Name), Reload;
        /// When given, a token's `aud` must name one of these.
        audience: Vec<String> = "", Kind::List(Form::Any), Reload;
        /// When given, a token's `iss` must be one of these.
        issuer: Vec<String> = "", Kind::List(Form::Any), Reload;
        /// Difference of clocks that is forgiven at `exp` and `nbf`, seconds.
        leeway_s: u64 = "0", Kind::Number(0, 600), Reload;
    }
    nested {
        /// Where claims stand in a token.
        claims: ClaimPlaces,
        /// A service that knows sessions no signature can verify.
        callback: Callback,
    }
}

section! {
    /// Where claims stand in a token: a name at the top, or names joined by dots.
    ClaimPlaces at "auth.claims." => CLAIMS {
        /// The user's id; the first claim that is there counts.
        subject: Vec<String> = "sub,id", Kind::List(Form::ClaimPath), Reload;
        /// The tenant's id; the first claim that is there counts.
        tenant: Vec<String> = "tenant,tenantId", Kind::List(Form::ClaimPath), Reload;
        /// What makes an admin: a claim that is true, or `name=value`.
        admin: String = "admin", Kind::Text(Form::ClaimTest), Reload;
        /// What may be subscribed to.
        channels: String = "channels", Kind::Text(Form::ClaimPath), Reload;
        /// What may be published to.
        publish: String = "publish", Kind::Text(Form::ClaimPath), Reload;
        /// The claim that refuses a user when false.
        subscription_active: String = "subscription_active", Kind::Text(Form::ClaimPath), Reload;
    }
}

section! {
    /// A service that receives `Cookie` and `Authorization` of those who subscribe by no token that a
    /// secret verifies, and answers with claims as JSON, named and placed as in a token; 401 or 403
    /// refuses. Any other answer, and none in time, is a 503.
    Callback at "auth.callback." => CALLBACK {
        /// Where it is asked; empty for none.
        url: Option<String> = "", Kind::Or("", &Kind::Text(Form::Url)), Reload;
        /// Longest wait for its answer; then the request is refused.
        timeout_ms: u64 = "2s", Kind::Millis(10, 60_000), Reload;
        /// How long an answer is remembered, a refusal at most 3 s. A session that ends is let in for
        /// so long; a stream that has begun ends at the answer's `exp`.
        cache_ms: u64 = "30s", Kind::Millis(0, 86_400_000), Reload;
        /// Most answers that are remembered.
        cache_entries: usize = "65536", Kind::Number(0, 1 << 24), Reload;
        /// Most questions at once; further ones wait.
        in_flight_max: usize = "64", Kind::Number(1, 4_096), Reload;
    }
}

section! {
    /// Web origins (CORS).
    Cors at "cors." => CORS {
        /// Origins whose pages may connect, with credentials. `*` is any origin, without
        /// credentials and with cookies ignored.
        origins: Vec<String> = "http://localhost:3000", Kind::List(Form::OriginOrAny), Reload,
            [("SSE_CORS_ORIGINS", Reading::Plain)];
        /// One more origin; alone it stands in place of the default.
        frontend_url: Option<String> = "", Kind::Or("", &Kind::Text(Form::Origin)), Reload,
            [("FRONTEND_URL", Reading::Plain)];
    }
}

section! {
    /// Proxies in front.
    Proxy at "proxy." => PROXY {
        /// Networks whose PROXY protocol, `X-Forwarded-For` and `X-Real-IP` are believed.
        trusted: Vec<IpNet> = "", Kind::List(Form::Network), Reload;
        /// Connections from them begin with a header of the PROXY protocol, version 1 or 2.
        protocol: bool = "false", Kind::Switch, Reload;
    }
}

section! {
    /// Sealed data (Fe26.2).
    Encryption at "encryption." => ENCRYPTION {
        /// Keys by id, each of at least 32 bytes; the first by id seals. `SSE_ENCRYPTION_KEY` is the
        /// one without an id. With any key, `seal` is on for all channels.
        keys: BTreeMap<String, Secret> = "", Kind::Map(&Kind::Secret(32)), Reload,
            [("SSE_ENCRYPTION_KEY", Reading::OnlyEntry)];
    }
}

impl Auth {
    /// Some secret verifies tokens.
    #[must_use]
    pub fn has_secret(&self) -> bool {
        self.jwt_secret.is_some() || !self.jwt_keys.is_empty()
    }

    /// All secrets, the one that signs first, each with its `kid`.
    pub fn secrets(&self) -> impl Iterator<Item = (Option<&str>, &[u8])> {
        let named = self.jwt_keys.iter().map(|(kid, key)| (Some(&**kid), key.expose().as_bytes()));
        let unnamed = self.jwt_secret.iter().map(|key| (None, key.expose().as_bytes()));
        unnamed.chain(named)
    }

    /// How claims are read and what they must say.
    #[must_use]
    pub fn rules(&self) -> Rules {
        let usual = Rules::default();
        let paths = |texts: &[String]| texts.iter().filter_map(|t| ClaimPath::parse(t)).collect();
        let path = |text: &str, usual| ClaimPath::parse(text).unwrap_or(usual);
        Rules {
            leeway_s: self.leeway_s,
            audience: self.audience.clone(),
            issuer: self.issuer.clone(),
            subject: paths(&self.claims.subject),
            tenant: paths(&self.claims.tenant),
            admin: ClaimTest::parse(&self.claims.admin).unwrap_or(usual.admin),
            channels: path(&self.claims.channels, usual.channels),
            publish: path(&self.claims.publish, usual.publish),
            subscription_active: path(&self.claims.subscription_active, usual.subscription_active),
        }
    }
}
