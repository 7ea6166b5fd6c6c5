//! Real client programs as child processes, their events as a channel.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use super::sse::{Event, Parser};

/// A client nobody here wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    Curl,
    Eventsource,
    FetchEventSource,
    Httpx,
    Sseclient,
}

impl Client {
    /// Every one.
    pub(crate) const ALL: [Self; 5] =
        [Self::Curl, Self::Eventsource, Self::FetchEventSource, Self::Httpx, Self::Sseclient];

    /// A name fit for a channel.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Curl => "curl",
            Self::Eventsource => "eventsource",
            Self::FetchEventSource => "fetch_event_source",
            Self::Httpx => "httpx",
            Self::Sseclient => "sseclient",
        }
    }

    fn command(self, url: &str, names: &[&str]) -> Command {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
        let (interpreter, file) = match self {
            Self::Curl => {
                let mut command = Command::new("curl");
                command.args(["-sSN", "--noproxy", "*", url]);
                return command;
            }
            Self::Eventsource => (PathBuf::from("node"), "subscribe_eventsource.mjs"),
            Self::FetchEventSource => (PathBuf::from("node"), "subscribe_fetch_event_source.mjs"),
            Self::Httpx => (python(), "subscribe_httpx.py"),
            Self::Sseclient => (python(), "subscribe_sseclient.py"),
        };
        let mut command = Command::new(interpreter);
        // More events than ever come: the test ends the program, not the count.
        command.arg(folder.join(file)).args([url, "1000000000"]).args(names);
        command
    }
}

/// The Python that `make setup` made, or the one that RINGCAST_TEST_PYTHON names.
pub(crate) fn python() -> PathBuf {
    std::env::var_os("RINGCAST_TEST_PYTHON").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python"),
        PathBuf::from,
    )
}

/// The promtool that `make setup` took out of its package, or the one that RINGCAST_TEST_PROMTOOL
/// names.
pub(crate) fn promtool() -> PathBuf {
    std::env::var_os("RINGCAST_TEST_PROMTOOL").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/promtool"),
        PathBuf::from,
    )
}

/// A running client program. Killed by its process id when dropped.
pub(crate) struct Program {
    child: Child,
    events: Receiver<Event>,
}

impl Program {
    /// Subscribes to `url`; `names` are the event names to listen for beside `message`.
    pub(crate) fn start(
        client: Client,
        url: &str,
        names: &[&str],
        last_event_id: Option<&str>,
    ) -> Self {
        Self::run(client, client.command(url, names), last_event_id)
    }

    /// The same, asking for gzip: all but curl do so by themselves.
    pub(crate) fn start_gzip(client: Client, url: &str, last_event_id: Option<&str>) -> Self {
        let mut command = client.command(url, &[]);
        if client == Client::Curl {
            command.arg("--compressed");
        }
        Self::run(client, command, last_event_id)
    }

    fn run(client: Client, mut command: Command, last_event_id: Option<&str>) -> Self {
        match (client, last_event_id) {
            (Client::Curl, Some(id)) => {
                command.args(["-H", &format!("Last-Event-ID: {id}")]);
            }
            (_, Some(id)) => {
                command.env("LAST_EVENT_ID", id);
            }
            (_, None) => {
                command.env_remove("LAST_EVENT_ID");
            }
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{client:?}: {error} (run `make setup`)"));
        let output = child.stdout.take().expect("piped");
        let (sender, events) = mpsc::channel();
        // The readers end with the program's output or when nobody listens any more.
        std::thread::spawn(move || match client {
            Client::Curl => read_stream(output, |event| sender.send(event).is_ok()),
            _ => read_lines(output, |event| sender.send(event).is_ok()),
        });
        Self { child, events }
    }

    /// The next event within `limit`; `None` after it or at the program's end.
    pub(crate) fn next(&self, limit: Duration) -> Option<Event> {
        self.events.recv_timeout(limit).ok()
    }

    /// Kills it at once and returns what it had still reported.
    pub(crate) fn kill(mut self) -> Vec<Event> {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.events.iter().collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_stream(mut output: impl Read, mut send: impl FnMut(Event) -> bool) {
    let mut parser = Parser::default();
    let mut buffer = [0; 64 * 1024];
    let mut open = true;
    while open {
        match output.read(&mut buffer) {
            Ok(0) | Err(_) => open = false,
            Ok(count) => parser.feed(&buffer[..count], &mut |event| open &= send(event)),
        }
    }
}

fn read_lines(output: impl Read, mut send: impl FnMut(Event) -> bool) {
    let mut reader = BufReader::new(output);
    let mut line = Vec::new();
    // A line without its end was cut by the kill: its event was not reported.
    while reader.read_until(b'\n', &mut line).is_ok_and(|_| line.ends_with(b"\n")) {
        let event = serde_json::from_slice(&line).expect("one JSON object per line");
        if !send(event) {
            return;
        }
        line.clear();
    }
}
