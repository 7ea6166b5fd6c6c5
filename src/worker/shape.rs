//! What is done to published data before it is encoded, by the namespace of its channel.

use std::borrow::Cow;

use ring::rand::{SecureRandom, SystemRandom};

use crate::auth::iron::{self, IronKeys, RANDOM_BYTES};
use crate::proto::channel::USER;
use crate::proto::envelope::{Envelope, Facts};
use crate::proto::http::Problem;
use crate::proto::prefixes::ByPrefix;
use crate::proto::publish::Command;

/// What is done to the data of a namespace's channels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shape {
    /// What is around it.
    pub envelope: Envelope,
    /// It is sealed, for every reader alike.
    pub seal: bool,
}

/// The shapes of all channels, and the keys of sealed ones.
#[derive(Debug, Clone)]
pub struct Shapes {
    by_prefix: ByPrefix<Shape>,
    keys: IronKeys,
    /// Every channel's data stays as it was published.
    plain: bool,
}

impl Default for Shapes {
    fn default() -> Self {
        Self::new(ByPrefix::default(), IronKeys::none())
    }
}

impl Shapes {
    /// Shapes by the beginning of a channel's name. Without keys nothing can be sealed: a publish
    /// that asks for it is refused.
    #[must_use]
    pub fn new(by_prefix: ByPrefix<Shape>, keys: IronKeys) -> Self {
        let plain = by_prefix.values().all(|shape| *shape == Shape::default());
        Self { by_prefix, keys, plain }
    }

    /// The data as readers get it.
    ///
    /// An event of several channels is one block for all its readers: the first channel says what
    /// is around it, and it is sealed if any of them is; a pattern counts as all it can match. `id`
    /// names a notification that brings none; without it a name is drawn.
    pub(super) fn apply<'c>(
        &self,
        command: &'c Command,
        unix_ms: u64,
        id: Option<&str>,
    ) -> Result<Cow<'c, str>, Problem> {
        let data = Cow::Borrowed(&*command.data);
        let pattern = command.pattern.as_ref().map(|pattern| pattern.literal_prefix());
        let first = command.channels.first().map(String::as_str).or(pattern);
        let Some(first) = first.filter(|_| !self.plain) else { return Ok(data) };
        let envelope = self.by_prefix.lookup(first).envelope;
        let data = if envelope == Envelope::Raw {
            data
        } else {
            let drawn = if id.is_none() { name()? } else { String::new() };
            let (id, event) = (id.unwrap_or(&drawn), command.event.as_deref());
            let told = command.pattern.as_ref().filter(|_| command.channels.is_empty());
            let channel = told.map_or(first, |pattern| pattern.as_str());
            let facts = Facts { channel, event, id, now_unix_ms: unix_ms };
            let wrapped = envelope.wrap(&command.data, &facts);
            wrapped.map_err(|error| Problem::new(400, "bad-envelope", error.to_string()))?
        };
        let mut inside = pattern.into_iter().flat_map(|prefix| self.by_prefix.overlapping(prefix));
        if command.channels.iter().any(|name| self.by_prefix.lookup(name).seal)
            || inside.any(|shape| shape.seal)
        {
            return self.seal(&data, unix_ms).map(Cow::Owned);
        }
        Ok(data)
    }

    /// Channels of users that get a copy of their own, because what is around it names the user.
    /// None where it goes to one channel only.
    pub(super) fn own_copies(&self, command: &Command) -> Vec<String> {
        if self.plain || command.channels.len() + usize::from(command.pattern.is_some()) < 2 {
            return Vec::new();
        }
        let is_own = |name: &&String| {
            name.starts_with(USER) && self.by_prefix.lookup(name).envelope == Envelope::Typed
        };
        command.channels.iter().filter(is_own).cloned().collect()
    }

    fn seal(&self, data: &str, unix_ms: u64) -> Result<String, Problem> {
        let json = iron::payload(data, unix_ms);
        iron::seal(&json, &self.keys, &random::<RANDOM_BYTES>()?, None).map_err(|error| {
            Problem::new(503, "seal", error.to_string())
                .hint("SSE_ENCRYPTION_KEY is the key that seals the data of this channel")
        })
    }
}

/// Names a notification that brings no id.
pub(super) fn name() -> Result<String, Problem> {
    use std::fmt::Write;
    let mut name = String::new();
    for byte in random::<16>()? {
        let _ = write!(name, "{byte:02x}");
    }
    Ok(name)
}

fn random<const N: usize>() -> Result<[u8; N], Problem> {
    let mut bytes = [0; N];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| Problem::new(503, "random", "the kernel gives no random numbers"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "a password of at least thirty-two characters";

    fn command(channels: &[&str], data: &str) -> Command {
        let mut command = Command::new();
        for name in channels {
            command.target(name).expect("a name");
        }
        data.clone_into(&mut command.data);
        command
    }

    fn shapes(keys: IronKeys) -> Shapes {
        let canal = Shape { envelope: Envelope::CanalJson, seal: false };
        let sealed = Shape { envelope: Envelope::Raw, seal: true };
        let all = [("canal:", canal), ("secret:", sealed)];
        Shapes::new(ByPrefix::new(all, Shape::default()), keys)
    }

    #[test]
    fn the_first_channel_says_what_is_around_it_and_any_seals() {
        let shapes = shapes(IronKeys::single(KEY).expect("long enough"));
        let of = |channels: &[&str]| {
            shapes.apply(&command(channels, "hi"), 0, None).expect("shaped").into_owned()
        };
        assert_eq!(of(&["x", "canal:a"]), "hi");
        let around = of(&["canal:a", "x"]);
        assert!(around.starts_with(r#"{"canal":"canal:a","mensagem":"hi""#), "{around}");
        let sealed = of(&["x", "secret:a"]);
        let keys = IronKeys::single(KEY).expect("long enough");
        let opened = iron::unseal(&sealed, &keys, 0).expect("sealed");
        assert_eq!(opened, r#"{"data":"hi","timestamp":0}"#);
        assert_ne!(of(&["secret:a"]), of(&["secret:a"]), "salts are drawn anew");
    }

    #[test]
    fn a_pattern_is_sealed_if_anything_inside_it_is() {
        let shapes = shapes(IronKeys::none());
        let of = |pattern: &str| {
            let mut command = command(&[], "hi");
            command.option("pattern", pattern).expect("a pattern");
            shapes.apply(&command, 0, None).map(Cow::into_owned).map_err(|problem| problem.status)
        };
        assert_eq!(of("open.*"), Ok("hi".to_owned()));
        for pattern in ["**", "secret:a.*", "secret:a.**"] {
            assert!(of(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn users_of_notifications_get_copies_of_their_own() {
        let typed = Shape { envelope: Envelope::Typed, seal: false };
        let shapes =
            Shapes::new(ByPrefix::new([("user:", typed)], Shape::default()), IronKeys::none());
        let own = |channels: &[&str]| shapes.own_copies(&command(channels, "hi"));
        assert_eq!(own(&["user:a"]), [""; 0]);
        assert_eq!(own(&["user:a", "x", "user:b"]), ["user:a", "user:b"]);
        assert_eq!(Shapes::default().own_copies(&command(&["user:a", "user:b"], "")), [""; 0]);
    }

    #[test]
    fn nothing_leaves_open_that_should_be_sealed() {
        let shapes = shapes(IronKeys::none());
        let refused = shapes.apply(&command(&["secret:a"], "hi"), 0, None).expect_err("no key");
        assert_eq!(refused.status, 503);
    }
}
