//! Long-polls: the same cursor, one JSON answer.

use super::Worker;
use super::catch_up::Gap;
use crate::driver::{ConnId, Driver};
use crate::proto::http::Response;
use crate::proto::sse::write_event_json;

impl<D: Driver> Worker<D> {
    /// Answers a long-poll with what there is, or lets it wait.
    pub(super) fn catch_up_poll(&mut self, id: ConnId) {
        let Some(position) = self.conns.get(id).map(|conn| conn.position) else { return };
        let Some(found) = self.find(id, position) else { return };
        let gap = self.gap_of(id, &found, position);
        let Some(conn) = self.conns.get(id) else { return };
        let position = conn.position;
        let due = conn.extra.as_ref().is_none_or(|x| x.poll_until_ms <= self.now.mono_ms);
        let events = found.events.iter().filter(|event| {
            event.seq > position && event.seq <= found.reached_seq && self.is_for(id.slot, event)
        });
        let mut body = b"{\"events\":[".to_vec();
        let mut count = 0;
        if let Gap::Told(gap, _) = &gap {
            gap.write_json(&mut body);
            body.pop();
            count += 1;
        }
        for event in events {
            if count > 0 {
                body.push(b',');
            }
            count += 1;
            let data = event.frame.data();
            let channel = self.channel_for(id.slot, event);
            let cursor = self.cursor(event.seq);
            write_event_json(&mut body, &cursor, event.frame.event(), &data, channel);
        }
        let reached = found.reached_seq.max(position);
        if let Some(conn) = self.conns.get_mut(id) {
            conn.position = reached;
            conn.behind = false;
            let extra = conn.extra.as_mut();
            if let Some(extra) =
                extra.filter(|x| x.join.as_ref().is_some_and(|j| reached >= j.until_seq))
            {
                extra.join = None;
            }
        }
        if count == 0 && reached < self.last_seq {
            return self.fall_behind(id.slot);
        }
        if count == 0 && !due {
            return;
        }
        let cursor = self.cursor(reached).to_string();
        body.extend_from_slice(b"],\"last_event_id\":\"");
        body.extend_from_slice(cursor.as_bytes());
        body.extend_from_slice(b"\"}");
        self.end_poll(id, if count == 0 { None } else { Some(&body) }, &cursor);
    }

    /// Gives the answer; the connection can be used again.
    pub(super) fn end_poll(&mut self, id: ConnId, body: Option<&[u8]>, cursor: &str) {
        self.leave_hub(id);
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.end_stream();
        let response = match body {
            Some(body) => Response::new(200).body("application/json", body),
            None => Response::new(204),
        };
        self.reply(id, response.field("Cache-Control", "no-store").field("Last-Event-ID", cursor));
        self.answered(id);
        self.answer(id);
        self.resume_input(id);
    }
}
