//! The one place that knows what stands behind each port and door.

use crate::config::Config;
use crate::engines::{self, Cached, Registries};
use crate::mail;
use anyhow::{Context, Result};
use skein_domain::door::{Comets, Delivery, Logic};
use skein_domain::id::NodeId;
use skein_domain::port::{Clock, DeadLetters, NodeRegistry, ShardLeases, SystemClock};
use skein_edge::gate::Mailbox;
use skein_logic::push::Goim;
use skein_logic::{Background, Parts, Service};
use skein_rpc::{Peer, RemoteDelivery, RemoteLogic, Secret};
use skein_storage::Store;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// Role logic and its companions, on the configured engines.
pub struct LogicSide {
    pub service: Service,
    pub background: Background,
    pub store: Store,
    pub nodes: Arc<dyn NodeRegistry>,
    pub dead_letters: Option<Arc<dyn DeadLetters>>,
    pub clock: Arc<dyn Clock>,
    /// Where development mails are shown, if they are.
    pub mailbox: Option<Arc<dyn Mailbox>>,
}

impl LogicSide {
    pub async fn open(config: &Config, data: &Path, comets: Arc<dyn Comets>) -> Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store = Store::open_configured(data, &config.storage)?;
        let shared = Registries::open(&config.redis, &config.node.name, &clock).await?;
        let Cached { accounts, conversations, messages } = shared.cached(&store);
        let Registries { sessions, nodes, codes, guests, receipts, broadcasts, .. } = shared;
        let logs = engines::logs(&config.kafka, &config.node.name).await?;
        let dead_letters = logs.as_ref().map(|logs| logs.dead_letters.clone());
        let (mailer, mailbox) = mail::mailer(&config.mail, config.is_public(), clock.clone())?;
        let port = Arc::new(store.clone());
        let parts = Parts {
            node: NodeId(config.node.name.clone()),
            accounts,
            contacts: port.clone(),
            conversations,
            messages,
            outbox: port.clone(),
            leases: has_owners(config).then(|| port.clone() as Arc<dyn ShardLeases>),
            pushes: port,
            registry: sessions,
            nodes: nodes.clone(),
            codes,
            guests,
            receipts,
            broadcasts,
            mailer,
            comets,
            clock: clock.clone(),
            pipeline: logs.as_ref().map(|logs| logs.changes.clone()),
            live_log: logs.map(|logs| logs.pushes),
            goim: goim(config),
            limits: config.limits.clone(),
            config: config.logic.clone(),
        };
        let (service, background) = Service::new(parts).context("set up logic")?;
        Ok(Self { service, background, store, nodes, dead_letters, clock, mailbox })
    }
}

/// Whether one node can deliver what another stores: it knows everybody's connections, or is alone.
fn has_owners(config: &Config) -> bool {
    config.redis.is_on() || !config.storage.is_on_mysql()
}

/// What logic does of goim's contracts, and what it tells their clients.
fn goim(config: &Config) -> Goim {
    let goim = &config.compat.goim;
    Goim {
        trust: goim.trust,
        open_push: goim.open_push,
        domain: goim.domain.clone(),
        tcp_port: config.listen.tcp.port(),
        ws_port: goim.websocket.port(),
        wss_port: if config.tls.is_on() { goim.websocket_tls.port() } else { 0 },
    }
}

/// The Comets this node can deliver to: its own, and those with a static address.
pub struct KnownComets(HashMap<NodeId, Arc<dyn Delivery>>);

impl KnownComets {
    pub fn new(config: &Config, own: Option<Arc<dyn Delivery>>, secret: &Secret) -> Result<Self> {
        let trust = config.peers.trust(&config.tls)?;
        let mut known: HashMap<NodeId, Arc<dyn Delivery>> = HashMap::new();
        for peer in &config.peers.comets {
            let link = Peer::new(&peer.address, secret.clone(), trust.as_ref())
                .with_context(|| format!("use peers.comets address {}", peer.address))?;
            known.insert(NodeId(peer.node.clone()), Arc::new(RemoteDelivery::new(&link)));
        }
        if let Some(own) = own {
            known.insert(NodeId(config.node.name.clone()), own);
        }
        Ok(Self(known))
    }
}

impl Comets for KnownComets {
    fn comet(&self, node: &NodeId) -> Option<Arc<dyn Delivery>> {
        self.0.get(node).cloned()
    }

    fn nodes(&self) -> Vec<NodeId> {
        self.0.keys().cloned().collect()
    }
}

/// Logic in another process.
pub fn remote_logic(config: &Config, secret: &Secret) -> Result<Arc<dyn Logic>> {
    let address = &config.peers.logic;
    let trust = config.peers.trust(&config.tls)?;
    let peer = Peer::new(address, secret.clone(), trust.as_ref()).with_context(|| format!("use peers.logic {address}"))?;
    Ok(Arc::new(RemoteLogic::new(&peer)))
}
