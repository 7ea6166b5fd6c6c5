//! Atomics and cells, loom's where loom checks.

#[cfg(ringcast_loom)]
pub(super) use loom::{
    cell::UnsafeCell,
    sync::Mutex,
    sync::atomic::{AtomicU64, Ordering},
};
#[cfg(not(ringcast_loom))]
pub(super) use std::sync::Mutex;
#[cfg(not(ringcast_loom))]
pub(super) use std::sync::atomic::{AtomicU64, Ordering};

/// std's cell with loom's manners.
#[cfg(not(ringcast_loom))]
#[derive(Debug)]
pub(super) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(ringcast_loom))]
impl<T> UnsafeCell<T> {
    fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    fn with<R>(&self, look: impl FnOnce(*const T) -> R) -> R {
        look(self.0.get())
    }

    fn with_mut<R>(&self, change: impl FnOnce(*mut T) -> R) -> R {
        change(self.0.get())
    }
}

/// A cell and the mark that says which entry it holds.
#[derive(Debug)]
pub(super) struct Slot<T> {
    mark: AtomicU64,
    value: UnsafeCell<Option<T>>,
}

// SAFETY: the value is reached only through the three unsafe methods, whose callers keep one
// writer or many readers by the ring's marks.
unsafe impl<T: Send + Sync> Sync for Slot<T> {}
// SAFETY: a slot owns its value; moving it moves a `T`, which is `Send`.
unsafe impl<T: Send> Send for Slot<T> {}

impl<T> Slot<T> {
    pub(super) fn new() -> Self {
        Self { mark: AtomicU64::new(0), value: UnsafeCell::new(None) }
    }

    /// Says that the entry `mark - 1` is in.
    pub(super) fn mark(&self, mark: u64) {
        self.mark.store(mark, Ordering::Release);
    }

    pub(super) fn is_marked(&self, mark: u64) -> bool {
        self.mark.load(Ordering::Acquire) == mark
    }

    /// # Safety
    /// Nobody else may reach the value meanwhile.
    pub(super) unsafe fn put(&self, value: T) {
        // SAFETY: the caller is alone.
        self.value.with_mut(|place| unsafe { *place = Some(value) });
    }

    /// # Safety
    /// Nobody else may reach the value meanwhile.
    pub(super) unsafe fn take(&self) -> Option<T> {
        // SAFETY: the caller is alone.
        self.value.with_mut(|place| unsafe { (*place).take() })
    }

    /// # Safety
    /// Nobody may change the value while the reference lives.
    pub(super) unsafe fn get(&self) -> Option<&T> {
        // SAFETY: the caller keeps writers away.
        self.value.with(|place| unsafe { (*place).as_ref() })
    }
}
