//! The listeners of goim's contracts, and of the push API over gRPC: bound by their settings, served until they are told to
//! end.
//!
//! **Invariant:** nothing here is bound that was not switched on, and what answers without a secret is said at every start.

use crate::config::Config;
use crate::roles::{Role, Roles};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use skein_domain::door::{Delivery, Logic};
use skein_domain::live::RoomName;
use skein_edge::comet::{Clients, Comet, Hub};
use skein_edge::gate::{Gate, open_push_router};
use skein_rpc::{LiveRooms, goim_comet_service, goim_logic_service, push_service};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

/// Calls under way on one connection of goim's processes or of a push client; more wait.
const CALLS_PER_CONNECTION: usize = 1_024;

pub struct PushPorts {
    goim_websocket: Option<TcpListener>,
    goim_websocket_tls: Option<TcpListener>,
    goim_http: Option<TcpListener>,
    goim_comet_rpc: Option<TcpListener>,
    goim_logic_rpc: Option<TcpListener>,
    push_rpc: Option<TcpListener>,
}

/// Where they really listen.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PushListening {
    pub goim_websocket: Option<SocketAddr>,
    pub goim_websocket_tls: Option<SocketAddr>,
    pub goim_http: Option<SocketAddr>,
    pub goim_comet_rpc: Option<SocketAddr>,
    pub goim_logic_rpc: Option<SocketAddr>,
    pub push_rpc: Option<SocketAddr>,
}

/// What stands behind the listeners.
pub struct Behind<'a> {
    pub config: &'a Config,
    pub logic: Arc<dyn Logic>,
    pub comet: Option<Comet>,
    pub tls: Option<TlsAcceptor>,
    /// Of the keyless routes.
    pub gate: Gate,
    /// With the node's TLS, if it has any.
    pub push_server: Server,
    pub shutdown: CancellationToken,
}

/// A component under way: its name, and its end.
pub type Component = (&'static str, Pin<Box<dyn Future<Output = Result<()>> + Send>>);

/// The listeners in the order of [`PushPorts`], with their settings; without an address where these roles or settings open
/// none.
pub fn wanted(config: &Config, roles: &Roles) -> [(&'static str, Option<SocketAddr>); 6] {
    let goim = &config.compat.goim;
    let (comet, logic) = (goim.on && roles.has(Role::Comet), goim.on && roles.has(Role::Logic));
    [
        ("compat.goim.websocket", comet.then_some(goim.websocket)),
        ("compat.goim.websocket_tls", (comet && config.tls.is_on()).then_some(goim.websocket_tls)),
        ("compat.goim.http", (logic && goim.open_push).then_some(goim.http)),
        ("compat.goim.comet_rpc", (comet && goim.trust).then_some(goim.comet_rpc)),
        ("compat.goim.logic_rpc", (logic && goim.trust).then_some(goim.logic_rpc)),
        ("listen.push_rpc", config.listen.push_rpc.filter(|_| roles.has(Role::Logic))),
    ]
}

impl PushPorts {
    pub async fn bind(config: &Config, roles: &Roles) -> Result<Self> {
        let [websocket, websocket_tls, http, comet_rpc, logic_rpc, push_rpc] = wanted(config, roles);
        Ok(Self {
            goim_websocket: bind(websocket).await?,
            goim_websocket_tls: bind(websocket_tls).await?,
            goim_http: bind(http).await?,
            goim_comet_rpc: bind(comet_rpc).await?,
            goim_logic_rpc: bind(logic_rpc).await?,
            push_rpc: bind(push_rpc).await?,
        })
    }

    pub fn addresses(&self) -> PushListening {
        let address = |listener: &Option<TcpListener>| listener.as_ref().and_then(|listener| listener.local_addr().ok());
        PushListening {
            goim_websocket: address(&self.goim_websocket),
            goim_websocket_tls: address(&self.goim_websocket_tls),
            goim_http: address(&self.goim_http),
            goim_comet_rpc: address(&self.goim_comet_rpc),
            goim_logic_rpc: address(&self.goim_logic_rpc),
            push_rpc: address(&self.push_rpc),
        }
    }

    /// What each listener is served by.
    pub fn serve(self, behind: Behind<'_>) -> Vec<Component> {
        let Behind { config, logic, comet, tls, gate, push_server, shutdown } = behind;
        warn_of_the_open(config);
        let mut components: Vec<Component> = Vec::new();
        if let Some(comet) = comet {
            let hub = comet.hub().clone();
            for (name, listener, tls) in
                [("goim websocket listener", self.goim_websocket, None), ("goim websocket tls listener", self.goim_websocket_tls, tls)]
            {
                let Some(listener) = listener else { continue };
                let (comet, shutdown) = (comet.clone(), shutdown.clone());
                let serve = async move { comet.serve(listener, tls, Clients::GoimWebSocket, shutdown).await };
                components.push((
                    name,
                    Box::pin(async {
                        serve.await;
                        Ok(())
                    }),
                ));
            }
            if let Some(listener) = self.goim_comet_rpc {
                let service = goim_comet_service(hub.clone() as Arc<dyn Delivery>, Arc::new(Here(hub)));
                let server = rpc_server().add_service(service);
                components.push(("goim comet rpc", Box::pin(serve_rpc(server, listener, shutdown.clone()))));
            }
        }
        if let Some(listener) = self.goim_http {
            let http =
                skein_edge::serve_http(listener, None, open_push_router(gate), None, config.comet.listener.clone(), shutdown.clone());
            components.push((
                "goim http listener",
                Box::pin(async {
                    http.await;
                    Ok(())
                }),
            ));
        }
        if let Some(listener) = self.goim_logic_rpc {
            let server = rpc_server().add_service(goim_logic_service(logic.clone()));
            components.push(("goim logic rpc", Box::pin(serve_rpc(server, listener, shutdown.clone()))));
        }
        if let Some(listener) = self.push_rpc {
            let server = push_server.concurrency_limit_per_connection(CALLS_PER_CONNECTION).add_service(push_service(logic));
            components.push(("push rpc", Box::pin(serve_rpc(server, listener, shutdown))));
        }
        components
    }
}

async fn bind((setting, address): (&str, Option<SocketAddr>)) -> Result<Option<TcpListener>> {
    let Some(address) = address else { return Ok(None) };
    TcpListener::bind(address).await.map(Some).with_context(|| format!("{setting} {address}: another program holds it?"))
}

/// goim's processes speak plain text.
fn rpc_server() -> Server {
    Server::builder().concurrency_limit_per_connection(CALLS_PER_CONNECTION)
}

async fn serve_rpc(server: tonic::transport::server::Router, listener: TcpListener, shutdown: CancellationToken) -> Result<()> {
    Ok(server.serve_with_incoming_shutdown(TcpListenerStream::new(listener), shutdown.cancelled_owned()).await?)
}

fn warn_of_the_open(config: &Config) {
    for (setting, address) in config.compat.goim.open(config.listen.tcp, config.tls.is_on()) {
        let reach = if address.ip().is_loopback() { "this machine" } else { "every machine that reaches it" };
        tracing::warn!(setting, %address, reach, "answers without any secret, as goim does");
    }
}

/// Rooms with somebody in them at this node.
struct Here(Arc<Hub>);

impl LiveRooms for Here {
    fn rooms(&self) -> Vec<RoomName> {
        self.0.live_rooms()
    }
}
