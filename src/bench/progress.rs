//! A bar on standard error, where that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shows how far a phase is; silent where nobody watches.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// `what` is done so many times out of `all`.
    pub(super) fn new(what: &'static str, all: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(all), ProgressDrawTarget::stderr());
        let style =
            ProgressStyle::with_template("{msg:>12} [{bar:40}] {pos}/{len} {per_sec} {eta}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        bar.set_message(what);
        Self(bar)
    }

    /// So many are done.
    pub(super) fn set(&self, done: u64) {
        self.0.set_position(done);
    }

    /// How long to sleep between two looks: short enough for the phase's end to be exact.
    pub(super) const LOOK: Duration = Duration::from_millis(5);
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
