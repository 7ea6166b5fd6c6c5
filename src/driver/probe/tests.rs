use super::*;

fn around() -> Surroundings {
    Surroundings {
        release: "6.18.44-amd64".to_owned(),
        filtered: false,
        admin: false,
        locks: false,
        disabled: 0,
        locked_bytes: Limit { soft: 65_536, hard: 65_536 },
    }
}

fn says(errno: i32, around: &Surroundings) -> String {
    explain(Errno(errno), around, 131_072).to_string()
}

#[test]
fn each_cause_has_its_own_text_and_cure() {
    let filtered = Surroundings { filtered: true, ..around() };
    let off = Surroundings { disabled: 2, ..around() };
    let off_for_users = Surroundings { disabled: 1, ..around() };
    let old = Surroundings { release: "4.19.0".to_owned(), ..around() };
    let rich = Surroundings { locks: true, ..around() };
    for (errno, around, cause, cure) in [
        (libc::EPERM, &filtered, "answers EPERM", "--security-opt seccomp="),
        (libc::ENOSYS, &filtered, "answers ENOSYS", "--security-opt seccomp="),
        (libc::EPERM, &off, "kernel.io_uring_disabled=2. ", "kernel.io_uring_disabled=0"),
        (libc::EPERM, &off_for_users, "disabled=1 for processes without", "_disabled=0"),
        (libc::EPERM, &around(), "a security module", "policy"),
        (libc::ENOSYS, &around(), "built without io_uring", "CONFIG_IO_URING=y"),
        (libc::ENOSYS, &old, "4.19.0) is too old", "Linux 6.1 or newer"),
        (libc::EINVAL, &around(), "too old", "Linux 6.1 or newer"),
        (libc::ENOMEM, &around(), "limit (65536 bytes)", "ulimit -l unlimited"),
        (libc::ENOMEM, &rich, "no memory for a ring", "memory.max"),
    ] {
        let text = says(errno, around);
        assert!(text.contains(cause), "{cause:?} not in {text:?}");
        assert!(text.contains(cure), "{cure:?} not in {text:?}");
        assert_eq!(text.matches("Cure: ").count(), 1, "{text:?}");
    }
}

#[test]
fn the_sysctl_for_users_does_not_bind_an_administrator() {
    let admin = Surroundings { disabled: 1, admin: true, filtered: true, ..around() };
    assert_eq!(
        explain(Errno(libc::EPERM), &admin, 1),
        Unavailable::Seccomp { errno: Errno(libc::EPERM) }
    );
}

#[test]
fn releases_are_read_in_all_their_spellings() {
    assert_eq!(version("6.18.44-fc-v657"), (6, 18));
    assert_eq!(version("5.14.0-427.el9.x86_64"), (5, 14));
    assert_eq!(version("6.1-rc3"), (6, 1));
    assert_eq!(version("7.0"), (7, 0));
    assert_eq!(version(""), (0, 0));
    assert!(version("6.9.1") < DIRECT_SINCE && version("6.13.0") >= DIRECT_SINCE);
}

#[test]
fn a_missing_piece_is_named() {
    let whole =
        Offer { deferred: true, no_array: true, no_iowait: true, basics: true, missing: None };
    assert_eq!(check(&whole), Ok(()));
    assert_eq!(check(&Offer { deferred: false, ..whole }), Err("IORING_SETUP_DEFER_TASKRUN"));
    assert_eq!(check(&Offer { missing: Some("MSG_RING"), ..whole }), Err("MSG_RING"));
}

#[test]
fn the_status_file_is_read_by_field() {
    let status = "Name:\tx\nCapEff:\t000001fffeffffff\nSeccomp:\t2\nSeccomp_filters:\t1\n";
    assert_eq!(field(status, "Seccomp:"), Some("2"));
    assert_eq!(field(status, "CapEff:"), Some("000001fffeffffff"));
    assert_eq!(field(status, "Missing:"), None);
}

#[test]
fn this_machine_is_described() {
    let report = run(&UringSettings::default()).expect("the tests need io_uring");
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("proc");
    assert!(report.to_string().starts_with(&format!("kernel {}, io_uring", release.trim())));
}
