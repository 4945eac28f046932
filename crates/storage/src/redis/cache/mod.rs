//! Caches in front of the store: sessions by secret, profiles, the directory of rooms, the newest entries of conversations
//! that are read.
//!
//! Owns [`Cache`]: how a value is looked up, loaded by one, and taken away by a change. A key holds one of `V<life>…`, a
//! value; `L<life><token>`, somebody is loading it; `B<token>`, a change of it is under way. Of a hash ([`hashes`]) that is
//! one field, and the value is the others.
//!
//! **Invariant:** a value is written only by who still holds the load. A change puts a bar over the key before the store
//! is asked, which takes every load away, and removes it after; so no value read before a change is there once the
//! change has been answered, and one whose process died in between is barred until the bar's time is over.
//!
//! **Invariant:** values and loads count only on the server, and in the life of it, that they were written in. One that
//! started again from older data, or a replica that took over, may have missed a change; what it has is as if it were not
//! there.
//!
//! **Invariant:** losing any of it costs reads of the store, nothing else. With Redis away the store answers, and Redis is
//! left alone for [`REST`]. A change Redis could not be told of makes this process trust nothing for [`DISTRUST`], which no
//! value outlives; other processes may serve the old value for that long.
//!
//! **Bound:** a call waits [`PATIENCE`] for Redis; who finds somebody else loading waits [`LOADING`] at most for them.

mod accounts;
mod conversations;
mod hashes;
mod messages;
mod shelf;
#[cfg(test)]
pub(super) mod tests;

pub use accounts::CachedAccounts;
pub use conversations::CachedConversations;
pub use messages::CachedMessages;

use super::Redis;
use super::script::Script;
use redis::{Cmd, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;
use skein_domain::id::Epoch;
use skein_domain::{Error, Result};
use std::fmt::Display;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_millis(250);
const REST: Duration = Duration::from_secs(1);
const LOAD_MS: i64 = 5_000;
const LOADING: Duration = Duration::from_secs(1);
/// First, and then each time twice as long, up to [`LOOK_RARELY`]: many may wait for one load.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
const LOOK_RARELY: Duration = Duration::from_millis(100);
/// Longer than a change may take.
const BAR_MS: i64 = 30_000;
/// No value is kept for longer.
const TTL_MS: i64 = 60_000;
const ABSENT_TTL_MS: i64 = 5_000;
const DISTRUST: Duration = Duration::from_millis(TTL_MS as u64);

/// Begins a script: `life`, which changes when the server starts again and when a replica takes its place.
macro_rules! with_life {
    ($script:literal) => {
        concat!(
            "local life = string.sub(string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)') or '00000000', 1, 8)\n",
            $script
        )
    };
}
use with_life;

/// Characters of a life.
const LIFE: usize = 8;

/// What is there; if nothing is, the load is taken with ARGV[1].
static LOOK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(with_life!(
        r"local there = redis.call('GET', KEYS[1])
        if there and (string.sub(there, 1, 1) == 'B' or string.sub(there, 2, 9) == life) then return there end
        local load = 'L' .. life .. ARGV[1]
        redis.call('SET', KEYS[1], load, 'PX', ARGV[2])
        return load"
    ))
});

/// Writes ARGV[2] in place of the load ARGV[1].
static FILL: LazyLock<Script> = LazyLock::new(|| {
    Script::new(with_life!(
        r"if ARGV[1] ~= redis.call('GET', KEYS[1]) or string.sub(ARGV[1], 2, 9) ~= life then return end
        redis.call('SET', KEYS[1], 'V' .. life .. ARGV[2], 'PX', ARGV[3])"
    ))
});

/// Takes away everything but the bar of another change.
static UNBAR: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local there = redis.call('GET', KEYS[1])
        if there and (there == ARGV[1] or string.sub(there, 1, 1) ~= 'B') then redis.call('DEL', KEYS[1]) end",
    )
});

/// A cheap handle; clone it freely.
#[derive(Clone)]
pub(super) struct Cache {
    redis: Redis,
    name: &'static str,
    epoch: u64,
    trouble: Arc<Mutex<Trouble>>,
}

#[derive(Default)]
struct Trouble {
    rests_until: Option<Instant>,
    distrusts_until: Option<Instant>,
}

/// What a lookup found under a key.
enum Found<T> {
    Value(T),
    /// To be loaded, and filled under this token.
    Load(String),
    /// Somebody else is loading it.
    Loading,
    /// Ask the store, and leave the key alone.
    Bypass,
}

impl Cache {
    /// For a store of this identity: another's values are under other keys.
    pub(super) fn new(redis: Redis, name: &'static str, epoch: Epoch) -> Self {
        Self { redis, name, epoch: epoch.0, trouble: Arc::default() }
    }

    pub(super) fn key(&self, kind: &str, of: impl Display) -> String {
        self.redis.key(format_args!("cache:{:x}:{kind}:{{{of}}}", self.epoch))
    }

    /// The value, or what `load` answers; kept unless something changed meanwhile.
    pub(super) async fn get<T, Load>(&self, key: &str, load: impl FnOnce() -> Load) -> Result<T>
    where
        T: Serialize + DeserializeOwned,
        Load: Future<Output = Result<T>>,
    {
        match self.find(key).await {
            Found::Value(value) => Ok(value),
            Found::Load(token) => self.load(key, token, load()).await,
            Found::Loading | Found::Bypass => load().await,
        }
    }

    /// Waits for somebody else's load.
    async fn find<T: DeserializeOwned>(&self, key: &str) -> Found<T> {
        let (patience, mut pause) = (Instant::now() + LOADING, LOOK_AGAIN);
        let mut found = self.look_one(key).await;
        while matches!(found, Found::Loading) && Instant::now() < patience {
            tokio::time::sleep(pause).await;
            pause = LOOK_RARELY.min(pause * 2);
            found = self.look_one(key).await;
        }
        match &found {
            Found::Value(_) => self.count("redis", 1),
            Found::Load(_) => self.count("store", 1),
            Found::Loading | Found::Bypass => self.bypassed(),
        }
        found
    }

    /// Under a load that is ours.
    async fn load<T: Serialize>(&self, key: &str, token: String, load: impl Future<Output = Result<T>>) -> Result<T> {
        let loaded = load.await;
        if loaded.is_err() {
            self.unbar(&[key.to_owned()], "").await;
        }
        let value = loaded?;
        self.fill(vec![(key.to_owned(), token, &value)]).await;
        Ok(value)
    }

    async fn look_one<T: DeserializeOwned>(&self, key: &str) -> Found<T> {
        self.look(&[key.to_owned()]).await.pop().unwrap_or(Found::Bypass)
    }

    /// In order of the keys, in one round trip.
    async fn look<T: DeserializeOwned>(&self, keys: &[String]) -> Vec<Found<T>> {
        let bypass = || keys.iter().map(|_| Found::Bypass).collect();
        let Some(token) = token().filter(|_| self.is_trusted()) else { return bypass() };
        let look = |key: &String| {
            let mut script = LOOK.key(key);
            script.arg(&token).arg(LOAD_MS);
            script
        };
        let Some(there) = self.ask(self.redis.run_all::<String>(keys.iter().map(look).collect())).await else { return bypass() };
        there.into_iter().map(|there| read(there, &token)).collect()
    }

    async fn fill<T: Serialize>(&self, values: Vec<(String, String, &T)>) {
        let fill = |(key, token, value): (String, String, &T)| {
            let json = serde_json::to_string(value).ok()?;
            let ttl_ms = if json == "null" || json == "[]" { ABSENT_TTL_MS } else { TTL_MS };
            let mut script = FILL.key(key);
            script.arg(token).arg(json).arg(jittered(ttl_ms));
            Some(script)
        };
        // What is not filled is loaded again.
        let _ = self.ask(self.redis.run_all::<Value>(values.into_iter().filter_map(fill).collect())).await;
    }

    /// Runs a change of what is under these keys.
    pub(super) async fn change<T>(&self, keys: &[String], change: impl Future<Output = Result<T>>) -> Result<T> {
        let bar = bar_of_one_change()?;
        self.bar(keys, &bar).await;
        let outcome = change.await;
        self.unbar(keys, &bar).await;
        outcome
    }

    async fn bar(&self, keys: &[String], bar: &str) {
        let set = |key: &String| {
            let mut set = Cmd::set(key, bar);
            set.arg("PX").arg(BAR_MS);
            set
        };
        if self.tell(self.redis.all::<Value>(keys.iter().map(set).collect())).await.is_none() {
            self.distrust();
        }
    }

    async fn unbar(&self, keys: &[String], bar: &str) {
        let unbar = |key: &String| {
            let mut script = UNBAR.key(key);
            script.arg(bar);
            script
        };
        if self.tell(self.redis.run_all::<Value>(keys.iter().map(unbar).collect())).await.is_none() {
            self.distrust();
        }
    }

    /// `None` if Redis does not answer, or rests.
    async fn ask<T>(&self, call: impl Future<Output = Result<T>>) -> Option<T> {
        if self.trouble().rests_until.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        self.tell(call).await
    }

    /// As [`Self::ask`], but also while Redis rests.
    async fn tell<T>(&self, call: impl Future<Output = Result<T>>) -> Option<T> {
        let answer = tokio::time::timeout(PATIENCE, call).await;
        if !matches!(answer, Ok(Ok(_))) {
            self.trouble().rests_until = Some(Instant::now() + REST);
        }
        answer.ok()?.ok()
    }

    fn is_trusted(&self) -> bool {
        self.trouble().distrusts_until.is_none_or(|until| Instant::now() >= until)
    }

    fn distrust(&self) {
        tracing::warn!(cache = self.name, "redis could not be told of a change; the store answers for a while");
        self.trouble().distrusts_until = Some(Instant::now() + DISTRUST);
    }

    fn trouble(&self) -> std::sync::MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, tier: &'static str, lookups: usize) {
        metrics::counter!("skein_cache_lookups_total", "cache" => self.name, "tier" => tier).increment(lookups as u64);
    }

    fn bypassed(&self) {
        metrics::counter!("skein_cache_bypassed_total", "cache" => self.name).increment(1);
    }
}

fn read<T: DeserializeOwned>(there: String, token: &str) -> Found<T> {
    match there.as_bytes().first() {
        // What another version wrote and this one cannot read is as if it were not there.
        Some(b'V') => there.get(1 + LIFE..).and_then(|json| serde_json::from_str(json).ok()).map_or(Found::Bypass, Found::Value),
        Some(b'L') if there.ends_with(token) => Found::Load(there),
        Some(b'L') => Found::Loading,
        _ => Found::Bypass,
    }
}

/// Unique: a load or bar is told from every other.
fn token() -> Option<String> {
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes).ok()?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn bar_of_one_change() -> Result<String> {
    token().map(|token| format!("B{token}")).ok_or_else(Error::internal)
}

/// Three quarters of it, and up to the whole: what was filled at once does not end at once.
fn jittered(ttl_ms: i64) -> i64 {
    let mut byte = [0];
    let _ = getrandom::fill(&mut byte);
    ttl_ms * 3 / 4 + ttl_ms / 4 * i64::from(byte[0]) / 255
}
