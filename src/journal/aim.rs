//! Which of its channels' streams get an event, and when, where that is not "all, at once".

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::receipt::Receipt;
use crate::proto::channel::Pattern;

/// A stream's place on this node. Places are used again, generations are not (for a long time).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StreamPlace {
    /// Its worker.
    pub worker: usize,
    /// Its slot there.
    pub slot: u32,
    /// Which owner of that slot.
    pub generation: u32,
}

/// Rules of one event beside its channels. Most events have none.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Aim {
    /// Published to all channels that match: `targets` are those that existed, and streams of
    /// patterns that overlap get it too.
    pub pattern: Option<Pattern>,
    streams: Box<[StreamPlace]>,
    users: Box<[Box<str>]>,
    /// Streams get it within so many milliseconds; 0: at once.
    pub spread_ms: u32,
    /// Who waits until it is written.
    #[serde(skip)]
    pub receipt: Option<Arc<Receipt>>,
}

impl Aim {
    /// These streams and users are left out.
    #[must_use]
    pub fn without(mut streams: Vec<StreamPlace>, mut users: Vec<Box<str>>) -> Self {
        streams.sort_unstable();
        users.sort_unstable();
        Self { streams: streams.into(), users: users.into(), ..Self::default() }
    }

    /// The same, and nobody waits.
    #[must_use]
    pub fn without_receipt(self: &Arc<Self>) -> Arc<Self> {
        match self.receipt {
            None => Arc::clone(self),
            Some(_) => Arc::new(Self { receipt: None, ..Self::clone(self) }),
        }
    }

    /// Somebody is left out.
    #[must_use]
    pub fn excludes(&self) -> bool {
        !self.streams.is_empty() || !self.users.is_empty()
    }

    /// Some user is left out.
    #[must_use]
    pub fn excludes_users(&self) -> bool {
        !self.users.is_empty()
    }

    /// This stream is left out. It does not survive a reconnect.
    #[must_use]
    pub fn excludes_stream(&self, place: StreamPlace) -> bool {
        self.streams.binary_search(&place).is_ok()
    }

    /// All streams of this user are left out, whenever they connect.
    #[must_use]
    pub fn excludes_user(&self, user: &str) -> bool {
        self.users.binary_search_by(|known| (**known).cmp(user)).is_ok()
    }

    /// Bytes it is counted with.
    #[must_use]
    pub fn size(&self) -> usize {
        let users: usize = self.users.iter().map(|user| user.len() + size_of::<Box<str>>()).sum();
        size_of::<Self>() + size_of_val(&*self.streams) + users
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_left_out() {
        let place = |slot| StreamPlace { worker: 1, slot, generation: 7 };
        let nobody = Aim::default();
        assert!(!nobody.excludes() && !nobody.excludes_user("ana"));
        let aim = Aim::without(vec![place(3), place(1)], vec!["bob".into(), "ana".into()]);
        assert!(aim.excludes() && aim.excludes_users());
        for (slot, out) in [(0, false), (1, true), (2, false), (3, true)] {
            assert_eq!(aim.excludes_stream(place(slot)), out, "{slot}");
        }
        assert!(!aim.excludes_stream(StreamPlace { generation: 8, ..place(3) }));
        assert!(!aim.excludes_stream(StreamPlace { worker: 0, ..place(3) }));
        for (user, out) in [("ana", true), ("bob", true), ("an", false), ("anab", false)] {
            assert_eq!(aim.excludes_user(user), out, "{user}");
        }
        assert!(aim.size() > nobody.size());
    }
}
