//! A server process: started, found, killed, stopped, cut off from power.
//!
//! The program is `skein-under-test`, which this crate builds from the product's own `main` with planted faults possible;
//! `SKEIN_BIN` names another. Its standard error goes to a file beside the data folder, to be shown when a test fails.
//!
//! **Invariant:** a handle that is dropped takes its process along.

use crate::wire::Endpoints;
use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;
use skein_powercut::{PowerCut, Undone};
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};

const PROGRAM: &str = "skein-under-test";
/// A debug build under load starts in a fraction of it.
const START_PATIENCE: Duration = Duration::from_secs(30);
const STOP_PATIENCE: Duration = Duration::from_secs(30);
/// How often a starting server's address file is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(3);

/// What to start.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub data: PathBuf,
    /// Arguments after `serve --data …`.
    pub arguments: Vec<String>,
    /// Pairs for `--set`.
    pub settings: Vec<(String, String)>,
    pub environment: Vec<(String, OsString)>,
    /// The power of the data folder can be cut, and these disk faults are planted.
    pub power: Option<(PowerCut, skein_powercut::Options)>,
}

impl Options {
    pub fn on(data: &Path) -> Self {
        Self { data: data.to_owned(), ..Self::default() }
    }

    pub fn set(mut self, key: &str, value: impl ToString) -> Self {
        self.settings.push((key.to_owned(), value.to_string()));
        self
    }
}

impl Options {
    /// goim's doors open, each on a free port.
    pub fn with_goim(self) -> Self {
        let listeners = ["websocket", "websocket_tls", "http", "comet_rpc", "logic_rpc"];
        let open = listeners.iter().fold(self, |options, name| options.set(&format!("compat.goim.{name}"), "127.0.0.1:0"));
        ["on", "trust", "open_push"].iter().fold(open, |options, name| options.set(&format!("compat.goim.{name}"), true))
    }
}

#[derive(Debug, Clone, Deserialize)]
struct Listening {
    pid: u32,
    public: Option<SocketAddr>,
    tcp: Option<SocketAddr>,
    admin: Option<SocketAddr>,
    goim_http: Option<SocketAddr>,
}

/// A running server.
pub struct ServerProcess {
    child: Child,
    listening: Listening,
    options: Options,
}

impl ServerProcess {
    /// Returns when everything listens.
    pub async fn start(options: Options) -> Result<Self> {
        let program = program()?;
        let log = log_of(&options.data);
        let stderr = std::fs::File::options().create(true).append(true).open(&log).with_context(|| format!("open {}", log.display()))?;
        let mut command = Command::new(&program);
        command.arg("serve").arg("--data").arg(&options.data).args(&options.arguments);
        for listener in ["public", "tcp", "push", "admin"] {
            command.arg("--set").arg(format!("listen.{listener}=127.0.0.1:0"));
        }
        for (key, value) in &options.settings {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        // A backtrace or the colours of somebody's terminal change nothing here.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).kill_on_drop(true);
        command.envs(options.environment.iter().map(|(name, value)| (name, value)));
        if let Some((power, faults)) = &options.power {
            command.envs(power.environment(faults));
        }
        let address_file = options.data.join("listening.json");
        // The last process may have been killed before it could take its address away.
        let _ = std::fs::remove_file(&address_file);
        let mut child = command.spawn().with_context(|| format!("start {}", program.display()))?;
        match listening(&mut child, &address_file).await {
            Ok(listening) => Ok(Self { child, listening, options }),
            Err(error) => {
                let _ = child.kill().await;
                Err(error.context(format!("its last words:\n{}", last_words(&log))))
            }
        }
    }

    pub fn endpoints(&self) -> Result<Endpoints> {
        let public = self.listening.public.context("no public listener")?;
        let tcp = self.listening.tcp.unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0));
        Ok(Endpoints { public, tcp })
    }

    pub fn admin(&self) -> Result<SocketAddr> {
        self.listening.admin.context("no admin listener")
    }

    /// goim's keyless HTTP.
    pub fn goim_http(&self) -> Result<SocketAddr> {
        self.listening.goim_http.context("goim's HTTP is not open")
    }

    pub fn pid(&self) -> u32 {
        self.listening.pid
    }

    pub fn data(&self) -> &Path {
        &self.options.data
    }

    /// SIGKILL; returns when the process is gone.
    pub async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.context("kill the server")
    }

    /// As `kill` names it: `-TERM`, `-INT`.
    pub async fn signal(&self, name: &str) -> Result<()> {
        let pid = self.child.id().context("the server has ended already")?;
        let status = Command::new("kill").arg(name).arg(pid.to_string()).status().await.context("run kill")?;
        ensure!(status.success(), "kill {name} failed");
        Ok(())
    }

    /// SIGTERM; returns when the process has drained and ended.
    pub async fn terminate(&mut self) -> Result<ExitStatus> {
        self.signal("-TERM").await?;
        tokio::time::timeout(STOP_PATIENCE, self.child.wait()).await.context("the server does not stop")?.context("wait for the server")
    }

    /// Resolves when the process has ended by itself, or by its planted disk fault.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        self.child.wait().await.context("wait for the server")
    }

    /// After the process is gone: takes back everything that was not durable.
    pub fn cut(&self) -> Result<Undone> {
        let (power, _) = self.options.power.as_ref().ok_or_else(|| anyhow!("this server's power cannot be cut"))?;
        Ok(power.cut()?)
    }

    pub fn last_words(&self) -> String {
        last_words(&log_of(&self.options.data))
    }
}

/// Beside this program, or one folder up (tests are built into `deps`).
fn program() -> Result<PathBuf> {
    if let Some(program) = std::env::var_os("SKEIN_BIN") {
        return Ok(program.into());
    }
    let here = std::env::current_exe().context("find this program")?;
    let found = here.ancestors().skip(1).take(2).map(|folder| folder.join(PROGRAM)).find(|program| program.exists());
    found.ok_or_else(|| anyhow!("no {PROGRAM} beside {}: `cargo build -p skein-testkit` makes it", here.display()))
}

fn log_of(data: &Path) -> PathBuf {
    data.with_extension("log")
}

async fn listening(child: &mut Child, address_file: &Path) -> Result<Listening> {
    let deadline = Instant::now() + START_PATIENCE;
    loop {
        if let Some(status) = child.try_wait().context("look at the server")? {
            bail!("the server ended at its start: {status}");
        }
        // A half-written file cannot be seen: it is renamed into place.
        let found = std::fs::read(address_file).ok().and_then(|json| serde_json::from_slice::<Listening>(&json).ok());
        if let Some(listening) = found.filter(|listening| Some(listening.pid) == child.id()) {
            return Ok(listening);
        }
        ensure!(Instant::now() < deadline, "the server does not listen after {START_PATIENCE:?}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn last_words(log: &Path) -> String {
    const LINES: usize = 40;
    let text = std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
