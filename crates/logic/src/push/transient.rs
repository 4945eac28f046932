//! Pushes to whoever is connected now: from a target to records of the transient log.
//!
//! **Invariant:** receivers are looked up when the push is accepted, so two pushes of one caller reach a connection in their
//! order, by whichever of its names they called it.

use skein_domain::Result;
use skein_domain::id::{ConnectionRef, Millis, NodeId, Uid};
use skein_domain::live::{GuestKey, LiveAddress, LiveMessage, LiveRecord, Priority, PushId, PushState, PushTarget, Receipt};
use skein_domain::port::{Clock, GuestRegistry, LiveLog, ReceiptStore, SessionRegistry};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Clone)]
pub(crate) struct Transient {
    pub log: Arc<dyn LiveLog>,
    pub guests: Arc<dyn GuestRegistry>,
    pub sessions: Arc<dyn SessionRegistry>,
    pub receipts: Arc<dyn ReceiptStore>,
    pub clock: Arc<dyn Clock>,
}

/// A push that has its id.
#[derive(Debug, Clone)]
pub(super) struct Accepted {
    pub push: PushId,
    pub app: Uid,
    pub target: PushTarget,
    pub message: LiveMessage,
    pub expires: Option<Millis>,
    pub priority: Priority,
}

impl Transient {
    pub(super) async fn publish(&self, accepted: Accepted) -> Result<()> {
        let Accepted { push, app, target, message, expires, priority } = accepted;
        let addresses = self.addresses(target).await?;
        let state = if addresses.is_empty() { PushState::Delivered } else { PushState::Waiting };
        self.receipts.put(receipt(push.clone(), app, state, self.clock.now())).await?;
        if addresses.is_empty() {
            return Ok(());
        }
        let record = |address| LiveRecord { push: push.clone(), app, address, message: message.clone(), expires, priority };
        self.log.publish(addresses.into_iter().map(record).collect()).await
    }

    /// Who is not connected has no address.
    async fn addresses(&self, target: PushTarget) -> Result<Vec<LiveAddress>> {
        Ok(match target {
            PushTarget::Keys(keys) => by_node(self.guests.by_keys(&unique(keys)).await?.into_iter().map(|route| (route.node, route.key))),
            PushTarget::Mids(mids) => by_node(self.guests.by_mids(&unique(mids)).await?.into_iter().map(|route| (route.node, route.key))),
            PushTarget::Uids(uids) => self.sessions_of(uids).await?,
            PushTarget::Room(room) => vec![LiveAddress::Room(room)],
            PushTarget::All(audience) => vec![LiveAddress::All(audience)],
        })
    }

    async fn sessions_of(&self, uids: Vec<Uid>) -> Result<Vec<LiveAddress>> {
        let mut nodes: BTreeMap<NodeId, Vec<ConnectionRef>> = BTreeMap::new();
        for route in self.sessions.routes(&unique(uids)).await? {
            nodes.entry(route.node.clone()).or_default().push(route.connection());
        }
        Ok(nodes.into_iter().map(|(node, connections)| LiveAddress::Sessions { node, connections }).collect())
    }

    /// How many connections a push would find now. Of a push to all it is an upper bound, as many as there are: only the
    /// nodes know their connections' platforms, tags and accepted operations.
    pub(super) async fn would_reach(&self, target: PushTarget) -> Result<u64> {
        let online = async || self.guests.online().await;
        Ok(match target {
            PushTarget::Keys(keys) => self.guests.by_keys(&unique(keys)).await?.len() as u64,
            PushTarget::Mids(mids) => self.guests.by_mids(&unique(mids)).await?.len() as u64,
            PushTarget::Uids(uids) => self.sessions.routes(&unique(uids)).await?.len() as u64,
            PushTarget::Room(name) => {
                let rooms = online().await?.into_iter().flat_map(|node| node.rooms);
                rooms.filter(|(room, _)| *room == name).map(|(_, count)| u64::from(count)).sum()
            }
            PushTarget::All(_) => online().await?.into_iter().map(|node| u64::from(node.connections)).sum(),
        })
    }
}

pub(super) fn receipt(push: PushId, app: Uid, state: PushState, at: Millis) -> Receipt {
    Receipt { push, app, state, at, found: 0, queued: 0, dropped: 0 }
}

pub(super) fn unique<T: Ord>(mut names: Vec<T>) -> Vec<T> {
    names.sort_unstable();
    names.dedup();
    names
}

fn by_node(guests: impl Iterator<Item = (NodeId, GuestKey)>) -> Vec<LiveAddress> {
    let mut nodes: BTreeMap<NodeId, Vec<GuestKey>> = BTreeMap::new();
    for (node, key) in guests {
        nodes.entry(node).or_default().push(key);
    }
    nodes.into_iter().map(|(node, keys)| LiveAddress::Guests { node, keys }).collect()
}
