//! One file with a section per component, overridden by environment and flags, validated whole before anything binds.
//!
//! Order of precedence: built-in default < file < environment < flag. The file is `<data>/skein.toml`, or what
//! `--config` names. An environment variable `SKEIN_<SECTION>__<KEY>` sets one key; its value is TOML, or else text.
//! An unknown section or key is an error that names it.

use crate::folder::CONFIG;
use crate::roles::{Role, Roles};
use anyhow::{Context, Result, ensure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use skein_rpc::Trust;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

pub mod compat;
pub mod reference;

const ENV_PREFIX: &str = "SKEIN_";
const ENV_SEPARATOR: &str = "__";
const REDACTED: &str = "…";

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

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NodeConfig {
    /// Name of the node, unique in a deployment.
    pub name: String,
    /// Roles to run; empty: all of them in this process.
    pub roles: Vec<Role>,
    /// Host name or address under which clients reach this node's Comet. Empty: the address it listens on.
    pub public_host: String,
    /// How long a stopping node waits for what is under way, in milliseconds.
    pub drain_timeout_ms: u64,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self { name: "skein-1".into(), roles: vec![], public_host: String::new(), drain_timeout_ms: 10_000 }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ListenConfig {
    /// Public HTTP and WebSocket.
    pub public: SocketAddr,
    /// Long connections over TCP.
    pub tcp: SocketAddr,
    /// Push API and `POST /logic/verify` for other gateways; answers with an API key only.
    pub push: SocketAddr,
    /// Push API over gRPC; answers with an API key only. Closed until an address is set.
    pub push_rpc: Option<SocketAddr>,
    /// Health, readiness and metrics.
    pub admin: SocketAddr,
    /// Internal gRPC of role comet; closed when all roles run in one process.
    pub comet_rpc: SocketAddr,
    /// Internal gRPC of role logic; closed when all roles run in one process.
    pub logic_rpc: SocketAddr,
}

impl Default for ListenConfig {
    fn default() -> Self {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self {
            public: local(8080),
            tcp: local(3101),
            push: local(8090),
            push_rpc: None,
            admin: local(8070),
            comet_rpc: local(50051),
            logic_rpc: local(50052),
        }
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PeersConfig {
    /// Address of role logic, for a node without it: `http://host:50052`, or `https://` if that node has `[tls]`.
    pub logic: String,
    /// Comets in other processes: node name and address of their internal gRPC.
    pub comets: Vec<CometPeer>,
    /// File with the secret all processes of a deployment share. Empty: `<data>/internal.secret`, made at first start.
    pub secret_file: PathBuf,
    /// PEM file with the certificates of the authorities trusted for peers at `https` addresses. Empty: this node's own
    /// `tls.certificate`.
    pub ca_file: PathBuf,
}

impl PeersConfig {
    /// Addresses this node calls, each with the key that names it.
    pub fn addresses(&self) -> impl Iterator<Item = (String, &str)> {
        let logic = (!self.logic.is_empty()).then(|| ("peers.logic".to_owned(), self.logic.as_str()));
        logic.into_iter().chain(self.comets.iter().enumerate().map(|(nth, peer)| (format!("peers.comets[{nth}]"), peer.address.as_str())))
    }

    /// `None`: nobody is trusted, so that an `https` address cannot be called.
    pub fn trust(&self, tls: &crate::tls::TlsConfig) -> Result<Option<Trust>> {
        let file = if self.ca_file.as_os_str().is_empty() { &tls.certificate } else { &self.ca_file };
        if file.as_os_str().is_empty() {
            return Ok(None);
        }
        let pem = std::fs::read(file).with_context(|| format!("read the certificates trusted for peers, {}", file.display()))?;
        Ok(Some(Trust::from_pem(pem)))
    }
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CometPeer {
    /// Name of the node, as in its own `node.name`.
    pub node: String,
    /// `http://host:50051`, or `https://` if that node has `[tls]`.
    pub address: String,
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
        self.redis.validate().map_err(anyhow::Error::msg)?;
        self.kafka.validate().map_err(anyhow::Error::msg)?;
        self.tls.validate()?;
        self.compat.goim.validate()?;
        self.mail.validate()?;
        self.comet.validate()?;
        self.telemetry.validate()?;
        Ok(())
    }

    /// For the log: every secret left out.
    pub fn redacted(&self) -> String {
        toml::to_string(&self.redacted_tree()).unwrap_or_default()
    }

    /// For the log, on one line: what is not as built in, every secret left out.
    pub fn changed(&self) -> String {
        let mut settings = Vec::new();
        differing("", &self.redacted_tree(), &Config::default().redacted_tree(), &mut settings);
        if settings.is_empty() { "all as built in".into() } else { settings.join(" ") }
    }

    fn redacted_tree(&self) -> toml::Value {
        let mut tree = toml::Value::try_from(self).unwrap_or(toml::Value::Table(Default::default()));
        redact(&mut tree);
        tree
    }

    /// Whether clients from other machines reach the public listener.
    pub fn is_public(&self) -> bool {
        !self.listen.public.ip().is_loopback()
    }
}

fn read_file(data: &Path, file: Option<&Path>) -> Result<toml::Table> {
    let path = file.map_or_else(|| data.join(CONFIG), Path::to_path_buf);
    match std::fs::read_to_string(&path) {
        Ok(text) => text.parse().with_context(|| format!("read {}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && file.is_none() => Ok(toml::Table::new()),
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

/// Variables with the separator only: others, such as SKEIN_PYTHON, are not configuration.
fn environment(env: impl Iterator<Item = (String, String)>) -> Vec<(String, toml::Value)> {
    let settings = env.filter_map(|(name, text)| {
        let name = name.strip_prefix(ENV_PREFIX)?;
        let path = name.contains(ENV_SEPARATOR).then(|| name.to_lowercase().replace(ENV_SEPARATOR, "."))?;
        Some((path, parse_value(&text)))
    });
    settings.collect()
}

/// `8080`, `true`, `["gate"]` and `"text"` are TOML; anything else is text as it stands.
pub fn parse_value(text: &str) -> toml::Value {
    let parsed: Result<toml::Table, _> = format!("value = {text}").parse();
    parsed.ok().and_then(|mut table| table.remove("value")).unwrap_or_else(|| toml::Value::String(text.to_owned()))
}

fn merge(tree: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (tree.get_mut(&key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => merge(below, above),
            (_, value) => {
                tree.insert(key, value);
            }
        }
    }
}

fn set(tree: &mut toml::Table, path: &str, value: toml::Value) {
    match path.split_once('.') {
        None => {
            tree.insert(path.to_owned(), value);
        }
        Some((section, rest)) => {
            let entry = tree.entry(section).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            if !entry.is_table() {
                *entry = toml::Value::Table(toml::Table::new());
            }
            if let toml::Value::Table(section) = entry {
                set(section, rest, value);
            }
        }
    }
}

fn differing(path: &str, value: &toml::Value, default: &toml::Value, settings: &mut Vec<String>) {
    match (value, default) {
        (toml::Value::Table(table), toml::Value::Table(defaults)) => {
            for (key, value) in table {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let default = defaults.get(key).unwrap_or(&toml::Value::Boolean(false));
                differing(&path, value, default, settings);
            }
        }
        (value, default) if value != default => settings.push(format!("{path}={value}")),
        _ => {}
    }
}

fn redact(value: &mut toml::Value) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table.iter_mut() {
                let secret = ["password", "secret", "token", "key"].iter().any(|word| key.split('_').any(|part| part == *word));
                match value {
                    toml::Value::String(text) if secret && !text.is_empty() => *text = REDACTED.into(),
                    other => redact(other),
                }
            }
        }
        toml::Value::Array(items) => items.iter_mut().for_each(redact),
        toml::Value::String(text) => hide_user(text),
        _ => {}
    }
}

/// `scheme://user:password@host` without its user and password.
fn hide_user(text: &mut String) {
    let Some(from) = text.find("://").map(|at| at + 3) else { return };
    let to = text[from..].find(['/', '?', '#']).map_or(text.len(), |at| from + at);
    if let Some(at) = text[from..to].rfind('@') {
        text.replace_range(from..from + at, REDACTED);
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
