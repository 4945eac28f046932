//! Redis from Debian's packages, with its append-only file on, as in production.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::process::{self, Environment, INSTALLING, Instance, Lock};
use super::{Service, folder, instance_folder, mariadb};
use crate::command::{output_of, succeeds};
use crate::machine;

pub const FIRST_PORT: u16 = 26_379;
pub const PERSISTENCE: [&str; 9] = ["--appendonly", "yes", "--appendfsync", "everysec", "--save", "900", "1", "300", "100"];
const PATIENCE: Duration = Duration::from_secs(20);
/// Its settings are what we start it with.
const MAJOR: u32 = 7;

pub fn start() -> Result<Instance> {
    require_package()?;
    run(instance_folder(Service::Redis, 1), process::free_ports(FIRST_PORT, 1)?[0], &Environment::new())
}

/// `redis-cli` comes with it.
pub fn require_package() -> Result<()> {
    let server = || Command::new(mariadb::program("redis-server"));
    if !succeeds(server().arg("--version")) {
        let _lock = Lock::named(&folder(), INSTALLING)?;
        machine::install_without_starting("Redis is missing (tests run against it)", &["redis-server"])?;
    }
    let told = output_of(server().arg("--version"))?;
    ensure!(
        major(&told).is_none_or(|major| major >= MAJOR),
        "Redis {MAJOR} or newer is needed, here is: {told}\n  next: install it from packages.redis.io"
    );
    Ok(())
}

/// Of `Redis server v=7.0.15 sha=…`.
fn major(told: &str) -> Option<u32> {
    told.split_once("v=")?.1.split('.').next()?.parse().ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_what_redis_says() {
        assert_eq!(major("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64"), Some(7));
        assert_eq!(major("Redis server v=6.0.16 sha=0"), Some(6));
        assert_eq!(major("something else"), None);
    }
}
