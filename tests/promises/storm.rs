//! Thousands of users over their cap, on both cores of the real binary.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;

use crate::rig::{Rig, SOON};
use crate::support::wait_until;

const SECRET: &str = "a-secret-of-more-than-thirty-two-bytes-for-tests";
const USERS_MAX: usize = 3_000;
const CAP: usize = 3;
const CONNECTS_MAX: usize = 5;
const THREADS: usize = 8;
/// Descriptors that the other tests of this program may need meanwhile.
const SPARE: usize = 3_000;
/// What a first storm may leave with the allocator and in tables; a second one adds nothing.
const LEFT_KIB_MAX: u64 = 24 << 10;
const GROWTH_KIB_MAX: u64 = 2 << 10;

/// Every other user connects once more.
fn connects(user: usize) -> usize {
    CONNECTS_MAX - 1 + user % 2
}

/// The user's stream that was opened as number `connect` has to go for a later one.
fn has_to_go(user: usize, connect: usize) -> bool {
    connect + CAP < connects(user)
}

/// Each user's token, made by the book (RFC 7515): the server's own maker has no part in it.
fn token(user: usize) -> String {
    let part = |text: String| URL_SAFE_NO_PAD.encode(text);
    let head = part("{\"alg\":\"HS256\",\"typ\":\"JWT\"}".to_owned());
    let text = format!("{head}.{}", part(format!("{{\"sub\":\"storm-{user}\"}}")));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = hmac::sign(&key, text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// As many users as this process may hold streams for, its limit raised as far as it goes.
fn users() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").expect("limits");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
    let hard = line.split_whitespace().nth(4).expect("a hard limit");
    let pid = std::process::id().to_string();
    let mut command = Command::new("prlimit");
    command.args(["--pid", &pid, &format!("--nofile={hard}:{hard}")]);
    assert!(command.status().expect("prlimit(1) runs").success());
    let hard: usize = hard.parse().unwrap_or(usize::MAX);
    let users = (hard.saturating_sub(SPARE) / CONNECTS_MAX).min(USERS_MAX);
    assert!(users > USERS_MAX / 2, "RLIMIT_NOFILE {hard} is too low for this test");
    users
}

/// A stream without more around it than it needs: there are very many.
struct Reader {
    socket: TcpStream,
    text: Vec<u8>,
}

impl Reader {
    fn open(rig: &Rig, thread: usize, token: &str) -> Self {
        let source = [127, 3, 0, u8::try_from(thread + 1).expect("few")];
        let mut socket = crate::caps::connect_from(source, rig.address());
        let head = format!(
            "GET /sse/storm?control=on HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).expect("sent");
        let mut reader = Self { socket, text: Vec::new() };
        assert!(reader.reads("\"connection\":\""), "{}", reader.text());
        reader
    }

    /// Reads until this is among what was read; false at the end or when nothing comes for long.
    fn reads(&mut self, mark: &str) -> bool {
        let mut buffer = [0; 2048];
        while !self.text().contains(mark) {
            match self.socket.read(&mut buffer) {
                Ok(count @ 1..) => self.text.extend_from_slice(&buffer[..count]),
                _ => return false,
            }
        }
        true
    }

    /// Reads to the end, which must come.
    fn ends(&mut self) -> bool {
        self.socket.read_to_end(&mut self.text).is_ok()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.text).into_owned()
    }

    /// The number of the core that it is on: the first part of its name.
    fn core(&self) -> String {
        let text = self.text();
        let name = text.split("\"connection\":\"").nth(1).unwrap_or_default();
        name.split('-').next().unwrap_or_default().to_owned()
    }
}

/// Sums over the cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counts {
    streams: u64,
    begun: u64,
    evictions: u64,
    refused: u64,
}

fn counts(rig: &Rig) -> Counts {
    let cores = rig.server.get_admin("/stats/cores").json();
    let cores = cores["cores"].as_array().expect("cores").clone();
    assert_eq!(cores.len(), 2);
    let sum = |name: &str| cores.iter().map(|core| core[name].as_u64().expect(name)).sum();
    Counts {
        streams: sum("streams"),
        begun: sum("streams_begun"),
        evictions: sum("evictions"),
        refused: sum("streams_refused"),
    }
}

fn resident_kib(rig: &Rig) -> u64 {
    let path = format!("/proc/{}/smaps_rollup", rig.server.pid());
    let text = std::fs::read_to_string(path).expect("the server runs");
    let line = text.lines().find(|line| line.starts_with("Rss:")).expect("a size");
    line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
}

/// All streams by user, in the order in which they were opened. In each turn a user's next stream
/// comes from another thread.
fn open_all(rig: &Rig, tokens: &[String]) -> Vec<Vec<Reader>> {
    let mut all: Vec<Vec<Reader>> = tokens.iter().map(|_| Vec::new()).collect();
    for connect in 0..CONNECTS_MAX {
        let opened: Vec<(usize, Reader)> = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let first = (thread + connect) % THREADS;
                    scope.spawn(move || {
                        let users = (first..tokens.len()).step_by(THREADS);
                        let users = users.filter(|user| connect < connects(*user));
                        let open = |user: usize| (user, Reader::open(rig, thread, &tokens[user]));
                        users.map(open).collect::<Vec<_>>()
                    })
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("opened")).collect()
        });
        opened.into_iter().for_each(|(user, reader)| all[user].push(reader));
    }
    all
}

/// One storm from no stream to no stream.
fn storm(rig: &mut Rig, tokens: &[String], round: usize) {
    let before = counts(rig);
    assert_eq!(before.streams, 0);
    let mut all = open_all(rig, tokens);
    let (mut begun, mut evicted) = (0, 0);
    let mut cores = BTreeSet::new();
    for (user, streams) in all.iter_mut().enumerate() {
        for (connect, stream) in streams.iter_mut().enumerate() {
            begun += 1;
            cores.insert(stream.core());
            if !has_to_go(user, connect) {
                continue;
            }
            evicted += 1;
            assert!(stream.ends(), "stream {connect} of user {user} goes on: {}", stream.text());
            let text = stream.text();
            let byes: Vec<&str> = text.split("event: sse.bye\n").skip(1).collect();
            assert_eq!(byes.len(), 1, "{text}");
            assert!(byes[0].contains("{\"reason\":\"evicted\",\"reconnect\":false}\n"), "{text}");
        }
    }
    assert_eq!(cores.into_iter().collect::<Vec<_>>(), ["0", "1"]);
    let live = (tokens.len() * CAP) as u64;
    let due = Counts {
        streams: live,
        begun: before.begun + begun,
        evictions: before.evictions + evicted,
        refused: before.refused,
    };
    assert!(wait_until(SOON, Duration::from_millis(20), || counts(rig) == due), "{due:?}");
    // Those that stay are all there and are those that were opened last.
    let mark = format!("data: the end of round {round}\n");
    let published = rig.publisher.publish("storm", mark[6..].trim_end().as_bytes());
    assert_eq!(published.subscribers, live);
    for (user, streams) in all.iter_mut().enumerate() {
        for (connect, stream) in
            streams.iter_mut().enumerate().filter(|(c, _)| !has_to_go(user, *c))
        {
            assert!(stream.reads(&mark), "{connect} of {user} misses it: {}", stream.text());
            assert!(!stream.text().contains("sse.bye"), "{}", stream.text());
        }
    }
    drop(all);
    let due = Counts { streams: 0, ..due };
    assert!(wait_until(SOON, Duration::from_millis(20), || counts(rig) == due), "{due:?}");
}

#[test]
fn thousands_of_users_storm_their_caps_and_each_keeps_the_newest_three() {
    let users = users();
    let tokens: Vec<String> = (0..users).map(token).collect();
    let cap = CAP.to_string();
    let mut rig =
        Rig::start_with(&[("JWT_SECRET", SECRET), ("SSE_MAX_CONNECTIONS_PER_USER", &*cap)]);
    let start = resident_kib(&rig);
    storm(&mut rig, &tokens, 0);
    let settle =
        |most: u64| wait_until(SOON, Duration::from_millis(200), || resident_kib(&rig) <= most);
    let limit = start + LEFT_KIB_MAX;
    assert!(settle(limit), "{} KiB, {start} at the start", resident_kib(&rig));
    let first = resident_kib(&rig);
    let begin = Instant::now();
    storm(&mut rig, &tokens, 1);
    let took = begin.elapsed();
    let settle =
        |most: u64| wait_until(SOON, Duration::from_millis(200), || resident_kib(&rig) <= most);
    let again = settle(first + GROWTH_KIB_MAX);
    let now = resident_kib(&rig);
    assert!(again, "{now} KiB after the second storm, {first} after the first");
    println!("{users} users: {start} KiB, then {first}, then {now}; the second took {took:?}");
}
