//! `ringcast top` against a server at work.

use std::process::Output;
use std::time::Duration;

use serde_json::Value;

use crate::rig::{Rig, SOON, data_of};
use crate::support::server::{command, new_folder};
use crate::support::wait_until;

fn top(args: &[&str]) -> Output {
    let folder = new_folder();
    let none: [(&str, &str); 0] = [];
    let output = command(&folder, &none).arg("top").args(args).output().expect("the binary runs");
    let _ = std::fs::remove_dir_all(&folder);
    output
}

#[test]
fn top_shows_what_each_core_does_as_json_and_as_text() {
    let mut rig = Rig::start();
    let mut streams: Vec<_> = (0..30).map(|_| rig.open("/sse/a")).collect();
    let admin = format!("http://{}", rig.server.admin);
    let look = |args: &[&str]| {
        let output = top(&[&["--admin", &admin, "--once"], args].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    // Events flow between its two looks.
    let events = std::thread::scope(|scope| {
        let json = scope.spawn(|| look(&["--json", "--every", "1500"]));
        let mut events = 0;
        while !json.is_finished() {
            rig.publish("a", "x");
            events += 1;
            std::thread::sleep(Duration::from_millis(20));
        }
        let shown: Value = serde_json::from_str(&json.join().expect("joined")).expect("JSON");
        let cores = shown["cores"].as_array().expect("cores");
        let sum = |name: &str| cores.iter().filter_map(|core| core[name].as_f64()).sum::<f64>();
        assert_eq!((cores.len(), sum("streams")), (2, 30.0));
        assert!((sum("share") - 1.0).abs() < 1e-9);
        let [all, published] = ["deliveries", "publishes"].map(|n| shown["total"][n].as_f64());
        let (all, published) = (all.expect("a rate"), published.expect("a rate"));
        assert!((all - sum("deliveries")).abs() < 1e-6 && published > 1.0, "{shown}");
        // Each event goes to all thirty, but for those under way at a look.
        assert!((all / published - 30.0).abs() < 3.0, "{shown}");
        assert!(shown["total"]["p99_us"].is_u64() && shown["rss"].as_u64() > Some(1 << 20));
        events
    });
    for stream in &mut streams {
        assert_eq!(data_of(stream, events).len(), events);
    }
    let text = look(&["--every", "100"]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("30 streams"), "{text}");
    assert_eq!(lines.iter().filter(|line| line.trim_start().starts_with("all ")).count(), 1);
}

#[test]
fn top_says_what_is_wrong_in_one_line() {
    let rig = Rig::start();
    let [public, admin] = [rig.address(), rig.server.admin].map(|at| format!("http://{at}"));
    let fails = |admin: &str, part: &str| {
        let output = top(&["--admin", admin, "--once"]);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains(part) && errors.lines().count() == 1, "{errors}");
    };
    fails(&public, "is this an operators' address?");
    drop(rig);
    fails(&admin, &admin);
    // JSON is for one look only.
    assert_eq!(top(&["--json"]).status.code(), Some(2));
}

/// A terminal of its own, 100 wide, for a program that draws.
const PTY: &str = r#"
import os, pty, select, sys, time, fcntl, termios, struct
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 120, 0, 0))
out, end, pressed = b"", time.time() + 20, False
while time.time() < end:
    ready, _, _ = select.select([fd], [], [], 0.2)
    try:
        out += os.read(fd, 65536) if ready else b""
    except OSError:
        break
    if not pressed and b"deliveries/s" in out and out.count(b"streams") > 1:
        os.write(fd, b"sq")
        pressed = True
_, status = os.waitpid(pid, 0)
sys.stdout.buffer.write(out)
sys.exit(os.waitstatus_to_exitcode(status))
"#;

#[test]
fn top_draws_on_a_terminal_and_leaves_it_as_it_was() {
    let rig = Rig::start();
    let _streams: Vec<_> = (0..7).map(|_| rig.open("/sse/a")).collect();
    let counted = || rig.server.get("/stats").json()["connectedClients"] == 7;
    assert!(wait_until(SOON, Duration::from_millis(20), counted));
    let admin = format!("http://{}", rig.server.admin);
    let output = std::process::Command::new("python3")
        .args([
            "-c",
            PTY,
            crate::support::server::BINARY,
            "top",
            "--every",
            "200",
            "--admin",
            &admin,
        ])
        .env("TERM", "xterm-256color")
        .output()
        .expect("python runs");
    let shown = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    // What is sorted by is underlined; `s` changed that.
    for part in ["ringcast", "busy", "quit", "\u{1b}[4m   core", "\u{1b}[4mstreams"] {
        assert!(shown.contains(part), "{part:?}: {shown:?}");
    }
    // The alternate screen was entered, and left at the end (xterm, DECSET 1049).
    let [entered, left] = ["\u{1b}[?1049h", "\u{1b}[?1049l"].map(|code| shown.rfind(code));
    assert!(entered.is_some() && entered < left, "{shown:?}");
}
