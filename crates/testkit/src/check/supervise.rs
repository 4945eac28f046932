//! Whoever keeps the servers of a seed running, and kills them when the plan says so.
//!
//! **Invariant:** kills happen in the order of the plan, each once; a process that ends by itself ends the seed.

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

/// Runs until it is aborted, or something is wrong.
pub async fn supervise(cluster: Cluster, plan: Plan, controls: Controls, acks: watch::Receiver<u64>) -> anyhow::Error {
    match try_supervise(cluster, plan, controls, acks).await {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

async fn try_supervise(
    mut cluster: Cluster,
    plan: Plan,
    controls: Controls,
    mut acks: watch::Receiver<u64>,
) -> Result<std::convert::Infallible> {
    for (number, kill) in plan.kills.iter().enumerate() {
        cluster.start(&faults(&plan, number)).await?;
        let is_in_a_commit = tokio::select! {
            status = cluster.core_ended() => {
                let by_fault = matches!(kill.moment, Moment::AtFsync(_)) && status?.signal() == Some(SIGKILL);
                if !by_fault {
                    return Err(ended_by_itself(&cluster));
                }
                true
            }
            () = moment(kill, number, &controls, &mut acks) => {
                cluster.kill(kill.part).await?;
                false
            }
            () = controls.force.notified() => {
                cluster.kill(kill.part).await?;
                false
            }
        };
        let is_cut = plan.cuts_power && kill.part == Part::Core;
        if is_cut {
            cluster.cut_power().context("cut the power")?;
        }
        controls.kills.send_modify(|kills| {
            kills.all += 1;
            kills.in_a_commit += u64::from(is_in_a_commit);
            kills.power_cuts += u64::from(is_cut);
        });
    }
    cluster.start(&swift()).await?;
    cluster.core_ended().await?;
    Err(ended_by_itself(&cluster))
}

fn ended_by_itself(cluster: &Cluster) -> anyhow::Error {
    anyhow!("a server ended by itself\n{}", cluster.last_words())
}

/// Resolves at a moment that the process does not choose itself.
async fn moment(kill: &Kill, number: usize, controls: &Controls, acks: &mut watch::Receiver<u64>) {
    let Moment::AtAck { acks: after, .. } = kill.moment else {
        return std::future::pending().await;
    };
    let mut armed = controls.armed.subscribe();
    let armed_at = armed.wait_for(|armed| armed.is_some_and(|(kill, _)| kill >= number)).await.map(|armed| *armed);
    let Ok(Some((_, before))) = armed_at else { return std::future::pending().await };
    if acks.wait_for(|acks| *acks >= before + after).await.is_err() {
        std::future::pending().await
    }
}

/// What the disk of the core does until its next kill. A comet has no disk to speak of.
fn faults(plan: &Plan, number: usize) -> Options {
    let next = plan.kills[number..].iter().find(|kill| kill.part == Part::Core);
    match next.map(|kill| kill.moment) {
        Some(Moment::AtFsync(k)) => Options { kill_at_fsync: Some(k), ..swift() },
        Some(Moment::AtAck { fsync_delay_us, .. }) => Options { fsync_delay: Duration::from_micros(fsync_delay_us), ..swift() },
        None => swift(),
    }
}

/// Nothing is cut but in the model, so no real sync is needed.
fn swift() -> Options {
    Options { skip_real_fsync: true, ..Options::default() }
}
