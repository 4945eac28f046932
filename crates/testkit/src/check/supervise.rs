//! Whoever keeps the servers of a seed running, and kills them when the plan says so.
//!
//! **Invariant:** kills happen in the order of the plan, each once; a process that ends by itself ends the seed.

use super::mariadb::Mariadb;
use super::plan::{Kill, Moment, Plan};
use crate::cluster::{Cluster, Part};
use anyhow::{Context, Result, anyhow};
use skein_powercut::Options;
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};

const SIGKILL: i32 = 9;

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Kills {
    pub all: u64,
    pub in_a_commit: u64,
    pub power_cuts: u64,
}

/// How the script and the supervisor talk.
#[derive(Clone)]
pub struct Controls {
    /// The kill that is armed, and the acks heard when it was.
    armed: watch::Sender<Option<(usize, u64)>>,
    pub kills: watch::Sender<Kills>,
    /// A kill whose moment does not come is done without it.
    pub force: Arc<Notify>,
}

impl Default for Controls {
    fn default() -> Self {
        Self { armed: watch::Sender::new(None), kills: watch::Sender::new(Kills::default()), force: Arc::default() }
    }
}

impl Controls {
    pub fn arm(&self, kill: usize, acks: u64) {
        self.armed.send_replace(Some((kill, acks)));
    }
}

/// What runs: Skein, and the database it has for itself if that is not in its folder. A cut takes the power of both.
pub struct Running {
    pub cluster: Cluster,
    pub mariadb: Option<Mariadb>,
}

/// Runs until it is aborted, or something is wrong.
pub async fn supervise(running: Running, plan: Plan, controls: Controls, acks: watch::Receiver<u64>) -> anyhow::Error {
    match try_supervise(running, plan, controls, acks).await {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

async fn try_supervise(
    mut running: Running,
    plan: Plan,
    controls: Controls,
    mut acks: watch::Receiver<u64>,
) -> Result<std::convert::Infallible> {
    for (number, kill) in plan.kills.iter().enumerate() {
        running.start(next_moment(&plan, number)).await?;
        let is_in_a_commit = tokio::select! {
            died = running.died_in_a_commit(kill) => {
                died?;
                true
            }
            () = moment(kill, number, &controls, &mut acks) => false,
            () = controls.force.notified() => false,
        };
        running.kill(kill.part).await?;
        let is_cut = plan.cuts_power && kill.part == Part::Core;
        if is_cut {
            running.cut_power().await.context("cut the power")?;
        }
        controls.kills.send_modify(|kills| {
            kills.all += 1;
            kills.in_a_commit += u64::from(is_in_a_commit);
            kills.power_cuts += u64::from(is_cut);
        });
    }
    running.start(None).await?;
    running.cluster.core_ended().await?;
    Err(running.ended_by_itself())
}

impl Running {
    /// Starts what does not run. The disk below the database leads to `next`.
    async fn start(&mut self, next: Option<Moment>) -> Result<()> {
        let Some(mariadb) = &mut self.mariadb else { return self.cluster.start(&faults(next)).await };
        mariadb.run()?;
        self.cluster.start(&swift()).await?;
        next.map_or(Ok(()), |next| mariadb.plant(next))
    }

    /// Resolves when the process that commits has died of its planted fault.
    async fn died_in_a_commit(&mut self, kill: &Kill) -> Result<()> {
        let Self { cluster, mariadb } = self;
        let is_planted = matches!(kill.moment, Moment::AtFsync(_));
        let status = match mariadb {
            None => cluster.core_ended().await?,
            Some(mariadb) => tokio::select! {
                () = mariadb.ended(), if is_planted => return Ok(()),
                status = cluster.core_ended() => status?,
            },
        };
        // A core may end because its database did.
        let by_fault = is_planted && mariadb.as_ref().map_or(status.signal() == Some(SIGKILL), Mariadb::is_dead);
        if by_fault { Ok(()) } else { Err(self.ended_by_itself()) }
    }

    async fn kill(&mut self, part: Part) -> Result<()> {
        if self.cluster.runs(part) { self.cluster.kill(part).await } else { Ok(()) }
    }

    async fn cut_power(&mut self) -> Result<()> {
        self.cluster.cut_power()?;
        let Some(mariadb) = &self.mariadb else { return Ok(()) };
        mariadb.kill().await?;
        mariadb.cut_power()
    }

    fn ended_by_itself(&self) -> anyhow::Error {
        anyhow!("a server ended by itself\n{}", self.cluster.last_words())
    }
}

/// Resolves at a moment that the process does not choose itself.
async fn moment(kill: &Kill, number: usize, controls: &Controls, acks: &mut watch::Receiver<u64>) {
    let (after, pause) = match kill.moment {
        Moment::AtFsync(_) => return std::future::pending().await,
        Moment::AtAck { acks, .. } => (acks, Duration::ZERO),
        Moment::AfterAck { ms } => (1, Duration::from_millis(ms)),
    };
    let mut armed = controls.armed.subscribe();
    let armed_at = armed.wait_for(|armed| armed.is_some_and(|(kill, _)| kill >= number)).await.map(|armed| *armed);
    let Ok(Some((_, before))) = armed_at else { return std::future::pending().await };
    if acks.wait_for(|acks| *acks >= before + after).await.is_err() {
        std::future::pending().await
    }
    tokio::time::sleep(pause).await;
}

/// When the core is killed next. A comet has no disk to speak of.
fn next_moment(plan: &Plan, number: usize) -> Option<Moment> {
    plan.kills[number..].iter().find(|kill| kill.part == Part::Core).map(|kill| kill.moment)
}

/// What the disk of the core does until then.
fn faults(next: Option<Moment>) -> Options {
    match next {
        Some(Moment::AtFsync(k)) => Options { kill_at_fsync: Some(k), ..swift() },
        Some(Moment::AtAck { fsync_delay_us, .. }) => Options { fsync_delay: Duration::from_micros(fsync_delay_us), ..swift() },
        Some(Moment::AfterAck { .. }) | None => swift(),
    }
}

/// Nothing is cut but in the model, so no real sync is needed.
fn swift() -> Options {
    Options { skip_real_fsync: true, ..Options::default() }
}
