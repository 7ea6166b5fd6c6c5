//! Can this machine run the server, and if not, which one thing cures it?
//!
//! io_uring is refused for quite different reasons with the same few errno values. The probe tries
//! a ring, and if that fails looks around (/proc) until it can name the true cause.

use std::fmt;

use super::error::Errno;
use super::sys::kernel::{self, Offer};
use super::sys::limits::{self, Limit, Resource};
use super::sys::ring::Descriptors;
use super::uring::UringSettings;

#[cfg(test)]
mod tests;

/// What the machine offers. Its [`Display`](fmt::Display) is one line for the start-up screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// As uname(2) has it, e.g. `6.18.44-amd64`.
    pub release: String,
    /// How the driver should name sockets here.
    pub descriptors: Descriptors,
    /// NO_SQARRAY (6.6).
    pub no_array: bool,
    /// NO_IOWAIT (6.15). Without it an idle server looks like a busy disk in `top` (100 % `wa`);
    /// nothing is wrong then.
    pub no_iowait: bool,
    /// RLIMIT_NOFILE: entries of one table of direct descriptors, or all connections with plain
    /// descriptors.
    pub descriptor_limit: Limit,
    /// Rings that RLIMIT_MEMLOCK leaves room for (from 6.14 on queues are charged to it, per
    /// user); `None` for no limit. Each worker needs one, and one more for every
    /// [`descriptor_limit`](Self::descriptor_limit) connections.
    pub rings_max: Option<u64>,
}

/// Why io_uring cannot be used here. Its text names the cause and its cure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// Too old.
    #[error(
        "this kernel ({release}) is too old: {missing} is missing. Cure: boot Linux 6.1 or newer \
         (6.13 or newer to hold more connections than the open-files limit)"
    )]
    OldKernel {
        /// As uname(2) has it.
        release: String,
        /// What was not there.
        missing: &'static str,
    },
    /// New enough, but built without.
    #[error(
        "this kernel ({release}) was built without io_uring (it answers ENOSYS and no seccomp \
         filter is active). Cure: a kernel with CONFIG_IO_URING=y"
    )]
    NotBuilt {
        /// As uname(2) has it.
        release: String,
    },
    /// A seccomp filter, as in a container.
    #[error(
        "a seccomp filter forbids io_uring_setup (it answers {}), as the default profiles of \
         container engines do. Cure: docker run --security-opt seccomp=unconfined, or a profile \
         that allows io_uring_setup, io_uring_enter and io_uring_register",
        errno_name(*errno)
    )]
    Seccomp {
        /// What the filter answers.
        errno: Errno,
    },
    /// The sysctl.
    #[error(
        "io_uring is switched off by kernel.io_uring_disabled={value}{}. Cure: sysctl -w \
         kernel.io_uring_disabled=0 (to last: a line in /etc/sysctl.d/)",
        if *value == 1 { " for processes without CAP_SYS_ADMIN" } else { "" }
    )]
    Disabled {
        /// 1: for the unprivileged; 2: for everyone.
        value: u8,
    },
    /// RLIMIT_MEMLOCK.
    #[error(
        "the locked-memory limit ({limit_bytes} bytes) has no room for a ring ({ring_bytes} \
         bytes). Cure: ulimit -l unlimited (systemd: LimitMEMLOCK=infinity; docker run --ulimit \
         memlock=-1)"
    )]
    LockedMemory {
        /// The soft limit.
        limit_bytes: u64,
        /// One ring.
        ring_bytes: u64,
    },
    /// Memory itself.
    #[error(
        "no memory for a ring of {ring_bytes} bytes. Cure: a larger memory limit of the container \
         or control group (memory.max)"
    )]
    OutOfMemory {
        /// One ring.
        ring_bytes: u64,
    },
    /// A security module.
    #[error(
        "io_uring_setup is not permitted, though neither a seccomp filter nor \
         kernel.io_uring_disabled forbids it: a security module (SELinux, AppArmor) does. Cure: \
         allow the io_uring permissions in its policy"
    )]
    Policy,
    /// Anything else.
    #[error("io_uring_setup: {errno}")]
    Other {
        /// What the kernel said.
        errno: Errno,
    },
}

/// What /proc says about this process.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Surroundings {
    release: String,
    /// /proc/self/status `Seccomp: 2`.
    filtered: bool,
    /// Effective CAP_SYS_ADMIN.
    admin: bool,
    /// Effective CAP_IPC_LOCK: not bound by RLIMIT_MEMLOCK.
    locks: bool,
    /// /proc/sys/kernel/io_uring_disabled (since 6.6).
    disabled: u8,
    locked_bytes: Limit,
}

const CAP_IPC_LOCK: u32 = 14;
const CAP_SYS_ADMIN: u32 = 21;
/// From here on an armed poll no longer holds back the release of descriptors closed after it.
const DIRECT_SINCE: (u32, u32) = (6, 13);
/// io_uring itself.
const ANY_SINCE: (u32, u32) = (5, 1);

/// Tries io_uring with the driver's usual sizes.
pub fn probe() -> Result<Report, Unavailable> {
    run(&UringSettings::default())
}

/// Tries io_uring with the sizes of `settings`.
pub fn run(settings: &UringSettings) -> Result<Report, Unavailable> {
    let around = Surroundings::read();
    let ring_bytes = kernel::ring_bytes(settings.submissions, settings.completions);
    let offer = kernel::examine(settings.submissions, settings.completions)
        .map_err(|errno| explain(errno, &around, ring_bytes))?;
    let missing = |missing| Unavailable::OldKernel { release: around.release.clone(), missing };
    check(&offer).map_err(missing)?;
    let rings_max = (!around.locks && around.locked_bytes.soft != u64::MAX)
        .then(|| around.locked_bytes.soft / ring_bytes);
    let direct = version(&around.release) >= DIRECT_SINCE;
    Ok(Report {
        descriptors: if direct { Descriptors::Direct } else { Descriptors::Plain },
        release: around.release,
        no_array: offer.no_array,
        no_iowait: offer.no_iowait,
        descriptor_limit: limits::read(Resource::Descriptors),
        rings_max,
    })
}

fn check(offer: &Offer) -> Result<(), &'static str> {
    match offer {
        Offer { missing: Some(name), .. } => Err(name),
        Offer { basics: false, .. } => Err("IORING_FEAT_CQE_SKIP"),
        Offer { deferred: false, .. } => Err("IORING_SETUP_DEFER_TASKRUN"),
        _ => Ok(()),
    }
}

/// The true cause behind an errno of io_uring_setup(2).
fn explain(errno: Errno, around: &Surroundings, ring_bytes: u64) -> Unavailable {
    let switched_off = match around.disabled {
        // io_uring_group is not looked at: a member of it would not have been refused.
        1 => !around.admin,
        value => value >= 2,
    };
    match errno {
        Errno(libc::EPERM | libc::EACCES) if switched_off => {
            Unavailable::Disabled { value: around.disabled }
        }
        Errno(libc::EPERM | libc::EACCES) if around.filtered => Unavailable::Seccomp { errno },
        Errno(libc::EPERM | libc::EACCES) => Unavailable::Policy,
        Errno(libc::ENOSYS) if version(&around.release) < ANY_SINCE => {
            Unavailable::OldKernel { release: around.release.clone(), missing: "io_uring" }
        }
        Errno(libc::ENOSYS) if around.filtered => Unavailable::Seccomp { errno },
        Errno(libc::ENOSYS) => Unavailable::NotBuilt { release: around.release.clone() },
        Errno(libc::ENOMEM) if !around.locks && around.locked_bytes.soft != u64::MAX => {
            Unavailable::LockedMemory { limit_bytes: around.locked_bytes.soft, ring_bytes }
        }
        Errno(libc::ENOMEM) => Unavailable::OutOfMemory { ring_bytes },
        Errno(libc::EINVAL) => Unavailable::OldKernel {
            release: around.release.clone(),
            missing: "a flag of io_uring_setup",
        },
        errno => Unavailable::Other { errno },
    }
}

impl Surroundings {
    fn read() -> Self {
        let text = |path| std::fs::read_to_string(path).unwrap_or_default();
        let status = text("/proc/self/status");
        let capabilities = field(&status, "CapEff:")
            .and_then(|hex| u64::from_str_radix(hex, 16).ok())
            .unwrap_or(0);
        Self {
            release: text("/proc/sys/kernel/osrelease").trim().to_owned(),
            filtered: field(&status, "Seccomp:") == Some("2"),
            admin: capabilities & 1 << CAP_SYS_ADMIN != 0,
            locks: capabilities & 1 << CAP_IPC_LOCK != 0,
            disabled: text("/proc/sys/kernel/io_uring_disabled").trim().parse().unwrap_or(0),
            locked_bytes: limits::read(Resource::LockedBytes),
        }
    }
}

/// A field of /proc/self/status (proc(5)).
fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// Major and minor of a release such as `6.18.44-amd64`; (0, 0) if it is none.
fn version(release: &str) -> (u32, u32) {
    let mut numbers =
        release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn errno_name(errno: Errno) -> &'static str {
    match errno.0 {
        libc::EPERM => "EPERM",
        libc::EACCES => "EACCES",
        libc::ENOSYS => "ENOSYS",
        _ => "an error",
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Limit { soft, .. } = self.descriptor_limit;
        write!(f, "kernel {}, io_uring with ", self.release)?;
        match self.descriptors {
            Descriptors::Direct => write!(f, "direct descriptors ({soft} in each table)")?,
            Descriptors::Plain => {
                write!(f, "plain descriptors (at most {soft}; direct ones need 6.13)")?;
            }
        }
        if let Some(rings) = self.rings_max {
            write!(f, ", locked memory for {rings} rings")?;
        }
        if !self.no_iowait {
            write!(f, "; idle shows as iowait before 6.15")?;
        }
        Ok(())
    }
}
