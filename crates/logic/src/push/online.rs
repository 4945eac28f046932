//! How many are online, in all and in each live room, and which node a goim client is sent to.
//!
//! Counts are what the nodes said last: a node reports every few seconds, and what a silent one said is forgotten after
//! [`REPORT_LEASE_MS`].

use super::balance::{self, Candidate};
use super::config::{Goim, HEARTBEAT_MAX, HEARTBEAT_S};
use super::keys::PushCaller;
use skein_domain::Result;
use skein_domain::id::{Millis, NodeId};
use skein_domain::live::{Advice, Backoff, LiveNode, RoomName};
use skein_domain::port::{Clock, GuestRegistry, NodeOnline, NodeRegistry};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

const REPORT_LEASE_MS: i64 = 60_000;
/// goim's default, of nodes that did not say.
const WEIGHT: u32 = 10;
const TOP_MAX: usize = 1_000;

#[derive(Clone)]
pub(crate) struct Online {
    guests: Arc<dyn GuestRegistry>,
    nodes: Arc<dyn NodeRegistry>,
    clock: Arc<dyn Clock>,
    goim: Arc<Goim>,
    /// Clients sent to a node since it last reported.
    sent: Arc<Mutex<HashMap<NodeId, (Millis, u32)>>>,
}

impl Online {
    pub(crate) fn new(guests: Arc<dyn GuestRegistry>, nodes: Arc<dyn NodeRegistry>, clock: Arc<dyn Clock>, goim: Arc<Goim>) -> Self {
        Self { guests, nodes, clock, goim, sent: Arc::default() }
    }

    /// Keeps what the node says; answers the counts of its rooms over all nodes.
    pub(super) async fn put(
        &self,
        node: NodeId,
        rooms: Vec<(RoomName, u32)>,
        connections: u32,
        addresses: u32,
        weight: u32,
    ) -> Result<Vec<(RoomName, u32)>> {
        let mut counts: HashMap<RoomName, u32> = rooms.iter().cloned().collect();
        let rooms = rooms.into_iter().filter(|(_, count)| *count > 0).collect();
        let at = self.clock.now();
        let report = NodeOnline { node: node.clone(), rooms, connections, addresses, weight, at };
        self.guests.put_online(report, REPORT_LEASE_MS).await?;
        for other in self.guests.online().await?.into_iter().filter(|other| other.node != node) {
            for (room, count) in other.rooms {
                if let Some(sum) = counts.get_mut(&room) {
                    *sum = sum.saturating_add(count);
                }
            }
        }
        Ok(counts.into_iter().collect())
    }

    /// Rooms with most people first, those with as many in order of their names; of those the caller knows.
    pub(super) async fn top(&self, caller: &PushCaller, prefix: &str, limit: u32) -> Result<Vec<(RoomName, u32)>> {
        let is_asked = |room: &RoomName| room.as_str().starts_with(prefix) && caller.knows(room);
        let mut rooms: Vec<_> = self.counts().await?.into_iter().filter(|(room, _)| is_asked(room)).collect();
        rooms.sort_by(|(a, of_a), (b, of_b)| of_b.cmp(of_a).then_with(|| a.cmp(b)));
        rooms.truncate((limit as usize).min(TOP_MAX));
        Ok(rooms)
    }

    /// In the order asked for; nobody in an unknown one. Refused when one of them is not the caller's to know.
    pub(super) async fn rooms(&self, caller: &PushCaller, rooms: Vec<RoomName>) -> Result<Vec<(RoomName, u32)>> {
        rooms.iter().try_for_each(|room| caller.may_in(room))?;
        let counts = self.counts().await?;
        let count_of = |room: RoomName| {
            let count = counts.get(&room).copied().unwrap_or(0);
            (room, count)
        };
        Ok(rooms.into_iter().map(count_of).collect())
    }

    /// Connections, and network addresses they come from (one that is at two nodes counts twice).
    pub(super) async fn total(&self) -> Result<(u64, u64)> {
        let sum = |(connections, addresses), online: NodeOnline| {
            (connections + u64::from(online.connections), addresses + u64::from(online.addresses))
        };
        Ok(self.guests.online().await?.into_iter().fold((0, 0), sum))
    }

    async fn counts(&self) -> Result<HashMap<RoomName, u32>> {
        let mut counts: HashMap<RoomName, u32> = HashMap::new();
        for (room, count) in self.guests.online().await?.into_iter().flat_map(|online| online.rooms) {
            let sum = counts.entry(room).or_default();
            *sum = sum.saturating_add(count);
        }
        Ok(counts)
    }

    // === nodes ===

    pub(super) async fn instances(&self) -> Result<Vec<LiveNode>> {
        let mut reports: HashMap<NodeId, NodeOnline> =
            self.guests.online().await?.into_iter().map(|online| (online.node.clone(), online)).collect();
        let known = self.nodes.nodes().await?.into_iter().map(|info| {
            let report = reports.remove(&info.node);
            let said = |of: fn(&NodeOnline) -> u32, otherwise| report.as_ref().map_or(otherwise, of);
            LiveNode {
                tcp: info.comet.tcp,
                websocket: info.comet.websocket,
                weight: said(|online| online.weight, WEIGHT),
                connections: said(|online| online.connections, info.connections),
                addresses: said(|online| online.addresses, 0),
                draining: info.draining,
                renewed_at: report.as_ref().map_or(self.clock.now(), |online| online.at),
                node: info.node,
            }
        });
        Ok(known.collect())
    }

    /// goim's weighted choice. Platform `web` is told where WebSockets connect, others where TCP does.
    pub(super) async fn advice(&self, platform: &str) -> Result<Advice> {
        let nodes: Vec<LiveNode> = self.instances().await?.into_iter().filter(|node| !node.draining).collect();
        let best = self.ranked(&nodes);
        let address = |node: &LiveNode| if platform == "web" { host_of(&node.websocket) } else { host_of(&node.tcp) };
        let mut hosts: Vec<String> = best.into_iter().map(address).filter(|host| !host.is_empty()).collect();
        hosts.truncate(Advice::NODES_MAX);
        if hosts.is_empty() {
            hosts.push(self.goim.domain.clone());
        }
        Ok(Advice {
            domain: self.goim.domain.clone(),
            tcp_port: self.goim.tcp_port.into(),
            ws_port: self.goim.ws_port.into(),
            wss_port: self.goim.wss_port.into(),
            heartbeat: HEARTBEAT_S,
            heartbeat_max: HEARTBEAT_MAX,
            nodes: hosts,
            backoff: Backoff { max_delay: 300, base_delay: 3, factor_hundredths: 180, jitter_hundredths: 30 },
        })
    }

    /// Best first; the first one counts as sent to.
    fn ranked<'n>(&self, nodes: &'n [LiveNode]) -> Vec<&'n LiveNode> {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.retain(|name, (said_at, _)| nodes.iter().any(|node| node.node == *name && node.renewed_at == *said_at));
        let candidate = |node: &LiveNode| {
            let since = sent.get(&node.node).map_or(0, |(_, count)| *count);
            Candidate { weight: node.weight, connections: node.connections.saturating_add(since) }
        };
        let candidates: Vec<Candidate> = nodes.iter().map(candidate).collect();
        let order = balance::rank(&candidates);
        if let Some(first) = order.first().and_then(|first| nodes.get(*first)) {
            sent.entry(first.node.clone()).or_insert((first.renewed_at, 0)).1 += 1;
        }
        order.into_iter().filter_map(|index| nodes.get(index)).collect()
    }
}

/// Of `host:port`, `ws://host:port/path` and the like.
fn host_of(address: &str) -> String {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    authority.rsplit_once(':').map_or(authority, |(host, _)| host).to_owned()
}

#[cfg(test)]
mod tests {
    use super::host_of;

    #[test]
    fn hosts_are_told_without_ports() {
        assert_eq!(host_of("chat.example.org:3101"), "chat.example.org");
        assert_eq!(host_of("wss://chat.example.org:8443/ws"), "chat.example.org");
        assert_eq!(host_of("[::1]:3101"), "[::1]");
        assert_eq!(host_of(""), "");
    }
}
