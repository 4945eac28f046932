//! What a process has used, from /proc.

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
