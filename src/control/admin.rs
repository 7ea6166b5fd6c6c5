//! The operators' address, served by the cold half.

use std::net::{IpAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_uring::net::TcpStream;

use super::Desk;
use super::act::act;
use super::reload::{self, Reload};
use super::restart::{self, Predecessor};
use super::watch::watch as report;
use crate::admin;
use crate::auth::{Identity, TokenError, jwt};
use crate::driver::sys;
use crate::proto::channel::check_name;
use crate::proto::http::{
    Body, BodyError, Head, HeadLimits, Method, Parsed, Problem, Response, Scan, decode_percent,
    pairs, parse_head, split_target,
};
use crate::worker::{Node, Phase};

/// A request must be complete by then.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const BUFFER_BYTES: usize = 16 << 10;
const BODY_BYTES_MAX: u64 = 64 << 10;

/// What the server is told by: SIGTERM and SIGINT end it, SIGHUP has it read its settings again,
/// SIGUSR2 has a new process take over.
pub(super) struct Signals {
    hangup: Signal,
    restart: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes them over from the kernel, which would end the process without a word. Call it in the
    /// runtime, before anybody is served.
    pub(super) fn install() -> std::io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let hangup = signal(SignalKind::hangup())?;
        let restart = signal(SignalKind::user_defined2())?;
        Ok(Self { hangup, restart, terminate, interrupt: signal(SignalKind::interrupt())? })
    }
}

/// Serves until a signal ends it; then the workers drain.
pub(super) async fn serve(
    listener: Option<TcpListener>,
    signals: Signals,
    desk: Desk,
    reload: Reload,
    predecessor: Arc<Predecessor>,
) {
    let desk = Rc::new(desk);
    let node = Arc::clone(&desk.node);
    let Signals { hangup, mut restart, mut terminate, mut interrupt } = signals;
    tokio_uring::spawn(reload::on_signal(hangup, reload));
    let (pause, paused) = watch::channel(false);
    if let Some(listener) = listener {
        tokio_uring::spawn(accept(Rc::clone(&desk), listener, paused));
    }
    // Hardly anything to look after until then: this thread must not wake a core that delivers.
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = report(&node) => {}
        heir = restart::on_signal(&mut restart, &predecessor, &desk, &pause) => {
            // Whoever wanted to stop this process wanted the server to stop.
            let told = tokio::time::timeout(Duration::from_millis(1), async {
                tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            });
            if told.await.is_ok() {
                heir.stop();
            }
            return;
        }
    }
    predecessor.close_sockets();
    let streams: u64 = node.counters.iter().map(|core| core.streams.get()).sum();
    tracing::info!(streams, within_ms = node.live().options.drain_ms, "draining");
    super::tell_supervisor(&[sd_notify::NotifyState::Stopping]);
    desk.go(Phase::Draining);
    let drained = async {
        // The workers end by themselves.
        while !node.is_drained() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = drained => return,
    }
    tracing::warn!("told a second time to stop: what is left is cut off");
    desk.go(Phase::Stopping);
}

/// Takes operators' connections, unless a new process is to take them.
async fn accept(desk: Rc<Desk>, listener: TcpListener, mut paused: watch::Receiver<bool>) {
    let loopback = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
    // Waits until somebody is there and takes him then: whoever stops waiting has taken nobody.
    let taken =
        listener.set_nonblocking(true).and_then(|()| tokio::net::TcpListener::from_std(listener));
    let Ok(listener) = taken else { return };
    loop {
        if paused.wait_for(|paused| !paused).await.is_err() {
            return;
        }
        let accepted = tokio::select! {
            biased;
            _ = paused.wait_for(|paused| *paused) => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted.and_then(|(stream, _)| stream.into_std()) {
            Ok(stream) => {
                let desk = Rc::clone(&desk);
                // The ring waits by itself, unless it is told to say EAGAIN.
                let _ = stream.set_nonblocking(false);
                tokio_uring::spawn(async move {
                    let answer = answer(&desk, TcpStream::from_std(stream), loopback);
                    let _ = tokio::time::timeout(REQUEST_TIMEOUT, answer).await;
                });
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// One request, one answer, then the connection ends.
async fn answer(desk: &Desk, stream: TcpStream, loopback: bool) {
    let mut input = Vec::new();
    let mut scan = Scan::default();
    let mut reading: Option<Body> = None;
    let (mut head_len, mut content) = (0, Vec::new());
    let mut buffer = vec![0; BUFFER_BYTES];
    let out = loop {
        let (result, filled) = stream.read(buffer).await;
        buffer = filled;
        let Ok(len @ 1..) = result else { return };
        input.extend_from_slice(&buffer[..len]);
        if reading.is_none() {
            match parse_head(&input, &mut scan, &HeadLimits::default()) {
                Parsed::Partial => continue,
                Parsed::Complete { head, len } => match Body::new(head.framing(), BODY_BYTES_MAX) {
                    Ok(body) => (reading, head_len) = (Some(body), len),
                    Err(error) => break body_problem(error),
                },
                Parsed::Invalid(error) => {
                    break problem(&Problem::new(error.status(), "bad-request", error.to_string()));
                }
            }
        }
        let Some(body) = reading.as_mut() else { continue };
        match body.feed(&input[head_len..], &mut content) {
            Err(error) => break body_problem(error),
            // Its framing stays with the head; the rest is what has not been read.
            Ok(fed) if !fed.done => drop(input.drain(head_len..head_len + fed.used)),
            Ok(_) => {
                input.truncate(head_len);
                match parse_head(&input, &mut Scan::default(), &HeadLimits::default()) {
                    Parsed::Complete { head, .. } => {
                        break respond(desk, &head, &content, loopback);
                    }
                    _ => return,
                }
            }
        }
    };
    let _ = stream.write_all(out).await;
    let _ = stream.shutdown(std::net::Shutdown::Write);
}

fn body_problem(error: BodyError) -> Vec<u8> {
    problem(&Problem::new(error.status(), "bad-body", error.to_string()))
}

fn problem(problem: &Problem) -> Vec<u8> {
    let mut out = Vec::new();
    problem.write(true, false, &[], &mut out);
    out
}

fn respond(desk: &Desk, head: &Head<'_>, content: &[u8], loopback: bool) -> Vec<u8> {
    let node = &*desk.node;
    if let Err(refusal) = admit(node, head, loopback) {
        return problem(&refusal);
    }
    let (path, _) = split_target(head.target);
    if head.method != Method::Get && head.method != Method::Head && node.handover.is_on() {
        let detail = "a new process takes over: ask that one";
        return problem(&Problem::new(503, "restarting", detail).retry_after(1));
    }
    match act(desk, head.method, path, content) {
        Some(Ok(done)) => {
            let (mut out, body) = (Vec::new(), done.to_string());
            Response::new(200).body("application/json", body.as_bytes()).write(true, &mut out);
            return out;
        }
        Some(Err(refusal)) => return problem(&refusal),
        None => {}
    }
    if !matches!(head.method, Method::Get | Method::Head) {
        return problem(&Problem::new(405, "method", "only GET is served here").allow("GET, HEAD"));
    }
    if let Some(found) = presence(node, head.target) {
        return match found {
            Ok(body) => {
                let (mut out, body) = (Vec::new(), body.to_string());
                Response::new(200)
                    .body("application/json", body.as_bytes())
                    .field("Cache-Control", "no-store")
                    .head_only(head.method == Method::Head)
                    .write(true, &mut out);
                out
            }
            Err(refusal) => problem(&refusal),
        };
    }
    let format = admin::Format::accepted(head.field("accept").unwrap_or_default());
    let asked = admin::Asked { format, ..admin::Asked::at(path) };
    let Some(page) = node.page(&asked, sys::unix_ms()) else {
        return problem(&Problem::new(404, "not-found", "nothing is served at this path"));
    };
    let mut out = Vec::new();
    let response = Response::new(page.status).body(page.content_type, &page.body);
    let response =
        admin::PAGE_FIELDS.iter().fold(response, |r, (name, value)| r.field(name, value));
    response.head_only(head.method == Method::Head).write(true, &mut out);
    out
}

/// `/channels/{channel}/presence?after=NAME`; none at another path.
fn presence(node: &Node, target: &str) -> Option<Result<serde_json::Value, Problem>> {
    let (path, query) = split_target(target);
    let name = path.strip_prefix("/channels/")?.strip_suffix("/presence")?;
    let bad = |error: String| Problem::new(400, "bad-channel", error);
    let read = || {
        let name = decode_percent(name).map_err(|error| bad(error.to_string()))?;
        check_name(&name).map_err(|error| bad(error.to_string()))?;
        let mut after = None;
        for pair in pairs(query) {
            let (key, value) = pair.map_err(|error| bad(error.to_string()))?;
            after = if key == "after" { Some(value) } else { after };
        }
        Ok(node.presence_of(&name, after.as_deref()))
    };
    Some(read())
}

/// Who may look: an admin token, or, on a loopback listener, whoever is on this machine. A web page
/// must not: its requests name a foreign host (DNS rebinding) or say that they come from a page.
fn admit(node: &Node, head: &Head<'_>, loopback: bool) -> Result<(), Problem> {
    let live = node.live();
    let options = &live.options.admin;
    if let Some(token) = head.bearer() {
        let now_unix_s = sys::unix_ms() / 1_000;
        let claims = jwt::verify(token, &live.keys, &live.rules, now_unix_s)
            .map_err(|error| Problem::new(error.status(), "token-invalid", error.to_string()))?;
        let identity = Identity::from(claims);
        if node.is_revoked(&identity, now_unix_s) {
            return Err(Problem::new(401, "token-invalid", TokenError::Revoked.to_string()));
        }
        if identity.admin {
            return Ok(());
        }
        return Err(Problem::new(403, "not-admin", "the token is not an admin's"));
    }
    let reads = matches!(head.method, Method::Get | Method::Head);
    if options.metrics_public && reads && split_target(head.target).0 == "/metrics" {
        return Ok(());
    }
    if !loopback {
        return Err(Problem::new(401, "token-missing", "the admin address needs an admin token"));
    }
    let host = head.field("host").unwrap_or("localhost");
    if !is_own_host(host, &options.hosts) {
        let detail = "without a token this address answers only to loopback names and admin.hosts";
        return Err(Problem::new(421, "host", detail));
    }
    let foreign = head.field("origin").is_some_and(|origin| {
        let host = origin.split_once("://").map_or("", |(_, host)| host);
        !is_own_host(host, &options.hosts)
    });
    if foreign || head.field("sec-fetch-site") == Some("cross-site") {
        return Err(Problem::new(403, "origin", "web pages of other sites may not look here"));
    }
    Ok(())
}

/// A name of this machine's loopback, or one that the operator has named.
fn is_own_host(host: &str, named: &[String]) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let is_named =
        |known: &String| known.eq_ignore_ascii_case(host) || known.eq_ignore_ascii_case(name);
    is_loopback_host(host) || named.iter().any(is_named)
}

fn is_loopback_host(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_names() {
        for good in ["localhost", "LOCALHOST:8081", "127.0.0.1:1", "127.3.2.1", "[::1]:8081"] {
            assert!(is_loopback_host(good), "{good}");
        }
        for bad in ["evil.example", "127.0.0.1.evil.example", "localhost.evil", "10.0.0.1", ""] {
            assert!(!is_loopback_host(bad), "{bad}");
        }
    }
}
