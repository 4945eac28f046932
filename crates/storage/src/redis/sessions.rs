//! Who is online where: [`SessionRegistry`] on Redis.
//!
//! The entry of a session is one key with its lease; sets of connections per user and per node say where to look, and
//! are never believed: whoever reads them looks at the entries. Each renewal sees to it that the connection is in them.
//! What is taken out of a set is one connection, never its session: a device that comes back while its last connection is
//! being cleared away stays in them.
//!
//! **Invariant:** at most one entry per session, the one with the largest generation; it is compared and written by one
//! script.

use super::script::{Invocation, Script};
use super::{INDEX_TTL_MS, Redis};
use async_trait::async_trait;
use redis::{Cmd, Value};
use serde::{Deserialize, Serialize};
use skein_domain::id::{ConnectionRef, Millis, NodeId, SessionId, Uid};
use skein_domain::port::{Registered, Renewed, Route, SessionRegistry};
use skein_domain::{Error, Result};
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Keys asked for in one pipeline.
pub(super) const CHUNK: usize = 1_000;

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
}

/// Large numbers are not safe with Lua, so they travel as text; the generation in one width, which compares alike.
#[derive(Serialize, Deserialize)]
struct Entry {
    uid: String,
    class: String,
    node: String,
    session: String,
    generation: String,
    #[serde(default)]
    until_ms: i64,
}

impl RedisSessions {
    pub fn new(redis: Redis) -> Self {
        Self { redis }
    }

    fn session_key(&self, session: SessionId) -> String {
        self.redis.key(format_args!("session:{session}"))
    }

    fn user_key(&self, uid: Uid) -> String {
        self.redis.key(format_args!("user:{uid}"))
    }

    fn node_key(&self, node: &NodeId) -> String {
        self.redis.key(format_args!("at:{node}"))
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
        let keys = [self.user_key(route.uid), self.node_key(&route.node)];
        let member = member(route.connection());
        self.redis.all::<Value>(keys.iter().map(|key| Cmd::srem(key, &member)).collect()).await.map(drop)
    }

    /// Live entries of these sessions, in their order.
    async fn live(&self, sessions: &[SessionId]) -> Result<Vec<Route>> {
        if sessions.is_empty() {
            return Ok(Vec::new());
        }
        let now = self.redis.now().await?;
        let mut routes = Vec::with_capacity(sessions.len());
        for some in sessions.chunks(CHUNK) {
            let asked = some.iter().map(|session| Cmd::get(self.session_key(*session))).collect();
            let entries: Vec<Option<String>> = self.redis.all(asked).await?;
            for entry in entries.into_iter().flatten() {
                routes.extend(live(&entry, now)?);
            }
        }
        Ok(routes)
    }

    /// Live entries of the connections that the sets under these keys name, if `is_there` agrees; of the others the sets
    /// are cleaned.
    async fn indexed(&self, keys: &[String], is_there: impl Fn(&str, &Route) -> bool) -> Result<Vec<Route>> {
        let mut found = Vec::new();
        for some in keys.chunks(CHUNK) {
            let sets: Vec<Vec<String>> = self.redis.all(some.iter().map(Cmd::smembers).collect()).await?;
            let all: BTreeSet<SessionId> = sets.iter().flatten().filter_map(|member| session_of(member)).collect();
            let routes = self.live(&Vec::from_iter(all)).await?;
            let mut stale = Vec::new();
            for (key, set) in some.iter().zip(sets) {
                let set: BTreeSet<String> = set.into_iter().collect();
                let is_named = |route: &&Route| set.contains(&member(route.connection())) && is_there(key, route);
                let there: Vec<&Route> = routes.iter().filter(is_named).collect();
                let live: BTreeSet<String> = there.iter().map(|route| member(route.connection())).collect();
                stale.extend(set.difference(&live).map(|member| Cmd::srem(key, member)));
                found.extend(there.into_iter().cloned());
            }
            self.redis.all::<Value>(stale).await?;
        }
        Ok(found)
    }
}

#[async_trait]
impl SessionRegistry for RedisSessions {
    async fn register(&self, route: Route, lease_ms: i64) -> Result<Registered> {
        let entry = Entry::of(&route);
        let mut script = REGISTER.key(self.session_key(route.session));
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
        let keys = [self.user_key(route.uid), self.node_key(&route.node)];
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
                let mut script = RENEW.key(self.session_key(connection.session));
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
                    index.push(Self::index(self.user_key(uid), &[*connection]));
                    users.push(uid);
                    here.push(*connection);
                }
            }
            // What is lost of the sets is there again: evicted, or not known to a replica that took over.
            index.extend((!here.is_empty()).then(|| Self::index(self.node_key(node), &here)));
            let added: Vec<i64> = self.redis.run_all(index).await?;
            told.missed.extend(users.into_iter().zip(added).filter(|(_, added)| *added > 0).map(|(uid, _)| uid));
        }
        Ok(told)
    }

    async fn remove(&self, connection: ConnectionRef) -> Result<bool> {
        let mut script = REMOVE.key(self.session_key(connection.session));
        script.arg(generation(connection.generation.0)).arg(self.redis.shift_ms());
        let was: Option<String> = self.redis.run(&script).await?;
        let Some(was) = was.as_deref().map(route_of).transpose()? else {
            return Ok(false);
        };
        self.unindex(&was).await?;
        Ok(true)
    }

    async fn routes(&self, uids: &[Uid]) -> Result<Vec<Route>> {
        let keys: Vec<String> = uids.iter().map(|uid| self.user_key(*uid)).collect();
        self.indexed(&keys, |key, route| *key == self.user_key(route.uid)).await
    }

    async fn of_sessions(&self, sessions: &[SessionId]) -> Result<Vec<Route>> {
        self.live(sessions).await
    }

    async fn users_of(&self, node: &NodeId, limit: u32) -> Result<Vec<Uid>> {
        let uids: BTreeSet<Uid> =
            self.indexed(&[self.node_key(node)], |_, route| route.node == *node).await?.iter().map(|r| r.uid).collect();
        Ok(uids.into_iter().take(limit as usize).collect())
    }

    async fn count(&self, node: &NodeId) -> Result<u32> {
        Ok(self.indexed(&[self.node_key(node)], |_, route| route.node == *node).await?.len() as u32)
    }
}

impl Entry {
    fn of(route: &Route) -> Self {
        Self {
            uid: route.uid.to_string(),
            class: route.class.as_str().to_owned(),
            node: route.node.0.clone(),
            session: route.session.to_string(),
            generation: generation(route.generation.0),
            until_ms: 0,
        }
    }
}

/// As the sets name a connection.
fn member(connection: ConnectionRef) -> String {
    format!("{}.{}", connection.session, connection.generation.0)
}

/// `None`: another version wrote it, and it names nothing.
fn session_of(member: &str) -> Option<SessionId> {
    let (session, _) = member.split_once('.')?;
    session.parse().ok().map(SessionId)
}

pub(super) fn generation(number: i64) -> String {
    format!("{number:020}")
}

fn live(entry: &str, now: Millis) -> Result<Option<Route>> {
    let entry: Entry = serde_json::from_str(entry).map_err(|_| Error::internal())?;
    if entry.until_ms <= now.0 { Ok(None) } else { route(entry).map(Some) }
}

fn route_of(entry: &str) -> Result<Route> {
    route(serde_json::from_str(entry).map_err(|_| Error::internal())?)
}

fn route(entry: Entry) -> Result<Route> {
    Ok(Route {
        uid: Uid(number(&entry.uid)?),
        class: skein_domain::account::DeviceClass::parse(&entry.class).ok_or_else(Error::internal)?,
        node: NodeId(entry.node),
        session: SessionId(number(&entry.session)?),
        generation: skein_domain::id::Generation(number(&entry.generation)?),
    })
}

pub(super) fn number(text: &str) -> Result<i64> {
    text.parse().map_err(|_| Error::internal())
}
