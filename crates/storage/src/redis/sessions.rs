//! Who is online where: [`SessionRegistry`] on Redis.
//!
//! The entry of a session is one key with its lease; sets of connections per user and per node say where to look, and
//! are never believed: whoever reads them looks at the entries. Each renewal sees to it that the connection is in them.
//! What is taken out of a set is one connection, never its session: a device that comes back while its last connection is
//! being cleared away stays in them.
//!
//! **Invariant:** at most one entry per session, the one with the largest generation; it is compared and written by one
//! script.

use super::entry::{CHUNK, Entry, generation, member, number, route_of};
use super::lookups::{self, Lookups, node_key, session_key, user_key};
use super::script::{Invocation, Script};
use super::{INDEX_TTL_MS, Redis};
use async_trait::async_trait;
use redis::{Cmd, Value};
use skein_domain::id::{ConnectionRef, NodeId, SessionId, Uid};
use skein_domain::port::{Registered, Renewed, Route, SessionRegistry};
use skein_domain::{Error, Result};
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Answers the live entry that was there. Writes unless that one is newer.
static REGISTER: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local t = redis.call('TIME')
        local now = t[1] * 1000 + math.floor(t[2] / 1000) + tonumber(ARGV[3])
        local was = redis.call('GET', KEYS[1])
        if was then
            local entry = cjson.decode(was)
            if entry.until_ms <= now then was = false
            elseif entry.generation > ARGV[2] then return was end
        end
        local entry = cjson.decode(ARGV[1])
        entry.until_ms = now + tonumber(ARGV[4])
        redis.call('SET', KEYS[1], cjson.encode(entry), 'PX', ARGV[4])
        return was",
    )
});

/// "" unless the entry lives with this generation at this node; then it has been renewed, and the answer is its user.
static RENEW: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local t = redis.call('TIME')
        local now = t[1] * 1000 + math.floor(t[2] / 1000) + tonumber(ARGV[3])
        local was = redis.call('GET', KEYS[1])
        if not was then return '' end
        local entry = cjson.decode(was)
        if entry.until_ms <= now or entry.generation ~= ARGV[1] or entry.node ~= ARGV[2] then return '' end
        entry.until_ms = now + tonumber(ARGV[4])
        redis.call('SET', KEYS[1], cjson.encode(entry), 'PX', ARGV[4])
        return entry.uid",
    )
});

/// ARGV: life, then members of the set.
static INDEX: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local added = redis.call('SADD', KEYS[1], unpack(ARGV, 2))
        if added > 0 or redis.call('PTTL', KEYS[1]) < ARGV[1] / 2 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
        return added",
    )
});

static REMOVE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local t = redis.call('TIME')
        local now = t[1] * 1000 + math.floor(t[2] / 1000) + tonumber(ARGV[2])
        local was = redis.call('GET', KEYS[1])
        if not was then return false end
        local entry = cjson.decode(was)
        if entry.generation ~= ARGV[1] then return false end
        redis.call('DEL', KEYS[1])
        if entry.until_ms <= now then return false end
        return was",
    )
});

pub struct RedisSessions {
    redis: Redis,
    lookups: Lookups,
}

impl RedisSessions {
    pub fn new(redis: Redis) -> Self {
        Self { lookups: Lookups::start(redis.clone()), redis }
    }

    /// Adds connections to the set under a key.
    fn index(key: String, connections: &[ConnectionRef]) -> Invocation {
        let mut script = INDEX.key(key);
        script.arg(INDEX_TTL_MS);
        for connection in connections {
            script.arg(member(*connection));
        }
        script
    }

    async fn unindex(&self, route: &Route) -> Result<()> {
        let keys = [user_key(&self.redis, route.uid), node_key(&self.redis, &route.node)];
        let member = member(route.connection());
        self.redis.all::<Value>(keys.iter().map(|key| Cmd::srem(key, &member)).collect()).await.map(drop)
    }
}

#[async_trait]
impl SessionRegistry for RedisSessions {
    async fn register(&self, route: Route, lease_ms: i64) -> Result<Registered> {
        let entry = Entry::of(&route);
        let mut script = REGISTER.key(session_key(&self.redis, route.session));
        script
            .arg(serde_json::to_string(&entry).map_err(|_| Error::internal())?)
            .arg(&entry.generation)
            .arg(self.redis.shift_ms())
            .arg(lease_ms);
        let was: Option<String> = self.redis.run(&script).await?;
        let was = was.as_deref().map(route_of).transpose()?;
        if was.as_ref().is_some_and(|was| was.generation > route.generation) {
            return Ok(Registered::Outdated);
        }
        // After the entry: whoever cleans the sets takes out what has none.
        let keys = [user_key(&self.redis, route.uid), node_key(&self.redis, &route.node)];
        self.redis.run_all::<Value>(keys.map(|key| Self::index(key, &[route.connection()])).into()).await?;
        let Some(older) = was.filter(|was| was.generation < route.generation) else {
            return Ok(Registered::New);
        };
        self.unindex(&older).await?;
        Ok(Registered::Replaced(older))
    }

    async fn renew(&self, node: &NodeId, live: &[ConnectionRef], lease_ms: i64) -> Result<Renewed> {
        let mut told = Renewed::default();
        for some in live.chunks(CHUNK) {
            let renew = |connection: &ConnectionRef| {
                let mut script = RENEW.key(session_key(&self.redis, connection.session));
                script.arg(generation(connection.generation.0)).arg(&node.0).arg(self.redis.shift_ms()).arg(lease_ms);
                script
            };
            let renewed: Vec<String> = self.redis.run_all(some.iter().map(renew).collect()).await?;
            let (mut index, mut users, mut here) = (Vec::new(), Vec::new(), Vec::new());
            for (connection, answer) in some.iter().zip(renewed) {
                if answer.is_empty() {
                    told.unknown.push(*connection);
                } else {
                    let uid = Uid(number(&answer)?);
                    index.push(Self::index(user_key(&self.redis, uid), &[*connection]));
                    users.push(uid);
                    here.push(*connection);
                }
            }
            // What is lost of the sets is there again: evicted, or not known to a replica that took over.
            index.extend((!here.is_empty()).then(|| Self::index(node_key(&self.redis, node), &here)));
            let added: Vec<i64> = self.redis.run_all(index).await?;
            told.missed.extend(users.into_iter().zip(added).filter(|(_, added)| *added > 0).map(|(uid, _)| uid));
        }
        Ok(told)
    }

    async fn remove(&self, connection: ConnectionRef) -> Result<bool> {
        let mut script = REMOVE.key(session_key(&self.redis, connection.session));
        script.arg(generation(connection.generation.0)).arg(self.redis.shift_ms());
        let was: Option<String> = self.redis.run(&script).await?;
        let Some(was) = was.as_deref().map(route_of).transpose()? else {
            return Ok(false);
        };
        self.unindex(&was).await?;
        Ok(true)
    }

    async fn routes(&self, uids: &[Uid]) -> Result<Vec<Route>> {
        self.lookups.routes(uids).await
    }

    async fn of_sessions(&self, sessions: &[SessionId]) -> Result<Vec<Route>> {
        lookups::of_sessions(&self.redis, sessions).await
    }

    async fn users_of(&self, node: &NodeId, limit: u32) -> Result<Vec<Uid>> {
        let uids: BTreeSet<Uid> = lookups::at_node(&self.redis, node).await?.iter().map(|route| route.uid).collect();
        Ok(uids.into_iter().take(limit as usize).collect())
    }

    async fn count(&self, node: &NodeId) -> Result<u32> {
        Ok(lookups::at_node(&self.redis, node).await?.len() as u32)
    }
}
