//! Answers, and the lines that stand on all of them.

use super::Worker;
use super::conns::Form;
use crate::driver::{ConnId, Driver};
use crate::proto::http::cors::{Cors, Fields, write_fields};
use crate::proto::http::{Head, Problem, Response};
use crate::proto::sse::write_stream_head;

impl<D: Driver> Worker<D> {
    /// Puts an answer to the request under way into the output; the caller takes the step.
    pub(super) fn reply(&mut self, id: ConnId, response: Response<'_>) {
        self.reply_by(id, |close, fields, out| response.fields(fields).write(close, out));
    }

    /// Likewise, written by `write`: whether the connection ends, the lines of every answer, the
    /// output.
    pub(super) fn reply_by<R>(
        &mut self,
        id: ConnId,
        write: impl FnOnce(bool, &Fields<'_>, &mut Vec<u8>) -> R,
    ) -> R {
        let request = self.conns.get(id).and_then(|conn| conn.request.as_ref());
        let close = request.is_none_or(|request| request.close_after);
        let origin = request.and_then(|request| request.origin.as_deref());
        write(close, &self.node.options.cors.fields(origin), &mut self.out)
    }

    /// Puts a refusal into the output; the caller takes the step.
    pub(super) fn refuse(&mut self, id: ConnId, problem: &Problem, head_only: bool) {
        self.node.counters[self.index].refusals.add(1);
        self.reply_by(id, |close, fields, out| problem.write(close, head_only, fields, out));
    }

    /// Answers a preflight: it needs no token and counts nowhere.
    pub(super) fn preflight(&mut self, id: ConnId, head: &Head<'_>) {
        self.skip_body(id, head);
        let fields = self.node.options.cors.preflight(head.field("origin"));
        let request = self.conns.get(id).and_then(|conn| conn.request.as_ref());
        let close = request.is_none_or(|request| request.close_after);
        Response::new(204).fields(&fields).write(close, &mut self.out);
    }

    /// Writes the head of a stream.
    pub(super) fn reply_stream(&mut self, form: Form, origin: Option<&str>) {
        let options = &self.node.options;
        let mut fields = Vec::new();
        if form == Form::Gzip {
            fields.extend_from_slice(b"Content-Encoding: gzip\r\n");
        }
        if options.compress && form.is_shared() {
            fields.extend_from_slice(b"Vary: Accept-Encoding\r\n");
        }
        write_fields(&options.cors.fields(origin), &mut fields);
        write_stream_head(&mut self.out, form.content_type(), &fields);
    }
}

/// A page of this very site has sent the request: its origin is the host asked.
pub(super) fn is_own(head: &Head<'_>) -> bool {
    let host = head.field("origin").and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    host.is_some() && host == head.field("host")
}

/// A page has sent the request, and neither is it of this site nor of one that is allowed.
pub(super) fn is_foreign(cors: &Cors, head: &Head<'_>) -> bool {
    head.field("origin").is_some_and(|origin| !cors.allows(origin)) && !is_own(head)
}

/// A page of a site that is not allowed asks in the name of its visitor.
pub(super) fn foreign_problem() -> Problem {
    Problem::new(403, "origin", "pages of this origin may not do this")
        .hint("SSE_CORS_ORIGINS lists the origins whose pages may")
}
