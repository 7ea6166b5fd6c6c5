//! Which operations of a connection the kernel still holds.

/// An operation that ends with a completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Operation {
    /// A receive through the shared buffers.
    Receive = 1,
    /// The watch for a peer that closes; armed once in a life.
    Hangup = 2,
    /// The watch for room in the send buffer.
    Writable = 4,
}

/// The set of armed operations. A socket is closed only when it is empty, because a descriptor
/// closed under an armed operation neither sends FIN nor frees its slot (io_uring keeps the file).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Armed(u8);

impl Armed {
    /// The kernel now holds `operation`. False if it already did.
    pub fn insert(&mut self, operation: Operation) -> bool {
        let fresh = !self.contains(operation);
        self.0 |= operation as u8;
        fresh
    }

    /// The kernel gave `operation` back.
    pub fn remove(&mut self, operation: Operation) {
        self.0 &= !(operation as u8);
    }

    /// The kernel holds `operation`.
    #[must_use]
    pub fn contains(self, operation: Operation) -> bool {
        self.0 & operation as u8 != 0
    }

    /// The kernel holds nothing.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_only_when_all_came_back() {
        let mut armed = Armed::default();
        assert!(armed.insert(Operation::Receive));
        assert!(!armed.insert(Operation::Receive));
        assert!(armed.insert(Operation::Hangup));
        armed.remove(Operation::Receive);
        assert!(!armed.is_empty());
        assert!(armed.contains(Operation::Hangup) && !armed.contains(Operation::Receive));
        armed.remove(Operation::Hangup);
        assert!(armed.is_empty());
    }
}
