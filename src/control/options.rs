//! From settings to what the lower rooms take.

use crate::auth::keys::{KeyError, Secret};
use crate::auth::{Keys, PublisherToken};
use crate::config::Settings;
use crate::journal::{JournalSettings, Namespaces, StoreSettings};
use crate::proto::http::HeadLimits;
use crate::worker::{Live, Options};

/// Connections of a node whose limit is left to the machine.
const CONNECTIONS_ANY: usize = 1 << 20;

/// What is in force with these settings. Without a secret `generated` verifies and signs.
pub(super) fn live(
    settings: &Settings,
    generated: &Secret,
    workers: usize,
) -> Result<Live, KeyError> {
    let keys = if settings.auth.has_secret() {
        Keys::new(settings.auth.secrets())?
    } else {
        Keys::single(generated.as_bytes())?
    };
    let token = settings.auth.publish_token.as_ref();
    let publisher =
        token.map(|token| PublisherToken::new(token.expose().as_bytes())).transpose()?;
    let rules = settings.auth.rules();
    Ok(Live { options: options(settings, workers), keys, rules, publisher })
}

fn options(settings: &Settings, workers: usize) -> Options {
    let limits = &settings.limits;
    Options {
        connections_max: limits.connections_max.unwrap_or(CONNECTIONS_ANY).div_ceil(workers),
        head: HeadLimits { bytes_max: limits.head_bytes_max, ..HeadLimits::default() },
        body_bytes_max: limits.body_bytes_max,
        head_timeout_ms: limits.head_timeout_ms,
        body_timeout_ms: limits.body_timeout_ms,
        idle_timeout_ms: limits.keepalive_ms,
        heartbeat_ms: settings.heartbeat.interval_ms,
        lifetime_max_ms: settings.stream.lifetime_max_ms,
        stall_max_ms: settings.stream.idle_timeout_ms,
        retry_ms: settings.stream.retry_ms,
        channels_per_stream_max: limits.channels_per_stream,
        publish_timeout_ms: settings.publish.timeout_ms,
        drain_ms: settings.drain.within_ms,
        anonymous: settings.anonymous(),
        cookies: settings.auth.cookies.clone(),
        ..Options::default()
    }
}

/// The log and its histories.
pub(super) fn journal(settings: &Settings) -> JournalSettings {
    let namespaces = settings.namespaces.iter().map(|namespace| namespace.journal()).collect();
    JournalSettings {
        recent_bytes: settings.recent_log_bytes,
        store: StoreSettings {
            namespaces: Namespaces::new(namespaces),
            idle_ms: settings.channels.idle_expire,
            channels_max: settings.channels.max,
            ..StoreSettings::default()
        },
        ..JournalSettings::default()
    }
}
