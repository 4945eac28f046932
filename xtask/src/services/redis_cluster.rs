//! Redis Cluster: three primaries, each with a replica, on ports of ours.
//!
//! **Invariant:** it is handed out only when every slot is served and every replica has its primary's data.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::process::{self, Environment, Instance, Leash};
use super::{Service, instance_folder, redis};
use crate::command::{must_succeed, output_of};

pub const NODES: u8 = 6;
pub const FIRST_PORT: u16 = 26_400;
/// Away from the shared ones, and from the ports systems hand out by themselves.
const OWN_FIRST_PORT: u16 = 18_000;
const OWN_PLACES: u32 = 60;
const PATIENCE: Duration = Duration::from_secs(30);
/// After so long a silence a node is held for dead: long where a pause of a busy machine must not look like one.
pub const NODE_TIMEOUT_MS: u32 = 15_000;
const OWN_NODE_TIMEOUT_MS: u32 = 2_000;

pub fn start() -> Result<Vec<Instance>> {
    redis::require_package()?;
    let folders = (1..=NODES).map(|number| instance_folder(Service::RedisCluster, number)).collect();
    start_nodes(folders, FIRST_PORT, NODE_TIMEOUT_MS)
}

fn start_nodes(folders: Vec<PathBuf>, first_port: u16, node_timeout_ms: u32) -> Result<Vec<Instance>> {
    let count = folders.len();
    let ports = process::free_ports(first_port, 2 * count)?;
    let (clients, buses) = ports.split_at(count);
    let mut nodes = Vec::new();
    for ((number, folder), (port, bus)) in (1..).zip(folders).zip(clients.iter().zip(buses)) {
        // What a cluster of before has left would not let a new one be formed.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        std::fs::write(folder.join("redis.conf"), settings(*bus, node_timeout_ms)).context("write a node's settings")?;
        nodes.push(redis::run_as(Service::RedisCluster, number, folder, *port, &Environment::new())?);
    }
    form(&nodes).inspect_err(|_| {
        for node in &nodes {
            // The error says what is wrong.
            let _ = node.stop();
        }
    })?;
    Ok(nodes)
}

fn settings(bus: u16, node_timeout_ms: u32) -> String {
    format!(
        "cluster-enabled yes\ncluster-config-file nodes.conf\ncluster-port {bus}\ncluster-node-timeout {node_timeout_ms}\n\
         repl-diskless-sync-delay 0\nappendonly yes\n"
    )
}

fn form(nodes: &[Instance]) -> Result<()> {
    let mut create = Command::new("redis-cli");
    create.args(["--cluster", "create"]).args(nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)));
    create.args(["--cluster-replicas", "1", "--cluster-yes"]);
    let log = nodes[0].folder.join("create.log");
    create.stdout(std::fs::File::create(&log).context("open the log of the cluster's creation")?);
    must_succeed(&mut create, "read create.log beside the first node's log")?;
    let deadline = Instant::now() + PATIENCE;
    while !nodes.iter().all(is_ready) {
        ensure!(Instant::now() < deadline, "the cluster is not ready after {PATIENCE:?}; read {}", log.display());
        process::look_later();
    }
    Ok(())
}

fn is_ready(node: &Instance) -> bool {
    let asked = |what: &[&str]| ask(node, what).unwrap_or_default();
    let (cluster, replication) = (asked(&["cluster", "info"]), asked(&["info", "replication"]));
    let is_served = cluster.contains("cluster_state:ok") && cluster.contains("cluster_slots_ok:16384");
    // It hears from the others a moment later than it is asked first.
    let knows_replicas = asked(&["cluster", "nodes"]).matches("slave").count() == usize::from(NODES) / 2;
    is_served && knows_replicas && (replication.contains("connected_slaves:1") || replication.contains("master_link_status:up"))
}

fn ask(node: &Instance, what: &[&str]) -> Result<String> {
    output_of(Command::new("redis-cli").args(["-p", &node.port.to_string()]).args(what))
}

/// A cluster for one test alone, whose nodes it may stop, kill and start again. Ends with its value, or with its holder.
pub struct OwnCluster {
    nodes: Vec<Instance>,
    _leash: Leash,
}

impl OwnCluster {
    /// In `folder`, which must be absolute. Blocks until it is ready.
    pub fn start(folder: &Path) -> Result<Self> {
        ensure!(folder.is_absolute(), "an engine's folder is absolute: {}", folder.display());
        redis::require_package()?;
        let folders: Vec<PathBuf> = (1..=NODES).map(|number| folder.join(number.to_string())).collect();
        let leash = Leash::on(&folders)?;
        static NTH: AtomicU32 = AtomicU32::new(0);
        let place = (std::process::id().wrapping_add(NTH.fetch_add(1, Ordering::Relaxed)) % OWN_PLACES) as u16;
        let nodes = start_nodes(folders, OWN_FIRST_PORT + place * 2 * u16::from(NODES), OWN_NODE_TIMEOUT_MS)?;
        Ok(Self { nodes, _leash: leash })
    }

    /// Of all nodes, as clients want them.
    pub fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| format!("redis://127.0.0.1:{}", node.port)).collect()
    }

    /// The node that answers for this key now.
    pub fn primary_of(&self, key: &str) -> Result<usize> {
        // Any other says who does.
        let answers = |node: &Instance| ask(node, &["exists", key]).is_ok_and(|answer| answer == "0" || answer == "1");
        self.nodes.iter().position(answers).with_context(|| format!("no node answers for {key}"))
    }

    pub fn replica_of(&self, primary: usize) -> Result<usize> {
        let about = ask(&self.nodes[primary], &["info", "replication"])?;
        let is_it = |node: &Instance| about.contains(&format!("port={},", node.port));
        self.nodes.iter().position(is_it).context("it has no replica")
    }

    /// What `redis-cli` prints.
    pub fn ask(&self, node: usize, what: &[&str]) -> Result<String> {
        ask(&self.nodes[node], what)
    }

    /// SIGSTOP.
    pub fn pause(&self, node: usize) -> Result<()> {
        self.nodes[node].signal("-STOP")
    }

    pub fn resume(&self, node: usize) -> Result<()> {
        self.nodes[node].signal("-CONT")
    }

    /// SIGKILL.
    pub fn kill(&self, node: usize) -> Result<()> {
        self.nodes[node].signal("-KILL")
    }

    /// After [`Self::kill`], with the data it had; if another took its place, as that one's replica.
    pub fn restart(&mut self, node: usize) -> Result<()> {
        let Instance { service, number, port, ref folder, .. } = self.nodes[node];
        self.nodes[node] = redis::run_as(service, number, folder.clone(), port, &Environment::new())?;
        Ok(())
    }
}

impl Drop for OwnCluster {
    fn drop(&mut self) {
        for node in &self.nodes {
            // Nothing less ends one that is stopped, and one that was killed is gone.
            let _ = Command::new("kill").arg("-KILL").arg(node.pid.to_string()).status();
        }
    }
}
