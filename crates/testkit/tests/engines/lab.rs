//! What the fault tests share: an engine of their own, a deployment with three people in a group, and what they say.

use skein_testkit::cluster::Topology;
use skein_testkit::scenario::{Draft, World};
use skein_testkit::wire::Transport::{Tcp, WebSocket};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use xtask::services::{Environment, Own, Service};

/// Messages one after the other, before anybody waits for their acks.
const TOGETHER: usize = 4;
const BREATH: Duration = Duration::from_millis(20);

/// An engine of the test's own, since it comes to harm.
pub struct Engine {
    pub own: Own,
    folder: TempDir,
}

impl Engine {
    pub async fn start(service: Service) -> Self {
        Self::start_with(service, Self::folder(), Environment::new(), &[]).await
    }

    /// For an engine, or for what its faults are noted in.
    pub fn folder() -> TempDir {
        tempfile::Builder::new().prefix("skein-engine-").tempdir().unwrap()
    }

    pub async fn start_with(service: Service, folder: TempDir, environment: Environment, arguments: &'static [&'static str]) -> Self {
        let path = folder.path().to_owned();
        let start = move || Own::start_with(service, &path, environment, arguments);
        Self { own: tokio::task::spawn_blocking(start).await.unwrap().unwrap(), folder }
    }

    /// From its next start on, a Kafka tells its clients that it is at this address.
    pub fn advertises(&self, address: &str) {
        let path = self.folder.path().join("server.properties");
        let properties = std::fs::read_to_string(&path).unwrap();
        let told = properties.lines().map(|line| match line.split_once("PLAINTEXT://") {
            Some(("advertised.listeners=", _)) => format!("advertised.listeners=PLAINTEXT://{address}\n"),
            _ => format!("{line}\n"),
        });
        std::fs::write(&path, told.collect::<String>()).unwrap();
    }

    pub async fn restart(mut self) -> Self {
        tokio::task::spawn_blocking(move || {
            self.own.restart().unwrap();
            self
        })
        .await
        .unwrap()
    }
}

pub fn crew() -> Draft {
    World::new(Topology::Split).user("ann", Tcp).user("bob", WebSocket).user("cat", Tcp).group("crew", "ann", &["bob", "cat"])
}

/// The sum of a metric's series.
pub async fn metric(admin: SocketAddr, name: &str) -> f64 {
    let mut stream = tokio::net::TcpStream::connect(admin).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    let series = page.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
    series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// What is said while something is wrong with an engine, and how long it takes after that is mended until all have it.
pub struct Traffic {
    said: Vec<String>,
}

impl Traffic {
    pub fn new() -> Self {
        Self { said: Vec::new() }
    }

    /// Acked one by one.
    pub async fn say(&mut self, world: &World, count: usize) {
        for _ in 0..count {
            let text = format!("message {}", self.said.len());
            world.user("ann").send("crew", &text).await;
            self.said.push(text);
        }
    }

    /// Says something, and waits for nothing.
    pub async fn says(&mut self, world: &World) {
        let text = format!("message {}", self.said.len());
        world.user("ann").says("crew", &text).await;
        self.said.push(text);
    }

    /// Says several at a time for as long as `harm` takes, and until all said up to its end are acked and everywhere.
    pub async fn while_suffering<T>(&mut self, world: &World, harm: impl Future<Output = T>) -> (T, Talk) {
        let mended: Cell<Option<Instant>> = Cell::new(None);
        let before = world.user("ann").refusals();
        let talking = async {
            let mut longest = Duration::ZERO;
            loop {
                longest = longest.max(self.say_together(world).await);
                if let Some(at) = mended.get() {
                    return (longest, at.elapsed());
                }
                tokio::time::sleep(BREATH).await;
            }
        };
        let harming = async {
            let harmed = harm.await;
            mended.set(Some(Instant::now()));
            harmed
        };
        let ((longest, acked), harmed) = tokio::join!(talking, harming);
        let shown = acked + self.arrives(world).await;
        let mut refusals = world.user("ann").refusals();
        refusals.retain(|code, count| *count > before.get(code).copied().unwrap_or(0));
        (harmed, Talk { refusals: refusals.into_keys().collect(), longest, acked, shown })
    }

    async fn say_together(&mut self, world: &World) -> Duration {
        let started = Instant::now();
        let mut keys = Vec::new();
        for _ in 0..TOGETHER {
            let text = format!("message {}", self.said.len());
            keys.push(world.user("ann").says("crew", &text).await);
            self.said.push(text);
        }
        for key in keys {
            world.user("ann").acked(&key).await;
        }
        started.elapsed()
    }

    pub async fn arrives(&self, world: &World) -> Duration {
        let mended = Instant::now();
        for name in ["ann", "bob", "cat"] {
            world.user(name).expects("crew", &self.said).await;
        }
        mended.elapsed()
    }
}

/// What it was like to talk while something was wrong.
pub struct Talk {
    /// Codes of errors the sender heard.
    pub refusals: BTreeSet<String>,
    /// For one ack.
    longest: Duration,
    /// From the mending until everything said before was acknowledged …
    acked: Duration,
    /// … and on every screen.
    shown: Duration,
}

impl Talk {
    /// One row of the table in docs/operator-guide.md.
    pub fn told(&self, fault: &str) {
        let Self { refusals, longest, acked, shown } = self;
        eprintln!(
            "{fault}: heard {refusals:?}, waited at most {longest:.1?}; mended, acked after {acked:.1?} and everywhere after {shown:.1?}"
        );
    }
}

/// Waits until the process has ended, by itself.
pub async fn until_gone(pid: u32) {
    let is_gone = || {
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
            || !Path::new(&format!("/proc/{pid}")).exists()
    };
    let looking = async {
        while !is_gone() {
            tokio::time::sleep(BREATH).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), looking).await.expect("the engine ends");
}
