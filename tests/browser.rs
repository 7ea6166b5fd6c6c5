//! Chromium's own `EventSource`, on a page of another origin, reading gzip.

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::browser::{Browser, Site};
use support::cutter::Cutter;
use support::http::Publisher;
use support::server::Server;

const TOKEN: &str = "publish-token-of-the-browser-test";
/// The shortest that may be set.
const HEARTBEAT_MS: u64 = 100;
/// Longest wait for anything the page tells: a browser takes seconds to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const EVENTS: usize = 40;
const BREAKS: usize = 5;

/// Tells each thing after the one before has arrived, so that they arrive in order.
const PAGE: &str = r#"<!doctype html><title>events</title><script>
const source = new EventSource("{url}");
let told = Promise.resolve();
const tell = (what) => {
  const body = JSON.stringify(what);
  told = told.then(() => fetch("/told", { method: "POST", body }));
};
source.onopen = () => tell({ open: true });
source.onerror = () => tell({ state: source.readyState });
const hear = ({ lastEventId: id, type: event, data }) => tell({ id, event, data });
source.onmessage = hear;
source.addEventListener("update", hear);
</script>"#;

struct Rig {
    site: Site,
    browser: Browser,
    publisher: Publisher,
}

impl Rig {
    fn told(&self) -> Value {
        let what = self.site.told(PATIENCE);
        what.unwrap_or_else(|| panic!("the page is silent:\n{}", self.browser.log()))
    }

    /// Publishes; what the page must tell of it.
    fn publish(&mut self, event: &str, data: &str) -> Value {
        let target = match event {
            "message" => "a?retry=20".to_owned(),
            named => format!("a?retry=20&event={named}"),
        };
        let id = self.publisher.publish(&target, data.as_bytes()).id;
        json!({ "id": id, "event": event, "data": data })
    }
}

#[test]
fn chromium_reads_gzip_live_across_origins_and_comes_again_with_its_last_id() {
    let heartbeat = HEARTBEAT_MS.to_string();
    let server = Server::start(
        &[],
        &[
            ("AUTH_TOKEN", TOKEN),
            ("SSE_ENABLE_COMPRESSION", "true"),
            ("SSE_HEARTBEAT_INTERVAL", heartbeat.as_str()),
            ("SSE_CORS_ORIGINS", "*"),
        ],
    );
    let cutter = Cutter::start(server.listen);
    let site = Site::serve(PAGE.replace("{url}", &format!("http://{}/sse/a", cutter.address)));
    let browser = Browser::open(&format!("http://{}/", site.address));
    let publisher = Publisher::new(server.listen, TOKEN);
    let mut rig = Rig { site, browser, publisher };
    assert_eq!(rig.told(), json!({ "open": true }));
    for number in 0..EVENTS {
        let (event, data) = match number % 4 {
            0 => ("update", format!("{{\"order\":{number},\"state\":\"shipped\"}}")),
            1 => ("message", "sixteen bytes..\n".repeat(number * 50)),
            2 => ("message", "x".to_owned()),
            _ => ("update", "žluťoučký kůň\n\u{1f600}".repeat(number)),
        };
        let data = data.trim_end();
        // One at a time: a browser that kept an event back would never get the next.
        let expected = rig.publish(event, data);
        assert_eq!(rig.told(), expected, "event {number}");
        if number % 10 == 0 {
            let before = cutter.down();
            std::thread::sleep(Duration::from_millis(3 * HEARTBEAT_MS));
            assert!(cutter.down() > before, "no heartbeat");
        }
    }
    for round in 0..BREAKS {
        let ids = comes_again(&mut rig, &cutter, round);
        assert_eq!(ids, round + 1, "requests that went on");
    }
    check_heads(&cutter, &format!("http://{}", rig.site.address));
}

/// Breaks the stream, publishes before the browser is back, and once more when it is; how many
/// requests have named an id so far.
fn comes_again(rig: &mut Rig, cutter: &Cutter, round: usize) -> usize {
    cutter.cut();
    let mut missed: Vec<Value> =
        (0..3).map(|number| rig.publish("message", &format!("missed {round} {number}"))).collect();
    // 0 is CONNECTING: it does not give up.
    assert_eq!(rig.told(), json!({ "state": 0 }));
    assert_eq!(rig.told(), json!({ "open": true }));
    missed.push(rig.publish("update", "back"));
    for event in &missed {
        assert_eq!(&rig.told(), event, "after break {round}");
    }
    let heads = cutter.heads();
    heads.iter().filter(|[request, _]| request.contains("\r\nlast-event-id: ")).count()
}

fn check_heads(cutter: &Cutter, page: &str) {
    let heads = cutter.heads();
    assert_eq!(heads.len(), BREAKS + 1, "one connection and one for each break");
    for [request, answer] in &heads {
        let field = |name: &str| request.lines().find_map(|line| line.strip_prefix(name));
        assert_eq!(field("origin: "), Some(page), "{request}");
        assert!(field("accept-encoding: ").is_some_and(|v| v.contains("gzip")), "{request}");
        assert!(answer.starts_with("http/1.1 200 "), "{answer}");
        assert!(answer.contains("\r\ncontent-encoding: gzip\r\n"), "{answer}");
        assert!(answer.contains("\r\naccess-control-allow-origin: *\r\n"), "{answer}");
    }
}
