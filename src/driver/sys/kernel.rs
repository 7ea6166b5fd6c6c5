//! What this kernel's io_uring can do.

use io_uring::{IoUring, Probe, opcode};

use crate::driver::error::Errno;

/// Operations the server cannot do without, with their names.
const NEEDED: [(u8, &str); 9] = [
    (opcode::Accept::CODE, "ACCEPT"),
    (opcode::Recv::CODE, "RECV"),
    (opcode::Send::CODE, "SEND"),
    (opcode::PollAdd::CODE, "POLL_ADD"),
    (opcode::Shutdown::CODE, "SHUTDOWN"),
    (opcode::Close::CODE, "CLOSE"),
    (opcode::AsyncCancel::CODE, "ASYNC_CANCEL"),
    (opcode::MsgRingData::CODE, "MSG_RING"),
    (opcode::Socket::CODE, "SOCKET"),
];

/// What a trial ring has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// SINGLE_ISSUER and DEFER_TASKRUN (6.1).
    pub deferred: bool,
    /// NO_SQARRAY (6.6).
    pub no_array: bool,
    /// ENTER_NO_IOWAIT (6.15): a sleeping ring does not look like a busy disk.
    pub no_iowait: bool,
    /// Waits with a time limit (5.11), silent successes (5.17).
    pub basics: bool,
    /// First needed operation that is missing.
    pub missing: Option<&'static str>,
}

/// Makes rings of this size, one after the other, and looks at them.
///
/// The errno is that of io_uring_setup(2) with the plainest flags.
pub fn examine(submissions: u32, completions: u32) -> Result<Offer, Errno> {
    let build = |deferred: bool, no_array: bool| -> Result<IoUring, Errno> {
        let mut builder = IoUring::builder();
        builder.setup_cqsize(completions).setup_clamp();
        if deferred {
            builder.setup_single_issuer().setup_defer_taskrun().setup_submit_all();
        }
        if no_array {
            builder.setup_no_sqarray();
        }
        builder.build(submissions).map_err(|error| Errno::of(&error))
    };
    let plain = build(false, false)?;
    let basics =
        plain.params().is_feature_ext_arg() && plain.params().is_feature_skip_cqe_on_success();
    let mut probe = Probe::new();
    let missing = match plain.submitter().register_probe(&mut probe) {
        Ok(()) => NEEDED.iter().find(|(code, _)| !probe.is_supported(*code)).map(|(_, name)| *name),
        Err(_) => Some("PROBE"),
    };
    let no_iowait = plain.params().is_feature_no_iowait();
    drop(plain);
    let deferred = build(true, false).is_ok();
    let no_array = deferred && build(true, true).is_ok();
    Ok(Offer { deferred, no_array, no_iowait, basics, missing })
}

/// prctl(2) PR_SET_THP_DISABLE for this process.
pub fn avoid_huge_pages() -> bool {
    let (on, none): (libc::c_ulong, libc::c_ulong) = (1, 0);
    // SAFETY: names no memory; the three unused arguments must be 0.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, on, none, none, none) == 0 }
}

/// Bytes of kernel memory of one ring's queues, as charged to RLIMIT_MEMLOCK.
pub fn ring_bytes(submissions: u32, completions: u32) -> u64 {
    const PAGE: u64 = 4096;
    let entries = u64::from(submissions.next_power_of_two()) * 64;
    let queues = u64::from(completions.next_power_of_two()) * 16 + 64;
    entries.next_multiple_of(PAGE) + queues.next_multiple_of(PAGE)
}
