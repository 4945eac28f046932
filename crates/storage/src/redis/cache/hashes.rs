//! Values that are hashes, a field for each property, which whoever looks into Redis can read one by one.
//!
//! What a string has in front of its value, a hash has in its field [`STATE`]; a value that is known not to be has no
//! other. Each step is one script, so that nobody sees a hash with some of its fields.

use super::{ABSENT_TTL_MS, BAR_MS, Cache, Found, LIFE, LOAD_MS, TTL_MS, bar_of_one_change, jittered, token, with_life};
use crate::redis::script::Script;
use redis::Value;
use skein_domain::Result;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Not the name of a property.
const STATE: &str = "_";

/// All fields; if nothing is there, the load is taken with ARGV[1].
static LOOK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(with_life!(
        r"local state = redis.call('HGET', KEYS[1], '_')
        if state and (string.sub(state, 1, 1) == 'B' or string.sub(state, 2, 9) == life) then
            return redis.call('HGETALL', KEYS[1])
        end
        local load = 'L' .. life .. ARGV[1]
        redis.call('DEL', KEYS[1])
        redis.call('HSET', KEYS[1], '_', load)
        redis.call('PEXPIRE', KEYS[1], ARGV[2])
        return {'_', load}"
    ))
});

/// Writes names and values, from ARGV[3] on, in place of the load ARGV[1].
static FILL: LazyLock<Script> = LazyLock::new(|| {
    Script::new(with_life!(
        r"if ARGV[1] ~= redis.call('HGET', KEYS[1], '_') or string.sub(ARGV[1], 2, 9) ~= life then return end
        redis.call('HSET', KEYS[1], '_', 'V' .. life, unpack(ARGV, 3))
        redis.call('PEXPIRE', KEYS[1], ARGV[2])"
    ))
});

static BAR: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"redis.call('DEL', KEYS[1])
        redis.call('HSET', KEYS[1], '_', ARGV[1])
        redis.call('PEXPIRE', KEYS[1], ARGV[2])",
    )
});

/// Takes away everything but the bar of another change.
static UNBAR: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local state = redis.call('HGET', KEYS[1], '_')
        if state and (state == ARGV[1] or string.sub(state, 1, 1) ~= 'B') then redis.call('DEL', KEYS[1]) end",
    )
});

pub(super) type Properties = HashMap<String, String>;

/// A value as the properties it has.
pub(super) trait Hash: Sized {
    fn properties(&self) -> Vec<(&'static str, String)>;
    /// `None`: written by another version.
    fn of(properties: &Properties) -> Option<Self>;
}

/// A cheap handle; clone it freely.
#[derive(Clone)]
pub(super) struct Hashes {
    cache: Cache,
}

impl Hashes {
    pub fn new(cache: Cache) -> Self {
        Self { cache }
    }

    pub fn key(&self, kind: &str, of: impl std::fmt::Display) -> String {
        self.cache.key(kind, of)
    }

    pub fn count(&self, tier: &'static str, lookups: usize) {
        self.cache.count(tier, lookups);
    }

    /// In order of the keys, in one round trip. `None` in place of a value: there is no such thing.
    pub async fn look<T: Hash>(&self, keys: &[String]) -> Vec<Found<Option<T>>> {
        let bypass = || keys.iter().map(|_| Found::Bypass).collect();
        let Some(token) = token().filter(|_| self.cache.is_trusted()) else { return bypass() };
        let look = |key: &String| {
            let mut script = LOOK.key(key);
            script.arg(&token).arg(LOAD_MS);
            script
        };
        let looks = self.cache.redis.run_all::<Properties>(keys.iter().map(look).collect());
        let Some(there) = self.cache.ask(looks).await else { return bypass() };
        there.into_iter().map(|fields| read(fields, &token)).collect()
    }

    /// Key, load and value of each. `None`: there is no such thing.
    pub async fn fill<T: Hash>(&self, values: Vec<(String, String, Option<&T>)>) {
        let fill = |(key, load, value): (String, String, Option<&T>)| {
            let mut script = FILL.key(key);
            script.arg(load).arg(jittered(if value.is_some() { TTL_MS } else { ABSENT_TTL_MS }));
            for (name, property) in value.map_or_else(Vec::new, Hash::properties) {
                script.arg(name).arg(property);
            }
            script
        };
        // What is not filled is loaded again.
        let _ = self.cache.ask(self.cache.redis.run_all::<Value>(values.into_iter().map(fill).collect())).await;
    }

    /// Runs a change of what is under this key.
    pub async fn change<T>(&self, key: String, change: impl Future<Output = Result<T>>) -> Result<T> {
        let bar = bar_of_one_change()?;
        self.bar(&key, &bar).await;
        let outcome = change.await;
        self.unbar(&[key], &bar).await;
        outcome
    }

    pub async fn bar(&self, key: &str, bar: &str) {
        let mut script = BAR.key(key);
        script.arg(bar).arg(BAR_MS);
        if self.cache.tell(self.cache.redis.run::<Value>(&script)).await.is_none() {
            self.cache.distrust();
        }
    }

    /// Takes loads away, too.
    pub async fn unbar(&self, keys: &[String], bar: &str) {
        let unbar = |key: &String| {
            let mut script = UNBAR.key(key);
            script.arg(bar);
            script
        };
        if self.cache.tell(self.cache.redis.run_all::<Value>(keys.iter().map(unbar).collect())).await.is_none() {
            self.cache.distrust();
        }
    }
}

fn read<T: Hash>(mut fields: Properties, token: &str) -> Found<Option<T>> {
    let Some(state) = fields.remove(STATE) else { return Found::Bypass };
    match state.as_bytes().first() {
        Some(b'V') if state.len() == 1 + LIFE && fields.is_empty() => Found::Value(None),
        Some(b'V') => T::of(&fields).map_or(Found::Bypass, |value| Found::Value(Some(value))),
        Some(b'L') if state.ends_with(token) => Found::Load(state),
        Some(b'L') => Found::Loading,
        _ => Found::Bypass,
    }
}
