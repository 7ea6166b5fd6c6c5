//! One entry of the table of keys, and the macros that write the table.
//!
//! A key is written once, in `settings.rs` or `rows.rs`: its name, type, default, limits, variables
//! and documentation. The typed tree, every reader and every page are made from that.

use super::kind::Kind;

/// One key.
#[derive(Debug)]
pub struct Key {
    /// With its sections: `limits.per_user`.
    pub name: &'static str,
    /// What it is, in one paragraph of Markdown.
    pub doc: &'static str,
    /// Which values it takes.
    pub kind: Kind,
    /// Its default, as it would stand in a variable.
    pub default: &'static str,
    /// When a new value counts.
    pub force: Force,
    /// Variables with names of their own, beside `RINGCAST_...`.
    pub variables: &'static [(&'static str, Reading)],
}

/// Keys that stand together.
#[derive(Debug)]
pub(in crate::config) struct Section {
    pub(in crate::config) path: &'static str,
    /// What they are about.
    pub about: &'static str,
    /// In the order of pages.
    pub keys: &'static [Key],
}

impl Section {
    /// `limits.connect_rate`; empty for the keys at the top.
    #[must_use]
    pub(in crate::config) fn name(&self) -> &'static str {
        self.path.trim_end_matches('.')
    }
}

/// When a new value of a key counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// With the next SIGHUP.
    Reload,
    /// With the next start.
    Restart,
    /// Not in this version: the value is checked and kept, nothing reads it yet.
    Later,
}

/// How the text of a variable with a name of its own is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Like a value after `--set`.
    Plain,
    /// As `parseInt(x) || default` reads a number.
    ParseInt,
    /// Only the exact text `true` switches it on.
    ExactTrue,
    /// A port, on all interfaces; else like [`Reading::ParseInt`].
    Port,
    /// The only entry of a table, with an empty name.
    OnlyEntry,
}

impl Key {
    /// Its variable: `RINGCAST_LIMITS__PER_USER`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("RINGCAST_{}", self.name.replace('.', "__").to_ascii_uppercase())
    }

    /// Its value must never be shown.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.kind.is_secret()
    }
}

/// Where a typed part of the settings finds its values.
pub(super) trait Lookup {
    /// The value of a key.
    fn get(&self, name: &str) -> Option<&super::value::Value>;
    /// The rows of a table of rows, each with all its columns.
    fn rows(&self, _table: super::rows::Table) -> Vec<super::values::FullRow> {
        Vec::new()
    }
}

/// A part of the settings made from values. None: the table says another type than the tree.
pub(super) trait Build: Sized {
    fn build(values: &dyn Lookup) -> Option<Self>;
}

/// Writes one section: the typed struct, its part of the table, and the way from one to the other.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $name:ident at $path:literal => $keys:ident {
            $(
                $(#[doc = $doc:literal])+
                $field:ident: $type:ty = $default:literal, $kind:expr, $force:expr
                    $(, [$($variable:expr),+])?;
            )*
        }
        $(nested { $($(#[doc = $part_doc:literal])+ $part:ident: $part_type:ty),* $(,)? })?
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $($(#[doc = $doc])+ pub $field: $type,)*
            $($($(#[doc = $part_doc])+ pub $part: $part_type,)*)?
        }

        pub(super) const $keys: $crate::config::key::Section = $crate::config::key::Section {
            path: $path,
            about: concat!($($about),+),
            keys: &[
                $($crate::config::key::Key {
                    name: concat!($path, stringify!($field)),
                    doc: concat!($($doc),+),
                    kind: $kind,
                    default: $default,
                    force: $force,
                    variables: &[$($($variable),+)?],
                }),*
            ],
        };

        impl $crate::config::key::Build for $name {
            fn build(values: &dyn $crate::config::key::Lookup) -> Option<Self> {
                Some(Self {
                    $($field: <$type as $crate::config::value::Field>::take(
                        values.get(concat!($path, stringify!($field)))?
                    )?,)*
                    $($($part: <$part_type as $crate::config::key::Build>::build(values)?,)*)?
                })
            }
        }
    };
}

/// Writes a choice between names.
macro_rules! choice {
    (
        $(#[doc = $about:literal])+
        $name:ident { $($(#[doc = $doc:literal])+ $variant:ident = $text:literal),+ $(,)? }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name {
            $($(#[doc = $doc])+ $variant),+
        }

        impl $name {
            pub(in crate::config) const NAMES: &'static [&'static str] = &[$($text),+];

            /// As it is written.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text),+
                }
            }
        }

        impl $crate::config::value::Field for $name {
            fn take(value: &$crate::config::value::Value) -> Option<Self> {
                match value.text()? {
                    $($text => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

pub(super) use {choice, section};
