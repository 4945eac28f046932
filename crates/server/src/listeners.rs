//! The listeners of a node: which of them its roles and settings open, where, and binding them.
//!
//! **Invariant:** what a start binds, what it warns of and what `skein doctor` tries are one list, [`wanted`]; nothing is
//! bound that was not switched on.

use crate::config::Config;
use crate::program::program;
use crate::roles::{Role, Roles};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use tokio::net::TcpListener;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Listener {
    /// HTTP of the gate, and clients over WebSocket.
    Public,
    /// Clients over TCP.
    Tcp,
    /// Push API over HTTP.
    Push,
    /// Push API over gRPC.
    PushRpc,
    Admin,
    /// Job → Comet.
    CometRpc,
    /// Edge → Logic.
    LogicRpc,
    GoimWebsocket,
    GoimWebsocketTls,
    GoimHttp,
    GoimCometRpc,
    GoimLogicRpc,
}

impl Listener {
    /// The key, as in the configuration.
    pub fn setting(self) -> &'static str {
        match self {
            Self::Public => "listen.public",
            Self::Tcp => "listen.tcp",
            Self::Push => "listen.push",
            Self::PushRpc => "listen.push_rpc",
            Self::Admin => "listen.admin",
            Self::CometRpc => "listen.comet_rpc",
            Self::LogicRpc => "listen.logic_rpc",
            Self::GoimWebsocket => "compat.goim.websocket",
            Self::GoimWebsocketTls => "compat.goim.websocket_tls",
            Self::GoimHttp => "compat.goim.http",
            Self::GoimCometRpc => "compat.goim.comet_rpc",
            Self::GoimLogicRpc => "compat.goim.logic_rpc",
        }
    }
}

/// Those that these roles and settings open.
pub fn wanted(config: &Config, roles: &Roles) -> Vec<(Listener, SocketAddr)> {
    let (listen, goim) = (&config.listen, &config.compat.goim);
    let (gate, comet, logic, split) = (roles.has(Role::Gate), roles.has(Role::Comet), roles.has(Role::Logic), !roles.is_all());
    let all = [
        (gate || comet, Listener::Public, Some(listen.public)),
        (comet, Listener::Tcp, Some(listen.tcp)),
        (logic, Listener::Push, Some(listen.push)),
        (logic, Listener::PushRpc, listen.push_rpc),
        (true, Listener::Admin, Some(listen.admin)),
        (comet && split, Listener::CometRpc, Some(listen.comet_rpc)),
        (logic && split, Listener::LogicRpc, Some(listen.logic_rpc)),
        (comet && goim.on, Listener::GoimWebsocket, Some(goim.websocket)),
        (comet && goim.on && config.tls.is_on(), Listener::GoimWebsocketTls, Some(goim.websocket_tls)),
        (logic && goim.on && goim.open_push, Listener::GoimHttp, Some(goim.http)),
        (comet && goim.on && goim.trust, Listener::GoimCometRpc, Some(goim.comet_rpc)),
        (logic && goim.on && goim.trust, Listener::GoimLogicRpc, Some(goim.logic_rpc)),
    ];
    all.into_iter().filter(|(opens, ..)| *opens).filter_map(|(_, listener, address)| Some((listener, address?))).collect()
}

/// Bound, and waiting to be served.
pub struct Bound(BTreeMap<Listener, TcpListener>);

impl Bound {
    pub async fn bind(wanted: &[(Listener, SocketAddr)]) -> Result<Self> {
        let mut bound = BTreeMap::new();
        for (listener, address) in wanted {
            let hint = || format!("another program holds it? `{} doctor` looks, `--set` or the configuration chooses another", program());
            let socket = TcpListener::bind(address).await.with_context(|| format!("{} {address}: {}", listener.setting(), hint()))?;
            bound.insert(*listener, socket);
        }
        Ok(Self(bound))
    }

    /// Where it really listens, port 0 being any free one.
    pub fn address(&self, listener: Listener) -> Option<SocketAddr> {
        self.0.get(&listener).and_then(|socket| socket.local_addr().ok())
    }

    pub fn take(&mut self, listener: Listener) -> Option<TcpListener> {
        self.0.remove(&listener)
    }
}
