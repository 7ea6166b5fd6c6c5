//! Listening sockets.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use super::Failure;

/// Room for at least one full run of events; the kernel doubles it for its own overhead.
const SEND_BUFFER_BYTES: usize = 128 << 10;
/// Beyond the time a slow reader may take nothing, which is looked at first: the kernel ends those
/// who acknowledge nothing, and those whose window stays shut (tcp(7), TCP_USER_TIMEOUT).
const USER_TIMEOUT_SLACK_MS: u64 = 30_000;
const KEEPALIVE: Duration = Duration::from_secs(60);
const BACKLOG: i32 = 65_535;

/// Listeners of each worker on all addresses, and the addresses with their real ports.
///
/// The first bind goes without SO_REUSEPORT: with it, a second server would silently share the
/// port and take half of the streams.
pub(super) fn bind_all(
    addresses: &[SocketAddr],
    workers: usize,
    stall_max_ms: u64,
) -> Result<(Vec<SocketAddr>, Vec<Vec<TcpListener>>), Failure> {
    let user_timeout = Duration::from_millis(stall_max_ms.saturating_add(USER_TIMEOUT_SLACK_MS));
    let mut bound = Vec::new();
    let mut all: Vec<Vec<TcpListener>> = (0..workers).map(|_| Vec::new()).collect();
    for address in addresses {
        let probe = match bind(*address, false, user_timeout) {
            Ok(probe) => probe,
            // No IPv6 here: the IPv4 address serves alone.
            Err(error) if address.is_ipv6() && !bound.is_empty() && is_absent(&error) => continue,
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return Err(Failure::InUse(*address));
            }
            Err(error) => return Err(Failure::Listen(*address, error)),
        };
        let real = probe.local_addr().ok().and_then(|real| real.as_socket()).unwrap_or(*address);
        drop(probe);
        for worker in &mut all {
            let listener = bind(real, true, user_timeout).and_then(|socket| {
                socket.listen(BACKLOG)?;
                Ok(TcpListener::from(socket))
            });
            worker.push(listener.map_err(|error| Failure::Listen(real, error))?);
        }
        bound.push(real);
    }
    Ok((bound, all))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}

/// A bound socket whose options every accepted connection inherits.
fn bind(address: SocketAddr, share: bool, user_timeout: Duration) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_port(share)?;
    let options = SockRef::from(&socket);
    options.set_tcp_nodelay(true)?;
    options.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    options.set_tcp_user_timeout(Some(user_timeout))?;
    options.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
    socket.bind(&address.into())?;
    if !share {
        // A second server's bind fails only against a socket that listens.
        socket.listen(1)?;
    }
    Ok(socket)
}
