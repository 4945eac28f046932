//! What a person at the terminal sees: a line that moves, failures with their story, a table at the end.

use super::Planted;
use super::run::{Failure, Report};
use crate::database::Engine;
use anyhow::{Context, Result};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const LINES_SHOWN: usize = 12;

pub struct Progress {
    started: Instant,
    total: u64,
    done: u64,
    failed: u64,
    is_quiet: bool,
    /// What repeats a seed, but for its number.
    again: String,
}

impl Progress {
    pub fn of(total: u64, engine: Engine) -> Self {
        let engines = match engine {
            Engine::Sqlite => "",
            Engine::Mariadb => " --engines mariadb",
            Engine::Servers => " --engines all",
        };
        let again = format!("cargo xtask check{engines} --seed");
        Self { started: Instant::now(), total, done: 0, failed: 0, is_quiet: false, again }
    }

    /// For runs that are expected to fail.
    pub fn quiet() -> Self {
        Self { is_quiet: true, ..Self::of(0, Engine::Sqlite) }
    }

    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub fn done(&mut self, report: &Report) {
        self.done += 1;
        self.failed += u64::from(report.failure.is_some());
        if self.is_quiet {
            return;
        }
        if let Some(failure) = &report.failure {
            self.print_failure(report, failure);
        }
        self.draw();
    }

    fn draw(&self) {
        let left = self.elapsed().as_secs_f64() / self.done as f64 * (self.total - self.done) as f64;
        let Self { done, total, failed, .. } = self;
        let is_terminal = std::io::stderr().is_terminal();
        if is_terminal {
            let filled = (done * 30 / total.max(&1)) as usize;
            eprint!("\r[{:<30}] {done}/{total} seeds, {failed} failed, {left:.0} s left   ", "#".repeat(filled));
            let _ = std::io::stderr().flush();
            if done == total {
                eprintln!();
            }
        } else if done % 25 == 0 || done == total {
            eprintln!("{done}/{total} seeds, {failed} failed, {:.0} s, {left:.0} s left", self.elapsed().as_secs_f64());
        }
    }

    fn print_failure(&self, report: &Report, failure: &Failure) {
        let (what, lines) = match failure {
            Failure::Offence(lines) => ("FAILED", lines.clone()),
            Failure::Promise(lines) => ("had too little in it", lines.clone()),
            Failure::Broken(line) => ("broke", vec![line.clone()]),
        };
        eprintln!("\nseed {} {what} after {:.1} s:", report.seed, report.took.as_secs_f64());
        for line in lines.iter().take(LINES_SHOWN) {
            eprintln!("  {line}");
        }
        if lines.len() > LINES_SHOWN {
            eprintln!("  and {} more", lines.len() - LINES_SHOWN);
        }
        match keep_evidence(report, &lines) {
            Ok(folder) => eprintln!("  what was seen: {}", folder.display()),
            Err(error) => eprintln!("  what was seen could not be kept: {error:#}"),
        }
        eprintln!("  again: {} {}", self.again, report.seed);
    }
}

fn keep_evidence(report: &Report, lines: &[String]) -> Result<PathBuf> {
    let folder = evidence_folder()?.join(report.seed.to_string());
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("failure.txt"), lines.join("\n"))?;
    for (name, text) in &report.evidence {
        std::fs::write(folder.join(name), text)?;
    }
    Ok(folder)
}

/// `target/check`, found from where this program was built to.
pub fn evidence_folder() -> Result<PathBuf> {
    let here = std::env::current_exe().context("find this program")?;
    let target = here.ancestors().find(|folder| folder.ends_with("target")).map(PathBuf::from);
    let folder = target.map_or_else(|| std::env::temp_dir().join("skein-check"), |target| target.join("check"));
    std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    Ok(folder)
}

pub fn print_table(reports: &[Report], elapsed: Duration) {
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    let rows = [
        ("seeds", reports.len() as u64),
        ("failed", sum(|report| u64::from(report.failure.is_some()))),
        ("acked sends", sum(|report| report.numbers.sends)),
        ("edits, recalls, reactions", sum(|report| report.numbers.edits + report.numbers.recalls + report.numbers.reactions)),
        ("read marks", sum(|report| report.numbers.reads)),
        ("kills", sum(|report| report.numbers.kills.all)),
        ("  in the middle of a commit", sum(|report| report.numbers.kills.in_a_commit)),
        ("power cuts", sum(|report| report.numbers.kills.power_cuts)),
        ("reconnects", sum(|report| report.numbers.reconnects)),
        ("resyncs", sum(|report| report.numbers.resyncs)),
        ("gaps pulled", sum(|report| report.numbers.pulls)),
        ("retries", sum(|report| report.numbers.retries)),
        ("acked keys sent again", sum(|report| report.numbers.retries_of_acked)),
    ];
    for (name, number) in rows {
        println!("{name:<30} {number:>8}");
    }
    println!("{:<30} {:>8.1} s", "time", elapsed.as_secs_f64());
    let mut slowest: Vec<(Duration, u64)> = reports.iter().map(|report| (report.took, report.seed)).collect();
    slowest.sort_unstable();
    if let Some((took, seed)) = slowest.last() {
        println!("{:<30} {:>8.1} s (seed {seed})", "slowest seed", took.as_secs_f64());
    }
}

pub fn print_found(planted: Planted, reports: &[Report], elapsed: Duration) {
    let seconds = elapsed.as_secs_f64();
    let found = reports.iter().find_map(|report| match &report.failure {
        Some(Failure::Offence(lines)) => Some((report.seed, lines.first().cloned().unwrap_or_default())),
        _ => None,
    });
    match found {
        Some((seed, line)) => {
            let line: String = line.chars().take(100).collect();
            println!("{:<26} found by seed {seed}, {} run, {seconds:.1} s: {line}", planted.name(), reports.len());
        }
        None => {
            println!("{:<26} NOT FOUND in {} seeds, {seconds:.1} s", planted.name(), reports.len());
            for report in reports.iter().filter(|report| report.failure.is_some()).take(3) {
                println!("    seed {}: {:.300?}", report.seed, report.failure);
            }
        }
    }
}
