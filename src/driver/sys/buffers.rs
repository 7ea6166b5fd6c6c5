//! A ring of provided buffers (io_uring_register_buf_ring(3), since 5.19).
//!
//! The kernel picks a buffer when data arrives, so idle connections hold none.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;

use crate::driver::error::{Errno, StartError};

const PAGE_BYTES: usize = 4096;

/// Buffers shared by all receives of one ring.
pub struct BufferGroup {
    entries: *mut BufRingEntry,
    memory: *mut u8,
    entries_layout: Layout,
    memory_layout: Layout,
    buffer_bytes: u32,
    mask: u16,
    tail: u16,
    /// Per buffer: one more than the bytes it was filled with while the caller holds it, 0 while
    /// the kernel does.
    held: Box<[u32]>,
    held_count: u16,
}

/// The only group of a ring.
pub(super) const GROUP: u16 = 0;

impl BufferGroup {
    /// Allocates `buffers` (a power of two up to 32,768) of `buffer_bytes` each and gives them to
    /// the kernel.
    ///
    /// # Safety
    /// The group must outlive every operation of `ring` that may pick a buffer from it.
    pub(super) unsafe fn register(
        ring: &IoUring,
        buffers: u16,
        buffer_bytes: u32,
    ) -> Result<Self, StartError> {
        let fail = |errno| StartError::Buffers { buffers, errno: Errno(errno) };
        if !buffers.is_power_of_two() || buffers > 32_768 || buffer_bytes == 0 {
            return Err(fail(libc::EINVAL));
        }
        let count = usize::from(buffers);
        let entries_bytes = count * size_of::<BufRingEntry>();
        let memory_bytes = count * buffer_bytes as usize;
        let entries_layout =
            Layout::from_size_align(entries_bytes, PAGE_BYTES).map_err(|_| fail(libc::EINVAL))?;
        let memory_layout =
            Layout::from_size_align(memory_bytes, PAGE_BYTES).map_err(|_| fail(libc::EINVAL))?;
        // SAFETY: neither layout has size 0 (buffers and buffer_bytes are at least 1).
        let (entries, memory) = unsafe {
            (alloc_zeroed(entries_layout).cast::<BufRingEntry>(), alloc_zeroed(memory_layout))
        };
        let mut group = Self {
            entries,
            memory,
            entries_layout,
            memory_layout,
            buffer_bytes,
            mask: buffers - 1,
            tail: 0,
            held: vec![1; count].into_boxed_slice(),
            held_count: buffers,
        };
        if entries.is_null() || memory.is_null() {
            return Err(fail(libc::ENOMEM));
        }
        // SAFETY: `entries` is page-aligned, zeroed and large enough; the caller promises that it
        // stays until no operation can use it.
        unsafe { ring.submitter().register_buf_ring_with_flags(entries as u64, buffers, GROUP, 0) }
            .map_err(|error| StartError::Buffers { buffers, errno: Errno::of(&error) })?;
        for buffer in 0..buffers {
            group.give(buffer);
        }
        Ok(group)
    }

    /// The caller holds the buffer from now on: the kernel has filled it with `len` bytes.
    pub(super) fn hold(&mut self, buffer: u16, len: u32) {
        if let Some(held) = self.held.get_mut(usize::from(buffer))
            && *held == 0
        {
            *held = len.min(self.buffer_bytes) + 1;
            self.held_count += 1;
        }
    }

    /// Gives a held buffer back to the kernel; anything else is ignored.
    pub(super) fn give(&mut self, buffer: u16) {
        let Some(held) = self.held.get_mut(usize::from(buffer)) else { return };
        if *held == 0 {
            return;
        }
        *held = 0;
        self.held_count -= 1;
        let place = usize::from(self.tail & self.mask);
        // SAFETY: `place` is below the number of entries and `buffer` below the number of
        // buffers, so both pointers stay inside their allocations. The kernel reads an entry only
        // after the tail below has been moved past it. The setters leave the overlaid tail field
        // of entry 0 alone.
        unsafe {
            let entry = &mut *self.entries.add(place);
            entry
                .set_addr(self.memory.add(usize::from(buffer) * self.buffer_bytes as usize) as u64);
            entry.set_len(self.buffer_bytes);
            entry.set_bid(buffer);
        }
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail field lies inside the first entry, is 2-aligned, and is only ever
        // accessed as an atomic from now on, by us and the kernel.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.entries).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }

    /// The first `len` bytes of a held buffer; empty if the caller does not hold it.
    pub(super) fn bytes(&self, buffer: u16, len: u32) -> &[u8] {
        let filled = self.held.get(usize::from(buffer)).map_or(0, |held| held.saturating_sub(1));
        let len = len.min(filled) as usize;
        if len == 0 {
            return &[];
        }
        let start = usize::from(buffer) * self.buffer_bytes as usize;
        // SAFETY: the buffer is held, so the kernel does not write to it until `give`, which
        // needs `&mut self`; the kernel has filled at least `len` bytes of it.
        unsafe { std::slice::from_raw_parts(self.memory.add(start), len) }
    }

    /// How many buffers the kernel has to pick from.
    pub(super) fn free(&self) -> usize {
        self.held.len() - usize::from(self.held_count)
    }
}

impl Drop for BufferGroup {
    fn drop(&mut self) {
        // SAFETY: allocated in `register` with these layouts, freed once. By the contract of
        // `register` no operation uses them any more.
        unsafe {
            if !self.entries.is_null() {
                dealloc(self.entries.cast(), self.entries_layout);
            }
            if !self.memory.is_null() {
                dealloc(self.memory, self.memory_layout);
            }
        }
    }
}
