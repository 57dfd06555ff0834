//! Which processes used the cores: read from `/proc`, where there is one.

use crate::cli::files;

/// The kernel counts CPU time in hundredths of a second for everybody outside of it.
const TICKS_PER_SECOND: f64 = 100.0;
/// No file that is read here is longer.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// CPU seconds up to a moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CpuTimes {
    /// Of all processes and the kernel, all cores together; `None` where there is no `/proc`.
    all: Option<f64>,
    client: Option<f64>,
    node: Option<f64>,
}

impl CpuTimes {
    /// The times up to now; `nodes` are the nodes' processes, as far as they are known.
    pub(super) fn now(nodes: &[u32]) -> CpuTimes {
        let node = |pid: &u32| process_seconds(&read(&format!("/proc/{pid}/stat"))?);
        CpuTimes {
            all: read("/proc/stat").and_then(|text| busy_seconds(&text)),
            client: read("/proc/self/stat").and_then(|text| process_seconds(&text)),
            node: nodes.iter().filter_map(node).reduce(|sum, seconds| sum + seconds),
        }
    }
}

/// CPU seconds between two moments.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CpuUsed {
    pub(super) client: Option<f64>,
    pub(super) node: Option<f64>,
    /// How many cores everybody else used.
    pub(super) other_cores: Option<f64>,
}

impl CpuUsed {
    pub(super) fn between(before: CpuTimes, after: CpuTimes, seconds: f64) -> CpuUsed {
        let less = |after: Option<f64>, before: Option<f64>| Some((after? - before?).max(0.0));
        let (client, node) = (less(after.client, before.client), less(after.node, before.node));
        let others = less(after.all, before.all).map(|all| {
            let ours = client.unwrap_or_default() + node.unwrap_or_default();
            ((all - ours) / seconds.max(f64::EPSILON)).max(0.0)
        });
        CpuUsed { client, node, other_cores: others }
    }
}

/// What these processes hold in memory together, in bytes; `None` where one is not known.
pub(super) fn resident_bytes(pids: &[u32]) -> Option<u64> {
    let of = |pid: &u32| resident_kilobytes(&read(&format!("/proc/{pid}/status"))?);
    pids.iter().map(of).sum::<Option<u64>>().filter(|sum| *sum > 0).map(|kilobytes| kilobytes * 1024)
}

/// `/proc/PID/status`: the line that begins with `VmRSS:`, in kilobytes.
fn resident_kilobytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

fn read(path: &str) -> Option<String> {
    files::read_text(path.as_ref(), FILE_BYTES_MAX).ok()
}

/// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal; guests are in user already.
fn busy_seconds(stat: &str) -> Option<f64> {
    let mut fields =
        stat.lines().next()?.strip_prefix("cpu ")?.split_ascii_whitespace().map(str::parse::<f64>);
    let mut next = || fields.next()?.ok();
    let (user, nice, system) = (next()?, next()?, next()?);
    let (_idle, _iowait) = (next()?, next()?);
    let (irq, softirq, steal) = (next()?, next()?, next().unwrap_or_default());
    Some((user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND)
}

/// `/proc/PID/stat`: user and system time are the fields 14 and 15, counted from 1; the second one is the program's
/// name in parentheses, which may hold anything.
fn process_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11).map(str::parse::<f64>);
    Some((fields.next()?.ok()? + fields.next()?.ok()?) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_the_kernel_writes_them() {
        let stat = "cpu  100 20 30 4000 50 6 7 8 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n";
        assert_eq!(busy_seconds(stat), Some(1.71));
        assert_eq!(busy_seconds("cpu0 1 2 3"), None);
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 4 0 1 1 1";
        assert_eq!(process_seconds(stat), Some(3.0));
        assert_eq!(process_seconds("42"), None);
        assert_eq!(resident_kilobytes("Name:\tweir\nVmRSS:\t    5120 kB\nThreads:\t1\n"), Some(5120));
        assert_eq!(resident_kilobytes("Name:\tweir\n"), None);
    }

    #[test]
    fn what_others_used_is_what_is_left() {
        let before = CpuTimes { all: Some(10.0), client: Some(1.0), node: Some(2.0) };
        let after = CpuTimes { all: Some(20.0), client: Some(4.0), node: Some(4.0) };
        let used = CpuUsed::between(before, after, 5.0);
        assert_eq!((used.client, used.node, used.other_cores), (Some(3.0), Some(2.0), Some(1.0)));
        let used = CpuUsed::between(CpuTimes { node: None, ..before }, after, 5.0);
        assert_eq!((used.node, used.other_cores), (None, Some(1.4)), "an unknown node is among the others");
    }
}
