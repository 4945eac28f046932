//! Apache Kafka in KRaft mode, from its published Java artifacts: each process is broker and controller.
//!
//! Maven resolves the classpath once, into a folder of its own. With three brokers topics are kept three times, two of
//! them must have a record before it is acknowledged, and a broker that fell behind is never elected.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::process::{self, Environment, Instance, Lock};
use super::{Service, folder, instance_folder};
use crate::command::must_succeed;
use crate::machine;

pub const VERSION: &str = "4.1.1";
const LOGGING: &str = "2.24.3";
pub const FIRST_PORT: u16 = 29_092;
/// A JVM on a busy machine, and an election.
const PATIENCE: Duration = Duration::from_secs(120);
/// The memory requirement of the product's own deployment.
pub const HEAP: [&str; 2] = ["-Xmx1G", "-Xms1G"];
/// Up soon rather than fast for long.
const SMALL_HEAP: [&str; 2] = ["-Xmx256M", "-XX:TieredStopAtLevel=1"];
const JAVA: u32 = 17;
/// Any one will do; brokers of one cluster have the same.
const CLUSTER: &str = "c2tlaW4tdGVzdHMta2Fma2";

pub fn start(brokers: u8) -> Result<Vec<Instance>> {
    let classpath = require_classpath()?;
    let ports = process::free_ports(FIRST_PORT, 2 * usize::from(brokers))?;
    let nodes: Vec<Node> = (1..=brokers)
        .zip(ports.chunks(2))
        .map(|(number, ports)| Node::new(number, instance_folder(Service::Kafka, number), ports))
        .collect();
    // All at once: none answers before most of them have agreed on a leader.
    for node in &nodes {
        node.prepare(&nodes, &classpath)?;
    }
    in_parallel(&nodes, |node| node.start(&classpath)).into_iter().collect()
}

/// The data folders of brokers one test has for itself: one, or a cluster of them.
pub fn prepare_own(folders: &[(PathBuf, Vec<u16>)]) -> Result<()> {
    let classpath = require_classpath()?;
    let nodes: Vec<Node> = (1..).zip(folders).map(|(number, (folder, ports))| Node::new(number, folder.clone(), ports)).collect();
    let prepared = in_parallel(&nodes, |node| node.prepare(&nodes, &classpath));
    prepared.into_iter().collect()
}

pub fn run_own(folder: &Path, port: u16, environment: &Environment) -> Result<Instance> {
    let mut command = java(&require_classpath()?);
    command.envs(environment.iter().cloned());
    start_node(1, folder, port, command, &SMALL_HEAP)
}

pub(super) fn in_parallel<T: Sync, R: Send>(all: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    std::thread::scope(|scope| {
        let running: Vec<_> = all.iter().map(|one| scope.spawn(|| work(one))).collect();
        running.into_iter().map(|thread| thread.join().expect("starting a broker does not panic")).collect()
    })
}

fn start_node(number: u8, folder: &Path, port: u16, mut command: Command, heap: &[&str]) -> Result<Instance> {
    command.args(heap).arg("kafka.Kafka").arg(folder.join("server.properties"));
    process::start(Service::Kafka, number, port, folder.to_owned(), &mut command, PATIENCE)
}

/// One of Kafka's own programs, by its Java class.
pub fn tool(class: &str) -> Result<Command> {
    let mut command = java(&require_classpath()?);
    command.args(SMALL_HEAP).arg(class);
    Ok(command)
}

struct Node {
    number: u8,
    folder: PathBuf,
    port: u16,
    controller: u16,
}

impl Node {
    fn new(number: u8, folder: PathBuf, ports: &[u16]) -> Self {
        Self { number, folder, port: ports[0], controller: ports[1] }
    }

    /// A fresh data folder with its settings: addresses are part of what a cluster remembers.
    fn prepare(&self, nodes: &[Node], classpath: &str) -> Result<()> {
        let folder = &self.folder;
        let _ = std::fs::remove_dir_all(folder);
        std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        std::fs::write(folder.join("server.properties"), self.properties(nodes)).context("write Kafka's settings")?;
        let mut format = java(classpath);
        format
            .args(SMALL_HEAP)
            .args(["kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER, "--config"])
            .arg(folder.join("server.properties"));
        format.stdout(std::fs::File::create(folder.join("format.log")).context("open Kafka's format log")?);
        must_succeed(&mut format, "read what Kafka's storage tool says above")
    }

    fn properties(&self, nodes: &[Node]) -> String {
        let voters: Vec<String> = nodes.iter().map(|node| format!("{}@127.0.0.1:{}", node.number, node.controller)).collect();
        let (copies, in_sync) = if nodes.len() >= 3 { (3, 2) } else { (1, 1) };
        format!(
            "process.roles=broker,controller\n\
             node.id={number}\n\
             controller.quorum.voters={voters}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
             controller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
             inter.broker.listener.name=PLAINTEXT\n\
             log.dirs={data}\n\
             default.replication.factor={copies}\n\
             min.insync.replicas={in_sync}\n\
             unclean.leader.election.enable=false\n\
             offsets.topic.replication.factor={copies}\n\
             offsets.topic.num.partitions=8\n\
             transaction.state.log.replication.factor={copies}\n\
             transaction.state.log.min.isr={in_sync}\n\
             share.coordinator.state.topic.replication.factor={copies}\n\
             share.coordinator.state.topic.min.isr={in_sync}\n\
             auto.create.topics.enable=false\n\
             group.initial.rebalance.delay.ms=0\n",
            number = self.number,
            voters = voters.join(","),
            port = self.port,
            controller = self.controller,
            data = self.folder.join("data").display(),
        )
    }

    fn start(&self, classpath: &str) -> Result<Instance> {
        start_node(self.number, &self.folder, self.port, java(classpath), &HEAP)
    }
}

fn java(classpath: &str) -> Command {
    let mut java = Command::new("java");
    java.args(["-cp", classpath, "-Djava.awt.headless=true", "-XX:+UseSerialGC"]);
    java
}

/// The folder of Kafka's libraries, as a Java classpath; filled by Maven when it is not there yet.
fn require_classpath() -> Result<String> {
    let libraries = folder().join(format!("kafka-libraries-{VERSION}"));
    if !libraries.join("complete").exists() {
        // Tests that start at the same moment would fill one folder together.
        let _lock = Lock::named(&folder(), "kafka.lock")?;
        if !libraries.join("complete").exists() {
            fetch(&libraries)?;
        }
    }
    require_java()?;
    Ok(format!("{}:{}/*", libraries.display(), libraries.display()))
}

fn require_java() -> Result<()> {
    if !machine::is_there("java") {
        machine::install("Java is missing (Kafka runs on it)", &["default-jre-headless"])?;
    }
    let output = Command::new("java").arg("-version").output().context("start java")?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(
        java_major(&told).is_none_or(|major| major >= JAVA),
        "Java {JAVA} or newer is needed by Kafka, here is: {}\n  next: sudo apt-get install openjdk-{JAVA}-jre-headless, and let `java` name it",
        told.lines().next().unwrap_or_default()
    );
    Ok(())
}

/// Of `openjdk version "17.0.18" 2026-01-20`, and of `java version "1.8.0_392"`.
fn java_major(told: &str) -> Option<u32> {
    let version = told.split('"').nth(1)?;
    version.strip_prefix("1.").unwrap_or(version).split(['.', '-']).next()?.parse().ok()
}

fn fetch(folder: &Path) -> Result<()> {
    require_java()?;
    if !machine::is_there("mvn") {
        machine::install("Maven is missing (it fetches Kafka)", &["maven"])?;
    }
    std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    let project = folder.join("pom.xml");
    std::fs::write(&project, project_text()).context("write Maven's project file")?;
    std::fs::write(folder.join("log4j2.xml"), LOG_SETTINGS).context("write Kafka's logging settings")?;
    let mut maven = Command::new("mvn");
    maven.args(["--batch-mode", "--quiet", "--file"]).arg(&project);
    maven.arg("dependency:copy-dependencies").arg(format!("-DoutputDirectory={}", folder.display()));
    must_succeed(
        &mut maven,
        "check the network and Maven's repository (behind a mirror or a proxy: ~/.m2/settings.xml), then run this again",
    )?;
    std::fs::write(folder.join("complete"), "").context("note that Kafka is complete")
}

fn project_text() -> String {
    let dependencies = [
        ("org.apache.kafka", "kafka_2.13", VERSION),
        ("org.apache.kafka", "kafka-tools", VERSION),
        ("org.apache.logging.log4j", "log4j-slf4j-impl", LOGGING),
    ];
    let dependencies = dependencies.map(|(group, artifact, version)| {
        format!("<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version></dependency>")
    });
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
         <groupId>skein</groupId><artifactId>kafka-for-tests</artifactId><version>1</version><packaging>pom</packaging>\
         <dependencies>{}</dependencies></project>\n",
        dependencies.concat()
    )
}

const LOG_SETTINGS: &str = "<Configuration><Appenders><Console name=\"out\"><PatternLayout pattern=\"%d %p %m (%c)%n\"/></Console></Appenders>\
     <Loggers><Root level=\"warn\"><AppenderRef ref=\"out\"/></Root></Loggers></Configuration>\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn javas_version_is_read_in_both_forms() {
        assert_eq!(java_major("openjdk version \"17.0.18\" 2026-01-20\nOpenJDK Runtime Environment"), Some(17));
        assert_eq!(java_major("openjdk version \"21-ea\" 2023-09-19"), Some(21));
        assert_eq!(java_major("java version \"1.8.0_392\""), Some(8));
        assert_eq!(java_major("no version"), None);
    }
}
