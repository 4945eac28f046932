//! The sections of the configuration that are the server's own.

use crate::roles::Role;
use crate::tls::TlsConfig;
use anyhow::{Context, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use skein_rpc::Trust;
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NodeConfig {
    /// Name of the node, unique in a deployment.
    pub name: String,
    /// Roles to run; empty: all of them in this process.
    pub roles: Vec<Role>,
    /// Host name or address under which clients reach this node's Comet. Empty: the address it listens on.
    pub public_host: String,
    /// How long a stopping node waits for what is under way, in milliseconds.
    pub drain_timeout_ms: u64,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self { name: "skein-1".into(), roles: vec![], public_host: String::new(), drain_timeout_ms: 10_000 }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ListenConfig {
    /// Public HTTP and WebSocket.
    pub public: SocketAddr,
    /// Long connections over TCP.
    pub tcp: SocketAddr,
    /// Push API and `POST /logic/verify` for other gateways; answers with an API key only.
    pub push: SocketAddr,
    /// Push API over gRPC; answers with an API key only. Closed until an address is set.
    pub push_rpc: Option<SocketAddr>,
    /// Health, readiness and metrics.
    pub admin: SocketAddr,
    /// Internal gRPC of role comet; closed when all roles run in one process.
    pub comet_rpc: SocketAddr,
    /// Internal gRPC of role logic; closed when all roles run in one process.
    pub logic_rpc: SocketAddr,
}

impl Default for ListenConfig {
    fn default() -> Self {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self {
            public: local(8080),
            tcp: local(3101),
            push: local(8090),
            push_rpc: None,
            admin: local(8070),
            comet_rpc: local(50051),
            logic_rpc: local(50052),
        }
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PeersConfig {
    /// Address of role logic, for a node without it: `http://host:50052`, or `https://` if that node has `[tls]`.
    pub logic: String,
    /// Comets in other processes: node name and address of their internal gRPC.
    pub comets: Vec<CometPeer>,
    /// File with the secret all processes of a deployment share. Empty: `<data>/internal.secret`, made at first start.
    pub secret_file: PathBuf,
    /// PEM file with the certificates of the authorities trusted for peers at `https` addresses. Empty: this node's own
    /// `tls.certificate`.
    pub ca_file: PathBuf,
}

impl PeersConfig {
    /// Addresses this node calls, each with the key that names it.
    pub fn addresses(&self) -> impl Iterator<Item = (String, &str)> {
        let logic = (!self.logic.is_empty()).then(|| ("peers.logic".to_owned(), self.logic.as_str()));
        logic.into_iter().chain(self.comets.iter().enumerate().map(|(nth, peer)| (format!("peers.comets[{nth}]"), peer.address.as_str())))
    }

    /// `None`: nobody is trusted, so that an `https` address cannot be called.
    pub fn trust(&self, tls: &TlsConfig) -> Result<Option<Trust>> {
        let file = if self.ca_file.as_os_str().is_empty() { &tls.certificate } else { &self.ca_file };
        if file.as_os_str().is_empty() {
            return Ok(None);
        }
        let pem = std::fs::read(file).with_context(|| format!("read the certificates trusted for peers, {}", file.display()))?;
        Ok(Some(Trust::from_pem(pem)))
    }
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CometPeer {
    /// Name of the node, as in its own `node.name`.
    pub node: String,
    /// `http://host:50051`, or `https://` if that node has `[tls]`.
    pub address: String,
}
