//! Rates per client address, for what a stranger may ask and for search.
//!
//! **Bound:** `addresses_max` addresses per rate. When that many are active at once, addresses share one of
//! [`SHARED_KEYS`] allowances by their hash, so memory stays bounded and a flood of addresses does not lock out everyone.

use super::config::Rates;
use super::problem::Problem;
use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use skein_protocol::ErrorCode;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const SHARED_KEYS: u64 = 4_096;
/// Forgetting idle addresses walks all of them, so it is not done more often.
const FORGET_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    LogIn,
    Code,
    Register,
    Search,
}

pub(super) struct Limits {
    login: Limited,
    code: Limited,
    register: Limited,
    search: Limited,
}

impl Limits {
    pub fn new(rates: &Rates) -> Self {
        let limited = |rate: super::config::Rate| {
            let quota = Quota::per_minute(rate.per_minute).allow_burst(rate.burst);
            Limited::new(quota, rates.addresses_max as usize)
        };
        Self { login: limited(rates.login), code: limited(rates.code), register: limited(rates.register), search: limited(rates.search) }
    }

    /// Takes one from the address's allowance, or says when there is one again.
    pub fn take(&self, limit: Limit, ip: IpAddr) -> Result<(), Problem> {
        let (limited, name) = match limit {
            Limit::LogIn => (&self.login, "login"),
            Limit::Code => (&self.code, "code"),
            Limit::Register => (&self.register, "register"),
            Limit::Search => (&self.search, "search"),
        };
        limited.take(ip).map_err(|wait| {
            metrics::counter!("skein_gate_rate_limited_total", "limit" => name).increment(1);
            let wait_ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX).max(1);
            Problem::new(ErrorCode::RateLimited, "too many requests from this address").retry_after(wait_ms)
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    V4(u32),
    /// The /64: what one subscriber usually has.
    V6(u64),
    Shared(u64),
}

struct Limited {
    limiter: RateLimiter<Key, HashMapStateStore<Key>, DefaultClock>,
    clock: DefaultClock,
    keys_max: usize,
    hasher: RandomState,
    forgot_at: Mutex<Instant>,
}

impl Limited {
    fn new(quota: Quota, keys_max: usize) -> Self {
        Self {
            limiter: RateLimiter::hashmap(quota),
            clock: DefaultClock::default(),
            keys_max,
            hasher: RandomState::new(),
            forgot_at: Mutex::new(Instant::now()),
        }
    }

    fn take(&self, ip: IpAddr) -> Result<(), Duration> {
        let key = self.key(ip);
        self.limiter.check_key(&key).map_err(|until| until.wait_time_from(self.clock.now()))
    }

    fn key(&self, ip: IpAddr) -> Key {
        let own = match ip {
            IpAddr::V4(ip) => Key::V4(ip.to_bits()),
            IpAddr::V6(ip) => Key::V6((ip.to_bits() >> 64) as u64),
        };
        if self.limiter.len() >= self.keys_max {
            self.forget_idle();
        }
        if self.limiter.len() < self.keys_max { own } else { Key::Shared(self.hasher.hash_one(own) % SHARED_KEYS) }
    }

    fn forget_idle(&self) {
        // Poison means another thread panicked between two plain reads and writes; the time is still sound.
        let mut forgot_at = self.forgot_at.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if forgot_at.elapsed() >= FORGET_EVERY {
            *forgot_at = Instant::now();
            self.limiter.retain_recent();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::num::NonZeroU32;

    fn limited(burst: u32, keys_max: usize) -> Limited {
        let burst = NonZeroU32::new(burst).unwrap();
        Limited::new(Quota::per_minute(NonZeroU32::MIN).allow_burst(burst), keys_max)
    }

    #[test]
    fn each_address_has_its_own_allowance() {
        let limited = limited(2, 100);
        let [ann, bob] = [[192, 0, 2, 1], [192, 0, 2, 2]].map(IpAddr::from);
        assert!(limited.take(ann).is_ok() && limited.take(ann).is_ok());
        let wait = limited.take(ann).unwrap_err();
        assert!(wait > Duration::from_secs(50) && wait <= Duration::from_secs(60), "{wait:?}");
        assert!(limited.take(bob).is_ok());
    }

    #[test]
    fn a_network_of_64_bits_counts_as_one_address() {
        let limited = limited(1, 100);
        let host = |low: u128| IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8 << 96) | low));
        assert!(limited.take(host(1)).is_ok());
        assert!(limited.take(host(2)).is_err());
        assert!(limited.take(host(1 << 64)).is_ok());
    }

    #[test]
    fn a_flood_of_addresses_keeps_memory_bounded() {
        let limited = limited(1, 50);
        for n in 0..20_000 {
            let _ = limited.take(IpAddr::V4(Ipv4Addr::from_bits(n)));
        }
        assert!(limited.limiter.len() <= 50 + SHARED_KEYS as usize);
    }
}
