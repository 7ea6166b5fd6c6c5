//! Is a stream whole: every event once, in order, ids rising?
//!
//! Lines end with LF or CRLF (the standard's lone CR is not written by any server we know).

use smallvec::SmallVec;

use super::payload::{self, Reading};

/// What a checker needs to know of the run.
#[derive(Debug, Clone, Copy)]
pub struct Course {
    /// The run's mark in each payload.
    pub run: u32,
    /// Bytes of each event's data.
    pub data_bytes: usize,
    /// Channels of the run.
    pub channels: usize,
    /// Units events go round over; see [`Plan::units`](super::Plan::units).
    pub units: u64,
}

/// What streams have read and what was wrong with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Findings {
    /// Events of this run, each counted once per stream.
    pub received: u64,
    /// Events read a second time.
    pub duplicates: u64,
    /// Events that came after a later one.
    pub out_of_order: u64,
    /// Ids of the form `name-number` that did not rise.
    pub ids_not_rising: u64,
    /// Events of this run that are damaged or belong to another channel.
    pub corrupt: u64,
    /// Events of others.
    pub foreign: u64,
    /// `sse.gap` events.
    pub gaps: u64,
    /// `sse.bye` events.
    pub byes: u64,
}

impl Findings {
    /// Adds another's.
    pub fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.duplicates += other.duplicates;
        self.out_of_order += other.out_of_order;
        self.ids_not_rising += other.ids_not_rising;
        self.corrupt += other.corrupt;
        self.foreign += other.foreign;
        self.gaps += other.gaps;
        self.byes += other.byes;
    }
}

/// A hole: these numbers of a lane have not come.
#[derive(Debug, Clone, Copy)]
struct Hole {
    lane: usize,
    from: u64,
    until: u64,
}

/// Follows one stream.
#[derive(Debug, Default)]
pub struct Checker {
    /// Per lane (a unit of the stream's channel): how many events have been passed.
    next: SmallVec<[u64; 1]>,
    holes: Vec<Hole>,
    /// The last id; what stands behind its last `-`, if that is a number.
    last_id: SmallVec<[u8; 24]>,
    last_number: Option<u64>,
    /// It was told of a gap.
    told: bool,
    /// An unfinished block.
    carry: Vec<u8>,
}

#[derive(Debug, Default)]
struct Block<'a> {
    data: Option<&'a [u8]>,
    id: &'a [u8],
    event: &'a [u8],
}

impl<'a> Block<'a> {
    fn take(&mut self, line: &'a [u8]) {
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match &line[..colon] {
            b"data" => self.data = Some(value),
            b"id" => self.id = value,
            b"event" => self.event = value,
            _ => {}
        }
    }
}

impl Checker {
    /// Takes the next bytes of the stream of `channel`. `on_event` is told the publish time of
    /// each event of this run that was not seen before.
    pub fn feed(
        &mut self,
        input: &[u8],
        course: &Course,
        channel: usize,
        findings: &mut Findings,
        on_event: &mut dyn FnMut(u64),
    ) {
        if self.carry.is_empty() {
            let used = self.take_blocks(input, course, channel, findings, on_event);
            self.carry.extend_from_slice(&input[used..]);
        } else {
            let mut carry = std::mem::take(&mut self.carry);
            carry.extend_from_slice(input);
            let used = self.take_blocks(&carry, course, channel, findings, on_event);
            carry.drain(..used);
            self.carry = carry;
        }
    }

    /// Runs all complete blocks; the bytes used.
    fn take_blocks(
        &mut self,
        bytes: &[u8],
        course: &Course,
        channel: usize,
        findings: &mut Findings,
        on_event: &mut dyn FnMut(u64),
    ) -> usize {
        let (mut used, mut start) = (0, 0);
        let mut block = Block::default();
        for end in memchr::memchr_iter(b'\n', bytes) {
            let line = &bytes[start..end];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            start = end + 1;
            if line.is_empty() {
                self.dispatch(&block, course, channel, findings, on_event);
                block = Block::default();
                used = start;
            } else {
                block.take(line);
            }
        }
        used
    }

    fn dispatch(
        &mut self,
        block: &Block<'_>,
        course: &Course,
        channel: usize,
        findings: &mut Findings,
        on_event: &mut dyn FnMut(u64),
    ) {
        let Some(data) = block.data else { return };
        match block.event {
            b"sse.gap" => {
                findings.gaps += 1;
                self.told = true;
            }
            b"sse.bye" => findings.byes += 1,
            event if event.starts_with(b"sse.") => {}
            _ => match payload::read(data, course.run, course.data_bytes) {
                Reading::Foreign => findings.foreign += 1,
                Reading::Corrupt => findings.corrupt += 1,
                Reading::Ours(payload) => {
                    if self.take_number(payload.number, course, channel, findings) {
                        on_event(payload.time_ns);
                    }
                }
            },
        }
        self.take_id(block.id, findings);
    }

    /// Notes an event; true if it had not come before.
    fn take_number(
        &mut self,
        number: u64,
        course: &Course,
        channel: usize,
        findings: &mut Findings,
    ) -> bool {
        let unit = usize::try_from(number % course.units).unwrap_or(usize::MAX);
        if unit % course.channels != channel {
            findings.corrupt += 1;
            return false;
        }
        let (lane, turn) = (unit / course.channels, number / course.units);
        if self.next.len() <= lane {
            self.next.resize(lane + 1, 0);
        }
        let next = self.next[lane];
        if turn >= next {
            if turn > next {
                self.holes.push(Hole { lane, from: next, until: turn });
            }
            self.next[lane] = turn + 1;
            findings.received += 1;
            return true;
        }
        if self.fill(lane, turn) {
            findings.out_of_order += 1;
            findings.received += 1;
            return true;
        }
        findings.duplicates += 1;
        false
    }

    /// Takes a number out of the holes; false if it stands in none.
    fn fill(&mut self, lane: usize, turn: u64) -> bool {
        let inside = |hole: &Hole| hole.lane == lane && (hole.from..hole.until).contains(&turn);
        let Some(at) = self.holes.iter().position(inside) else { return false };
        let hole = self.holes.swap_remove(at);
        for (from, until) in [(hole.from, turn), (turn + 1, hole.until)] {
            if from < until {
                self.holes.push(Hole { lane, from, until });
            }
        }
        true
    }

    fn take_id(&mut self, id: &[u8], findings: &mut Findings) {
        if id.is_empty() {
            return;
        }
        let number = number_of(id);
        // Numbers of different logs are not compared.
        let name = |id: &[u8]| memchr::memrchr(b'-', id);
        let same_log = name(id) == name(&self.last_id)
            && name(id).is_some_and(|at| id[..at] == self.last_id[..at]);
        let rises = number.zip(self.last_number).is_none_or(|(new, last)| new > last);
        findings.ids_not_rising += u64::from(same_log && !rises);
        self.last_id.clear();
        self.last_id.extend_from_slice(id);
        self.last_number = number;
    }

    /// The cursor of a reconnect: the last id; empty before the first.
    #[must_use]
    pub fn last_id(&self) -> &[u8] {
        &self.last_id
    }

    /// A new connection goes on where the last one was; half a block of that one is void.
    pub fn reconnect(&mut self) {
        self.carry = Vec::new();
    }

    /// It was told that events are missing.
    #[must_use]
    pub fn was_told(&self) -> bool {
        self.told
    }

    /// How many of the published events have not come. `published` says how many there were in a
    /// unit, `failed` names those (sorted) whose publish failed: they may come or not.
    #[must_use]
    pub fn lost(&self, course: &Course, channel: usize, published: &[u64], failed: &[u64]) -> u64 {
        let units = (channel..published.len()).step_by(course.channels);
        let tails = units.enumerate().map(|(lane, unit)| Hole {
            lane,
            from: self.next.get(lane).copied().unwrap_or(0),
            until: published[unit],
        });
        let mut lost = 0;
        for hole in self.holes.iter().copied().chain(tails) {
            lost += hole.until.saturating_sub(hole.from);
            let unit = (hole.lane * course.channels + channel) as u64;
            let number = |turn: u64| turn * course.units + unit;
            let from = failed.partition_point(|failed| *failed < number(hole.from));
            let failures = failed[from..].iter().take_while(|failed| **failed < number(hole.until));
            lost -= failures.filter(|failed| **failed % course.units == unit).count() as u64;
        }
        lost
    }
}

/// The number at the end of an id of the form `name-number`.
fn number_of(id: &[u8]) -> Option<u64> {
    let at = memchr::memrchr(b'-', id)?;
    std::str::from_utf8(&id[at + 1..]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
