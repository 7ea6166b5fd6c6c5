//! Names of connections: unguessable, so that whoever knows one was told it.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use ring::rand::SystemRandom;

const MAC_BYTES: usize = 16;
/// As long as the output of SHA-256 (RFC 2104 section 3).
const SECRET_BYTES: usize = 32;

/// Which connection of a node, in a life of that node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnectionRef {
    /// Index of the worker.
    pub worker: u16,
    /// Slot there.
    pub slot: u32,
    /// Generation of the slot.
    pub generation: u32,
}

/// Gives connections their names and reads these: `<worker>-<slot>-<generation>-<mac>`, numbers in
/// hexadecimal, `mac` the first 128 bits of HMAC-SHA256 over them in base64url, 22 characters. The
/// key lives as long as the process and those that take its streams over.
pub struct ConnectionNames {
    key: hmac::Key,
    secret: [u8; SECRET_BYTES],
}

impl fmt::Debug for ConnectionNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConnectionNames(***)")
    }
}

impl ConnectionNames {
    /// With a key of its own. None where the system has no randomness.
    #[must_use]
    pub fn generate() -> Option<Self> {
        let secret = ring::rand::generate::<[u8; SECRET_BYTES]>(&SystemRandom::new()).ok()?;
        Some(Self::of(secret.expose()))
    }

    /// Those of the process that this one goes on for.
    #[must_use]
    pub fn of(secret: [u8; SECRET_BYTES]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &secret), secret }
    }

    /// What [`ConnectionNames::of`] makes the same of. Whoever knows it can make names.
    #[must_use]
    pub fn secret(&self) -> [u8; SECRET_BYTES] {
        self.secret
    }

    /// The name of a connection.
    #[must_use]
    pub fn name(&self, of: ConnectionRef) -> String {
        let mut text = format!("{:x}-{:x}-{:x}-", of.worker, of.slot, of.generation);
        URL_SAFE_NO_PAD.encode_string(self.mac(of).to_be_bytes(), &mut text);
        text
    }

    /// The connection of this name; none for a text that is no name this node gave.
    #[must_use]
    pub fn read(&self, name: &str) -> Option<ConnectionRef> {
        let mut parts = name.splitn(4, '-');
        let of = ConnectionRef {
            worker: u16::from_str_radix(parts.next()?, 16).ok()?,
            slot: u32::from_str_radix(parts.next()?, 16).ok()?,
            generation: u32::from_str_radix(parts.next()?, 16).ok()?,
        };
        // Base64 decodes in groups of three.
        let mut room = [0; MAC_BYTES.next_multiple_of(3)];
        let len = URL_SAFE_NO_PAD.decode_slice(parts.next()?, &mut room).ok()?;
        let given = room.first_chunk().map(|first| u128::from_be_bytes(*first))?;
        // One comparison of 128 bits: its time does not tell how many of them are right.
        (len == MAC_BYTES && self.mac(of) ^ given == 0).then_some(of)
    }

    fn mac(&self, of: ConnectionRef) -> u128 {
        let mut text = [0; 10];
        text[..2].copy_from_slice(&of.worker.to_be_bytes());
        text[2..6].copy_from_slice(&of.slot.to_be_bytes());
        text[6..].copy_from_slice(&of.generation.to_be_bytes());
        let tag = hmac::sign(&self.key, &text);
        // HMAC-SHA256 has 32 bytes.
        tag.as_ref().first_chunk::<MAC_BYTES>().map_or(0, |first| u128::from_be_bytes(*first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_given_here_are_read() {
        let names = ConnectionNames::generate().unwrap();
        let of = ConnectionRef { worker: 3, slot: 0xdead_beef, generation: 77 };
        let name = names.name(of);
        assert_eq!(names.read(&name), Some(of));
        assert!(name.len() <= 64 && name.starts_with("3-deadbeef-4d-"), "{name}");
        assert_eq!(ConnectionNames::generate().unwrap().read(&name), None);
        for at in 0..name.len() {
            let mut changed = name.clone().into_bytes();
            changed[at] = if changed[at] == b'1' { b'2' } else { b'1' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(names.read(&changed), None, "{changed}");
        }
        for bad in ["", "-", "3-deadbeef-4d", "3-deadbeef-4d-", &name[..name.len() - 1], "a-b-c-d"]
        {
            assert_eq!(names.read(bad), None, "{bad}");
        }
        assert!(!format!("{names:?}").contains('['));
    }
}
