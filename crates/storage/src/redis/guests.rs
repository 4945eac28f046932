//! Which guest is where, and how many are in each live room: [`GuestRegistry`] on Redis.
//!
//! The entry of a guest is one key with its lease, judged by scripts. Beside it goim's own keys are kept for whoever reads
//! them (`mid_<mid>`, `key_<key>`, `ol_<node>`); of these only `mid_` and `ol_` are read here, and `mid_` is never believed.
//!
//! **Invariant:** at most one entry per key, the one with the largest generation; it is removed only by its own generation
//! and node, by one script.

use super::entry::{CHUNK, generation, number};
use super::script::{Invocation, Script};
use super::{INDEX_TTL_MS, Redis};
use async_trait::async_trait;
use redis::{Cmd, Value};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use skein_domain::id::{Generation, Millis, NodeId};
use skein_domain::live::{GuestKey, GuestRef, Mid, ROOMS_PER_NODE_MAX, RoomName};
use skein_domain::port::{GuestRegistry, GuestRoute, NodeOnline};
use skein_domain::{Code, Error, Result};
use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

/// As goim's example has it.
const GOIM_TTL_MS: i64 = 1_800_000;
/// goim spreads the counts of a node over so many fields.
const FIELDS: u8 = 64;
/// The field with what goim does not say.
const REPORT: &str = "skein";

/// Answers the live entry that was there, and whether goim's keys have to be written (they have not been for a minute).
/// Writes unless the entry there is newer.
static PUT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local t = redis.call('TIME')
        local now = t[1] * 1000 + math.floor(t[2] / 1000) + tonumber(ARGV[3])
        local was = redis.call('GET', KEYS[1])
        local entry = cjson.decode(ARGV[1])
        entry.indexed_ms = now
        local index = 1
        if was then
            local old = cjson.decode(was)
            if old.until_ms <= now then was = false
            elseif old.generation > ARGV[2] then return {was, 0}
            elseif old.generation == ARGV[2] and old.node == entry.node and old.indexed_ms + 60000 > now then
                entry.indexed_ms = old.indexed_ms
                index = 0
            end
        end
        entry.until_ms = now + tonumber(ARGV[4])
        redis.call('SET', KEYS[1], cjson.encode(entry), 'PX', ARGV[4])
        return {was, index}",
    )
});

/// The entry, if it was live and is gone now.
static REMOVE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local t = redis.call('TIME')
        local now = t[1] * 1000 + math.floor(t[2] / 1000) + tonumber(ARGV[3])
        local was = redis.call('GET', KEYS[1])
        if not was then return false end
        local entry = cjson.decode(was)
        if entry.generation ~= ARGV[1] or entry.node ~= ARGV[2] then return false end
        redis.call('DEL', KEYS[1])
        if entry.until_ms <= now then return false end
        return was",
    )
});

/// Takes the place of what the node said before. ARGV: shift, lease, then fields and values.
static REPORT_ONLINE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local t = redis.call('TIME')
        local until_ms = t[1] * 1000 + math.floor(t[2] / 1000) + tonumber(ARGV[1]) + tonumber(ARGV[2])
        redis.call('DEL', KEYS[1])
        for i = 3, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
        redis.call('HSET', KEYS[1], 'until_ms', string.format('%d', until_ms))
        redis.call('PEXPIRE', KEYS[1], ARGV[2])",
    )
});

pub struct RedisGuests {
    redis: Redis,
}

/// Large numbers are text: Lua's are not exact. The generation in one width, which compares alike.
#[derive(Serialize, Deserialize)]
struct Entry {
    mid: String,
    key: String,
    node: String,
    generation: String,
    #[serde(default)]
    until_ms: i64,
    #[serde(default)]
    indexed_ms: i64,
}

/// What goim's logic reads from a field of `ol_`.
#[derive(Serialize, Deserialize)]
struct Field {
    server: String,
    room_count: BTreeMap<String, u32>,
    updated: i64,
}

#[derive(Serialize, Deserialize)]
struct Report {
    connections: u32,
    addresses: u32,
    weight: u32,
    at: Millis,
}

impl RedisGuests {
    pub fn new(redis: Redis) -> Self {
        Self { redis }
    }

    fn entry_key(&self, key: &GuestKey) -> String {
        self.redis.key(format_args!("guest:{}", key.as_str()))
    }

    fn mid_key(&self, mid: Mid) -> String {
        self.redis.key(format_args!("mid_{}", mid.0))
    }

    fn goim_key(&self, key: &GuestKey) -> String {
        self.redis.key(format_args!("key_{}", key.as_str()))
    }

    fn online_key(&self, node: &str) -> String {
        self.redis.key(format_args!("ol_{node}"))
    }

    /// Writes unless a newer one is there; answers the live entries that were.
    async fn put(&self, routes: &[GuestRoute], lease_ms: i64) -> Result<Vec<Option<GuestRoute>>> {
        let scripts = routes.iter().map(|route| self.put_one(route, lease_ms)).collect::<Result<_>>()?;
        let answers: Vec<(Option<String>, bool)> = self.redis.run_all(scripts).await?;
        let mut index = Vec::new();
        let mut former = Vec::with_capacity(routes.len());
        for (route, (was, is_new)) in routes.iter().zip(answers) {
            let was = was.as_deref().map(read).transpose()?.map(|(route, _)| route);
            if is_new {
                index.extend(self.index(route));
                // goim forgets to.
                index.extend(was.iter().filter(|was| was.mid != route.mid).map(|was| self.unindex_mid(was)));
            }
            former.push(was);
        }
        self.redis.all::<Value>(index).await?;
        Ok(former)
    }

    fn put_one(&self, route: &GuestRoute, lease_ms: i64) -> Result<Invocation> {
        let entry = Entry::of(route);
        let mut script = PUT.key(self.entry_key(&route.key));
        script.arg(text(&entry)?).arg(&entry.generation);
        script.arg(self.redis.shift_ms()).arg(lease_ms);
        Ok(script)
    }

    fn index(&self, route: &GuestRoute) -> Vec<Cmd> {
        let mut set = Cmd::set(self.goim_key(&route.key), &route.node.0);
        set.arg("PX").arg(GOIM_TTL_MS);
        let mut index = vec![set];
        // The anonymous are nobody to push to by number.
        if route.mid != Mid::default() {
            let key = self.mid_key(route.mid);
            index.push(Cmd::hset(&key, route.key.as_str(), &route.node.0));
            index.push(Cmd::pexpire(&key, GOIM_TTL_MS));
        }
        index
    }

    fn unindex_mid(&self, route: &GuestRoute) -> Cmd {
        Cmd::hdel(self.mid_key(route.mid), route.key.as_str())
    }

    async fn live(&self, keys: &[GuestKey]) -> Result<Vec<GuestRoute>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let now = self.redis.now().await?;
        let mut routes = Vec::with_capacity(keys.len());
        for some in keys.chunks(CHUNK) {
            let entries: Vec<Option<String>> = self.redis.all(some.iter().map(|key| Cmd::get(self.entry_key(key))).collect()).await?;
            for entry in entries.iter().flatten() {
                let (route, until_ms) = read(entry)?;
                routes.extend((until_ms > now).then_some(route));
            }
        }
        Ok(routes)
    }

    async fn reported(&self, node: String, now: Millis) -> Result<Option<NodeOnline>> {
        let mut fields: HashMap<String, String> = self.redis.query(&Cmd::hgetall(self.online_key(&node))).await?;
        let until_ms = fields.remove("until_ms").map(|text| number(&text)).transpose()?;
        let Some(report) = fields.remove(REPORT).filter(|_| until_ms.is_some_and(|until| until > now.0)) else {
            return Ok(None);
        };
        let Report { connections, addresses, weight, at } = parse(&report)?;
        let mut rooms = Vec::new();
        for field in fields.values() {
            for (room, count) in parse::<Field>(field)?.room_count {
                rooms.push((RoomName::parse(&room)?, count));
            }
        }
        rooms.sort();
        Ok(Some(NodeOnline { node: NodeId(node), rooms, connections, addresses, weight, at }))
    }
}

#[async_trait]
impl GuestRegistry for RedisGuests {
    async fn register(&self, route: GuestRoute, lease_ms: i64) -> Result<Option<GuestRoute>> {
        let was = self.put(std::slice::from_ref(&route), lease_ms).await?.pop().flatten();
        Ok(match was {
            Some(newer) if newer.generation > route.generation => Some(route),
            older => older.filter(|older| older.generation < route.generation),
        })
    }

    async fn renew(&self, node: &NodeId, live: &[(Mid, GuestRef)], lease_ms: i64) -> Result<Vec<GuestRef>> {
        let route = |(mid, guest): &(Mid, GuestRef)| GuestRoute {
            mid: *mid,
            key: guest.key.clone(),
            node: node.clone(),
            generation: guest.generation,
        };
        let mut superseded = Vec::new();
        for some in live.chunks(CHUNK) {
            let routes: Vec<GuestRoute> = some.iter().map(route).collect();
            let former = self.put(&routes, lease_ms).await?;
            let is_newer = |(route, former): &(&GuestRoute, &Option<GuestRoute>)| {
                former.as_ref().is_some_and(|former| former.generation > route.generation)
            };
            superseded.extend(routes.iter().zip(&former).filter(is_newer).map(|(route, _)| route.guest()));
        }
        Ok(superseded)
    }

    async fn remove(&self, node: &NodeId, guest: &GuestRef) -> Result<bool> {
        let mut script = REMOVE.key(self.entry_key(&guest.key));
        script.arg(generation(guest.generation.0)).arg(&node.0).arg(self.redis.shift_ms());
        let was: Option<String> = self.redis.run(&script).await?;
        let Some((was, _)) = was.as_deref().map(read).transpose()? else {
            return Ok(false);
        };
        let forget = vec![self.unindex_mid(&was), Cmd::del(self.goim_key(&was.key))];
        self.redis.all::<Value>(forget).await?;
        Ok(true)
    }

    async fn by_keys(&self, keys: &[GuestKey]) -> Result<Vec<GuestRoute>> {
        self.live(keys).await
    }

    async fn by_mids(&self, mids: &[Mid]) -> Result<Vec<GuestRoute>> {
        let mids: Vec<Mid> = mids.iter().copied().filter(|mid| *mid != Mid::default()).collect();
        let mut found = Vec::new();
        for some in mids.chunks(CHUNK) {
            let named: Vec<Vec<String>> = self.redis.all(some.iter().map(|mid| Cmd::hkeys(self.mid_key(*mid))).collect()).await?;
            let mut stale = Vec::new();
            for (mid, names) in some.iter().zip(named) {
                let keys: Vec<GuestKey> = names.iter().filter_map(|name| GuestKey::parse(name).ok()).collect();
                let routes: Vec<GuestRoute> = self.live(&keys).await?.into_iter().filter(|route| route.mid == *mid).collect();
                let is_live = |name: &&String| routes.iter().any(|route| route.key.as_str() == name.as_str());
                stale.extend(names.iter().filter(|name| !is_live(name)).map(|name| Cmd::hdel(self.mid_key(*mid), name)));
                found.extend(routes);
            }
            self.redis.all::<Value>(stale).await?;
        }
        Ok(found)
    }

    async fn put_online(&self, online: NodeOnline, lease_ms: i64) -> Result<()> {
        if online.rooms.len() > ROOMS_PER_NODE_MAX {
            return Err(Error::new(Code::TooLarge, "a node reports at most 200000 live rooms"));
        }
        let NodeOnline { node, rooms, connections, addresses, weight, at } = online;
        let mut fields: BTreeMap<u8, BTreeMap<String, u32>> = BTreeMap::new();
        for (room, count) in rooms {
            fields.entry(field_of(&room)).or_default().insert(room.as_str().to_owned(), count);
        }
        let mut script = REPORT_ONLINE.key(self.online_key(&node.0));
        script.arg(self.redis.shift_ms()).arg(lease_ms);
        script.arg(REPORT).arg(text(&Report { connections, addresses, weight, at })?);
        for (field, room_count) in fields {
            let updated = at.0 / 1_000;
            script.arg(field).arg(text(&Field { server: node.0.clone(), room_count, updated })?);
        }
        self.redis.run::<Value>(&script).await?;
        let names = self.redis.key("online");
        self.redis.all::<Value>(vec![Cmd::sadd(&names, &node.0), Cmd::pexpire(&names, INDEX_TTL_MS)]).await.map(drop)
    }

    async fn online(&self) -> Result<Vec<NodeOnline>> {
        let names = self.redis.key("online");
        let mut nodes: Vec<String> = self.redis.query(&Cmd::smembers(&names)).await?;
        nodes.sort();
        let now = self.redis.now().await?;
        let mut all = Vec::with_capacity(nodes.len());
        for node in nodes {
            match self.reported(node.clone(), now).await? {
                Some(online) => all.push(online),
                None => self.redis.query::<Value>(&Cmd::srem(&names, &node)).await.map(drop)?,
            }
        }
        Ok(all)
    }
}

impl Entry {
    fn of(route: &GuestRoute) -> Self {
        Self {
            mid: route.mid.0.to_string(),
            key: route.key.as_str().to_owned(),
            node: route.node.0.clone(),
            generation: generation(route.generation.0),
            until_ms: 0,
            indexed_ms: 0,
        }
    }
}

fn read(entry: &str) -> Result<(GuestRoute, Millis)> {
    let Entry { mid, key, node, generation, until_ms, .. } = parse(entry)?;
    let key = GuestKey::parse(&key).map_err(|_| Error::internal())?;
    let route = GuestRoute { mid: Mid(number(&mid)?), key, node: NodeId(node), generation: Generation(number(&generation)?) };
    Ok((route, Millis(until_ms)))
}

fn text(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|_| Error::internal())
}

fn parse<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|_| Error::internal())
}

/// goim spreads rooms by CityHash; whoever reads takes all fields together, so any hash will do.
fn field_of(room: &RoomName) -> u8 {
    Sha256::digest(room.as_str())[0] % FIELDS
}
