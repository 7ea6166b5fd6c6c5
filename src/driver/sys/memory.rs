//! /proc/self/status (proc_pid_status(5)).

/// Memory of this process, bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// VmRSS: resident.
    pub rss: u64,
    /// VmData: data and heap as mapped.
    pub data: u64,
    /// RssAnon: resident data and heap.
    pub anonymous: u64,
    /// RssFile and RssShmem: resident files and shared memory.
    pub shared: u64,
}

/// Reads it; zeros where there is no /proc.
pub fn read() -> Memory {
    parse(&std::fs::read_to_string("/proc/self/status").unwrap_or_default())
}

fn parse(status: &str) -> Memory {
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        kib.unwrap_or_default().saturating_mul(1_024)
    };
    Memory {
        rss: of("VmRSS"),
        data: of("VmData"),
        anonymous: of("RssAnon"),
        shared: of("RssFile") + of("RssShmem"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel_are_read() {
        let status = "Name:\tx\nVmRSS:\t    2048 kB\nRssAnon:\t 1000 kB\nRssFile:\t 40 kB\n\
                      RssShmem:\t 8 kB\nVmData:\t 9 kB\nVmDataX:\t 1 kB\n";
        let memory = parse(status);
        assert_eq!((memory.rss, memory.anonymous), (2_048 * 1_024, 1_000 * 1_024));
        assert_eq!((memory.shared, memory.data), (48 * 1_024, 9 * 1_024));
        assert_eq!(parse("VmRSS: much\n"), Memory::default());
        assert!(read().rss >= read().anonymous);
    }
}
