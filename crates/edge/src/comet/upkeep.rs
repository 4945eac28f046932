//! What a node does for all its connections: holds them to their limits, renews their leases, tells who is online.
//!
//! **Bound:** leases go to Logic [`RENEW_MAX`] at a time; every call has its deadline; rooms told of are at most
//! [`ROOMS_PER_NODE_MAX`].

use super::peer::{Patience, Peer};
use super::shared::Shared;
use skein_domain::door::NodeLoad;
use skein_domain::id::ConnectionRef;
use skein_domain::live::{GuestCommand, GuestReply, ROOMS_PER_NODE_MAX};
use skein_domain::{Code, Error};
use skein_protocol::CloseCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// Connections whose leases are renewed in one call.
const RENEW_MAX: usize = 1_000;
/// When to tell again who is online, if it could not be told.
const ONLINE_RETRY: Duration = Duration::from_secs(1);

/// For ever.
pub(super) async fn run(shared: &Shared) {
    tokio::join!(sweep_for_ever(shared), renew_for_ever(shared), tell_online_for_ever(shared), shared.hub.walk_for_ever());
}

async fn sweep_for_ever(shared: &Shared) {
    let mut ticks = interval(shared.hub.config.sweep_interval());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        sweep(shared).await;
    }
}

pub(super) async fn sweep(shared: &Shared) {
    let (hub, config) = (&shared.hub, &shared.hub.config);
    let patience = Patience {
        heartbeat_ms: config.heartbeat_timeout_ms.into(),
        ping_ms: config.ping_after_ms.into(),
        stall_ms: config.stall_timeout_ms.into(),
    };
    let now_ms = hub.ticks.now_ms();
    let mut queued = 0;
    let look = |peer: &Arc<Peer>| {
        peer.sweep(now_ms, patience);
        queued += peer.queued_bytes();
    };
    hub.roster.for_each(look).await;
    hub.meters.queue_bytes.set(queued as f64);
    hub.meters.guests.set(hub.guests.len() as f64);
}

// === leases ===

async fn renew_for_ever(shared: &Shared) {
    let mut ticks = interval(Duration::from_millis(shared.hub.config.renew_interval_ms.into()));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        renew(shared).await;
    }
}

/// Also with no connection: it is the node's own sign of life.
async fn renew(shared: &Shared) {
    let live = shared.hub.seats.live();
    if live.is_empty() {
        renew_some(shared, Vec::new()).await;
    }
    for some in live.chunks(RENEW_MAX) {
        renew_some(shared, some.to_vec()).await;
    }
    for some in shared.hub.guests.live().chunks(RENEW_MAX) {
        let renew = GuestCommand::Renew { node: shared.hub.node.clone(), live: some.to_vec() };
        if let Err(error) = ask(shared, renew).await {
            tracing::warn!(%error, "leases of guests not renewed");
        }
    }
}

pub(super) async fn renew_some(shared: &Shared, some: Vec<ConnectionRef>) {
    let load = NodeLoad {
        node: shared.hub.node.clone(),
        comet: shared.address.clone(),
        connections: logged_in(shared),
        draining: shared.is_draining(),
    };
    match timeout(shared.hub.config.call_deadline(), shared.logic.renew(load, some)).await {
        // Revoked or replaced, only Logic knows which: whoever may come back is let in again.
        Ok(Ok(gone)) => {
            let peers = gone.into_iter().filter_map(|connection| shared.hub.seats.find(connection));
            peers.for_each(|peer| peer.order_close(CloseCode::GoingAway));
        }
        Ok(Err(error)) => tracing::warn!(%error, "leases not renewed"),
        Err(_) => tracing::warn!("leases not renewed in time"),
    }
}

fn logged_in(shared: &Shared) -> u32 {
    u32::try_from(shared.hub.seats.len() + shared.hub.guests.len()).unwrap_or(u32::MAX)
}

// === who is online ===

async fn tell_online_for_ever(shared: &Shared) {
    let usual = Duration::from_millis(shared.hub.config.online_interval_ms.into());
    let mut fails = false;
    loop {
        match tell_online(shared).await {
            Ok(()) => fails = false,
            Err(error) if !fails => {
                tracing::warn!(%error, "logic does not hear who is online");
                fails = true;
            }
            Err(_) => {}
        }
        sleep(if fails { ONLINE_RETRY.min(usual) } else { usual }).await;
    }
}

async fn tell_online(shared: &Shared) -> Result<(), Error> {
    let hub = &shared.hub;
    let mut rooms = hub.index.rooms.online();
    if rooms.len() > ROOMS_PER_NODE_MAX {
        tracing::warn!(rooms = rooms.len(), "too many live rooms: the smallest are not counted");
        rooms.sort_unstable_by_key(|(_, count)| std::cmp::Reverse(*count));
        rooms.truncate(ROOMS_PER_NODE_MAX);
    }
    let addresses = u32::try_from(hub.index.addresses.len()).unwrap_or(u32::MAX);
    let (connections, weight) = (logged_in(shared), hub.config.weight);
    let online = GuestCommand::Online { node: hub.node.clone(), rooms, connections, addresses, weight };
    if let GuestReply::Online { rooms } = ask(shared, online).await? {
        hub.index.rooms.learn(rooms);
    }
    Ok(())
}

async fn ask(shared: &Shared, command: GuestCommand) -> Result<GuestReply, Error> {
    let answer = timeout(shared.hub.config.call_deadline(), shared.logic.guest(command)).await;
    answer.unwrap_or_else(|_| Err(Error::new(Code::Timeout, "no answer in time")))
}
