//! A running node: binds first, then starts its components in order, and stops them in the reverse one.
//!
//! **Invariant:** what the configuration says wrongly, and what cannot be bound, is known before anything serves. A
//! component that ends by itself ends the node: half a node helps nobody.

use crate::admin::http::AdminHttp;
use crate::config::Config;
use crate::exposure;
use crate::folder::PUSH_KEY;
use crate::listeners::{Bound, wanted};
use crate::program::program;
use crate::roles::{Role, Roles};
use anyhow::{Error, Result};
use components::Components;
use metrics_exporter_prometheus::PrometheusHandle;
use parts::{LogicPart, Site};
use serving::Serving;
use skein_edge::comet::Comet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

mod components;
mod intake;
mod listening;
mod parts;
mod serving;

pub use listening::Listening;

pub struct Node {
    listening: Listening,
    data: PathBuf,
    roles: Roles,
    config: Config,
    has_mailbox: bool,
    ready: Arc<AtomicBool>,
    comet: Option<Comet>,
    components: Components,
}

impl Node {
    pub async fn start(config: Config, data: &Path, metrics: PrometheusHandle) -> Result<Self> {
        let roles = config.roles()?;
        let site = Site::new(&config, data, &roles)?;
        let (tls, rpc_tls) = (config.tls.acceptor()?, config.tls.rpc()?);
        let bound = Bound::bind(&wanted(&config, &roles)).await?;
        exposure::warn(&config, &roles);

        let mut components = Components::default();
        let hub = site.hub();
        let LogicPart { logic, mailbox } = site.logic(hub.as_ref(), &bound, &mut components).await?;
        // Only now: before the store was open, the folder and this file could be another server's.
        Listening::remove(data);
        let comet = hub.map(|hub| site.comet(hub, logic.clone(), &bound, &mut components));

        let (listening, has_mailbox, ready) = (Listening::of(&bound), mailbox.is_some(), Arc::new(AtomicBool::new(false)));
        let admin = AdminHttp { metrics, ready: ready.clone() };
        let components_served = &mut components;
        Serving { site: &site, tls, rpc_tls, logic, mailbox, comet: comet.clone(), admin, components: components_served }.all(bound)?;

        listening.write(data)?;
        ready.store(true, Ordering::Release);
        tracing::info!(startup_ms = site.started.elapsed().as_millis() as u64, "ready");
        Ok(Self { listening, data: data.to_owned(), roles, config, has_mailbox, ready, comet, components })
    }

    pub fn listening(&self) -> &Listening {
        &self.listening
    }

    /// What a person at the terminal wants to know now.
    pub fn greet(&self) {
        let scheme = if self.config.tls.is_on() { "https" } else { "http" };
        println!("Skein {} runs 运行中 (roles: {})", env!("CARGO_PKG_VERSION"), self.roles);
        if let Some(public) = self.listening.public {
            print!("{}", served_at(&self.roles, scheme, public, self.has_mailbox));
        }
        if let Some(tcp) = self.listening.tcp {
            println!("  clients (TCP)   客户端       {tcp}");
        }
        if let Some(push) = self.listening.push {
            let key = self.data.join(PUSH_KEY);
            println!("  push API        推送接口     {scheme}://{push}/api/v1/push  (API key 密钥: {})", key.display());
        }
        println!("  data            数据目录     {}", self.data.display());
        if self.roles.is_all() {
            println!("Try 试试:  {} demo --data {}", program(), self.data.display());
        }
    }

    /// Resolves when a component ended by itself.
    pub async fn failed(&self) -> Error {
        self.components.failed().await
    }

    /// Ordered: no newcomers, connections drain, then the core ends and the store closes.
    pub async fn stop(self) {
        self.ready.store(false, Ordering::Release);
        self.components.edges.cancel();
        if let Some(comet) = &self.comet {
            comet.drain(Duration::from_millis(self.config.node.drain_timeout_ms)).await;
        }
        self.components.end().await;
        Listening::remove(&self.data);
    }
}

/// What the public listener has, which is more with role gate.
fn served_at(roles: &Roles, scheme: &str, public: SocketAddr, has_mailbox: bool) -> String {
    if !roles.has(Role::Gate) {
        let websocket = scheme.replace("http", "ws");
        return format!("  clients (WS)    客户端       {websocket}://{public}/ws\n");
    }
    let mut lines = format!("  web, HTTP API   网页与接口   {scheme}://{public}/   docs {scheme}://{public}/api/docs\n");
    if has_mailbox {
        lines += &format!("  e-mail codes    邮箱验证码   {scheme}://{public}/dev/mailbox  (no SMTP configured)\n");
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comet_alone_offers_no_pages() {
        let public = SocketAddr::from(([127, 0, 0, 1], 8080));
        let alone = served_at(&Roles::new(&[Role::Comet]).expect("roles"), "https", public, false);
        assert!(alone.contains(" wss://127.0.0.1:8080/ws\n") && !alone.contains("http"), "{alone}");
        assert!(served_at(&Roles::all(), "http", public, false).contains(" http://127.0.0.1:8080/api/docs\n"));
    }
}
