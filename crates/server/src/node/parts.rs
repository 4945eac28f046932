//! The parts of a node, one after the other: its Comet, its logic or the way to it, and their administration.

use super::components::Components;
use crate::admin::server::{Admin, AdminSocket, OwnComet};
use crate::config::Config;
use crate::folder::{INTERNAL_SECRET, PUSH_KEY};
use crate::listeners::{Bound, Listener};
use crate::roles::{Role, Roles};
use crate::secrets;
use crate::wiring::{KnownComets, LogicSide, remote_logic};
use anyhow::{Context, Result};
use skein_domain::door::{Delivery, Logic};
use skein_domain::id::NodeId;
use skein_domain::live::{PushRoute, Scope};
use skein_domain::port::CometAddress;
use skein_edge::comet::{Comet, Hub};
use skein_edge::gate::Mailbox;
use skein_logic::push::PushAdmin;
use skein_rpc::Secret;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// What every part is made from.
pub(super) struct Site<'a> {
    pub config: &'a Config,
    pub data: &'a Path,
    pub roles: &'a Roles,
    pub secret: Secret,
    pub started: Instant,
}

/// The Logic door, wherever it leads, and what stands beside it when it is here.
pub(super) struct LogicPart {
    pub logic: Arc<dyn Logic>,
    /// Where development mails are shown, if they are.
    pub mailbox: Option<Arc<dyn Mailbox>>,
}

impl<'a> Site<'a> {
    pub fn new(config: &'a Config, data: &'a Path, roles: &'a Roles) -> Result<Self> {
        let configured = &config.peers.secret_file;
        let path = if configured.as_os_str().is_empty() { data.join(INTERNAL_SECRET) } else { configured.clone() };
        let secret = Secret::new(&secrets::load_or_make(&path)?);
        Ok(Self { config, data, roles, secret, started: Instant::now() })
    }

    fn node(&self) -> NodeId {
        NodeId(self.config.node.name.clone())
    }

    /// This node's connections, with role comet.
    pub fn hub(&self) -> Option<Arc<Hub>> {
        let sampling = self.config.telemetry.sampling();
        self.roles.has(Role::Comet).then(|| Hub::traced(self.config.comet.clone(), self.node(), sampling))
    }

    pub async fn logic(&self, hub: Option<&Arc<Hub>>, bound: &Bound, components: &mut Components) -> Result<LogicPart> {
        if !self.roles.has(Role::Logic) {
            return Ok(LogicPart { logic: remote_logic(self.config, &self.secret)?, mailbox: None });
        }
        let own = hub.map(|hub| hub.clone() as Arc<dyn Delivery>);
        let comets = Arc::new(KnownComets::new(self.config, own, &self.secret)?);
        let side = LogicSide::open(self.config, self.data, comets.clone()).await?;
        adopt_push_key(&side.service.push_admin(), self.data).await?;
        let socket = AdminSocket::bind(self.data)?;
        let admin = Arc::new(self.administration(&side, comets, hub, bound));
        components.run("admin socket", socket.serve(admin, components.core.clone()));
        let background = side.background.run(components.core.clone());
        components.try_run("logic", async move { Ok(background.await?) });
        Ok(LogicPart { logic: Arc::new(side.service), mailbox: side.mailbox })
    }

    pub fn comet(&self, hub: Arc<Hub>, logic: Arc<dyn Logic>, bound: &Bound, components: &mut Components) -> Comet {
        let comet = Comet::new(hub, logic, self.comet_address(bound));
        let (running, shutdown) = (comet.clone(), components.core.clone());
        components.run("comet", async move { running.run(shutdown).await });
        comet
    }

    /// What clients are told to connect to.
    fn comet_address(&self, bound: &Bound) -> CometAddress {
        let host = |address: SocketAddr| match self.config.node.public_host.as_str() {
            "" => address.to_string(),
            host => format!("{host}:{}", address.port()),
        };
        let scheme = if self.config.tls.is_on() { "wss" } else { "ws" };
        let websocket = bound.address(Listener::Public).map(|public| format!("{scheme}://{}/ws", host(public)));
        CometAddress {
            node: self.config.node.name.clone(),
            tcp: bound.address(Listener::Tcp).map(host).unwrap_or_default(),
            websocket: websocket.unwrap_or_default(),
        }
    }

    fn administration(&self, side: &LogicSide, comets: Arc<KnownComets>, hub: Option<&Arc<Hub>>, bound: &Bound) -> Admin {
        let store = Arc::new(side.store.clone());
        let scheme = if self.config.tls.is_on() { "https" } else { "http" };
        Admin {
            logic: side.service.clone(),
            users: store.clone(),
            contacts: store.clone(),
            conversations: store,
            nodes: side.nodes.clone(),
            comets,
            dead_letters: side.dead_letters.clone(),
            clock: side.clock.clone(),
            server: bound.address(Listener::Public).map(|public| format!("{scheme}://{public}")).unwrap_or_default(),
            started: self.started,
            friends_max: self.config.limits.friends,
            own: hub.map(|hub| OwnComet { node: self.config.node.name.clone(), hub: hub.clone() }),
        }
    }
}

/// The key in the folder may do everything, so that the first push needs no administration.
async fn adopt_push_key(admin: &PushAdmin, data: &Path) -> Result<()> {
    const APP: &str = "Skein";
    const PER_SECOND: u32 = 1_000;
    let file = data.join(PUSH_KEY);
    let secret = secrets::load_or_make(&file)?;
    let scope = Scope { routes: PushRoute::ALL.to_vec(), rooms: Vec::new() };
    let key = admin.adopt_key(&secret, APP, scope, PER_SECOND, PUSH_KEY).await.with_context(|| format!("use {}", file.display()))?;
    if key.revoked_at.is_some() {
        tracing::warn!(file = %file.display(), "this API key is revoked: remove the file, and the next start makes another");
    }
    Ok(())
}
