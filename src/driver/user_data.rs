//! The 64 bits that travel with an operation through the kernel.
//!
//! Layout, high to low: 8 bits of kind, 24 bits of generation (or a small index), 32 bits of slot,
//! token or index. A reused slot has another generation, so a completion that comes late is told
//! apart from one of the slot's new owner.

use super::contract::ConnId;

/// What an operation was, and for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserData {
    /// An operation whose outcome changes nothing: a cancel, a doorbell sent.
    Ignored,
    /// One receive.
    Receive(ConnId),
    /// The watch for the peer's hang-up.
    HangUp(ConnId),
    /// The watch for room in the send buffer.
    Writable(ConnId),
    /// A close.
    Close(ConnId),
    /// A send; the token is the caller's.
    Send {
        /// `Outgoing::token`.
        token: u32,
    },
    /// One accept.
    Accept {
        /// Index of the listener.
        listener: u8,
        /// Where the kernel writes the peer's address.
        address: u16,
    },
    /// A shutdown of the descriptor with this index in the completing ring.
    Shutdown {
        /// Descriptor index.
        index: u32,
    },
    /// A doorbell rung by another ring.
    Doorbell,
    /// An alarm that has gone off.
    Alarm,
    /// A plain descriptor made of the direct one with this index.
    Install {
        /// Descriptor index.
        index: u32,
    },
    /// The eventfd of a further ring of the same worker.
    Sibling {
        /// Index of that ring.
        ring: u8,
    },
    /// A socket being made (the client half).
    Open {
        /// Descriptor index.
        index: u32,
    },
    /// A connect (the client half).
    Connect {
        /// Descriptor index.
        index: u32,
    },
    /// A repeating receive (the client half).
    Stream {
        /// Descriptor index.
        index: u32,
    },
    /// A close (the client half).
    Hang {
        /// Descriptor index.
        index: u32,
    },
}

const IGNORED: u64 = 0;
const RECEIVE: u64 = 1;
const HANG_UP: u64 = 2;
const WRITABLE: u64 = 3;
const CLOSE: u64 = 4;
const SEND: u64 = 5;
const ACCEPT: u64 = 6;
const SHUTDOWN: u64 = 7;
const DOORBELL: u64 = 8;
const SIBLING: u64 = 9;
const OPEN: u64 = 10;
const CONNECT: u64 = 11;
const STREAM: u64 = 12;
const HANG: u64 = 13;
const ALARM: u64 = 14;
const INSTALL: u64 = 15;

const fn join(kind: u64, middle: u32, low: u32) -> u64 {
    kind << 56 | ((middle & ConnId::GENERATION_MASK) as u64) << 32 | low as u64
}

impl UserData {
    /// As the kernel carries it. Of a generation the low 24 bits are kept.
    pub const fn pack(self) -> u64 {
        match self {
            Self::Ignored => join(IGNORED, 0, 0),
            Self::Receive(id) => join(RECEIVE, id.generation, id.slot),
            Self::HangUp(id) => join(HANG_UP, id.generation, id.slot),
            Self::Writable(id) => join(WRITABLE, id.generation, id.slot),
            Self::Close(id) => join(CLOSE, id.generation, id.slot),
            Self::Send { token } => join(SEND, 0, token),
            Self::Accept { listener, address } => join(ACCEPT, listener as u32, address as u32),
            Self::Shutdown { index } => join(SHUTDOWN, 0, index),
            Self::Doorbell => join(DOORBELL, 0, 0),
            Self::Sibling { ring } => join(SIBLING, 0, ring as u32),
            Self::Open { index } => join(OPEN, 0, index),
            Self::Connect { index } => join(CONNECT, 0, index),
            Self::Stream { index } => join(STREAM, 0, index),
            Self::Hang { index } => join(HANG, 0, index),
            Self::Alarm => join(ALARM, 0, 0),
            Self::Install { index } => join(INSTALL, 0, index),
        }
    }

    /// Back from the kernel; `None` for bits that [`pack`](Self::pack) never made.
    #[allow(clippy::cast_possible_truncation)] // the fields are cut out of 64 bits on purpose
    pub const fn unpack(bits: u64) -> Option<Self> {
        let low = bits as u32;
        let middle = (bits >> 32) as u32 & ConnId::GENERATION_MASK;
        let id = ConnId { slot: low, generation: middle };
        Some(match bits >> 56 {
            IGNORED => Self::Ignored,
            RECEIVE => Self::Receive(id),
            HANG_UP => Self::HangUp(id),
            WRITABLE => Self::Writable(id),
            CLOSE => Self::Close(id),
            SEND => Self::Send { token: low },
            ACCEPT => Self::Accept { listener: middle as u8, address: low as u16 },
            SHUTDOWN => Self::Shutdown { index: low },
            DOORBELL => Self::Doorbell,
            SIBLING => Self::Sibling { ring: low as u8 },
            OPEN => Self::Open { index: low },
            CONNECT => Self::Connect { index: low },
            STREAM => Self::Stream { index: low },
            HANG => Self::Hang { index: low },
            ALARM => Self::Alarm,
            INSTALL => Self::Install { index: low },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_user_data() -> impl Strategy<Value = UserData> {
        let id = (any::<u32>(), 0..=ConnId::GENERATION_MASK)
            .prop_map(|(slot, generation)| ConnId { slot, generation });
        (0..16u8, id, any::<u32>(), any::<u8>(), any::<u16>()).prop_map(
            |(kind, id, token, small, address)| match kind {
                0 => UserData::Ignored,
                1 => UserData::Receive(id),
                2 => UserData::HangUp(id),
                3 => UserData::Writable(id),
                4 => UserData::Close(id),
                5 => UserData::Send { token },
                6 => UserData::Accept { listener: small, address },
                7 => UserData::Shutdown { index: token },
                8 => UserData::Doorbell,
                9 => UserData::Sibling { ring: small },
                10 => UserData::Open { index: token },
                11 => UserData::Connect { index: token },
                12 => UserData::Stream { index: token },
                13 => UserData::Alarm,
                14 => UserData::Install { index: token },
                _ => UserData::Hang { index: token },
            },
        )
    }

    proptest! {
        #[test]
        fn nothing_is_lost_on_the_way_through_the_kernel(data in any_user_data()) {
            prop_assert_eq!(UserData::unpack(data.pack()), Some(data));
        }

        #[test]
        fn two_operations_never_look_the_same(a in any_user_data(), b in any_user_data()) {
            prop_assert_eq!(a == b, a.pack() == b.pack());
        }

        #[test]
        fn foreign_bits_do_not_panic(bits in any::<u64>()) {
            let _ = UserData::unpack(bits);
        }
    }

    #[test]
    fn the_layout_is_the_written_one() {
        let id = ConnId { slot: 0xdead_beef, generation: 0x00ab_cdef };
        assert_eq!(UserData::Receive(id).pack(), 0x01ab_cdef_dead_beef);
        assert_eq!(UserData::Send { token: 7 }.pack(), 0x0500_0000_0000_0007);
        assert_eq!(UserData::Accept { listener: 2, address: 9 }.pack(), 0x0600_0002_0000_0009);
        assert_eq!(UserData::unpack(0xff00_0000_0000_0000), None);
    }

    #[test]
    fn a_long_generation_is_cut_and_does_not_spill_into_the_kind() {
        let long = ConnId { slot: 1, generation: 0xff00_0005 };
        let cut = ConnId { slot: 1, generation: 5 };
        assert_eq!(UserData::unpack(UserData::Close(long).pack()), Some(UserData::Close(cut)));
    }
}
