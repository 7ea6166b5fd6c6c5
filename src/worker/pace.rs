//! How much a worker takes on at once before others get their turn.

/// Bounds of a walk, an enter and a turn. The defaults are for the real kernel; a simulated run
/// draws small ones, so that a few streams meet every cut.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Topics with at most so many members are walked before all larger ones.
    pub small_members_max: usize,
    /// Entries read from the journal in one turn.
    pub read_max: usize,
    /// Most sends in one enter.
    pub sends_max: usize,
    /// Most sends in one enter while small work waits or is expected: half a millisecond.
    pub sends_max_shared: usize,
    /// Bytes of events in one send: coalescing wants a send buffer that holds this.
    pub run_bytes_max: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            small_members_max: 64,
            read_max: 2_048,
            sends_max: 512,
            sends_max_shared: 100,
            run_bytes_max: 48 * 1024,
        }
    }
}
