//! The checker: seeded runs of the whole product, as real processes, with crashes and power cuts; and what must hold.
//!
//! `plan` decides what happens, `run` plays it, `supervise` kills and restarts, `truth` reads what is stored, `judge`
//! compares. [`Checker`] runs many seeds at once; [`self_test`](Checker::self_test) plants faults and demands to be told.
//!
//! **Invariant:** a seed that fails says how to run it again, and leaves what was seen under `target/check/<seed>/`.

pub mod judge;
pub mod mariadb;
pub mod plan;
pub mod report;
pub mod rng;
pub mod run;
pub mod supervise;
pub mod town;
pub mod truth;

use crate::database::Engine;
use anyhow::{Context, Result, ensure};
use mariadb::Mariadb;
use report::Progress;
use run::{Arena, Failure, Report};
use skein_domain::fault::{self, Fault};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::task::JoinSet;
use town::Town;

/// Within so many seeds a planted fault must be found.
const SEEDS_PER_FAULT: u64 = 200;
/// The same on engines, where a seed costs more.
const SEEDS_PER_FAULT_ON_ENGINES: u64 = 48;

pub struct Checker {
    arena: Arena,
    parallel: usize,
    keep: bool,
    _folder: Option<TempDir>,
}

/// What is wrong with the server on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    Nothing,
    Fault(Fault),
    /// Acks do not wait for the disk.
    UnsafeDurability,
}

impl Planted {
    const UNSAFE: &'static str = "unsafe-durability";

    pub fn all() -> impl Iterator<Item = Planted> {
        Fault::ALL.iter().map(|fault| Planted::Fault(*fault)).chain([Planted::UnsafeDurability])
    }

    pub fn name(self) -> &'static str {
        match self {
            Planted::Nothing => "nothing",
            Planted::Fault(fault) => fault.as_str(),
            Planted::UnsafeDurability => Self::UNSAFE,
        }
    }

    /// On all engines only what concerns the log: everything else is found on fewer, at a fraction of the cost.
    fn shows_on(self, engine: Engine) -> bool {
        match engine {
            Engine::Servers => matches!(self, Planted::Fault(Fault::AdvancedBeforeAck | Fault::FinishedBeforeFanOut)),
            Engine::Sqlite | Engine::Mariadb => self != Planted::Fault(Fault::FinishedBeforeFanOut),
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::all().find(|planted| planted.name() == name)
    }

    fn settings(self) -> Vec<(String, String)> {
        let is_unsafe = self == Planted::UnsafeDurability;
        is_unsafe.then(|| ("storage.allow_unsafe_durability".to_owned(), "true".to_owned())).into_iter().collect()
    }

    fn environment(self) -> Vec<(String, OsString)> {
        match self {
            Planted::Fault(fault) => vec![(fault::ENV.to_owned(), fault.as_str().into())],
            Planted::Nothing | Planted::UnsafeDurability => Vec::new(),
        }
    }
}

impl Checker {
    /// Makes the template that every seed starts from.
    pub async fn new(engine: Engine, parallel: usize, keep: bool) -> Result<Self> {
        let place = if engine == Engine::Sqlite { fast_folder()? } else { report::evidence_folder()? };
        let temporary = tempfile::Builder::new().prefix("skein-check-").tempdir_in(place).context("make a folder for the seeds")?;
        let (folder, guard) = if keep { (temporary.keep(), None) } else { (temporary.path().to_owned(), Some(temporary)) };
        let template = folder.join("template");
        let founded = match engine {
            Engine::Sqlite => Town::found(&template, &skein_storage::Config::default()).await,
            Engine::Mariadb | Engine::Servers => Mariadb::found_town(&template).await,
        };
        let town = founded.context("found the town")?;
        let arena = Arena { folder, template, engine, town, settings: Vec::new(), environment: Vec::new() };
        Ok(Self { arena, parallel, keep, _folder: guard })
    }

    pub fn folder(&self) -> &std::path::Path {
        &self.arena.folder
    }

    /// Runs the seeds, `parallel` at a time. Stops early if `enough` says so.
    pub async fn run(
        &self,
        planted: Planted,
        seeds: impl Iterator<Item = u64>,
        progress: &mut Progress,
        enough: impl Fn(&Report) -> bool,
    ) -> Result<Vec<Report>> {
        let settings = planted.settings();
        let arena = Arc::new(Arena { settings, environment: planted.environment(), ..self.arena.clone() });
        let (mut seeds, mut running, mut reports) = (seeds.fuse(), JoinSet::new(), Vec::new());
        loop {
            while running.len() < self.parallel {
                let Some(seed) = seeds.next() else { break };
                let arena = arena.clone();
                running.spawn(async move { run::run(&arena, seed).await });
            }
            let Some(report) = running.join_next().await else { break };
            let report = report.context("a seed panicked")?;
            if !self.keep {
                let _ = std::fs::remove_dir_all(self.arena.folder.join(format!("seed-{}", report.seed)));
            }
            progress.done(&report);
            let is_enough = enough(&report);
            reports.push(report);
            if is_enough {
                break;
            }
        }
        running.shutdown().await;
        Ok(reports)
    }

    /// Plants each fault that shows on these engines and runs seeds until one fails. Returns the names of those that were not
    /// found.
    pub async fn self_test(&self, only: Option<Planted>) -> Result<Vec<&'static str>> {
        let mut missed = Vec::new();
        let is_chosen = |planted: &Planted| only.is_none_or(|only| only == *planted) && planted.shows_on(self.arena.engine);
        let chosen: Vec<Planted> = Planted::all().filter(is_chosen).collect();
        ensure!(!chosen.is_empty(), "no such fault shows on these engines: docs/checker.md tells which it takes");
        for planted in chosen {
            let mut progress = Progress::quiet();
            let reports = self.run(planted, self.seeds_per_fault().into_iter(), &mut progress, is_offence).await?;
            report::print_found(planted, &reports, progress.elapsed());
            if !reports.iter().any(is_offence) {
                missed.push(planted.name());
            }
        }
        Ok(missed)
    }

    /// What the log loses shows where comet lives on.
    fn seeds_per_fault(&self) -> Vec<u64> {
        match self.arena.engine {
            Engine::Servers => plan::longest_first(0..SEEDS_PER_FAULT_ON_ENGINES),
            Engine::Sqlite | Engine::Mariadb => (0..SEEDS_PER_FAULT).collect(),
        }
    }
}

/// Only what Skein did wrong counts as found: a run that broke, or had too little in it, proves nothing.
fn is_offence(report: &Report) -> bool {
    matches!(report.failure, Some(Failure::Offence(_)))
}

/// In memory where there is such a place: nothing here needs a disk, power cuts are a model. Not for MariaDB, which maps its
/// log there and then needs no syncs.
fn fast_folder() -> Result<PathBuf> {
    let memory = PathBuf::from("/dev/shm");
    let is_usable = tempfile::tempfile_in(&memory).is_ok();
    Ok(if is_usable { memory } else { report::evidence_folder()? })
}
