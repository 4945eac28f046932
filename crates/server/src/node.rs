//! A running node: binds first, then starts its components in order, and stops them in the reverse one.
//!
//! **Invariant:** what the configuration says wrongly, and what cannot be bound, is known before anything serves. A
//! component that ends by itself ends the node: half a node helps nobody.

use crate::admin::http::AdminHttp;
use crate::admin::server::{Admin, AdminSocket, OwnComet};
use crate::cli::push::KEY_FILE as PUSH_KEY_FILE;
use crate::config::{Config, ListenConfig};
use crate::exposure::{self, Exposed};
use crate::push_ports::{Behind, PushListening, PushPorts};
use crate::roles::{Role, Roles};
use crate::wiring::{KnownComets, LogicSide, remote_logic};
use crate::{admin, secrets};
use anyhow::{Context, Result, anyhow};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::{Deserialize, Serialize};
use skein_domain::door::{Delivery, Logic};
use skein_domain::id::NodeId;
use skein_domain::live::{PushRoute, Scope};
use skein_domain::port::CometAddress;
use skein_edge::comet::{Clients, Comet, Hub};
use skein_edge::gate::Gate;
use skein_logic::push::PushAdmin;
use skein_rpc::{Secret, delivery_service, logic_service};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Server, ServerTlsConfig};

const INTERNAL_SECRET: &str = "internal.secret";
/// Where the node says what it listens on, for tools on the same machine.
pub const LISTENING: &str = "listening.json";

/// The addresses a node really listens on.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Listening {
    pub pid: u32,
    pub public: Option<SocketAddr>,
    pub tcp: Option<SocketAddr>,
    pub push: Option<SocketAddr>,
    pub admin: Option<SocketAddr>,
    pub comet_rpc: Option<SocketAddr>,
    pub logic_rpc: Option<SocketAddr>,
    #[serde(flatten)]
    pub others: PushListening,
}

pub struct Node {
    listening: Listening,
    data: PathBuf,
    roles: Roles,
    config: Config,
    has_mailbox: bool,
    ready: Arc<AtomicBool>,
    comet: Option<Comet>,
    /// Doors to the outside: cancelled first.
    edges: CancellationToken,
    /// What works behind them: cancelled when the edges are done.
    core: CancellationToken,
    tasks: Mutex<JoinSet<Result<&'static str>>>,
}

impl Node {
    pub async fn start(config: Config, data: &Path, metrics: PrometheusHandle) -> Result<Self> {
        let started = Instant::now();
        let roles = config.roles()?;
        let secret = internal_secret(&config, data)?;
        let (tls, rpc_tls) = (config.tls.acceptor()?, config.tls.rpc()?);
        let bound = Bound::bind(&config.listen, &roles).await?;
        let push_ports = PushPorts::bind(&config, &roles).await?;
        for exposed in exposure::of(&config, &roles) {
            let Exposed { what, address, fix, .. } = &exposed;
            tracing::warn!(setting = what, address, fix, "{exposed}");
        }

        let mut tasks = JoinSet::new();
        let (edges, core) = (CancellationToken::new(), CancellationToken::new());
        let ready = Arc::new(AtomicBool::new(false));

        let sampling = config.telemetry.sampling();
        let hub = roles.has(Role::Comet).then(|| Hub::traced(config.comet.clone(), NodeId(config.node.name.clone()), sampling));
        let own = hub.clone().map(|hub| hub as Arc<dyn Delivery>);
        let comets = Arc::new(KnownComets::new(&config, own.clone(), &secret)?);
        let mut mailbox = None;
        let logic: Arc<dyn Logic> = if roles.has(Role::Logic) {
            let side = LogicSide::open(&config, data, comets).await?;
            mailbox = side.mailbox.clone();
            let logic = Arc::new(side.service.clone());
            adopt_push_key(&side.service.push_admin(), data).await?;
            let socket = AdminSocket::bind(data)?;
            let admin = Arc::new(administration(&side, &config, &bound, started, hub.clone()));
            spawn(&mut tasks, "admin socket", socket.serve(admin, core.clone()));
            let background = side.background.run(core.clone());
            spawn_fallible(&mut tasks, "logic", async move { Ok(background.await?) });
            logic
        } else {
            remote_logic(&config, &secret)?
        };

        // Only now: before the store was open, the folder and this file could be another server's.
        let listening_file = data.join(LISTENING);
        let _ = std::fs::remove_file(&listening_file);

        let comet = match hub {
            None => None,
            Some(hub) => {
                let address = bound.comet_address(&config);
                let comet = Comet::new(hub, logic.clone(), address);
                let (running, shutdown) = (comet.clone(), core.clone());
                spawn(&mut tasks, "comet", async move { running.run(shutdown).await });
                Some(comet)
            }
        };

        let listening = Listening { others: push_ports.addresses(), ..bound.addresses() };
        if let (Some(listener), Some(comet)) = (bound.tcp, comet.clone()) {
            let (tls, shutdown) = (tls.clone(), edges.clone());
            let clients = if config.compat.goim.on { Clients::SkeinAndGoim } else { Clients::Skein };
            spawn(&mut tasks, "tcp listener", async move { comet.serve(listener, tls, clients, shutdown).await });
        }
        if let Some(listener) = bound.public {
            let gate = || {
                let (logic, config, mailbox) = (logic.clone(), config.gate.clone(), mailbox.clone());
                Gate { logic, config, tls: tls.is_some(), mailbox, sampling }
            };
            let router = if roles.has(Role::Gate) { skein_edge::gate::router(gate()) } else { axum::Router::new() };
            let http = skein_edge::serve_http(listener, tls.clone(), router, comet.clone(), config.comet.listener.clone(), edges.clone());
            spawn(&mut tasks, "public listener", http);
        }
        if let Some(listener) = bound.push {
            let gate = Gate { logic: logic.clone(), config: config.gate.clone(), tls: false, mailbox: None, sampling };
            let router = skein_edge::gate::push_router(gate);
            spawn(
                &mut tasks,
                "push listener",
                skein_edge::serve_http(listener, tls.clone(), router, None, config.comet.listener.clone(), edges.clone()),
            );
        }
        let behind = Behind {
            config: &config,
            logic: logic.clone(),
            comet: comet.clone(),
            tls: tls.clone(),
            gate: Gate { logic: logic.clone(), config: config.gate.clone(), tls: false, mailbox: None, sampling },
            push_server: rpc_server(rpc_tls.as_ref())?,
            shutdown: edges.clone(),
        };
        for (name, work) in push_ports.serve(behind) {
            spawn_fallible(&mut tasks, name, work);
        }
        let admin_router = admin::http::router(AdminHttp { metrics, ready: ready.clone() });
        spawn(
            &mut tasks,
            "admin listener",
            skein_edge::serve_http(bound.admin, None, admin_router, None, config.comet.listener.clone(), core.clone()),
        );
        if let (Some(listener), Some(own)) = (bound.comet_rpc, own) {
            spawn_fallible(
                &mut tasks,
                "comet rpc",
                serve_comet_rpc(listener, rpc_server(rpc_tls.as_ref())?, own, secret.clone(), core.clone()),
            );
        }
        if let Some(listener) = bound.logic_rpc {
            spawn_fallible(&mut tasks, "logic rpc", serve_logic_rpc(listener, rpc_server(rpc_tls.as_ref())?, logic, secret, core.clone()));
        }

        write_atomically(&listening_file, &serde_json::to_vec(&listening)?)?;
        ready.store(true, Ordering::Release);
        tracing::info!(startup_ms = started.elapsed().as_millis() as u64, "ready");
        let (data, has_mailbox) = (data.to_owned(), mailbox.is_some());
        Ok(Self { listening, data, roles, config, has_mailbox, ready, comet, edges, core, tasks: Mutex::new(tasks) })
    }

    pub fn listening(&self) -> &Listening {
        &self.listening
    }

    /// What a person at the terminal wants to know now.
    pub fn greet(&self) {
        let scheme = if self.config.tls.is_on() { "https" } else { "http" };
        println!("Skein {} runs 运行中 (roles: {})", env!("CARGO_PKG_VERSION"), self.roles);
        if let Some(public) = self.listening.public {
            println!("  web, HTTP API   网页与接口   {scheme}://{public}/   docs {scheme}://{public}/api/docs");
            if self.has_mailbox {
                println!("  e-mail codes    邮箱验证码   {scheme}://{public}/dev/mailbox  (no SMTP configured)");
            }
        }
        if let Some(tcp) = self.listening.tcp {
            println!("  clients (TCP)   客户端       {tcp}");
        }
        if let Some(push) = self.listening.push {
            println!(
                "  push API        推送接口     {scheme}://{push}/api/v1/push  (API key 密钥: {})",
                self.data.join(PUSH_KEY_FILE).display()
            );
        }
        println!("  data            数据目录     {}", self.data.display());
        if self.roles.is_all() {
            println!("Try 试试:  {} demo --data {}", crate::cli::program(), self.data.display());
        }
    }

    /// Resolves when a component ended by itself.
    pub async fn failed(&self) -> anyhow::Error {
        match self.tasks.lock().await.join_next().await {
            Some(Ok(Ok(name))) => anyhow!("component {name} ended"),
            Some(Ok(Err(error))) => error,
            Some(Err(error)) => anyhow!("a component failed: {error}"),
            None => anyhow!("nothing runs"),
        }
    }

    /// Ordered: no newcomers, connections drain, then the core ends and the store closes.
    pub async fn stop(self) {
        self.ready.store(false, Ordering::Release);
        self.edges.cancel();
        if let Some(comet) = &self.comet {
            comet.drain(Duration::from_millis(self.config.node.drain_timeout_ms)).await;
        }
        self.core.cancel();
        let mut tasks = self.tasks.into_inner();
        let ended = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(Duration::from_secs(10), ended).await.is_err() {
            tracing::warn!("a component did not end in time");
        }
        let _ = std::fs::remove_file(self.data.join(LISTENING));
    }
}

// === binding ===

struct Bound {
    public: Option<TcpListener>,
    tcp: Option<TcpListener>,
    push: Option<TcpListener>,
    admin: TcpListener,
    comet_rpc: Option<TcpListener>,
    logic_rpc: Option<TcpListener>,
}

impl Bound {
    async fn bind(listen: &ListenConfig, roles: &Roles) -> Result<Self> {
        let split = !roles.is_all();
        let wanted = |wanted: bool, address: SocketAddr| wanted.then_some(address);
        let (gate, comet, logic) = (roles.has(Role::Gate), roles.has(Role::Comet), roles.has(Role::Logic));
        Ok(Self {
            public: bind_some("public", wanted(gate || comet, listen.public)).await?,
            tcp: bind_some("tcp", wanted(comet, listen.tcp)).await?,
            push: bind_some("push", wanted(logic, listen.push)).await?,
            admin: bind("admin", listen.admin).await?,
            comet_rpc: bind_some("comet_rpc", wanted(comet && split, listen.comet_rpc)).await?,
            logic_rpc: bind_some("logic_rpc", wanted(logic && split, listen.logic_rpc)).await?,
        })
    }

    fn addresses(&self) -> Listening {
        let address = |listener: &Option<TcpListener>| listener.as_ref().and_then(|l| l.local_addr().ok());
        Listening {
            pid: std::process::id(),
            public: address(&self.public),
            tcp: address(&self.tcp),
            push: address(&self.push),
            admin: self.admin.local_addr().ok(),
            comet_rpc: address(&self.comet_rpc),
            logic_rpc: address(&self.logic_rpc),
            others: PushListening::default(),
        }
    }

    /// What clients are told to connect to.
    fn comet_address(&self, config: &Config) -> CometAddress {
        let Listening { public, tcp, .. } = self.addresses();
        let host = |address: SocketAddr| match config.node.public_host.as_str() {
            "" => address.to_string(),
            host => format!("{host}:{}", address.port()),
        };
        let scheme = if config.tls.is_on() { "wss" } else { "ws" };
        CometAddress {
            node: config.node.name.clone(),
            tcp: tcp.map(host).unwrap_or_default(),
            websocket: public.map(|public| format!("{scheme}://{}/ws", host(public))).unwrap_or_default(),
        }
    }

    fn server(&self, config: &Config) -> String {
        let scheme = if config.tls.is_on() { "https" } else { "http" };
        self.addresses().public.map(|public| format!("{scheme}://{public}")).unwrap_or_default()
    }
}

async fn bind_some(name: &str, address: Option<SocketAddr>) -> Result<Option<TcpListener>> {
    match address {
        Some(address) => bind(name, address).await.map(Some),
        None => Ok(None),
    }
}

async fn bind(name: &str, address: SocketAddr) -> Result<TcpListener> {
    let hint = || format!("another program holds it? `{} doctor` looks, `--set` or [listen] chooses another", crate::cli::program());
    TcpListener::bind(address).await.with_context(|| format!("listen.{name} {address}: {}", hint()))
}

// === starting ===

/// The key in the folder may do everything, so that the first push needs no administration.
async fn adopt_push_key(admin: &PushAdmin, data: &Path) -> Result<()> {
    const APP: &str = "Skein";
    const PER_SECOND: u32 = 1_000;
    let file = data.join(PUSH_KEY_FILE);
    let secret = secrets::load_or_make(&file)?;
    let scope = Scope { routes: PushRoute::ALL.to_vec(), rooms: Vec::new() };
    let key = admin.adopt_key(&secret, APP, scope, PER_SECOND, PUSH_KEY_FILE).await.with_context(|| format!("use {}", file.display()))?;
    if key.revoked_at.is_some() {
        tracing::warn!(file = %file.display(), "this API key is revoked: remove the file, and the next start makes another");
    }
    Ok(())
}

fn internal_secret(config: &Config, data: &Path) -> Result<Secret> {
    let configured = &config.peers.secret_file;
    let path = if configured.as_os_str().is_empty() { data.join(INTERNAL_SECRET) } else { configured.clone() };
    Ok(Secret::new(&secrets::load_or_make(&path)?))
}

fn administration(side: &LogicSide, config: &Config, bound: &Bound, started: Instant, hub: Option<Arc<Hub>>) -> Admin {
    let store = Arc::new(side.store.clone());
    Admin {
        logic: side.service.clone(),
        users: store.clone(),
        contacts: store.clone(),
        conversations: store,
        nodes: side.nodes.clone(),
        dead_letters: side.dead_letters.clone(),
        clock: side.clock.clone(),
        server: bound.server(config),
        started,
        friends_max: config.limits.friends,
        own: hub.map(|hub| OwnComet { node: config.node.name.clone(), hub }),
    }
}

type Tasks = JoinSet<Result<&'static str>>;

fn spawn(tasks: &mut Tasks, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
    tasks.spawn(async move {
        work.await;
        Ok(name)
    });
}

fn spawn_fallible(tasks: &mut Tasks, name: &'static str, work: impl Future<Output = Result<()>> + Send + 'static) {
    tasks.spawn(async move { work.await.with_context(|| format!("component {name}")).map(|()| name) });
}

fn rpc_server(tls: Option<&ServerTlsConfig>) -> Result<Server> {
    let server = Server::builder();
    tls.map_or(Ok(server.clone()), |tls| server.tls_config(tls.clone())).context("use tls.certificate for internal gRPC")
}

async fn serve_comet_rpc(
    listener: TcpListener,
    mut server: Server,
    own: Arc<dyn Delivery>,
    secret: Secret,
    shutdown: CancellationToken,
) -> Result<()> {
    let server = server.add_service(delivery_service(own, secret));
    Ok(server.serve_with_incoming_shutdown(TcpListenerStream::new(listener), shutdown.cancelled_owned()).await?)
}

async fn serve_logic_rpc(
    listener: TcpListener,
    mut server: Server,
    logic: Arc<dyn Logic>,
    secret: Secret,
    shutdown: CancellationToken,
) -> Result<()> {
    let server = server.add_service(logic_service(logic, secret));
    Ok(server.serve_with_incoming_shutdown(TcpListenerStream::new(listener), shutdown.cancelled_owned()).await?)
}

fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let partial = path.with_extension("partial");
    std::fs::write(&partial, bytes).and_then(|()| std::fs::rename(&partial, path)).with_context(|| format!("write {}", path.display()))
}
