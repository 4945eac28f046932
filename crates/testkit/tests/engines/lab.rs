//! What the fault tests share: an engine of their own, a deployment with three people in a group, and what they say.

use skein_testkit::cluster::Topology;
use skein_testkit::scenario::{Draft, World};
use skein_testkit::wire::Transport::{Tcp, WebSocket};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use xtask::services::{Own, Service};

/// An engine of the test's own, since it comes to harm.
pub struct Engine {
    pub own: Own,
    _folder: TempDir,
}

impl Engine {
    pub async fn start(service: Service) -> Self {
        let folder = tempfile::Builder::new().prefix("skein-engine-").tempdir().unwrap();
        let path = folder.path().to_owned();
        let own = tokio::task::spawn_blocking(move || Own::start(service, &path)).await.unwrap().unwrap();
        Self { own, _folder: folder }
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

    pub async fn arrives(&self, world: &World) -> Duration {
        let mended = Instant::now();
        for name in ["ann", "bob", "cat"] {
            world.user(name).expects("crew", &self.said).await;
        }
        mended.elapsed()
    }
}
