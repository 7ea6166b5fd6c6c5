//! Raw kernel interface: the one address of `unsafe` outside the journal ring.
//!
//! What leaves this folder is safe: no pointer given to the kernel outlives the memory it names.
//! Sends name their bytes only within one call (`send_all`); receives pick their buffer
//! from a group that the ring owns; accepts write to an [`address::AddressTable`] that the ring
//! keeps alive. A ring that cannot prove that the kernel is done with that memory leaks it.
#![allow(unsafe_code)]

pub mod address;
mod alarm;
pub mod bell;
pub mod buffers;
pub mod clock;
pub mod connect;
pub mod enter;
pub mod kernel;
pub mod limits;
pub mod memory;
pub mod moving;
pub mod ring;
pub mod send;

use clock::Clock;
use limits::Resource;

/// Soft limit of open descriptors (RLIMIT_NOFILE); it also caps a ring's table of direct ones.
pub fn descriptor_limit() -> usize {
    usize::try_from(limits::read(Resource::Descriptors).soft).unwrap_or(usize::MAX)
}

/// Raises the soft limit of open descriptors to the hard one, as far as the kernel allows.
pub fn raise_descriptor_limit() {
    limits::raise(Resource::Descriptors);
}

/// Asks the kernel for small pages only, from now on (PR_SET_THP_DISABLE); false where it refuses.
///
/// The allocator asks for huge ones: two megabytes at the first touch of each region, which is
/// some ten megabytes of a young server, and more each time a table doubles.
pub fn avoid_huge_pages() -> bool {
    kernel::avoid_huge_pages()
}

/// CLOCK_MONOTONIC in milliseconds.
pub fn mono_ms() -> u64 {
    millis(Clock::Monotonic)
}

/// CLOCK_MONOTONIC in microseconds.
pub fn mono_us() -> u64 {
    u64::try_from(clock::read(Clock::Monotonic).as_micros()).unwrap_or(u64::MAX)
}

/// CLOCK_REALTIME in milliseconds since 1970.
pub fn unix_ms() -> u64 {
    millis(Clock::Realtime)
}

fn millis(clock: Clock) -> u64 {
    u64::try_from(clock::read(clock).as_millis()).unwrap_or(u64::MAX)
}
