//! CPU time and memory of processes, from `/proc` (see proc(5)).

use std::fs;
use std::io;
use std::time::Duration;

/// In user and kernel mode, of all threads.
pub(crate) fn cpu_time(process: i32) -> io::Result<Duration> {
    Ok(Stat::read(process)?.own)
}

/// Of the calling thread.
pub(crate) fn cpu_time_of_thread() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::from_secs(seconds) + Duration::from_nanos(time.tv_nsec.try_into().unwrap_or_default())
}

/// Of all processes, and the time that no core had work, each summed over the cores.
pub(crate) fn machine_time() -> io::Result<MachineTime> {
    let text = fs::read_to_string("/proc/stat")?;
    MachineTime::parse(&text).ok_or_else(|| io::Error::other("/proc/stat is not as proc(5) says"))
}

/// Of a process, its current children, and those that it has waited for. For Postgres's postmaster
/// that is the whole cluster.
pub(crate) fn cpu_time_with_children(parent: i32) -> io::Result<Duration> {
    let stat = Stat::read(parent)?;
    let mut total = stat.own + stat.waited_for;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(process) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // A child that has ended since is counted among those waited for.
        if let Ok(stat) = Stat::read(process)
            && stat.parent == parent
        {
            total += stat.own;
        }
    }
    Ok(total)
}

/// Peak resident memory, in bytes.
pub(crate) fn peak_memory(process: i32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    status
        .lines()
        .find_map(|line| {
            line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse().ok()
        })
        .map(|kibibytes: u64| kibibytes * 1_024)
        .ok_or_else(|| io::Error::other("/proc/…/status has no VmHWM"))
}

/// Over the last minute.
pub(crate) fn load_average() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// Since the machine started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MachineTime {
    idle: u64,
    total: u64,
}

impl MachineTime {
    fn parse(text: &str) -> Option<MachineTime> {
        let fields = text.lines().next()?.strip_prefix("cpu ")?.split_ascii_whitespace();
        // user, nice, system, idle, iowait, irq, softirq, steal; what follows is in user and nice already.
        let ticks: Vec<u64> = fields.take(8).map_while(|ticks| ticks.parse().ok()).collect();
        Some(MachineTime { idle: ticks.get(3)? + ticks.get(4)?, total: ticks.iter().sum() })
    }

    /// The share of the time since then that no core had work.
    pub(crate) fn idle_share_since(self, earlier: MachineTime) -> f64 {
        let total = self.total.saturating_sub(earlier.total).max(1);
        self.idle.saturating_sub(earlier.idle) as f64 / total as f64
    }
}

struct Stat {
    parent: i32,
    own: Duration,
    waited_for: Duration,
}

impl Stat {
    fn read(process: i32) -> io::Result<Stat> {
        let line = fs::read_to_string(format!("/proc/{process}/stat"))?;
        Stat::parse(&line).ok_or_else(|| io::Error::other("/proc/…/stat is not as proc(5) says"))
    }

    fn parse(line: &str) -> Option<Stat> {
        // The second field is the program's name in parentheses, which may contain anything.
        let (_, rest) = line.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        // Numbered from 1 in proc(5), and ours begin with the third.
        let field = |number: usize| fields.get(number - 3);
        let ticks = |number| field(number)?.parse::<u64>().ok();
        let in_time = |ticks: u64| {
            Duration::from_millis(ticks * 1_000 / rustix::param::clock_ticks_per_second())
        };
        Some(Stat {
            parent: field(4)?.parse().ok()?,
            own: in_time(ticks(14)? + ticks(15)?),
            waited_for: in_time(ticks(16)? + ticks(17)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_for_a_disk_is_idle_and_guests_are_counted_once() {
        let earlier = MachineTime::parse("cpu  10 0 10 60 20 0 0 0 5 5\ncpu0 1 1").expect("good");
        let later = MachineTime::parse("cpu  40 0 30 80 50 0 0 0 35 5\n").expect("good");
        assert_eq!(later.idle_share_since(earlier), 0.5);
    }

    #[test]
    fn a_line_of_proc_stat_is_read_whatever_the_programs_name_is() {
        let line = "71 (a) (b c) S 7 71 71 0 -1 4194560 1 2 3 4 100 50 20 10 20 0 1 0 9 8 7";
        let stat = Stat::parse(line).expect("a good line");
        assert_eq!(stat.parent, 7);
        let tick = Duration::from_millis(1_000 / rustix::param::clock_ticks_per_second());
        assert_eq!(stat.own, tick * 150);
        assert_eq!(stat.waited_for, tick * 30);
    }
}
