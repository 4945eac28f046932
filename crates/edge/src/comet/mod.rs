//! Comet: long connections over TCP and WebSocket, and the hub through which pushes reach them.
//!
//! Owns sockets after their acceptance, log-in, the framing of requests, replies and pushes, heartbeats, queues, kicks and
//! the drain. Every request becomes one call of the [`Logic`] door; every push comes through the [`Delivery`] door of the
//! [`Hub`]. Knows no SQL and no business rule.
//!
//! - [`connection`]: the one task of a connection; [`session`] judges what it may say; [`calls`] and [`login`] ask Logic.
//! - [`wire`]: bytes ↔ messages, both transports; [`convert`]: messages ↔ domain; [`upgrade`]: the WebSocket handshake.
//! - [`outbound`]: the queue of a connection; [`peer`]: what others hold of it; [`hub`], [`topics`], [`roster`]: finding it.
//!
//! **Invariant:** a connection is registered and in the hub before its `hello` leaves, and so before its first page of sync
//! is read.
//!
//! **Invariant:** one slow or hostile client costs a bounded amount and slows nobody: no lock is held across IO, and
//! whatever waits for a client waits in that client's own queue.
//!
//! [`Delivery`]: skein_domain::door::Delivery

mod calls;
mod config;
mod connection;
mod convert;
mod hub;
mod login;
mod meters;
mod outbound;
mod peer;
mod roster;
mod session;
mod ticks;
mod topics;
mod upgrade;
mod wire;

pub use config::{Config, ConfigError};
pub use hub::{Counts, Hub};
pub use wire::Transport;

pub(crate) use upgrade::{Opening, Refusal, answer as upgrade_answer};

use crate::listen::{self, Permit};
use bytes::Bytes;
use connection::Connection;
use peer::{Patience, Peer};
use skein_domain::door::{Logic, NodeLoad};
use skein_domain::port::CometAddress;
use skein_domain::push::ConnectionRef;
use skein_protocol::CloseCode;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections whose leases are renewed in one call.
const RENEW_MAX: usize = 1_000;
/// How often a drain looks at the clock.
const DRAIN_TICK: Duration = Duration::from_millis(50);

/// Long connections of one node. A cheap handle; clone it freely.
#[derive(Clone)]
pub struct Comet {
    shared: Arc<Shared>,
}

struct Shared {
    hub: Arc<Hub>,
    logic: Arc<dyn Logic>,
    address: CometAddress,
    /// Connections, and what they left to be done.
    tracker: TaskTracker,
    draining: CancellationToken,
}

impl Shared {
    fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Outside a runtime, when a process ends, there is nobody left to tell.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            self.tracker.spawn_on(task, &runtime);
        }
    }
}

impl Comet {
    /// `address` is what clients are told to connect to.
    pub fn new(hub: Arc<Hub>, logic: Arc<dyn Logic>, address: CometAddress) -> Self {
        let (tracker, draining) = (TaskTracker::new(), CancellationToken::new());
        Self { shared: Arc::new(Shared { hub, logic, address, tracker, draining }) }
    }

    pub fn hub(&self) -> &Arc<Hub> {
        &self.shared.hub
    }

    pub(crate) fn config(&self) -> &Config {
        &self.shared.hub.config
    }

    /// Frames over TCP. Accepts until `shutdown`; connections live on until they are drained.
    pub async fn serve_tcp(&self, listener: TcpListener, tls: Option<TlsAcceptor>, shutdown: CancellationToken) {
        let serve = |stream: TcpStream, from: SocketAddr, permit: Permit| match tls.clone() {
            None => self.open_tcp(stream, from.ip(), permit),
            Some(tls) => {
                let (comet, patience) = (self.clone(), self.config().listener.tls_timeout());
                self.shared.spawn(async move {
                    if let Some(stream) = listen::handshake(&tls, stream, patience).await {
                        comet.open_tcp(stream, from.ip(), permit);
                    }
                });
            }
        };
        listen::accept("tcp", listener, &self.config().listener, &shutdown, serve).await;
    }

    fn open_tcp<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(&self, stream: S, from: IpAddr, permit: Permit) {
        let connection = Connection::new(self.shared.clone(), stream, Transport::Tcp, from, Bytes::new(), permit);
        self.shared.spawn(connection);
    }

    /// A socket that has left the HTTP stack; `unread` is what was read of it too far.
    pub(crate) fn open_websocket<S>(&self, stream: S, from: IpAddr, unread: Bytes, opening: Opening, permit: Permit)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let connection = Connection::new(self.shared.clone(), stream, Transport::WebSocket, from, unread, permit);
        self.shared.spawn(connection.open(opening));
    }

    /// For a socket on its way to [`Comet::open_websocket`].
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.shared.spawn(task);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.shared.is_draining()
    }

    /// What the node does for all connections: holds them to their limits, renews their leases. Ends with `shutdown`,
    /// which comes after [`Comet::drain`].
    pub async fn run(&self, shutdown: CancellationToken) {
        let work = async { tokio::join!(self.sweep_for_ever(), self.renew_for_ever()) };
        shutdown.run_until_cancelled(work).await;
    }

    async fn sweep_for_ever(&self) {
        let mut ticks = interval(self.config().sweep_interval());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.sweep().await;
        }
    }

    async fn sweep(&self) {
        let (hub, config) = (&self.shared.hub, self.config());
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
    }

    async fn renew_for_ever(&self) {
        let mut ticks = interval(Duration::from_millis(self.config().renew_interval_ms.into()));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.renew().await;
        }
    }

    /// Also with no connection: it is the node's own sign of life.
    async fn renew(&self) {
        let live = self.shared.hub.live();
        if live.is_empty() {
            return self.renew_some(0, Vec::new()).await;
        }
        for some in live.chunks(RENEW_MAX) {
            self.renew_some(live.len(), some.to_vec()).await;
        }
    }

    async fn renew_some(&self, connections: usize, some: Vec<ConnectionRef>) {
        let load = NodeLoad {
            node: self.shared.hub.node.clone(),
            comet: self.shared.address.clone(),
            connections: u32::try_from(connections).unwrap_or(u32::MAX),
            draining: self.is_draining(),
        };
        match timeout(self.config().call_deadline(), self.shared.logic.renew(load, some)).await {
            // Revoked or replaced, only Logic knows which: whoever may come back is let in again.
            Ok(Ok(gone)) => gone.into_iter().for_each(|connection| self.shared.hub.close(connection, CloseCode::GoingAway)),
            Ok(Err(error)) => tracing::warn!(%error, "leases not renewed"),
            Err(_) => tracing::warn!("leases not renewed in time"),
        }
    }

    /// Tells every client to come back elsewhere, spread over the time others need to take them in, lets what is in flight
    /// finish, and closes. What is left after `limit` ends without a word. Listeners stop before.
    pub async fn drain(&self, limit: Duration) {
        self.shared.draining.cancel();
        // So that nobody is sent here any more.
        self.renew_some(self.shared.hub.live().len(), Vec::new()).await;
        self.tell_to_go().await;
        self.shared.tracker.close();
        let ended = async {
            let mut ticks = interval(DRAIN_TICK);
            while timeout(Duration::ZERO, self.shared.tracker.wait()).await.is_err() {
                ticks.tick().await;
                self.sweep().await;
            }
        };
        if timeout(limit, ended).await.is_err() {
            tracing::warn!(connections = self.shared.hub.roster.len(), "drain took too long, connections are cut");
            self.shared.hub.roster.for_each(|peer| peer.order(|orders| orders.abort = true)).await;
        }
    }

    async fn tell_to_go(&self) {
        let hub = &self.shared.hub;
        let spread_ms = (hub.roster.len() as u64 * 1_000 / u64::from(self.config().drain_per_second)).max(1_000) as i64;
        let mut nth = 0i64;
        // Evenly, in no order a client could choose.
        let mut next = || {
            nth += 1;
            nth * 7_919 % spread_ms
        };
        hub.roster.for_each(|peer| peer.order(|orders| orders.drain_after_ms = Some(next()))).await;
    }
}
