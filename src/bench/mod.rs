//! The load tool: opens many streams, publishes, checks what every stream reads, and reports.
//!
//! Pure: [`scenario`], [`plan`] and [`batch`] (what is to happen), [`payload`] and [`check`] (is a stream whole), [`answer`]
//! (HTTP answers), [`unzip`] (gzip to text), [`report`] (numbers to text). At work: `streams` (one ring of streams on a
//! thread), `publisher` (publishes by HTTP), `server` (what /proc tells of a local server), `run`
//! (the phases).
//!
//! Latency is the time from the publish call to the read of the event. With a rate the publish
//! call counts from the moment it was *due*, so that a slow server cannot hide its own delays by
//! slowing the publisher (coordinated omission).

pub mod answer;
pub mod batch;
pub mod check;
pub mod payload;
pub mod plan;
mod progress;
mod publisher;
pub mod report;
mod run;
pub mod scenario;
mod server;
mod shared;
mod streams;
mod tally;
pub mod unzip;

pub use plan::{Options, OptionsError, Plan, Rate};
pub use report::Report;
pub use run::run;
pub use scenario::Scenario;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The options contradict each other or name nothing.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// A ring could not be made.
    #[error("the load tool needs io_uring: {0}")]
    Ring(#[from] crate::driver::StartError),
    /// No thread.
    #[error("no thread for the load: {0}")]
    Thread(std::io::Error),
    /// Not one stream could be opened.
    #[error("no stream could be opened: {0}")]
    NoStream(String),
    /// Not one event could be published.
    #[error("no event could be published: {0}")]
    NoPublish(String),
    /// A thread of the load ended by a fault of this program.
    #[error("a thread of the load has failed")]
    Lost,
}
