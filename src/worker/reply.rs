//! Answers, and the lines that stand on all of them.

use super::Worker;
use super::conns::Form;
use super::options::RefuseBy;
use super::route::{Asked, Next};
use crate::driver::{ConnId, Driver};
use crate::proto::http::cors::{Cors, Fields, write_fields};
use crate::proto::http::{Framing, Head, Problem, Response};
use crate::proto::sse::{ByeReason, ControlEvent, write_preamble, write_stream_head};

/// How a request for a stream is answered; what is left of it once the request is gone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// A temporary refusal is said in a stream.
    in_band: bool,
    /// Headers only.
    pub(super) head_only: bool,
    /// It has a body that nobody reads.
    pub(super) has_body: bool,
}

impl<D: Driver> Worker<D> {
    /// Puts an answer to the request under way into the output; the caller takes the step.
    pub(super) fn reply(&mut self, id: ConnId, response: Response<'_>) {
        self.reply_by(id, |close, fields, out| response.write_with(close, fields, out));
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
        write(close, &self.live.options.cors.fields(origin), &mut self.out)
    }

    /// Puts a refusal into the output; the caller takes the step.
    pub(super) fn refuse(&mut self, id: ConnId, problem: &Problem, head_only: bool) {
        self.node.counters[self.index].refusals.add(1);
        self.reply_by(id, |close, fields, out| problem.write(close, head_only, fields, out));
    }

    /// How a request for a stream is answered.
    pub(super) fn manner(&self, asked: &Asked<'_, '_>, name: Option<&str>) -> Manner {
        let (head, options) = (asked.head, &self.live.options);
        let by = match asked.option("refuse") {
            Some("status") => RefuseBy::Status,
            Some("in-band") => RefuseBy::InBand,
            _ => options.channels.lookup(name.unwrap_or_default()).refuse.unwrap_or(options.refuse),
        };
        let in_band = match by {
            RefuseBy::Status => false,
            RefuseBy::InBand => true,
            RefuseBy::Auto => {
                head.lists("accept", "text/event-stream") && head.field("sec-fetch-mode").is_some()
            }
        };
        Manner { in_band, head_only: asked.is_head(), has_body: head.framing() != Framing::None }
    }

    /// Refuses a stream: where it is for a while only, in the way its client can bear.
    ///
    /// A browser's `EventSource` gives up for ever on any status but 200.
    pub(super) fn refuse_stream(&mut self, id: ConnId, problem: &Problem, manner: Manner) -> Next {
        let retry_after_s = problem.retry_after_s.filter(|_| manner.in_band && !manner.head_only);
        if let Some(request) = self.conns.get_mut(id).and_then(|conn| conn.request.as_mut()) {
            request.close_after |= manner.has_body || retry_after_s.is_some();
        }
        let Some(retry_after_s) = retry_after_s else {
            self.refuse(id, problem, manner.head_only);
            return Next::Answered;
        };
        self.node.counters[self.index].refusals.add(1);
        self.reply_stream(id, Form::Sse);
        write_preamble(&mut self.out, spread_ms(retry_after_s, id, self.now.mono_ms));
        let draining = self.drain.is_some();
        let reason = if draining { ByeReason::Drain } else { ByeReason::Busy };
        let cursor = self.cursor(self.last_seq);
        ControlEvent::Bye { reason, reconnect: true, cursor }.write(&mut self.out);
        Next::Answered
    }

    /// Answers a preflight: it needs no token and counts nowhere.
    pub(super) fn preflight(&mut self, id: ConnId, head: &Head<'_>) {
        self.skip_body(id, head);
        let fields = self.live.options.cors.preflight(head.field("origin"));
        let request = self.conns.get(id).and_then(|conn| conn.request.as_ref());
        let close = request.is_none_or(|request| request.close_after);
        Response::new(204).write_with(close, &fields, &mut self.out);
    }

    /// Writes the head of a stream.
    pub(super) fn reply_stream(&mut self, id: ConnId, form: Form) {
        let options = &self.live.options;
        let request = self.conns.get(id).and_then(|conn| conn.request.as_ref());
        let origin = request.and_then(|request| request.origin.as_deref());
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

/// One to two times as long, so that those who are refused together do not come again together.
fn spread_ms(seconds: u32, id: ConnId, now_ms: u64) -> u32 {
    let mixed = (u64::from(id.slot) ^ now_ms.rotate_left(20)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let ms = seconds.max(1).saturating_mul(1_000);
    ms.saturating_add(ms / 255 * u32::from(mixed.to_be_bytes()[0]))
}

/// A page of this very site has sent the request: its origin is the host asked.
pub(super) fn is_own(head: &Head<'_>) -> bool {
    let host =
        head.field("origin").and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
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
