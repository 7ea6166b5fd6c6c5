//! The books of a run: what was published, what became of it, what must arrive where.

use std::collections::{BTreeMap, HashMap};

use super::flaw::Flaw;

/// What a publisher knows of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// No answer (yet): it may have been appended or not.
    Unknown,
    /// Acknowledged.
    Acked,
    /// Refused: certainly not appended.
    Refused,
}

/// One event as its publisher sees it. Every payload is unique.
#[derive(Debug)]
pub(crate) struct Publication {
    pub(crate) channel: usize,
    /// What it supersedes: earlier events of this key.
    pub(crate) key: Option<u8>,
    pub(crate) data: String,
    pub(crate) fate: Fate,
    /// The number in its id, once anybody has learned it.
    pub(crate) seq: Option<u64>,
    pub(crate) begun_us: u64,
    /// Highest id that had been acknowledged when its publish began.
    acked_before: u64,
    /// All must have it soon: nothing goes wrong any more.
    pub(crate) timely: bool,
    /// When anybody first knew that it was appended.
    pub(crate) known_us: Option<u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) channels: Vec<String>,
    pub(crate) publications: Vec<Publication>,
    by_data: HashMap<String, usize>,
    by_seq: BTreeMap<u64, usize>,
    epoch: Option<String>,
    acked_max: u64,
}

impl Ledger {
    pub(crate) fn new(channels: usize) -> Self {
        let channels = (0..channels).map(|n| format!("channel.{n}")).collect();
        Self { channels, ..Self::default() }
    }

    /// A publish begins. Returns its number.
    pub(crate) fn begin(&mut self, channel: usize, data: String, now_us: u64) -> usize {
        let number = self.publications.len();
        self.by_data.insert(data.clone(), number);
        self.publications.push(Publication {
            channel,
            key: None,
            data,
            fate: Fate::Unknown,
            seq: None,
            begun_us: now_us,
            acked_before: self.acked_max,
            timely: false,
            known_us: None,
        });
        number
    }

    /// A publish was acknowledged with this id.
    pub(crate) fn acknowledge(
        &mut self,
        client: usize,
        number: usize,
        id: &str,
    ) -> Result<(), Flaw> {
        let Some(seq) = self.seq_of(id) else {
            let data = self.publications[number].data.clone();
            return Err(Flaw::BadId { client, id: id.to_owned(), data });
        };
        self.identify(number, seq)?;
        let publication = &mut self.publications[number];
        publication.fate = Fate::Acked;
        let before = publication.acked_before;
        self.acked_max = self.acked_max.max(seq);
        if seq <= before { Err(Flaw::AckOrder { client, seq, before }) } else { Ok(()) }
    }

    pub(crate) fn refuse(&mut self, number: usize) {
        self.publications[number].fate = Fate::Refused;
    }

    /// A subscriber received an event. Returns the publication's number.
    pub(crate) fn receive(&mut self, client: usize, seq: u64, data: &str) -> Result<usize, Flaw> {
        let known = self.by_data.get(data).copied();
        match known.filter(|number| self.publications[*number].fate != Fate::Refused) {
            Some(number) => self.identify(number, seq).map(|()| number),
            None => {
                let data = data.chars().take(60).collect();
                Err(Flaw::NeverPublished { client, data })
            }
        }
    }

    /// The number in an id: one epoch for the whole run.
    pub(crate) fn seq_of(&mut self, id: &str) -> Option<u64> {
        let (epoch, digits) = id.split_once('-')?;
        let canonical = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
        let known = self.epoch.get_or_insert_with(|| epoch.to_owned());
        digits.parse().ok().filter(|_| canonical && known == epoch)
    }

    /// One event, one id, and the other way round.
    fn identify(&mut self, number: usize, seq: u64) -> Result<(), Flaw> {
        let publication = &mut self.publications[number];
        let one = *publication.seq.get_or_insert(seq);
        if one != seq {
            return Err(Flaw::TwoIds { data: publication.data.clone(), one, two: seq });
        }
        let owner = *self.by_seq.entry(seq).or_insert(number);
        if owner == number {
            return Ok(());
        }
        let data =
            format!("{} | {}", self.publications[owner].data, self.publications[number].data);
        Err(Flaw::TwoIds { data, one: seq, two: seq })
    }

    /// A later event of the same key is known.
    pub(crate) fn is_superseded(&self, seq: u64, publication: &Publication) -> bool {
        self.above(seq)
            .any(|(_, later)| (later.channel, later.key) == (publication.channel, publication.key))
    }

    /// Events of the log that lie above `after`, in order.
    pub(crate) fn above(&self, after: u64) -> impl Iterator<Item = (u64, &Publication)> {
        let range = (std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded);
        self.by_seq.range(range).map(|(seq, number)| (*seq, &self.publications[*number]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_event_has_one_id() {
        let mut ledger = Ledger::new(1);
        let (a, b) = (ledger.begin(0, "a".into(), 0), ledger.begin(0, "b".into(), 0));
        assert_eq!(ledger.acknowledge(0, a, "abcdefgh-5"), Ok(()));
        assert_eq!(ledger.receive(1, 5, "a"), Ok(a));
        assert!(matches!(ledger.receive(1, 6, "a"), Err(Flaw::TwoIds { one: 5, two: 6, .. })));
        assert!(matches!(ledger.receive(1, 5, "b"), Err(Flaw::TwoIds { .. })));
        ledger.refuse(b);
        assert!(matches!(ledger.receive(1, 7, "b"), Err(Flaw::NeverPublished { .. })));
        assert!(matches!(ledger.receive(1, 7, "c"), Err(Flaw::NeverPublished { .. })));
    }

    #[test]
    fn acknowledged_ids_rise_in_real_time_order() {
        let mut ledger = Ledger::new(1);
        let (a, b) = (ledger.begin(0, "a".into(), 0), ledger.begin(0, "b".into(), 0));
        assert_eq!(ledger.acknowledge(0, a, "abcdefgh-5"), Ok(()));
        let c = ledger.begin(0, "c".into(), 0);
        // b was under way while a was acknowledged: it may come before it.
        assert_eq!(ledger.acknowledge(0, b, "abcdefgh-3"), Ok(()));
        assert!(matches!(
            ledger.acknowledge(0, c, "abcdefgh-4"),
            Err(Flaw::AckOrder { seq: 4, before: 5, .. })
        ));
    }

    #[test]
    fn ids_of_another_epoch_or_spelling_are_none() {
        let mut ledger = Ledger::new(1);
        assert_eq!(ledger.seq_of("abcdefgh-12"), Some(12));
        for id in ["bbcdefgh-12", "abcdefgh-", "abcdefgh-012", "abcdefgh", "abcdefgh-1x", ""] {
            assert_eq!(ledger.seq_of(id), None, "{id}");
        }
    }
}
