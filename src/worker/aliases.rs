//! Paths of systems that ringcast stands in for.

use std::borrow::Cow;
use std::sync::Arc;

use super::Worker;
use super::admit::Entrance;
use super::pages::Shown;
use super::route::{Asked, Next, Query};
use crate::driver::{ConnId, Driver};
use crate::proto::http::Method;
use crate::proto::paths::{PathTemplate, Taken, fill};
use crate::proto::sse::Heartbeat;
use crate::proto::subscribe::is_channel_option;

/// What a path serves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Serves {
    /// A stream.
    #[default]
    Stream,
    /// The statistics.
    Stats,
    /// The state of the server.
    Health,
    /// Publishing.
    Publish,
}

/// Who may use a path; the fewer, the greater.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// As its page says.
    #[default]
    Default,
    /// Whoever has a valid token.
    Token,
    /// Admins.
    Admin,
}

/// A path of another system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// The path.
    pub path: PathTemplate,
    /// What it serves.
    pub serves: Serves,
    /// Channels of the stream, or targets of the publish, with parts of the path.
    pub channels: Vec<String>,
    /// The query may name channels.
    pub query_channels: bool,
    /// Option of the query that asks for the last events.
    pub last: Option<String>,
    /// Who may use it.
    pub access: Access,
    /// Heartbeats of its streams.
    pub heartbeat: Option<Heartbeat>,
    /// What the state of a good server is called.
    pub healthy: String,
}

impl Alias {
    /// The query that asks `/sse` for the same.
    fn query<'q>(&self, query: &'q Query<'_>, taken: &Taken) -> Query<'q> {
        let own = self
            .channels
            .iter()
            .map(|channel| (Cow::Borrowed("channel"), Cow::Owned(fill(channel, taken))));
        let asked =
            query.iter().filter(|(name, _)| self.query_channels || !is_channel_option(name));
        let asked = asked.map(|(name, value)| {
            let last = self.last.as_deref() == Some(&**name);
            let name = if last { "last" } else { &**name };
            (Cow::Borrowed(name), Cow::Borrowed(&**value))
        });
        own.chain(asked).collect()
    }
}

impl<D: Driver> Worker<D> {
    /// Answers at a path that is an alias; none where it is not.
    pub(super) fn alias(&mut self, id: ConnId, asked: &Asked<'_, '_>, path: &str) -> Option<Next> {
        let live = Arc::clone(&self.live);
        let all = live.options.aliases.iter();
        let (alias, taken) =
            all.into_iter().find_map(|alias| Some((alias, alias.path.take(path)?)))?;
        let head = asked.head;
        let get = matches!(head.method, Method::Get | Method::Head);
        Some(match alias.serves {
            Serves::Publish if head.method == Method::Post => {
                let target = alias.channels.first().map(|channel| fill(channel, &taken));
                self.publish(id, asked, target.as_deref())
            }
            Serves::Publish => self.not_allowed(id, head, "POST"),
            _ if !get => self.not_allowed(id, head, "GET, HEAD"),
            Serves::Stream => {
                let query = alias.query(asked.query, &taken);
                let entrance = Entrance {
                    access: alias.access,
                    heartbeat: alias.heartbeat,
                    ..Entrance::default()
                };
                self.subscribe(id, &Asked { head, query: &query }, &entrance)
            }
            Serves::Stats | Serves::Health => {
                let path = if alias.serves == Serves::Stats { "/stats" } else { "/health" };
                let healthy = &alias.healthy;
                self.answer_page(id, asked, Shown { path, access: alias.access, healthy })?
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_of_an_alias_names_its_channels_alone() {
        let mut alias = Alias {
            path: PathTemplate::parse("/r/{type}/{id}"),
            serves: Serves::Stream,
            channels: vec!["{type}:{id}".to_owned()],
            query_channels: false,
            last: Some("n".to_owned()),
            access: Access::Default,
            heartbeat: None,
            healthy: "ok".to_owned(),
        };
        let taken = alias.path.take("/r/A/7").unwrap();
        let pair = |name, value| (Cow::Borrowed(name), Cow::Borrowed(value));
        let query = vec![pair("n", "3"), pair("canal", "secret"), pair("token", "t")];
        let last = pair("last", "3");
        let token = pair("token", "t");
        let own = pair("channel", "A:7");
        assert_eq!(alias.query(&query, &taken), [own.clone(), last.clone(), token.clone()]);
        alias.query_channels = true;
        assert_eq!(alias.query(&query, &taken), [own, last, pair("canal", "secret"), token]);
    }
}
