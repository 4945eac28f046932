//! Settings of logic.

use crate::account::rate::Rate;
use crate::{account, contact, push};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Commands, sync and what stands behind them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Messages and changes of one user.
    pub sends: Rate,
    /// Size of a page of sync, history or a pulled range, in bytes; a page must fit a frame of 64 KiB.
    pub page_bytes: u32,
    /// Syncs that run at a time.
    pub syncs_running: u32,
    /// Syncs that wait beyond those; more are answered `busy`.
    pub syncs_waiting: u32,
    /// Members of conversations kept in memory, over all conversations; about 200 bytes each.
    pub members_cached: u64,
    /// Changes that are stored and not yet published to the job; beyond that sends are answered `busy`.
    pub unpublished_max: u32,
    pub account: account::Config,
    pub contact: contact::Config,
    pub push: push::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sends: Rate { burst: 2_000, every_ms: 20 },
            page_bytes: 32 * 1024,
            syncs_running: 64,
            syncs_waiting: 10_000,
            members_cached: 200_000,
            unpublished_max: 100_000,
            account: account::Config::default(),
            contact: contact::Config::default(),
            push: push::Config::default(),
        }
    }
}
