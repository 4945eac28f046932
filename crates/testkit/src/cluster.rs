//! A deployment: all roles in one process, or `comet` apart from the rest. Either is started, broken and asked the same way.
//!
//! **Invariant:** clients learn where to connect from [`Cluster::address`] alone; it is `None` while nothing listens.

use crate::proxy::Proxy;
use crate::server::{Options, ServerProcess};
use crate::wire::Endpoints;
use anyhow::{Result, anyhow};
use skein_powercut::PowerCut;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU16, Ordering};
use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topology {
    AllInOne,
    /// Two processes: comet, and all the rest.
    Split,
}

/// Which process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The one with logic and the store.
    Core,
    /// The one with the connections; in an all-in-one deployment the same process.
    Comet,
}

/// What all processes of a deployment are started with.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    pub settings: Vec<(String, String)>,
    pub environment: Vec<(String, std::ffi::OsString)>,
    pub power: Option<PowerCut>,
    /// Its two processes talk through [`Links`].
    pub has_links: bool,
}

/// What lies between the two processes of a split deployment, to be harmed.
pub struct Links {
    /// From comet to logic: commands.
    pub logic: Proxy,
    /// From the job to comet: deliveries.
    pub comet: Proxy,
}

pub struct Cluster {
    topology: Topology,
    folder: PathBuf,
    setup: Setup,
    core: Option<ServerProcess>,
    comet: Option<ServerProcess>,
    ports: (u16, u16),
    links: Option<Links>,
    address: watch::Sender<Option<Endpoints>>,
}

impl Cluster {
    /// In `folder`, whose `data` holds the data of the core. Nothing runs yet.
    pub fn new(topology: Topology, folder: &Path, setup: Setup) -> Result<Self> {
        let ports = (free_port()?, free_port()?);
        let links = if setup.has_links { Some(Links { comet: to(ports.0)?, logic: to(ports.1)? }) } else { None };
        let address = watch::Sender::new(None);
        Ok(Self { topology, folder: folder.to_owned(), setup, core: None, comet: None, ports, links, address })
    }

    pub fn address(&self) -> watch::Receiver<Option<Endpoints>> {
        self.address.subscribe()
    }

    /// Starts what does not run. `faults` are for the core's disk.
    pub async fn start(&mut self, faults: &skein_powercut::Options) -> Result<()> {
        if self.core.is_none() {
            self.core = Some(ServerProcess::start(self.core_options(faults)).await?);
        }
        if self.topology == Topology::Split && self.comet.is_none() {
            self.comet = Some(ServerProcess::start(self.comet_options()).await?);
        }
        let edge = self.comet.as_ref().or(self.core.as_ref()).ok_or_else(|| anyhow!("nothing runs"))?;
        self.address.send_replace(Some(edge.endpoints()?));
        Ok(())
    }

    fn core_options(&self, faults: &skein_powercut::Options) -> Options {
        let mut options = self.options("data");
        if self.topology == Topology::Split {
            let comet = self.links.as_ref().map_or(self.ports.0, |links| links.comet.address().port());
            let logic = self.ports.1;
            options.arguments = words("--role gate,status,verify,logic,job --node core");
            options = options
                .set("listen.logic_rpc", format!("127.0.0.1:{logic}"))
                .set("peers.comets", format!("[{{node=\"comet-1\",address=\"http://127.0.0.1:{comet}\"}}]"));
        }
        options.power = self.setup.power.clone().map(|power| (power, faults.clone()));
        options
    }

    /// A second process with logic and job, beside the core of a split deployment on engines they share. It ends with its
    /// value.
    pub async fn another_core(&self, name: &str) -> Result<ServerProcess> {
        let mut options = self.options(name);
        options.arguments = words("--role gate,status,verify,logic,job --node");
        options.arguments.push(name.to_owned());
        let comet = self.links.as_ref().map_or(self.ports.0, |links| links.comet.address().port());
        let options = options
            .set("listen.logic_rpc", "127.0.0.1:0")
            .set("peers.comets", format!("[{{node=\"comet-1\",address=\"http://127.0.0.1:{comet}\"}}]"))
            .set("peers.secret_file", self.folder.join("data/internal.secret").display());
        ServerProcess::start(options).await
    }

    fn comet_options(&self) -> Options {
        let comet = self.ports.0;
        let logic = self.links.as_ref().map_or(self.ports.1, |links| links.logic.address().port());
        let secret = self.folder.join("data/internal.secret");
        let mut options = self.options("comet");
        options.arguments = words("--role comet --node comet-1");
        options
            .set("listen.comet_rpc", format!("127.0.0.1:{comet}"))
            .set("peers.logic", format!("http://127.0.0.1:{logic}"))
            .set("peers.secret_file", secret.display())
    }

    fn options(&self, data: &str) -> Options {
        let mut options = Options::on(&self.folder.join(data));
        options.settings = self.setup.settings.clone();
        options.environment = self.setup.environment.clone();
        options
    }

    fn slot(&mut self, part: Part) -> &mut Option<ServerProcess> {
        match (self.topology, part) {
            (Topology::Split, Part::Comet) => &mut self.comet,
            _ => &mut self.core,
        }
    }

    fn process(&mut self, part: Part) -> Result<&mut ServerProcess> {
        self.slot(part).as_mut().ok_or_else(|| anyhow!("{part:?} does not run"))
    }

    pub fn runs(&self, part: Part) -> bool {
        match (self.topology, part) {
            (Topology::Split, Part::Comet) => self.comet.is_some(),
            _ => self.core.is_some(),
        }
    }

    /// SIGKILL.
    pub async fn kill(&mut self, part: Part) -> Result<()> {
        self.process(part)?.kill().await?;
        self.gone(part);
        Ok(())
    }

    /// SIGTERM, and wait for the end of the drain.
    pub async fn terminate(&mut self, part: Part) -> Result<ExitStatus> {
        let status = self.process(part)?.terminate().await?;
        self.gone(part);
        Ok(status)
    }

    /// Waits for the core to die of its planted disk fault.
    pub async fn core_ended(&mut self) -> Result<ExitStatus> {
        let status = self.process(Part::Core)?.ended().await?;
        self.gone(Part::Core);
        Ok(status)
    }

    /// Cuts the power of the data folder; no process of the core may be alive.
    pub fn cut_power(&self) -> Result<skein_powercut::Undone> {
        let power = self.setup.power.as_ref().ok_or_else(|| anyhow!("this cluster's power cannot be cut"))?;
        Ok(power.cut()?)
    }

    fn gone(&mut self, part: Part) {
        *self.slot(part) = None;
        if self.topology == Topology::AllInOne || part == Part::Comet {
            self.address.send_replace(None);
        }
    }

    pub fn core(&self) -> Option<&ServerProcess> {
        self.core.as_ref()
    }

    pub fn links(&self) -> Option<&Links> {
        self.links.as_ref()
    }

    /// The ends of all logs, for whoever reads about a failure.
    pub fn last_words(&self) -> String {
        let said = |name: &str| {
            let text = std::fs::read_to_string(self.folder.join(name)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            format!("--- {name}\n{}\n", lines[lines.len().saturating_sub(30)..].join("\n"))
        };
        match self.topology {
            Topology::AllInOne => said("data.log"),
            Topology::Split => said("data.log") + &said("comet.log"),
        }
    }
}

fn to(port: u16) -> Result<Proxy> {
    Proxy::to(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

/// Below the range from which the system takes ports by itself, so that a restarted process finds its own free again.
fn free_port() -> Result<u16> {
    const FIRST: u16 = 20_000;
    const PORTS: u16 = 12_000;
    const BLOCK: u16 = 100;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes started one after the other look far from each other: between a look and its use another may come.
    let offset = (std::process::id() % u32::from(PORTS / BLOCK)) as u16 * BLOCK;
    for _ in 0..PORTS {
        let port = FIRST + (offset + NEXT.fetch_add(1, Ordering::Relaxed) % PORTS) % PORTS;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err(anyhow!("no free port"))
}
