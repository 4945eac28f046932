//! Redis from Debian's packages, with its append-only file on, as in production.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::own::Environment;
use super::process::{self, Instance};
use super::{Service, instance_folder, mariadb};
use crate::command::succeeds;
use crate::machine;

const FIRST_PORT: u16 = 26_379;
const PATIENCE: Duration = Duration::from_secs(20);

pub fn start() -> Result<Instance> {
    if !succeeds(Command::new("redis-server").arg("--version")) {
        machine::install_without_starting("Redis is missing (tests run against it)", &["redis-server"])?;
    }
    run(instance_folder(Service::Redis, 1), process::free_ports(FIRST_PORT, 1)?[0], &Environment::new())
}

pub fn run(folder: PathBuf, port: u16, environment: &Environment) -> Result<Instance> {
    std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    // Redis rewrites its command line as `redis-server 127.0.0.1:port`; `proc-title-template` keeps the folder in it.
    let mut command = Command::new(mariadb::program("redis-server"));
    command.envs(environment.iter().cloned());
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--daemonize", "no"]);
    command.arg("--dir").arg(&folder).arg("--proc-title-template").arg(format!("redis-server {} {{listen-addr}}", folder.display()));
    command.args(["--appendonly", "yes", "--appendfsync", "everysec", "--save", "900 1 300 100", "--enable-debug-command", "local"]);
    process::start(Service::Redis, 1, port, folder, &mut command, PATIENCE)
}
