//! A terminal client: publish and subscribe.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::ExitCode;
use std::time::Duration;

/// Flags of `publish`.
#[derive(Debug, clap::Args)]
pub(super) struct PublishArgs {
    /// Where to.
    channel: String,
    /// What; `-` or nothing reads standard input.
    data: Option<String>,
    /// The event's name.
    #[arg(long)]
    event: Option<String>,
    /// The server.
    #[arg(long, env = "RINGCAST_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// A token that may publish there.
    #[arg(long, env = "AUTH_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

/// Flags of `subscribe`.
#[derive(Debug, clap::Args)]
pub(super) struct SubscribeArgs {
    /// Channels and patterns.
    #[arg(required = true)]
    channels: Vec<String>,
    /// Begin with the last so many events of each channel.
    #[arg(long)]
    last: Option<usize>,
    /// The server.
    #[arg(long, env = "RINGCAST_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// A token that may subscribe there.
    #[arg(long)]
    token: Option<String>,
}

/// Percent-encodes all but unreserved characters (RFC 3986 2.3), and `keep`.
pub(super) fn encode(text: &str, keep: &[u8]) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b) || keep.contains(&b);
    text.bytes()
        .map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().http_status_as_error(false).build();
    ureq::Agent::new_with_config(config)
}

fn fail(text: &str) -> ExitCode {
    eprintln!("ringcast: {text}");
    ExitCode::FAILURE
}

/// `ringcast publish`.
pub(super) fn publish(args: &PublishArgs) -> ExitCode {
    let data = match args.data.as_deref() {
        Some(data) if data != "-" => data.to_owned(),
        _ => {
            let mut text = String::new();
            if let Err(error) = io::stdin().read_to_string(&mut text) {
                return fail(&format!("standard input: {error}"));
            }
            text
        }
    };
    let mut url = format!("{}/publish/{}", args.url, encode(&args.channel, b":"));
    if let Some(event) = &args.event {
        url.push_str(&format!("?event={}", encode(event, b"")));
    }
    let mut request = agent().post(&url).header("Content-Type", "text/plain; charset=utf-8");
    if let Some(token) = &args.token {
        request = request.header("Authorization", &format!("Bearer {token}"));
    }
    match request.send(data.as_bytes()) {
        Ok(mut answer) => {
            let status = answer.status();
            let text = answer.body_mut().read_to_string().unwrap_or_default();
            println!("{text}");
            if status.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => fail(&error.to_string()),
    }
}

/// `ringcast subscribe`: comes back with its last id when the stream ends, until it gets a final
/// answer.
pub(super) fn subscribe(args: &SubscribeArgs) -> ExitCode {
    let channels: Vec<String> = args.channels.iter().map(|c| encode(c, b":*,")).collect();
    let mut url = format!("{}/sse/{}", args.url, channels.join(","));
    if let Some(last) = args.last {
        url.push_str(&format!("?last={last}"));
    }
    let mut reader = Stream { last_id: String::new(), retry: Duration::from_secs(3) };
    loop {
        let mut request = agent().get(&url).header("Accept", "text/event-stream");
        if let Some(token) = &args.token {
            request = request.header("Authorization", &format!("Bearer {token}"));
        }
        if !reader.last_id.is_empty() {
            request = request.header("Last-Event-ID", &reader.last_id);
        }
        match request.call() {
            Ok(answer) if answer.status() == 200 => {
                let body = BufReader::new(answer.into_body().into_reader());
                // Whoever read our output has gone.
                let gone = |error: io::Error| error.kind() == io::ErrorKind::BrokenPipe;
                if reader.print(body).is_err_and(gone) {
                    return ExitCode::SUCCESS;
                }
            }
            Ok(answer) if answer.status() == 204 => return ExitCode::SUCCESS,
            Ok(mut answer) => {
                let text = answer.body_mut().read_to_string().unwrap_or_default();
                return fail(&format!("{}: {text}", answer.status()));
            }
            Err(error) => eprintln!("ringcast: {error}; trying again"),
        }
        std::thread::sleep(reader.retry);
    }
}

/// What survives a reconnect.
struct Stream {
    last_id: String,
    retry: Duration,
}

impl Stream {
    /// Prints events as `id<TAB>event<TAB>data` until the stream ends (WHATWG HTML 9.2.6).
    fn print(&mut self, body: impl BufRead) -> io::Result<()> {
        let (mut event, mut data) = (String::new(), Vec::new());
        let mut out = io::stdout().lock();
        for line in body.lines() {
            let line = line?;
            if line.is_empty() {
                if !data.is_empty() {
                    let name = if event.is_empty() { "message" } else { &event };
                    writeln!(out, "{}\t{name}\t{}", self.last_id, data.join("\n"))?;
                    out.flush()?;
                }
                event.clear();
                data.clear();
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "data" => data.push(value.to_owned()),
                "event" => value.clone_into(&mut event),
                "id" => value.clone_into(&mut self.last_id),
                "retry" => {
                    if let Ok(ms) = value.parse() {
                        self.retry = Duration::from_millis(ms);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}
