//! What /proc tells of a process: the server, where it is local, and this one.

use std::collections::HashSet;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A process of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process(pub(super) u32);

/// Processor time of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Cpu {
    /// On a core, all threads together.
    pub(super) used: Duration,
    /// Ready, but waiting for a core.
    pub(super) waited: Duration,
    /// The busiest thread's share of `used`.
    pub(super) busiest: Duration,
}

/// Processor time by thread.
#[derive(Debug, Clone, Default)]
pub(super) struct CpuSample(Vec<(u32, Duration, Duration)>);

impl CpuSample {
    /// What was used since `before`. Threads that have left in between are not seen.
    pub(super) fn since(&self, before: &Self) -> Cpu {
        let mut cpu = Cpu::default();
        for (thread, used, waited) in &self.0 {
            let earlier = before.0.iter().find(|(other, ..)| other == thread);
            let (used_before, waited_before) =
                earlier.map_or_else(Default::default, |(_, used, waited)| (*used, *waited));
            let used = used.saturating_sub(used_before);
            cpu.used += used;
            cpu.waited += waited.saturating_sub(waited_before);
            cpu.busiest = cpu.busiest.max(used);
        }
        cpu
    }
}

impl Process {
    /// This process.
    pub(super) fn this() -> Self {
        Self(std::process::id())
    }

    /// Processor time of the calling thread so far.
    pub(super) fn this_thread() -> Duration {
        let text = fs::read_to_string("/proc/thread-self/schedstat").ok();
        text.and_then(|text| parse_schedstat(&text)).unwrap_or_default().0
    }

    /// Its name.
    pub(super) fn name(self) -> Option<String> {
        let name = fs::read_to_string(format!("/proc/{}/comm", self.0)).ok()?;
        Some(name.trim_end().to_owned())
    }

    /// Processor time of all its threads so far (schedstat: nanoseconds; where the kernel has
    /// none, the ticks of stat).
    pub(super) fn cpu(self) -> Option<CpuSample> {
        let mut sample = CpuSample::default();
        for entry in fs::read_dir(format!("/proc/{}/task", self.0)).ok()?.flatten() {
            let name = entry.file_name();
            let Some(thread) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            let read = |file| fs::read_to_string(entry.path().join(file)).ok();
            let times = read("schedstat").and_then(|text| parse_schedstat(&text));
            let times = times.or_else(|| read("stat").and_then(|text| parse_stat(&text)));
            if let Some((used, waited)) = times {
                sample.0.push((thread, used, waited));
            }
        }
        Some(sample)
    }

    /// Resident memory, exact (statm may be some 100 KB off).
    pub(super) fn rss_bytes(self) -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.0)).ok()?;
        parse_rss(&text)
    }

    /// The process that listens on `address`: the owner of the socket that /proc/net/tcp lists.
    /// `None` if it is none of this machine's, or not ours to look at.
    pub(super) fn listening_on(address: SocketAddr) -> Option<Self> {
        let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
        let inodes: HashSet<String> = tables
            .iter()
            .filter_map(|path| fs::read_to_string(path).ok())
            .flat_map(|text| listening_inodes(&text, address))
            .map(|inode| format!("socket:[{inode}]"))
            .collect();
        if inodes.is_empty() {
            return None;
        }
        let processes = fs::read_dir("/proc").ok()?.flatten();
        let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.find(|pid| holds(*pid, &inodes)).map(Self)
    }
}

fn holds(pid: u32, sockets: &HashSet<String>) -> bool {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let mut links = entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    links.any(|link| link.to_str().is_some_and(|link| sockets.contains(link)))
}

/// proc_pid_schedstat: time on a core and time waiting for one, nanoseconds.
fn parse_schedstat(text: &str) -> Option<(Duration, Duration)> {
    let mut fields = text.split_ascii_whitespace().map(str::parse);
    let (used, waited) = (fields.next()?.ok()?, fields.next()?.ok()?);
    Some((Duration::from_nanos(used), Duration::from_nanos(waited)))
}

/// proc_pid_stat(5): utime and stime are fields 14 and 15, in hundredths of a second.
fn parse_stat(text: &str) -> Option<(Duration, Duration)> {
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11).map(str::parse::<u64>);
    let ticks = fields.next()?.ok()? + fields.next()?.ok()?;
    Some((Duration::from_millis(ticks * 10), Duration::ZERO))
}

fn parse_rss(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

/// Inodes of the sockets in state LISTEN at `address` or at all addresses (proc_net_tcp: local
/// address, remote address, state ..., inode as the tenth field).
fn listening_inodes(text: &str, address: SocketAddr) -> Vec<String> {
    let mut inodes = Vec::new();
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let &[_, local, _, "0A", _, _, _, _, _, inode, ..] = &fields[..] else { continue };
        let Some((ip, port)) = local.split_once(':') else { continue };
        let Ok(port) = u16::from_str_radix(port, 16) else { continue };
        let any = ip.bytes().all(|b| b == b'0');
        if port == address.port() && (any || ip.eq_ignore_ascii_case(&kernel_form(address.ip()))) {
            inodes.push(inode.to_owned());
        }
    }
    inodes
}

/// An address as /proc/net/tcp writes it: words of four bytes in the machine's own order.
fn kernel_form(ip: IpAddr) -> String {
    let octets = match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let words = octets.chunks_exact(4).map(|four| [four[0], four[1], four[2], four[3]]);
    words.map(|four| format!("{:08X}", u32::from_ne_bytes(four))).collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn this_process_is_found_by_its_listener() {
        for address in ["127.0.0.1:0", "0.0.0.0:0"] {
            let listener = TcpListener::bind(address).expect("a free port");
            let port = listener.local_addr().expect("bound").port();
            let target = SocketAddr::from(([127, 0, 0, 1], port));
            assert_eq!(Process::listening_on(target), Some(Process::this()));
            let other = SocketAddr::from(([127, 0, 0, 2], port));
            let expected = (address == "0.0.0.0:0").then(Process::this);
            assert_eq!(Process::listening_on(other), expected);
            drop(listener);
            assert_eq!(Process::listening_on(target), None);
        }
    }

    #[test]
    fn time_and_memory_are_seen_to_grow() {
        let this = Process::this();
        let (before, rss) = (this.cpu().expect("ours"), this.rss_bytes().expect("ours"));
        let held = std::hint::black_box(vec![1_u8; 64 << 20]);
        let begin = std::time::Instant::now();
        let mut sum = 0_u64;
        while begin.elapsed() < Duration::from_millis(50) {
            sum = sum.wrapping_add(u64::from(held[usize::try_from(sum).unwrap_or(0) % held.len()]));
        }
        std::hint::black_box(sum);
        let cpu = this.cpu().expect("ours").since(&before);
        assert!(cpu.used > Duration::ZERO && cpu.busiest <= cpu.used, "{cpu:?}");
        let grown = this.rss_bytes().expect("ours").saturating_sub(rss);
        assert!(grown >= 60 << 20, "{grown}");
        drop(held);
    }

    #[test]
    fn the_kernels_lines_are_read() {
        let stat = "12 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 150 0 0 20 0 1 0 5";
        assert_eq!(parse_stat(stat), Some((Duration::from_secs(4), Duration::ZERO)));
        let times = (Duration::from_nanos(123), Duration::from_nanos(45));
        assert_eq!(parse_schedstat("123 45 6\n"), Some(times));
        assert_eq!(parse_schedstat(""), None);
        assert_eq!(parse_rss("a-b rw\nRss:     2 kB\nPss: 1 kB\n"), Some(2_048));
        if cfg!(target_endian = "little") {
            assert_eq!(kernel_form([127, 0, 0, 1].into()), "0100007F");
        }
    }

    #[test]
    fn a_threads_time_counts_from_its_first_sight() {
        let ms = Duration::from_millis;
        let before = CpuSample(vec![(1, ms(10), ms(1)), (2, ms(5), ms(0))]);
        let after = CpuSample(vec![(1, ms(30), ms(4)), (3, ms(7), ms(2))]);
        let cpu = after.since(&before);
        assert_eq!((cpu.used, cpu.waited, cpu.busiest), (ms(27), ms(5), ms(20)));
    }
}
