//! Clients nobody here wrote against the running server.
//!
//! Each of them must hand its user exactly what was published, and go on exactly where it stopped
//! after its process was killed or its connection broke.

#[path = "clients/gzip.rs"]
mod gzip;
mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use support::cutter::Cutter;
use support::http::Publisher;
use support::program::{Client, Program};
use support::server::Server;
use support::sse::Event;

const TOKEN: &str = "publish-token-of-the-client-tests";
const PAYLOADS: usize = 1_000;
const BREAKS: usize = 100;
const CHANNELS: [&str; 3] = ["resume-a", "resume-b", "resume-c"];

/// Longest wait for one event that must come. (sseclient-py copies all of an event for each of its
/// lines: ten seconds for a mebibyte of short ones on an idle machine.)
const EVENT_TIMEOUT: Duration = Duration::from_secs(120);

#[test]
fn curl_receives_every_payload_exactly() {
    receives_every_payload_exactly(Client::Curl);
}

#[test]
fn eventsource_receives_every_payload_exactly() {
    receives_every_payload_exactly(Client::Eventsource);
}

#[test]
fn fetch_event_source_receives_every_payload_exactly() {
    receives_every_payload_exactly(Client::FetchEventSource);
}

#[test]
fn httpx_sse_receives_every_payload_exactly() {
    receives_every_payload_exactly(Client::Httpx);
}

#[test]
fn sseclient_receives_every_payload_exactly() {
    receives_every_payload_exactly(Client::Sseclient);
}

#[test]
fn curl_killed_a_hundred_times_misses_nothing() {
    killed_a_hundred_times_misses_nothing(Client::Curl);
}

#[test]
fn httpx_sse_killed_a_hundred_times_misses_nothing() {
    killed_a_hundred_times_misses_nothing(Client::Httpx);
}

#[test]
fn sseclient_killed_a_hundred_times_misses_nothing() {
    killed_a_hundred_times_misses_nothing(Client::Sseclient);
}

#[test]
fn eventsource_cut_a_hundred_times_misses_nothing() {
    cut_a_hundred_times_misses_nothing(Client::Eventsource);
}

#[test]
fn fetch_event_source_cut_a_hundred_times_misses_nothing() {
    cut_a_hundred_times_misses_nothing(Client::FetchEventSource);
}

fn start_server() -> Server {
    Server::start(&[], &[("AUTH_TOKEN", TOKEN)])
}

// ---------------------------------------------------------------- exact payloads

fn receives_every_payload_exactly(client: Client) {
    let server = start_server();
    let mut publisher = Publisher::new(server.listen, TOKEN);
    let channel = format!("mixed-{}", client.name());
    let url = server.url(&format!("/sse/{channel}"));
    let program = Program::start(client, &url, &["update", "sync"], None);
    connect_live(&program, &mut publisher, &channel);

    let mut awaited = Vec::new();
    for (number, payload) in payloads(fastrand::Rng::with_seed(0x5eed)).into_iter().enumerate() {
        let event = if number % 3 == 0 { "update" } else { "message" };
        let target = match event {
            "update" => format!("{channel}?event=update"),
            _ => channel.clone(),
        };
        let large = payload.len() > 8 * 1024;
        if large {
            // It may push everything else out of the history: nobody may be behind then.
            receive(&program, &mut awaited);
        }
        let id = publisher.publish(&target, payload.as_bytes()).id;
        let data = as_read(client, &payload);
        awaited.push((number, Event { id, event: event.to_owned(), data }));
        // Bounded lead: this test is about bytes, not about what a slow reader loses.
        if large || awaited.len() >= 20 {
            receive(&program, &mut awaited);
        }
    }
    receive(&program, &mut awaited);
    let surplus = program.kill();
    assert!(surplus.is_empty(), "more than was published: {surplus:?}");
}

/// Publishes `sync` events until the program, once connected, has seen the last of them.
fn connect_live(program: &Program, publisher: &mut Publisher, channel: &str) {
    let target = format!("{channel}?event=sync");
    let connected = support::wait_until(EVENT_TIMEOUT, Duration::ZERO, || {
        publisher.publish(&target, b"hello");
        program.next(Duration::from_millis(50)).is_some()
    });
    assert!(connected, "the client never received anything");
    let last = publisher.publish(&target, b"last").id;
    while program.next(EVENT_TIMEOUT).expect("the last sync event").id != last {}
}

fn receive(program: &Program, awaited: &mut Vec<(usize, Event)>) {
    for (number, expected) in awaited.drain(..) {
        let event = program.next(EVENT_TIMEOUT);
        let event = event.unwrap_or_else(|| panic!("payload {number} did not arrive"));
        if event != expected {
            let at = event.data.bytes().zip(expected.data.bytes()).position(|(a, b)| a != b);
            panic!(
                "payload {number} differs at byte {at:?}: {} {} {} bytes, published {} {} {} bytes",
                event.id,
                event.event,
                event.data.len(),
                expected.id,
                expected.event,
                expected.data.len()
            );
        }
    }
}

/// What a reader gets: every line end has become LF.
fn as_read(client: Client, payload: &str) -> String {
    let text = payload.replace("\r\n", "\n").replace('\r', "\n");
    if client == Client::FetchEventSource {
        // Two habits of its parser (parse.js): it decodes each line by a `TextDecoder` of its own,
        // which eats a BOM at the front, and joins lines by `data ? data + "\n" + value : value`,
        // which loses empty lines at the front. On the wire it gets what the others get.
        let lines = text.split('\n').map(|line| line.strip_prefix('\u{feff}').unwrap_or(line));
        return lines.collect::<Vec<_>>().join("\n").trim_start_matches('\n').to_owned();
    }
    text
}

fn payloads(mut random: fastrand::Rng) -> Vec<String> {
    const FIXED: [&str; 24] = [
        "",
        " ",
        "\n",
        "\r",
        "\r\n",
        "\n\r",
        "\n\n\n",
        "one\ntwo",
        "one\rtwo\rthree",
        "one\r\ntwo\r\n",
        "mixed\r\n\r\nends\n\r\r\n",
        " leading space",
        "  two leading spaces\n  again",
        ":a comment?",
        "id: 5\nevent: evil\n\ndata: injected\n\n",
        "data: data: data",
        "retry: 1",
        "\u{feff}not a byte order mark here",
        "next line \u{85}, separators \u{2028}\u{2029}, \u{b}\u{c}\u{1c}\u{1d}\u{1e}",
        "nul \0 inside",
        "tab\tand \u{7f}",
        "Ol\u{e1} \u{65e5}\u{672c}\u{8a9e} \u{1f600}\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}",
        "{\"json\":[1,2.0,\"\\n\"]}",
        "e\u{301} combining, \u{10ffff} last",
    ];
    const PIECES: [&str; 12] = [
        "\n",
        "\r",
        "\r\n",
        ":",
        " ",
        "data:",
        "id: 1",
        "\u{1f680}",
        "\u{e9}",
        "\0",
        "word",
        "0123456789abcdef",
    ];
    let mebibyte = 1 << 20;
    let mut all: Vec<String> = FIXED.iter().map(|&text| text.to_owned()).collect();
    all.push("x".repeat(mebibyte));
    all.push("\u{1f600}".repeat(mebibyte / 4));
    all.push("sixteen bytes..\n".repeat(mebibyte / 16));
    while all.len() < PAYLOADS {
        let pieces = if random.u8(..) < 8 { 20_000 } else { 1 + random.usize(..40) };
        all.push((0..pieces).map(|_| PIECES[random.usize(..PIECES.len())]).collect());
    }
    random.shuffle(&mut all);
    all
}

// ---------------------------------------------------------------- resume

fn killed_a_hundred_times_misses_nothing(client: Client) {
    let server = start_server();
    let start = Publisher::new(server.listen, TOKEN).publish(CHANNELS[0], b"start").id;
    let stream = Background::publish(server.listen);
    let url = server.url(&format!("/sse/{}", CHANNELS.join(",")));
    let mut random = fastrand::Rng::with_seed(0xdead);
    let mut received: Vec<Event> = Vec::new();
    for round in 0..BREAKS {
        let cursor = received.last().map_or(start.as_str(), |event| event.id.as_str());
        let program = Program::start(client, &url, &[], Some(cursor));
        if round % 2 == 0 {
            // Anywhere: before the request, in the answer's head, in the replay.
            thread::sleep(Duration::from_millis(random.u64(..200)));
        } else {
            // After some events: in the replay or live.
            for _ in 0..=random.usize(..60) {
                received.push(program.next(EVENT_TIMEOUT).expect("events keep coming"));
            }
        }
        received.extend(program.kill());
    }
    let published = stream.stop();
    let cursor = received.last().map_or(start.as_str(), |event| event.id.as_str()).to_owned();
    let program = Program::start(client, &url, &[], Some(&cursor));
    receive_to_the_end(&program, &published, &mut received);
    compare(&published, &received);
}

fn cut_a_hundred_times_misses_nothing(client: Client) {
    let server = start_server();
    let cutter = Cutter::start(server.listen);
    let start = Publisher::new(server.listen, TOKEN).publish(CHANNELS[0], b"start").id;
    let stream = Background::publish(server.listen);
    let url = format!("http://{}/sse/{}", cutter.address, CHANNELS.join(","));
    let mut random = fastrand::Rng::with_seed(0xc07);
    let program = Program::start(client, &url, &[], Some(&start));
    for _ in 0..BREAKS {
        let before = cutter.accepted();
        thread::sleep(Duration::from_millis(random.u64(..80)));
        cutter.cut();
        let again = support::wait_until(EVENT_TIMEOUT, Duration::from_millis(1), || {
            cutter.accepted() > before
        });
        assert!(again, "the client did not connect again");
    }
    let published = stream.stop();
    let mut received = Vec::new();
    receive_to_the_end(&program, &published, &mut received);
    compare(&published, &received);
}

/// Events of three channels in random turns, from a thread of its own.
struct Background {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Event>>,
}

impl Background {
    fn publish(address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut random = fastrand::Rng::with_seed(7);
            let mut publisher = Publisher::new(address, TOKEN);
            let mut published = Vec::new();
            while !stopped.load(Ordering::Acquire) {
                let channel = CHANNELS[random.usize(..CHANNELS.len())];
                let data = format!("{channel} {}", published.len());
                // Clients that reconnect by themselves shall do so soon.
                let id = publisher.publish(&format!("{channel}?retry=20"), data.as_bytes()).id;
                published.push(Event { id, event: "message".to_owned(), data });
                if random.u8(..) < 200 {
                    thread::sleep(Duration::from_micros(random.u64(..5_000)));
                }
            }
            published
        });
        Self { stop, thread }
    }

    /// What the server has acknowledged, in order.
    fn stop(self) -> Vec<Event> {
        self.stop.store(true, Ordering::Release);
        self.thread.join().expect("every publish was accepted")
    }
}

/// Receives until the last published event has come, then looks for surplus.
fn receive_to_the_end(program: &Program, published: &[Event], received: &mut Vec<Event>) {
    let last = published.last().expect("published while the client was cut");
    while received.last() != Some(last) {
        let Some(event) = program.next(EVENT_TIMEOUT) else { break };
        received.push(event);
    }
    received.extend(program.next(Duration::from_millis(300)));
}

/// Every published event once, in the order of publishing, and nothing else.
fn compare(published: &[Event], received: &[Event]) {
    let same = published.iter().zip(received).take_while(|(a, b)| a == b).count();
    assert!(
        published.len() == received.len() && same == published.len(),
        "{} published, {} received; number {same} should be {:?} and is {:?}",
        published.len(),
        received.len(),
        published.get(same),
        received.get(same)
    );
    assert!(published.len() > BREAKS, "too few events to mean anything");
}
