//! Answers.

use smallvec::SmallVec;

/// Told a client that waits before it sends its body (RFC 9110 10.1.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The reason phrase of a status (RFC 9110 section 15).
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Unknown",
    }
}

/// An answer of known length.
#[derive(Debug)]
pub struct Response<'a> {
    status: u16,
    content_type: &'a str,
    fields: SmallVec<[(&'a str, &'a str); 8]>,
    body: &'a [u8],
    head_only: bool,
}

impl<'a> Response<'a> {
    /// An answer without a body.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self { status, content_type: "", fields: SmallVec::new(), body: &[], head_only: false }
    }

    /// Gives it a body.
    #[must_use]
    pub fn body(mut self, content_type: &'a str, body: &'a [u8]) -> Self {
        self.content_type = content_type;
        self.body = body;
        self
    }

    /// Adds a field; its value must hold no line end, else it is left out.
    #[must_use]
    pub fn field(mut self, name: &'a str, value: &'a str) -> Self {
        if !value.bytes().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
            self.fields.push((name, value));
        }
        self
    }

    /// Answers a HEAD request: all fields, no body.
    #[must_use]
    pub fn head_only(mut self, yes: bool) -> Self {
        self.head_only = yes;
        self
    }

    /// Writes it; `close` announces that the connection ends.
    pub fn write(&self, close: bool, out: &mut Vec<u8>) {
        self.write_with(close, &[], out);
    }

    /// Writes it with further fields.
    pub fn write_with(&self, close: bool, extra: &[(&str, &str)], out: &mut Vec<u8>) {
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(itoa::Buffer::new().format(self.status).as_bytes());
        out.push(b' ');
        out.extend_from_slice(reason(self.status).as_bytes());
        out.extend_from_slice(b"\r\n");
        if !self.content_type.is_empty() {
            write_field(out, "Content-Type", self.content_type);
        }
        // RFC 9110 8.6: none with 204.
        if self.status != 204 {
            write_field(out, "Content-Length", itoa::Buffer::new().format(self.body.len()));
        }
        for (name, value) in self.fields.iter().chain(extra) {
            write_field(out, name, value);
        }
        write_field(out, "Connection", if close { "close" } else { "keep-alive" });
        out.extend_from_slice(b"\r\n");
        if !self.head_only {
            out.extend_from_slice(self.body);
        }
    }
}

/// Writes a line; name and value hold no line end.
pub(super) fn write_field(out: &mut Vec<u8>, name: &str, value: &str) {
    for part in [name, ": ", value, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// A refusal as `application/problem+json` (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// Names the kind; the last part of `type`.
    pub kind: &'static str,
    /// What is wrong with this request, a sentence.
    pub detail: String,
    /// What an operator or developer can do about it.
    pub hint: Option<String>,
    /// Seconds after which a new try makes sense.
    pub retry_after_s: Option<u32>,
    /// Value of `Allow`.
    pub allow: Option<&'static str>,
}

impl Problem {
    /// A refusal.
    #[must_use]
    pub fn new(status: u16, kind: &'static str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { status, kind, detail, hint: None, retry_after_s: None, allow: None }
    }

    /// Adds a cure.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Names the allowed methods.
    #[must_use]
    pub fn allow(mut self, methods: &'static str) -> Self {
        self.allow = Some(methods);
        self
    }

    /// Says when to come again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// The JSON body.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        let mut body = serde_json::json!({
            "type": format!("https://ringcast.dev/problems/{}", self.kind),
            "title": reason(self.status),
            "status": self.status,
            "detail": self.detail,
        });
        if let Some(hint) = &self.hint {
            body["hint"] = hint.as_str().into();
        }
        body
    }

    /// Writes it; `extra` are fields of the caller.
    pub fn write(&self, close: bool, head_only: bool, extra: &[(&str, &str)], out: &mut Vec<u8>) {
        let body = self.json().to_string();
        let retry_after = self.retry_after_s.map(|seconds| seconds.to_string());
        let mut response = Response::new(self.status)
            .body("application/problem+json", body.as_bytes())
            .head_only(head_only)
            .field("Cache-Control", "no-store");
        if self.status == 401 {
            response = response.field("WWW-Authenticate", "Bearer");
        }
        if let Some(allow) = self.allow {
            response = response.field("Allow", allow);
        }
        if let Some(seconds) = &retry_after {
            response = response.field("Retry-After", seconds);
        }
        response.write_with(close, extra, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_its_length_and_no_second_head() {
        let mut out = Vec::new();
        let evil = "x\r\nSet-Cookie: y";
        Response::new(200).body("text/plain", b"hi").field("X-A", evil).write(false, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\
             Connection: keep-alive\r\n\r\nhi"
        );
    }

    #[test]
    fn a_problem_is_json_and_names_the_challenge() {
        let mut out = Vec::new();
        Problem::new(401, "token-missing", "say \"who\"").write(true, false, &[], &mut out);
        let text = String::from_utf8(out).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains("WWW-Authenticate: Bearer\r\n") && head.contains("Connection: close")
        );
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["detail"], "say \"who\"");
        assert_eq!(body["title"], "Unauthorized");
    }
}
