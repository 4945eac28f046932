//! What an operator may set about the public HTTP API. Parsing is validating: a value of these types is usable.

use super::address::Network;
use super::auth::WebOrigin;
use super::web_folder::WebFolder;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Largest request body, in bytes; a larger one is answered `too_large`.
    pub body_bytes_max: u32,
    /// Time a request may take from its header to its answer, in milliseconds; then it is answered `timeout`.
    pub request_timeout_ms: NonZeroU32,
    /// Requests handled at the same time; one more is answered `busy`.
    pub in_flight_max: NonZeroU32,
    /// Web origins besides the server's own whose pages may act with a cookie, for example "https://chat.example.org".
    pub allowed_origins: Vec<WebOrigin>,
    /// Addresses or networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed, for example "10.0.0.0/8".
    pub trusted_proxies: Vec<Network>,
    /// Folder with a web client to serve, for example one with another theme; empty: the one built in. Read at start.
    pub web_folder: WebFolder,
    /// Requests allowed per client address.
    pub rates: Rates,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            body_bytes_max: 256 * 1024,
            request_timeout_ms: const { NonZeroU32::new(10_000).unwrap() },
            in_flight_max: const { NonZeroU32::new(1_024).unwrap() },
            allowed_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            web_folder: WebFolder::default(),
            rates: Rates::default(),
        }
    }
}

/// Per client address (IPv6: per /64). Over a rate: `rate_limited` with the time to wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rates {
    /// Log-ins.
    pub login: Rate,
    /// Requests for an e-mail code.
    pub code: Rate,
    /// Registrations and password resets: what checks an e-mail code.
    pub register: Rate,
    /// Searches for users.
    pub search: Rate,
    /// Addresses remembered per rate; beyond that, addresses not seen lately share one allowance.
    pub addresses_max: u32,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            login: Rate::per_minute(30, 10),
            code: Rate::per_minute(10, 5),
            register: Rate::per_minute(20, 10),
            search: Rate::per_minute(60, 20),
            addresses_max: 100_000,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Requests per minute in the long run.
    pub per_minute: NonZeroU32,
    /// Requests at once after a pause.
    pub burst: NonZeroU32,
}

impl Rate {
    /// Zero counts as one.
    pub const fn per_minute(per_minute: u32, burst: u32) -> Self {
        Self {
            per_minute: NonZeroU32::MIN.saturating_add(per_minute.saturating_sub(1)),
            burst: NonZeroU32::MIN.saturating_add(burst.saturating_sub(1)),
        }
    }
}
