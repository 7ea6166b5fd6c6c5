//! Who else may come in: caps of streams, and how often one address may connect.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::Worker;
use super::options::{Cap, ConnectRateOptions};
use super::orders::Order;
use crate::auth::Identity;
use crate::conn::State;
use crate::driver::{ConnId, Driver};
use crate::hub::TopicName;
use crate::hub::caps::{CapKey, Caps, Entry, OnLimit, Scope, StreamId};
use crate::hub::connect_rate::{Admission as Connect, ConnectRate};
use crate::proto::channel::{TENANT, USER};
use crate::proto::forwarded::{Client, IpKey, ToldBy};
use crate::proto::http::Problem;
use crate::proto::sse::ByeReason;

/// Connects remembered at most, 32 bytes each and 40 to 170 for each address.
const CONNECTS_MAX: usize = 1 << 20;
/// The oldest streams are looked up so many at a time: a look passes over all.
const OLDEST_AT_ONCE: usize = 256;
/// When to come again after a refusal at a cap, seconds.
const RETRY_AFTER_S: u32 = 5;

/// What all workers of a node count together.
#[derive(Debug, Default)]
pub(super) struct Admission {
    pub(super) caps: Caps,
    /// Something has been counted: streams that end have to be looked for.
    pub(super) used: AtomicBool,
    /// Streams of the node.
    pub(super) streams: AtomicUsize,
    connects: Mutex<Option<(ConnectRateOptions, ConnectRate)>>,
}

/// What one worker remembers.
#[derive(Debug, Default)]
pub(super) struct OwnCaps {
    /// Keys of addresses by slot, while addresses have a cap.
    pub(super) addresses: HashMap<u32, CapKey>,
    /// Streams that are to go first.
    oldest: VecDeque<ConnId>,
}

impl Admission {
    /// Streams of the node that are counted.
    pub(super) fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    fn connect(&self, options: ConnectRateOptions, key: IpKey, now_ms: u64) -> Result<(), Problem> {
        let mut connects = self.connects.lock().unwrap_or_else(PoisonError::into_inner);
        if connects.as_ref().is_none_or(|(of, _)| *of != options) {
            let rate = ConnectRate::new(options.count, options.window_ms, CONNECTS_MAX);
            *connects = Some((options, rate));
        }
        let Some((_, rate)) = connects.as_mut() else { return Ok(()) };
        match rate.admit(Some(key), now_ms) {
            Connect::Admitted => Ok(()),
            Connect::Refused { retry_after_ms } => {
                let seconds = u32::try_from(retry_after_ms.div_ceil(1_000)).unwrap_or(u32::MAX);
                let detail = format!(
                    "an address may connect {} times in {} s",
                    options.count,
                    options.window_ms.div_ceil(1_000)
                );
                Err(Problem::new(429, "connect-rate", detail).retry_after(seconds))
            }
            Connect::Unknown => {
                Err(Problem::new(429, "connect-rate", "no address is known").retry_after(1))
            }
        }
    }
}

/// A refusal at a cap of the node, or of a user, tenant or address.
fn full(whose: &str, max: usize) -> Problem {
    let hint = match whose {
        "node" => {
            "raise MAX_SSE_CLIENTS (limits.connections_max), let readers that stall end sooner \
             (stream.idle_timeout_ms), or take several channels by one stream"
        }
        "user" => "SSE_MAX_CONNECTIONS_PER_USER (limits.per_user) is the cap",
        "tenant" => "limits.per_tenant is the cap",
        _ => "limits.per_ip is the cap",
    };
    let detail = format!("this {whose} has {max} streams, as many as it may");
    Problem::new(429, "too-many-streams", detail).retry_after(RETRY_AFTER_S).hint(hint)
}

/// Nothing can be said of this client's address: it is its proxy's, or this machine's.
fn is_exempt(client: Client, trusted: bool) -> bool {
    client.told_by == ToldBy::Peer && (trusted || client.ip.is_loopback())
}

impl<D: Driver> Worker<D> {
    /// Lets a stream in, if rates and caps allow it; others may have to go.
    pub(super) fn enter(
        &mut self,
        id: ConnId,
        identity: &Identity,
        client: Client,
    ) -> Result<(), Problem> {
        let options = &self.live.options;
        let exempt = is_exempt(client, options.trusted.contains(client.ip));
        let (caps, rate) = (options.caps, options.connect_rate);
        let address = IpKey::from(client.ip);
        if let Some(rate) = rate.filter(|_| !exempt) {
            self.node.admission.connect(rate, address, self.now.mono_ms).inspect_err(|_| {
                self.node.counters[self.index].connects_limited.add(1);
            })?;
        }
        let table = &self.node.admission.caps;
        let user = identity.subject.as_deref().zip(caps.per_user);
        let user = user.map(|(name, cap)| (table.key(Scope::User, name), cap, "user"));
        let tenant = identity.tenant.as_deref().zip(caps.per_tenant);
        let tenant = tenant.map(|(name, cap)| (table.key(Scope::Tenant, name), cap, "tenant"));
        let ip = caps.per_ip.filter(|_| !exempt);
        let ip = ip.map(|cap| (table.key(Scope::Ip, &address), cap, "address"));
        if let Some((key, ..)) = ip {
            self.own_caps.addresses.insert(id.slot, key);
        }
        let mut wanted: Vec<_> = [user, tenant, ip].into_iter().flatten().collect();
        // An eviction cannot be taken back: who may be refused is asked first.
        wanted.sort_by_key(|(_, cap, _)| cap.on_limit != OnLimit::Reject);
        self.enter_all(id, &wanted, caps.total).inspect_err(|_| {
            self.own_caps.addresses.remove(&id.slot);
            self.node.counters[self.index].streams_refused.add(1);
        })
    }

    fn enter_all(
        &mut self,
        id: ConnId,
        wanted: &[(CapKey, Cap, &str)],
        total: Option<Cap>,
    ) -> Result<(), Problem> {
        let own = self.stream_id(id);
        if !wanted.is_empty() {
            self.node.admission.used.store(true, Ordering::Relaxed);
        }
        if let Some(cap) = total.filter(|cap| self.node.admission.streams() >= cap.max)
            && cap.on_limit == OnLimit::Reject
        {
            return Err(full("node", cap.max));
        }
        for (at, (key, cap, whose)) in wanted.iter().enumerate() {
            match self.node.admission.caps.try_enter(*key, own, cap.max, cap.on_limit) {
                Entry::Enter => {}
                Entry::Evict(other) => self.evict(other),
                Entry::Refuse => {
                    for (key, ..) in &wanted[..at] {
                        self.node.admission.caps.leave(*key, own);
                    }
                    return Err(full(whose, cap.max));
                }
            }
        }
        if let Some(cap) = total.filter(|cap| self.node.admission.streams() >= cap.max) {
            match self.end_oldest().then_some(self.index).or_else(|| self.crowded_core()) {
                Some(core) if core == self.index => {}
                Some(core) => self.order(core, Order::EndOldest),
                // Nothing but long-polls: these end by themselves.
                None => {
                    for (key, ..) in wanted {
                        self.node.admission.caps.leave(*key, own);
                    }
                    return Err(full("node", cap.max));
                }
            }
        }
        self.node.admission.streams.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// A stream ends; it is still linked to its channels.
    pub(super) fn leave_caps(&mut self, id: ConnId) {
        self.node.admission.streams.fetch_sub(1, Ordering::Relaxed);
        if !self.node.admission.used.load(Ordering::Relaxed) {
            return;
        }
        let (own, caps) = (self.stream_id(id), &self.node.admission.caps);
        // Where another's channel was subscribed to, it is not found there, which does no harm.
        let names =
            self.hub.topics_of(id.slot).filter_map(|topic| match &self.hub.topic(topic)?.name {
                TopicName::Channel(name) => Some(name),
                TopicName::Pattern(_) => None,
            });
        for name in names {
            if let Some(user) = name.strip_prefix(USER) {
                caps.leave(caps.key(Scope::User, user), own);
            } else if let Some(tenant) = name.strip_prefix(TENANT) {
                caps.leave(caps.key(Scope::Tenant, tenant), own);
            }
        }
        if let Some(key) = self.own_caps.addresses.remove(&id.slot) {
            caps.leave(key, own);
        }
    }

    fn stream_id(&self, id: ConnId) -> StreamId {
        let worker = u16::try_from(self.index).unwrap_or(u16::MAX);
        StreamId::new(worker, id.slot, id.generation)
    }

    /// Ends a stream for another, wherever it is.
    fn evict(&mut self, stream: StreamId) {
        let id = ConnId { slot: stream.slot(), generation: stream.generation() };
        self.node.counters[self.index].evictions.add(1);
        let order = Order::End { id, reason: ByeReason::Evicted, reconnect: false };
        self.order(usize::from(stream.worker()), order);
    }

    /// Ends the stream of this core that began first, for another. False if it has none.
    pub(super) fn end_oldest(&mut self) -> bool {
        let Some(oldest) = self.oldest_stream() else { return false };
        self.node.counters[self.index].evictions.add(1);
        self.bye(oldest, ByeReason::Evicted, false);
        true
    }

    /// The other core with the most streams.
    fn crowded_core(&self) -> Option<usize> {
        let streams = |core: usize| self.node.counters[core].streams.get();
        let others = (0..self.node.counters.len()).filter(|core| *core != self.index);
        others.filter(|core| streams(*core) > 0).max_by_key(|core| streams(*core))
    }

    /// The stream of this core that began first.
    fn oldest_stream(&mut self) -> Option<ConnId> {
        let streams = |conns: &super::Conns, id: ConnId| {
            conns.get(id).is_some_and(|conn| conn.state == State::Streaming)
        };
        while let Some(id) = self.own_caps.oldest.pop_front() {
            if streams(&self.conns, id) {
                return Some(id);
            }
        }
        let now_ms = super::conns::wrap_ms(self.now.mono_ms);
        let mut all: Vec<(u32, ConnId)> = self
            .conns
            .ids()
            .into_iter()
            .filter(|id| streams(&self.conns, *id))
            .filter_map(|id| Some((now_ms.wrapping_sub(self.conns.get(id)?.since_ms), id)))
            .collect();
        if all.len() > OLDEST_AT_ONCE {
            all.select_nth_unstable_by_key(OLDEST_AT_ONCE, |(age_ms, _)| {
                std::cmp::Reverse(*age_ms)
            });
            all.truncate(OLDEST_AT_ONCE);
        }
        all.sort_by_key(|(age_ms, id)| (std::cmp::Reverse(*age_ms), id.generation));
        self.own_caps.oldest.extend(all.into_iter().map(|(_, id)| id));
        self.own_caps.oldest.pop_front()
    }

    /// The true address of whoever asks.
    pub(super) fn client(&self, id: ConnId, head: &crate::proto::http::Head<'_>) -> Client {
        let request = self.conns.get(id).and_then(|conn| conn.request.as_ref());
        let unknown = IpAddr::from([0, 0, 0, 0]);
        let peer = request.map_or(unknown, |request| request.peer);
        let trusted = &self.live.options.trusted;
        let forwarded_for = head.all("x-forwarded-for");
        crate::proto::forwarded::client(peer, trusted, forwarded_for, head.field("x-real-ip"))
    }
}
