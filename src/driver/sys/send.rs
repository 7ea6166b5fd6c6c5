//! Sends that name their bytes only within one call.

use io_uring::{opcode, squeue};

use super::ring::{Descriptors, Ring, on_socket};
use crate::driver::user_data::UserData;

/// The longest single send, bytes: the kernel cuts longer ones silently (MAX_RW_COUNT).
pub(in crate::driver) const SEND_BYTES_MAX: usize = 0x7fff_f000;

/// One send.
#[derive(Debug, Clone, Copy)]
pub(in crate::driver) struct Item<'a> {
    /// Which ring, an index into the rings given. Out of range: the item is skipped.
    pub(in crate::driver) ring: usize,
    /// Which descriptor of that ring.
    pub(in crate::driver) index: u32,
    /// What; cut to [`SEND_BYTES_MAX`].
    pub(in crate::driver) bytes: &'a [u8],
    /// For the completion, if there is one.
    pub(in crate::driver) token: u32,
}

/// Submits all rings when dropped, also when the iterator of items panics: no queued entry may
/// outlive the bytes it names.
struct Submitting<'r, R: AsMut<Ring>>(&'r mut [R]);

impl<R: AsMut<Ring>> Drop for Submitting<'_, R> {
    fn drop(&mut self) {
        for ring in &mut *self.0 {
            ring.as_mut().submit_and_fetch();
        }
    }
}

/// Sends each item without waiting; on return the kernel holds none of their bytes.
///
/// A send that took all its bytes posts no completion; a short or failed one posts one, with the
/// count (or a negative errno) and [`UserData::Send`]. This rests on three flags together:
/// MSG_DONTWAIT never arms a poll that would keep the pointer, MSG_WAITALL turns a short send into
/// a failure, and a failure undoes CQE_SKIP_SUCCESS. Without MSG_WAITALL a short send would be
/// silent loss.
///
/// The enter that submits them runs deferred completions too, so that a busy worker needs no other.
///
/// At most one item per socket: a second would go out even if the first was cut short.
pub(in crate::driver) fn send_all<'a, R: AsMut<Ring>>(
    rings: &mut [R],
    items: &mut dyn Iterator<Item = Item<'a>>,
) {
    let flags = libc::MSG_DONTWAIT | libc::MSG_WAITALL | libc::MSG_NOSIGNAL;
    let submitting = Submitting(rings);
    for item in items {
        let Some(ring) = submitting.0.get_mut(item.ring).map(AsMut::as_mut) else { continue };
        let len = u32::try_from(item.bytes.len().min(SEND_BYTES_MAX)).unwrap_or(0);
        let entry = on_socket!(ring, item.index, fd => opcode::Send::new(
            fd, item.bytes.as_ptr(), len).flags(flags).build())
        .flags(squeue::Flags::SKIP_SUCCESS)
        .user_data(UserData::Send { token: item.token }.pack());
        // SAFETY: the bytes live for 'a, which outlives this call; before it returns (or unwinds)
        // `submitting` submits every ring, and a DONTWAIT send has read its bytes when the submit
        // returns. A dead ring never submits again.
        unsafe { ring.push(&entry) };
    }
}
