//! The load tool from outside: against the real server its counts are those of the server, and a
//! server that loses, repeats, reorders or damages events is told so.

mod support;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use support::server::{Server, command, free_address, new_folder};

const TOKEN: &str = "publish-token-of-the-bench-tests";

/// Longest run of the tool: its own bounds lie far below.
const RUN_TIMEOUT: Duration = Duration::from_secs(90);

/// What the tool said.
struct Outcome {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Outcome {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.stdout, self.stderr))
    }
}

/// Runs `ringcast bench --url http://ADDRESS ARGS`.
fn bench(address: SocketAddr, args: &[&str]) -> Outcome {
    let folder = new_folder();
    let [out, err] = ["out", "err"].map(|name| folder.join(name));
    let mut child = command(&folder, &[("AUTH_TOKEN", TOKEN)])
        .args(["bench", "--url", &format!("http://{address}")])
        .args(args)
        .stdout(Stdio::from(File::create(&out).expect("a file")))
        .stderr(Stdio::from(File::create(&err).expect("a file")))
        .spawn()
        .expect("the binary starts");
    let mut status = None;
    support::wait_until(RUN_TIMEOUT, Duration::from_millis(10), || {
        status = child.try_wait().expect("own child");
        status.is_some()
    });
    let _ = child.kill();
    let _ = child.wait();
    let [stdout, stderr] = [out, err].map(|path| std::fs::read_to_string(path).expect("a text"));
    let _ = std::fs::remove_dir_all(&folder);
    let code = status.and_then(|status| status.code());
    Outcome { code: code.unwrap_or_else(|| panic!("no end: {stdout} {stderr}")), stdout, stderr }
}

fn server() -> Server {
    Server::start(&["--workers", "2"], &[("AUTH_TOKEN", TOKEN)])
}

#[test]
fn its_counts_are_the_servers_own() {
    let server = server();
    let args = "--connections 300 --channels 3 --publishers 2 --publish-rate max --events 30 \
                --rings 3 --max-lost 0 --max-p99 60s --json";
    let outcome = bench(server.listen, &args.split_whitespace().collect::<Vec<_>>());
    let report = outcome.json();
    assert_eq!(outcome.code, 0, "{report}");
    assert_eq!(report["connections"]["opened"], 300);
    assert_eq!(report["connections"]["ended_early"], 0);
    assert_eq!(report["client"]["rings"], 3);
    assert_eq!(report["publishes"]["accepted"], 30);
    // Ten events to each of the three channels, a hundred streams on each.
    let found = &report["deliveries"];
    assert_eq!((&found["expected"], &found["received"]), (&3_000.into(), &3_000.into()));
    for fault in ["lost", "duplicates", "out_of_order", "ids_not_rising", "corrupt", "foreign"] {
        assert_eq!(found[fault], 0, "{fault} in {report}");
    }
    assert_eq!(found["latency"]["count"], 3_000);
    assert_eq!(report["server"]["pid"], server.pid());
    assert!(report["server"]["cpu_us_per_delivery"].as_f64().is_some_and(|us| us > 0.0));
    // The server has counted the same.
    let stats = server.get("/stats").json();
    assert_eq!((&stats["deliveries"], &stats["publishedMessages"]), (&3_000.into(), &30.into()));
    assert_eq!(stats["connectionsEstablished"], 300);
}

#[test]
fn s169_a_missed_threshold_is_exit_99() {
    let server = server();
    let args = ["--connections", "20", "--events", "5", "--publish-rate", "wait", "--max-p99"];
    let missed = bench(server.listen, &[&args[..], &["1us"]].concat());
    assert_eq!(missed.code, 99, "{}", missed.stdout);
    assert!(missed.stdout.contains("MISSED"), "{}", missed.stdout);
    let kept = bench(server.listen, &[&args[..], &["1m"]].concat());
    assert_eq!(kept.code, 0, "{}", kept.stdout);
    assert!(kept.stdout.contains("lost 0"), "{}", kept.stdout);
}

#[test]
fn idle_streams_are_held_measured_and_still_there() {
    let server = server();
    let args = "--scenario idle --connections 400 --duration 1 --max-lost 0 --json";
    let outcome = bench(server.listen, &args.split_whitespace().collect::<Vec<_>>());
    let report = outcome.json();
    assert_eq!(outcome.code, 0, "{report}");
    assert_eq!(report["deliveries"]["received"], 400);
    for figure in ["bytes_per_connection", "bytes_per_connection_upper_half"] {
        assert!(report["server"][figure].is_number(), "{figure} in {report}");
    }
    assert_eq!(server.get("/stats").json()["connectionsEstablished"], 400);
}

#[test]
fn connects_are_counted_and_nothing_is_published() {
    let server = server();
    let args = ["--scenario", "connect", "--connections", "500", "--json"];
    let report = bench(server.listen, &args).json();
    assert_eq!(report["connections"]["latency"]["count"], 500);
    assert!(report["connections"]["per_second"].as_f64().is_some_and(|rate| rate > 0.0));
    let stats = server.get("/stats").json();
    assert_eq!(
        (&stats["connectionsEstablished"], &stats["publishedMessages"]),
        (&500.into(), &0.into())
    );
}

/// Runs a scenario against a server of two workers; nothing may be lost.
fn whole(args: &str) -> (Server, Value) {
    let server = server();
    let args = format!("{args} --max-lost 0 --json");
    let outcome = bench(server.listen, &args.split_whitespace().collect::<Vec<_>>());
    let report = outcome.json();
    assert_eq!(outcome.code, 0, "{report} {}", outcome.stderr);
    for fault in ["lost", "duplicates", "out_of_order", "ids_not_rising", "corrupt"] {
        assert_eq!(report["deliveries"][fault], 0, "{fault} in {report}");
    }
    (server, report)
}

#[test]
fn s106_thousands_of_streams_receive_every_event() {
    let args = "--scenario fanout --connections 5000 --channels 1 --publish-rate 20 --events 10";
    let (server, report) = whole(args);
    assert_eq!(report["connections"]["opened"], 5_000);
    assert_eq!(report["deliveries"]["received"], 5_000 * 10);
    assert_eq!(server.get("/stats").json()["connectionsEstablished"], 5_000);
}

#[test]
fn streams_that_break_off_come_again_and_miss_nothing() {
    let (server, report) = whole("--scenario storm --connections 300 --channels 3 --events 30");
    let again = &report["reconnects"];
    assert_eq!((&again["streams"], &again["missed_each"]), (&300.into(), &10.into()));
    assert!(again["ratio"].is_number(), "{again}");
    // One on each channel for the ids, ten while all were away.
    assert_eq!(report["deliveries"]["received"], 300 * 11);
    assert_eq!(server.get("/stats").json()["connectionsEstablished"], 900);
}

#[test]
fn some_idle_streams_break_off_and_come_again() {
    let args = "--scenario idle --connections 200 --duration 1 --reconnect 7";
    let (server, report) = whole(args);
    assert_eq!(report["reconnects"]["streams"], 14);
    assert_eq!(report["deliveries"]["received"], 400);
    assert_eq!(server.get("/stats").json()["connectionsEstablished"], 214);
}

#[test]
fn a_history_is_read_from_its_beginning() {
    let (_, report) = whole("--scenario replay --connections 50 --channels 2 --events 40");
    assert_eq!(report["deliveries"]["received"], 50 * 20);
    assert_eq!(report["deliveries"]["latency"], Value::Null, "{report}");
}

#[test]
fn single_events_are_measured_beside_the_broadcasts() {
    let args = "--scenario mixed --connections 100 --channels 5 --publish-rate 50 --events 100";
    let (_, report) = whole(args);
    let found = &report["deliveries"];
    assert_eq!(found["single_latency"]["count"], 100);
    // Two seconds with a broadcast every 100 ms, each to the other 95.
    assert_eq!(found["latency"]["count"], 20 * 95);
    assert_eq!(report["publishes"]["accepted"], 120);
}

#[test]
fn who_stops_reading_is_told_and_the_others_get_all() {
    let args = "--scenario stall --connections 60 --subscribers-stall 5 --events 700";
    let (_, report) = whole(args);
    let stall = &report["stall"];
    assert_eq!((&stall["stalled"], &stall["reading"]), (&5.into(), &55.into()));
    assert!(stall["ratio"].is_number(), "{stall}");
    // 700 times 8 KiB do not fit the socket, nor the history.
    assert!(report["deliveries"]["skipped"].as_u64() > Some(0), "{report}");
    assert_eq!(report["deliveries"]["gaps"], 5);
}

#[test]
fn many_events_fit_one_request() {
    let args = "--scenario publish --publishers 3 --publish-lines 50 --events 1000";
    let (server, report) = whole(args);
    assert_eq!(report["publishes"]["accepted"], 1_000);
    assert_eq!(report["publishes"]["latency"]["count"], 21, "requests");
    assert_eq!(report["deliveries"]["received"], 1_000);
    assert_eq!(server.get("/stats").json()["publishedMessages"], 1_000);
}

/// The first core's counters.
fn counters(server: &Server) -> Value {
    let cores = server.get_admin("/stats/cores").json();
    cores["cores"][0].clone()
}

/// The counters show that the kernel is entered once for more than 200 deliveries, and that
/// healthy ones complete in silence.
#[test]
fn a_large_fan_out_is_few_system_calls_and_no_completions() {
    let server = Server::start(&["--workers", "1"], &[("AUTH_TOKEN", TOKEN)]);
    let address = server.listen;
    let args = "--connections 10000 --events 40 --publish-rate wait --max-lost 0 --json";
    let run = thread::spawn(move || bench(address, &args.split_whitespace().collect::<Vec<_>>()));
    // Between the first event and the first stream that ends, nothing but events happens.
    let (mut first, mut last) = (None, None);
    let full = |counters: &Value| counters["streams"] == 10_000 && counters["byes"] == 0;
    support::wait_until(RUN_TIMEOUT, Duration::from_millis(5), || {
        let now = counters(&server);
        if full(&now) && now["publishes"].as_u64() > Some(2) {
            first.get_or_insert_with(|| now.clone());
            last = Some(now);
        }
        run.is_finished()
    });
    let report = run.join().expect("a run").json();
    assert_eq!(report["deliveries"]["lost"], 0, "{report}");
    let (first, last) = (first.expect("events came"), last.expect("events came"));
    let grown = |name: &str| {
        let value = |of: &Value| of[name].as_u64().unwrap_or_else(|| panic!("{name} in {of}"));
        value(&last) - value(&first)
    };
    let deliveries = grown("deliveries");
    assert!(deliveries >= 100_000, "{first} {last}");
    assert!(grown("enters") * 200 <= deliveries, "{} enters: {first} {last}", grown("enters"));
    // A publish is one receive; a short send (the client was slow) says two things.
    let (requests, short) = (grown("requests"), grown("sends_short"));
    assert!(grown("completions") <= 2 * requests + 2 * short + 8, "{first} {last}");
}

#[test]
fn every_stream_may_be_somebody() {
    let secret = "0123456789abcdef0123456789abcdef";
    let server = Server::start(&["--workers", "2"], &[("JWT_SECRET", secret)]);
    let folder = new_folder();
    let mut child = command(&folder, &[("JWT_SECRET", secret)]);
    let args = ["--scenario", "connect", "--connections", "20", "--identities", "--json"];
    let child = child.args(["bench", "--url", &format!("http://{}", server.listen)]).args(args);
    let output = child.output().expect("the binary starts");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["connections"]["opened"], 20, "{report}");
    let _ = std::fs::remove_dir_all(&folder);
    let anonymous = bench(server.listen, &["--scenario", "connect", "--connections", "20"]);
    assert!(anonymous.stderr.contains("401"), "{}", anonymous.stderr);
}

#[test]
fn a_rate_is_kept_by_the_clock_not_by_the_answers() {
    let server = server();
    let args = "--connections 10 --publish-rate 50 --events 1000 --duration 2 --json";
    let report = bench(server.listen, &args.split_whitespace().collect::<Vec<_>>()).json();
    let accepted = report["publishes"]["accepted"].as_u64().expect("a number");
    // Fifty a second for two seconds; on a busy machine the last ones may miss the end.
    assert!((1..=101).contains(&accepted), "{report}");
    assert_eq!(report["publishes"]["stopped"], "the time was over");
    assert_eq!(report["deliveries"]["received"], accepted * 10);
    assert_eq!(report["deliveries"]["lost"], 0);
}

#[test]
fn errors_are_one_line_with_the_right_exit_code() {
    let nobody = free_address();
    let refused = bench(nobody, &["--connections", "3"]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("refused"), "{}", refused.stderr);
    let wrong = bench(nobody, &["--data-bytes", "5"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.stderr.contains("--data-bytes 5: at least 43"), "{}", wrong.stderr);
    let server = server();
    let stranger = bench(server.listen, &["--connections", "3", "--token", "wrong"]);
    assert_eq!(stranger.code, 1);
    assert!(stranger.stderr.contains("401"), "{}", stranger.stderr);
    for outcome in [refused, wrong, stranger] {
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
    }
}

/// What a bad server does to the streams, numbered as they came.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// Leaves an event out on one stream.
    Drop,
    /// Sends one twice.
    Repeat,
    /// Sends an event after the next one, with its own id.
    Swap,
    /// Changes a byte of the data.
    Damage,
    /// Ends a stream before the event.
    End,
    /// Answers 503 to the publish and sends nothing.
    Refuse,
}

const STREAMS: usize = 5;
const EVENTS: usize = 8;
/// The event the fault hits, counted from 0.
const HIT: usize = 3;

fn planted(fault: Fault, rate: &str, args: &[&str]) -> Outcome {
    planted_on(0, fault, rate, args)
}

/// The same on a stream other than the first.
fn planted_on(who: usize, fault: Fault, rate: &str, args: &[&str]) -> Outcome {
    let server = FakeServer::start(fault, who);
    let (streams, events) = (STREAMS.to_string(), EVENTS.to_string());
    let common = ["--connections", &streams, "--events", &events, "--publish-rate", rate];
    bench(server.address, &[&common[..], &["--json"], args].concat())
}

#[test]
fn a_planted_loss_is_found_and_misses_the_threshold() {
    let outcome = planted(Fault::Drop, "max", &["--max-lost", "0"]);
    let report = outcome.json();
    assert_eq!(outcome.code, 99);
    assert_eq!(report["deliveries"]["lost"], 1);
    assert_eq!(report["deliveries"]["received"], STREAMS * EVENTS - 1);
    assert_eq!(report["thresholds"][0]["kept"], false);
    assert_eq!(planted(Fault::Drop, "max", &["--max-lost", "1"]).code, 0);
}

#[test]
fn a_planted_repetition_swap_and_damage_are_told_apart() {
    let counts = |fault| {
        let report = planted(fault, "max", &[]).json();
        let names = ["lost", "duplicates", "out_of_order", "ids_not_rising", "corrupt"];
        names.map(|name| report["deliveries"][name].as_u64().expect(name))
    };
    assert_eq!(counts(Fault::Repeat), [0, 1, 0, 1, 0]);
    assert_eq!(counts(Fault::Swap), [0, 0, 1, 1, 0]);
    assert_eq!(counts(Fault::Damage), [1, 0, 0, 0, 1]);
}

#[test]
fn a_stream_that_ends_loses_the_rest_and_a_refused_publish_loses_nothing() {
    let report = planted(Fault::End, "max", &[]).json();
    assert_eq!(report["connections"]["ended_early"], 1);
    assert_eq!(report["deliveries"]["lost"], EVENTS - HIT);
    let outcome = planted(Fault::Refuse, "max", &["--max-lost", "0"]);
    let report = outcome.json();
    assert_eq!(
        (&report["publishes"]["failed"], &report["deliveries"]["lost"]),
        (&1.into(), &0.into())
    );
    assert_eq!(report["deliveries"]["received"], STREAMS * (EVENTS - 1));
    assert_eq!(outcome.code, 99, "a failed publish is no success");
    // Nobody waits for the readers of an event that was refused.
    let report = planted(Fault::Refuse, "wait", &[]).json();
    assert_eq!(report["publishes"]["accepted"], EVENTS - 1);
    assert_eq!(report["publishes"]["stopped"], Value::Null);
}

/// Where each distinct run of bytes is unpacked once for all streams, the faults of a single one are
/// still its own, whichever it is: one of them has a decoder to itself.
#[test]
fn faults_are_told_apart_through_gzip() {
    let names =
        ["received", "lost", "duplicates", "out_of_order", "ids_not_rising", "corrupt", "byes"];
    let (all, streams, rest) = ((STREAMS * EVENTS) as u64, STREAMS as u64, (EVENTS - HIT) as u64);
    let counts = |who, fault| {
        let report = planted_on(who, fault, "max", &["--gzip"]).json();
        assert!(report["deliveries"]["gzip_bytes"].as_u64() > Some(0), "{report}");
        names.map(|name| report["deliveries"][name].as_u64().expect(name))
    };
    thread::scope(|scope| {
        for who in 0..STREAMS {
            scope.spawn(move || {
                assert_eq!(counts(who, Fault::Repeat), [all, 0, 1, 0, 1, 0, 0]);
                assert_eq!(counts(who, Fault::Swap), [all, 0, 0, 1, 1, 0, 0]);
                assert_eq!(counts(who, Fault::Damage), [all - 1, 1, 0, 0, 0, 1, 0]);
            });
        }
    });
    assert_eq!(counts(0, Fault::Refuse), [all - streams, 0, 0, 0, 0, 0, 0]);
    assert_eq!(counts(0, Fault::Drop), [all - 1, 1, 0, 0, 0, 0, 0]);
    assert_eq!(counts(0, Fault::End), [all - rest, rest, 0, 0, 0, 0, 0]);
}

#[test]
fn gzip_is_read_where_the_server_has_it_and_missed_where_not() {
    let env = [("AUTH_TOKEN", TOKEN), ("SSE_ENABLE_COMPRESSION", "true")];
    let args = "--connections 600 --channels 3 --events 30 --rings 2 --gzip --max-lost 0 --json";
    // Small ones are stored, large ones leave in several pieces.
    for more in ["--data-bytes 43 --publish-rate wait", "--data-bytes 100000 --publish-rate 50"] {
        let server = Server::start(&["--workers", "2"], &env);
        let args = format!("{args} {more}");
        let outcome = bench(server.listen, &args.split_whitespace().collect::<Vec<_>>());
        let report = outcome.json();
        assert_eq!(outcome.code, 0, "{report} {}", outcome.stderr);
        let found = &report["deliveries"];
        assert_eq!((&found["received"], &found["corrupt"]), (&6_000.into(), &0.into()));
        // Nobody was read without it: each event's data stands in the text.
        let data = 6_000 * report["data_bytes"].as_u64().expect("bytes");
        assert!(found["text_bytes"].as_u64() > Some(data), "{report}");
        assert_eq!(server.get("/stats").json()["deliveries"], 6_000);
    }
    let plain = server();
    let outcome = bench(plain.listen, &["--connections", "3", "--gzip"]);
    assert_eq!(outcome.code, 1);
    assert!(outcome.stderr.contains("does not answer with gzip"), "{}", outcome.stderr);
}

/// An event stream server in a few lines, with one fault on one of its streams.
struct FakeServer {
    address: SocketAddr,
    over: Arc<AtomicBool>,
}

#[derive(Default)]
struct Book {
    /// With those that read gzip.
    streams: Vec<(TcpStream, bool)>,
    /// Which of them gets the fault.
    who: usize,
    events: usize,
    /// A frame held back.
    late: Option<Vec<u8>>,
}

impl FakeServer {
    fn start(fault: Fault, who: usize) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let over = Arc::new(AtomicBool::new(false));
        let (ended, book) =
            (Arc::clone(&over), Arc::new(Mutex::new(Book { who, ..Book::default() })));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ended.load(Ordering::Acquire) {
                    return;
                }
                let book = Arc::clone(&book);
                thread::spawn(move || {
                    let _ = serve(stream, &book, fault);
                });
            }
        });
        Self { address, over }
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(stream: TcpStream, book: &Mutex<Book>, fault: Fault) -> std::io::Result<()> {
    stream.set_read_timeout(Some(RUN_TIMEOUT))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line == "\r\n" {
                break;
            }
            lines.push(line);
        }
        let first = lines.first().cloned().unwrap_or_default();
        if first.starts_with("GET /sse/bench-0 ") {
            let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
            let gzip = lines.iter().any(|line| line == "Accept-Encoding: gzip\r\n");
            let coding = if gzip { "Content-Encoding: gzip\r\n" } else { "" };
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{coding}\r\n")?;
            if gzip {
                stream.write_all(b"\x1f\x8b\x08\0\0\0\0\0\0\xff")?;
            }
            stream.write_all(&coded(b":ok\n", gzip))?;
            book.streams.push((stream.try_clone()?, gzip));
            continue;
        }
        assert!(first.starts_with("POST /publish/bench-0 "), "{first}");
        let length = lines.iter().find_map(|line| line.strip_prefix("Content-Length: "));
        let mut data = vec![0; length.and_then(|text| text.trim().parse().ok()).expect("length")];
        reader.read_exact(&mut data)?;
        let refused =
            publish(&mut book.lock().unwrap_or_else(PoisonError::into_inner), &data, fault);
        let status = if refused { "503 Unavailable" } else { "200 OK" };
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\n{{}}")?;
    }
}

/// As a stream reads it: a deflated segment of its own, if by gzip.
fn coded(text: &[u8], gzip: bool) -> Vec<u8> {
    if !gzip || text.is_empty() {
        return text.to_vec();
    }
    let mut deflate = flate2::Compress::new(flate2::Compression::new(6), false);
    let mut out = Vec::with_capacity(text.len() + 100);
    deflate.compress_vec(text, &mut out, flate2::FlushCompress::Sync).expect("deflated");
    out
}

/// One event to all streams, one of which gets it with the fault; true if it was refused.
fn publish(book: &mut Book, data: &[u8], fault: Fault) -> bool {
    let number = book.events;
    book.events += 1;
    let hit = number == HIT;
    if hit && matches!(fault, Fault::Refuse) {
        return true;
    }
    let head = format!("id: fake0000-{}\ndata: ", number + 1);
    let frame = [head.as_bytes(), data, b"\n\n"].concat();
    let mut damaged = frame.clone();
    damaged[head.len() + 60] = b'#';
    for (at, (stream, gzip)) in book.streams.iter_mut().enumerate() {
        let late = if at == book.who { book.late.take() } else { None };
        let bytes = match fault {
            _ if at != book.who || !hit => [&frame[..], &late.unwrap_or_default()].concat(),
            Fault::Drop => Vec::new(),
            Fault::Repeat => [&frame[..], &frame].concat(),
            Fault::Damage => damaged.clone(),
            Fault::Swap => {
                book.late = Some(frame.clone());
                Vec::new()
            }
            Fault::End => {
                let _ = stream.shutdown(std::net::Shutdown::Both);
                Vec::new()
            }
            Fault::Refuse => unreachable!("refused above"),
        };
        let _ = stream.write_all(&coded(&bytes, *gzip));
    }
    false
}
