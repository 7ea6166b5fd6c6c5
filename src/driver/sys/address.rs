//! Socket addresses as the kernel writes them, and the places where it does.

use std::cell::{Cell, RefCell, UnsafeCell};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A `sockaddr_storage` (socket(7)): 128 bytes, family first.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(8))]
pub struct RawAddress {
    /// As in memory: family (native order), port and address (network order).
    pub bytes: [u8; 128],
}

impl Default for RawAddress {
    fn default() -> Self {
        Self { bytes: [0; 128] }
    }
}

const V4_BYTES: u32 = 16;
const V6_BYTES: u32 = 28;

impl RawAddress {
    /// Reads an address of IPv4 or IPv6, `None` for any other family. An IPv4 address mapped into
    /// IPv6 (`::ffff:1.2.3.4`, from a dual-stack listener) comes out as the IPv4 address it is.
    pub fn read(&self) -> Option<SocketAddr> {
        let b = &self.bytes;
        let port = u16::from_be_bytes([b[2], b[3]]);
        match i32::from(u16::from_ne_bytes([b[0], b[1]])) {
            libc::AF_INET => {
                let ip = Ipv4Addr::new(b[4], b[5], b[6], b[7]);
                Some(SocketAddr::new(IpAddr::V4(ip), port))
            }
            libc::AF_INET6 => {
                let mut octets = [0; 16];
                octets.copy_from_slice(&b[8..24]);
                Some(SocketAddr::new(IpAddr::V6(Ipv6Addr::from(octets)).to_canonical(), port))
            }
            _ => None,
        }
    }

    /// Writes an address; returns how many bytes of it count.
    pub fn write(&mut self, address: SocketAddr) -> u32 {
        self.bytes = [0; 128];
        let (family, length) = match address {
            SocketAddr::V4(_) => (libc::AF_INET, V4_BYTES),
            SocketAddr::V6(_) => (libc::AF_INET6, V6_BYTES),
        };
        let family = u16::try_from(family).unwrap_or_default();
        self.bytes[0..2].copy_from_slice(&family.to_ne_bytes());
        self.bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
        match address {
            SocketAddr::V4(v4) => self.bytes[4..8].copy_from_slice(&v4.ip().octets()),
            SocketAddr::V6(v6) => {
                self.bytes[8..24].copy_from_slice(&v6.ip().octets());
                self.bytes[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
            }
        }
        length
    }
}

/// One place for an address, with its length beside it.
struct Place {
    address: UnsafeCell<RawAddress>,
    length: UnsafeCell<libc::socklen_t>,
    lent: Cell<bool>,
}

/// Places that the kernel fills when an accept completes. Shared by the rings of one worker.
///
/// A place is lent to exactly one operation; it is read and taken back only by `take`, which
/// the ring calls when it sees that operation's last completion.
pub struct AddressTable {
    places: Box<[Place]>,
    free: RefCell<Vec<u16>>,
}

/// What io_uring needs to know of a lent place.
pub(super) struct Lent {
    pub(super) index: u16,
    pub(super) address: *mut libc::sockaddr,
    pub(super) length: *mut libc::socklen_t,
}

impl AddressTable {
    /// A table of `places` places.
    pub fn new(places: u16) -> Self {
        let place = || Place {
            address: UnsafeCell::new(RawAddress::default()),
            length: UnsafeCell::new(0),
            lent: Cell::new(false),
        };
        Self {
            places: (0..places).map(|_| place()).collect(),
            free: RefCell::new((0..places).rev().collect()),
        }
    }

    /// Lends a place, `None` when all are lent.
    pub(super) fn lend(&self) -> Option<Lent> {
        let index = self.free.borrow_mut().pop()?;
        let place = self.places.get(usize::from(index))?;
        place.lent.set(true);
        // SAFETY: the place was free, so neither the kernel nor a reference looks at it now.
        unsafe { *place.length.get() = 128 };
        Some(Lent { index, address: place.address.get().cast(), length: place.length.get() })
    }

    /// Reads a place whose operation has completed and takes it back.
    ///
    /// # Safety
    /// The operation the place was lent to has posted its last completion (or was never
    /// submitted), so that the kernel writes to it no more.
    pub(super) unsafe fn take(&self, index: u16) -> Option<SocketAddr> {
        let place = self.places.get(usize::from(index))?;
        if !place.lent.replace(false) {
            return None;
        }
        // SAFETY: by the contract above the kernel is done with the place, and it is not lent
        // again before this function has returned.
        let address = unsafe { *place.address.get() };
        self.free.borrow_mut().push(index);
        address.read()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_kernels_form() {
        for text in ["127.0.0.1:80", "255.1.2.3:65535", "[::1]:8080", "[2001:db8::7]:1"] {
            let address: SocketAddr = text.parse().expect("an address");
            let mut raw = RawAddress::default();
            let length = raw.write(address);
            assert_eq!(raw.read(), Some(address));
            assert_eq!(length, if address.is_ipv4() { 16 } else { 28 });
        }
    }

    #[test]
    fn a_mapped_address_is_shown_as_ipv4() {
        let mut raw = RawAddress::default();
        raw.write("[::ffff:10.1.2.3]:9".parse().expect("an address"));
        assert_eq!(raw.read(), Some("10.1.2.3:9".parse().expect("an address")));
    }

    #[test]
    fn another_family_is_no_address() {
        assert_eq!(RawAddress::default().read(), None);
    }

    #[test]
    fn places_are_lent_once() {
        let table = AddressTable::new(2);
        let (a, b) = (table.lend().expect("first"), table.lend().expect("second"));
        assert_ne!(a.index, b.index);
        assert!(table.lend().is_none());
        // SAFETY: nothing was submitted with this place.
        unsafe { table.take(a.index) };
        assert_eq!(table.lend().map(|l| l.index), Some(a.index));
    }
}
