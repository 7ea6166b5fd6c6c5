//! The peer: server-sent events as axum's own examples write them, on one thread.
//!
//! A broadcast queue per channel; a stream that lags behind it loses events (tokio's `Lagged`).

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
use axum::response::sse::{Event, Sse};
use axum::routing::{get, post};
use futures_util::stream::{Stream, StreamExt};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

/// Events a channel's queue holds for its slowest stream.
const QUEUE: usize = 1_024;

#[derive(Clone)]
struct Message {
    id: u64,
    data: Arc<str>,
}

#[derive(Default)]
struct Hub {
    channels: Mutex<HashMap<String, broadcast::Sender<Message>>>,
    ids: AtomicU64,
}

impl Hub {
    fn channel(&self, name: &str) -> broadcast::Sender<Message> {
        let mut channels = self.channels.lock().expect("one thread");
        channels.entry(name.to_owned()).or_insert_with(|| broadcast::channel(QUEUE).0).clone()
    }
}

async fn subscribe(
    State(hub): State<Arc<Hub>>,
    Path(channel): Path<String>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let events = BroadcastStream::new(hub.channel(&channel).subscribe());
    Sse::new(events.filter_map(async |message| {
        let message = message.ok()?;
        Some(Ok(Event::default().id(message.id.to_string()).data(&*message.data)))
    }))
}

async fn publish(
    State(hub): State<Arc<Hub>>,
    Path(channel): Path<String>,
    data: String,
) -> String {
    let id = hub.ids.fetch_add(1, Ordering::Relaxed) + 1;
    let heard = hub.channel(&channel).send(Message { id, data: data.into() }).unwrap_or(0);
    format!("{{\"id\":\"{id}\",\"subscribers\":{heard}}}")
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let port = std::env::args().nth(1).expect("a port");
    let app = Router::new()
        .route("/sse/{channel}", get(subscribe))
        .route("/publish/{channel}", post(publish))
        .with_state(Arc::new(Hub::default()));
    let listener =
        tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await.expect("a free port");
    axum::serve(axum::serve::ListenerExt::tap_io(listener, |socket| {
        let _ = socket.set_nodelay(true);
    }), app)
    .await
    .expect("it serves");
}
