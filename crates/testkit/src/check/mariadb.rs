//! A MariaDB of a seed's own, under the power-cut library: killed in the middle of a commit, and cut off from power.
//!
//! **Invariant:** one that was killed is dead before its power is cut or it runs again; it ends with its value.

use super::plan::Moment;
use super::town::Town;
use crate::database::Database;
use crate::seed;
use anyhow::{Context, Result, ensure};
use skein_powercut::{Options, PowerCut, Switches};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::task::block_in_place;
use xtask::services::{Environment, Own, Service};

const DATABASE: &str = "skein";
/// Small; and every write through the C library, where the journal sees it: not by io_uring, nor past the page cache.
const ARGUMENTS: &[&str] = &[
    "--innodb-use-native-aio=0",
    "--innodb-flush-method=fsync",
    "--innodb-log-file-size=16M",
    "--innodb-buffer-pool-size=32M",
    "--max-connections=60",
];
const LOOK_EVERY: Duration = Duration::from_millis(2);
const DEATH_PATIENCE: Duration = Duration::from_secs(10);

pub struct Mariadb {
    own: Own,
    power: PowerCut,
    switches: Switches,
}

impl Mariadb {
    /// Founds the town on a server of its own, beside Skein's folder `template`: what [`Self::start`] begins with.
    pub async fn found_town(template: &Path) -> Result<Town> {
        let folder = beside(template);
        std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let own = block_in_place(|| Own::start_with(Service::Mariadb, &folder, Environment::new(), ARGUMENTS))?;
        let url = block_in_place(|| own.make_database(DATABASE))?;
        let town = Town::found(template, Database::at(&url).config()).await?;
        block_in_place(|| own.stop())?;
        Ok(town)
    }

    /// In `folder`. Blocks until it answers.
    pub fn start(template: &Path, folder: &Path) -> Result<Self> {
        seed::copy(&beside(template), folder).context("copy the template of MariaDB")?;
        let power = PowerCut::new(&folder.join("data"), &folder.with_extension("journal"))?;
        let switches = power.switches()?;
        let environment = power.environment(&Options { skip_real_fsync: true, spare_names: true, ..Options::default() });
        let own = Own::start_with(Service::Mariadb, folder, environment, ARGUMENTS)?;
        Ok(Self { own, power, switches })
    }

    /// What a server that is to use it is started with.
    pub fn settings(&self) -> Vec<(String, String)> {
        Database::at(&format!("{}{DATABASE}", self.own.address())).settings()
    }

    /// From now on its disk does what leads to this moment.
    pub fn plant(&self, moment: Moment) -> Result<()> {
        match moment {
            Moment::AtFsync(n) => self.switches.kill_after(n)?,
            Moment::AtAck { fsync_delay_us, .. } => self.switches.delay_fsync(Duration::from_micros(fsync_delay_us))?,
            Moment::AfterAck { .. } => {}
        }
        Ok(())
    }

    /// If it is dead, it starts again, on a good disk.
    pub fn run(&mut self) -> Result<()> {
        self.switches.kill_after(0)?;
        self.switches.delay_fsync(Duration::ZERO)?;
        if self.is_dead() { block_in_place(|| self.own.restart()) } else { Ok(()) }
    }

    /// Resolves when it is dead, by its planted fault.
    pub async fn ended(&self) {
        while !self.is_dead() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// SIGKILL; returns when it is dead.
    pub async fn kill(&self) -> Result<()> {
        self.own.kill()?;
        tokio::time::timeout(DEATH_PATIENCE, self.ended()).await.context("MariaDB does not die")
    }

    /// Takes back what it had not synced.
    pub fn cut_power(&self) -> Result<()> {
        let started = Instant::now();
        // The system lets go of a dead process's files a moment later.
        while let Err(error) = self.power.cut() {
            ensure!(matches!(error, skein_powercut::Error::StillRunning) && started.elapsed() < DEATH_PATIENCE, error);
            std::thread::yield_now();
        }
        Ok(())
    }

    pub fn is_dead(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.own.pid())).unwrap_or_default();
        // Its name, in brackets, may hold anything.
        stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next()).is_none_or(|state| matches!(state, "Z" | "X"))
    }
}

fn beside(template: &Path) -> PathBuf {
    template.with_extension("mariadb")
}
