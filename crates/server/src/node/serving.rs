//! What answers at each listener that is bound.
//!
//! **Invariant:** goim's own listeners speak plain text, as goim does; every other one speaks TLS if the node has a
//! certificate, but that of administration.
//!
//! Bounds: [`CALLS_PER_CONNECTION`] calls under way on one gRPC connection of a push client or of goim's processes; a gRPC
//! connection that gives no sign of life for [`SILENCE_MAX`] is asked for one, and has [`SIGN_WITHIN`].

use super::components::Components;
use super::intake::Socket;
use super::parts::Site;
use crate::admin::http::{AdminHttp, router as admin_router};
use crate::listeners::{Bound, Listener};
use crate::roles::Role;
use anyhow::{Context, Result};
use axum::Router;
use skein_domain::door::{Delivery, Logic};
use skein_domain::live::RoomName;
use skein_edge::comet::{Clients, Comet, Hub};
use skein_edge::gate::{self, Gate, Mailbox};
use skein_edge::listen;
use skein_rpc::{LiveRooms, delivery_service, goim_comet_service, goim_logic_service, logic_service, push_service};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Router as RpcRouter;
use tonic::transport::{Server, ServerTlsConfig};

const CALLS_PER_CONNECTION: usize = 1_024;
const SILENCE_MAX: Duration = Duration::from_secs(30);
const SIGN_WITHIN: Duration = Duration::from_secs(20);
/// Sockets accepted and not taken yet; what comes beyond is closed.
const SOCKETS_WAITING: usize = 1_024;

pub(super) struct Serving<'a> {
    pub site: &'a Site<'a>,
    pub tls: Option<TlsAcceptor>,
    pub rpc_tls: Option<ServerTlsConfig>,
    pub logic: Arc<dyn Logic>,
    pub mailbox: Option<Arc<dyn Mailbox>>,
    pub comet: Option<Comet>,
    pub admin: AdminHttp,
    pub components: &'a mut Components,
}

impl Serving<'_> {
    pub fn all(mut self, mut bound: Bound) -> Result<()> {
        self.public(&mut bound);
        if let Some(comet) = self.comet.clone() {
            self.clients(&comet, &mut bound);
            self.deliveries(&comet, &mut bound)?;
        }
        self.pushes(&mut bound)?;
        self.commands(&mut bound)?;
        self.administration(&mut bound);
        Ok(())
    }

    /// Web client, HTTP API and WebSockets.
    fn public(&mut self, bound: &mut Bound) {
        let Some(listener) = bound.take(Listener::Public) else { return };
        let gate = Gate { tls: self.tls.is_some(), mailbox: self.mailbox.clone(), ..self.gate() };
        let router = if self.site.roles.has(Role::Gate) { gate::router(gate) } else { Router::new() };
        let (comet, shutdown) = (self.comet.clone(), self.components.edges.clone());
        self.http("public listener", listener, self.tls.clone(), router, comet, shutdown);
    }

    /// Clients that speak frames: ours and goim's.
    fn clients(&mut self, comet: &Comet, bound: &mut Bound) {
        let on_tcp = if self.site.config.compat.goim.on { Clients::SkeinAndGoim } else { Clients::Skein };
        let listeners = [
            ("tcp listener", Listener::Tcp, self.tls.clone(), on_tcp),
            ("goim websocket listener", Listener::GoimWebsocket, None, Clients::GoimWebSocket),
            ("goim websocket tls listener", Listener::GoimWebsocketTls, self.tls.clone(), Clients::GoimWebSocket),
        ];
        for (name, listener, tls, clients) in listeners {
            let Some(listener) = bound.take(listener) else { continue };
            let (comet, shutdown) = (comet.clone(), self.components.edges.clone());
            self.components.run(name, async move { comet.serve(listener, tls, clients, shutdown).await });
        }
    }

    /// The Delivery door, and goim's.
    fn deliveries(&mut self, comet: &Comet, bound: &mut Bound) -> Result<()> {
        let hub = comet.hub().clone();
        let delivery: Arc<dyn Delivery> = hub.clone();
        if let Some(listener) = bound.take(Listener::CometRpc) {
            let server = self.rpc_server()?.add_service(delivery_service(delivery.clone(), self.site.secret.clone()));
            self.rpc("comet rpc", listener, server, self.components.core.clone());
        }
        if let Some(listener) = bound.take(Listener::GoimCometRpc) {
            let server = goim_server().add_service(goim_comet_service(delivery, Arc::new(Here(hub))));
            self.rpc("goim comet rpc", listener, server, self.components.edges.clone());
        }
        Ok(())
    }

    /// The push API: over HTTP, over gRPC, and goim's routes without a key.
    fn pushes(&mut self, bound: &mut Bound) -> Result<()> {
        let shutdown = self.components.edges.clone();
        if let Some(listener) = bound.take(Listener::Push) {
            let router = gate::push_router(self.gate());
            self.http("push listener", listener, self.tls.clone(), router, None, shutdown.clone());
        }
        if let Some(listener) = bound.take(Listener::GoimHttp) {
            let router = gate::open_push_router(self.gate());
            self.http("goim http listener", listener, None, router, None, shutdown.clone());
        }
        if let Some(listener) = bound.take(Listener::PushRpc) {
            let mut server = self.rpc_server()?.concurrency_limit_per_connection(CALLS_PER_CONNECTION);
            let server = server.add_service(push_service(self.logic.clone()));
            self.rpc("push rpc", listener, server, shutdown);
        }
        Ok(())
    }

    /// The Logic door, and goim's.
    fn commands(&mut self, bound: &mut Bound) -> Result<()> {
        if let Some(listener) = bound.take(Listener::LogicRpc) {
            let ending = self.components.core.clone();
            let service = logic_service(self.logic.clone(), self.site.secret.clone(), ending.clone());
            let server = self.rpc_server()?.add_service(service);
            self.rpc("logic rpc", listener, server, ending);
        }
        if let Some(listener) = bound.take(Listener::GoimLogicRpc) {
            let server = goim_server().add_service(goim_logic_service(self.logic.clone()));
            self.rpc("goim logic rpc", listener, server, self.components.edges.clone());
        }
        Ok(())
    }

    fn administration(&mut self, bound: &mut Bound) {
        let Some(listener) = bound.take(Listener::Admin) else { return };
        self.http("admin listener", listener, None, admin_router(self.admin.clone()), None, self.components.core.clone());
    }

    /// Without a mailbox, and to plain text.
    fn gate(&self) -> Gate {
        let (config, sampling) = (self.site.config.gate.clone(), self.site.config.telemetry.sampling());
        Gate { logic: self.logic.clone(), config, tls: false, mailbox: None, sampling }
    }

    fn http(
        &mut self,
        name: &'static str,
        listener: TcpListener,
        tls: Option<TlsAcceptor>,
        router: Router,
        comet: Option<Comet>,
        shutdown: CancellationToken,
    ) {
        let config = self.site.config.comet.listener.clone();
        self.components.run(name, skein_edge::serve_http(listener, tls, router, comet, config, shutdown));
    }

    fn rpc_server(&self) -> Result<Server> {
        let server = server();
        match &self.rpc_tls {
            None => Ok(server),
            Some(tls) => server.tls_config(tls.clone()).context("use tls.certificate for gRPC"),
        }
    }

    fn rpc(&mut self, name: &'static str, listener: TcpListener, server: RpcRouter, shutdown: CancellationToken) {
        let config = self.site.config.comet.listener.clone();
        let patience = Duration::from_millis(config.header_timeout_ms.into());
        let (send, sockets) = mpsc::channel(SOCKETS_WAITING);
        let serving = server.serve_with_incoming_shutdown(ReceiverStream::new(sockets), shutdown.clone().cancelled_owned());
        self.components.try_run(name, async move {
            let mut serving = pin!(serving);
            let accepting = listen::accept(name, listener, &config, &shutdown, |stream, _, permit| {
                let _ = send.try_send(Ok::<_, io::Error>(Socket::new(stream, permit, patience)));
            });
            tokio::select! {
                served = serving.as_mut() => Ok(served?),
                // No newcomers; calls under way may end.
                () = accepting => Ok(serving.await?),
            }
        });
    }
}

fn server() -> Server {
    Server::builder().http2_keepalive_interval(Some(SILENCE_MAX)).http2_keepalive_timeout(Some(SIGN_WITHIN))
}

fn goim_server() -> Server {
    server().concurrency_limit_per_connection(CALLS_PER_CONNECTION)
}

/// Rooms with somebody in them at this node.
struct Here(Arc<Hub>);

impl LiveRooms for Here {
    fn rooms(&self) -> Vec<RoomName> {
        self.0.live_rooms()
    }
}
