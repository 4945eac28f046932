//! What a process, or one of its threads, has used, from /proc.

use anyhow::{Context, Result};
use std::time::Duration;

pub struct Usage {
    pub cpu: Duration,
    pub resident_kib: u64,
}

impl Usage {
    pub fn of(pid: u32) -> Result<Self> {
        /// USER_HZ, which Linux fixes at 100 for programs.
        const TICKS_PER_SECOND: u64 = 100;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("read a process' use of CPU")?;
        let fields: Vec<u64> = stat.rsplit(')').next().unwrap_or("").split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
        let ticks = fields.get(11).copied().unwrap_or(0) + fields.get(12).copied().unwrap_or(0);
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("read a process' use of memory")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
        let resident_kib = line.trim().trim_end_matches("kB").trim().parse().unwrap_or(0);
        Ok(Self { cpu: Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND), resident_kib })
    }
}

/// A thread's time on a core, and its time ready to run while others had the cores.
#[derive(Debug, Clone, Copy, Default)]
pub struct OnCores {
    pub ran: Duration,
    pub waited: Duration,
}

impl OnCores {
    /// Of all threads of the process that are called so, since they began.
    pub fn of(pid: u32, thread: &str) -> Result<Self> {
        let mut sum = Self::default();
        for task in std::fs::read_dir(format!("/proc/{pid}/task")).context("list a process' threads")? {
            let folder = task?.path();
            // A thread may end between two looks.
            let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
            if read("comm").trim() == thread {
                let [ran, waited] = nanoseconds(&read("schedstat"));
                sum = Self { ran: sum.ran + ran, waited: sum.waited + waited };
            }
        }
        Ok(sum)
    }

    /// Both as shares of `time`.
    pub fn shares_since(self, before: Self, time: Duration) -> [f64; 2] {
        let share = |after: Duration, before: Duration| after.saturating_sub(before).as_secs_f64() / time.as_secs_f64();
        [share(self.ran, before.ran), share(self.waited, before.waited)]
    }
}

fn nanoseconds(schedstat: &str) -> [Duration; 2] {
    let mut numbers = schedstat.split_whitespace().map(|number| Duration::from_nanos(number.parse().unwrap_or(0)));
    [numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use super::OnCores;
    use std::time::Duration;

    #[test]
    fn a_thread_that_works_is_on_a_core() {
        let spin = || {
            let start = std::time::Instant::now();
            while start.elapsed() < Duration::from_millis(50) {
                std::hint::spin_loop();
            }
            // Before it ends: what has ended is not listed any more.
            OnCores::of(std::process::id(), "spins").unwrap()
        };
        let spinning = std::thread::Builder::new().name("spins".into()).spawn(spin).unwrap();
        let [ran, waited] = spinning.join().unwrap().shares_since(OnCores::default(), Duration::from_millis(50));
        assert!(ran + waited > 0.5, "ran {ran}, waited {waited}");
    }
}
