//! The states of a connection and the steps between them.
//!
//! Rule of this file: every transition stands in [`State::after`], and the whole table is printed
//! in `states.txt`, so a changed transition is a changed line of a reviewed file.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Reads a request head; also idle between two requests.
    Head,
    /// Reads a request body.
    Body,
    /// Its request waits: a publish for room in the journal, a subscription for the callback.
    Parked,
    /// An answer did not fit the send buffer; nothing is read until it has left.
    Answering,
    /// A long-poll waits for an event.
    Polling,
    /// An event stream.
    Streaming,
    /// The last bytes are sent and our half is shut; input is drained until the peer closes, so
    /// that no reset overtakes them.
    Lingering,
    /// Both halves are shut; waits until the kernel has given every operation back.
    Closing,
    /// The close is submitted; its completion frees the slot.
    Closed,
}

/// What can happen to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A head is complete and a body follows.
    BodyExpected,
    /// The request is answered; the connection is kept.
    Answered,
    /// The publish found the journal full, or the callback has to say who subscribes.
    Park,
    /// Room was found in the middle of a body: it goes on.
    Resume,
    /// The answer was cut by a full send buffer.
    Clog,
    /// The rest of the answer has left.
    Unclog,
    /// A long-poll begins to wait.
    Poll,
    /// A stream begins.
    Stream,
    /// The last bytes are sent: bye, or an answer with `Connection: close`.
    Finish,
    /// The peer is gone, or must be (error, deadline).
    Abort,
    /// Nothing is armed any more.
    Quiet,
}

impl State {
    /// All states, in the order of a life.
    pub const ALL: [Self; 9] = [
        Self::Head,
        Self::Body,
        Self::Parked,
        Self::Answering,
        Self::Polling,
        Self::Streaming,
        Self::Lingering,
        Self::Closing,
        Self::Closed,
    ];

    /// The state after `step`, or none where it cannot happen.
    #[must_use]
    pub fn after(self, step: Step) -> Option<Self> {
        let next = match (self, step) {
            (Self::Head, Step::BodyExpected) => Self::Body,
            (Self::Head | Self::Body | Self::Parked | Self::Polling, Step::Answered) => Self::Head,
            (Self::Head | Self::Body, Step::Park) => Self::Parked,
            (Self::Parked, Step::Resume) => Self::Body,
            (Self::Head | Self::Body | Self::Parked | Self::Polling, Step::Clog) => Self::Answering,
            (Self::Answering, Step::Unclog) => Self::Head,
            (Self::Head | Self::Body | Self::Parked, Step::Poll) => Self::Polling,
            (Self::Head | Self::Body | Self::Parked, Step::Stream) => Self::Streaming,
            (
                Self::Head
                | Self::Body
                | Self::Parked
                | Self::Answering
                | Self::Polling
                | Self::Streaming,
                Step::Finish,
            ) => Self::Lingering,
            (Self::Closing | Self::Closed, Step::Abort) => return None,
            (_, Step::Abort) => Self::Closing,
            (Self::Closing, Step::Quiet) => Self::Closed,
            _ => return None,
        };
        Some(next)
    }

    /// Events may reach it: it is linked in the hub.
    #[must_use]
    pub fn is_subscribed(self) -> bool {
        matches!(self, Self::Streaming | Self::Polling)
    }

    /// Both halves are shut.
    #[must_use]
    pub fn is_closing(self) -> bool {
        matches!(self, Self::Closing | Self::Closed)
    }

    /// On its way out: no more bytes are sent, input is thrown away.
    #[must_use]
    pub fn is_ending(self) -> bool {
        matches!(self, Self::Lingering | Self::Closing | Self::Closed)
    }
}

impl Step {
    /// All steps.
    pub const ALL: [Self; 11] = [
        Self::BodyExpected,
        Self::Answered,
        Self::Park,
        Self::Resume,
        Self::Clog,
        Self::Unclog,
        Self::Poll,
        Self::Stream,
        Self::Finish,
        Self::Abort,
        Self::Quiet,
    ];
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{self:?}"))
    }
}

/// The table of all transitions, a line each.
#[must_use]
#[cfg(test)]
pub(super) fn table() -> String {
    let mut text = String::from("state       step          next\n");
    for state in State::ALL {
        for step in Step::ALL {
            if let Some(next) = state.after(step) {
                text.push_str(&format!("{state:<11} {:<13} {next}\n", format!("{step:?}")));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_reviewed_one() {
        let reviewed = include_str!("states.txt");
        assert_eq!(table(), reviewed, "print the new table into src/conn/states.txt");
    }

    #[test]
    fn every_state_can_be_left_and_ends_closed() {
        for state in State::ALL {
            let mut reached = vec![state];
            let mut at = 0;
            while let Some(&from) = reached.get(at) {
                for next in Step::ALL.iter().filter_map(|step| from.after(*step)) {
                    if !reached.contains(&next) {
                        reached.push(next);
                    }
                }
                at += 1;
            }
            assert!(reached.contains(&State::Closed), "{state} never ends");
        }
    }

    #[test]
    fn nothing_comes_back_from_an_ending() {
        for state in State::ALL.into_iter().filter(|state| state.is_ending()) {
            for step in Step::ALL {
                assert!(state.after(step).is_none_or(State::is_ending), "{state} {step:?}");
            }
        }
    }
}
