//! `skein-bench`: measures a server binary and prints a table.

use anyhow::{Context, Result};
use clap::Parser;
use skein_bench::send::{self, Plan};
use std::path::PathBuf;
use std::time::Duration;

/// Durable acked messages per second, with latency, beside the disk's own speed.
#[derive(Parser)]
struct Arguments {
    /// Numbers of senders, one run each.
    #[arg(long, value_delimiter = ',', default_value = "1,100,1000")]
    senders: Vec<usize>,
    /// Length of each run, after a second of warming up.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Replace the disk's sync by a delay of so many milliseconds.
    #[arg(long)]
    sync_delay_ms: Option<f64>,
    /// Where data folders are made; its disk is what is measured.
    #[arg(long, default_value = "target/bench")]
    folder: PathBuf,
    /// Also write the numbers as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    std::fs::create_dir_all(&arguments.folder).context("make the folder")?;
    let plan = Plan {
        senders: arguments.senders,
        time: Duration::from_secs(arguments.seconds),
        sync_delay: arguments.sync_delay_ms.map(|ms| Duration::from_secs_f64(ms / 1e3)),
    };
    let report = send::run(&plan, &arguments.folder).await?;
    print!("{}", report.table());
    if let Some(path) = arguments.json {
        std::fs::write(&path, serde_json::to_vec_pretty(&report)?).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}
