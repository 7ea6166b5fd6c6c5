//! Log lines on the console: text for people, JSON objects for machines.
//!
//! Only the cold half logs. A worker counts; what its counters say to an operator is logged here,
//! at a bounded rate (see [`super::watch`]). Nothing that came from a request is ever logged, so
//! no token can be.

use std::io::IsTerminal;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::{LogFormat, LogLevel};
use crate::driver::sys;
use crate::proto::iso8601;

/// Changes the level of log lines.
#[derive(Debug)]
pub(super) struct Verbosity(reload::Handle<LevelFilter, Registry>);

impl Verbosity {
    /// From now on lines of this level and above are written.
    pub(super) fn set(&self, level: LogLevel) {
        // It fails only when the subscriber is gone.
        let _ = self.0.reload(filter(level));
    }
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    }
}

/// Sends log lines to stderr from now on. The first call of a process counts.
pub(super) fn init(level: LogLevel, format: LogFormat) -> Verbosity {
    let (level, handle) = reload::Layer::new(filter(level));
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Json => {
            lines.json().flatten_event(true).with_target(false).with_timer(Clock).boxed()
        }
        LogFormat::Text => {
            lines.with_ansi(std::io::stderr().is_terminal()).event_format(Text).boxed()
        }
    };
    // A second subscriber is refused: then the first one has the lines.
    let _ = tracing_subscriber::registry().with(level).with(lines).try_init();
    Verbosity(handle)
}

struct Clock;

impl FormatTime for Clock {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        writer.write_str(&iso8601(sys::unix_ms()))
    }
}

/// `TIMESTAMP [ringcast] level: message key=value`.
struct Text;

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        let (name, colour) = match *event.metadata().level() {
            Level::ERROR => ("error", 31),
            Level::WARN => ("warn", 33),
            Level::INFO => ("info", 32),
            _ => ("debug", 34),
        };
        Clock.format_time(&mut writer)?;
        if writer.has_ansi_escapes() {
            write!(writer, " [ringcast] \x1b[{colour}m{name}\x1b[0m: ")?;
        } else {
            write!(writer, " [ringcast] {name}: ")?;
        }
        let mut line = Line::default();
        event.record(&mut line);
        writeln!(writer, "{}{}", line.message, line.fields)
    }
}

/// One event as text: the message first, whatever the order of its fields.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        use std::fmt::Write;
        // Line ends inside a value would forge lines of their own.
        let text = format!("{value:?}").replace(['\n', '\r'], " ");
        let _ = match field.name() {
            "message" => write!(self.message, "{text}"),
            name => write!(self.fields, " {name}={text}"),
        };
    }
}
