//! What an operator may set about long connections.

use crate::gate::WebOrigin;
use crate::listen;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Time a connection has to log in, in milliseconds; then it is closed with `auth_timeout`.
    pub auth_timeout_ms: u32,
    /// How often a client that has nothing to say is asked to beat, in milliseconds. Told in `hello`.
    pub heartbeat_interval_ms: u32,
    /// Silence after which a connection is closed with `heartbeat_timeout`, in milliseconds.
    pub heartbeat_timeout_ms: u32,
    /// Silence after which a WebSocket is pinged, in milliseconds.
    pub ping_after_ms: u32,
    /// Time in which a client must take at least something of what waits for it, in milliseconds; then `slow`.
    pub stall_timeout_ms: u32,
    /// Time a closed connection has to take its last frames and close too, in milliseconds.
    pub linger_ms: u32,
    /// Requests of one connection without a reply; at this number reading pauses.
    pub in_flight_commands_max: u32,
    /// Bytes of requests of one connection without a reply; at this number reading pauses.
    pub in_flight_bytes_max: u32,
    /// Bytes that may wait for one connection. Beyond it pushes are discarded for one `resync`; replies alone over it: `slow`.
    pub queue_bytes_max: u32,
    /// When a client whose pushes were discarded is asked to sync, in milliseconds; spread by up to as much again.
    pub resync_after_ms: u32,
    /// Requests per second of one connection in the long run; beyond it `rate_limited`.
    pub commands_per_second: u32,
    /// Requests at once after a pause.
    pub commands_burst: u32,
    /// How long a command may take, in milliseconds; then it is answered `timeout` or `retry_same_key`.
    pub call_deadline_ms: u32,
    /// How often the leases of live connections are renewed, in milliseconds.
    pub renew_interval_ms: u32,
    /// How often Logic is told how many are in each live room here, in milliseconds; it answers for all nodes.
    pub online_interval_ms: u32,
    /// Share of goim's clients this node is to get, against the weights of others.
    pub weight: u32,
    /// Clients told to reconnect elsewhere per second when this node drains.
    pub drain_per_second: u32,
    /// Web origins besides the server's own whose pages may connect with a cookie, for example "https://chat.example.org".
    pub allowed_origins: Vec<WebOrigin>,
    /// How the listeners accept.
    pub listener: listen::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            auth_timeout_ms: 8_000,
            heartbeat_interval_ms: 30_000,
            heartbeat_timeout_ms: 90_000,
            ping_after_ms: 30_000,
            stall_timeout_ms: 30_000,
            linger_ms: 2_000,
            in_flight_commands_max: 64,
            in_flight_bytes_max: 256 * 1024,
            queue_bytes_max: 64 * 1024,
            resync_after_ms: 500,
            commands_per_second: 100,
            commands_burst: 400,
            call_deadline_ms: 5_000,
            renew_interval_ms: 20_000,
            online_interval_ms: 10_000,
            weight: 10,
            drain_per_second: 5_000,
            allowed_origins: Vec::new(),
            listener: listen::Config::default(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("comet.{0} must be above zero")]
    Zero(&'static str),
    #[error("comet.{0} must be below comet.{1}")]
    Order(&'static str, &'static str),
}

impl Config {
    /// Zeros that would close or stop everything, and times that contradict each other.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let positive = [
            ("auth_timeout_ms", self.auth_timeout_ms),
            ("heartbeat_interval_ms", self.heartbeat_interval_ms),
            ("ping_after_ms", self.ping_after_ms),
            ("stall_timeout_ms", self.stall_timeout_ms),
            ("in_flight_commands_max", self.in_flight_commands_max),
            ("in_flight_bytes_max", self.in_flight_bytes_max),
            ("queue_bytes_max", self.queue_bytes_max),
            ("commands_per_second", self.commands_per_second),
            ("commands_burst", self.commands_burst),
            ("call_deadline_ms", self.call_deadline_ms),
            ("renew_interval_ms", self.renew_interval_ms),
            ("online_interval_ms", self.online_interval_ms),
            ("weight", self.weight),
            ("drain_per_second", self.drain_per_second),
            ("listener.connections_max", self.listener.connections_max),
        ];
        if let Some((name, _)) = positive.into_iter().find(|(_, value)| *value == 0) {
            return Err(ConfigError::Zero(name));
        }
        let increasing = [
            ("heartbeat_interval_ms", self.heartbeat_interval_ms, "heartbeat_timeout_ms", self.heartbeat_timeout_ms),
            ("ping_after_ms", self.ping_after_ms, "heartbeat_timeout_ms", self.heartbeat_timeout_ms),
        ];
        match increasing.into_iter().find(|(_, lower, _, upper)| lower >= upper) {
            Some((lower, _, upper, _)) => Err(ConfigError::Order(lower, upper)),
            None => Ok(()),
        }
    }

    pub(super) fn call_deadline(&self) -> Duration {
        Duration::from_millis(self.call_deadline_ms.into())
    }

    /// Often enough that a limit is overrun by a quarter of the shortest, seldom enough to cost nothing.
    pub(super) fn sweep_interval(&self) -> Duration {
        let shortest = [self.auth_timeout_ms, self.heartbeat_timeout_ms, self.ping_after_ms, self.stall_timeout_ms, self.linger_ms];
        let shortest = shortest.into_iter().min().unwrap_or_default();
        Duration::from_millis(u64::from(shortest / 4).clamp(10, 1_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_are_refused_by_name() {
        assert_eq!(Config::default().validate(), Ok(()));
        let zero = Config { queue_bytes_max: 0, ..Config::default() };
        assert_eq!(zero.validate(), Err(ConfigError::Zero("queue_bytes_max")));
        let order = Config { heartbeat_interval_ms: 90_000, ..Config::default() };
        assert_eq!(order.validate(), Err(ConfigError::Order("heartbeat_interval_ms", "heartbeat_timeout_ms")));
    }
}
