//! Durable acked messages per second on the data folder alone, beside the disk's own speed.

use crate::load::{self, Outcome, Pauses};
use crate::reference::sync_time;
use crate::report::{self, count, figure, ms};
use anyhow::{Context, Result};
use serde::Serialize;
use skein_testkit::powercut::{self, PowerCut};
use skein_testkit::seed::Seed;
use skein_testkit::server::{Options, ServerProcess};
use std::path::Path;
use std::time::Duration;

pub struct Plan {
    pub senders: Vec<usize>,
    pub time: Duration,
    /// In place of the disk's own sync.
    pub sync_delay: Option<Duration>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub senders: usize,
    pub acked_per_second: f64,
    /// Acked messages per sync that a lone writer of the same disk could have made in that time.
    pub per_reference_sync: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
    /// Pushes that receivers heard: each acked message once, unless a queue ran over.
    pub delivered: u64,
    pub acked: u64,
    /// From the call of the sender to the connection of the receiver.
    pub delivery_p50_ms: f64,
    pub delivery_p99_ms: f64,
    pub errors: u64,
    pub server_cpu_us_per_ack: f64,
    pub load_cpu_us_per_ack: f64,
    pub server_resident_mib: f64,
    pub pauses: Pauses,
}

#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub sync_ms: f64,
    pub added_delay_ms: f64,
    pub cores: usize,
    pub rows: Vec<Row>,
}

/// Runs each number of senders on a fresh data folder below `folder`.
pub async fn run(plan: &Plan, folder: &Path) -> Result<Report> {
    let sync = sync_time(folder)?;
    let reference = plan.sync_delay.unwrap_or(sync);
    let mut rows = Vec::new();
    for &senders in &plan.senders {
        eprintln!("{senders} senders for {:?} …", plan.time);
        let folder = tempfile::tempdir_in(folder).context("make a data folder")?;
        rows.push(Row::of(&one(senders, plan, folder.path()).await?, reference));
    }
    let added_delay_ms = plan.sync_delay.map_or(0.0, |delay| delay.as_secs_f64() * 1e3);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Report { sync_ms: sync.as_secs_f64() * 1e3, added_delay_ms, cores, rows })
}

async fn one(senders: usize, plan: &Plan, folder: &Path) -> Result<Outcome> {
    let data = folder.join("data");
    let seed = Seed::open(&data)?;
    let people = load::seed(&seed, senders).await?;
    seed.close();
    let mut options = load::unlimited(Options::on(&data));
    if let Some(delay) = plan.sync_delay {
        options.power = Some((PowerCut::new(&data, &folder.join("journal"))?, instead_of_syncs(delay)));
    }
    let mut server = ServerProcess::start(options).await?;
    let outcome = load::run(&server, people, senders, plan.time).await?;
    server.terminate().await?;
    Ok(outcome)
}

/// Every sync of a process takes this long, and does nothing else; what files held is not kept.
pub fn instead_of_syncs(delay: Duration) -> powercut::Options {
    powercut::Options { fsync_delay: delay, skip_real_fsync: true, keep_nothing: true, ..powercut::Options::default() }
}

impl Row {
    fn of(outcome: &Outcome, reference: Duration) -> Self {
        Self {
            senders: outcome.senders,
            acked_per_second: outcome.acked_per_second(),
            per_reference_sync: outcome.acked_per_second() * reference.as_secs_f64(),
            p50_ms: ms(&outcome.ack_us, 0.5),
            p99_ms: ms(&outcome.ack_us, 0.99),
            max_ms: ms(&outcome.ack_us, 1.0),
            delivered: outcome.delivery_us.len(),
            acked: outcome.ack_us.len(),
            delivery_p50_ms: ms(&outcome.delivery_us, 0.5),
            delivery_p99_ms: ms(&outcome.delivery_us, 0.99),
            errors: outcome.errors,
            server_cpu_us_per_ack: outcome.server_cpu_us,
            load_cpu_us_per_ack: outcome.load_cpu_us,
            server_resident_mib: outcome.resident_mib,
            pauses: outcome.pauses,
        }
    }

    fn cells(&self) -> [String; 12] {
        [
            count(self.senders as f64),
            count(self.acked_per_second),
            format!("{:.1}", self.per_reference_sync),
            figure(self.p50_ms),
            figure(self.p99_ms),
            figure(self.max_ms),
            figure(self.delivery_p50_ms),
            figure(self.delivery_p99_ms),
            count(self.acked as f64 - self.delivered as f64),
            count(self.server_cpu_us_per_ack),
            count(self.load_cpu_us_per_ack),
            count(self.server_resident_mib),
        ]
    }
}

impl Report {
    pub fn table(&self) -> String {
        let sync = match self.added_delay_ms {
            0.0 => format!("The disk's own sync, {:.2} ms", self.sync_ms),
            delay => format!("A sync of {delay} ms (a delay in its place; the disk's own takes {:.2} ms)", self.sync_ms),
        };
        let titles = [
            "senders",
            "acked/s",
            "per sync",
            "ack p50 ms",
            "p99 ms",
            "max ms",
            "heard p50 ms",
            "p99 ms",
            "not heard",
            "server CPU µs",
            "load CPU µs",
            "RSS MiB",
        ];
        let errors: u64 = self.rows.iter().map(|row| row.errors).sum();
        let rows: Vec<_> = self.rows.iter().map(Row::cells).collect();
        let acks = report::table(titles, &rows);
        format!(
            "{sync}; {} cores that server and load share; {errors} errors:\n\n{acks}\nThe longest pauses, and what the writer's thread did:\n\n{}",
            self.cores,
            self.pauses()
        )
    }

    fn pauses(&self) -> String {
        let titles =
            ["senders", "no ack to anybody, ms", "load late, ms", "queued, ms ≤", "commit, ms ≤", "writer on a core", "waiting for one"];
        let cells = |row: &Row| {
            let Pauses { silence_ms, load_late_ms, queue_ms, commit_ms, writer_runs, writer_waits } = row.pauses;
            let share = |of: f64| format!("{:.0} %", of * 100.0);
            let (senders, silence, late) = (count(row.senders as f64), figure(silence_ms), figure(load_late_ms));
            [senders, silence, late, figure(queue_ms), figure(commit_ms), share(writer_runs), share(writer_waits)]
        };
        report::table(titles, &self.rows.iter().map(cells).collect::<Vec<_>>())
    }
}
