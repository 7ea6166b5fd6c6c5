//! A simulated subscriber: an EventSource that stalls, breaks off and comes again with its id.

use super::super::flaw::Flaw;
use super::super::link::LinkId;
use super::super::net::Net;
use super::account::Account;
use super::answer::{read_head, take_answer};
use super::stream::{Block, Form, StreamReader};

#[derive(Debug)]
pub(crate) struct Subscriber {
    /// What it subscribes to, as it stands in the path.
    selectors: String,
    form: Form,
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
    /// The id it asked with last.
    asked_id: String,
    /// Its stream has begun, or its first poll was answered.
    begun: bool,
    account: Account,
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
        let form = Form::draw(rng);
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
            form,
            from_earliest: ample && rng.u8(0..4) == 0,
            link: None,
            spare: None,
            head: None,
            reader: StreamReader::after(form, ""),
            asked_id: String::new(),
            begun: false,
            account: Account::new(wanted),
            timer: 0,
            timing: None,
        }
    }

    /// It reads a stream.
    pub(crate) fn is_streaming(&self) -> bool {
        self.link.is_some() && self.begun
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
        self.ask(net, link);
    }

    fn ask(&mut self, net: &mut Net<'_>, link: LinkId) {
        let last_id = self.reader.last_id().to_owned();
        let earliest = last_id.is_empty() && self.from_earliest;
        let query = if earliest { "&since=earliest" } else { "" };
        let field = if last_id.is_empty() {
            String::new()
        } else {
            format!("Last-Event-ID: {last_id}\r\n")
        };
        self.reader = StreamReader::after(self.form, &last_id);
        self.asked_id = last_id;
        let selectors = &self.selectors;
        let token = match self.tokened {
            true => format!("Authorization: Bearer {}\r\n", net.script.token),
            false => String::new(),
        };
        let (path, accept) = match self.form {
            Form::Poll => ("poll", ""),
            Form::Lines => ("sse", "Accept: application/x-ndjson\r\n"),
            Form::Gzip => ("sse", "Accept-Encoding: br, gzip\r\n"),
            Form::Sse => ("sse", ""),
        };
        let request = format!(
            "GET /{path}/{selectors}?timeout=1{query} HTTP/1.1\r\nHost: sim\r\n\
             {accept}{token}{field}\r\n"
        );
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
        } else if self.form != Form::Poll && net.chance(chatter) {
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
        self.begun = false;
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
        if self.form == Form::Poll {
            return self.read_polls(net, link, bytes);
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
            if text.contains("\r\ncontent-encoding: gzip\r\n") {
                self.reader.expect_gzip();
            }
            self.head = None;
            self.begin(net);
        }
        let mut blocks = Vec::new();
        let client = net.client;
        self.reader.read(&rest, &mut blocks).map_err(|line| Flaw::TornLine { client, line })?;
        self.take_all(net, &blocks)?;
        self.misbehave(net, link);
        Ok(())
    }

    /// Answers of long-polls: each is followed by the next question, on the same connection.
    fn read_polls(&mut self, net: &mut Net<'_>, link: LinkId, bytes: &[u8]) -> Result<(), Flaw> {
        let mut input = self.head.take().unwrap_or_default();
        input.extend_from_slice(bytes);
        let client = net.client;
        while let Some(answer) = take_answer(&mut input) {
            let mut blocks = Vec::new();
            match answer.status {
                200 => self
                    .reader
                    .read_poll(&answer.body, &mut blocks)
                    .map_err(|line| Flaw::TornLine { client, line })?,
                204 => self.reader.set_last_id(answer.cursor.as_deref().unwrap_or_default()),
                408 | 503 => {
                    net.close(link);
                    self.come_again(net);
                    return Ok(());
                }
                status => {
                    return Err(Flaw::BadAnswer { client, status, text: answer.body });
                }
            }
            self.take_all(net, &blocks)?;
            self.begin(net);
            if answer.close {
                net.close(link);
                self.come_again(net);
                return Ok(());
            }
            self.ask(net, link);
            if self.link != Some(link) {
                return Ok(());
            }
        }
        self.head = Some(input);
        Ok(())
    }

    fn take_all(&mut self, net: &mut Net<'_>, blocks: &[Block]) -> Result<(), Flaw> {
        blocks.iter().try_for_each(|block| self.account.take(net, block))
    }

    /// A stream has begun, or a poll was answered: from here on, or from its id on, all is due.
    fn begin(&mut self, net: &mut Net<'_>) {
        let polls = self.form == Form::Poll;
        net.note("streams", u64::from(polls), 0);
        // The first poll without an id gets one; what follows that is due.
        let has_id = !self.asked_id.is_empty();
        self.account.begin(net.now_us(), has_id, self.from_earliest);
        self.begun = true;
    }

    /// Everything due has arrived. An event that was overtaken can no longer arrive.
    pub(crate) fn is_complete(&self, net: &Net<'_>) -> Result<bool, Flaw> {
        self.account.is_complete(net)
    }

    pub(crate) fn waits(&self) -> String {
        let place = match (self.link, self.begun) {
            (None, _) => "not connected",
            (Some(_), false) => "waits for its head",
            (Some(_), true) => "streams",
        };
        format!("{:?}: {place}, {}", self.form, self.account.text())
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
