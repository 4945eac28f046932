//! What opens goim's contracts, and how far. All closed until `on`; without passwords only by `trust` and `open_push`.

use anyhow::{Result, ensure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CompatConfig {
    /// goim's clients, push tools and gRPC.
    pub goim: GoimConfig,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GoimConfig {
    /// Serve goim's clients on the TCP listener and here.
    pub on: bool,
    /// Believe the mid, key and room that a client names, as goim does; also opens goim's gRPC.
    pub trust: bool,
    /// Serve goim's push routes without a key.
    pub open_push: bool,
    /// WebSocket, path `/sub`.
    pub websocket: SocketAddr,
    /// The same over TLS, when [tls] has a certificate.
    pub websocket_tls: SocketAddr,
    /// goim's HTTP routes without a key; bound with `open_push` only.
    pub http: SocketAddr,
    /// gRPC `goim.comet.Comet`; bound with `trust` only.
    pub comet_rpc: SocketAddr,
    /// gRPC `goim.logic.Logic`; bound with `trust` only.
    pub logic_rpc: SocketAddr,
    /// What `/goim/nodes/weighted` calls `domain`, and names when no node is alive.
    pub domain: String,
}

impl Default for GoimConfig {
    fn default() -> Self {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self {
            on: false,
            trust: false,
            open_push: false,
            websocket: local(3102),
            websocket_tls: local(3103),
            http: local(3111),
            comet_rpc: local(3109),
            logic_rpc: local(3119),
            domain: "localhost".into(),
        }
    }
}

impl GoimConfig {
    pub fn validate(&self) -> Result<()> {
        ensure!(self.on || !(self.trust || self.open_push), "compat.goim.trust and compat.goim.open_push need compat.goim.on = true");
        ensure!(!self.domain.is_empty() && self.domain.len() <= 253, "compat.goim.domain has 1 to 253 characters");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_opens_alone() {
        let default = GoimConfig::default();
        assert!(default.validate().is_ok());
        assert!(GoimConfig { trust: true, ..GoimConfig::default() }.validate().is_err());
        assert!(GoimConfig { open_push: true, ..GoimConfig::default() }.validate().is_err());
        let all = GoimConfig { on: true, trust: true, open_push: true, ..GoimConfig::default() };
        assert!(all.validate().is_ok());
    }
}
