//! Comet: long connections over TCP and WebSocket, and the hub through which pushes reach them.
//!
//! Owns sockets after their acceptance, log-in, the framing of requests, replies and pushes, heartbeats, queues, kicks and
//! the drain. Every request becomes one call of the [`Logic`] door; every push comes through the [`Delivery`] door of the
//! [`Hub`]. Knows no SQL and no business rule.
//!
//! - [`connection`]: the one task of a connection, around its [`line`]; who speaks on it is its [`talk`]: a [`skein`]
//!   session of an account, or a [`guest`] of goim's.
//! - [`session`] judges what a session may say; [`calls`] and [`login`] ask Logic.
//! - [`wire`]: bytes ↔ messages, both transports; [`convert`]: messages ↔ domain; [`upgrade`]: the WebSocket handshake.
//! - [`outbound`]: the queue of a connection; [`peer`]: what others hold of it; [`hub`], [`topics`], [`roster`]: finding it;
//!   [`upkeep`]: what is done for all.
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
mod guest;
mod hub;
mod line;
mod login;
mod meters;
mod outbound;
mod peer;
mod roster;
mod session;
mod shared;
mod skein;
mod talk;
mod ticks;
mod topics;
mod upgrade;
mod upkeep;
mod wire;

pub use config::{Config, ConfigError};
pub use hub::{ConnectionState, Counts, Hub};
pub use wire::Transport;

pub(crate) use upgrade::{Opening, Refusal, answer as upgrade_answer};

use crate::listen::{self, Permit};
use bytes::Bytes;
use connection::Connection;
use guest::Guest;
use line::Line;
use shared::Shared;
use skein::Skein;
use skein_domain::door::Logic;
use skein_domain::port::CometAddress;
use skein_protocol::Codec;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use talk::Talk;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{interval, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wire::{Form, Variant};

/// How often a drain looks at the clock.
const DRAIN_TICK: Duration = Duration::from_millis(50);

/// Long connections of one node. A cheap handle; clone it freely.
#[derive(Clone)]
pub struct Comet {
    shared: Arc<Shared>,
}

/// Whom a listener of frames or of goim's WebSockets takes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clients {
    /// Accounts over TCP.
    Skein,
    /// Accounts and goim's guests over TCP: op 7 tells them apart.
    SkeinAndGoim,
    /// goim's guests over WebSocket, path `/sub`.
    GoimWebSocket,
}

impl Clients {
    fn transport(self) -> Transport {
        match self {
            Clients::Skein | Clients::SkeinAndGoim => Transport::Tcp,
            Clients::GoimWebSocket => Transport::WebSocket,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Clients::Skein | Clients::SkeinAndGoim => "tcp",
            Clients::GoimWebSocket => "goim_websocket",
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

    /// Accepts until `shutdown`; connections live on until they are drained.
    pub async fn serve(&self, listener: TcpListener, tls: Option<TlsAcceptor>, clients: Clients, shutdown: CancellationToken) {
        let serve = |stream: TcpStream, from: SocketAddr, permit: Permit| match tls.clone() {
            None => self.open(stream, from.ip(), clients, permit),
            Some(tls) => {
                let (comet, patience) = (self.clone(), self.config().listener.tls_timeout());
                self.shared.spawn(async move {
                    if let Some(stream) = listen::handshake(&tls, stream, patience).await {
                        comet.open(stream, from.ip(), clients, permit);
                    }
                });
            }
        };
        listen::accept(clients.name(), listener, &self.config().listener, &shutdown, serve).await;
    }

    fn open<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(&self, stream: S, from: IpAddr, clients: Clients, permit: Permit) {
        let variant = Guest::variant(clients.transport());
        let line = Line::new(self.shared.clone(), variant, from, &[], permit);
        let talk = match clients {
            Clients::Skein => Talk::Skein(Skein::new(&line)),
            Clients::SkeinAndGoim | Clients::GoimWebSocket => {
                Talk::Guest(Guest::new(clients.transport(), clients == Clients::SkeinAndGoim))
            }
        };
        self.shared.spawn(Connection::new(stream, line, talk));
    }

    /// A socket that has left the HTTP stack; `unread` is what was read of it too far.
    pub(crate) fn open_websocket<S>(&self, stream: S, from: IpAddr, unread: Bytes, opening: Opening, permit: Permit)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let variant = Variant { transport: Transport::WebSocket, form: Form::Frame(Codec::default()), deflate: false };
        let mut line = Line::new(self.shared.clone(), variant, from, &unread, permit);
        let talk = Talk::Skein(Skein::open(&mut line, opening));
        self.shared.spawn(Connection::new(stream, line, talk));
    }

    /// For a socket on its way to [`Comet::open_websocket`].
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.shared.spawn(task);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.shared.is_draining()
    }

    /// What the node does for all connections. Ends with `shutdown`, which comes after [`Comet::drain`].
    pub async fn run(&self, shutdown: CancellationToken) {
        shutdown.run_until_cancelled(upkeep::run(&self.shared)).await;
    }

    /// Tells every client to come back elsewhere, spread over the time others need to take them in, lets what is in flight
    /// finish, and closes. What is left after `limit` ends without a word. Listeners stop before.
    pub async fn drain(&self, limit: Duration) {
        self.shared.draining.cancel();
        // So that nobody is sent here any more.
        upkeep::renew_some(&self.shared, Vec::new()).await;
        self.tell_to_go().await;
        self.shared.tracker.close();
        let ended = async {
            let mut ticks = interval(DRAIN_TICK);
            while timeout(Duration::ZERO, self.shared.tracker.wait()).await.is_err() {
                ticks.tick().await;
                upkeep::sweep(&self.shared).await;
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
