//! A headless Chromium, and the pages it opens.

use std::ffi::OsString;
use std::io::{self, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use super::http::{self, TIMEOUT};
use super::server::new_folder;
use super::wait_until;

/// Longest time in which a killed process is gone.
const GONE_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for a page: a browser takes seconds to start on a busy machine.
const DUMP_TIMEOUT: Duration = Duration::from_secs(90);

/// A site of one page that tells what happens on it by `POST /told`. Ends when dropped.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    told: Receiver<serde_json::Value>,
    ended: Arc<AtomicBool>,
}

impl Site {
    /// Serves `page` at `/`.
    pub(crate) fn serve(page: String) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let ended = Arc::new(AtomicBool::new(false));
        let (sender, told) = mpsc::channel();
        let of_thread = Arc::clone(&ended);
        thread::spawn(move || {
            for visitor in listener.incoming().map_while(Result::ok) {
                if of_thread.load(Ordering::Acquire) {
                    return;
                }
                // A browser opens connections that it may never use.
                let (page, sender) = (page.clone(), sender.clone());
                thread::spawn(move || answer(visitor, &page, &sender));
            }
        });
        Self { address, told, ended }
    }

    /// What the page tells next; `None` after `limit`.
    pub(crate) fn told(&self, limit: Duration) -> Option<serde_json::Value> {
        self.told.recv_timeout(limit).ok()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.address);
    }
}

/// One request, then the end.
fn answer(visitor: TcpStream, page: &str, told: &Sender<serde_json::Value>) -> io::Result<()> {
    visitor.set_read_timeout(Some(TIMEOUT))?;
    let mut reader = BufReader::new(visitor);
    let (line, fields) = http::read_request(&mut reader)?;
    let length = fields.iter().find(|(name, _)| name == "content-length");
    let length = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let (status, text) = match line.split(' ').collect::<Vec<_>>()[..] {
        ["GET", "/", _] => ("200 OK", page),
        ["POST", "/told", _] => {
            if let Ok(what) = serde_json::from_slice(&body) {
                let _ = told.send(what);
            }
            ("204 No Content", "")
        }
        _ => ("404 Not Found", ""),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{text}",
        text.len()
    );
    reader.get_mut().write_all(head.as_bytes())
}

/// A running browser: a group of processes with a profile of its own, both gone when dropped.
pub(crate) struct Browser {
    child: Child,
    profile: PathBuf,
}

impl Browser {
    /// Opens `url` in the Chromium that `make setup` installed, or in the one that
    /// RINGCAST_TEST_CHROMIUM names.
    pub(crate) fn open(url: &str) -> Self {
        Self::start(url, &[], Stdio::null())
    }

    fn start(url: &str, flags: &[&str], output: Stdio) -> Self {
        let program = std::env::var_os("RINGCAST_TEST_CHROMIUM");
        let program = program.unwrap_or_else(|| OsString::from("chromium"));
        let profile = new_folder();
        let log = std::fs::File::create(profile.join("log")).expect("a file");
        let child = Command::new(&program)
            .arg(format!("--user-data-dir={}", profile.display()))
            // Root may not have its sandbox, nor may most containers.
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            // It shall speak to nobody but the test.
            .args(["--no-first-run", "--disable-background-networking", "--disable-sync"])
            .args(["--disable-component-update", "--disable-breakpad", "--no-proxy-server"])
            .args(flags)
            .arg(url)
            .env("HOME", &profile)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{program:?}: {error} (run `make setup`)"));
        Self { child, profile }
    }

    /// What it has complained about.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.profile.join("log")).unwrap_or_default()
    }
}

/// What the page at `url` has become after `ran` of its own time, as HTML.
pub(crate) fn dump(url: &str, ran: Duration) -> String {
    let budget = format!("--virtual-time-budget={}", ran.as_millis());
    let mut browser = Browser::start(url, &["--dump-dom", &budget], Stdio::piped());
    let mut output = browser.child.stdout.take().expect("it is piped");
    let (sender, text) = mpsc::channel();
    thread::spawn(move || {
        let mut text = String::new();
        let _ = output.read_to_string(&mut text);
        let _ = sender.send(text);
    });
    // It ends by itself; if not, it is ended when this is dropped.
    let text = text.recv_timeout(DUMP_TIMEOUT);
    text.unwrap_or_else(|_| panic!("the browser is silent:\n{}", browser.log()))
}

impl Drop for Browser {
    fn drop(&mut self) {
        // All of its processes, by their group, and then whoever left the group, by number.
        kill(&format!("-{}", self.child.id()));
        let _ = self.child.wait();
        let profile = self.profile.clone();
        let gone = wait_until(GONE_TIMEOUT, Duration::from_millis(20), || {
            let left = processes_of(&profile);
            left.iter().for_each(|pid| kill(pid));
            left.is_empty()
        });
        let _ = std::fs::remove_dir_all(&self.profile);
        assert!(gone || thread::panicking(), "processes of the browser are left");
    }
}

fn kill(pid: &str) {
    let mut command = Command::new("kill");
    // It fails where there is nobody any more.
    let _ = command.args(["-s", "KILL", "--", pid]).stderr(Stdio::null()).status();
}

/// Whoever has the profile in its command line.
fn processes_of(profile: &Path) -> Vec<String> {
    let mark = profile.as_os_str().as_encoded_bytes();
    let all = std::fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
    let has_mark = |folder: &Path| {
        let line = std::fs::read(folder.join("cmdline")).unwrap_or_default();
        line.windows(mark.len()).any(|part| part == mark)
    };
    all.filter(|entry| has_mark(&entry.path()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.bytes().all(|b| b.is_ascii_digit()))
        .collect()
}
