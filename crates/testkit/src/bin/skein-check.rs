//! `skein-check`: the checker's command line. What it does is told in `skein_testkit::check` and docs/checker.md.

use anyhow::{Result, bail, ensure};
use clap::{Parser, ValueEnum};
use skein_testkit::check::report::{self, Progress};
use skein_testkit::check::{Checker, Planted, plan};
use skein_testkit::database::Engine;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Runs Skein with crashes and power cuts, and proves its promises, seed by seed.
#[derive(Parser)]
struct Args {
    /// Run this many seeds, from 0 on.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// Run this one only.
    #[arg(long)]
    seed: Option<u64>,
    /// What Skein stands on.
    #[arg(long, value_enum, default_value = "embedded")]
    engines: Engines,
    /// Seeds at a time.
    #[arg(long, default_value_t = 12)]
    parallel: usize,
    /// Plant this fault in the server: see docs/checker.md.
    #[arg(long, value_parser = parse_fault)]
    fault: Option<Planted>,
    /// Plant every fault in turn (or that of --fault) and demand that it is found.
    #[arg(long)]
    self_test: bool,
    /// Leave the folders of the seeds behind.
    #[arg(long)]
    keep: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Engines {
    /// SQLite, and the rest in the process.
    Embedded,
    /// A MariaDB of each seed's own.
    Mariadb,
    /// The same, and Redis and Kafka.
    All,
}

impl From<Engines> for Engine {
    fn from(engines: Engines) -> Self {
        match engines {
            Engines::Embedded => Engine::Sqlite,
            Engines::Mariadb => Engine::Mariadb,
            Engines::All => Engine::Servers,
        }
    }
}

fn parse_fault(name: &str) -> Result<Planted, String> {
    let names = || Planted::all().map(Planted::name).collect::<Vec<_>>().join(", ");
    Planted::parse(name).ok_or_else(|| format!("one of {}", names()))
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("skein-check: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all is well.
fn run(args: &Args) -> Result<bool> {
    ensure!(args.parallel > 0, "--parallel must be at least 1");
    let runtime = tokio::runtime::Runtime::new()?;
    let checker = runtime.block_on(Checker::new(args.engines.into(), args.parallel, args.keep))?;
    let outcome = runtime.block_on(async {
        // Listened for before there is anything to leave behind.
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::select! {
            outcome = check(args, &checker) => outcome,
            _ = terminate.recv() => bail!("stopped by SIGTERM"),
            _ = interrupt.recv() => bail!("stopped by SIGINT"),
        }
    });
    // Ends the seeds that still run, and their servers with them; the checker's folder goes after those who write to it.
    drop(runtime);
    outcome
}

/// Whether all is well.
async fn check(args: &Args, checker: &Checker) -> Result<bool> {
    if args.keep {
        eprintln!("folders of the seeds: {}", checker.folder().display());
    }
    if args.self_test {
        let missed = checker.self_test(args.fault).await?;
        for name in &missed {
            eprintln!("the planted fault {name} was not found");
        }
        return Ok(missed.is_empty());
    }
    let seeds = args.seed.map_or(0..args.seeds, |seed| seed..seed + 1);
    let mut progress = Progress::of(seeds.end - seeds.start, args.engines.into());
    let seeds = plan::longest_first(seeds).into_iter();
    let reports = checker.run(args.fault.unwrap_or(Planted::Nothing), seeds, &mut progress, |_| false).await?;
    report::print_table(&reports, progress.elapsed());
    Ok(reports.iter().all(|report| report.failure.is_none()))
}
