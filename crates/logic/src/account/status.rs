//! Status: which Comets live and which of them a client is sent to, connect tickets, and who is online where.
//!
//! **Invariant:** a connection is in the session registry before its `connect` returns, so before anything is synced on it;
//! and only after it is there is its session read a second time. A session that ends meanwhile is therefore seen either by this
//! second look or by whoever ended it: no connection outlives its session unnoticed.
//!
//! **Invariant:** an entry is replaced and removed by generation: who comes late changes nothing for a newer connection.
//!
//! What is online is approximate by contract: an entry lives as long as its Comet renews its lease.

use super::Config;
use super::choice::Choice;
use super::secret;
use super::session::{Sessions, unauthorized};
use crate::job::fanout::Fanout;
use futures_util::{StreamExt, TryStreamExt};
use skein_domain::account::{Ended, Session, User};
use skein_domain::delivery::Push;
use skein_domain::door::{Caller, Connect, Connected, Credential, NodeLoad};
use skein_domain::fault::{Fault, planted};
use skein_domain::id::{ConnectionRef, Epoch, Millis, NodeId, Uid};
use skein_domain::port::{
    AccountStore, Clock, CometAddress, ConversationStore, NodeInfo, NodeRegistry, Registered, Renewed, Route, SessionRegistry,
};
use skein_domain::{Code, Error, Limits, Result};
use std::sync::Arc;
use std::time::Duration;
use tracing::Instrument;

/// Clients taken back after a restart sync after so long.
const RESYNC_AFTER_MS: i64 = 500;
/// Connections of before a restart that are registered at the same time.
const TAKEN_BACK_AT_ONCE: usize = 64;
/// How long a new connection waits for its predecessor to be told; the telling goes on.
const REPLACE_WAIT: Duration = Duration::from_secs(1);

pub struct Status {
    nodes: Arc<dyn NodeRegistry>,
    registry: Arc<dyn SessionRegistry>,
    conversations: Arc<dyn ConversationStore>,
    fanout: Fanout,
    clock: Arc<dyn Clock>,
    sessions: Sessions,
    choice: Choice,
    hello: Hello,
    started_at: Millis,
    config: Config,
}

/// The ports status leans on.
pub struct StatusPorts {
    pub nodes: Arc<dyn NodeRegistry>,
    pub registry: Arc<dyn SessionRegistry>,
    pub accounts: Arc<dyn AccountStore>,
    pub conversations: Arc<dyn ConversationStore>,
}

/// What every connection is told about the server.
#[derive(Debug, Clone)]
pub struct Hello {
    pub epoch: Epoch,
    pub limits: Limits,
}

impl Status {
    pub fn new(ports: StatusPorts, fanout: Fanout, clock: Arc<dyn Clock>, hello: Hello, config: Config) -> Self {
        Self {
            sessions: Sessions::new(ports.accounts, fanout.clone(), clock.clone(), &config),
            nodes: ports.nodes,
            registry: ports.registry,
            conversations: ports.conversations,
            fanout,
            choice: Choice::new(config.comet_choice, config.node_lease_ms),
            started_at: clock.now(),
            clock,
            hello,
            config,
        }
    }

    // === Which Comet ===

    /// The Comet for one more client; `None` when none takes any.
    #[tracing::instrument(name = "status.choose", skip_all, fields(node))]
    pub async fn choose(&self) -> Result<Option<NodeInfo>> {
        let picked = self.choice.pick(self.nodes.nodes().await?, self.clock.now());
        if let Some(info) = &picked {
            tracing::Span::current().record("node", info.node.0.as_str());
        }
        Ok(picked)
    }

    /// Live nodes and their loads.
    pub async fn nodes(&self) -> Result<Vec<NodeInfo>> {
        self.nodes.nodes().await
    }

    /// A ticket that takes this session to `node`, or to the one that is chosen. `no_server` if it does not live or is
    /// draining.
    pub(super) async fn ticket(&self, session: &Session, node: Option<NodeId>) -> Result<(String, CometAddress)> {
        let info = match node {
            Some(node) => self.nodes.nodes().await?.into_iter().find(|info| info.node == node && !info.draining),
            None => self.choose().await?,
        };
        let info = info.ok_or_else(|| Error::new(Code::NoServer, "no server takes connections now").retry_after(1_000))?;
        let (ticket, hash) = secret::new_secret()?;
        self.nodes.put_ticket(hash, session.id, info.node, self.config.ticket_ttl_ms).await?;
        Ok((ticket, info.comet))
    }

    // === Connections ===

    /// See [`skein_domain::door::Logic::connect`].
    #[tracing::instrument(name = "status.connect", skip_all, fields(node = connect.node.0, user, session))]
    pub async fn connect(&self, connect: Connect) -> Result<Connected> {
        let session = self.session_of(&connect).await?;
        tracing::Span::current().record("user", session.uid.0).record("session", session.id.0);
        let Session { id, uid, class, .. } = session;
        let route = Route { uid, class, node: connect.node, session: id, generation: connect.generation };
        if !planted(Fault::RegisteredAfterSync) {
            self.register(&route).await?;
        }
        let welcomed = self.welcome(&route).await;
        if welcomed.is_err() {
            self.registry.remove(route.connection()).await?;
        }
        welcomed
    }

    async fn session_of(&self, connect: &Connect) -> Result<Session> {
        match &connect.credential {
            Credential::Token(secret) | Credential::Cookie(secret) => self.sessions.by_secret(secret).await,
            Credential::Ticket(ticket) => {
                let hash = secret::hash_of(ticket).ok_or_else(unauthorized)?;
                let session = self.nodes.take_ticket(hash, &connect.node).await?.ok_or_else(unauthorized)?;
                self.sessions.by_id(session).await
            }
        }
    }

    async fn register(&self, route: &Route) -> Result<()> {
        match self.registry.register(route.clone(), self.config.connection_lease_ms).await? {
            Registered::New => Ok(()),
            Registered::Replaced(older) => {
                self.close_replaced(older).await;
                Ok(())
            }
            Registered::Outdated => Err(Error::new(Code::Unavailable, "a newer connection of this session is there")),
        }
    }

    /// If this is lost, the older connection's next renewal tells its Comet.
    async fn close_replaced(&self, older: Route) {
        let fanout = self.fanout.clone();
        let closing = async move { fanout.close(&[older], Ended::Replaced).await };
        if tokio::time::timeout(REPLACE_WAIT, tokio::spawn(closing.in_current_span())).await.is_err() {
            tracing::debug!("a replaced connection is still being closed");
        }
    }

    /// The second look, and what the connection is told.
    async fn welcome(&self, route: &Route) -> Result<Connected> {
        let session = self.sessions.by_id(route.session).await?;
        let User { nickname, .. } = self.sessions.user_of(&session).await?;
        let rooms = self.conversations.rooms_of(session.uid).await?;
        self.sessions.renew(&session).await;
        let Hello { epoch, limits } = self.hello.clone();
        Ok(Connected { session, nickname, rooms, epoch, limits, server_time_ms: self.clock.now().0, tags: Vec::new() })
    }

    /// Called after a sync was served. Does nothing, unless the fault of registering too late is planted.
    pub async fn synced(&self, caller: &Caller) -> Result<()> {
        match (&caller.connection, planted(Fault::RegisteredAfterSync)) {
            (Some((node, generation)), true) => {
                let Caller { uid, session, class, .. } = *caller;
                self.register(&Route { uid, class, node: node.clone(), session, generation: *generation }).await
            }
            _ => Ok(()),
        }
    }

    /// See [`skein_domain::door::Logic::disconnect`].
    pub async fn disconnect(&self, node: &NodeId, connection: ConnectionRef) -> Result<()> {
        let removed = self.registry.remove(connection).await?;
        tracing::debug!(node = node.0, session = connection.session.0, removed, "disconnected");
        Ok(())
    }

    /// See [`skein_domain::door::Logic::renew`].
    pub async fn renew(&self, load: NodeLoad, live: Vec<ConnectionRef>) -> Result<Vec<ConnectionRef>> {
        let NodeLoad { node, comet, connections, draining } = load;
        let info = NodeInfo { node: node.clone(), comet, connections, draining };
        self.nodes.announce(info, self.config.node_lease_ms).await?;
        self.choice.announced(&node);
        let Renewed { unknown, missed } = self.registry.renew(&node, &live, self.config.connection_lease_ms).await?;
        if !missed.is_empty() {
            tracing::info!(node = node.0, users = missed.len(), "connections were not found under their users");
            self.fanout.to_users(&missed, Push::Resync { after_ms: RESYNC_AFTER_MS }).await;
        }
        self.take_back(&node, unknown).await
    }

    /// A registry in memory forgets with a restart; what was connected before is registered again, and told to resync,
    /// since pushes went past it. Returns those whose session ended or has another connection. One that began after the
    /// restart was registered then, so it is unknown for a reason.
    async fn take_back(&self, node: &NodeId, unknown: Vec<ConnectionRef>) -> Result<Vec<ConnectionRef>> {
        let taking = unknown.into_iter().map(|connection| self.take_one_back(node, connection));
        let taken: Vec<_> = futures_util::stream::iter(taking).buffered(TAKEN_BACK_AT_ONCE).try_collect().await?;
        let (mut gone, mut back) = (Vec::new(), Vec::new());
        for (connection, taken) in taken {
            match taken {
                Some(uid) => back.push(uid),
                None => gone.push(connection),
            }
        }
        if !back.is_empty() {
            tracing::info!(node = node.0, connections = back.len(), "connections of before the restart taken back");
            self.fanout.to_users(&back, Push::Resync { after_ms: RESYNC_AFTER_MS }).await;
        }
        Ok(gone)
    }

    async fn take_one_back(&self, node: &NodeId, connection: ConnectionRef) -> Result<(ConnectionRef, Option<Uid>)> {
        let is_older = connection.generation.begun_at() < self.started_at;
        let uid = if is_older { self.register_again(node, connection).await? } else { None };
        if let Some(uid) = uid {
            self.seat_again(uid).await;
        }
        Ok((connection, uid))
    }

    /// Rooms that were joined or left while nobody knew of the connection, its Comet has not heard of: and none tells it
    /// again.
    async fn seat_again(&self, uid: Uid) {
        match self.conversations.rooms_of(uid).await {
            Ok(rooms) => self.fanout.subscribe_exactly(uid, &rooms).await,
            Err(error) => tracing::warn!(%error, %uid, "rooms of a connection taken back not found"),
        }
    }

    /// As in [`Self::connect`], the session is read once more after its connection is there.
    async fn register_again(&self, node: &NodeId, connection: ConnectionRef) -> Result<Option<Uid>> {
        let ConnectionRef { session, generation } = connection;
        let Ok(Session { uid, class, .. }) = self.sessions.by_id(session).await else { return Ok(None) };
        let route = Route { uid, class, node: node.clone(), session, generation };
        if self.registry.register(route, self.config.connection_lease_ms).await? != Registered::New {
            return Ok(None);
        }
        if self.sessions.by_id(session).await.is_err() {
            self.registry.remove(connection).await?;
            return Ok(None);
        }
        Ok(Some(uid))
    }

    /// The node of each live connection of this user; empty: offline.
    pub async fn online(&self, uid: Uid) -> Result<Vec<NodeId>> {
        Ok(self.registry.routes(&[uid]).await?.into_iter().map(|route| route.node).collect())
    }
}
