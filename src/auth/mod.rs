//! Who may do what: where a token stands in a request, whether it is true, what it grants.
//!
//! Everything here is pure: time is an argument, nothing logs, and no error or debug text ever
//! holds a token or a secret.
//!
//! The way of a request: [`place::find`] takes the token out of query, header or cookie;
//! [`jwt::verify`] (or a hit in [`cache::VerifiedCache`]) turns it into an [`Identity`]; what no key
//! here can verify is a question to a [`Callback`];
//! [`Identity::may_subscribe`] and [`Identity::may_publish`] answer for each channel.

pub mod access;
pub mod cache;
pub mod callback;
pub mod claims;
pub mod connection;
pub mod error;
pub mod grant;
pub mod identity;
pub mod iron;
mod json;
pub mod jwt;
pub mod keys;
pub mod place;
pub mod publisher;
pub mod revocation;
pub mod sign;
pub mod ttl;

pub use access::Grants;
pub use cache::VerifiedCache;
pub use callback::Callback;
pub use claims::{ClaimPath, Claims, Rules};
pub use connection::{ConnectionNames, ConnectionRef};
pub use error::TokenError;
pub use identity::{Denied, Identity};
pub use keys::{Algorithm, Keys};
pub use publisher::PublisherToken;
pub use revocation::{Revocations, Revoked};
