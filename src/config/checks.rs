//! What single values cannot show: settings that contradict each other or will surprise.

use super::finding::{Finding, Origin};
use super::kind::{bare, quote};
use super::rows::Table;
use super::settings::{OnLimit, PublishAck, Settings};
use super::value::Value;
use super::values::Values;
use crate::auth::keys::{KEYS_MAX, SECRET_BYTES_STRONG};
use crate::proto::channel::check_name;

/// nginx and most load balancers close what is silent for so long, milliseconds.
const PROXY_PATIENCE_MS: u64 = 60_000;
/// A publish token under this can be guessed, bytes.
const PUBLISH_TOKEN_BYTES: usize = 16;

/// Values that follow from others: the origins that pages may come from.
pub(super) fn derive(values: &mut Values) {
    let frontend = values.of("cors.frontend_url").cloned();
    let (Some(frontend), Some(origins)) = (frontend, values.of("cors.origins").cloned()) else {
        return;
    };
    let Value::Text(one) = frontend.value else { return };
    let mut list = origins.value.list().to_vec();
    if origins.origin == Origin::Default {
        list.clear();
    }
    if list.contains(&one) {
        return;
    }
    list.push(one);
    let origin = if origins.origin == Origin::Default { frontend.origin } else { origins.origin };
    values.derive("cors.origins", Value::List(list), origin);
}

/// Everything the settings as a whole show.
pub(super) fn check(values: &Values, settings: &Settings) -> Vec<Finding> {
    let mut checker = Checker { values, settings, findings: Vec::new() };
    checker.caps();
    checker.times();
    checker.secrets();
    checker.callback();
    checker.addresses();
    checker.origins();
    checker.storage();
    checker.namespaces();
    checker.aliases();
    checker.findings
}

struct Checker<'v> {
    values: &'v Values,
    settings: &'v Settings,
    findings: Vec<Finding>,
}

impl Checker<'_> {
    fn shown(&self, key: &str) -> String {
        let key = super::settings::find(key);
        let effective = key.and_then(|key| Some((key, self.values.of(key.name)?)));
        effective.map_or_else(String::new, |(key, effective)| {
            super::layers::node::shorten(&key.kind.show(&effective.value))
        })
    }

    fn error(&mut self, key: &str, problem: &str, cure: &str) {
        let finding = Finding::error(self.values.origin(key), key, problem, cure);
        self.findings.push(finding.with(self.shown(key)));
    }

    fn warn(&mut self, key: &str, problem: &str, cure: &str) {
        let finding = Finding::warning(self.values.origin(key), key, problem, cure);
        self.findings.push(finding.with(self.shown(key)));
    }

    fn caps(&mut self) {
        let limits = &self.settings.limits;
        let caps = [
            ("limits.per_user", limits.per_user, limits.per_user_on_limit),
            ("limits.per_tenant", limits.per_tenant, limits.per_tenant_on_limit),
            ("limits.per_ip", limits.per_ip, limits.per_ip_on_limit),
        ];
        for (key, cap, on_limit) in caps {
            if cap == Some(0) && on_limit == OnLimit::EvictOldest {
                let cure = format!("write \"off\" for no cap, or set {key}_on_limit to \"reject\"");
                self.error(key, "a cap of 0 evicts every stream as it comes", &cure);
            }
            if let (Some(cap), Some(total)) = (cap, limits.connections_max)
                && cap > total
                && self.values.origin(key) != Origin::Default
            {
                let problem = format!("more than limits.connections_max ({total})");
                self.warn(key, &problem, "lower it or raise the total");
            }
        }
    }

    fn times(&mut self) {
        let interval_ms = self.settings.heartbeat.interval_ms;
        if interval_ms >= PROXY_PATIENCE_MS {
            let problem = "proxies close a stream that is silent for 60 s";
            self.warn("heartbeat.interval_ms", problem, "write less than 60s");
        }
        if self.settings.stream.lifetime_max_ms.is_some_and(|max_ms| max_ms < interval_ms) {
            let problem = "streams end before their first heartbeat";
            self.warn("stream.lifetime_max_ms", problem, "write a longer time, or \"off\"");
        }
        if self.settings.stream.idle_timeout_ms < interval_ms {
            let problem = "shorter than the heartbeat interval: a stall cannot be seen in time";
            self.warn("stream.idle_timeout_ms", problem, "write a longer time");
        }
    }

    fn secrets(&mut self) {
        let auth = &self.settings.auth;
        let cure = "make one with openssl rand -hex 32";
        let short = |len: usize| len < SECRET_BYTES_STRONG;
        if auth.jwt_secret.as_ref().is_some_and(|secret| short(secret.expose().len())) {
            self.warn("auth.jwt_secret", "fewer than 32 bytes can be guessed", cure);
        }
        if auth.jwt_keys.values().any(|secret| short(secret.expose().len())) {
            self.warn("auth.jwt_keys", "a key of fewer than 32 bytes can be guessed", cure);
        }
        let keys = auth.secrets().count();
        if keys > KEYS_MAX {
            let problem = format!("{keys} keys, at most {KEYS_MAX} count at once");
            self.error("auth.jwt_keys", &problem, "take out those that sign no token any more");
        }
        let token = auth.publish_token.as_ref().map(|token| token.expose().len());
        if token.is_some_and(|len| len < PUBLISH_TOKEN_BYTES) {
            let problem = "fewer than 16 bytes can be guessed";
            self.warn("auth.publish_token", problem, cure);
        }
    }

    fn callback(&mut self) {
        let url = self.settings.auth.callback.url.as_deref().unwrap_or_default();
        let Some(rest) = url.strip_prefix("http://") else { return };
        let near = ["localhost", "127.", "[::1]"];
        if !near.iter().any(|near| rest.starts_with(near)) {
            let problem = "cookies and tokens travel there unencrypted";
            self.warn(
                "auth.callback.url",
                problem,
                "write an https:// URL unless that network is yours",
            );
        }
    }

    fn addresses(&mut self) {
        let (listen, admin) = (&self.settings.listen, self.settings.admin.address);
        if listen.is_empty() {
            self.error("listen", "no address", "write at least one, like 127.0.0.1:8080");
        } else if listen.len() > 64 {
            self.error("listen", "more than 64 addresses", "write at most 64");
        }
        let same = |a: &std::net::SocketAddr| {
            a.port() == admin.port() && (a.ip() == admin.ip() || a.ip().is_unspecified())
        };
        if admin.port() != 0 && listen.iter().any(same) {
            let (key, problem) = match self.values.origin("admin.address") {
                Origin::Default => ("listen", format!("the operators' address is {admin} too")),
                _ => ("admin.address", "this port is one of listen's too".to_owned()),
            };
            self.error(key, &problem, "give each a port of its own");
        }
    }

    fn origins(&mut self) {
        let origins = &self.settings.cors.origins;
        if !origins.iter().any(|origin| origin == "*") {
            return;
        }
        let problem = if origins.len() > 1 {
            "with * the other origins have no credentials either"
        } else {
            "pages of any origin may connect, without credentials, and cookies are ignored"
        };
        self.warn("cors.origins", problem, "write the origins of your pages");
    }

    fn storage(&mut self) {
        let settings = self.settings;
        if settings.publish.ack == PublishAck::Disk && settings.storage.dir.is_none() {
            let cure = "set storage.dir, or write \"memory\"";
            self.error("publish.ack", "there is no disk to wait for", cure);
        }
        let recent = settings.recent_log_bytes as u64;
        if settings.memory.budget_bytes.is_some_and(|budget| budget <= recent) {
            let problem = "recent_log_bytes alone takes the whole budget";
            self.error("memory.budget_bytes", problem, "write a larger size, or lower that one");
        }
        let schemes = ["redis://", "rediss://", "nats://", "tls://"];
        if let Some(engine) = &settings.engine
            && !schemes.iter().any(|scheme| engine.expose().starts_with(scheme))
        {
            let cure = "write a URL that begins with redis://, rediss:// or nats://";
            self.error("engine", "no engine has such a URL", cure);
        }
    }

    /// Speaks of a cell of a row, where it was written.
    fn at_cell(&mut self, at: (Table, &str, &str), value: String, problem: &str, cure: &str) {
        let (table, row, column) = at;
        let cell = self.values.cell(table, row, column);
        let cell = cell.or_else(|| self.values.cell(table, row, table.id_column()));
        let origin = cell.map_or(Origin::Default, |cell| cell.origin.clone());
        let name = format!("{}.{}.{column}", table.name(), bare(row));
        self.findings.push(Finding::error(origin, &name, problem, cure).with(value));
    }

    fn namespaces(&mut self) {
        let settings = self.settings;
        for namespace in &settings.namespaces {
            let prefix = namespace.prefix.clone().unwrap_or_default();
            if !prefix.is_empty() && check_name(&prefix).is_err() {
                let at = (Table::Namespaces, &*prefix, "prefix");
                let problem = "no channel name begins so";
                let cure = "write the literal beginning, without spaces, commas, / and *";
                self.at_cell(at, quote(&prefix), problem, cure);
            }
            if namespace.seal == Some(true) && settings.encryption.keys.is_empty() {
                let at = (Table::Namespaces, &*prefix, "seal");
                let problem = "there is no key to seal with";
                self.at_cell(at, "true".to_owned(), problem, "set encryption.keys, or write false");
            }
        }
    }

    fn aliases(&mut self) {
        let settings = self.settings;
        for alias in &settings.aliases {
            let path = alias.path.clone().unwrap_or_default();
            if !path.starts_with('/') {
                let at = (Table::Aliases, &*path, "path");
                self.at_cell(at, quote(&path), "a path begins with /", "write it so");
            }
            let parts = |text: &str| -> Vec<String> {
                let begun = text.split('{').skip(1);
                begun.filter_map(|part| Some(part.split_once('}')?.0.to_owned())).collect()
            };
            let known = parts(&path);
            for channel in &alias.channels {
                if let Some(unknown) = parts(channel).iter().find(|part| !known.contains(part)) {
                    let at = (Table::Aliases, &*path, "channels");
                    let problem = format!("the path has no part {{{unknown}}}");
                    let cure = "write the parts of the path";
                    self.at_cell(at, quote(channel), &problem, cure);
                }
            }
        }
    }
}
