//! What operators change while the node runs.

use serde_json::{Value, json};

use crate::proto::http::{Method, Problem};
use crate::worker::Node;

/// A change that was made, as JSON; none where nothing is changed at this path.
pub(super) fn act(node: &Node, method: Method, path: &str) -> Option<Result<Value, Problem>> {
    let switch = |disabled| {
        if node.set_disabled(disabled) {
            let what = if disabled { "switched off" } else { "switched on" };
            tracing::warn!("the service was {what} by an operator");
        }
        Ok(json!({ "disabled": disabled }))
    };
    let acts: &dyn Fn() -> Result<Value, Problem> = match path {
        "/admin/disable" => &|| switch(true),
        "/admin/enable" => &|| switch(false),
        _ => return None,
    };
    if method != Method::Post {
        let problem = Problem::new(405, "method", "only POST is served here").allow("POST");
        return Some(Err(problem));
    }
    Some(acts())
}
