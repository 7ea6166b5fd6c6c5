//! Clients nobody here wrote, reading gzip: each event reaches its user before the next one is
//! published, whatever heartbeats come between, and resuming goes on exactly where it stopped.
//!
//! A relay between them sees what was asked for and answered, so that no client passes by reading
//! plain text.

use std::thread;
use std::time::Duration;

use crate::support::cutter::Cutter;
use crate::support::http::Publisher;
use crate::support::program::{Client, Program};
use crate::support::server::Server;
use crate::support::sse::Event;
use crate::{EVENT_TIMEOUT, TOKEN, as_read};

/// The shortest that may be set.
const HEARTBEAT_MS: u64 = 100;
/// Long enough for some of them.
const SILENCE: Duration = Duration::from_millis(5 * HEARTBEAT_MS / 2);
/// Where the stream is broken.
const BREAKS: usize = 4;
/// Events published while nobody listens.
const MISSED: usize = 3;

#[test]
fn curl_reads_gzip_live_and_resumes() {
    reads_gzip_live(Client::Curl);
}

#[test]
fn eventsource_reads_gzip_live_and_resumes() {
    reads_gzip_live(Client::Eventsource);
}

#[test]
fn fetch_event_source_reads_gzip_live_and_resumes() {
    reads_gzip_live(Client::FetchEventSource);
}

#[test]
fn httpx_sse_reads_gzip_live_and_resumes() {
    reads_gzip_live(Client::Httpx);
}

#[test]
fn sseclient_reads_gzip_live_and_resumes() {
    reads_gzip_live(Client::Sseclient);
}

/// The library comes again by itself; the others are started anew.
fn reconnects(client: Client) -> bool {
    matches!(client, Client::Eventsource | Client::FetchEventSource)
}

struct Reader {
    client: Client,
    cutter: Cutter,
    url: String,
    program: Option<Program>,
    publisher: Publisher,
    last: String,
}

impl Reader {
    fn publish(&mut self, payload: &str) -> Event {
        // Clients that reconnect by themselves shall do so soon.
        let id = self.publisher.publish("a?retry=20", payload.as_bytes()).id;
        Event { id, event: "message".to_owned(), data: as_read(self.client, payload) }
    }

    fn receive(&mut self, expected: &Event, what: &str) {
        let program = self.program.as_ref().expect("running");
        let event = program.next(EVENT_TIMEOUT);
        // Mebibytes of difference help nobody.
        let short = |event: &Event| (event.id.clone(), event.data.len());
        let (seen, due) = (event.as_ref().map(short), short(expected));
        assert!(event.as_ref() == Some(expected), "{what}: {seen:?} instead of {due:?}");
        self.last.clone_from(&expected.id);
    }

    /// One at a time: whoever keeps an event back until more has come gets no more.
    fn live(&mut self, payload: &str) {
        let what = format!("{} bytes live", payload.len());
        let expected = self.publish(payload);
        self.receive(&expected, &what);
    }

    fn start(&mut self) {
        let last = self.last.clone();
        let last = Some(last.as_str()).filter(|id| !id.is_empty());
        self.program = Some(Program::start_gzip(self.client, &self.url, last));
    }

    /// Breaks the stream, and publishes before it is back.
    fn miss(&mut self, round: usize) {
        let before = self.cutter.accepted();
        if !reconnects(self.client) {
            let surplus = self.program.take().expect("running").kill();
            assert!(surplus.is_empty(), "more than was published: {surplus:?}");
        }
        self.cutter.cut();
        let missed: Vec<Event> =
            (0..MISSED).map(|number| self.publish(&format!("missed {round} {number}"))).collect();
        if !reconnects(self.client) {
            self.start();
        }
        for event in &missed {
            self.receive(event, "after a break");
        }
        assert!(self.cutter.accepted() > before, "it was never broken");
    }

    /// Nothing but heartbeats for a while.
    fn silence(&self) {
        let before = self.cutter.down();
        thread::sleep(SILENCE);
        assert!(self.cutter.down() > before, "no heartbeat in {SILENCE:?}");
    }
}

fn payloads() -> Vec<String> {
    let json = |number: usize| {
        format!("{{\"id\":{number},\"type\":\"order\",\"title\":\"Order {number}\",\"n\":[1,2,3]}}")
    };
    let mut random = fastrand::Rng::with_seed(9);
    let noise: String = (0..60_000).map(|_| random.alphanumeric()).collect();
    let mut all: Vec<String> = (0..20).map(|number| json(number).repeat(1 + number)).collect();
    // Stored unseen, stored because they do not shrink, of many blocks, and of many lines.
    all.extend(["x".to_owned(), "x".repeat(39), noise, "\u{1f600}".repeat(50_000)]);
    all.push("a line\n".repeat(200));
    all.push("žluťoučký kůň\r\npěl".to_owned());
    all
}

fn reads_gzip_live(client: Client) {
    let heartbeat = HEARTBEAT_MS.to_string();
    let env = [
        ("AUTH_TOKEN", TOKEN),
        ("SSE_ENABLE_COMPRESSION", "true"),
        ("SSE_HEARTBEAT_INTERVAL", heartbeat.as_str()),
    ];
    let server = Server::start(&[], &env);
    let cutter = Cutter::start(server.listen);
    let url = format!("http://{}/sse/a", cutter.address);
    let publisher = Publisher::new(server.listen, TOKEN);
    let mut reader = Reader { client, cutter, url, program: None, publisher, last: String::new() };
    // Before it: a first cursor from which all is live or resumed.
    reader.last = reader.publish("start").id;
    reader.start();
    reader.live("first");
    let payloads = payloads();
    for (number, payload) in payloads.iter().enumerate() {
        reader.live(payload);
        if number % 8 == 0 {
            reader.silence();
        }
    }
    for round in 0..BREAKS {
        reader.miss(round);
        reader.live(&payloads[round]);
        reader.silence();
        reader.live(&payloads[BREAKS + round]);
    }
    let surplus = reader.program.take().expect("running").kill();
    assert!(surplus.is_empty(), "more than was published: {surplus:?}");
    check_heads(&reader.cutter);
    let wire = reader.cutter.down();
    let text: u64 = payloads.iter().map(|payload| payload.len() as u64).sum();
    assert!(wire < text, "{wire} bytes came for more than {text} of text");
}

/// Every answer was gzip, and every request after the first said where to go on.
fn check_heads(cutter: &Cutter) {
    let mut answered = 0;
    // Cut while it was being made, a connection may have no answer.
    for [request, answer] in cutter.heads().iter().filter(|[_, answer]| !answer.is_empty()) {
        let accepts = request.lines().find_map(|line| line.strip_prefix("accept-encoding:"));
        assert!(accepts.is_some_and(|value| value.contains("gzip")), "{request}");
        assert!(request.contains("\r\nlast-event-id: "), "{request}");
        assert!(answer.starts_with("http/1.1 200 "), "{answer}");
        assert!(answer.contains("\r\ncontent-encoding: gzip\r\n"), "{answer}");
        assert!(answer.contains("\r\nvary: accept-encoding\r\n"), "{answer}");
        answered += 1;
    }
    assert!(answered > BREAKS, "{answered} answers");
}
