//! An engine for one test alone, which may stop, kill and start it again.
//!
//! **Invariant:** it is in a folder and on ports of its own, is in no note that others read, and ends with its value.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};

use super::process::{Instance, free_ports};
use super::{Service, kafka, redis};
use crate::command::must_succeed;

/// Below the ports systems hand out by themselves, and away from those of the shared instances.
const FIRST_PORT: u16 = 32_000;
/// So far apart that those which start at the same moment do not look at the same ones.
const PORTS_EACH: u16 = 8;
const PLACES: u32 = 80;

pub struct Own {
    instance: Instance,
    ports: Vec<u16>,
    folder: PathBuf,
}

impl Own {
    /// A Redis or a Kafka in `folder`, which must be absolute. Blocks until it answers.
    pub fn start(service: Service, folder: &Path) -> Result<Self> {
        static NTH: AtomicU32 = AtomicU32::new(0);
        let place = std::process::id().wrapping_add(NTH.fetch_add(1, Ordering::Relaxed)) % PLACES;
        let first = FIRST_PORT + place as u16 * PORTS_EACH;
        let ports = free_ports(first, 2)?;
        if service == Service::Kafka {
            kafka::prepare_own(folder, &ports)?;
        }
        let instance = run(service, folder, &ports)?;
        Ok(Self { instance, ports, folder: folder.to_owned() })
    }

    /// As clients want it.
    pub fn address(&self) -> String {
        let at = (Ipv4Addr::LOCALHOST, self.instance.port);
        let scheme = if self.instance.service == Service::Redis { "redis://" } else { "" };
        format!("{scheme}{}:{}", at.0, at.1)
    }

    /// SIGSTOP: it answers nobody, and closes nothing.
    pub fn pause(&self) -> Result<()> {
        self.signal("-STOP")
    }

    pub fn resume(&self) -> Result<()> {
        self.signal("-CONT")
    }

    /// SIGKILL.
    pub fn kill(&self) -> Result<()> {
        self.signal("-KILL")
    }

    /// After [`Self::kill`], with the data it had. Blocks until it answers.
    pub fn restart(&mut self) -> Result<()> {
        self.instance = run(self.instance.service, &self.folder, &self.ports)?;
        Ok(())
    }

    fn signal(&self, signal: &str) -> Result<()> {
        must_succeed(Command::new("kill").arg(signal).arg(self.instance.pid.to_string()), "the engine has ended by itself; read its log")
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // It may have been killed already, or be stopped: nothing less ends that.
        let _ = Command::new("kill").arg("-KILL").arg(self.instance.pid.to_string()).status();
    }
}

fn run(service: Service, folder: &Path, ports: &[u16]) -> Result<Instance> {
    ensure!(folder.is_absolute(), "an engine's folder is absolute: {}", folder.display());
    match service {
        Service::Redis => redis::run(folder.to_owned(), ports[0]),
        Service::Kafka => kafka::run_own(folder, ports[0]),
        other => anyhow::bail!("no test needs a {} of its own", other.name()),
    }
    .context("start an engine of our own")
}
