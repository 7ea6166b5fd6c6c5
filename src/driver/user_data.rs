//! What travels through the kernel with an operation: it names, it never points.

use super::contract::ConnId;

/// What an operation was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Op {
    Accept = 1,
    Receive,
    Send,
    Hangup,
    Writable,
    Close,
    /// Nobody waits for it: shutdown, cancel, message.
    Quiet,
    /// Another core rang.
    Bell,
    /// A sibling ring has completions.
    Sibling,
}

impl Op {
    fn from_bits(bits: u8) -> Option<Self> {
        const ALL: [Op; 9] = [
            Op::Accept,
            Op::Receive,
            Op::Send,
            Op::Hangup,
            Op::Writable,
            Op::Close,
            Op::Quiet,
            Op::Bell,
            Op::Sibling,
        ];
        ALL.into_iter().find(|op| *op as u8 == bits)
    }
}

/// Operation (8 bits), generation (24 bits), slot or token (32 bits).
pub(super) fn pack(op: Op, id: ConnId) -> u64 {
    let generation = u64::from(id.generation & ConnId::GENERATION_MASK);
    (op as u64) << 56 | generation << 32 | u64::from(id.slot)
}

/// An operation with a number instead of a connection.
pub(super) fn pack_number(op: Op, number: u32) -> u64 {
    pack(op, ConnId { slot: number, generation: 0 })
}

/// The operation and its connection; none for a value that is not ours.
pub(super) fn unpack(user_data: u64) -> Option<(Op, ConnId)> {
    let op = Op::from_bits(u8::try_from(user_data >> 56).ok()?)?;
    let generation = u32::try_from(user_data >> 32 & u64::from(ConnId::GENERATION_MASK)).ok()?;
    let slot = u32::try_from(user_data & u64::from(u32::MAX)).ok()?;
    Some((op, ConnId { slot, generation }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_comes_back() {
        for op in [Op::Accept, Op::Send, Op::Sibling] {
            for (slot, generation) in [(0, 0), (u32::MAX, 0), (0, 0x00ff_ffff), (7, 9)] {
                let id = ConnId { slot, generation };
                assert_eq!(unpack(pack(op, id)), Some((op, id)));
            }
        }
        assert_eq!(pack(Op::Receive, ConnId { slot: 5, generation: 3 }), 0x0200_0003_0000_0005);
        assert_eq!(unpack(0), None);
        assert_eq!(unpack(u64::MAX), None);
    }
}
