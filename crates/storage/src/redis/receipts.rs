//! What became of recent pushes: [`ReceiptStore`] on Redis.
//!
//! **Invariant:** adding is one script, so that the counts of several nodes add up; it makes no receipt that is gone.

use super::Redis;
use super::entry::number;
use super::script::Script;
use async_trait::async_trait;
use redis::{Cmd, Value};
use skein_domain::id::{Millis, Uid};
use skein_domain::live::{PushId, PushState, Receipt};
use skein_domain::port::ReceiptStore;
use skein_domain::{Error, Result};
use std::collections::HashMap;
use std::sync::LazyLock;

/// After the last change.
const KEPT_MS: i64 = 600_000;

/// ARGV: shift, life, whether it may be made, state, time, app, found, queued, dropped.
static ADD: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local t = redis.call('TIME')
        local now = t[1] * 1000 + math.floor(t[2] / 1000) + tonumber(ARGV[1])
        if ARGV[3] == '1' then
            redis.call('DEL', KEYS[1])
            redis.call('HSET', KEYS[1], 'app', ARGV[6])
        else
            local until_ms = redis.call('HGET', KEYS[1], 'until_ms')
            if not until_ms or tonumber(until_ms) <= now then return end
        end
        redis.call('HSET', KEYS[1], 'state', ARGV[4], 'at', ARGV[5], 'until_ms', string.format('%d', now + tonumber(ARGV[2])))
        redis.call('HINCRBY', KEYS[1], 'found', ARGV[7])
        redis.call('HINCRBY', KEYS[1], 'queued', ARGV[8])
        redis.call('HINCRBY', KEYS[1], 'dropped', ARGV[9])
        redis.call('PEXPIRE', KEYS[1], ARGV[2])",
    )
});

pub struct RedisReceipts {
    redis: Redis,
}

impl RedisReceipts {
    pub fn new(redis: Redis) -> Self {
        Self { redis }
    }

    fn key(&self, push: &PushId) -> String {
        self.redis.key(format_args!("receipt:{push}"))
    }

    async fn write(&self, receipt: Receipt, is_new: bool) -> Result<()> {
        let mut script = ADD.key(self.key(&receipt.push));
        let state = serde_json::to_string(&receipt.state).map_err(|_| Error::internal())?;
        script.arg(self.redis.shift_ms()).arg(KEPT_MS).arg(u8::from(is_new)).arg(state).arg(receipt.at.0).arg(receipt.app.0);
        script.arg(receipt.found).arg(receipt.queued).arg(receipt.dropped);
        self.redis.run::<Value>(&script).await.map(drop)
    }
}

#[async_trait]
impl ReceiptStore for RedisReceipts {
    async fn put(&self, receipt: Receipt) -> Result<()> {
        self.write(receipt, true).await
    }

    async fn add(&self, receipt: Receipt) -> Result<()> {
        self.write(receipt, false).await
    }

    async fn get(&self, push: &PushId) -> Result<Option<Receipt>> {
        let fields: HashMap<String, String> = self.redis.query(&Cmd::hgetall(self.key(push))).await?;
        if fields.is_empty() || int(&fields, "until_ms")? <= self.redis.now().await?.0 {
            return Ok(None);
        }
        let count = |name: &str| int(&fields, name).map(|count| count as u64);
        Ok(Some(Receipt {
            push: push.clone(),
            app: Uid(int(&fields, "app")?),
            state: state(&fields)?,
            at: Millis(int(&fields, "at")?),
            found: count("found")?,
            queued: count("queued")?,
            dropped: count("dropped")?,
        }))
    }
}

fn state(fields: &HashMap<String, String>) -> Result<PushState> {
    let text = fields.get("state").ok_or_else(Error::internal)?;
    serde_json::from_str(text).map_err(|_| Error::internal())
}

fn int(fields: &HashMap<String, String>, name: &str) -> Result<i64> {
    number(fields.get(name).ok_or_else(Error::internal)?)
}
