//! Limits and refusals. The `pub(crate)` functions run in a child process.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use io_uring::IoUring;
use io_uring::types::DestinationSlot;
use ringcast::driver::sys::ring::Descriptors;
use ringcast::driver::{
    Completion, Doorbells, Driver, StartError, UringDriver, UringSettings, probe,
};

use crate::child;
use crate::rig::{Rig, client_of, listener};

fn limit(which: libc::__rlimit_resource_t, soft: u64) {
    let value = libc::rlimit { rlim_cur: soft, rlim_max: soft };
    // SAFETY: `value` is a valid rlimit.
    assert_eq!(unsafe { libc::setrlimit(which, &value) }, 0);
}

/// Has every thread of this process get `errno` from io_uring_setup(2).
fn filter_io_uring(errno: i32) {
    let load = |offset| libc::sock_filter { code: 0x20, jt: 0, jf: 0, k: offset };
    let setup = u32::try_from(libc::SYS_io_uring_setup).expect("a small number");
    let answer = libc::SECCOMP_RET_ERRNO | errno.cast_unsigned();
    let mut program = [
        load(0), // seccomp_data.nr
        libc::sock_filter { code: 0x15, jt: 0, jf: 1, k: setup },
        libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: answer },
        libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW },
    ];
    let filter = libc::sock_fprog { len: 4, filter: program.as_mut_ptr() };
    // SAFETY: the filter names a program of four instructions that outlives both calls.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let done = libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_TSYNC,
            &filter,
        );
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    }
}

fn probed() -> String {
    match probe::run(&UringSettings::default()) {
        Ok(report) => report.to_string(),
        Err(error) => error.to_string(),
    }
}

pub(crate) fn probe_under_filter(errno: i32) -> String {
    filter_io_uring(errno);
    probed()
}

#[test]
fn a_container_that_forbids_io_uring_is_recognised() {
    for (name, answer) in [("seccomp EPERM", "answers EPERM"), ("seccomp ENOSYS", "answers ENOSYS")]
    {
        let text = child::run(name);
        assert!(text.starts_with("a seccomp filter forbids io_uring_setup"), "{text}");
        assert!(text.contains(answer), "{text}");
        assert!(text.contains("docker run --security-opt seccomp=unconfined"), "{text}");
    }
}

/// From 6.14 on the queues of a ring are charged to RLIMIT_MEMLOCK, per user.
pub(crate) fn probe_without_locked_memory() -> String {
    limit(libc::RLIMIT_MEMLOCK, 65_536);
    // SAFETY: takes no memory. Another user without CAP_IPC_LOCK is bound by the limit.
    if unsafe { libc::setresgid(65_534, 65_534, 65_534) | libc::setresuid(65_534, 65_534, 65_534) }
        != 0
    {
        return "not root".to_owned();
    }
    probed()
}

#[test]
fn a_small_locked_memory_limit_is_recognised() {
    let text = child::run("locked memory");
    let charged = text.starts_with("the locked-memory limit (65536 bytes)");
    assert!(charged || text == "not root", "{text}");
    assert!(!charged || text.contains("ulimit -l unlimited"), "{text}");
}

/// Each ring's table may be as large as RLIMIT_NOFILE; together they hold more.
pub(crate) fn tables_under_a_small_limit() -> String {
    const LIMIT: u32 = 64;
    limit(libc::RLIMIT_NOFILE, u64::from(LIMIT));
    let mut rings: Vec<IoUring> = Vec::new();
    let mut held = 0;
    for _ in 0..4 {
        let mut rig = Rig::new(256);
        let beyond = rig.ring.submitter().register_files_sparse(LIMIT + 1);
        assert_eq!(beyond.expect_err("too large").raw_os_error(), Some(libc::EMFILE));
        rig.ring.submitter().register_files_sparse(LIMIT).expect("table");
        for n in 0..LIMIT {
            let socket = io_uring::opcode::Socket::new(libc::AF_INET, libc::SOCK_STREAM, 0)
                .file_index(Some(DestinationSlot::auto_target()))
                .build();
            rig.ask(socket, u64::from(n));
        }
        let mut made = 0;
        while made < LIMIT {
            for (_, result, _) in rig.wait(1, Duration::from_secs(5)) {
                assert!(result >= 0, "{result}");
                made += 1;
            }
        }
        held += made;
        rings.push(rig.ring);
    }
    format!("{held} sockets")
}

#[test]
fn tables_are_capped_by_the_limit_each_but_not_together() {
    assert_eq!(child::run("tables"), "256 sockets");
}

/// A driver with plain descriptors, out of them.
pub(crate) fn accept_without_descriptors() -> String {
    let settings = UringSettings {
        connections_max: 100,
        descriptors: Descriptors::Plain,
        accepts_in_flight: 4,
        accept_pause_ms: 40,
        accept_pause_max_ms: 80,
        ..UringSettings::default()
    };
    let listener: TcpListener = listener();
    let reach = listener.try_clone().expect("clone");
    let doorbells = Arc::new(Doorbells::new(1));
    let mut driver = UringDriver::new(&settings, vec![listener], 0, doorbells).expect("a driver");
    driver.accept_room(100);
    let _clients: Vec<_> = (0..6).map(|_| client_of(&reach)).collect();
    let open = std::fs::read_dir("/proc/self/fd").expect("descriptors").count();
    limit_soft(u64::try_from(open).expect("few") - 1);
    let (mut seen, start) = (Vec::new(), Instant::now());
    while start.elapsed() < Duration::from_millis(400) {
        let until = driver.now().mono_ms + 1000;
        driver.enter(Some(until));
        driver.completions(&mut seen);
    }
    let enters = driver.counts().enters;
    let accepted = |seen: &[Completion]| {
        seen.iter().filter(|c| matches!(c, Completion::Accepted { .. })).count()
    };
    let refused = Completion::AcceptFailed { listener: 0, errno: libc::EMFILE };
    let failures = seen.iter().filter(|c| **c == refused).count();
    assert_eq!(failures + accepted(&seen), seen.len(), "{seen:?}");
    assert!(accepted(&seen) < 6, "the limit was meant to stop some");
    assert!((2..=10).contains(&failures), "{failures} failures");
    assert!(enters < 60, "{enters} enters");
    limit_soft(1000);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3) && accepted(&seen) < 6 {
        let until = driver.now().mono_ms + 50;
        driver.enter(Some(until));
        driver.completions(&mut seen);
    }
    format!("{} accepted in the end", accepted(&seen))
}

/// The soft limit alone, so that it can be raised again.
fn limit_soft(soft: u64) {
    let mut value = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `value` is a valid rlimit.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut value), 0);
        value.rlim_cur = soft.min(value.rlim_max);
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &value), 0);
    }
}

#[test]
fn running_out_of_descriptors_pauses_accepting_and_loses_nobody() {
    assert_eq!(child::run("accept"), "6 accepted in the end");
}

#[test]
fn settings_that_cannot_be_met_are_refused_with_a_reason() {
    let doorbells = Arc::new(Doorbells::new(1));
    let settings = UringSettings { receive_buffers: 3, ..UringSettings::default() };
    let error = UringDriver::new(&settings, vec![], 0, doorbells).err().expect("three is no power");
    assert!(matches!(error, StartError::Buffers { buffers: 3, .. }), "{error}");
}
