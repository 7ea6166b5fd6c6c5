//! What this kernel offers, asked before anything is promised.

use std::fmt;
use std::fs;

use thiserror::Error;

use super::sys::{Ring, RingSettings};

/// Oldest kernel with all that the driver needs: direct descriptors whose long-armed polls do not
/// hold back the release of others.
pub const KERNEL_MIN: (u32, u32) = (6, 13);

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Kernel version.
    pub kernel: (u32, u32),
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "io_uring on Linux {}.{}", self.kernel.0, self.kernel.1)
    }
}

/// Why io_uring cannot be used here, and what cures it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unavailable {
    /// The kernel is too old.
    #[error(
        "this kernel is Linux {}.{}, ringcast needs {}.{} or newer: update the kernel",
        .0.0, .0.1, KERNEL_MIN.0, KERNEL_MIN.1
    )]
    OldKernel((u32, u32)),
    /// A seccomp filter refuses the system calls.
    #[error(
        "a seccomp filter refuses io_uring: start the container with \
         --security-opt seccomp=tuning/seccomp.json (or seccomp=unconfined)"
    )]
    Seccomp,
    /// The sysctl refuses it.
    #[error(
        "the sysctl kernel.io_uring_disabled is {0} and refuses io_uring: \
         run sysctl -w kernel.io_uring_disabled=0"
    )]
    Sysctl(u8),
    /// Not enough memory, or the lock limit.
    #[error("the kernel has no memory for a ring (ENOMEM): raise the memory limit or ulimit -l")]
    Memory,
    /// Anything else.
    #[error("io_uring_setup failed with errno {0}")]
    Other(i32),
}

/// Facts that tell the causes of a refusal apart.
#[derive(Debug, Clone, Copy)]
struct Circumstances {
    kernel: (u32, u32),
    seccomp_filter: bool,
    sysctl_disabled: u8,
}

/// Tries a ring as the driver uses it.
///
/// # Errors
/// The true cause, with its cure.
pub fn probe() -> Result<Report, Unavailable> {
    let circumstances = Circumstances::read();
    let settings = RingSettings {
        submissions: 8,
        completions: 16,
        descriptors: 1,
        buffers: 2,
        buffer_bytes: 64,
        accepts: 1,
    };
    match Ring::new(settings) {
        Ok(_) if circumstances.kernel >= KERNEL_MIN => Ok(Report { kernel: circumstances.kernel }),
        Ok(_) => Err(Unavailable::OldKernel(circumstances.kernel)),
        Err(error) => Err(circumstances.explain(error.raw_os_error().unwrap_or(0))),
    }
}

impl Circumstances {
    fn read() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let status = text("/proc/self/status");
        let seccomp = status.lines().find_map(|line| line.strip_prefix("Seccomp:"));
        Self {
            kernel: version(&text("/proc/sys/kernel/osrelease")),
            seccomp_filter: seccomp.is_some_and(|mode| mode.trim() == "2"),
            sysctl_disabled: text("/proc/sys/kernel/io_uring_disabled").trim().parse().unwrap_or(0),
        }
    }

    fn explain(self, errno: i32) -> Unavailable {
        match errno {
            libc::ENOMEM => Unavailable::Memory,
            libc::EPERM if self.sysctl_disabled > 0 => Unavailable::Sysctl(self.sysctl_disabled),
            libc::EPERM | libc::EACCES => Unavailable::Seccomp,
            libc::ENOSYS if self.kernel >= KERNEL_MIN && self.seccomp_filter => {
                Unavailable::Seccomp
            }
            libc::ENOSYS | libc::EINVAL => Unavailable::OldKernel(self.kernel),
            errno => Unavailable::Other(errno),
        }
    }
}

fn version(release: &str) -> (u32, u32) {
    let mut parts = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    let mut next = || parts.next().and_then(Result::ok).unwrap_or(0);
    (next(), next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_apart() {
        let here = Circumstances { kernel: (6, 18), seccomp_filter: true, sysctl_disabled: 0 };
        assert_eq!(here.explain(1), Unavailable::Seccomp);
        assert_eq!(here.explain(38), Unavailable::Seccomp);
        assert_eq!(here.explain(12), Unavailable::Memory);
        let locked = Circumstances { sysctl_disabled: 2, ..here };
        assert_eq!(locked.explain(1), Unavailable::Sysctl(2));
        let old = Circumstances { kernel: (5, 4), seccomp_filter: false, sysctl_disabled: 0 };
        assert_eq!(old.explain(38), Unavailable::OldKernel((5, 4)));
    }

    #[test]
    fn versions_are_read() {
        assert_eq!(version("6.18.44-fc-v657\n"), (6, 18));
        assert_eq!(version("nonsense"), (0, 0));
    }
}
