//! E-mail codes and the counters of attempts: [`CodeStore`] on Redis.
//!
//! **Invariant:** counting, comparing and using up a code is one script, so parallel attempts are all counted. Addresses
//! are in keys as hashes only.

use super::Redis;
use super::script::{Invocation, Script};
use async_trait::async_trait;
use sha2::{Digest, Sha256};
use skein_domain::account::CodePurpose;
use skein_domain::id::Millis;
use skein_domain::port::{CodeLimits, CodeStore};
use skein_domain::{Code, Error, Result};
use std::sync::LazyLock;

const HOUR_MS: i64 = 3_600_000;

/// Counts one more in KEYS[2], or ends the script with how long to wait: at most ARGV[2] in the hour before ARGV[1].
macro_rules! counted_within_the_hour {
    () => {
        r"redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[1] - 3600000)
        if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[2]) then
            return redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2] + 3600000 - ARGV[1]
        end
        redis.call('ZADD', KEYS[2], ARGV[1], ARGV[3])
        redis.call('PEXPIRE', KEYS[2], 3600000)
        "
    };
}

/// KEYS: the code, the times of the hour. ARGV: now, most per hour, a unique member, code, its life. 0, or how long to
/// wait.
static PUT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        counted_within_the_hour!(),
        r"redis.call('SET', KEYS[1], ARGV[1] .. ':' .. ARGV[4], 'PX', ARGV[5])
        return 0",
    ))
});

/// The same for checks. -1 right, -2 wrong, -3 none or too old, or how long to wait.
static CHECK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        counted_within_the_hour!(),
        r"local was = redis.call('GET', KEYS[1])
        if not was then return -3 end
        local at, code = string.match(was, '^(%d+):(.*)$')
        if tonumber(at) + ARGV[5] <= tonumber(ARGV[1]) then return -3 end
        if code ~= ARGV[4] then return -2 end
        redis.call('DEL', KEYS[1])
        return -1",
    ))
});

pub struct RedisCodes {
    redis: Redis,
}

impl RedisCodes {
    pub fn new(redis: Redis) -> Self {
        Self { redis }
    }

    fn key(&self, email: &str, rest: &str) -> String {
        let hash: String = Sha256::digest(email).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        self.redis.key(format_args!("code:{{{hash}}}:{rest}"))
    }

    fn attempt(&self, script: &'static Script, asked: &Asked<'_>, times: &str, per_hour: u32) -> Result<Invocation> {
        let mut invocation = script.key(self.key(asked.email, asked.purpose.as_str()));
        invocation.key(self.key(asked.email, times));
        invocation.arg(asked.at.0).arg(per_hour).arg(unique()?).arg(asked.code).arg(asked.limits.ttl_ms);
        Ok(invocation)
    }
}

struct Asked<'a> {
    email: &'a str,
    purpose: CodePurpose,
    code: &'a str,
    at: Millis,
    limits: CodeLimits,
}

#[async_trait]
impl CodeStore for RedisCodes {
    async fn put(&self, email: &str, purpose: CodePurpose, code: &str, at: Millis, limits: CodeLimits) -> Result<()> {
        let asked = Asked { email, purpose, code, at, limits };
        match self.redis.run::<i64>(&self.attempt(&PUT, &asked, "issued", limits.codes_per_hour)?).await? {
            0 => Ok(()),
            wait_ms => Err(Error::new(Code::RateLimited, "too many codes for this address").retry_after(wait_ms.min(HOUR_MS))),
        }
    }

    async fn check(&self, email: &str, purpose: CodePurpose, code: &str, at: Millis, limits: CodeLimits) -> Result<()> {
        let asked = Asked { email, purpose, code, at, limits };
        match self.redis.run::<i64>(&self.attempt(&CHECK, &asked, "checked", limits.checks_per_hour)?).await? {
            -1 => Ok(()),
            -2 => Err(Error::new(Code::CodeWrong, "the code is wrong")),
            -3 => Err(Error::new(Code::CodeExpired, "there is no such code any more; ask for a new one")),
            wait_ms => Err(Error::new(Code::CodeExhausted, "too many attempts for this address").retry_after(wait_ms.min(HOUR_MS))),
        }
    }
}

/// Two attempts of one millisecond are two.
fn unique() -> Result<String> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|_| Error::internal())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
