//! The same engines in containers (`deploy/compose.services.yaml`), one of each, for machines where Docker runs and the
//! engines can be neither found nor installed, or on demand (`up --compose`).
//!
//! **Invariant:** one way at a time: while the mark is there, addresses are those of the containers, and no process of ours
//! is looked for.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::process::Instance;
use super::{Service, folder, kafka, mariadb, redis, redis_cluster};
use crate::command::{must_succeed, succeeds, workspace_root};
use crate::machine;

const FILE: &str = "deploy/compose.services.yaml";
const SERVICES: [Service; 4] = [Service::Mariadb, Service::Redis, Service::RedisCluster, Service::Kafka];

pub fn is_up() -> bool {
    mark().exists()
}

/// Whether nothing else would bring up the engines here.
pub fn is_only_way() -> bool {
    // Asking by name costs less than asking Java for its version.
    let is_there = |program: &str| succeeds(Command::new("sh").args(["-c", "command -v \"$0\""]).arg(mariadb::program(program)));
    let all_there = || ["mariadbd", "redis-server", "java", "mvn"].into_iter().all(is_there);
    !machine::can_install() && !all_there() && succeeds(Command::new("docker").arg("info"))
}

pub fn up(named: &[Service]) -> Result<()> {
    ensure!(!named.contains(&Service::MariadbReplica), "there is no replica in {FILE}");
    let mut command = compose();
    command.args(["up", "--detach", "--wait"]).args(named.iter().map(|service| service.name()));
    must_succeed(&mut command, "start Docker, with its compose plugin; or leave --compose out, if the engines can be installed")?;
    std::fs::write(mark(), "").context("note that the engines are containers")
}

/// Removes their data, too.
pub fn down() -> Result<()> {
    must_succeed(compose().args(["down", "--volumes"]), "read what Docker says above")?;
    std::fs::remove_file(mark()).context("forget that the engines were containers")
}

/// Where they are, whether or not each is up.
pub fn instances() -> Vec<Instance> {
    let at = |service, number: u8, port| Instance { service, number, port, pid: 0, folder: folder() };
    let of = |service: Service| match service {
        Service::RedisCluster => (1..=redis_cluster::NODES).map(|n| at(service, n, port(service) + u16::from(n) - 1)).collect(),
        _ => vec![at(service, 1, port(service))],
    };
    SERVICES.into_iter().flat_map(of).collect()
}

fn port(service: Service) -> u16 {
    match service {
        Service::Mariadb | Service::MariadbReplica => mariadb::FIRST_PORT,
        Service::Redis => redis::FIRST_PORT,
        Service::RedisCluster => redis_cluster::FIRST_PORT,
        Service::Kafka => kafka::FIRST_PORT,
    }
}

fn compose() -> Command {
    let mut command = Command::new("docker");
    command.args(["compose", "--file", FILE]).current_dir(workspace_root());
    command
}

fn mark() -> PathBuf {
    folder().join("compose")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = include_str!("../../../deploy/compose.services.yaml");

    #[track_caller]
    fn assert_has(what: &str) {
        assert!(TEXT.contains(what), "{FILE} lacks {what}");
    }

    #[test]
    fn containers_are_where_and_what_our_own_instances_are() {
        for service in SERVICES {
            assert_has(&format!("\n  {}:\n", service.name()));
        }
        for service in [Service::Mariadb, Service::Redis, Service::Kafka] {
            assert_has(&format!("\"127.0.0.1:{}:", port(service)));
        }
        let nodes = format!("{}-{}", redis_cluster::FIRST_PORT, redis_cluster::FIRST_PORT + u16::from(redis_cluster::NODES) - 1);
        assert_has(&format!("\"127.0.0.1:{nodes}:{nodes}\""));
        assert_has(&format!("--cluster-node-timeout {}", redis_cluster::NODE_TIMEOUT_MS));
        assert_has(&format!("image: apache/kafka:{}\n", kafka::VERSION));
        assert_has(&format!("KAFKA_HEAP_OPTS: \"{}\"", kafka::HEAP.join(" ")));
        assert_has(&format!("CREATE USER IF NOT EXISTS '{}'@'%' IDENTIFIED BY '{}'", mariadb::USER, mariadb::PASSWORD));
        mariadb::DURABLE.iter().for_each(|setting| assert_has(setting));
        assert_has(&redis::PERSISTENCE.join(" "));
    }

    /// Of YAML the file uses: maps and lists by two spaces, one line each, and texts after `|`.
    #[test]
    fn the_file_is_yaml() {
        let (mut open, mut text_from): (Vec<usize>, Option<usize>) = (vec![0], None);
        for (number, line) in TEXT.lines().enumerate() {
            let depth = line.len() - line.trim_start().len();
            let bare = line.trim_start().split(" #").next().unwrap_or_default().trim_end();
            if bare.is_empty() || bare.starts_with('#') || text_from.is_some_and(|from| depth > from) {
                continue;
            }
            text_from = None;
            assert!(!line.contains('\t') && depth % 2 == 0, "line {}: {line}", number + 1);
            open.retain(|level| *level <= depth);
            assert_eq!(open.last(), Some(&depth), "line {}: {line}", number + 1);
            let value = bare.strip_prefix("- ").unwrap_or(bare);
            let is_item = bare.starts_with("- ");
            assert!(is_item || value.ends_with(':') || value.contains(": "), "line {}: {line}", number + 1);
            if value.ends_with('|') {
                text_from = Some(depth);
            } else if value.ends_with(':') || is_item && value.contains(": ") {
                open.push(depth + 2);
            }
        }
    }
}
