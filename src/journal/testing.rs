//! Makers of events for tests.

use std::sync::Arc;

use smallvec::smallvec;

use super::event::{ChannelKey, Draft, Event, KeyHasher};
use crate::proto::sse::{Epoch, Frame};

/// Seed of the journals in tests.
const SEED: u64 = 7;

pub(crate) fn key(name: &str) -> ChannelKey {
    KeyHasher::new(SEED).key(name)
}

pub(crate) fn draft(channel: &str, data: &str) -> Draft {
    Draft {
        frame: Frame::encode(None, data, None),
        targets: smallvec![key(channel)],
        key: None,
        ttl_ms: None,
        store: true,
        idempotency: None,
        expected: None,
        aim: None,
    }
}

pub(crate) fn epoch() -> Epoch {
    Epoch::from_random(42)
}

pub(crate) fn event(seq: u64, channel: &str, data: &str) -> Arc<Event> {
    let draft = draft(channel, data);
    let mut frame = draft.frame;
    frame.stamp(epoch(), seq);
    Arc::new(Event {
        seq,
        unix_ms: seq,
        appended_us: 0,
        expires_unix_ms: u64::MAX,
        frame,
        targets: draft.targets,
        key: None,
        store: true,
        aim: None,
    })
}
