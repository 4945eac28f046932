//! The engines tests run against: private instances with their own ports and data, below `target/services`.
//!
//! Owns which engines there are ([`Service`]), bringing them up and down, and the file `target/services/env.json` that
//! tells where they are. How each one is installed and started is in a file of its own. Also a library: a test calls
//! [`require`] and gets a running engine on any machine, bare or not.
//!
//! **Invariant:** the system's own services and data are never touched: everything is started from here, on ports of
//! ours, with a folder of ours.
//! **Invariant:** one `up` or `down` runs at a time, whoever calls; each waits for readiness, and never for ever.

mod compose;
mod kafka;
pub mod mariadb;
mod own;
mod process;
mod redis;
mod redis_cluster;
mod report;

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

use crate::command::workspace_root;
use crate::machine;
pub use kafka::tool as kafka_tool;
pub use own::Own;
use process::Lock;
pub use process::{Environment, Instance};
pub use redis_cluster::OwnCluster;

/// An engine that tests can run against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    Mariadb,
    /// Follows the other MariaDB; brought up by `--ha`.
    MariadbReplica,
    Redis,
    /// Six nodes, three of them replicas.
    RedisCluster,
    Kafka,
}

impl Service {
    pub const ALL: [Service; 5] = [Service::Mariadb, Service::MariadbReplica, Service::Redis, Service::RedisCluster, Service::Kafka];
    const DEFAULT: [Service; 4] = [Service::Mariadb, Service::Redis, Service::RedisCluster, Service::Kafka];

    pub fn name(self) -> &'static str {
        match self {
            Service::Mariadb => "mariadb",
            Service::MariadbReplica => "mariadb-replica",
            Service::Redis => "redis",
            Service::RedisCluster => "redis-cluster",
            Service::Kafka => "kafka",
        }
    }

    /// As clients want it: a URL, or a list of nodes or brokers.
    fn address(self, instances: &[Instance]) -> String {
        let mine = instances.iter().filter(|instance| instance.service == self);
        let addresses = mine.map(|instance| match self {
            Service::Mariadb | Service::MariadbReplica => mariadb::url(instance.port),
            Service::Redis | Service::RedisCluster => format!("redis://127.0.0.1:{}", instance.port),
            Service::Kafka => format!("127.0.0.1:{}", instance.port),
        });
        addresses.collect::<Vec<_>>().join(",")
    }

    fn start(self, ha: bool) -> Result<Vec<Instance>> {
        match self {
            Service::Mariadb => Ok(vec![mariadb::start_primary()?]),
            Service::MariadbReplica => {
                let primary = find_one(Service::Mariadb).context("the replica needs the other MariaDB, which is not running")?;
                Ok(vec![mariadb::start_replica(primary.port)?])
            }
            Service::Redis => Ok(vec![redis::start()?]),
            Service::RedisCluster => redis_cluster::start(),
            Service::Kafka => kafka::start(if ha { 3 } else { 1 }),
        }
    }
}

/// `cargo xtask services up [--ha | --compose] [names…] | down | status`.
pub fn services(arguments: &[String]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.split_first() {
        Some((&"up", rest)) => {
            let (ha, in_containers) = (rest.contains(&"--ha"), rest.contains(&"--compose"));
            ensure!(!(ha && in_containers), "--compose has one of each");
            let names = rest.iter().filter(|word| !["--ha", "--compose"].contains(word));
            let named = names.map(|word| by_name(word)).collect::<Result<Vec<_>>>()?;
            if in_containers {
                up_in_containers(&named)?;
            } else {
                up(&named, ha)?;
            }
            report::print(&running()?);
            Ok(())
        }
        Some((&"down", [])) => down(),
        Some((&"status", [])) => {
            report::print(&running()?);
            Ok(())
        }
        _ => {
            bail!("usage: cargo xtask services up [--ha | --compose] [{}]… | down | status", Service::ALL.map(Service::name).join("|"))
        }
    }
}

/// The address of a running instance, started now if there is none. For tests.
pub fn require(service: Service) -> Result<String> {
    if find_one(service).is_none_or(|instance| !instance.answers()) {
        let needed: &[Service] = if service == Service::MariadbReplica { &[Service::Mariadb, Service::MariadbReplica] } else { &[service] };
        up(needed, false).with_context(|| format!("bring up {}", service.name()))?;
    }
    Ok(service.address(&running()?))
}

/// Brings up what is named (nothing named: all that tests need), leaves alone what runs already.
pub fn up(named: &[Service], ha: bool) -> Result<()> {
    if compose::is_up() || !ha && compose::is_only_way() {
        return up_in_containers(named);
    }
    machine::require_tools()?;
    let _lock = Lock::take(&folder())?;
    let mut wanted = if named.is_empty() { Service::DEFAULT.to_vec() } else { named.to_vec() };
    if ha && named.is_empty() {
        wanted.insert(1, Service::MariadbReplica);
    }
    for service in wanted {
        let found: Vec<Instance> = running()?.into_iter().filter(|instance| instance.service == service).collect();
        let enough = match service {
            Service::Kafka if ha => 3,
            Service::RedisCluster => redis_cluster::NODES.into(),
            _ => 1,
        };
        if found.len() >= enough && found.iter().all(Instance::answers) {
            continue;
        }
        found.iter().try_for_each(Instance::stop)?;
        eprintln!("starting {}", service.name());
        service.start(ha)?;
    }
    report::write(&folder(), &running()?)
}

fn up_in_containers(named: &[Service]) -> Result<()> {
    let _lock = Lock::take(&folder())?;
    ensure!(compose::is_up() || running()?.is_empty(), "instances of our own run\n  next: cargo xtask services down");
    compose::up(named)?;
    report::write(&folder(), &running()?)
}

/// Stops everything and removes its data.
pub fn down() -> Result<()> {
    let _lock = Lock::take(&folder())?;
    if compose::is_up() {
        compose::down()?;
    }
    // Followers first, so that none spends its last moments looking for its primary.
    for instance in running()?.iter().rev() {
        instance.stop()?;
        eprintln!("stopped {}", instance.label());
    }
    // Also of those that ended by themselves, or with the machine.
    for (service, number) in places() {
        let folder = instance_folder(service, number);
        if folder.exists() {
            std::fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
        }
    }
    report::write(&folder(), &[])
}

fn places() -> impl Iterator<Item = (Service, u8)> {
    Service::ALL.into_iter().flat_map(|service| (1..=redis_cluster::NODES).map(move |number| (service, number)))
}

/// What was started and has not ended, in order of [`Service::ALL`].
pub fn running() -> Result<Vec<Instance>> {
    if compose::is_up() {
        return Ok(compose::instances());
    }
    let mut found = Vec::new();
    for (service, number) in places() {
        found.extend(Instance::find(service, number, instance_folder(service, number))?);
    }
    Ok(found)
}

fn find_one(service: Service) -> Option<Instance> {
    running().ok()?.into_iter().find(|instance| instance.service == service)
}

fn by_name(name: &str) -> Result<Service> {
    let found = Service::ALL.into_iter().find(|service| service.name() == name);
    found.with_context(|| format!("no such service: {name} (there are {})", Service::ALL.map(Service::name).join(", ")))
}

/// Not below CARGO_TARGET_DIR: tests built elsewhere find the same instances. `SKEIN_SERVICES` names another place.
fn folder() -> PathBuf {
    workspace_root().join(std::env::var_os("SKEIN_SERVICES").unwrap_or_else(|| "target/services".into()))
}

fn instance_folder(service: Service, number: u8) -> PathBuf {
    folder().join(format!("{}-{number}", service.name()))
}
