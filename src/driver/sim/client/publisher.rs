//! A simulated publisher: keep-alive, sometimes pipelined, sometimes trying again with its key.

use std::collections::VecDeque;

use super::super::flaw::Flaw;
use super::super::ledger::Fate;
use super::super::link::LinkId;
use super::super::net::Net;
use super::super::script::{PUBLISH_TOKEN, Script};
use super::answer::{Answer, take_answer};

/// Requests under way on one connection, at most.
const PIPELINE_MAX: usize = 4;

/// Rules under which everybody gets an event all the same.
const AIMS: [&str; 9] = [
    "",
    "",
    "",
    "",
    "exclude=user:nobody",
    "wait=written",
    "wait=written&exclude=user:nobody",
    "spread_ms=300",
    "spread_ms=40&exclude=user:nobody",
];

/// A publish under way.
#[derive(Debug, Clone, Copy)]
struct Under {
    number: usize,
    /// It was sent before, without an answer.
    again: bool,
}

#[derive(Debug)]
pub(crate) struct Publisher {
    link: Option<LinkId>,
    /// Sent, in order, not answered.
    under: VecDeque<Under>,
    /// To be sent again with the same key.
    owed: VecDeque<Under>,
    input: Vec<u8>,
    /// Events still to be published.
    left: usize,
    begun: usize,
    keyed: bool,
    pipelines: bool,
    timer: u64,
    timing: bool,
}

impl Publisher {
    pub(crate) fn new(script: &Script, rng: &mut fastrand::Rng) -> Self {
        Self {
            link: None,
            under: VecDeque::new(),
            owed: VecDeque::new(),
            input: Vec::new(),
            left: script.events,
            begun: 0,
            keyed: rng.bool(),
            pipelines: rng.u8(0..3) == 0,
            timer: 0,
            timing: false,
        }
    }

    /// Nothing is under way and nothing is left to do.
    pub(crate) fn is_done(&self) -> bool {
        self.left == 0 && self.under.is_empty() && self.owed.is_empty()
    }

    pub(crate) fn waits(&self) -> String {
        format!("{} to publish, {} unanswered", self.left + self.owed.len(), self.under.len())
    }

    pub(crate) fn wake_in(&mut self, net: &mut Net<'_>, delay_us: u64) {
        self.timer += 1;
        self.timing = true;
        net.wake_after(delay_us, self.timer);
    }

    pub(crate) fn timer(&mut self, net: &mut Net<'_>, token: u64) {
        if token == self.timer && self.timing {
            self.timing = false;
            self.go_on(net);
        }
    }

    /// Publishes what is next, if nothing is under way.
    fn go_on(&mut self, net: &mut Net<'_>) {
        if self.is_done() || !self.under.is_empty() {
            return;
        }
        let link = match self.link {
            Some(link) => link,
            None => {
                self.input.clear();
                *self.link.insert(net.connect())
            }
        };
        let most = if self.pipelines { net.kernel.rng.usize(1..=PIPELINE_MAX) } else { 1 };
        for _ in 0..most {
            let Some(under) = self.owed.pop_front().or_else(|| self.begin(net)) else { break };
            self.send(net, link, under);
        }
        if net.chance(net.kernel.faults.reset) {
            net.reset(link);
            self.lost(net);
        }
    }

    /// Takes a new event.
    fn begin(&mut self, net: &mut Net<'_>) -> Option<Under> {
        self.left = self.left.checked_sub(1)?;
        self.begun += 1;
        let broadcast = net.ledger.channels.len() - 1;
        let script = net.script;
        let to_all = script.broadcast > 0.0 && net.kernel.rng.f64() < script.broadcast;
        let channel = if to_all { broadcast } else { net.kernel.rng.usize(0..broadcast) };
        let pad = "x".repeat(net.kernel.rng.usize(0..=script.data_bytes_max));
        let data = format!("{}.{}.{pad}", net.client, self.begun);
        let key = net.kernel.rng.u8(0..4);
        let number = net.ledger.begin(channel, data, net.now_us());
        net.ledger.publications[number].key = (key > 0).then_some(key);
        Some(Under { number, again: false })
    }

    /// Publishes one small event to each channel, when everything else is done.
    pub(crate) fn publish_timely(&mut self, net: &mut Net<'_>) {
        for channel in 0..net.ledger.channels.len() {
            let data = format!("{}.timely.{channel}", net.client);
            let number = net.ledger.begin(channel, data, net.now_us());
            net.ledger.publications[number].timely = true;
            self.owed.push_back(Under { number, again: false });
        }
        self.go_on(net);
    }

    fn send(&mut self, net: &mut Net<'_>, link: LinkId, under: Under) {
        let publication = &net.ledger.publications[under.number];
        let publication_channel = publication.channel;
        let (channel, data) = (&net.ledger.channels[publication.channel], &publication.data);
        let key = if self.keyed {
            format!("Idempotency-Key: k{}\r\n", under.number)
        } else {
            String::new()
        };
        let supersedes = publication.key.map(|key| format!("key=k{key}&")).unwrap_or_default();
        let aim = if publication.timely { "" } else { AIMS[net.kernel.rng.usize(0..AIMS.len())] };
        let request = format!(
            "POST /publish/{channel}?{supersedes}{aim} HTTP/1.1\r\nHost: sim\r\nAuthorization: Bearer {PUBLISH_TOKEN}\r\n\
             {key}Content-Length: {}\r\n\r\n{data}",
            data.len()
        );
        net.note("publishes", under.number as u64, publication_channel);
        self.under.push_back(under);
        net.write(link, request.as_bytes());
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
        self.input.extend_from_slice(bytes);
        while let Some(answer) = take_answer(&mut self.input) {
            let Some(under) = self.under.pop_front() else {
                return Err(bad(net.client, &answer));
            };
            self.answered(net, under, &answer)?;
            if answer.close {
                net.close(link);
                self.lost(net);
                return Ok(());
            }
        }
        if self.under.is_empty() && !self.timing {
            if net.chance(net.kernel.faults.close) {
                net.close(link);
                self.link = None;
            }
            let pause_us = net.kernel.rng.u64(0..=net.script.pause_us_max);
            self.wake_in(net, pause_us);
        }
        Ok(())
    }

    fn answered(&mut self, net: &mut Net<'_>, under: Under, answer: &Answer) -> Result<(), Flaw> {
        match answer.status {
            200 => {
                let value: serde_json::Value =
                    serde_json::from_str(&answer.body).map_err(|_| bad(net.client, answer))?;
                let id = value["id"].as_str().ok_or_else(|| bad(net.client, answer))?;
                net.ledger.acknowledge(net.client, under.number, id)?;
                let now_us = net.now_us();
                let publication = &mut net.ledger.publications[under.number];
                publication.known_us.get_or_insert(now_us);
                let (seq, channel) = (publication.seq.unwrap_or_default(), publication.channel);
                net.note("is acknowledged", seq, channel);
                Ok(())
            }
            // The first attempt may have come through.
            408 | 503 if under.again => Ok(()),
            408 | 503 => {
                net.note("is refused", answer.status.into(), under.number);
                net.ledger.refuse(under.number);
                Ok(())
            }
            _ => Err(bad(net.client, answer)),
        }
    }

    /// The connection is gone: what had no answer may or may not have been appended.
    fn lost(&mut self, net: &mut Net<'_>) {
        self.link = None;
        self.input.clear();
        for under in self.under.drain(..) {
            debug_assert_ne!(net.ledger.publications[under.number].fate, Fate::Acked);
            if self.keyed {
                self.owed.push_back(Under { again: true, ..under });
            }
        }
        let delay_us = net.kernel.rng.u64(1_000..100_000);
        self.wake_in(net, delay_us);
    }

    pub(crate) fn ended(&mut self, net: &mut Net<'_>, link: LinkId) {
        if self.link == Some(link) {
            net.close(link);
            if net.leaving {
                self.link = None;
                self.under.clear();
                self.owed.clear();
                self.left = 0;
                return;
            }
            self.lost(net);
        }
    }

    /// Faults are over.
    pub(crate) fn calm(&mut self, net: &mut Net<'_>) {
        if !self.timing && self.under.is_empty() {
            self.wake_in(net, 1_000);
        }
    }

    pub(crate) fn leave(&mut self, net: &mut Net<'_>) {
        if let Some(link) = self.link.take() {
            net.close(link);
        }
    }
}

fn bad(client: usize, answer: &Answer) -> Flaw {
    let text = answer.body.chars().take(200).collect();
    Flaw::BadAnswer { client, status: answer.status, text }
}
