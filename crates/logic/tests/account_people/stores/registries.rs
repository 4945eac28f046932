use async_trait::async_trait;
use skein_domain::Result;
use skein_domain::account::SecretHash;
use skein_domain::id::{Millis, NodeId, SessionId, Uid};
use skein_domain::port::{Clock, NodeInfo, NodeRegistry, Registered, Route, SessionRegistry};
use skein_domain::push::ConnectionRef;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

pub struct Registries {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    routes: BTreeMap<SessionId, (Route, Millis)>,
    nodes: BTreeMap<NodeId, (NodeInfo, Millis)>,
    tickets: HashMap<SecretHash, (SessionId, NodeId, Millis)>,
}

impl Registries {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::default() }
    }

    fn live(&self, which: impl Fn(&Route) -> bool) -> Vec<Route> {
        let (state, now) = (self.state.lock().unwrap(), self.clock.now());
        state.routes.values().filter(|(route, until)| *until > now && which(route)).map(|(route, _)| route.clone()).collect()
    }
}

#[async_trait]
impl SessionRegistry for Registries {
    async fn register(&self, route: Route, lease_ms: i64) -> Result<Registered> {
        let mut state = self.state.lock().unwrap();
        let until = self.clock.now().plus(lease_ms);
        match state.routes.get(&route.session).map(|(older, _)| older.clone()) {
            Some(there) if there.generation >= route.generation => Ok(Registered::Outdated),
            older => {
                state.routes.insert(route.session, (route, until));
                Ok(older.map_or(Registered::New, Registered::Replaced))
            }
        }
    }

    async fn renew(&self, node: &NodeId, live: &[ConnectionRef], lease_ms: i64) -> Result<Vec<ConnectionRef>> {
        let mut state = self.state.lock().unwrap();
        let until = self.clock.now().plus(lease_ms);
        let mut unknown = Vec::new();
        for connection in live {
            match state.routes.get_mut(&connection.session) {
                Some((route, lease)) if route.node == *node && route.connection() == *connection => *lease = until,
                _ => unknown.push(*connection),
            }
        }
        Ok(unknown)
    }

    async fn remove(&self, connection: ConnectionRef) -> Result<bool> {
        let mut state = self.state.lock().unwrap();
        let there = state.routes.get(&connection.session).is_some_and(|(route, _)| route.connection() == connection);
        if there {
            state.routes.remove(&connection.session);
        }
        Ok(there)
    }

    async fn routes(&self, uids: &[Uid]) -> Result<Vec<Route>> {
        Ok(self.live(|route| uids.contains(&route.uid)))
    }

    async fn of_sessions(&self, sessions: &[SessionId]) -> Result<Vec<Route>> {
        Ok(self.live(|route| sessions.contains(&route.session)))
    }

    async fn users_of(&self, node: &NodeId, limit: u32) -> Result<Vec<Uid>> {
        let mut uids: Vec<_> = self.live(|route| route.node == *node).into_iter().map(|route| route.uid).collect();
        uids.sort_unstable();
        uids.dedup();
        uids.truncate(limit as usize);
        Ok(uids)
    }

    async fn count(&self, node: &NodeId) -> Result<u32> {
        Ok(self.live(|route| route.node == *node).len() as u32)
    }
}

#[async_trait]
impl NodeRegistry for Registries {
    async fn announce(&self, node: NodeInfo, lease_ms: i64) -> Result<()> {
        let until = self.clock.now().plus(lease_ms);
        self.state.lock().unwrap().nodes.insert(node.node.clone(), (node, until));
        Ok(())
    }

    async fn withdraw(&self, node: &NodeId) -> Result<()> {
        self.state.lock().unwrap().nodes.remove(node);
        Ok(())
    }

    async fn nodes(&self) -> Result<Vec<NodeInfo>> {
        let (state, now) = (self.state.lock().unwrap(), self.clock.now());
        Ok(state.nodes.values().filter(|(_, until)| *until > now).map(|(node, _)| node.clone()).collect())
    }

    async fn put_ticket(&self, ticket: SecretHash, session: SessionId, node: NodeId, ttl_ms: i64) -> Result<()> {
        let until = self.clock.now().plus(ttl_ms);
        self.state.lock().unwrap().tickets.insert(ticket, (session, node, until));
        Ok(())
    }

    async fn take_ticket(&self, ticket: SecretHash, node: &NodeId) -> Result<Option<SessionId>> {
        let taken = self.state.lock().unwrap().tickets.remove(&ticket);
        Ok(taken.filter(|(_, to, until)| to == node && *until > self.clock.now()).map(|(session, ..)| session))
    }
}
