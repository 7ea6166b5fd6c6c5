//! Values that have passed their kind's check, and how typed fields take them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use ipnet::IpNet;

use crate::journal::{Mode, Overflow};

/// A secret. Its debug text hides it; nothing here displays it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// Keeps a text secret.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// The value of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// The word of the kind that means "none" or "by itself".
    Unset,
    /// Yes or no.
    Switch(bool),
    /// A count, or an amount in the unit of the kind.
    Number(u64),
    /// A checked text.
    Text(String),
    /// Never shown.
    Secret(Secret),
    /// Checked texts.
    List(Vec<String>),
    /// Values by name.
    Map(BTreeMap<String, Self>),
}

impl Value {
    /// The text of a [`Value::Text`].
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number of a [`Value::Number`].
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The texts of a [`Value::List`]; none of any other value.
    #[must_use]
    pub fn list(&self) -> &[String] {
        match self {
            Self::List(list) => list,
            _ => &[],
        }
    }

    /// The entries of a [`Value::Map`], if it is one.
    #[must_use]
    pub fn map(&self) -> Option<&BTreeMap<String, Self>> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }
}

/// A typed field.
pub(super) trait Field: Sized {
    /// None: the value is of another type.
    fn take(value: &Value) -> Option<Self>;
}

impl Field for bool {
    fn take(value: &Value) -> Option<Self> {
        match value {
            Value::Switch(on) => Some(*on),
            _ => None,
        }
    }
}

impl Field for u64 {
    fn take(value: &Value) -> Option<Self> {
        value.number()
    }
}

impl Field for u32 {
    fn take(value: &Value) -> Option<Self> {
        Self::try_from(value.number()?).ok()
    }
}

impl Field for usize {
    fn take(value: &Value) -> Option<Self> {
        Self::try_from(value.number()?).ok()
    }
}

impl Field for String {
    fn take(value: &Value) -> Option<Self> {
        value.text().map(str::to_owned)
    }
}

impl Field for Secret {
    fn take(value: &Value) -> Option<Self> {
        match value {
            Value::Secret(secret) => Some(secret.clone()),
            _ => None,
        }
    }
}

impl<T: Field> Field for Option<T> {
    fn take(value: &Value) -> Option<Self> {
        if *value == Value::Unset { Some(None) } else { T::take(value).map(Some) }
    }
}

impl<T: Field> Field for BTreeMap<String, T> {
    fn take(value: &Value) -> Option<Self> {
        let entries = value.map()?.iter();
        entries.map(|(name, value)| Some((name.clone(), T::take(value)?))).collect()
    }
}

impl Field for Vec<String> {
    fn take(value: &Value) -> Option<Self> {
        match value {
            Value::List(list) => Some(list.clone()),
            _ => None,
        }
    }
}

impl Field for Vec<SocketAddr> {
    fn take(value: &Value) -> Option<Self> {
        value.list().iter().map(|text| text.parse().ok()).collect()
    }
}

impl Field for SocketAddr {
    fn take(value: &Value) -> Option<Self> {
        value.text()?.parse().ok()
    }
}

impl Field for Vec<IpNet> {
    fn take(value: &Value) -> Option<Self> {
        value.list().iter().map(|text| text.parse().ok()).collect()
    }
}

impl Field for Mode {
    fn take(value: &Value) -> Option<Self> {
        match value.text()? {
            "log" => Some(Self::Log),
            "latest" => Some(Self::Latest),
            _ => None,
        }
    }
}

impl Field for Overflow {
    fn take(value: &Value) -> Option<Self> {
        match value.text()? {
            "disconnect" => Some(Self::Disconnect),
            "skip" => Some(Self::Skip),
            "conflate" => Some(Self::Conflate),
            _ => None,
        }
    }
}
