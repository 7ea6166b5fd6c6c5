//! Notifications.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{EnvelopeError, Facts, iso8601, to_json};

const PRIORITIES: [&str; 3] = ["low", "medium", "high"];
const USER: &str = "user:";

/// Known members, in the order in which they are written; below, their places.
const KNOWN: [&str; 8] =
    ["id", "userId", "type", "title", "message", "data", "timestamp", "priority"];
const ID: usize = 0;
const USER_ID: usize = 1;
const TYPE: usize = 2;
const TITLE: usize = 3;
const MESSAGE: usize = 4;
const DATA: usize = 5;
const TIMESTAMP: usize = 6;
const PRIORITY: usize = 7;

/// A notification's members as JSON texts.
#[derive(Default)]
struct Notification<'d> {
    known: [Option<Cow<'d, str>>; KNOWN.len()],
    /// Name and value, in the publisher's order.
    others: Vec<(Cow<'d, str>, &'d str)>,
}

pub(super) fn wrap(data: &str, facts: &Facts<'_>) -> Result<String, EnvelopeError> {
    let mut notification = Notification::read(data)?;
    notification.check()?;
    notification.complete(facts);
    Ok(notification.write())
}

impl<'d> Notification<'d> {
    fn read(data: &'d str) -> Result<Self, EnvelopeError> {
        let text = data.trim();
        let is_container = text.starts_with(['{', '[']);
        let Some(json) =
            is_container.then(|| serde_json::from_str::<&RawValue>(text).ok()).flatten()
        else {
            return Ok(Self::of(MESSAGE, to_json(data).into()));
        };
        match serde_json::from_str::<Members<'d>>(text) {
            Ok(members) if members.has("title") || members.has("message") => {
                members.into_notification()
            }
            _ => Ok(Self::of(DATA, json.get().into())),
        }
    }

    fn of(member: usize, json: Cow<'d, str>) -> Self {
        let mut notification = Self::default();
        notification.known[member] = Some(json);
        notification
    }

    fn check(&mut self) -> Result<(), EnvelopeError> {
        for member in [TYPE, TITLE, MESSAGE] {
            if self.known[member].as_ref().is_some_and(|json| !json.starts_with('"')) {
                return Err(EnvelopeError::NoText(KNOWN[member]));
            }
        }
        if let Some(json) = &self.known[PRIORITY] {
            let priority: String = serde_json::from_str(json).unwrap_or_default();
            if !PRIORITIES.contains(&priority.as_str()) {
                return Err(EnvelopeError::Priority);
            }
        }
        if let Some(json) = self.known[TIMESTAMP].as_ref().filter(|json| !json.starts_with('"')) {
            let unix_ms = json.parse().map_err(|_| EnvelopeError::Timestamp)?;
            self.known[TIMESTAMP] = Some(to_json(&iso8601(unix_ms)).into());
        }
        Ok(())
    }

    fn complete(&mut self, facts: &Facts<'_>) {
        if let Some(user) = facts.channel.strip_prefix(USER) {
            self.known[USER_ID] = Some(to_json(user).into());
        }
        let now = iso8601(facts.now_unix_ms);
        let texts = [
            (ID, facts.id),
            (TYPE, facts.event.unwrap_or("message")),
            (TITLE, ""),
            (MESSAGE, ""),
            (TIMESTAMP, &now),
        ];
        for (member, text) in texts {
            self.known[member].get_or_insert_with(|| to_json(text).into());
        }
        self.known[USER_ID].get_or_insert(Cow::Borrowed("null"));
    }

    fn write(&self) -> String {
        let mut out = String::from("{");
        let known = KNOWN.iter().zip(&self.known);
        for (name, json) in known.filter_map(|(name, json)| json.as_ref().map(|json| (name, json)))
        {
            push_member(&mut out, &to_json(name), json);
        }
        for (name, json) in &self.others {
            push_member(&mut out, &to_json(name), json);
        }
        out.push('}');
        out
    }
}

fn push_member(out: &mut String, name: &str, json: &str) {
    let comma = if out.len() > 1 { "," } else { "" };
    for part in [comma, name, ":", json] {
        out.push_str(part);
    }
}

/// The members of an object, values not parsed.
struct Members<'d>(Vec<(Cow<'d, str>, &'d RawValue)>);

impl<'d> Members<'d> {
    fn has(&self, wanted: &str) -> bool {
        self.0.iter().any(|(name, _)| name == wanted)
    }

    fn into_notification(self) -> Result<Notification<'d>, EnvelopeError> {
        let mut notification = Notification::default();
        for (name, value) in self.0 {
            match KNOWN.iter().position(|known| *known == name) {
                // An optional member that is null is as good as absent.
                Some(DATA | PRIORITY) if value.get() == "null" => {}
                Some(member) if notification.known[member].is_some() => {
                    return Err(EnvelopeError::Twice(KNOWN[member]));
                }
                Some(member) => notification.known[member] = Some(value.get().into()),
                None => notification.others.push((name, value.get())),
            }
        }
        Ok(notification)
    }
}

impl<'d> Deserialize<'d> for Members<'d> {
    fn deserialize<D: Deserializer<'d>>(reader: D) -> Result<Self, D::Error> {
        struct All;

        impl<'d> Visitor<'d> for All {
            type Value = Members<'d>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'d>>(self, mut map: A) -> Result<Members<'d>, A::Error> {
                let mut members = Vec::new();
                while let Some(name) = map.next_key()? {
                    members.push((name, map.next_value()?));
                }
                Ok(Members(members))
            }
        }

        reader.deserialize_map(All)
    }
}
