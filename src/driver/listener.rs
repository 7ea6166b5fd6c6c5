//! Listening sockets, and the options that every connection inherits from them.
//!
//! On Linux an accepted socket starts as a copy of its listener, so TCP_NODELAY, SO_SNDBUF,
//! SO_RCVBUF, TCP_NOTSENT_LOWAT, TCP_USER_TIMEOUT, SO_KEEPALIVE and the TCP_KEEP* times are set
//! once here and cost nothing per connection. (O_NONBLOCK and SO_LINGER zero are not used: an
//! accepted socket has the kernel's defaults there.)

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use super::error::Errno;

/// Times of TCP keep-alive probes (tcp(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence before the first probe, seconds (TCP_KEEPIDLE).
    pub idle_s: u32,
    /// Between probes, seconds (TCP_KEEPINTVL).
    pub interval_s: u32,
    /// Unanswered probes before the connection is dropped (TCP_KEEPCNT).
    pub probes: u32,
}

/// Options of a listener and its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerSettings {
    /// Connections waiting to be accepted; the kernel cuts it to net.core.somaxconn.
    pub backlog: i32,
    /// SO_REUSEPORT: several workers bind the same address. The first bind of a process should go
    /// without, else a second instance would silently share the streams.
    pub reuse_port: bool,
    /// SO_SNDBUF, bytes. `None` leaves it to the kernel, which grows it up to net.ipv4.tcp_wmem.
    /// The kernel cuts it to net.core.wmem_max, then doubles it for its own book-keeping: read it
    /// back with [`send_buffer_bytes`]. At least 64 KiB, or coalescing has no room.
    pub send_buffer_bytes: Option<usize>,
    /// TCP_NOTSENT_LOWAT, bytes: how much unsent data makes a socket count as full. It cuts sends
    /// short, so below the longest run of a stream it costs throughput.
    pub notsent_lowat_bytes: Option<u32>,
    /// TCP_USER_TIMEOUT, milliseconds: sent but unacknowledged data ends the connection.
    pub user_timeout_ms: Option<u32>,
    /// Keep-alive probes of idle connections.
    pub keepalive: Option<Keepalive>,
}

impl Default for ListenerSettings {
    fn default() -> Self {
        Self {
            backlog: 4096,
            reuse_port: false,
            send_buffer_bytes: None,
            notsent_lowat_bytes: None,
            user_timeout_ms: Some(60_000),
            keepalive: Some(Keepalive { idle_s: 60, interval_s: 15, probes: 4 }),
        }
    }
}

/// Why an address cannot be listened on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ListenError {
    /// Another socket has it.
    #[error("{address} is in use by another process")]
    InUse {
        /// The address.
        address: SocketAddr,
    },
    /// No interface of this machine has it, or the family is switched off.
    #[error("{address} is no address of this machine")]
    NotHere {
        /// The address.
        address: SocketAddr,
    },
    /// Ports below net.ipv4.ip_unprivileged_port_start (1024) need CAP_NET_BIND_SERVICE.
    #[error(
        "not allowed to listen on {address}: take a port from 1024 up, or give the process CAP_NET_BIND_SERVICE"
    )]
    NotAllowed {
        /// The address.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("cannot listen on {address}: {errno}")]
    Other {
        /// The address.
        address: SocketAddr,
        /// What the kernel said.
        errno: Errno,
    },
}

/// Binds and listens. TCP_NODELAY and SO_REUSEADDR are always set, IPv6 listeners take IPv6 only
/// (so `0.0.0.0` and `[::]` go side by side), the descriptor is closed on exec.
pub fn open(address: SocketAddr, settings: &ListenerSettings) -> Result<TcpListener, ListenError> {
    try_open(address, settings).map_err(|error| match Errno::of(&error) {
        Errno(libc::EADDRINUSE) => ListenError::InUse { address },
        Errno(libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT) => ListenError::NotHere { address },
        Errno(libc::EACCES | libc::EPERM) => ListenError::NotAllowed { address },
        errno => ListenError::Other { address, errno },
    })
}

fn try_open(address: SocketAddr, settings: &ListenerSettings) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if settings.reuse_port {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_tcp_nodelay(true)?;
    if let Some(bytes) = settings.send_buffer_bytes {
        socket.set_send_buffer_size(bytes)?;
    }
    if let Some(bytes) = settings.notsent_lowat_bytes {
        socket.set_tcp_notsent_lowat(bytes)?;
    }
    if let Some(ms) = settings.user_timeout_ms {
        socket.set_tcp_user_timeout(Some(Duration::from_millis(u64::from(ms))))?;
    }
    if let Some(keepalive) = settings.keepalive {
        let times = TcpKeepalive::new()
            .with_time(Duration::from_secs(u64::from(keepalive.idle_s)))
            .with_interval(Duration::from_secs(u64::from(keepalive.interval_s)))
            .with_retries(keepalive.probes);
        socket.set_tcp_keepalive(&times)?;
    }
    socket.bind(&address.into())?;
    socket.listen(settings.backlog)?;
    Ok(socket.into())
}

/// The send buffer that connections of this listener start with, bytes as the kernel counts them
/// (twice what was asked for, if net.core.wmem_max allows).
pub fn send_buffer_bytes(listener: &TcpListener) -> Option<usize> {
    SockRef::from(listener).send_buffer_size().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    fn loopback() -> SocketAddr {
        "127.0.0.1:0".parse().expect("an address")
    }

    #[test]
    fn connections_inherit_the_listeners_options() {
        let settings = ListenerSettings {
            send_buffer_bytes: Some(70_000),
            notsent_lowat_bytes: Some(123_456),
            user_timeout_ms: Some(7_000),
            keepalive: Some(Keepalive { idle_s: 33, interval_s: 11, probes: 5 }),
            ..ListenerSettings::default()
        };
        let listener = open(loopback(), &settings).expect("listen");
        assert_eq!(send_buffer_bytes(&listener), Some(140_000));
        let _client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connect");
        let (accepted, _) = listener.accept().expect("accept");
        let socket = SockRef::from(&accepted);
        assert!(socket.tcp_nodelay().expect("nodelay"));
        assert_eq!(socket.send_buffer_size().expect("sndbuf"), 140_000);
        assert_eq!(socket.tcp_notsent_lowat().expect("lowat"), 123_456);
        assert_eq!(socket.tcp_user_timeout().expect("timeout"), Some(Duration::from_secs(7)));
        assert!(socket.keepalive().expect("keepalive"));
        assert_eq!(socket.tcp_keepalive_time().expect("idle"), Duration::from_secs(33));
        assert_eq!(socket.tcp_keepalive_interval().expect("interval"), Duration::from_secs(11));
        assert_eq!(socket.tcp_keepalive_retries().expect("probes"), 5);
    }

    #[test]
    fn a_taken_port_is_named() {
        let first = open(loopback(), &ListenerSettings::default()).expect("listen");
        let address = first.local_addr().expect("bound");
        let second = open(address, &ListenerSettings::default());
        assert_eq!(second.err(), Some(ListenError::InUse { address }));
    }

    #[test]
    fn workers_share_a_port() {
        let settings = ListenerSettings { reuse_port: true, ..ListenerSettings::default() };
        let first = open(loopback(), &settings).expect("listen");
        let address = first.local_addr().expect("bound");
        assert!(open(address, &settings).is_ok());
    }

    #[test]
    fn a_foreign_address_is_told_apart() {
        let address = "192.0.2.1:0".parse().expect("an address");
        let error =
            open(address, &ListenerSettings::default()).expect_err("TEST-NET-1 is nobody's");
        assert_eq!(error, ListenError::NotHere { address });
        assert_eq!(error.to_string(), "192.0.2.1:0 is no address of this machine");
    }
}
