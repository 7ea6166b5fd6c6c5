//! From settings to what the lower rooms take.

use std::sync::Arc;

use crate::auth::callback::{Bounds, Callback};
use crate::auth::iron::IronKeys;
use crate::auth::keys::{KeyError, Secret};
use crate::auth::{Keys, PublisherToken, Rules};
use crate::config::{self, HeartbeatFormat, Limits, Refuse, Settings};
use crate::hub::caps::OnLimit;
use crate::journal::{JournalSettings, Namespaces, StoreSettings};
use crate::proto::envelope::Envelope;
use crate::proto::forwarded::Cidr;
use crate::proto::http::HeadLimits;
use crate::proto::http::cors::Cors;
use crate::proto::paths::PathTemplate;
use crate::proto::prefixes::ByPrefix;
use crate::proto::sse::Heartbeat;
use crate::worker::{
    Access, AdminOptions, Alias, Cap, CapOptions, ChannelOptions, ConnectRateOptions, EventRates,
    Live, Options, RefuseBy, Serves, Shape, Shapes, Subscribers,
};

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
    let callback = callback(settings, &rules)?;
    Ok(Live { options: options(settings, workers), keys, rules, publisher, callback })
}

fn callback(settings: &Settings, rules: &Rules) -> Result<Option<Arc<Callback>>, KeyError> {
    let of = &settings.auth.callback;
    let Some(url) = of.url.clone() else { return Ok(None) };
    let bounds = Bounds {
        timeout_ms: of.timeout_ms,
        cache_ms: of.cache_ms,
        cache_entries: of.cache_entries,
        in_flight_max: of.in_flight_max,
    };
    Ok(Some(Arc::new(Callback::new(url, bounds, rules)?)))
}

fn options(settings: &Settings, workers: usize) -> Options {
    let limits = &settings.limits;
    Options {
        connections_max: connections_max(limits, workers),
        head: HeadLimits { bytes_max: limits.head_bytes_max, ..HeadLimits::default() },
        body_bytes_max: limits.body_bytes_max,
        head_timeout_ms: limits.head_timeout_ms,
        body_timeout_ms: limits.body_timeout_ms,
        idle_timeout_ms: limits.keepalive_ms,
        heartbeat_ms: settings.heartbeat.interval_ms,
        heartbeat_max_ms: settings.heartbeat.adaptive.then_some(settings.heartbeat.max_ms),
        lifetime_max_ms: settings.stream.lifetime_max_ms,
        stall_max_ms: settings.stream.idle_timeout_ms,
        retry_ms: settings.stream.retry_ms,
        channels_per_stream_max: limits.channels_per_stream,
        publish_timeout_ms: settings.publish.timeout_ms,
        drain_ms: settings.drain.within_ms,
        watch_hangup: settings.stream.watch_hangup,
        cors: Cors::new(&settings.cors.origins).unwrap_or_default(),
        shapes: shapes(settings),
        channels: channels(settings),
        aliases: aliases(settings),
        has_presence: settings.namespaces.iter().any(|namespace| namespace.presence),
        has_rates: settings.namespaces.iter().any(|namespace| !namespace.rates.is_empty()),
        rates: rates(settings),
        compress: settings.compression.enabled,
        heartbeat: heartbeat(settings.heartbeat.format),
        refuse: refuse_by(settings.refuse).unwrap_or_default(),
        caps: caps(limits),
        connect_rate: limits.connect_rate.count.map(|count| ConnectRateOptions {
            count: u32::try_from(count).unwrap_or(u32::MAX),
            window_ms: limits.connect_rate.window_ms,
        }),
        trusted: settings.proxy.trusted.iter().filter_map(cidr).collect(),
        proxy_protocol: settings.proxy.protocol,
        anonymous: settings.anonymous(),
        cookies: settings.auth.cookies.clone(),
        stats_public: settings.stats.public,
        user_labels_max: settings.metrics.user_labels_max,
        admin: AdminOptions {
            hosts: settings.admin.hosts.clone(),
            metrics_public: settings.admin.metrics_public,
        },
        ..Options::default()
    }
}

/// Of one worker. The kernel does not share connections out evenly, and those that publish need
/// room beside the streams.
pub(super) fn connections_max(limits: &Limits, workers: usize) -> usize {
    let share = limits.connections_max.unwrap_or(CONNECTIONS_ANY).div_ceil(workers);
    share.saturating_add(share / 8).saturating_add(64)
}

fn caps(limits: &Limits) -> CapOptions {
    let cap = |max: Option<usize>, on_limit| {
        let on_limit = match on_limit {
            config::OnLimit::EvictOldest => OnLimit::EvictOldest,
            config::OnLimit::Reject => OnLimit::Reject,
        };
        max.map(|max| Cap { max, on_limit })
    };
    CapOptions {
        total: cap(limits.connections_max, limits.connections_on_limit),
        per_user: cap(limits.per_user, limits.per_user_on_limit),
        per_tenant: cap(limits.per_tenant, limits.per_tenant_on_limit),
        per_ip: cap(limits.per_ip, limits.per_ip_on_limit),
    }
}

fn cidr(network: &ipnet::IpNet) -> Option<Cidr> {
    network.to_string().parse().ok()
}

fn heartbeat(format: HeartbeatFormat) -> Heartbeat {
    match format {
        HeartbeatFormat::Short => Heartbeat::Short,
        HeartbeatFormat::Comment => Heartbeat::Comment,
        HeartbeatFormat::Data => Heartbeat::Data,
        HeartbeatFormat::Event => Heartbeat::Event,
    }
}

fn refuse_by(refuse: Refuse) -> Option<RefuseBy> {
    match refuse {
        Refuse::Auto => None,
        Refuse::Status => Some(RefuseBy::Status),
        Refuse::InBand => Some(RefuseBy::InBand),
    }
}

fn channels(settings: &Settings) -> ByPrefix<ChannelOptions> {
    let all = settings.namespaces.iter().map(|namespace| {
        let subscribe = match namespace.subscribe {
            config::Subscribers::Default => Subscribers::Default,
            config::Subscribers::Anyone => Subscribers::Anyone,
            config::Subscribers::Token => Subscribers::Token,
            config::Subscribers::Admin => Subscribers::Admin,
        };
        let options = ChannelOptions {
            compress: namespace.compress,
            heartbeat: namespace.heartbeat_format.map(heartbeat),
            subscribe,
            presence: namespace.presence,
            refuse: refuse_by(namespace.refuse),
        };
        (namespace.prefix.as_deref().unwrap_or_default(), options)
    });
    ByPrefix::new(all, ChannelOptions::default())
}

fn aliases(settings: &Settings) -> Vec<Alias> {
    let all = settings.aliases.iter().filter(|alias| alias.enabled);
    let all = all.map(|alias| Alias {
        path: PathTemplate::parse(alias.path.as_deref().unwrap_or_default()),
        serves: match alias.serves {
            config::Serves::Stream => Serves::Stream,
            config::Serves::Stats => Serves::Stats,
            config::Serves::Health => Serves::Health,
            config::Serves::Publish => Serves::Publish,
        },
        channels: alias.channels.clone(),
        query_channels: alias.query_channels,
        last: alias.last.clone(),
        access: match alias.access {
            config::Access::Default => Access::Default,
            config::Access::Token => Access::Token,
            config::Access::Admin => Access::Admin,
        },
        heartbeat: alias.heartbeat_format.map(heartbeat),
        healthy: alias.healthy.clone(),
    });
    all.collect()
}

fn rates(settings: &Settings) -> ByPrefix<EventRates> {
    let all = settings.namespaces.iter();
    let all = all.map(|one| (one.prefix.as_deref().unwrap_or_default(), one.rates.clone()));
    ByPrefix::new(all, EventRates::default())
}

/// Envelopes and seals. (The keys were checked with the settings; without them a publish to a
/// sealed channel is refused.)
fn shapes(settings: &Settings) -> Shapes {
    let keys = settings.encryption.keys.iter().map(|(id, key)| (&**id, key.expose()));
    let keys = IronKeys::new(keys).unwrap_or_default();
    let sealed = !keys.is_empty();
    let all = settings.namespaces.iter().map(|namespace| {
        let envelope = Envelope::parse(namespace.envelope.as_str()).unwrap_or_default();
        let shape = Shape { envelope, seal: namespace.seal.unwrap_or(sealed) };
        (namespace.prefix.as_deref().unwrap_or_default(), shape)
    });
    let rest = Shape { envelope: Envelope::Raw, seal: sealed };
    Shapes::new(ByPrefix::new(all, rest), keys)
}

/// The log and its histories.
pub(super) fn journal(settings: &Settings) -> JournalSettings {
    let namespaces = settings.namespaces.iter().map(|namespace| namespace.journal()).collect();
    JournalSettings {
        entries: settings.journal.entries_max,
        bytes_max: settings.journal.bytes_max,
        recent_bytes: settings.recent_log_bytes,
        store: StoreSettings {
            namespaces: Namespaces::new(namespaces),
            idle_ms: settings.channels.idle_expire,
            channels_max: settings.channels.max,
            ..StoreSettings::default()
        },
    }
}
