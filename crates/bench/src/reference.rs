//! What the disk itself can do: the floor of every durable ack.

use anyhow::{Context, Result};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// Bytes of one entry with its rows and log pages, roughly.
const BLOCK: [u8; 4096] = [0x5a; 4096];

/// Median time of appending a block and syncing it, alone, on the disk that holds `folder`.
pub fn sync_time(folder: &Path) -> Result<Duration> {
    const ROUNDS: usize = 101;
    let path = folder.join("sync-probe");
    let mut file = std::fs::File::create(&path).context("make the probe file")?;
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        file.write_all(&BLOCK).and_then(|()| file.sync_data()).context("write and sync the probe file")?;
        times.push(start.elapsed());
    }
    std::fs::remove_file(&path).context("remove the probe file")?;
    times.sort();
    Ok(times[ROUNDS / 2])
}
