//! Logging a connection in: the call of Logic, `hello`, and the guard that undoes it all.
//!
//! **Invariant:** whoever Logic has registered is unregistered again when the connection is gone, also when it went while
//! Logic was still judging: the call runs in a task of its own, and its result undoes itself if nobody takes it.

use super::hub::{Entry, Hub};
use super::line::Line;
use super::session::Return;
use super::shared::Shared;
use skein_domain::door::{Connect, Connected};
use skein_domain::id::ConnectionRef;
use skein_domain::{Code, Error, Result};
use skein_protocol::frame::{FEATURE_DEFLATE, HEADER_BYTES, SKEIN_BODY_BYTES_MAX};
use skein_protocol::{MAJOR, MINOR, v1};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::oneshot;

pub(super) struct LoggedIn {
    pub connected: Connected,
    pub registered: Registered,
    /// When Logic was asked: what missed the connection since is owed to it.
    pub since_ms: u64,
}

/// A log-in under way.
pub(super) struct LogIn {
    to: Return,
    outcome: oneshot::Receiver<Result<LoggedIn>>,
}

impl LogIn {
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(Return, Result<LoggedIn>)> {
        Pin::new(&mut self.outcome).poll(cx).map(|outcome| (self.to, outcome.unwrap_or_else(|_| Err(Error::internal()))))
    }
}

/// The task ends by twice the call's deadline; the connection waits no longer than it has time to log in.
pub(super) fn start(shared: &Arc<Shared>, connect: Connect, to: Return) -> LogIn {
    let (done, outcome) = oneshot::channel();
    let asked = shared.clone();
    shared.spawn(async move {
        // Dropped if nobody waits any more, and undone thereby.
        drop(done.send(log_in(asked, connect).await));
    });
    LogIn { to, outcome }
}

async fn log_in(shared: Arc<Shared>, connect: Connect) -> Result<LoggedIn> {
    let since_ms = shared.hub.ticks.now_ms();
    let generation = connect.generation;
    let patience = shared.hub.config.call_deadline() * 2;
    let connected = match tokio::time::timeout(patience, shared.logic.connect(connect)).await {
        Ok(outcome) => outcome?,
        Err(_) => return Err(Error::new(Code::Timeout, "the log-in took too long")),
    };
    let connection = ConnectionRef { session: connected.session.id, generation };
    Ok(LoggedIn { connected, registered: Registered { shared, connection }, since_ms })
}

/// Being logged in. Dropping it leaves hub and registry.
pub(super) struct Registered {
    shared: Arc<Shared>,
    connection: ConnectionRef,
}

impl Registered {
    pub fn connection(&self) -> ConnectionRef {
        self.connection
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.shared.hub.seats.leave(self.connection);
        let (shared, connection) = (self.shared.clone(), self.connection);
        self.shared.spawn(async move { disconnect(&shared, connection).await });
    }
}

/// If Logic cannot be told, the lease tells it.
async fn disconnect(shared: &Shared, connection: ConnectionRef) {
    let call = shared.logic.disconnect(shared.hub.node.clone(), connection);
    match tokio::time::timeout(shared.hub.config.call_deadline(), call).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::info!(%error, conn = connection.generation.0, "disconnect not recorded"),
        Err(_) => tracing::info!(conn = connection.generation.0, "disconnect not recorded in time"),
    }
}

/// What the hub is told of the connection.
pub(super) fn entry(connected: Connected, line: &Line) -> Entry {
    let Connected { session, rooms, tags, .. } = connected;
    Entry { session: session.id, uid: session.uid, class: session.class, peer: line.peer.clone(), address: line.address, rooms, tags }
}

pub(super) fn hello(connected: &Connected, hub: &Hub) -> v1::Hello {
    let (limits, config) = (&connected.limits, &hub.config);
    let limits = v1::Limits {
        frame_bytes: (HEADER_BYTES + SKEIN_BODY_BYTES_MAX) as u32,
        text_bytes: limits.text_bytes,
        in_flight_commands: config.in_flight_commands_max,
        in_flight_bytes: config.in_flight_bytes_max,
        heartbeat_interval_ms: config.heartbeat_interval_ms,
        heartbeat_timeout_ms: config.heartbeat_timeout_ms,
        friends: limits.friends,
        group_members: limits.group_members,
        rooms: limits.rooms,
        recall_window_ms: u32::try_from(limits.recall_window_ms).unwrap_or(u32::MAX),
    };
    v1::Hello {
        major: MAJOR,
        minor: MINOR,
        server: concat!("skein/", env!("CARGO_PKG_VERSION")).to_owned(),
        features: vec![FEATURE_DEFLATE.to_owned()],
        limits: Some(limits),
        epoch: connected.epoch.0,
        server_time_ms: connected.server_time_ms,
        uid: connected.session.uid.0,
        nickname: connected.nickname.clone(),
        session: connected.session.id.to_string(),
        device_class: connected.session.class.as_str().to_owned(),
        node: hub.node.0.clone(),
    }
}
