//! Which nodes live, and the tickets to them, for one process: [`NodeRegistry`].

use super::full;
use async_trait::async_trait;
use skein_domain::Result;
use skein_domain::account::SecretHash;
use skein_domain::id::{Millis, NodeId, SessionId};
use skein_domain::port::{Clock, NodeInfo, NodeRegistry};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const NODES_MAX: usize = 1_000;
const TICKETS_MAX: usize = 200_000;

pub struct MemoryNodes {
    clock: Arc<dyn Clock>,
    tickets_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    nodes: BTreeMap<NodeId, (NodeInfo, Millis)>,
    tickets: HashMap<SecretHash, Ticket>,
}

struct Ticket {
    session: SessionId,
    node: NodeId,
    expires_at: Millis,
}

impl MemoryNodes {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::bounded(clock, TICKETS_MAX)
    }

    pub fn bounded(clock: Arc<dyn Clock>, tickets_max: usize) -> Self {
        Self { clock, tickets_max, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl NodeRegistry for MemoryNodes {
    async fn announce(&self, node: NodeInfo, lease_ms: i64) -> Result<()> {
        let now = self.clock.now();
        let mut state = self.state();
        state.nodes.retain(|_, (_, expires_at)| *expires_at > now);
        if state.nodes.len() >= NODES_MAX && !state.nodes.contains_key(&node.node) {
            return Err(full());
        }
        state.nodes.insert(node.node.clone(), (node, now.plus(lease_ms)));
        Ok(())
    }

    async fn withdraw(&self, node: &NodeId) -> Result<()> {
        self.state().nodes.remove(node);
        Ok(())
    }

    async fn nodes(&self) -> Result<Vec<NodeInfo>> {
        let now = self.clock.now();
        let state = self.state();
        Ok(state.nodes.values().filter(|(_, expires_at)| *expires_at > now).map(|(node, _)| node.clone()).collect())
    }

    async fn put_ticket(&self, ticket: SecretHash, session: SessionId, node: NodeId, ttl_ms: i64) -> Result<()> {
        let now = self.clock.now();
        let mut state = self.state();
        if state.tickets.len() >= self.tickets_max {
            state.tickets.retain(|_, ticket| ticket.expires_at > now);
        }
        if state.tickets.len() >= self.tickets_max {
            return Err(full());
        }
        state.tickets.insert(ticket, Ticket { session, node, expires_at: now.plus(ttl_ms) });
        metrics::gauge!("skein_registry_tickets").set(state.tickets.len() as f64);
        Ok(())
    }

    async fn take_ticket(&self, ticket: SecretHash, node: &NodeId) -> Result<Option<SessionId>> {
        let now = self.clock.now();
        let taken = self.state().tickets.remove(&ticket);
        Ok(taken.filter(|ticket| ticket.expires_at > now && ticket.node == *node).map(|ticket| ticket.session))
    }
}
