//! What an operator may set about the store.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Parts of the data with a log of their own, 1 to 256. Fixed when the data folder is created; later values are ignored.
    #[schemars(range(min = 1, max = 256))]
    pub shards: u16,
    /// Reads at a time; 0: twice the number of cores and one, but at least 4. A read waits up to 5 seconds for its turn,
    /// then answers `busy`.
    #[schemars(range(max = 256))]
    pub readers: u16,
    /// Do not wait for the disk before acknowledging. A power cut then loses acknowledged messages: for experiments only.
    pub allow_unsafe_durability: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { shards: 1, readers: 0, allow_unsafe_durability: false }
    }
}

impl Config {
    pub const SHARDS_MAX: u16 = 256;
    pub const READERS_MAX: u16 = 256;

    pub(crate) fn readers(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        let wanted = if self.readers == 0 { (cores * 2 + 1).max(4) } else { self.readers.into() };
        wanted.min(Self::READERS_MAX.into())
    }
}
