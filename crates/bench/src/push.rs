//! One live room full of guests, and a tool that pushes into it: nothing lost, nothing twice, nothing out of order, and how
//! long it takes until the last receiver has a message.

use crate::report::{self, count, figure, ms};
use crate::usage::Usage;
use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use serde::Serialize;
use skein_testkit::live_crowd;
use skein_testkit::server::{Options, ServerProcess};
use std::path::Path;
use std::time::{Duration, Instant};

pub struct Plan {
    pub receivers: usize,
    pub per_second: u32,
    pub time: Duration,
}

#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub receivers: usize,
    pub per_second: u32,
    pub pushed: u64,
    pub heard: u64,
    pub lost: u64,
    pub doubled_or_late: u64,
    /// Messages heard per second, over the whole run.
    pub heard_per_second: f64,
    pub last_receiver_p50_ms: f64,
    pub last_receiver_p99_ms: f64,
    pub last_receiver_max_ms: f64,
    pub answered_p50_ms: f64,
    pub answered_p99_ms: f64,
    pub cpu_us_per_heard: f64,
    pub resident_mib: f64,
}

/// On a fresh data folder below `folder`. A message that is lost, doubled or late fails the run.
pub async fn run(plan: &Plan, folder: &Path) -> Result<Row> {
    eprintln!("{} receivers, {} messages a second for {:?} …", plan.receivers, plan.per_second, plan.time);
    let folder = tempfile::tempdir_in(folder).context("make a data folder")?;
    let mut server = ServerProcess::start(Options::on(&folder.path().join("data")).set("telemetry.log", "warn").with_goim()).await?;
    let (clients, http) = (server.endpoints()?.tcp, server.goim_http()?);
    let messages = plan.per_second * plan.time.as_secs() as u32;
    let (before, start) = (Usage::of(server.pid())?, Instant::now());
    let crowd = live_crowd::Plan { receivers: plan.receivers, per_second: plan.per_second, messages };
    let heard = live_crowd::run(clients, http, crowd).await?;
    let (after, took) = (Usage::of(server.pid())?, start.elapsed().as_secs_f64());
    server.terminate().await?;
    ensure!(heard.lost == 0, "{} messages were lost", heard.lost);
    ensure!(heard.doubled_or_late == 0, "{} messages came twice or late", heard.doubled_or_late);
    let (last, answered) = (histogram(&heard.last_receiver)?, histogram(&heard.answered)?);
    Ok(Row {
        receivers: plan.receivers,
        per_second: plan.per_second,
        pushed: heard.pushed,
        heard: heard.heard,
        lost: heard.lost,
        doubled_or_late: heard.doubled_or_late,
        heard_per_second: heard.heard as f64 / took,
        last_receiver_p50_ms: ms(&last, 0.5),
        last_receiver_p99_ms: ms(&last, 0.99),
        last_receiver_max_ms: ms(&last, 1.0),
        answered_p50_ms: ms(&answered, 0.5),
        answered_p99_ms: ms(&answered, 0.99),
        cpu_us_per_heard: (after.cpu - before.cpu).as_secs_f64() * 1e6 / heard.heard.max(1) as f64,
        resident_mib: after.resident_kib as f64 / 1024.0,
    })
}

fn histogram(times: &[Duration]) -> Result<Histogram<u64>> {
    let mut histogram = Histogram::new(3)?;
    for time in times {
        histogram.record(time.as_micros() as u64)?;
    }
    Ok(histogram)
}

pub fn table(row: &Row) -> String {
    let titles = [
        "receivers",
        "msg/s",
        "heard",
        "lost",
        "twice or late",
        "heard/s",
        "last p50 ms",
        "p99 ms",
        "max ms",
        "call p50 ms",
        "p99 ms",
        "CPU µs/heard",
        "RSS MiB",
    ];
    let cells = [
        count(row.receivers as f64),
        count(row.per_second.into()),
        count(row.heard as f64),
        count(row.lost as f64),
        count(row.doubled_or_late as f64),
        count(row.heard_per_second),
        figure(row.last_receiver_p50_ms),
        figure(row.last_receiver_p99_ms),
        figure(row.last_receiver_max_ms),
        figure(row.answered_p50_ms),
        figure(row.answered_p99_ms),
        figure(row.cpu_us_per_heard),
        count(row.resident_mib),
    ];
    report::table(titles, &[cells])
}
