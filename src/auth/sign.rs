//! Making tokens, for `ringcast token` and the token printed at start.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use serde_json::{Map, Value};

use super::{
    claims::{self, ClaimPath, Rules},
    error::TokenError,
    jwt::TOKEN_BYTES_MAX,
    keys::{Algorithm, Keys},
};

/// Signs claims with the first key; its name becomes the `kid`.
///
/// # Errors
/// [`TokenError::NoKeys`], [`TokenError::Payload`] when `claims` is no object, and
/// [`TokenError::TooLong`] when the token would be refused for its length.
pub fn sign(claims: &Value, keys: &Keys, algorithm: Algorithm) -> Result<String, TokenError> {
    let (kid, key) = keys.signing(algorithm).ok_or(TokenError::NoKeys)?;
    if !claims.is_object() {
        return Err(TokenError::Payload);
    }
    let mut header = Map::new();
    header.insert("alg".to_owned(), algorithm.as_str().into());
    header.insert("typ".to_owned(), "JWT".into());
    if let Some(kid) = kid {
        header.insert("kid".to_owned(), kid.into());
    }
    let mut token = URL_SAFE_NO_PAD.encode(Value::Object(header).to_string());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(claims.to_string(), &mut token);
    let signature = hmac::sign(key, token.as_bytes());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    if token.len() > TOKEN_BYTES_MAX { Err(TokenError::TooLong) } else { Ok(token) }
}

/// A token that is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenRequest {
    /// The user's id.
    pub sub: Option<String>,
    /// The tenant's id.
    pub tenant: Option<String>,
    /// Grants to subscribe; `None`: every unreserved name.
    pub channels: Option<Vec<String>>,
    /// Grants to publish; empty: none.
    pub publish: Vec<String>,
    /// May see operators' pages.
    pub admin: bool,
    /// Lifetime in seconds from now; `None`: never ends.
    pub ttl_s: Option<u64>,
}

impl TokenRequest {
    /// Builds the claims, at the places where `rules` look for them, and makes sure that this
    /// server would take them.
    ///
    /// # Errors
    /// The [`TokenError`] with which such a token would be refused.
    pub fn claims(&self, rules: &Rules, now_unix_s: u64) -> Result<Value, TokenError> {
        let mut claims = Map::new();
        if let (Some(path), Some(sub)) = (rules.subject.first(), &self.sub) {
            set(&mut claims, path, sub.as_str().into());
        }
        if let (Some(path), Some(tenant)) = (rules.tenant.first(), &self.tenant) {
            set(&mut claims, path, tenant.as_str().into());
        }
        if let Some(channels) = &self.channels {
            set(&mut claims, &rules.channels, channels.as_slice().into());
        }
        if !self.publish.is_empty() {
            set(&mut claims, &rules.publish, self.publish.as_slice().into());
        }
        if self.admin {
            let yes = rules.admin.equals.as_deref().map_or(Value::Bool(true), Value::from);
            set(&mut claims, &rules.admin.path, yes);
        }
        if let Some(audience) = rules.audience.first() {
            claims.insert("aud".to_owned(), audience.as_str().into());
        }
        if let Some(issuer) = rules.issuer.first() {
            claims.insert("iss".to_owned(), issuer.as_str().into());
        }
        claims.insert("iat".to_owned(), now_unix_s.into());
        if let Some(ttl_s) = self.ttl_s {
            claims.insert("exp".to_owned(), now_unix_s.saturating_add(ttl_s).into());
        }
        claims::read(&claims, rules, now_unix_s)?;
        Ok(Value::Object(claims))
    }
}

/// Puts a value where [`ClaimPath::find`] finds it: nested, or at the top under the whole path
/// when the path is a URL or a part of it is taken by something else.
fn set(claims: &mut Map<String, Value>, path: &ClaimPath, value: Value) {
    let whole = path.as_str();
    if whole.contains('/') || !set_nested(claims, whole, &value) {
        claims.insert(whole.to_owned(), value);
    }
}

fn set_nested(claims: &mut Map<String, Value>, path: &str, value: &Value) -> bool {
    match path.split_once('.') {
        None => {
            let free = !claims.contains_key(path);
            if free {
                claims.insert(path.to_owned(), value.clone());
            }
            free
        }
        Some((name, rest)) => {
            let inner = claims.entry(name).or_insert_with(|| Value::Object(Map::new()));
            inner.as_object_mut().is_some_and(|inner| set_nested(inner, rest, value))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{ClaimPath, claims::ClaimTest, identity::Identity, jwt};
    use crate::proto::channel::Selector;

    fn request() -> TokenRequest {
        TokenRequest {
            sub: Some("42".into()),
            tenant: Some("t1".into()),
            channels: Some(vec!["news".into(), "a.*".into()]),
            publish: vec!["news".into()],
            admin: true,
            ttl_s: Some(60),
        }
    }

    #[test]
    fn signs_as_others_do() {
        let keys = Keys::single(b"your-256-bit-secret").unwrap();
        let claims: Value =
            serde_json::from_str(r#"{"iat":1516239022,"name":"John Doe","sub":"1234567890"}"#)
                .unwrap();
        // Made once by Python's hmac, hashlib, base64 and json.dumps(sort_keys=True).
        assert_eq!(
            sign(&claims, &keys, Algorithm::Hs256).unwrap(),
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpYXQiOjE1MTYyMzkwMjIsIm5hbWUiOiJKb2huIERvZSIsInN1YiI6IjEyMzQ1Njc4OTAifQ.fdOPQ05ZfRhkST2-rIWgUpbqUsVhkkNVNcuG7Ki0s-8"
        );
    }

    #[test]
    fn requests_become_identities() {
        for rules in [
            Rules::default(),
            Rules {
                subject: vec![ClaimPath::parse("user.id").unwrap()],
                tenant: vec![ClaimPath::parse("https://example.com/tenant").unwrap()],
                admin: ClaimTest::parse("user.role=admin").unwrap(),
                audience: vec!["ringcast".into(), "x".into()],
                issuer: vec!["me".into()],
                ..Rules::default()
            },
        ] {
            let keys = Keys::new([(Some("k1"), [7; 32])]).unwrap();
            let claims = request().claims(&rules, 1000).unwrap();
            let token = sign(&claims, &keys, Algorithm::Hs512).unwrap();
            let who = Identity::from(jwt::verify(&token, &keys, &rules, 1059).unwrap());
            assert_eq!((who.subject.as_deref(), who.tenant.as_deref()), (Some("42"), Some("t1")));
            assert!(who.admin);
            assert_eq!((who.expires_unix_s, who.iat_unix_s), (Some(1060), Some(1000)));
            assert!(who.may_subscribe(&Selector::parse("a.b").unwrap(), false).is_ok());
            assert!(who.may_publish(&Selector::parse("a.b").unwrap()).is_err());
            assert!(jwt::verify(&token, &keys, &rules, 1060).is_err());
        }
    }

    #[test]
    fn paths_that_collide_still_read_back() {
        let rules = Rules {
            subject: vec![ClaimPath::parse("user").unwrap()],
            tenant: vec![ClaimPath::parse("user.tenant").unwrap()],
            ..Rules::default()
        };
        let claims = request().claims(&rules, 1000).unwrap();
        let read = claims::read(claims.as_object().unwrap(), &rules, 1000).unwrap();
        assert_eq!((read.subject.as_deref(), read.tenant.as_deref()), (Some("42"), Some("t1")));
    }

    #[test]
    fn refuses_what_it_would_not_take() {
        let keys = Keys::single(&[7; 32]).unwrap();
        let bad = |change: fn(&mut TokenRequest)| {
            let mut request = request();
            change(&mut request);
            request.claims(&Rules::default(), 1000)
        };
        assert!(bad(|r| r.sub = Some("a b".into())).is_err());
        assert!(bad(|r| r.tenant = Some("*".into())).is_err());
        assert!(bad(|r| r.publish = vec!["a,b".into()]).is_err());
        assert!(bad(|r| r.ttl_s = Some(0)).is_err());
        assert!(bad(|r| r.ttl_s = Some(u64::MAX)).is_ok());
        assert_eq!(sign(&Value::Null, &keys, Algorithm::Hs256), Err(TokenError::Payload));
        let none = Keys::none();
        let object = Value::Object(Map::new());
        assert_eq!(sign(&object, &none, Algorithm::Hs256), Err(TokenError::NoKeys));
        let long = Value::Object([("x".to_owned(), "y".repeat(9000).into())].into_iter().collect());
        assert_eq!(sign(&long, &keys, Algorithm::Hs256), Err(TokenError::TooLong));
    }
}
