//! A simulated subscriber: an EventSource that stalls, breaks off and comes again with its id.

use std::collections::BTreeSet;

use super::super::flaw::Flaw;
use super::super::ledger::Publication;
use super::super::link::LinkId;
use super::super::net::Net;
use super::answer::read_head;
use super::stream::{Block, StreamReader};

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
pub(crate) struct Subscriber {
    /// What it subscribes to, as it stands in the path.
    selectors: String,
    /// The same as numbers of channels; the broadcast is among them.
    channels: Vec<usize>,
    /// Patterns are not for everybody.
    tokened: bool,
    /// It asks for the whole history when it has no id.
    from_earliest: bool,
    link: Option<LinkId>,
    /// Open, but nothing was asked there yet: its worker can be asked without a turn of its own.
    spare: Option<LinkId>,
    /// The head of the answer, until it is whole.
    head: Option<Vec<u8>>,
    reader: StreamReader,
    since: Since,
    last_seq: u64,
    received: BTreeSet<u64>,
    /// Ranges (above, up to) which a gap announced.
    excused: Vec<(u64, u64)>,
    /// When this stream began.
    begun_us: u64,
    said_bye: bool,
    timer: u64,
    timing: Option<What>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Connect,
    ReadOn,
}

impl Subscriber {
    pub(crate) fn new(channels: &[String], ample: bool, rng: &mut fastrand::Rng) -> Self {
        let broadcast = channels.len() - 1;
        let mut wanted: Vec<usize> = (0..broadcast).filter(|_| rng.bool()).collect();
        if wanted.is_empty() {
            wanted.push(rng.usize(0..broadcast));
        }
        rng.shuffle(&mut wanted);
        let mut names: Vec<&str> = wanted.iter().map(|channel| &*channels[*channel]).collect();
        match rng.u8(0..6) {
            0 => {
                names = vec!["channel.*"];
                wanted = (0..broadcast).collect();
            }
            1 => {
                // Twice by two selectors: each event once all the same.
                names.push("channel.*");
                wanted = (0..broadcast).collect();
            }
            _ => {}
        }
        wanted.push(broadcast);
        Self {
            selectors: names.join(","),
            tokened: names.contains(&"channel.*") || rng.bool(),
            channels: wanted,
            from_earliest: ample && rng.u8(0..4) == 0,
            link: None,
            spare: None,
            head: None,
            reader: StreamReader::default(),
            since: Since::Never,
            last_seq: 0,
            received: BTreeSet::new(),
            excused: Vec::new(),
            begun_us: 0,
            said_bye: false,
            timer: 0,
            timing: None,
        }
    }

    /// It reads a stream.
    pub(crate) fn is_streaming(&self) -> bool {
        self.link.is_some() && self.head.is_none()
    }

    pub(crate) fn wake_in(&mut self, net: &mut Net<'_>, delay_us: u64) {
        self.wake(net, delay_us, What::Connect);
    }

    fn wake(&mut self, net: &mut Net<'_>, delay_us: u64, what: What) {
        self.timer += 1;
        self.timing = Some(what);
        net.wake_after(delay_us, self.timer);
    }

    pub(crate) fn timer(&mut self, net: &mut Net<'_>, token: u64) {
        if token != self.timer {
            return;
        }
        match (self.timing.take(), self.link) {
            (Some(What::Connect), None) => self.connect(net),
            (Some(What::ReadOn), Some(link)) => net.set_reading(link, true),
            _ => {}
        }
    }

    fn connect(&mut self, net: &mut Net<'_>) {
        let link = self.spare.take().unwrap_or_else(|| net.connect());
        if net.chance(net.script.spare) {
            self.spare = Some(net.connect());
        }
        self.link = Some(link);
        self.head = Some(Vec::new());
        let last_id = self.reader.last_id().to_owned();
        let query = if last_id.is_empty() && self.from_earliest { "?since=earliest" } else { "" };
        let field = if last_id.is_empty() {
            String::new()
        } else {
            format!("Last-Event-ID: {last_id}\r\n")
        };
        self.reader = StreamReader::after(&last_id);
        let selectors = &self.selectors;
        let token = match self.tokened {
            true => format!("Authorization: Bearer {}\r\n", net.script.token),
            false => String::new(),
        };
        let request =
            format!("GET /sse/{selectors}{query} HTTP/1.1\r\nHost: sim\r\n{token}{field}\r\n");
        net.write(link, request.as_bytes());
        self.misbehave(net, link);
    }

    /// Whatever a bad network and a bad client do.
    fn misbehave(&mut self, net: &mut Net<'_>, link: LinkId) {
        let faults = &net.kernel.faults;
        let (reset, close, half_close) = (faults.reset, faults.close, faults.half_close);
        let (chatter, stall, stall_us_max) = (faults.chatter, faults.stall, faults.stall_us_max);
        if net.chance(reset) {
            net.reset(link);
            self.come_again(net);
        } else if net.chance(close) {
            net.close(link);
            self.come_again(net);
        } else if net.chance(half_close) {
            net.half_close(link);
        } else if net.chance(chatter) {
            net.write(link, b"GET / HTTP/1.1\r\n");
        } else if self.timing.is_none() && net.chance(stall) {
            net.set_reading(link, false);
            if net.kernel.rng.u8(0..4) > 0 {
                let delay_us = net.kernel.rng.u64(0..=stall_us_max);
                self.wake(net, delay_us, What::ReadOn);
            }
        }
    }

    fn come_again(&mut self, net: &mut Net<'_>) {
        self.link = None;
        self.head = None;
        if !net.leaving {
            let most_us = if net.kernel.rng.bool() { 300 } else { 300_000 };
            let delay_us = net.kernel.rng.u64(0..most_us);
            self.wake(net, delay_us, What::Connect);
        }
    }

    pub(crate) fn ended(&mut self, net: &mut Net<'_>, link: LinkId) {
        if self.spare == Some(link) {
            net.close(link);
            self.spare = None;
        }
        if self.link == Some(link) {
            net.close(link);
            self.come_again(net);
        }
    }

    pub(crate) fn read(
        &mut self,
        net: &mut Net<'_>,
        link: LinkId,
        bytes: &[u8],
    ) -> Result<(), Flaw> {
        if self.link != Some(link) {
            return Ok(());
        }
        let mut rest = bytes.to_vec();
        if let Some(head) = &mut self.head {
            head.extend_from_slice(bytes);
            let Some((status, text, len)) = read_head(head) else { return Ok(()) };
            rest = head.split_off(len);
            match status {
                200 => {}
                // Too busy, or the request dripped in too slowly.
                408 | 503 => {
                    net.close(link);
                    self.come_again(net);
                    return Ok(());
                }
                _ => return Err(Flaw::BadAnswer { client: net.client, status, text }),
            }
            self.head = None;
            net.note("streams", self.last_seq, 0);
            self.begin(net.now_us());
        }
        let mut blocks = Vec::new();
        let client = net.client;
        self.reader.read(&rest, &mut blocks).map_err(|line| Flaw::TornLine { client, line })?;
        for block in &blocks {
            self.take(net, block)?;
        }
        self.misbehave(net, link);
        Ok(())
    }

    /// A stream has begun: from here on, or from its id on, all is due.
    fn begin(&mut self, now_us: u64) {
        self.begun_us = now_us;
        if self.reader.last_id().is_empty() && self.since != Since::Beginning {
            self.since = if self.from_earliest { Since::Beginning } else { Since::Moment(now_us) };
        }
    }

    fn take(&mut self, net: &mut Net<'_>, block: &Block) -> Result<(), Flaw> {
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
    pub(crate) fn is_complete(&self, net: &Net<'_>) -> Result<bool, Flaw> {
        let mut complete = true;
        for (seq, publication) in net.ledger.above(0) {
            if !self.received.contains(&seq) && self.is_due(seq, publication) {
                if seq < self.last_seq {
                    let channel = net.ledger.channels[publication.channel].clone();
                    return Err(Flaw::Missing { client: net.client, seq, channel });
                }
                complete = false;
            }
        }
        Ok(complete)
    }

    pub(crate) fn waits(&self) -> String {
        let place = match (self.link, &self.head) {
            (None, _) => "not connected",
            (Some(_), Some(_)) => "waits for its head",
            (Some(_), None) => "streams",
        };
        format!(
            "{place}, last {}, {} received, bye {}",
            self.last_seq,
            self.received.len(),
            self.said_bye
        )
    }

    /// Faults are over: reads on, or comes again.
    pub(crate) fn calm(&mut self, net: &mut Net<'_>) {
        match self.link {
            Some(link) => net.set_reading(link, true),
            None if self.timing.is_none() => self.wake(net, 1_000, What::Connect),
            None => {}
        }
    }

    pub(crate) fn leave(&mut self, net: &mut Net<'_>) {
        self.timing = None;
        self.timer += 1;
        for link in self.link.take().into_iter().chain(self.spare.take()) {
            net.close(link);
        }
    }
}
