//! Redis from Debian's packages, with its append-only file on, as in production.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::process::{self, Environment, Instance};
use super::{Service, instance_folder, mariadb};
use crate::command::succeeds;
use crate::machine;

pub const FIRST_PORT: u16 = 26_379;
pub const PERSISTENCE: [&str; 9] = ["--appendonly", "yes", "--appendfsync", "everysec", "--save", "900", "1", "300", "100"];
const PATIENCE: Duration = Duration::from_secs(20);

pub fn start() -> Result<Instance> {
    require_package()?;
    run(instance_folder(Service::Redis, 1), process::free_ports(FIRST_PORT, 1)?[0], &Environment::new())
}

/// `redis-cli` comes with it.
pub fn require_package() -> Result<()> {
    if succeeds(Command::new(mariadb::program("redis-server")).arg("--version")) {
        return Ok(());
    }
    machine::install_without_starting("Redis is missing (tests run against it)", &["redis-server"])
}

pub fn run(folder: PathBuf, port: u16, environment: &Environment) -> Result<Instance> {
    run_as(Service::Redis, 1, folder, port, environment)
}

/// With the settings in `folder/redis.conf`, if somebody put them there; else with ours.
pub fn run_as(service: Service, number: u8, folder: PathBuf, port: u16, environment: &Environment) -> Result<Instance> {
    std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let mut command = Command::new(mariadb::program("redis-server"));
    command.envs(environment.iter().cloned());
    let settings = folder.join("redis.conf");
    if settings.exists() {
        command.arg(settings);
    } else {
        command.args(PERSISTENCE);
    }
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--daemonize", "no", "--enable-debug-command", "local"]);
    // Redis rewrites its command line as `redis-server 127.0.0.1:port`; `proc-title-template` keeps the folder in it.
    command.arg("--dir").arg(&folder).arg("--proc-title-template").arg(format!("redis-server {} {{listen-addr}}", folder.display()));
    process::start(service, number, port, folder, &mut command, PATIENCE)
}
