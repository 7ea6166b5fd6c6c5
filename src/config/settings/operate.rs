//! Streams, publishing and what operators look at.

use std::net::SocketAddr;

use crate::config::key::Force::{Later, Reload, Restart};
use crate::config::key::{Reading, choice, section};
use crate::config::kind::{Form, Kind};

choice! {
    /// Log lines of this level and above are written.
    LogLevel {
        /// None.
        Off = "off",
        /// What ended the server.
        Error = "error",
        /// What an operator should cure.
        Warn = "warn",
        /// Start, drain, stop.
        Info = "info",
        /// A summary each ten seconds too.
        Debug = "debug",
    }
}

choice! {
    /// How log lines are written.
    LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

choice! {
    /// Language of log lines about connections.
    Language {
        /// English.
        English = "en",
        /// Portuguese.
        Portuguese = "pt",
    }
}

choice! {
    /// What a heartbeat looks like.
    HeartbeatFormat {
        /// `:` and a line end.
        Short = "short",
        /// `:heartbeat` and an empty line.
        Comment = "comment",
        /// A message with `{"type":"heartbeat"}`.
        Data = "data",
        /// An event named `heartbeat`.
        Event = "event",
    }
}

choice! {
    /// When a publish is answered.
    PublishAck {
        /// When the event is in the log.
        Memory = "memory",
        /// When it is on disk.
        Disk = "disk",
    }
}

section! {
    /// The operators' address.
    Admin at "admin." => ADMIN {
        /// Address of the operators' pages. `--admin`, `RINGCAST_ADMIN`, and `admin = "..."` for
        /// short.
        address: SocketAddr = "127.0.0.1:8081", Kind::Text(Form::Address), Restart;
        /// Host names that may be asked for without a token, beside those of the loopback.
        hosts: Vec<String> = "", Kind::List(Form::Host), Reload;
        /// `/metrics` needs no token.
        metrics_public: bool = "false", Kind::Switch, Reload;
    }
}

section! {
    /// Log lines.
    Log at "log." => LOG {
        /// Lines of this level and above are written.
        level: LogLevel = "info", Kind::Choice(LogLevel::NAMES), Reload;
        /// For people, or one JSON object a line.
        format: LogFormat = "text", Kind::Choice(LogFormat::NAMES), Restart;
        /// Language of the lines about connections.
        language: Language = "en", Kind::Choice(Language::NAMES), Later;
        /// Folder of `sse.log` and `sse-error.log`; empty for none.
        files: Option<String> = "", Kind::Or("", &Kind::Text(Form::Folder)), Later;
    }
}

section! {
    /// Signs of life on silent streams.
    Heartbeat at "heartbeat." => HEARTBEAT {
        /// Silence on a stream after which a heartbeat is sent. Proxies close what is silent for
        /// longer than they like: nginx after 60 s.
        interval_ms: u64 = "30s", Kind::Millis(100, 3_600_000), Reload,
            [("SSE_HEARTBEAT_INTERVAL", Reading::ParseInt)];
        /// While a core is busy its heartbeats become rarer, up to twice the interval.
        adaptive: bool = "false", Kind::Switch, Reload;
        /// With `adaptive`: never rarer than this.
        max_ms: u64 = "55s", Kind::Millis(100, 3_600_000), Reload;
        /// What it looks like.
        format: HeartbeatFormat = "short", Kind::Choice(HeartbeatFormat::NAMES), Reload;
    }
}

section! {
    /// The life of a stream.
    Stream at "stream." => STREAM {
        /// A stream ends, told so, after about this time (10 % more or less); `off` is never.
        lifetime_max_ms: Option<u64> = "off", Kind::Or("off", &Kind::Millis(1, 31_536_000_000)), Reload,
            [("SSE_CONNECTION_TIMEOUT", Reading::ParseInt)];
        /// A reader that takes nothing for so long is disconnected.
        idle_timeout_ms: u64 = "5m", Kind::Millis(1_000, 86_400_000), Reload;
        /// Time after which a client comes again, told to it at the start.
        retry_ms: u32 = "3s", Kind::Millis(1, 3_600_000), Reload;
        /// Ended streams are noticed at once, for 256 bytes of kernel memory each; else by the
        /// heartbeats that fail.
        watch_hangup: bool = "true", Kind::Switch, Reload;
        /// How often idle streams were looked for in systems that sweep; here each is looked at
        /// with its heartbeat, so nothing reads this.
        cleanup_interval_ms: u64 = "1m", Kind::Millis(100, 86_400_000), Later,
            [("SSE_CLEANUP_INTERVAL", Reading::ParseInt)];
    }
}

section! {
    /// Publishing.
    Publish at "publish." => PUBLISH {
        /// A publish waits so long for room in the log, then it is refused with 503.
        timeout_ms: u64 = "5s", Kind::Millis(1, 600_000), Reload;
        /// When a publish is answered: when the event is in the log, or on disk.
        ack: PublishAck = "memory", Kind::Choice(PublishAck::NAMES), Later;
    }
}

section! {
    /// Compressed streams.
    Compression at "compression." => COMPRESSION {
        /// Streams are compressed for clients that accept gzip.
        enabled: bool = "false", Kind::Switch, Reload, [("SSE_ENABLE_COMPRESSION", Reading::ExactTrue)];
    }
}

section! {
    /// Channels as such; their options are in `namespaces`.
    Channels at "channels." => CHANNELS {
        /// A channel without subscribers and events for so long is dropped.
        idle_expire: u64 = "10m", Kind::Millis(1_000, 31_536_000_000), Restart;
        /// Most channels with subscribers or a history.
        max: usize = "4000000", Kind::Number(1, 1 << 30), Restart;
    }
}

section! {
    /// The log between publishers and workers.
    JournalBounds at "journal." => JOURNAL {
        /// Most events between the newest and the slowest worker; publishers wait for room.
        entries_max: usize = "65536", Kind::Number(64, 1 << 24), Restart;
        /// Most bytes of them.
        bytes_max: u64 = "256MiB", Kind::Bytes(1 << 20, 1 << 40), Restart;
    }
}

section! {
    /// Events on disk.
    Storage at "storage." => STORAGE {
        /// Folder of the log on disk; empty for none.
        dir: Option<String> = "", Kind::Or("", &Kind::Text(Form::Folder)), Later;
    }
}

section! {
    /// The way out.
    Drain at "drain." => DRAIN {
        /// Streams are told to leave within this time after SIGTERM.
        within_ms: u64 = "5s", Kind::Millis(0, 3_600_000), Reload;
    }
}

section! {
    /// Clients that poll.
    Poll at "poll." => POLL {
        /// How often a job looks for new data where one feeds ringcast.
        interval_ms: u64 = "5s", Kind::Millis(10, 86_400_000), Later,
            [("POLL_INTERVAL", Reading::ParseInt)];
    }
}

section! {
    /// The public statistics.
    Stats at "stats." => STATS {
        /// `/stats` gives its summary without a token.
        public: bool = "true", Kind::Switch, Reload;
    }
}

section! {
    /// Metrics.
    Metrics at "metrics." => METRICS {
        /// Most users with a label of their own in `sse_active_connections`; 0 is no label.
        user_labels_max: usize = "0", Kind::Number(0, 10_000), Reload;
    }
}
