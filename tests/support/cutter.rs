//! A TCP relay that cuts its connections when told, as a bad network does.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Most bytes kept of the beginning of each direction.
const HEAD_BYTES_MAX: usize = 4096;

/// The relay. Ends when dropped.
pub(crate) struct Cutter {
    /// Where clients connect.
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: SocketAddr,
    open: Mutex<Vec<(TcpStream, TcpStream)>>,
    accepted: AtomicU64,
    heads: Mutex<Vec<Arc<Heads>>>,
    /// Bytes from the server.
    down: AtomicU64,
    ended: AtomicBool,
}

impl Cutter {
    /// Relays to `upstream`.
    pub(crate) fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared {
            upstream,
            open: Mutex::new(Vec::new()),
            accepted: AtomicU64::new(0),
            heads: Mutex::default(),
            down: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                if of_thread.ended.load(Ordering::Acquire) {
                    return;
                }
                // A failed connection is one more cut.
                let _ = client.and_then(|client| of_thread.relay(client));
            }
        });
        Self { address, shared }
    }

    /// Connections accepted so far.
    pub(crate) fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Acquire)
    }

    /// Bytes that have come from the server so far.
    pub(crate) fn down(&self) -> u64 {
        self.shared.down.load(Ordering::Acquire)
    }

    /// The heads of each connection's first request and answer, in lower case; an answer that is
    /// not there yet is empty.
    pub(crate) fn heads(&self) -> Vec<[String; 2]> {
        let heads = self.shared.heads.lock().unwrap_or_else(PoisonError::into_inner);
        let head = |bytes: &Mutex<Vec<u8>>| {
            let bytes = bytes.lock().unwrap_or_else(PoisonError::into_inner);
            let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
            String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase()
        };
        heads.iter().map(|both| [head(&both.request), head(&both.answer)]).collect()
    }

    /// Breaks every open connection on both sides, wherever in the bytes it is.
    pub(crate) fn cut(&self) {
        let mut open = self.shared.open.lock().unwrap_or_else(PoisonError::into_inner);
        for (client, server) in open.drain(..) {
            for stream in [client, server] {
                // The shutdown wakes the thread that still reads; with a linger of zero what is
                // left unsent is dropped and the close is a reset (socket(7)).
                let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }
}

/// What a connection began with, in both directions.
#[derive(Default)]
struct Heads {
    request: Mutex<Vec<u8>>,
    answer: Mutex<Vec<u8>>,
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        self.cut();
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn relay(self: &Arc<Self>, client: TcpStream) -> io::Result<()> {
        let server = TcpStream::connect(self.upstream)?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let heads: Arc<Heads> = Arc::default();
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&heads));
        let requests = Arc::clone(&heads);
        pump(client.try_clone()?, server.try_clone()?, move |bytes| keep(&requests.request, bytes));
        let shared = Arc::clone(self);
        pump(server.try_clone()?, client.try_clone()?, move |bytes| {
            shared.down.fetch_add(bytes.len() as u64, Ordering::Release);
            keep(&heads.answer, bytes);
        });
        self.open.lock().unwrap_or_else(PoisonError::into_inner).push((client, server));
        self.accepted.fetch_add(1, Ordering::Release);
        Ok(())
    }
}

/// Keeps the beginning.
fn keep(kept: &Mutex<Vec<u8>>, bytes: &[u8]) {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    let room = HEAD_BYTES_MAX.saturating_sub(kept.len());
    kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

/// Copies one direction until either side ends; `look` sees it before it goes on.
fn pump(mut from: TcpStream, mut to: TcpStream, look: impl Fn(&[u8]) + Send + 'static) {
    thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            look(&buffer[..count]);
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    });
}
