//! Outgoing connections, for the load tool and the terminal client's bench.

use std::cell::UnsafeCell;
use std::net::{IpAddr, SocketAddr};

use io_uring::types::{DestinationSlot, Fixed};
use io_uring::{opcode, squeue};

use super::address::RawAddress;
use super::buffers::GROUP;
use super::ring::{Descriptors, Ring, on_socket};
use crate::driver::user_data::UserData;

/// Places for the addresses of connects that are queued but not submitted: the kernel copies them
/// while it submits (IORING_FEAT_SUBMIT_STABLE).
#[derive(Default)]
pub(super) struct Outbound {
    places: Box<[UnsafeCell<RawAddress>]>,
    used: usize,
}

const PLACES: usize = 512;
/// SOCKET, SETSOCKOPT, BIND, CONNECT.
const CHAIN: usize = 4;

static YES: libc::c_int = 1;
static RESET: libc::linger = libc::linger { l_onoff: 1, l_linger: 0 };

/// A C constant or size as the SQE field it goes into.
fn field(value: impl TryInto<u32>) -> u32 {
    value.try_into().unwrap_or_default()
}

impl Ring {
    /// Writes an address where it stays until the next submit.
    fn hold_address(&mut self, address: SocketAddr) -> (*const libc::sockaddr, u32) {
        let outbound = &mut self.outbound;
        if outbound.places.is_empty() {
            outbound.places = (0..PLACES).map(|_| UnsafeCell::default()).collect();
        }
        let Some(place) = outbound.places.get_mut(outbound.used) else {
            return (std::ptr::null(), 0);
        };
        outbound.used += 1;
        let length = place.get_mut().write(address);
        (place.get().cast_const().cast(), length)
    }

    /// Queues a TCP connection from `source` (any port; `None`: any address) to `target`, its
    /// socket in slot `index` of the direct table.
    ///
    /// One chain: the socket, its source address (with IP_BIND_ADDRESS_NO_PORT, so that the port
    /// is picked knowing the target: ports per source *and* target), the connect. One completion
    /// comes: that of the connect, or [`UserData::Open`] of an earlier link that failed (its
    /// CQE_SKIP_SUCCESS then silences the rest). A source needs 6.11.
    pub fn connect(&mut self, index: u32, source: Option<IpAddr>, target: SocketAddr) {
        debug_assert!(self.descriptors() == Descriptors::Direct, "slots are picked by the caller");
        self.reserve(CHAIN);
        if self.outbound.used + 2 > PLACES {
            self.submit();
        }
        if self.queued() == 0 {
            self.outbound.used = 0;
        }
        let Ok(slot) = DestinationSlot::try_from_slot_target(index) else { return };
        let linked = squeue::Flags::IO_LINK | squeue::Flags::SKIP_SUCCESS;
        let (open, done) = (UserData::Open { index }, UserData::Connect { index });
        let family = if target.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        let socket = opcode::Socket::new(family, libc::SOCK_STREAM, 0)
            .file_index(Some(slot))
            .build()
            .flags(linked)
            .user_data(open.pack());
        // SAFETY: names no memory.
        unsafe { self.push(&socket) };
        if let Some(source) = source {
            let option = opcode::SetSockOpt::new(
                Fixed(index),
                field(libc::SOL_IP),
                field(libc::IP_BIND_ADDRESS_NO_PORT),
                (&raw const YES).cast(),
                field(size_of_val(&YES)),
            )
            .build()
            .flags(linked)
            .user_data(open.pack());
            // SAFETY: the option's value is a static.
            unsafe { self.push(&option) };
            let (address, length) = self.hold_address(SocketAddr::new(source, 0));
            let bind = opcode::Bind::new(Fixed(index), address, length)
                .build()
                .flags(linked)
                .user_data(open.pack());
            // SAFETY: the place is not written again before the next submit, which copies it, and
            // is freed only with the ring.
            unsafe { self.push(&bind) };
        }
        let (address, length) = self.hold_address(target);
        let connect =
            opcode::Connect::new(Fixed(index), address, length).build().user_data(done.pack());
        // SAFETY: as for the bind.
        unsafe { self.push(&connect) };
    }

    /// Queues a repeating receive into the buffer group. Each completion holds one buffer; one
    /// without more to follow ends it: end of input, an error, or ENOBUFS (arm it again after a
    /// recycle; nothing is lost).
    pub fn receive_stream(&mut self, index: u32, data: UserData) {
        let entry = on_socket!(self, index, fd => opcode::RecvMulti::new(fd, GROUP).build())
            .user_data(data.pack());
        // SAFETY: names no memory but the buffer group, which the ring owns.
        unsafe { self.push(&entry) };
    }

    /// Queues SO_LINGER with zero time: the close will reset the connection, and no TIME_WAIT
    /// keeps its port.
    pub fn reset_on_close(&mut self, index: u32) {
        let entry = on_socket!(self, index, fd => opcode::SetSockOpt::new(
            fd,
            field(libc::SOL_SOCKET),
            field(libc::SO_LINGER),
            (&raw const RESET).cast(),
            field(size_of_val(&RESET)),
        ).build())
        .flags(squeue::Flags::SKIP_SUCCESS)
        .user_data(UserData::Ignored.pack());
        // SAFETY: the option's value is a static.
        unsafe { self.push(&entry) };
    }
}
