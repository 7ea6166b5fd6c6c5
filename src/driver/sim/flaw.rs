//! What a run can prove wrong, and the text that says so.

use std::fmt;

use thiserror::Error;

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Flaw {
    /// Two sends to one socket in one batch: when the first is short, the stream is corrupt.
    #[error("worker {worker}: two sends to socket {sock} in one batch")]
    SecondSend {
        /// Whose.
        worker: usize,
        /// To which.
        sock: u32,
    },
    /// A send of no bytes.
    #[error("worker {worker}: empty send to socket {sock}")]
    EmptySend {
        /// Whose.
        worker: usize,
        /// To which.
        sock: u32,
    },
    /// An operation of this kind is armed already (or a hang-up watch was, once in this life).
    #[error("worker {worker}: second {call} on socket {sock}")]
    SecondArmed {
        /// Whose.
        worker: usize,
        /// Which operation.
        call: &'static str,
        /// On which.
        sock: u32,
    },
    /// The socket was closed while one of its operations was armed.
    #[error("worker {worker}: socket {sock} closed while its {armed} was armed")]
    ClosedArmed {
        /// Whose.
        worker: usize,
        /// Which.
        sock: u32,
        /// What was armed.
        armed: &'static str,
    },
    /// No such open socket of this worker.
    #[error("worker {worker}: {call} on socket {sock}, which is not open or not its own")]
    UnknownSock {
        /// Whose call.
        worker: usize,
        /// Which call.
        call: &'static str,
        /// On which.
        sock: u32,
    },
    /// One socket was used with two connection ids.
    #[error("worker {worker}: {call} on socket {sock} with another connection's id")]
    OtherId {
        /// Whose call.
        worker: usize,
        /// Which call.
        call: &'static str,
        /// On which.
        sock: u32,
    },
    /// A receive buffer was read or given back that the worker did not hold.
    #[error("worker {worker}: buffer {buffer} is not held")]
    UnknownBuffer {
        /// Whose call.
        worker: usize,
        /// Which.
        buffer: u16,
    },
    /// A line of a stream is no field of ours.
    #[error("subscriber {client}: line {line:?} is no field")]
    TornLine {
        /// Who received it.
        client: usize,
        /// The line, or the beginning of it.
        line: String,
    },
    /// An event without an id of its own, or with one that is none.
    #[error("subscriber {client}: event {data:?} has the id {id:?}")]
    BadId {
        /// Who received it.
        client: usize,
        /// The id.
        id: String,
        /// The event's data.
        data: String,
    },
    /// An id that is not above the one before it.
    #[error("subscriber {client}: id {seq} after {last}")]
    NotRising {
        /// Who received it.
        client: usize,
        /// The id.
        seq: u64,
        /// The one before.
        last: u64,
    },
    /// Nobody published this, or its publisher was told that it was refused.
    #[error("subscriber {client}: {data:?} was never published")]
    NeverPublished {
        /// Who received it.
        client: usize,
        /// The event's data.
        data: String,
    },
    /// An event of a channel this stream does not have.
    #[error("subscriber {client}: event {seq} of channel {channel}, which it does not have")]
    NotSubscribed {
        /// Who received it.
        client: usize,
        /// The id.
        seq: u64,
        /// The channel.
        channel: String,
    },
    /// One event under two ids, or two events under one.
    #[error("event {data:?} has the ids {one} and {two}")]
    TwoIds {
        /// The event's data.
        data: String,
        /// An id of it.
        one: u64,
        /// Another.
        two: u64,
    },
    /// An event did not arrive, and no gap was announced.
    #[error("subscriber {client}: event {seq} of channel {channel} never arrived")]
    Missing {
        /// Who should have received it.
        client: usize,
        /// The id.
        seq: u64,
        /// The channel.
        channel: String,
    },
    /// A gap where everything was kept.
    #[error("subscriber {client}: gap {data}")]
    NeedlessGap {
        /// Who was told.
        client: usize,
        /// What was told.
        data: String,
    },
    /// An answer that a well-formed request should not get.
    #[error("client {client}: answer {status} {text:?}")]
    BadAnswer {
        /// Who got it.
        client: usize,
        /// Its status; 0 where it is no HTTP.
        status: u16,
        /// Its beginning.
        text: String,
    },
    /// A publish that began after another was acknowledged got a lower id.
    #[error("publisher {client}: id {seq} although {before} had been acknowledged before it began")]
    AckOrder {
        /// Who published.
        client: usize,
        /// The id.
        seq: u64,
        /// The earlier one.
        before: u64,
    },
    /// A phase of the run did not come to its end in the time and steps it has.
    #[error("{phase}: no end after {steps} steps; {waits}")]
    Stall {
        /// Which phase.
        phase: &'static str,
        /// Steps of the run so far.
        steps: u64,
        /// Who still waits for what.
        waits: String,
    },
    /// With nothing going wrong, an event took too long from the first who knew of it to another.
    #[error("subscriber {client}: event {seq} took {took_us} us with no fault about")]
    Late {
        /// Who received it.
        client: usize,
        /// The id.
        seq: u64,
        /// First known to anybody, to read by this one.
        took_us: u64,
    },
    /// A worker's own check of itself failed.
    #[error("worker {worker}: {what}")]
    Broken {
        /// Which.
        worker: usize,
        /// What it says.
        what: String,
    },
}

/// A failed run: run the same seed again and the same will happen.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// Of the run.
    pub(crate) seed: u64,
    /// What was wrong first.
    pub(crate) flaw: Flaw,
    /// The last things that happened before, oldest first.
    pub(crate) trace: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {}", self.seed, self.flaw)?;
        self.trace.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

impl std::error::Error for Failure {}
