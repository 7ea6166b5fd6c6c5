//! What one subscriber has received, and what is due to it.

use std::collections::BTreeSet;

use super::super::flaw::Flaw;
use super::super::ledger::Publication;
use super::super::net::Net;
use super::stream::Block;

/// With nothing going wrong, an event arrives within this time, microseconds.
const LATE_US: u64 = 5_000_000;

/// From where on everything must arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Since {
    /// Nothing was promised yet.
    Never,
    /// Publishes that began after this moment.
    Moment(u64),
    /// The whole log.
    Beginning,
}

#[derive(Debug)]
pub(super) struct Account {
    /// Numbers of its channels; the broadcast is among them.
    channels: Vec<usize>,
    since: Since,
    last_seq: u64,
    received: BTreeSet<u64>,
    /// Ranges (above, up to) which a gap announced.
    excused: Vec<(u64, u64)>,
    /// When this stream began.
    begun_us: u64,
    said_bye: bool,
}

impl Account {
    pub(super) fn new(channels: Vec<usize>) -> Self {
        Self {
            channels,
            since: Since::Never,
            last_seq: 0,
            received: BTreeSet::new(),
            excused: Vec::new(),
            begun_us: 0,
            said_bye: false,
        }
    }

    /// A stream has begun: from here on, or from its id on, all is due.
    pub(super) fn begin(&mut self, now_us: u64, has_id: bool, from_earliest: bool) {
        self.begun_us = now_us;
        if !has_id && self.since != Since::Beginning {
            self.since = if from_earliest { Since::Beginning } else { Since::Moment(now_us) };
        }
    }

    pub(super) fn text(&self) -> String {
        let (received, bye) = (self.received.len(), self.said_bye);
        format!("last {}, {received} received, bye {bye}", self.last_seq)
    }

    /// Takes one event.
    ///
    /// # Errors
    /// Whatever the books do not know of it.
    pub(super) fn take(&mut self, net: &mut Net<'_>, block: &Block) -> Result<(), Flaw> {
        let client = net.client;
        match &*block.name {
            "" | "message" => {}
            "sse.gap" => return self.take_gap(net, block),
            "sse.bye" => {
                self.said_bye = true;
                return Ok(());
            }
            _ => return Err(Flaw::TornLine { client, line: block.name.clone() }),
        }
        let data: String = block.data.chars().take(40).collect();
        let seq = net.ledger.seq_of(&block.id).filter(|_| block.own_id);
        let Some(seq) = seq else { return Err(Flaw::BadId { client, id: block.id.clone(), data }) };
        if seq <= self.last_seq {
            return Err(Flaw::NotRising { client, seq, last: self.last_seq });
        }
        let number = net.ledger.receive(client, seq, &block.data)?;
        let now_us = net.now_us();
        let publication = &mut net.ledger.publications[number];
        let known_us = *publication.known_us.get_or_insert(now_us);
        if !self.channels.contains(&publication.channel) {
            let channel = net.ledger.channels[publication.channel].clone();
            return Err(Flaw::NotSubscribed { client, seq, channel });
        }
        let took_us = now_us - known_us.max(self.begun_us).min(now_us);
        if publication.timely && took_us > LATE_US {
            return Err(Flaw::Late { client, seq, took_us });
        }
        let channel = publication.channel;
        net.note("receives an event", seq, channel);
        self.last_seq = seq;
        self.received.insert(seq);
        Ok(())
    }

    fn take_gap(&mut self, net: &mut Net<'_>, block: &Block) -> Result<(), Flaw> {
        let client = net.client;
        let bad = || Flaw::NeedlessGap { client, data: block.data.clone() };
        if net.script.ample {
            return Err(bad());
        }
        let value: serde_json::Value = serde_json::from_str(&block.data).map_err(|_| bad())?;
        let upto = value["resumed_at"].as_str().and_then(|id| net.ledger.seq_of(id));
        net.note("is told of a gap", self.last_seq, 0);
        self.excused.push((self.last_seq, upto.ok_or_else(bad)?));
        Ok(())
    }

    fn is_due(&self, seq: u64, publication: &Publication) -> bool {
        self.channels.contains(&publication.channel)
            && match self.since {
                Since::Never => false,
                Since::Moment(from_us) => publication.begun_us >= from_us,
                Since::Beginning => true,
            }
            && !self.excused.iter().any(|(above, upto)| seq > *above && seq <= *upto)
    }

    /// Everything due has arrived. An event that was overtaken can no longer arrive.
    pub(super) fn is_complete(&self, net: &Net<'_>) -> Result<bool, Flaw> {
        let mut complete = true;
        for (seq, publication) in net.ledger.above(0) {
            let left_out = net.script.conflates && net.ledger.is_superseded(seq, publication);
            let due = self.is_due(seq, publication) && !left_out;
            if due && !self.received.contains(&seq) {
                // What supersedes it may be on its way still, unknown to the books.
                if seq < self.last_seq && !net.script.conflates {
                    let channel = net.ledger.channels[publication.channel].clone();
                    return Err(Flaw::Missing { client: net.client, seq, channel });
                }
                complete = false;
            }
        }
        Ok(complete)
    }
}
