//! Who is online where, for one process: [`SessionRegistry`].
//!
//! **Invariant:** at most one entry per session, the one with the largest generation; an entry past its lease counts as gone.

use super::full;
use async_trait::async_trait;
use skein_domain::Result;
use skein_domain::id::{ConnectionRef, Millis, NodeId, SessionId, Uid};
use skein_domain::port::{Clock, Registered, Renewed, Route, SessionRegistry};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const SESSIONS_MAX: usize = 2_000_000;
const SWEEP_EVERY_MS: i64 = 30_000;

pub struct MemorySessions {
    clock: Arc<dyn Clock>,
    sessions_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    by_session: HashMap<SessionId, Entry>,
    by_user: HashMap<Uid, BTreeSet<SessionId>>,
    by_node: HashMap<NodeId, BTreeSet<SessionId>>,
    swept_at: Millis,
}

struct Entry {
    route: Route,
    expires_at: Millis,
}

impl MemorySessions {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::bounded(clock, SESSIONS_MAX)
    }

    pub fn bounded(clock: Arc<dyn Clock>, sessions_max: usize) -> Self {
        Self { clock, sessions_max, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl SessionRegistry for MemorySessions {
    async fn register(&self, route: Route, lease_ms: i64) -> Result<Registered> {
        let now = self.clock.now();
        let mut state = self.state();
        state.sweep(now, self.sessions_max);
        let former = state.live(route.session, now).cloned();
        if former.is_none() && state.by_session.len() >= self.sessions_max {
            return Err(full());
        }
        let registered = match former {
            Some(former) if former.generation > route.generation => return Ok(Registered::Outdated),
            Some(former) if former.generation < route.generation => Registered::Replaced(former),
            _ => Registered::New,
        };
        state.insert(Entry { route, expires_at: now.plus(lease_ms) });
        metrics::gauge!("skein_registry_sessions").set(state.by_session.len() as f64);
        Ok(registered)
    }

    async fn renew(&self, node: &NodeId, live: &[ConnectionRef], lease_ms: i64) -> Result<Renewed> {
        let now = self.clock.now();
        let mut state = self.state();
        let mut renewed = Renewed::default();
        for connection in live {
            let entry = state.by_session.get_mut(&connection.session);
            let entry = entry.filter(|entry| entry.route.generation == connection.generation && entry.route.node == *node);
            match entry.filter(|entry| entry.expires_at > now) {
                Some(entry) => entry.expires_at = now.plus(lease_ms),
                None => renewed.unknown.push(*connection),
            }
        }
        Ok(renewed)
    }

    async fn remove(&self, connection: ConnectionRef) -> Result<bool> {
        let now = self.clock.now();
        let mut state = self.state();
        let entry = state.by_session.get(&connection.session);
        if entry.is_none_or(|entry| entry.route.generation != connection.generation) {
            return Ok(false);
        }
        let removed = state.take(connection.session);
        metrics::gauge!("skein_registry_sessions").set(state.by_session.len() as f64);
        Ok(removed.is_some_and(|entry| entry.expires_at > now))
    }

    async fn routes(&self, uids: &[Uid]) -> Result<Vec<Route>> {
        let now = self.clock.now();
        let state = self.state();
        let sessions = uids.iter().filter_map(|uid| state.by_user.get(uid)).flatten();
        Ok(sessions.filter_map(|session| state.live(*session, now).cloned()).collect())
    }

    async fn of_sessions(&self, sessions: &[SessionId]) -> Result<Vec<Route>> {
        let now = self.clock.now();
        let state = self.state();
        Ok(sessions.iter().filter_map(|session| state.live(*session, now).cloned()).collect())
    }

    async fn users_of(&self, node: &NodeId, limit: u32) -> Result<Vec<Uid>> {
        let now = self.clock.now();
        let state = self.state();
        let sessions = state.by_node.get(node).into_iter().flatten();
        let uids: BTreeSet<Uid> = sessions.filter_map(|session| state.live(*session, now)).map(|route| route.uid).collect();
        Ok(uids.into_iter().take(limit as usize).collect())
    }

    async fn count(&self, node: &NodeId) -> Result<u32> {
        let now = self.clock.now();
        let state = self.state();
        let sessions = state.by_node.get(node).into_iter().flatten();
        Ok(sessions.filter(|session| state.live(**session, now).is_some()).count() as u32)
    }
}

impl State {
    fn live(&self, session: SessionId, now: Millis) -> Option<&Route> {
        self.by_session.get(&session).filter(|entry| entry.expires_at > now).map(|entry| &entry.route)
    }

    fn insert(&mut self, entry: Entry) {
        self.take(entry.route.session);
        self.by_user.entry(entry.route.uid).or_default().insert(entry.route.session);
        self.by_node.entry(entry.route.node.clone()).or_default().insert(entry.route.session);
        self.by_session.insert(entry.route.session, entry);
    }

    fn take(&mut self, session: SessionId) -> Option<Entry> {
        let entry = self.by_session.remove(&session)?;
        if let Some(sessions) = self.by_user.get_mut(&entry.route.uid) {
            sessions.remove(&session);
            if sessions.is_empty() {
                self.by_user.remove(&entry.route.uid);
            }
        }
        if let Some(sessions) = self.by_node.get_mut(&entry.route.node) {
            sessions.remove(&session);
            if sessions.is_empty() {
                self.by_node.remove(&entry.route.node);
            }
        }
        Some(entry)
    }

    /// Drops what has expired: now and then, and whenever there is no room.
    fn sweep(&mut self, now: Millis, sessions_max: usize) {
        if now < self.swept_at.plus(SWEEP_EVERY_MS) && self.by_session.len() < sessions_max {
            return;
        }
        self.swept_at = now;
        let expired = self.by_session.iter().filter(|(_, entry)| entry.expires_at <= now);
        for session in expired.map(|(session, _)| *session).collect::<Vec<_>>() {
            self.take(session);
        }
    }
}
