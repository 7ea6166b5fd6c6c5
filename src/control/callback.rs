//! Carries questions about sessions to the callback, and its answers back to the workers.
//!
//! What goes there are credentials. They are never logged, a redirect is never followed, and a
//! server's certificate must be one the system trusts.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Request, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, RootCertStore};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::auth::callback::{ANSWER_BYTES_MAX, Fingerprint, Question, Unusable, Verdict};
use crate::driver::{ControlBell, Doorbells, sys};
use crate::worker::Node;

/// An idle connection is kept so long; Node.js ends them after 5 seconds.
const IDLE: Duration = Duration::from_secs(3);
/// Failures are told no more often than this.
const TOLD_EVERY: Duration = Duration::from_secs(10);
const USER_AGENT: &str = concat!("ringcast/", env!("CARGO_PKG_VERSION"));

type Http = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

/// Why a question has no usable answer. No text holds anything of the question.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("its URL cannot be used")]
    Url,
    #[error("a credential cannot be sent in a header")]
    Credentials,
    #[error("TLS cannot be used here: {0}")]
    Tls(#[from] rustls::Error),
    #[error("no answer within {0} ms")]
    Timeout(u64),
    #[error("{0}")]
    Call(Causes),
    #[error("its answer was cut, or is longer than {ANSWER_BYTES_MAX} bytes")]
    Answer,
    #[error(transparent)]
    Unusable(#[from] Unusable),
}

/// An error with all that has caused it, on one line.
#[derive(Debug)]
struct Causes(hyper_util::client::legacy::Error);

impl fmt::Display for Causes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

struct Answer {
    of: Fingerprint,
    /// The verdict and the bytes it was read from.
    told: Result<(Verdict, usize), Trouble>,
}

/// Asks whatever the workers want to know, for ever.
pub(super) async fn run(node: Arc<Node>, doorbells: Arc<Doorbells>) {
    let mut carrier = Carrier { node, doorbells, http: None, bell: None, told: Told::default() };
    let mut calls = JoinSet::new();
    loop {
        let live = carrier.node.live();
        let at_once = live.callback.as_ref().map_or(1, |callback| callback.bounds.in_flight_max);
        drop(live);
        while calls.len() < at_once
            && let Some((of, question, since_ms)) = carrier.node.next_question()
        {
            match carrier.http() {
                Ok(http) => {
                    calls.spawn_local(ask(http, of, question, since_ms));
                }
                Err(trouble) => carrier.deliver(Answer { of, told: Err(trouble) }),
            }
        }
        tokio::select! {
            () = carrier.node.new_question() => {}
            Some(done) = calls.join_next() => {
                // Calls are neither cancelled nor do they panic.
                if let Ok(answer) = done {
                    carrier.deliver(answer);
                }
            }
        }
    }
}

struct Carrier {
    node: Arc<Node>,
    doorbells: Arc<Doorbells>,
    http: Option<Http>,
    bell: Option<ControlBell>,
    told: Told,
}

impl Carrier {
    /// The client, made with the first question: it reads the certificates of the system.
    fn http(&mut self) -> Result<Http, Trouble> {
        if let Some(http) = &self.http {
            return Ok(http.clone());
        }
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let tls = HttpsConnectorBuilder::new().with_provider_and_native_roots(default_provider());
        let tls = match tls {
            Ok(tls) => tls,
            Err(error) => {
                tracing::warn!(
                    "auth.callback: https:// cannot be asked, nobody is trusted: {error}"
                );
                HttpsConnectorBuilder::new().with_tls_config(trust_nobody()?)
            }
        };
        let connector = tls.https_or_http().enable_http1().wrap_connector(tcp);
        let http = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .build(connector);
        self.http = Some(http.clone());
        Ok(http)
    }

    /// Leaves an answer with the workers that wait for it, and wakes them.
    fn deliver(&mut self, answer: Answer) {
        let (verdict, bytes) = answer.told.unwrap_or_else(|trouble| {
            self.told.failed(&trouble);
            (Verdict::Unknown, 0)
        });
        if self.bell.is_none() {
            // Without one they look for themselves ten times a second.
            self.bell = ControlBell::new().ok();
        }
        let now_ms = sys::mono_ms();
        for worker in self.node.answer_question(answer.of, &verdict, bytes, now_ms) {
            if let Some(bell) = &mut self.bell {
                bell.ring(&self.doorbells, worker);
            }
        }
    }
}

/// For systems without certificates: plain HTTP works there, TLS is refused.
fn trust_nobody() -> Result<ClientConfig, rustls::Error> {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let config = config.with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// Failures since one was last told.
#[derive(Default)]
struct Told {
    last: Option<Instant>,
    failures: u64,
}

impl Told {
    fn failed(&mut self, trouble: &Trouble) {
        self.failures += 1;
        if self.last.is_some_and(|last| last.elapsed() < TOLD_EVERY) {
            return;
        }
        self.last = Some(Instant::now());
        let failures = std::mem::take(&mut self.failures);
        tracing::warn!(failures, "auth.callback: {trouble}; subscribers were refused with 503");
    }
}

async fn ask(http: Http, of: Fingerprint, question: Arc<Question>, since_ms: u64) -> Answer {
    let timeout_ms = question.callback.bounds.timeout_ms;
    let waited_ms = sys::mono_ms().saturating_sub(since_ms);
    let left = Duration::from_millis(timeout_ms.saturating_sub(waited_ms));
    let told = timeout(left, call(&http, &question)).await;
    Answer { of, told: told.unwrap_or(Err(Trouble::Timeout(timeout_ms))) }
}

async fn call(http: &Http, question: &Question) -> Result<(Verdict, usize), Trouble> {
    let answer = http.request(request(question)?).await;
    let answer = answer.map_err(|error| Trouble::Call(Causes(error)))?;
    let status = answer.status();
    // Whatever the status, a body that was read leaves a connection that can be used again.
    let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
    let body = match body {
        Ok(body) => body.to_bytes(),
        Err(_) if status.is_success() => return Err(Trouble::Answer),
        Err(_) => Bytes::new(),
    };
    let now_unix_s = sys::unix_ms() / 1_000;
    let verdict = question.callback.judge(status.as_u16(), &body, now_unix_s)?;
    Ok((verdict, body.len()))
}

fn request(question: &Question) -> Result<Request<Empty<Bytes>>, Trouble> {
    let secret = |value: &str| {
        let mut value =
            HeaderValue::from_bytes(value.as_bytes()).map_err(|_| Trouble::Credentials)?;
        value.set_sensitive(true);
        Ok::<_, Trouble>(value)
    };
    let uri = Uri::try_from(&*question.callback.url).map_err(|_| Trouble::Url)?;
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    if let Some(authorization) = &question.credentials.authorization {
        headers.insert(header::AUTHORIZATION, secret(authorization)?);
    }
    if let Some(cookie) = &question.credentials.cookie {
        headers.insert(header::COOKIE, secret(cookie)?);
    }
    // Of whoever asked first; the answer counts for all who bring the same credentials.
    if let Ok(client) = HeaderValue::from_str(&question.client.to_string()) {
        headers.insert("x-forwarded-for", client);
    }
    if let Ok(path) = HeaderValue::from_str(&question.path) {
        headers.insert("x-original-uri", path);
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Rules;
    use crate::auth::callback::{Bounds, Callback, Credentials};

    fn question(url: &str, authorization: &str) -> Question {
        let bounds = Bounds { timeout_ms: 1_000, cache_ms: 0, cache_entries: 0, in_flight_max: 1 };
        let callback = Callback::new(url.to_owned(), bounds, &Rules::default());
        let credentials = Credentials::new(Some(authorization.to_owned()), Some("c=1".to_owned()));
        Question {
            callback: Arc::new(callback.expect("randomness")),
            credentials: credentials.expect("some"),
            client: [192, 0, 2, 7].into(),
            path: "/sse/a".into(),
        }
    }

    #[test]
    fn a_question_carries_credentials_and_hides_them() {
        let request = request(&question("https://app.example/api/me?a=b", "Bearer s3cret"));
        let request = request.expect("a request");
        assert_eq!(request.uri(), "https://app.example/api/me?a=b");
        let field = |name: &str| request.headers()[name].to_str().expect("text");
        assert_eq!(field("authorization"), "Bearer s3cret");
        assert_eq!(field("cookie"), "c=1");
        assert_eq!((field("x-forwarded-for"), field("x-original-uri")), ("192.0.2.7", "/sse/a"));
        assert!(!format!("{request:?}").contains("s3cret"));
    }

    #[test]
    fn what_cannot_be_sent_is_told_without_its_text() {
        for (url, authorization) in [("http://a b/", "x"), ("http://a/", "s3cret\r\nX: y")] {
            let trouble = request(&question(url, authorization)).expect_err("trouble");
            assert!(!trouble.to_string().contains("s3cret"), "{trouble}");
        }
    }
}
