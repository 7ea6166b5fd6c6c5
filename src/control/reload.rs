//! SIGHUP: reads all layers again. Streams stay.

use std::sync::Arc;

use tokio::signal::unix::Signal;

use super::{log, options};
use crate::auth::keys::Secret;
use crate::config::{self, Change, Force, Severity, Sources, Values};
use crate::worker::Node;

/// What a reload needs to know.
#[derive(Debug)]
pub(super) struct Reload {
    /// Where settings come from.
    pub(super) sources: Sources,
    /// The values in force: those of the start with what reloads have changed.
    pub(super) running: Values,
    /// The secret of this run, in force while none is set.
    pub(super) generated: Secret,
    pub(super) workers: usize,
    pub(super) node: Arc<Node>,
    pub(super) level: log::Verbosity,
}

/// Reloads on each SIGHUP, for ever.
pub(super) async fn on_signal(mut hangup: Signal, mut reload: Reload) {
    while hangup.recv().await.is_some() {
        reload.now();
    }
}

impl Reload {
    /// Reads everything again and puts in force what can be; tells all of it. False: something is
    /// wrong, and what was in force stays.
    pub(super) fn now(&mut self) -> bool {
        let loaded = match config::load(&self.sources) {
            Ok(loaded) => loaded,
            Err(findings) => {
                let errors = findings.iter().filter(|f| f.severity == Severity::Error);
                errors.clone().for_each(|finding| tracing::error!("{finding}"));
                let errors = errors.count();
                tracing::error!(errors, "configuration not reloaded: what was in force stays");
                return false;
            }
        };
        let changes = self.running.changes(&loaded.values);
        let mut running = self.running.clone();
        running.take_reloadable(&loaded.values);
        let Some(settings) = running.settings() else { return false };
        match options::live(&settings, &self.generated, self.workers) {
            Ok(live) => self.node.replace(live),
            Err(error) => {
                tracing::error!("configuration not reloaded: {error}");
                return false;
            }
        }
        // What is told is told under the louder of the two levels.
        let before = self.running.settings().map_or(settings.log.level, |old| old.log.level);
        self.level.set(settings.log.level.max(before));
        self.running = running;
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        changes.iter().for_each(tell);
        let count = |force| changes.iter().filter(|change| change.force == force).count();
        tracing::info!(
            in_force = count(Force::Reload),
            need_restart = count(Force::Restart),
            not_in_force = count(Force::Later),
            "configuration reloaded"
        );
        self.level.set(settings.log.level);
        true
    }
}

fn tell(change: &Change) {
    let Change { name, from, to, force } = change;
    match force {
        Force::Reload => tracing::info!("{name}: {from} -> {to}, in force now"),
        Force::Restart => tracing::warn!("{name}: {from} -> {to}, needs a restart"),
        Force::Later => tracing::warn!("{name}: {from} -> {to}, not in force in this version"),
    }
}
