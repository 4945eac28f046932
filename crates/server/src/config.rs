//! One file with a section per component, overridden by environment and flags, validated whole before anything binds.
//!
//! Order of precedence: built-in default < file < environment < flag. The file is `<data>/skein.toml`, or what
//! `--config` names. An environment variable `SKEIN_<SECTION>__<KEY>` sets one key; its value is TOML, or else text.
//! An unknown section or key is an error that names it.

use crate::roles::{Role, Roles};
use anyhow::{Context, Result, ensure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

pub mod compat;
mod layers;
pub mod reference;
mod sections;
mod told;

pub use layers::parse_value;
pub use sections::{CometPeer, ListenConfig, NodeConfig, PeersConfig};

use layers::{environment, merge, read_file, set};

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// This node.
    pub node: NodeConfig,
    /// Where each listener binds. All on 127.0.0.1 until an address is set; port 0 takes a free one.
    pub listen: ListenConfig,
    /// Certificates. Without them every listener speaks plain text.
    pub tls: crate::tls::TlsConfig,
    /// The other processes of a deployment in roles.
    pub peers: PeersConfig,
    /// The store.
    pub storage: skein_storage::Config,
    /// Redis, for what the nodes of a deployment share about connections; without it each process keeps that in memory.
    pub redis: skein_storage::RedisConfig,
    /// Kafka, between the change log and the job; without it the job takes records from the log itself.
    pub kafka: skein_storage::KafkaConfig,
    /// Soft limits of the product.
    pub limits: skein_domain::Limits,
    /// Commands, sync, accounts and contacts.
    pub logic: skein_logic::Config,
    /// Long connections.
    pub comet: skein_edge::comet::Config,
    /// Public HTTP.
    pub gate: skein_edge::gate::Config,
    /// Other systems' contracts.
    pub compat: compat::CompatConfig,
    /// Mail.
    pub mail: crate::mail::Config,
    /// Logs, metrics, traces.
    pub telemetry: crate::telemetry::Config,
}

impl Config {
    /// Reads, merges and validates. `flags` are the last word, as (section.key, value).
    pub fn load(
        data: &Path,
        file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        flags: &[(String, toml::Value)],
    ) -> Result<Self> {
        // Laid over the defaults, so that a table may be given in part.
        let mut tree = toml::Table::try_from(Config::default()).context("write down the defaults")?;
        merge(&mut tree, read_file(data, file)?);
        for (path, value) in environment(env) {
            set(&mut tree, &path, value);
        }
        for (path, value) in flags {
            set(&mut tree, path, value.clone());
        }
        let config: Config = toml::Value::Table(tree).try_into().context("read the configuration")?;
        config.validate()?;
        Ok(config)
    }

    pub fn roles(&self) -> Result<Roles> {
        Roles::new(&self.node.roles)
    }

    /// Everything that can be known to be wrong before anything binds.
    pub fn validate(&self) -> Result<()> {
        let roles = self.roles()?;
        let name = &self.node.name;
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        ensure!(!name.is_empty() && name.len() <= 64 && plain, "node.name must be 1 to 64 letters, digits, '-', '_' or '.'");
        if !roles.has(Role::Logic) {
            ensure!(!self.peers.logic.is_empty(), "a node without role logic needs peers.logic, for example http://127.0.0.1:50052");
        }
        for (index, peer) in self.peers.comets.iter().enumerate() {
            ensure!(peer.node != *name, "peers.comets[{index}] has this node's own name");
        }
        let trusts_somebody = self.tls.is_on() || !self.peers.ca_file.as_os_str().is_empty();
        for (key, address) in self.peers.addresses() {
            let fits = address.starts_with("http://") || (address.starts_with("https://") && trusts_somebody);
            ensure!(fits, "{key} {address:?} must be http://host:port, or https://host:port with peers.ca_file set");
        }
        self.storage.validate().map_err(anyhow::Error::msg)?;
        self.redis.validate().map_err(anyhow::Error::msg)?;
        self.kafka.validate().map_err(anyhow::Error::msg)?;
        // One job takes a record, of whichever node; what it knows of connections without Redis is its own node's only.
        ensure!(
            !self.kafka.is_on() || self.redis.is_on() || !self.storage.is_on_mysql() || !roles.has(Role::Logic),
            "kafka.brokers with storage.mysql.url needs redis.urls: the node that takes a record must know who is connected to the others"
        );
        self.tls.validate()?;
        self.compat.goim.validate()?;
        self.mail.validate()?;
        self.comet.validate()?;
        self.telemetry.validate()?;
        Ok(())
    }

    /// Whether clients from other machines reach the public listener.
    pub fn is_public(&self) -> bool {
        !self.listen.public.ip().is_loopback()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, env: &[(&str, &str)], flags: &[(&str, toml::Value)]) -> Result<Config> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("skein.toml"), file)?;
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let flags: Vec<_> = flags.iter().map(|(path, value)| ((*path).to_owned(), value.clone())).collect();
        Config::load(folder.path(), None, env, &flags)
    }

    #[test]
    fn flag_beats_environment_beats_file_beats_default() {
        let file = "[node]\nname = 'file'\n[limits]\nfriends = 7";
        let config = load(file, &[], &[]).unwrap();
        assert_eq!((config.node.name.as_str(), config.limits.friends, config.limits.rooms), ("file", 7, 200));
        let env = [("SKEIN_NODE__NAME", "env"), ("SKEIN_LISTEN__PUBLIC", "127.0.0.1:0"), ("SKEIN_PYTHON", "not ours")];
        let config = load(file, &env, &[]).unwrap();
        assert_eq!((config.node.name.as_str(), config.listen.public.port()), ("env", 0));
        let config = load(file, &env, &[("node.name", "flag".into())]).unwrap();
        assert_eq!(config.node.name, "flag");
    }

    #[test]
    fn a_table_may_be_given_in_part() {
        let default = Config::default().logic.sends;
        let config = load("[logic.sends]\nburst = 3", &[], &[]).unwrap();
        assert_eq!((config.logic.sends.burst, config.logic.sends.every_ms), (3, default.every_ms));
        let config = load("", &[], &[("logic.sends.every_ms", 7.into())]).unwrap();
        assert_eq!((config.logic.sends.burst, config.logic.sends.every_ms), (default.burst, 7));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |file: &str| format!("{:#}", load(file, &[], &[]).unwrap_err());
        assert!(error("[limits]\nfreinds = 7").contains("freinds"));
        assert!(error("[listn]").contains("listn"));
        assert!(error("[limits]\nfriends = 'many'").contains("friends"));
        assert!(error("[node]\nname = 'a b'").contains("node.name"));
        assert!(error("[node]\nroles = ['comet']").contains("peers.logic"));
        assert!(error("[redis]\nurls = ['localhost:6379']").contains("redis.urls"));
        assert!(error("[kafka]\nbrokers = 'kafka'\npartitions = 0").contains("kafka.partitions"));
        assert!(error("nonsense").contains("skein.toml"));
    }

    const AT_A_DATABASE: &str = "[storage.mysql]\nurl = 'mysql://db/skein'\n";

    #[test]
    fn an_address_alone_chooses_the_store() {
        assert!(!load("", &[], &[]).unwrap().storage.is_on_mysql());
        assert!(load(AT_A_DATABASE, &[], &[]).unwrap().storage.is_on_mysql());
        assert!(load("", &[("SKEIN_STORAGE__MYSQL__URL", "mysql://db/skein")], &[]).unwrap().storage.is_on_mysql());
        let backend = |backend: &str, file: &str| load(file, &[], &[("storage.backend", backend.into())]);
        assert!(backend("mysql", AT_A_DATABASE).unwrap().storage.is_on_mysql());
        for error in [backend("sqlite", AT_A_DATABASE), backend("mysql", "")] {
            let error = format!("{:#}", error.unwrap_err());
            assert!(error.contains("storage.backend") && error.contains("storage.mysql.url"), "{error}");
        }
    }

    #[test]
    fn kafka_between_nodes_that_share_a_database_needs_redis() {
        let kafka = "[kafka]\nbrokers = 'kafka:9092'\n";
        let error = format!("{:#}", load(&format!("{AT_A_DATABASE}{kafka}"), &[], &[]).unwrap_err());
        assert!(["kafka.brokers", "storage.mysql.url", "redis.urls"].iter().all(|key| error.contains(key)), "{error}");
        assert!(load(kafka, &[], &[]).is_ok(), "alone on a data folder");
        let redis = "[redis]\nurls = ['redis://cache:6379']\n";
        assert!(load(&format!("{AT_A_DATABASE}{kafka}{redis}"), &[], &[]).is_ok());
    }

    #[test]
    fn printed_configuration_holds_no_secret() {
        let config = load("", &[("SKEIN_MAIL__PASSWORD", "hunter2")], &[]).unwrap();
        assert_eq!(config.mail.password, "hunter2");
        assert!(!config.redacted().contains("hunter2"));
        assert!(!config.changed().contains("hunter2"));
        assert!(!format!("{config:?}").contains("hunter2"));
        let config = load("[redis]\nurls = ['redis://:hunter2@cache:6379', 'rediss://ann:hunter2@cache2/1']", &[], &[]).unwrap();
        assert!(!config.redacted().contains("hunter2") && !config.changed().contains("hunter2"));
        assert!(config.changed().contains(r#"redis.urls=["redis://…@cache:6379", "rediss://…@cache2/1"]"#), "{}", config.changed());
        let config = load("", &[("SKEIN_TELEMETRY__OTLP", "http://ann:hunter2@collector:4317/v1")], &[]).unwrap();
        assert!(config.redacted().contains("http://…@collector:4317/v1"), "{}", config.redacted());
        assert!(config.changed().contains(r#"telemetry.otlp="http://…@collector:4317/v1""#), "{}", config.changed());
    }

    #[test]
    fn the_changed_configuration_is_one_short_line() {
        assert_eq!(Config::default().changed(), "all as built in");
        let config = load("[limits]\nfriends = 7\n[mail]\npassword = 'hunter2'", &[("SKEIN_NODE__NAME", "a")], &[]).unwrap();
        assert_eq!(config.changed(), r#"limits.friends=7 mail.password="…" node.name="a""#);
    }

    #[test]
    fn a_peer_at_https_needs_somebody_to_trust() {
        let peers = |address: &str, more: &str| load(&format!("[peers]\nlogic = '{address}'\n{more}"), &[], &[]).map(|_| ());
        assert!(peers("http://10.0.0.1:50052", "").is_ok());
        assert!(peers("https://10.0.0.1:50052", "ca_file = 'ca.pem'").is_ok());
        assert!(peers("https://10.0.0.1:50052", "[tls]\ncertificate = 'c.pem'\nprivate_key = 'k.pem'").is_ok());
        for wrong in ["https://10.0.0.1:50052", "10.0.0.1:50052", "ftp://10.0.0.1"] {
            let error = format!("{:#}", peers(wrong, "").unwrap_err());
            assert!(error.contains("peers.logic") && error.contains("peers.ca_file"), "{error}");
        }
    }
}
