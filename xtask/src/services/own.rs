//! An engine for one test alone, which may stop, kill and start it again.
//!
//! **Invariant:** it is in a folder and on ports of its own, is in no note that others read, and ends with its value, or
//! with the process that holds it, however that ends.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};

use super::process::{Environment, Instance, Leash, free_ports};
use super::{Service, kafka, mariadb, redis};

/// Below the ports systems hand out by themselves, and away from those of the shared instances.
const FIRST_PORT: u16 = 32_000;
/// So far apart that those which start at the same moment do not look at the same ones.
const PORTS_EACH: u16 = 8;
const PLACES: u32 = 80;
/// With fewer none may be away.
const BROKERS: usize = 3;

pub struct Own {
    instance: Instance,
    ports: Vec<u16>,
    folder: PathBuf,
    environment: Environment,
    arguments: &'static [&'static str],
    _leash: Leash,
}

impl Own {
    /// A MariaDB, a Redis or a Kafka in `folder`, which must be absolute. Blocks until it answers.
    pub fn start(service: Service, folder: &Path) -> Result<Self> {
        Self::start_in(service, folder, Environment::new())
    }

    /// With these variables, by which a preloaded library plants faults in it.
    pub fn start_in(service: Service, folder: &Path, environment: Environment) -> Result<Self> {
        Self::start_with(service, folder, environment, &[])
    }

    /// A MariaDB also with further arguments, of which the last counts.
    pub fn start_with(service: Service, folder: &Path, environment: Environment, arguments: &'static [&'static str]) -> Result<Self> {
        let ports = ports(2)?;
        match service {
            Service::Kafka => kafka::prepare_own(&[(folder.to_owned(), ports.clone())])?,
            Service::Mariadb => mariadb::prepare_own(folder)?,
            Service::Redis => redis::require_package()?,
            Service::RedisCluster | Service::MariadbReplica => {}
        }
        Self::run(service, folder.to_owned(), ports, environment, arguments)
    }

    /// Three Kafka brokers of one cluster, below `folder`, which must be absolute. Blocks until all answer.
    pub fn start_brokers(folder: &Path) -> Result<Vec<Self>> {
        let ports = ports(2 * BROKERS)?;
        let folders = (1..=BROKERS).map(|number| folder.join(format!("broker-{number}")));
        let nodes: Vec<(PathBuf, Vec<u16>)> = folders.zip(ports.chunks(2).map(<[u16]>::to_vec)).collect();
        kafka::prepare_own(&nodes)?;
        let start =
            |(folder, ports): &(PathBuf, Vec<u16>)| Self::run(Service::Kafka, folder.clone(), ports.clone(), Environment::new(), &[]);
        kafka::in_parallel(&nodes, start).into_iter().collect()
    }

    fn run(
        service: Service,
        folder: PathBuf,
        ports: Vec<u16>,
        environment: Environment,
        arguments: &'static [&'static str],
    ) -> Result<Self> {
        let leash = Leash::on(std::slice::from_ref(&folder))?;
        let instance = run(service, &folder, &ports, &environment, arguments)?;
        Ok(Self { instance, ports, folder, environment, arguments, _leash: leash })
    }

    /// As clients want it.
    pub fn address(&self) -> String {
        self.instance.service.address(std::slice::from_ref(&self.instance))
    }

    pub fn port(&self) -> u16 {
        self.instance.port
    }

    pub fn pid(&self) -> u32 {
        self.instance.pid
    }

    /// Makes an empty database on a MariaDB; answers its URL.
    pub fn make_database(&self, name: &str) -> Result<String> {
        mariadb::make_database_at(self.instance.port, name)
    }

    /// Closes all connections of the product to a MariaDB.
    pub fn hang_up(&self) -> Result<()> {
        mariadb::hang_up(self.instance.port)
    }

    /// SIGSTOP: it answers nobody, and closes nothing.
    pub fn pause(&self) -> Result<()> {
        self.instance.signal("-STOP")
    }

    pub fn resume(&self) -> Result<()> {
        self.instance.signal("-CONT")
    }

    /// SIGTERM; returns when it has ended, its data in order.
    pub fn stop(&self) -> Result<()> {
        self.instance.stop()
    }

    /// SIGKILL.
    pub fn kill(&self) -> Result<()> {
        self.instance.signal("-KILL")
    }

    /// After [`Self::kill`], with the data it had. Blocks until it answers.
    pub fn restart(&mut self) -> Result<()> {
        self.instance = run(self.instance.service, &self.folder, &self.ports, &self.environment, self.arguments)?;
        Ok(())
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // It may have been killed already, or be stopped: nothing less ends that.
        let _ = Command::new("kill").arg("-KILL").arg(self.instance.pid.to_string()).status();
    }
}

fn ports(count: usize) -> Result<Vec<u16>> {
    static NTH: AtomicU32 = AtomicU32::new(0);
    let place = std::process::id().wrapping_add(NTH.fetch_add(1, Ordering::Relaxed)) % PLACES;
    free_ports(FIRST_PORT + place as u16 * PORTS_EACH, count)
}

fn run(service: Service, folder: &Path, ports: &[u16], environment: &Environment, arguments: &[&str]) -> Result<Instance> {
    ensure!(folder.is_absolute(), "an engine's folder is absolute: {}", folder.display());
    match service {
        Service::Mariadb => mariadb::run_own(folder, ports[0], environment, arguments),
        Service::Redis => redis::run(folder.to_owned(), ports[0], environment),
        Service::Kafka => kafka::run_own(folder, ports[0], environment),
        other => anyhow::bail!("no test needs a {} of its own", other.name()),
    }
    .context("start an engine of our own")
}
