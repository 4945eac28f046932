//! How often somebody may do something: a burst at once, then one more every so often.
//!
//! **Invariant:** memory is bounded by construction. A key is hashed with a secret of this process into one of
//! [`SLOTS`] slots; two keys in one slot share an allowance, which is rare and cannot be aimed at. Slots that are full
//! again are forgotten every [`RETAIN_EVERY`] checks. Counts are this node's own.

use governor::clock::Clock as GovernorClock;
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use skein_domain::port::Clock;
use skein_domain::{Code, Error, Result};
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const SLOTS: u64 = 65_536;
const RETAIN_EVERY: u32 = 4_096;

/// `burst` at once, then one more every `every_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// How many at once; 0 counts as 1.
    pub burst: u32,
    /// Milliseconds after which one more is allowed; 0 counts as 1.
    pub every_ms: u64,
}

/// One kind of thing that is limited, each key by itself.
pub struct RateLimit {
    what: &'static str,
    limiter: RateLimiter<u64, HashMapStateStore<u64>, PortClock, NoOpMiddleware<Duration>>,
    clock: PortClock,
    hasher: RandomState,
    checks: AtomicU32,
}

impl RateLimit {
    /// `what` labels the metric `skein_rate_limited_total`.
    pub fn new(what: &'static str, rate: Rate, clock: Arc<dyn Clock>) -> Self {
        let clock = PortClock(clock);
        let quota = Quota::with_period(Duration::from_millis(rate.every_ms.max(1)))
            .unwrap_or(Quota::per_second(NonZeroU32::MIN))
            .allow_burst(NonZeroU32::new(rate.burst).unwrap_or(NonZeroU32::MIN));
        let limiter = RateLimiter::new(quota, HashMapStateStore::default(), clock.clone());
        Self { what, limiter, clock, hasher: RandomState::new(), checks: AtomicU32::new(0) }
    }

    /// Counts one for `key`; `rate_limited` with the time to wait if it is one too many (that one is not counted).
    pub fn check(&self, key: impl Hash) -> Result<()> {
        if self.checks.fetch_add(1, Ordering::Relaxed) % RETAIN_EVERY == RETAIN_EVERY - 1 {
            self.limiter.retain_recent();
        }
        let slot = self.hasher.hash_one(key) % SLOTS;
        self.limiter.check_key(&slot).map_err(|until| {
            metrics::counter!("skein_rate_limited_total", "what" => self.what).increment(1);
            let wait_ms = until.wait_time_from(self.clock.now()).as_millis() as i64;
            Error::new(Code::RateLimited, "too often; wait a moment").retry_after(wait_ms.max(1))
        })
    }
}

/// The injected clock, as governor sees it.
#[derive(Clone)]
struct PortClock(Arc<dyn Clock>);

impl GovernorClock for PortClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Duration::from_millis(self.0.now().0.max(0) as u64)
    }
}

/// Whom a network address stands for: without its port, and for IPv6 the network of 64 bits one customer gets.
pub fn network(address: &str) -> String {
    let ip = address.parse::<SocketAddr>().map(|socket| socket.ip()).or_else(|_| address.parse::<IpAddr>());
    match ip.map(|ip| ip.to_canonical()) {
        Ok(IpAddr::V4(v4)) => v4.to_string(),
        Ok(IpAddr::V6(v6)) => {
            let [a, b, c, d, ..] = v6.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
        Err(_) => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skein_domain::testing::ManualClock;

    #[test]
    fn a_burst_passes_and_then_one_more_after_each_period() {
        let clock = Arc::new(ManualClock::at(1_000_000));
        let limit = RateLimit::new("test", Rate { burst: 3, every_ms: 1_000 }, clock.clone());
        for _ in 0..3 {
            limit.check("ann").unwrap();
        }
        let refused = limit.check("ann").unwrap_err();
        assert_eq!((refused.code, refused.retry_after_ms), (Code::RateLimited, Some(1_000)));
        limit.check("bob").unwrap();
        clock.advance(1_000);
        limit.check("ann").unwrap();
        assert!(limit.check("ann").is_err());
    }

    #[test]
    fn what_is_kept_is_bounded_and_forgotten() {
        let clock = Arc::new(ManualClock::at(1_000_000));
        let limit = RateLimit::new("test", Rate { burst: 3, every_ms: 1_000 }, clock.clone());
        for key in 0..3 * SLOTS {
            let _ = limit.check(key);
        }
        assert!(limit.limiter.len() as u64 <= SLOTS);
        clock.advance(10_000);
        for _ in 0..RETAIN_EVERY {
            let _ = limit.check("ann");
        }
        assert!(limit.limiter.len() <= 1, "{}", limit.limiter.len());
    }

    #[test]
    fn an_ipv6_customer_is_one_and_ports_do_not_matter() {
        assert_eq!(network("192.0.2.1:4711"), network("192.0.2.1"));
        assert_eq!(network("[2001:db8:1:2::3]:80"), network("2001:db8:1:2:ffff::1"));
        assert_ne!(network("2001:db8:1:2::3"), network("2001:db8:1:3::3"));
        assert_eq!(network("::ffff:192.0.2.1"), "192.0.2.1");
    }
}
