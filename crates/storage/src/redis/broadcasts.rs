//! The queue of throttled broadcasts of all nodes: [`BroadcastQueue`] on Redis.
//!
//! A sorted set of those that wait, whose highest score is the next: a priority is worth more than any time, and within
//! a priority an earlier place scores higher. A second one of those that run, and one of leases.
//!
//! **Invariant:** each step is one script: of several nodes one gets a broadcast, and places are given once. Whose lease
//! has ended is taken out first.

use super::Redis;
use super::script::{Invocation, Script};
use async_trait::async_trait;
use redis::Value;
use skein_domain::id::NodeId;
use skein_domain::live::Priority;
use skein_domain::port::{BROADCASTS_WAITING_MAX, Broadcast, BroadcastQueue, Place, Queued, broadcasts_running_max};
use skein_domain::{Error, Result};
use std::sync::LazyLock;

/// Larger than any place until the year 2096, and twice as much is exact in a score.
const PRIORITY_WORTH: i64 = 4_000_000_000_000_000;
/// Broadcasts renewed by one script.
const RENEWED_AT_ONCE: usize = 200;

/// Begins a script. KEYS: waiting, running, leases. ARGV: shift, lease.
macro_rules! with_leases {
    ($script:literal) => {
        concat!(
            r"local t = redis.call('TIME')
            local now = t[1] * 1000000 + t[2] + ARGV[1] * 1000
            local function text(number) return string.format('%.0f', number) end
            for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', text(now), 'LIMIT', 0, 200)) do
                for _, key in ipairs(KEYS) do redis.call('ZREM', key, gone) end
            end
            local function lease(member) redis.call('ZADD', KEYS[3], text(now + ARGV[2] * 1000), member) end
            local function keep() for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, text(ARGV[2] * 3)) end end
            ",
            $script
        )
    };
}

/// ARGV from 3: member, what its priority is worth, what one priority is worth, most that wait. Its place, or nothing.
static JOIN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(with_leases!(
        r"if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[6]) then return '' end
        local least, most = tonumber(ARGV[4]), ARGV[4] + ARGV[5]
        local last = redis.call('ZRANGEBYSCORE', KEYS[1], text(least), '(' .. text(most), 'WITHSCORES', 'LIMIT', 0, 1)
        local place = now
        if last[2] then place = math.max(now, most - last[2] + 1) end
        redis.call('ZADD', KEYS[1], text(most - place), ARGV[3])
        lease(ARGV[3])
        keep()
        return text(place)"
    ))
});

/// ARGV from 3: member, score and whether it runs, of each.
static RENEW: LazyLock<Script> = LazyLock::new(|| {
    Script::new(with_leases!(
        r"for nth = 3, #ARGV, 3 do
            local to, from = KEYS[1], KEYS[2]
            if ARGV[nth + 2] == '1' then to, from = from, to end
            redis.call('ZREM', from, ARGV[nth])
            redis.call('ZADD', to, ARGV[nth + 1], ARGV[nth])
            lease(ARGV[nth])
        end
        keep()"
    ))
});

/// ARGV from 3: node, what one priority is worth, most that run if the next is of normal priority, and if it is urgent. The
/// number of the next, or nothing.
static CLAIM: LazyLock<Script> = LazyLock::new(|| {
    Script::new(with_leases!(
        r"local next = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')
        if not next[1] then return '' end
        local number, node = string.match(next[1], '^(%d+)/(.*)$')
        if node ~= ARGV[3] then return '' end
        local most = tonumber(next[2]) > tonumber(ARGV[4]) and ARGV[6] or ARGV[5]
        if redis.call('ZCARD', KEYS[2]) >= tonumber(most) then return '' end
        redis.call('ZREM', KEYS[1], next[1])
        redis.call('ZADD', KEYS[2], next[2], next[1])
        lease(next[1])
        keep()
        return number"
    ))
});

/// ARGV from 3: members.
static LEAVE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(with_leases!(
        r"for nth = 3, #ARGV do
            for _, key in ipairs(KEYS) do redis.call('ZREM', key, ARGV[nth]) end
        end"
    ))
});

pub struct RedisBroadcasts {
    redis: Redis,
    waiting_max: usize,
}

impl RedisBroadcasts {
    pub fn new(redis: Redis) -> Self {
        Self::bounded(redis, BROADCASTS_WAITING_MAX)
    }

    pub fn bounded(redis: Redis, waiting_max: usize) -> Self {
        Self { redis, waiting_max }
    }

    fn invocation(&self, script: &'static Script, lease_ms: i64) -> Invocation {
        let key = |part: &str| self.redis.key(format_args!("broadcasts:{{queue}}:{part}"));
        let mut invocation = script.key(key("waiting"));
        invocation.key(key("running")).key(key("leases")).arg(self.redis.shift_ms()).arg(lease_ms);
        invocation
    }
}

#[async_trait]
impl BroadcastQueue for RedisBroadcasts {
    async fn join(&self, broadcast: &Broadcast, priority: Priority, lease_ms: i64) -> Result<Place> {
        let mut join = self.invocation(&JOIN, lease_ms);
        join.arg(member(&broadcast.node, broadcast.number)).arg(worth(priority)).arg(PRIORITY_WORTH).arg(self.waiting_max);
        let place: String = self.redis.run(&join).await?;
        if place.is_empty() { Err(crate::memory::too_many_wait()) } else { number(&place).map(Place) }
    }

    async fn renew(&self, node: &NodeId, queued: &[Queued], lease_ms: i64) -> Result<()> {
        for some in queued.chunks(RENEWED_AT_ONCE) {
            let mut renew = self.invocation(&RENEW, lease_ms);
            for Queued { number, priority, place, is_running } in some {
                let score = worth(*priority) + PRIORITY_WORTH - place.0;
                renew.arg(member(node, *number)).arg(score).arg(u8::from(*is_running));
            }
            self.redis.run::<Value>(&renew).await?;
        }
        Ok(())
    }

    async fn claim(&self, node: &NodeId, lease_ms: i64) -> Result<Option<u64>> {
        let mut claim = self.invocation(&CLAIM, lease_ms);
        claim.arg(&node.0).arg(PRIORITY_WORTH);
        claim.arg(broadcasts_running_max(Priority::Normal)).arg(broadcasts_running_max(Priority::Urgent));
        let next: String = self.redis.run(&claim).await?;
        if next.is_empty() { Ok(None) } else { number(&next).map(Some) }
    }

    async fn leave(&self, node: &NodeId, broadcasts: &[u64]) -> Result<()> {
        for some in broadcasts.chunks(RENEWED_AT_ONCE) {
            let mut leave = self.invocation(&LEAVE, 0);
            leave.arg(some.iter().map(|number| member(node, *number)).collect::<Vec<_>>());
            self.redis.run::<Value>(&leave).await?;
        }
        Ok(())
    }
}

fn member(node: &NodeId, number: u64) -> String {
    format!("{number}/{node}")
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T> {
    text.parse().map_err(|_| Error::internal())
}

fn worth(priority: Priority) -> i64 {
    match priority {
        Priority::Normal => 0,
        Priority::Urgent => PRIORITY_WORTH,
    }
}
