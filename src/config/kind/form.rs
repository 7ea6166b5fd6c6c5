//! Texts that must have a form.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::auth::claims::{ClaimPath, ClaimTest};

/// The form of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Anything without control characters.
    Any,
    /// IP address and port.
    Address,
    /// A web origin.
    Origin,
    /// A web origin, or `*`.
    OriginOrAny,
    /// An IP network, or one address.
    Network,
    /// A host name without port.
    Host,
    /// Where a claim stands.
    ClaimPath,
    /// A claim that says yes.
    ClaimTest,
    /// An `http` or `https` URL.
    Url,
    /// A name of letters, digits, `-`, `_` and `.`.
    Name,
    /// Path of a folder.
    Folder,
    /// A channel name in which `{...}` stands for a part of the path.
    Template,
}

impl Form {
    /// What to write, for people.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Any => "a text",
            Self::Address => "an address and port, like 127.0.0.1:8080 or [::]:8080",
            Self::Origin => "an origin, like https://example.org or http://localhost:3000",
            Self::OriginOrAny => "an origin, like https://example.org, or *",
            Self::Network => "a network or address, like 10.0.0.0/8 or ::1",
            Self::Host => "a host name without port, like ops.example.org",
            Self::ClaimPath => "a claim, like sub or user.id",
            Self::ClaimTest => "a claim to test, like admin or role=admin",
            Self::Url => "a URL, like https://example.org/check",
            Self::Name => "a plain name: letters, digits, '-', '_' and '.'",
            Self::Folder => "a folder",
            Self::Template => "a channel name, {part} for a part of the path",
        }
    }

    /// The text as it is kept. None: it has another form.
    pub(super) fn check(self, text: &str) -> Option<String> {
        if text.is_empty() || text.chars().any(char::is_control) {
            return None;
        }
        match self {
            Self::Any | Self::Folder => Some(text.to_owned()),
            Self::Address => text.parse::<SocketAddr>().ok().map(|address| address.to_string()),
            Self::OriginOrAny if text == "*" => Some(text.to_owned()),
            Self::Origin | Self::OriginOrAny => origin(text),
            Self::Network => network(text),
            Self::Host => host(text).then(|| text.to_ascii_lowercase()),
            Self::ClaimPath => ClaimPath::parse(text).map(|_| text.to_owned()),
            Self::ClaimTest => ClaimTest::parse(text).map(|_| text.to_owned()),
            Self::Url => url(text).then(|| text.to_owned()),
            Self::Name => {
                let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
                text.chars().all(good).then(|| text.to_owned())
            }
            Self::Template => {
                let plain = text.replace(['{', '}'], "");
                crate::proto::channel::check_name(&plain).ok().map(|()| text.to_owned())
            }
        }
    }
}

fn host(text: &str) -> bool {
    let name = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
    text.parse::<IpAddr>().is_ok() || text.chars().all(name)
}

/// Host, or `[v6]`, with an optional port.
fn authority(text: &str) -> Option<(&str, Option<u16>)> {
    let (name, port) = match text.strip_prefix('[') {
        Some(v6) => {
            let (inside, after) = v6.split_once(']')?;
            inside.parse::<std::net::Ipv6Addr>().ok()?;
            (text.get(..inside.len() + 2)?, after.strip_prefix(':'))
        }
        None => match text.rsplit_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        },
    };
    let good = !name.is_empty() && (name.starts_with('[') || host(name));
    let port = port.map(str::parse).transpose().ok()?;
    good.then_some((name, port))
}

/// As a browser writes it: lower case, without the port of the scheme and without a final slash.
fn origin(text: &str) -> Option<String> {
    let text = text.strip_suffix('/').unwrap_or(text).to_ascii_lowercase();
    let (scheme, rest) = text.split_once("://")?;
    let usual = match scheme {
        "http" => 80,
        "https" => 443,
        // Extensions and apps have origins of their own.
        _ if Form::Name.check(scheme).is_some() => 0,
        _ => return None,
    };
    let (name, port) = authority(rest)?;
    Some(match port.filter(|port| *port != usual) {
        Some(port) => format!("{scheme}://{name}:{port}"),
        None => format!("{scheme}://{name}"),
    })
}

fn network(text: &str) -> Option<String> {
    let single = text.parse::<IpAddr>().ok().map(IpNet::from);
    let network = single.or_else(|| text.parse::<IpNet>().ok())?;
    Some(network.trunc().to_string())
}

fn url(text: &str) -> bool {
    let rest = ["http://", "https://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let name = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    // As it stands in a request; what is not ASCII is percent-encoded by whoever writes it.
    name.and_then(authority).is_some() && text.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_kept_as_browsers_write_them() {
        for (text, kept) in [
            ("https://Example.ORG", "https://example.org"),
            ("https://example.org:443/", "https://example.org"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://[::1]:80", "http://[::1]"),
            ("moz-extension://abc", "moz-extension://abc"),
        ] {
            assert_eq!(Form::Origin.check(text).as_deref(), Some(kept), "{text}");
        }
        for text in
            ["null", "*", "example.org", "https://", "https://a/b", "https://a b", "http://a:x"]
        {
            assert_eq!(Form::Origin.check(text), None, "{text}");
        }
        assert!(Form::OriginOrAny.check("*").is_some());
    }

    #[test]
    fn the_other_forms() {
        for (form, good, bad) in [
            (Form::Address, "[::]:8080", "localhost:8080"),
            (Form::Network, "10.1.2.3/8", "10.0.0.0/33"),
            (Form::Network, "::1", "10.0.0"),
            (Form::Host, "ops.example.org", "ops.example.org:80"),
            (Form::ClaimPath, "user.id", ""),
            (Form::ClaimTest, "role=admin", "role="),
            (Form::Url, "https://example.org/a?b=c", "example.org"),
            (Form::Url, "http://[::1]:3000/a", "http://example.org/\u{fc}"),
            (Form::Name, "access_token", "a b"),
            (Form::Template, "{type}:{id}", "a b"),
        ] {
            assert!(form.check(good).is_some(), "{form:?} {good}");
            assert!(form.check(bad).is_none(), "{form:?} {bad}");
        }
        assert_eq!(Form::Network.check("10.1.2.3/8").as_deref(), Some("10.0.0.0/8"));
    }
}
