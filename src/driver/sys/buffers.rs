//! The shared receive buffers of a ring: a provided-buffer ring (io_uring_register_buf_ring(3)).
//!
//! The kernel picks a buffer when data has come, so no buffer belongs to an idle connection.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

/// Buffer group of all receives.
pub(super) const GROUP: u16 = 0;

#[derive(Debug)]
pub(super) struct Buffers {
    entries: NonNull<BufRingEntry>,
    layout: std::alloc::Layout,
    data: Box<[u8]>,
    count: u16,
    size: u32,
    tail: u16,
}

impl Buffers {
    /// Registers `count` buffers (a power of two) of `size` bytes.
    pub(super) fn register(submitter: &Submitter<'_>, count: u16, size: u32) -> io::Result<Self> {
        let count = count.clamp(2, 1 << 14).next_power_of_two();
        let bytes = usize::from(count) * size_of::<BufRingEntry>();
        let layout = std::alloc::Layout::from_size_align(bytes, 4_096)
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        // SAFETY: the layout has a size above zero.
        let memory = unsafe { std::alloc::alloc_zeroed(layout) };
        let entries = NonNull::new(memory.cast::<BufRingEntry>())
            .ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        let data = vec![0; usize::from(count) * size as usize].into_boxed_slice();
        let mut buffers = Self { entries, layout, data, count, size, tail: 0 };
        // SAFETY: the entries live until the ring that uses them is gone: `Ring` drops its
        // io_uring before its buffers (field order).
        unsafe {
            submitter.register_buf_ring_with_flags(entries.as_ptr() as u64, count, GROUP, 0)?;
        }
        for id in 0..count {
            buffers.give_back(id);
        }
        Ok(buffers)
    }

    /// The first `len` bytes of a buffer.
    pub(super) fn get(&self, id: u16, len: u32) -> &[u8] {
        let start = usize::from(id) * self.size as usize;
        let end = start + len.min(self.size) as usize;
        self.data.get(start..end).unwrap_or_default()
    }

    /// Gives a buffer to the kernel.
    pub(super) fn give_back(&mut self, id: u16) {
        let at = usize::from(self.tail & (self.count - 1));
        let start = usize::from(id) * self.size as usize;
        let Some(memory) = self.data.get_mut(start..start + self.size as usize) else { return };
        // SAFETY: `at` is below `count`; the kernel reads entries only up to the tail, which is
        // stored after this one is whole.
        unsafe {
            let entry = &mut *self.entries.as_ptr().add(at);
            entry.set_addr(memory.as_mut_ptr() as u64);
            entry.set_len(self.size);
            entry.set_bid(id);
        }
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail lies in the first entry's reserved field, 2-byte aligned, and is shared
        // with the kernel: an atomic store publishes it (Release).
        unsafe {
            let tail = BufRingEntry::tail(self.entries.as_ptr()).cast::<AtomicU16>();
            (*tail).store(self.tail, Ordering::Release);
        }
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: allocated in `register` with this layout, and the ring is gone already.
        unsafe { std::alloc::dealloc(self.entries.as_ptr().cast(), self.layout) };
    }
}
