//! The product on each set of engines, beside what those engines do alone: in one run, on one disk.
//!
//! For each speed of the disk the engines are started anew, privately, with a preloaded library that delays their syncs.
//! First they are measured alone ([`alone`]), then the product on them ([`stack`]); last, what its caches answer
//! ([`hits`]).
//!
//! **Invariant:** a ratio compares rows that were measured within minutes on the same engine process.

mod alone;
mod chart;
mod hits;
pub mod insert;
mod print;
mod stack;

use crate::load::Pauses;
use crate::reference::sync_time;
use alone::Alone;
use anyhow::{Context, Result};
use hits::HitRate;
use serde::Serialize;
use stack::{Engines, Stack};
use std::path::Path;
use std::time::Duration;

/// So much longer than a row: most of what people look up they have looked up before.
const HITS_TIMES: u32 = 4;

pub struct Plan {
    pub senders: Vec<usize>,
    pub time: Duration,
    /// Speeds of the disk; `None`: its own.
    pub syncs: Vec<Option<Duration>>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Of the disk itself.
    pub sync_ms: f64,
    pub cores: usize,
    pub sections: Vec<Section>,
    pub hit_rates: Vec<HitRate>,
}

/// All that was measured at one speed of the disk.
#[derive(Debug, Clone, Serialize)]
pub struct Section {
    /// In place of the disk's own sync.
    pub delay_ms: Option<f64>,
    pub alone: Alone,
    pub rows: Vec<Row>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub stack: Stack,
    pub senders: usize,
    pub acked_per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
    /// From the call of the sender to the connection of the receiver.
    pub delivery_p50_ms: f64,
    pub delivery_p99_ms: f64,
    /// Pushes that no receiver heard within ten seconds of the last ack.
    pub not_heard: u64,
    /// Acked messages for each row that the engine alone would have committed in the same time.
    pub of_bare_inserts: f64,
    pub server_cpu_us_per_ack: f64,
    pub engines_cpu_us_per_ack: f64,
    pub errors: u64,
    pub pauses: Pauses,
}

/// Everything below `folder`.
pub async fn run(plan: &Plan, folder: &Path) -> Result<Report> {
    let sync_ms = sync_time(folder)?.as_secs_f64() * 1e3;
    let (mut sections, mut hit_rates) = (Vec::new(), Vec::new());
    for &delay in &plan.syncs {
        match delay {
            None => eprintln!("the disk's own sync, {sync_ms:.2} ms"),
            Some(delay) => eprintln!("syncs of {delay:?}"),
        }
        let place = tempfile::tempdir_in(folder).context("make a folder for engines")?;
        let engines = Engines::start(&place.path().canonicalize()?, delay)?;
        sections.push(section(plan, delay, &engines).await?);
        if hit_rates.is_empty() {
            eprintln!("  caches …");
            hit_rates = hits::measure(&engines, plan.time * HITS_TIMES).await?;
        }
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Report { sync_ms, cores, sections, hit_rates })
}

async fn section(plan: &Plan, delay: Option<Duration>, engines: &Engines) -> Result<Section> {
    let alone = alone::measure(engines, &plan.senders, plan.time)?;
    let mut rows = Vec::new();
    for stack in Stack::ALL {
        for &senders in &plan.senders {
            eprintln!("  {}, {senders} senders …", stack.name());
            rows.push(engines.row(stack, senders, plan.time, alone.inserts(stack, senders)).await?);
        }
    }
    Ok(Section { delay_ms: delay.map(|delay| delay.as_secs_f64() * 1e3), alone, rows })
}

impl Report {
    pub fn table(&self) -> String {
        print::text(self)
    }

    pub fn chart(&self) -> String {
        chart::svg(self)
    }
}
