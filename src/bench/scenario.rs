//! What is measured, and what a run of it does when the command line says nothing else.

use super::Rate;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// How fast streams open.
    Connect,
    /// What open streams cost while nothing happens.
    Idle,
    /// Events to many streams at once.
    Fanout,
    /// The same from many publishers, as fast as they are answered.
    Burst,
    /// Events to many channels of few streams each.
    Channels,
    /// Streams that open with a history to be read.
    Replay,
    /// All streams break off, miss events and come again with their ids.
    Storm,
    /// Events to single streams while others get broadcasts.
    Mixed,
    /// Some streams stop reading.
    Stall,
    /// How fast events are taken.
    Publish,
}

/// What a scenario does by itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Defaults {
    /// Streams.
    pub connections: usize,
    /// Channels they are spread over; in `mixed` those beside the broadcast's.
    pub channels: usize,
    /// Connections that publish.
    pub publishers: usize,
    /// When events are published.
    pub rate: Rate,
    /// Bytes of an event's data.
    pub data_bytes: usize,
    /// Events in all; in `replay` and `storm` those to be replayed.
    pub events: u64,
    /// Streams that stop reading, percent.
    pub stall_percent: u8,
    /// Streams that break off and come again, percent.
    pub reconnect_percent: u8,
}

impl Scenario {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Idle => "idle",
            Self::Fanout => "fanout",
            Self::Burst => "burst",
            Self::Channels => "channels",
            Self::Replay => "replay",
            Self::Storm => "storm",
            Self::Mixed => "mixed",
            Self::Stall => "stall",
            Self::Publish => "publish",
        }
    }

    /// What it does when the command line does not say.
    #[must_use]
    pub fn defaults(self) -> Defaults {
        let plain = Defaults {
            connections: 1_000,
            channels: 1,
            publishers: 1,
            rate: Rate::PerSecond(10.0),
            data_bytes: 128,
            events: 100,
            stall_percent: 0,
            reconnect_percent: 0,
        };
        match self {
            Self::Connect => Defaults { events: 0, ..plain },
            // One event at the end proves that every stream is still there.
            Self::Idle => Defaults { events: 1, ..plain },
            Self::Fanout => plain,
            Self::Burst => Defaults { publishers: 32, rate: Rate::Max, events: 300, ..plain },
            Self::Channels => Defaults {
                connections: 10_000,
                channels: 1_000,
                rate: Rate::PerSecond(2_000.0),
                events: 20_000,
                ..plain
            },
            Self::Replay => Defaults { rate: Rate::Max, ..plain },
            Self::Storm => Defaults { rate: Rate::Max, reconnect_percent: 100, ..plain },
            Self::Mixed => Defaults {
                connections: 10_000,
                channels: 50,
                rate: Rate::PerSecond(200.0),
                events: 4_000,
                ..plain
            },
            // More than the kernel holds for a stream that does not read.
            Self::Stall => Defaults {
                rate: Rate::Wait,
                data_bytes: 8_192,
                events: 500,
                stall_percent: 10,
                ..plain
            },
            Self::Publish => Defaults {
                connections: 1,
                publishers: 8,
                rate: Rate::Max,
                events: 200_000,
                ..plain
            },
        }
    }
}
