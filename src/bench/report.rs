//! What came out, as JSON and for people.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use super::check::Findings;

/// Times of many operations, microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// How many.
    pub count: u64,
    /// Their mean.
    pub mean_us: f64,
    /// Half of them took no longer.
    pub p50_us: f64,
    /// 90 % took no longer.
    pub p90_us: f64,
    /// 99 % took no longer.
    pub p99_us: f64,
    /// 99.9 % took no longer.
    pub p99_9_us: f64,
    /// The longest.
    pub max_us: f64,
}

/// The streams.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Connections {
    /// How many were asked for.
    pub wanted: u64,
    /// How many were open (answered with 200).
    pub opened: u64,
    /// How many were not.
    pub failed: u64,
    /// How many ended by themselves after that.
    pub ended_early: u64,
    /// From the first connect call to the last answer.
    pub seconds: f64,
    /// Opened per second.
    pub per_second: f64,
    /// From connect call to the answer's head.
    pub latency: Option<Spread>,
    /// The first thing that went wrong.
    pub error: Option<String>,
}

/// The publishes.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Publishes {
    /// `max`, `wait`, or events a second.
    pub rate: String,
    /// How many were asked for.
    pub wanted: u64,
    /// How many were answered with 2xx.
    pub accepted: u64,
    /// How many were refused or not answered.
    pub failed: u64,
    /// From the first call to the last answer.
    pub seconds: f64,
    /// Accepted per second.
    pub per_second: f64,
    /// From publish call to its answer.
    pub latency: Option<Spread>,
    /// Why it stopped before the last event.
    pub stopped: Option<String>,
    /// The first thing that went wrong.
    pub error: Option<String>,
}

/// What the streams have read.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Deliveries {
    /// Accepted events, each counted once for every open stream of its channel.
    pub expected: u64,
    /// Read, each counted once a stream.
    pub received: u64,
    /// Expected but not read.
    pub lost: u64,
    /// Not read by streams that had stopped reading and were told of the gap.
    pub skipped: u64,
    /// Read again.
    pub duplicates: u64,
    /// Read after a later one.
    pub out_of_order: u64,
    /// Ids that did not rise.
    pub ids_not_rising: u64,
    /// Damaged, or of another channel.
    pub corrupt: u64,
    /// Events of others.
    pub foreign: u64,
    /// Bytes of the streams' gzip; 0 without `--gzip`.
    pub gzip_bytes: u64,
    /// The text it stood for.
    pub text_bytes: u64,
    /// `sse.gap` events.
    pub gaps: u64,
    /// `sse.bye` events.
    pub byes: u64,
    /// From the first publish call to the last read.
    pub seconds: f64,
    /// Received per second.
    pub per_second: f64,
    /// From publish call to read; in `mixed` of the broadcasts.
    pub latency: Option<Spread>,
    /// The same of the single events of `mixed`.
    pub single_latency: Option<Spread>,
}

/// Streams that came again.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Reconnects {
    /// How many.
    pub streams: u64,
    /// Events each had missed.
    pub missed_each: u64,
    /// Until all were open and had read what they missed (in `idle` with the time of breaking
    /// off).
    pub seconds: f64,
    /// The same with nothing missed.
    pub plain_seconds: Option<f64>,
    /// One to the other.
    pub ratio: Option<f64>,
}

/// What streams that stop reading cost the others.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Stall {
    /// Streams that stopped.
    pub stalled: u64,
    /// Streams that did not.
    pub reading: u64,
    /// Deliveries a second to these, before.
    pub per_second_before: f64,
    /// The same while the others did not read.
    pub per_second: f64,
    /// One to the other.
    pub ratio: Option<f64>,
    /// What the server's resident memory grew by meanwhile.
    pub rss_growth_bytes: Option<u64>,
}

impl Deliveries {
    /// Takes over what the checkers found.
    pub fn set_findings(&mut self, findings: &Findings) {
        let Findings {
            received,
            duplicates,
            out_of_order,
            ids_not_rising,
            corrupt,
            foreign,
            gaps,
            byes,
        } = *findings;
        (self.received, self.duplicates) = (received, duplicates);
        (self.out_of_order, self.ids_not_rising) = (out_of_order, ids_not_rising);
        (self.corrupt, self.foreign) = (corrupt, foreign);
        (self.gaps, self.byes) = (gaps, byes);
    }
}

/// A local server's process.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Server {
    /// Its id.
    pub pid: u32,
    /// Its name.
    pub name: String,
    /// Processor time of all threads while streams were opened, seconds.
    pub cpu_connecting_s: f64,
    /// The same while the streams were only held (in `idle`).
    pub cpu_holding_s: f64,
    /// The same from the first publish to the last read.
    pub cpu_delivering_s: f64,
    /// Time its threads waited for a core meanwhile: above a few percent the machine was too busy
    /// for the latencies to mean much.
    pub waited_delivering_s: f64,
    /// Processor time per event read, microseconds.
    pub cpu_us_per_delivery: Option<f64>,
    /// The same per event published.
    pub cpu_us_per_publish: Option<f64>,
    /// Processor time per stream opened, microseconds.
    pub cpu_us_per_connect: Option<f64>,
    /// Resident memory before the first stream.
    pub rss_before_bytes: u64,
    /// With half of the streams (in `idle`).
    pub rss_half_bytes: Option<u64>,
    /// With all of them.
    pub rss_full_bytes: u64,
    /// At the end, all streams still open.
    pub rss_end_bytes: u64,
    /// Growth from none to all, per stream.
    pub bytes_per_connection: Option<f64>,
    /// Growth from half of them to all, per stream: what the first streams brought in once for
    /// all (code, buffers) is left out.
    pub bytes_per_connection_upper_half: Option<f64>,
}

/// This program itself.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Client {
    /// Rings of streams, each on a thread of its own.
    pub rings: usize,
    /// Processor time from the first publish to the last read (in `connect` and `idle`: of all).
    pub cpu_s: f64,
    /// Its share of what it could have had, percent.
    pub cpu_percent: f64,
    /// The busiest thread's share of one core, percent.
    pub busiest_thread_percent: f64,
    /// It may have been slower than the server: rates and latencies are its own.
    pub was_the_limit: bool,
}

/// A limit given on the command line.
#[derive(Debug, Clone, Serialize)]
pub struct Threshold {
    /// Its flag.
    pub name: &'static str,
    /// What was allowed.
    pub limit: String,
    /// What was measured.
    pub value: String,
    /// Whether it was kept.
    pub kept: bool,
}

/// The outcome of a run.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// What was measured.
    pub scenario: &'static str,
    /// Where.
    pub url: String,
    /// The version that measured.
    pub version: &'static str,
    /// Bytes of an event's data.
    pub data_bytes: usize,
    /// Channels.
    pub channels: usize,
    /// The streams.
    pub connections: Connections,
    /// The publishes.
    pub publishes: Publishes,
    /// What the streams have read.
    pub deliveries: Deliveries,
    /// Streams that came again.
    pub reconnects: Option<Reconnects>,
    /// Streams that stopped reading.
    pub stall: Option<Stall>,
    /// The server's process, if it is local and ours to look at.
    pub server: Option<Server>,
    /// This program.
    pub client: Client,
    /// Limits of the command line.
    pub thresholds: Vec<Threshold>,
    /// All limits were kept.
    pub passed: bool,
}

impl Report {
    /// One JSON object.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

/// Microseconds in a unit fit to read.
fn time(us: f64) -> String {
    match us {
        us if us < 1_000.0 => format!("{us:.0} us"),
        us if us < 1_000_000.0 => format!("{:.2} ms", us / 1_000.0),
        us => format!("{:.2} s", us / 1_000_000.0),
    }
}

fn megabytes(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
    let bytes = bytes as f64;
    format!("{:.1} MiB", bytes / 1_048_576.0)
}

impl Display for Spread {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [p50, p90, p99, p99_9, max] =
            [self.p50_us, self.p90_us, self.p99_us, self.p99_9_us, self.max_us].map(time);
        write!(f, "p50 {p50}  p90 {p90}  p99 {p99}  p99.9 {p99_9}  max {max}")
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.scenario, self.url)?;
        self.write_connections(f)?;
        if self.publishes.wanted > 0 {
            self.write_publishes(f)?;
            self.write_deliveries(f)?;
        }
        if let Some(Reconnects { streams, missed_each, seconds, plain_seconds, .. }) =
            &self.reconnects
        {
            write!(f, "reconnects    {streams}, {missed_each} missed each, {seconds:.2} s")?;
            let plain = plain_seconds.map(|plain| format!("; {plain:.2} s with nothing missed"));
            writeln!(f, "{}", plain.unwrap_or_default())?;
        }
        if let Some(Stall { stalled, reading, per_second_before, per_second, .. }) = &self.stall {
            writeln!(
                f,
                "stall         {stalled} stopped; {per_second:.0}/s to the other {reading}, \
                 {per_second_before:.0}/s before"
            )?;
        }
        if let Some(server) = &self.server {
            write_server(f, server)?;
        }
        let client = &self.client;
        write!(
            f,
            "client        {:.0} % of its cores, busiest thread {:.0} %, {} ring(s)",
            client.cpu_percent, client.busiest_thread_percent, client.rings
        )?;
        if client.was_the_limit {
            write!(f, "\n              THE CLIENT WAS THE LIMIT: rates and latencies are its own")?;
        }
        for Threshold { name, limit, value, kept } in &self.thresholds {
            let verdict = if *kept { "kept" } else { "MISSED" };
            write!(f, "\nthreshold     {name} {limit}: {value}, {verdict}")?;
        }
        Ok(())
    }
}

impl Report {
    fn write_connections(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let c = &self.connections;
        writeln!(
            f,
            "streams       {} of {} opened in {:.2} s ({:.0}/s), {} ended early",
            c.opened, c.wanted, c.seconds, c.per_second, c.ended_early
        )?;
        if let Some(latency) = &c.latency {
            writeln!(f, "  to open     {latency}")?;
        }
        if let Some(error) = &c.error {
            writeln!(f, "  trouble     {error}")?;
        }
        Ok(())
    }

    fn write_publishes(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let p = &self.publishes;
        writeln!(
            f,
            "publishes     {} of {} accepted, {} failed, {:.2} s ({:.0}/s), rate {}",
            p.accepted, p.wanted, p.failed, p.seconds, p.per_second, p.rate
        )?;
        if let Some(latency) = &p.latency {
            writeln!(f, "  to answer   {latency}")?;
        }
        if let Some(stopped) = &p.stopped {
            writeln!(f, "  stopped     {stopped}")?;
        }
        if let Some(error) = &p.error {
            writeln!(f, "  trouble     {error}")?;
        }
        Ok(())
    }

    fn write_deliveries(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let d = &self.deliveries;
        writeln!(
            f,
            "deliveries    {} of {} in {:.2} s ({:.0}/s), {} B of data each",
            d.received, d.expected, d.seconds, d.per_second, self.data_bytes
        )?;
        writeln!(
            f,
            "  faults      lost {}  duplicate {}  out of order {}  ids {}  corrupt {}  gaps {}  byes {}",
            d.lost, d.duplicates, d.out_of_order, d.ids_not_rising, d.corrupt, d.gaps, d.byes
        )?;
        if d.skipped > 0 {
            writeln!(f, "  skipped     {} by streams that had stopped and were told", d.skipped)?;
        }
        if d.gzip_bytes > 0 {
            writeln!(f, "  gzip        {} B for {} B of text", d.gzip_bytes, d.text_bytes)?;
        }
        if let Some(latency) = &d.latency {
            writeln!(f, "  to read     {latency}")?;
        }
        if let Some(latency) = &d.single_latency {
            writeln!(f, "  single      {latency}")?;
        }
        Ok(())
    }
}

fn write_server(f: &mut Formatter<'_>, server: &Server) -> fmt::Result {
    writeln!(f, "server        {} (process {})", server.name, server.pid)?;
    if let Some(cpu) = server.cpu_us_per_delivery {
        writeln!(
            f,
            "  cpu         {cpu:.3} us a delivery ({:.3} s in all, {:.3} s waiting for a core)",
            server.cpu_delivering_s, server.waited_delivering_s
        )?;
    }
    if let Some(cpu) = server.cpu_us_per_publish {
        writeln!(f, "              {cpu:.3} us a publish")?;
    }
    if let Some(cpu) = server.cpu_us_per_connect {
        writeln!(f, "              {cpu:.1} us a connect")?;
    }
    write!(
        f,
        "  memory      {} before, {} with all streams",
        megabytes(server.rss_before_bytes),
        megabytes(server.rss_full_bytes)
    )?;
    if let Some(bytes) = server.bytes_per_connection {
        write!(f, "; {bytes:.0} B a stream")?;
    }
    if let Some(bytes) = server.bytes_per_connection_upper_half {
        write!(f, ", {bytes:.0} B in the upper half")?;
    }
    writeln!(f)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let spread = Spread {
            count: 3,
            mean_us: 2.0,
            p50_us: 999.4,
            p90_us: 1_500.0,
            p99_us: 2_000_000.0,
            p99_9_us: 1.0,
            max_us: 1.0,
        };
        let mut report = Report { scenario: "fanout", ..Report::default() };
        report.connections.opened = 12;
        report.publishes.wanted = 3;
        report.deliveries.latency = Some(spread);
        report.deliveries.set_findings(&Findings {
            received: 36,
            duplicates: 5,
            ..Default::default()
        });
        report.server =
            Some(Server { pid: 7, bytes_per_connection: Some(77.4), ..Server::default() });
        report.client.was_the_limit = true;
        let (limit, value) = ("5 ms".to_owned(), "6 ms".to_owned());
        report.thresholds = vec![Threshold { name: "--max-p99", limit, value, kept: false }];
        report
    }

    #[test]
    fn people_are_told_what_matters() {
        let text = report().to_string();
        for part in [
            "p50 999 us  p90 1.50 ms  p99 2.00 s",
            "lost 0  duplicate 5",
            "77 B a stream",
            "THE CLIENT WAS THE LIMIT",
            "--max-p99 5 ms: 6 ms, MISSED",
        ] {
            assert!(text.contains(part), "{part} in:\n{text}");
        }
    }

    #[test]
    fn the_json_has_the_names_scripts_read() {
        let json: serde_json::Value = serde_json::from_str(&report().json()).expect("JSON");
        assert_eq!(json["deliveries"]["received"], 36);
        assert_eq!(json["deliveries"]["latency"]["p99_us"], 2_000_000.0);
        assert_eq!(json["server"]["bytes_per_connection"], 77.4);
        assert_eq!(json["thresholds"][0]["kept"], false);
    }
}
