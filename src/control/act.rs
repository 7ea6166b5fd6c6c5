//! What operators change while the node runs.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::Desk;
use crate::auth::Revoked;
use crate::auth::revocation::REVOKED_MAX;
use crate::auth::ttl;
use crate::driver::sys;
use crate::proto::http::{Method, Problem};
use crate::worker::Order;

/// A revocation is remembered so long where nothing is said: longer than the tokens made by
/// `ringcast token` live.
const REVOKED_FOR_S: u64 = 30 * 86_400;

/// A change that was made, as JSON; none where nothing is changed at this path.
pub(super) fn act(
    desk: &Desk,
    method: Method,
    path: &str,
    content: &[u8],
) -> Option<Result<Value, Problem>> {
    let acts: &dyn Fn() -> Result<Value, Problem> = match path {
        "/admin/disable" => &|| Ok(switch(desk, true)),
        "/admin/enable" => &|| Ok(switch(desk, false)),
        "/admin/revoke" => &|| revoke(desk, content),
        _ => return None,
    };
    if method != Method::Post {
        let problem = Problem::new(405, "method", "only POST is served here").allow("POST");
        return Some(Err(problem));
    }
    Some(acts())
}

fn switch(desk: &Desk, disabled: bool) -> Value {
    if desk.node.set_disabled(disabled) {
        let what = if disabled { "switched off" } else { "switched on" };
        tracing::warn!("the service was {what} by an operator");
    }
    json!({ "disabled": disabled })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Revocation {
    jti: Option<String>,
    sub: Option<String>,
    issued_before: Option<u64>,
    #[serde(rename = "for")]
    keep: Option<String>,
}

/// `{"jti": ..}`, `{"sub": ..}` or `{"issued_before": <seconds since 1970>}`, each with `for`, how
/// long it is remembered.
fn revoke(desk: &Desk, content: &[u8]) -> Result<Value, Problem> {
    let bad = |detail: String| Problem::new(400, "bad-revocation", detail);
    let asked: Revocation = serde_json::from_slice(content).map_err(|e| bad(e.to_string()))?;
    let revoked = match (asked.jti, asked.sub, asked.issued_before) {
        (Some(id), None, None) if !id.is_empty() => Revoked::Token(id),
        (None, Some(subject), None) if !subject.is_empty() => Revoked::Subject(subject),
        (None, None, Some(second)) => Revoked::IssuedBefore(second),
        _ => return Err(bad("it names one of jti, sub and issued_before".to_owned())),
    };
    let keep = asked.keep.as_deref().map(ttl::parse).transpose();
    let keep_s = keep.map_err(|error| bad(format!("for: {error}")))?.unwrap_or(REVOKED_FOR_S);
    if !desk.node.revoke(&revoked, sys::unix_ms() / 1_000, keep_s) {
        let detail = format!("{REVOKED_MAX} are revoked already");
        let hint = "a new secret ends all tokens at once";
        return Err(Problem::new(503, "too-many-revocations", detail).hint(hint));
    }
    let kind = match &revoked {
        Revoked::Token(_) => "a token",
        Revoked::Subject(_) => "the tokens of a user",
        Revoked::IssuedBefore(_) => "all tokens of an age",
    };
    tracing::warn!("an operator has revoked {kind}");
    let revoked = Arc::new(revoked);
    desk.order_all(|| Order::Revoke(Arc::clone(&revoked)));
    Ok(json!({ "revoked": true, "for_s": keep_s }))
}
