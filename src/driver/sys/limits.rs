//! getrlimit(2), setrlimit(2).

/// Soft and hard limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// In force; `u64::MAX` for none.
    pub soft: u64,
    /// Up to which an unprivileged process may raise the soft one.
    pub hard: u64,
}

/// Which limit.
#[derive(Debug, Clone, Copy)]
pub enum Resource {
    /// RLIMIT_NOFILE: plain descriptors, and the entries of each ring's direct table.
    Descriptors,
    /// RLIMIT_MEMLOCK, bytes: what rings were charged to before 5.12.
    LockedBytes,
}

/// Reads a limit; zeros if the kernel refuses (it does not for these two).
pub fn read(resource: Resource) -> Limit {
    let mut raw = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `raw` is a valid rlimit that the call only writes to.
    unsafe { libc::getrlimit(which(resource), &mut raw) };
    Limit { soft: raw.rlim_cur, hard: raw.rlim_max }
}

/// Sets the soft limit to the hard one; leaves it where it is if the kernel refuses.
pub fn raise(resource: Resource) {
    let limit = read(resource);
    let raw = libc::rlimit { rlim_cur: limit.hard, rlim_max: limit.hard };
    // SAFETY: `raw` is a valid rlimit that the call only reads.
    unsafe { libc::setrlimit(which(resource), &raw) };
}

fn which(resource: Resource) -> libc::__rlimit_resource_t {
    match resource {
        Resource::Descriptors => libc::RLIMIT_NOFILE,
        Resource::LockedBytes => libc::RLIMIT_MEMLOCK,
    }
}
