use super::rate::Rate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use skein_domain::port::CodeLimits;

/// Accounts: codes, passwords, sessions, and which Comet a client is sent to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long an e-mail code is good, in milliseconds.
    pub code_ttl_ms: i64,
    /// Codes sent to one address per hour, all purposes counted together.
    pub codes_per_hour: u32,
    /// Codes that may be tried for one address per hour, counted across codes.
    pub code_checks_per_hour: u32,

    /// Memory of one password hash (argon2id), in KiB. Stored hashes move to new costs as their owners log in.
    pub password_memory_kib: u32,
    /// Passes over that memory.
    pub password_passes: u32,
    /// Lanes of one hash.
    pub password_lanes: u32,
    /// Hashes computed at a time; 0: as many as there are cores.
    pub password_concurrency: u32,
    /// Callers that wait for a hash beyond those; more are answered `busy`.
    pub password_queue: u32,

    /// How long a session lives after its last use, in milliseconds.
    pub session_ttl_ms: i64,
    /// How often the use of a session is written down at most, in milliseconds.
    pub session_renew_ms: i64,
    /// How long a connect ticket is good, in milliseconds.
    pub ticket_ttl_ms: i64,
    /// How long a connection counts as live after its Comet last said so, in milliseconds.
    pub connection_lease_ms: i64,
    /// How long a Comet is handed out after it last said that it lives, in milliseconds.
    pub node_lease_ms: i64,
    /// How the Comet of a client is chosen.
    pub comet_choice: CometChoice,

    /// Code requests from one network address.
    pub code_requests_per_address: Rate,
    /// Log-ins, registrations and resets tried from one network address.
    pub log_ins_per_address: Rate,
    /// Log-ins tried for one e-mail address, known or not.
    pub log_ins_per_account: Rate,
}

/// Draining and dead nodes are never chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CometChoice {
    /// The one with the fewest connections.
    #[default]
    LeastConnections,
    /// One after the other.
    RoundRobin,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            code_ttl_ms: 300_000,
            codes_per_hour: 5,
            code_checks_per_hour: 10,
            password_memory_kib: 19 * 1024,
            password_passes: 2,
            password_lanes: 1,
            password_concurrency: 0,
            password_queue: 256,
            session_ttl_ms: 30 * DAY_MS,
            session_renew_ms: DAY_MS,
            ticket_ttl_ms: 60_000,
            connection_lease_ms: 90_000,
            node_lease_ms: 15_000,
            comet_choice: CometChoice::LeastConnections,
            code_requests_per_address: Rate { burst: 20, every_ms: 60_000 },
            log_ins_per_address: Rate { burst: 60, every_ms: 1_000 },
            log_ins_per_account: Rate { burst: 10, every_ms: 30_000 },
        }
    }
}

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

impl Config {
    pub(super) fn code_limits(&self) -> CodeLimits {
        CodeLimits { ttl_ms: self.code_ttl_ms, codes_per_hour: self.codes_per_hour, checks_per_hour: self.code_checks_per_hour }
    }
}
