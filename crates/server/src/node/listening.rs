//! What a running node says of itself in its data folder, for tools on the same machine.

use crate::folder::LISTENING;
use crate::listeners::{Bound, Listener};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::Path;

/// The addresses a node really listens on.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Listening {
    pub pid: u32,
    pub public: Option<SocketAddr>,
    pub tcp: Option<SocketAddr>,
    pub push: Option<SocketAddr>,
    pub admin: Option<SocketAddr>,
    pub comet_rpc: Option<SocketAddr>,
    pub logic_rpc: Option<SocketAddr>,
    pub goim_websocket: Option<SocketAddr>,
    pub goim_websocket_tls: Option<SocketAddr>,
    pub goim_http: Option<SocketAddr>,
    pub goim_comet_rpc: Option<SocketAddr>,
    pub goim_logic_rpc: Option<SocketAddr>,
    pub push_rpc: Option<SocketAddr>,
}

impl Listening {
    pub(super) fn of(bound: &Bound) -> Self {
        Self {
            pid: std::process::id(),
            public: bound.address(Listener::Public),
            tcp: bound.address(Listener::Tcp),
            push: bound.address(Listener::Push),
            admin: bound.address(Listener::Admin),
            comet_rpc: bound.address(Listener::CometRpc),
            logic_rpc: bound.address(Listener::LogicRpc),
            goim_websocket: bound.address(Listener::GoimWebsocket),
            goim_websocket_tls: bound.address(Listener::GoimWebsocketTls),
            goim_http: bound.address(Listener::GoimHttp),
            goim_comet_rpc: bound.address(Listener::GoimCometRpc),
            goim_logic_rpc: bound.address(Listener::GoimLogicRpc),
            push_rpc: bound.address(Listener::PushRpc),
        }
    }

    /// Of the node that runs on the folder.
    pub fn read(data: &Path) -> Result<Self> {
        let file = data.join(LISTENING);
        let text = std::fs::read(&file).with_context(|| format!("read {}", file.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("read {}", file.display()))
    }

    /// Whole or not at all.
    pub(super) fn write(&self, data: &Path) -> Result<()> {
        let file = data.join(LISTENING);
        let partial = file.with_extension("partial");
        let text = serde_json::to_vec(self)?;
        std::fs::write(&partial, text).and_then(|()| std::fs::rename(&partial, &file)).with_context(|| format!("write {}", file.display()))
    }

    pub(super) fn remove(data: &Path) {
        let _ = std::fs::remove_file(data.join(LISTENING));
    }
}
