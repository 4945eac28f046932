//! `skein-bench`: measures a server binary and prints a table.

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use serde::Serialize;
use skein_bench::{engines, find, idle, push, send};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Measures a server, beside a reference in the same run.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
    /// Where data folders are made; its disk is what is measured.
    #[arg(long, global = true, default_value = "target/bench")]
    folder: PathBuf,
    /// Also write the numbers as JSON.
    #[arg(long, global = true)]
    json: Option<PathBuf>,
}

#[derive(Subcommand)]
enum What {
    /// Durable acked messages per second, with latency, beside the disk's own speed.
    Send {
        /// Numbers of senders, one run each.
        #[arg(long, value_delimiter = ',', default_value = "1,100,1000")]
        senders: Vec<usize>,
        /// Length of each run, after a second of warming up.
        #[arg(long, default_value_t = 8)]
        seconds: u64,
        /// Replace the disk's sync by a delay of so many milliseconds.
        #[arg(long)]
        sync_delay_ms: Option<f64>,
    },
    /// The same on SQLite, on MariaDB, and on MariaDB with Redis and Kafka, beside what these engines do alone.
    Engines {
        /// Numbers of senders, one run each.
        #[arg(long, value_delimiter = ',', default_value = "1,100,1000")]
        senders: Vec<usize>,
        /// Length of each run, after a second of warming up.
        #[arg(long, default_value_t = 5.0)]
        seconds: f64,
        /// Speeds of the disk, one after the other: what a sync takes; 0 is the disk's own.
        #[arg(long, value_delimiter = ',', default_value = "0,2,10")]
        sync_ms: Vec<f64>,
    },
    /// Idle connections: memory, log-ins, heartbeats, beside a bare echo server.
    Idle {
        #[arg(long, default_value_t = 5_000)]
        connections: usize,
        /// How long they sit.
        #[arg(long, default_value_t = 20)]
        seconds: u64,
        /// Between two heartbeats of a connection.
        #[arg(long, default_value_t = 10)]
        beat_seconds: u64,
    },
    /// One live room: guests who listen, a tool that pushes. A message lost, doubled or late fails the run.
    Push {
        #[arg(long, default_value_t = 5_000)]
        receivers: usize,
        /// Messages a second.
        #[arg(long, default_value_t = 40)]
        rate: u32,
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// People by the beginning of their name, beside a linear scan.
    Find {
        /// How many there are, one run each.
        #[arg(long, value_delimiter = ',', default_value = "1000,10000,100000")]
        people: Vec<usize>,
        #[arg(long, default_value_t = 2_000)]
        searches: usize,
    },
    /// The reference of `idle`, in a process of its own.
    #[command(hide = true)]
    Echo,
    /// A reference of `engines`, in a process of its own: prints rows per second.
    #[command(hide = true)]
    Insert {
        target: String,
        #[arg(long)]
        rows_per_commit: usize,
        #[arg(long)]
        seconds: f64,
    },
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { what, folder, json } = Arguments::parse();
    std::fs::create_dir_all(&folder).context("make the folder")?;
    match what {
        What::Send { senders, seconds, sync_delay_ms } => {
            let sync_delay = sync_delay_ms.map(|ms| Duration::from_secs_f64(ms / 1e3));
            let plan = send::Plan { senders, time: Duration::from_secs(seconds), sync_delay };
            let report = send::run(&plan, &folder).await?;
            tell(&report.table(), &report, json.as_deref())
        }
        What::Engines { senders, seconds, sync_ms } => {
            let syncs = sync_ms.into_iter().map(|ms| (ms > 0.0).then(|| Duration::from_secs_f64(ms / 1e3))).collect();
            let plan = engines::Plan { senders, time: Duration::from_secs_f64(seconds), syncs };
            let report = engines::run(&plan, &folder).await?;
            let chart = folder.join("engines.svg");
            std::fs::write(&chart, report.chart()).with_context(|| format!("write {}", chart.display()))?;
            let numbers = json.unwrap_or_else(|| folder.join("engines.json"));
            tell(&report.table(), &report, Some(&numbers))?;
            println!("\n{} and {} hold the same, to look at and to compare", chart.display(), numbers.display());
            Ok(())
        }
        What::Idle { connections, seconds, beat_seconds } => {
            let plan = idle::Plan { connections, time: Duration::from_secs(seconds), beat: Duration::from_secs(beat_seconds) };
            let rows = idle::run(&plan, &folder).await?;
            tell(&idle::table(&rows), &rows, json.as_deref())
        }
        What::Push { receivers, rate, seconds } => {
            let plan = push::Plan { receivers, per_second: rate, time: Duration::from_secs(seconds) };
            let row = push::run(&plan, &folder).await?;
            tell(&push::table(&row), &row, json.as_deref())
        }
        What::Find { people, searches } => {
            let rows = find::run(&find::Plan { people, searches }, &folder).await?;
            tell(&find::table(&rows), &rows, json.as_deref())
        }
        What::Echo => idle::serve_echo().await,
        What::Insert { target, rows_per_commit, seconds } => {
            let target = engines::insert::Target::parse(&target);
            println!("{}", engines::insert::run(&target, rows_per_commit, Duration::from_secs_f64(seconds)).await?);
            Ok(())
        }
    }
}

fn tell(table: &str, numbers: &impl Serialize, json: Option<&Path>) -> Result<()> {
    print!("{table}");
    match json {
        Some(path) => std::fs::write(path, serde_json::to_vec_pretty(numbers)?).with_context(|| format!("write {}", path.display())),
        None => Ok(()),
    }
}
