//! Mistakes a simulated run can plant, to show that it would find them.

/// What is done wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Planted {
    /// A stream touched twice gets two sends in one enter.
    SecondSend,
    /// Live delivery takes over one event after the replay's end.
    LateJoin,
    /// A client that comes from a worker that was ahead starts at this worker's position.
    JoinBehind,
    /// An event of a small topic is sent without what a large one still owes the stream.
    Overtake,
    /// An event that is spread over time is passed by the stream's next one.
    PassSpread,
}

/// Whether this mistake is to be made now. Never outside tests.
#[cfg(not(test))]
pub(super) const fn is_planted(_: Planted) -> bool {
    false
}

#[cfg(test)]
pub(super) use here::{is_planted, plant};

#[cfg(test)]
mod here {
    use std::cell::Cell;

    use super::Planted;

    thread_local! {
        static HERE: Cell<Option<Planted>> = const { Cell::new(None) };
    }

    pub(in crate::worker) fn is_planted(mistake: Planted) -> bool {
        HERE.get() == Some(mistake)
    }

    /// Plants a mistake in the workers of this thread, or none any more.
    pub(in crate::worker) fn plant(mistake: Option<Planted>) {
        HERE.set(mistake);
    }
}
