//! Which Comets are out of reach, and who missed something meanwhile.
//!
//! **Invariant:** opening, marking and closing are one step each under one lock: whoever was left out of a batch because
//! a breaker was open is in the set that closing it returns.
//!
//! Bounds: [`MISSED_USERS_MAX`] users per node, then "all of the node"; a node nobody has heard of for [`FORGET_AFTER`]
//! is forgotten (its connections are gone; whoever comes back syncs by connecting).

use skein_domain::id::{NodeId, Uid};
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

pub(crate) const MISSED_USERS_MAX: usize = 100_000;
pub(crate) const FORGET_AFTER: Duration = Duration::from_secs(300);

/// Who has missed something at one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Missed {
    /// Transient pushes: losing one needs no repair.
    Nobody,
    Users(HashSet<Uid>),
    All,
}

impl Missed {
    pub(crate) fn users(uids: impl IntoIterator<Item = Uid>) -> Self {
        Missed::Users(uids.into_iter().collect())
    }

    fn add(&mut self, more: Missed) {
        let sum = match (std::mem::replace(self, Missed::Nobody), more) {
            (Missed::All, _) | (_, Missed::All) => Missed::All,
            (Missed::Nobody, other) | (other, Missed::Nobody) => other,
            (Missed::Users(mut users), Missed::Users(more)) => {
                users.extend(more);
                Missed::Users(users)
            }
        };
        *self = match sum {
            Missed::Users(users) if users.len() > MISSED_USERS_MAX => Missed::All,
            sum => sum,
        };
    }
}

struct Outage {
    since: Instant,
    missed: Missed,
}

#[derive(Default)]
pub(crate) struct Breakers {
    outages: Mutex<HashMap<NodeId, Outage>>,
}

impl Breakers {
    fn lock(&self) -> MutexGuard<'_, HashMap<NodeId, Outage>> {
        self.outages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the node is out of reach; if so, these have missed something.
    pub(crate) fn mark_if_open(&self, node: &NodeId, missed: &Missed) -> bool {
        match self.lock().get_mut(node) {
            Some(outage) => {
                outage.missed.add(missed.clone());
                true
            }
            None => false,
        }
    }

    pub(crate) fn is_open(&self, node: &NodeId) -> bool {
        self.lock().contains_key(node)
    }

    /// Returns whether this began the outage.
    pub(crate) fn open(&self, node: &NodeId, missed: Missed) -> bool {
        let mut outages = self.lock();
        let begins = !outages.contains_key(node);
        let outage = outages.entry(node.clone()).or_insert_with(|| Outage { since: Instant::now(), missed: Missed::Nobody });
        outage.missed.add(missed);
        metrics::gauge!("skein_fanout_breakers_open").set(outages.len() as f64);
        begins
    }

    /// The node answers again: who has to be told.
    pub(crate) fn close(&self, node: &NodeId) -> Missed {
        let mut outages = self.lock();
        let outage = outages.remove(node);
        metrics::gauge!("skein_fanout_breakers_open").set(outages.len() as f64);
        outage.map_or(Missed::Nobody, |outage| outage.missed)
    }

    pub(crate) fn nodes(&self) -> Vec<NodeId> {
        self.lock().keys().cloned().collect()
    }

    /// Drops an outage that has lasted too long to matter to anyone.
    pub(crate) fn forget_old(&self, node: &NodeId) {
        let mut outages = self.lock();
        if outages.get(node).is_some_and(|outage| outage.since.elapsed() > FORGET_AFTER) {
            outages.remove(node);
            metrics::gauge!("skein_fanout_breakers_open").set(outages.len() as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> NodeId {
        NodeId("comet-1".into())
    }

    #[test]
    fn whoever_is_marked_is_returned_by_closing() {
        let breakers = Breakers::default();
        assert!(!breakers.mark_if_open(&node(), &Missed::All), "closed breakers mark nobody");
        assert!(breakers.open(&node(), Missed::users([Uid(1)])));
        assert!(!breakers.open(&node(), Missed::Nobody), "an outage begins once");
        assert!(breakers.mark_if_open(&node(), &Missed::users([Uid(2)])));
        assert_eq!(breakers.close(&node()), Missed::users([Uid(1), Uid(2)]));
        assert!(!breakers.is_open(&node()));
    }

    #[test]
    fn too_many_missed_become_all() {
        let breakers = Breakers::default();
        breakers.open(&node(), Missed::users((0..MISSED_USERS_MAX as i64).map(Uid)));
        breakers.mark_if_open(&node(), &Missed::users([Uid(-1)]));
        assert_eq!(breakers.close(&node()), Missed::All);
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_outage_of_a_vanished_node_is_forgotten() {
        let breakers = Breakers::default();
        breakers.open(&node(), Missed::All);
        breakers.forget_old(&node());
        assert!(breakers.is_open(&node()));
        tokio::time::advance(FORGET_AFTER + Duration::from_secs(1)).await;
        breakers.forget_old(&node());
        assert!(!breakers.is_open(&node()));
    }
}
