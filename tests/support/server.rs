//! The built binary as a child process on free ports.

use std::ffi::OsStr;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::http::{self, Response};
use super::wait_until;

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_ringcast");

/// Longest time from start to `200` on `/readyz`.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// Output kept of one process; the rest is read and dropped so that the process never blocks.
const OUTPUT_BYTES_MAX: usize = 4 << 20;

/// Exit code "address in use".
const EXIT_ADDRESS_IN_USE: i32 = 75;

/// A running server. Killed by its process id when dropped.
pub(crate) struct Server {
    child: Child,
    folder: PathBuf,
    /// Processes that have taken over from the first one, by its own words.
    followers: Vec<u32>,
    output: Arc<Mutex<Vec<u8>>>,
    /// Where it listens for clients.
    pub(crate) listen: SocketAddr,
    /// Where it listens for operators.
    pub(crate) admin: SocketAddr,
}

impl Server {
    /// Starts `ringcast ARGS --listen FREE --admin FREE` with only `env` in its environment and
    /// waits until it is ready. The working folder is a new empty one.
    pub(crate) fn start(args: &[&str], env: &[(&str, &str)]) -> Self {
        Self::start_in(new_folder(), args, env)
    }

    /// The same in a folder that the caller has prepared, for instance with a `.env`.
    pub(crate) fn start_in(folder: PathBuf, args: &[&str], env: &[(&str, &str)]) -> Self {
        Self::start_binary(Path::new(BINARY), folder, args, env)
    }

    /// The same with a copy of the binary.
    pub(crate) fn start_binary(
        binary: &Path,
        folder: PathBuf,
        args: &[&str],
        env: &[(&str, &str)],
    ) -> Self {
        // A port can be taken between the moment it was found free and the start.
        for _ in 0..5 {
            let addresses = [free_address(), free_address()];
            let mut server = Self::spawn_binary(binary, &folder, addresses, args, env);
            match server.wait_ready() {
                Ok(()) => return server,
                Err(Some(status)) if status.code() == Some(EXIT_ADDRESS_IN_USE) => {
                    // The next one needs the folder.
                    server.folder = PathBuf::new();
                }
                Err(status) => panic!("not ready, {status:?}:\n{}", server.output()),
            }
        }
        panic!("five times the port was taken");
    }

    /// Starts without waiting.
    pub(crate) fn spawn(
        folder: &Path,
        listen: SocketAddr,
        admin: SocketAddr,
        args: &[&str],
        env: &[(&str, &str)],
    ) -> Self {
        Self::spawn_binary(Path::new(BINARY), folder, [listen, admin], args, env)
    }

    fn spawn_binary(
        binary: &Path,
        folder: &Path,
        [listen, admin]: [SocketAddr; 2],
        args: &[&str],
        env: &[(&str, &str)],
    ) -> Self {
        let mut child = command_of(binary, folder, env)
            .args(args)
            .args(["--listen", &listen.to_string(), "--admin", &admin.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let output = Arc::new(Mutex::new(Vec::new()));
        collect(child.stdout.take().expect("piped"), &output);
        collect(child.stderr.take().expect("piped"), &output);
        let (folder, followers) = (folder.to_path_buf(), Vec::new());
        Self { child, folder, followers, output, listen, admin }
    }

    /// Polls `/readyz`. On failure the exit status, if the process has left.
    pub(crate) fn wait_ready(&mut self) -> Result<(), Option<ExitStatus>> {
        let end = Instant::now() + READY_TIMEOUT;
        while Instant::now() < end {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(Some(status));
            }
            if http::get(self.listen, "/readyz").is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Err(None)
    }

    /// `http://ADDRESS` followed by `path`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.listen)
    }

    /// GET on the clients' address.
    pub(crate) fn get(&self, path: &str) -> Response {
        http::get(self.listen, path).expect("an answer")
    }

    /// GET on the operators' address.
    pub(crate) fn get_admin(&self, path: &str) -> Response {
        http::get(self.admin, path).expect("an answer")
    }

    /// Everything it has printed so far, both streams.
    pub(crate) fn output(&self) -> String {
        let output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&output).into_owned()
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        *self.followers.last().unwrap_or(&self.child.id())
    }

    /// The process that says that it has taken over from the one known so far; `None` when none
    /// does within `limit`.
    pub(crate) fn follow(&mut self, limit: Duration) -> Option<u32> {
        let (known, mut found) = (self.pid(), None);
        wait_until(limit, Duration::from_millis(10), || {
            let stats = http::get(self.admin, "/stats").ok().map(|answer| answer.json());
            let process = stats.as_ref().map(|stats| &stats["process"]);
            let process = process.filter(|process| process["predecessor"] == known);
            found = process.and_then(|process| u32::try_from(process["pid"].as_u64()?).ok());
            found.is_some()
        });
        self.followers.extend(found);
        found
    }

    /// Sends a signal by name, for instance `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args(["-s", name, &self.pid().to_string()])
            .status()
            .expect("kill(1) runs");
        assert!(status.success(), "kill -s {name}");
    }

    /// Waits for its end, at most `limit`.
    pub(crate) fn wait_exit(&mut self, limit: Duration) -> Option<ExitStatus> {
        let mut left = None;
        wait_until(limit, Duration::from_millis(10), || {
            left = self.child.try_wait().expect("own child");
            left.is_some()
        });
        left
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have been followed just before a test has failed.
        if thread::panicking() && matches!(self.child.try_wait(), Ok(Some(_))) {
            self.follow(Duration::from_millis(500));
        }
        for follower in &self.followers {
            let _ = Command::new("kill").args(["-s", "KILL", &follower.to_string()]).status();
        }
        // Both fail only when it has already left.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
        if thread::panicking() {
            eprintln!("--- the server said:\n{}---", self.output());
        }
    }
}

/// The binary with nothing in its environment but the search path and `env`.
pub(crate) fn command<K: AsRef<OsStr>, V: AsRef<OsStr>>(folder: &Path, env: &[(K, V)]) -> Command {
    command_of(Path::new(BINARY), folder, env)
}

fn command_of<K: AsRef<OsStr>, V: AsRef<OsStr>>(
    binary: &Path,
    folder: &Path,
    env: &[(K, V)],
) -> Command {
    let mut command = Command::new(binary);
    command.current_dir(folder).env_clear().stdin(Stdio::null());
    for name in ["PATH", "HOME", "LANG"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.envs(env.iter().map(|(name, value)| (name.as_ref(), value.as_ref())));
    command
}

/// A loopback address nobody listens on right now. Each is given out once, and none is one of those
/// that the kernel gives to clients: between here and the server's start nobody else takes it.
pub(crate) fn free_address() -> SocketAddr {
    const FIRST: u32 = 10_000;
    const PORTS: u32 = 22_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Programs that run at the same time begin at places of their own.
    let begin = std::process::id().wrapping_mul(7_919);
    for _ in 0..PORTS {
        let number = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % PORTS;
        let port = u16::try_from(FIRST + number).expect("a port");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no port is free");
}

/// A new empty folder in Cargo's place for test files.
pub(crate) fn new_folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("run-{}-{number}", std::process::id());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).expect("a new folder");
    folder
}

/// Reads `from` to its end on a thread of its own.
fn collect(mut from: impl Read + Send + 'static, into: &Arc<Mutex<Vec<u8>>>) {
    let into = Arc::clone(into);
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let mut kept = into.lock().unwrap_or_else(PoisonError::into_inner);
            let room = OUTPUT_BYTES_MAX.saturating_sub(kept.len());
            kept.extend_from_slice(&buffer[..count.min(room)]);
        }
    });
}
