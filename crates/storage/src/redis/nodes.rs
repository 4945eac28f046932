//! Live nodes, and connect tickets: [`NodeRegistry`] on Redis.
//!
//! **Invariant:** a ticket is read and removed by one command, so two Comets cannot both take it.
//!
//! Two processes of one name would each be deaf in part, and nobody else can tell them apart. So a process that finds its own
//! name announced by another, after it had announced itself, says so at each of its announcements. Its own former life, whose
//! lease may hold at the start, is no reason.

use super::script::Script;
use super::{INDEX_TTL_MS, Redis};
use async_trait::async_trait;
use redis::{Cmd, Value};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use skein_domain::account::SecretHash;
use skein_domain::id::{NodeId, SessionId};
use skein_domain::port::{NodeInfo, NodeRegistry};
use skein_domain::{Error, Result};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering};

/// Writes ARGV[1], by ARGV[4], with its end, so long after the server's now; gives that end, and what was there.
static PUT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r#"local t = redis.call('TIME')
        local until_ms = t[1] * 1000 + math.floor(t[2] / 1000) + tonumber(ARGV[2]) + tonumber(ARGV[3])
        local head = '{"until_ms":' .. string.format('%d', until_ms) .. ',"by":"' .. ARGV[4]
        local former = redis.call('GET', KEYS[1])
        redis.call('SET', KEYS[1], head .. '","what":' .. ARGV[1] .. '}', 'PX', ARGV[3])
        return {until_ms, former}"#,
    )
});

pub struct RedisNodes {
    redis: Redis,
    /// The name of the node in this process, and until when it is announced; 0: not yet.
    own: (NodeId, AtomicI64),
    /// Of this process, at random.
    process: String,
}

#[derive(Serialize, Deserialize)]
struct Leased<T> {
    until_ms: i64,
    /// Which process wrote it.
    #[serde(default)]
    by: String,
    what: T,
}

#[derive(Serialize, Deserialize)]
struct Ticket {
    session: SessionId,
    node: NodeId,
}

impl RedisNodes {
    /// `own`: the name of the node in this process.
    pub fn new(redis: Redis, own: &str) -> Result<Self> {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(|_| Error::internal())?;
        let process = format!("{:016x}", u64::from_ne_bytes(bytes));
        Ok(Self { redis, own: (NodeId(own.to_owned()), AtomicI64::new(0)), process })
    }

    fn node_key(&self, node: &str) -> String {
        self.redis.key(format_args!("node:{node}"))
    }

    fn ticket_key(&self, ticket: SecretHash) -> String {
        let hex: String = ticket.0.iter().map(|byte| format!("{byte:02x}")).collect();
        self.redis.key(format_args!("ticket:{hex}"))
    }

    /// Until when it is kept, and what was there.
    async fn put(&self, key: String, what: &impl Serialize, ttl_ms: i64) -> Result<(i64, Option<String>)> {
        let mut script = PUT.key(key);
        script.arg(serde_json::to_string(what).map_err(|_| Error::internal())?).arg(self.redis.shift_ms()).arg(ttl_ms);
        script.arg(&self.process);
        self.redis.run(&script).await
    }

    /// Whether another process announced itself as this one's node since this one last did.
    pub(super) async fn put_node(&self, node: &NodeInfo, lease_ms: i64) -> Result<bool> {
        let (until_ms, former) = self.put(self.node_key(&node.node.0), node, lease_ms).await?;
        let (own, announced) = &self.own;
        if node.node != *own {
            return Ok(false);
        }
        let mine_until_ms = announced.swap(until_ms, Ordering::Relaxed);
        let former: Option<Leased<IgnoredAny>> = former.and_then(|former| serde_json::from_str(&former).ok());
        Ok(mine_until_ms > 0 && former.is_some_and(|former| former.by != self.process && former.until_ms > mine_until_ms))
    }

    async fn live<T: DeserializeOwned>(&self, leased: &str) -> Result<Option<T>> {
        let leased: Leased<T> = serde_json::from_str(leased).map_err(|_| Error::internal())?;
        Ok(if leased.until_ms > self.redis.now().await?.0 { Some(leased.what) } else { None })
    }
}

#[async_trait]
impl NodeRegistry for RedisNodes {
    async fn announce(&self, node: NodeInfo, lease_ms: i64) -> Result<()> {
        if self.put_node(&node, lease_ms).await? {
            metrics::counter!("skein_node_name_taken_total").increment(1);
            tracing::error!(
                "another process is called node.name = {:?}, and both miss pushes: give each node a name of its own",
                node.node.0
            );
        }
        let names = self.redis.key("nodes");
        self.redis.all::<Value>(vec![Cmd::sadd(&names, &node.node.0), Cmd::pexpire(&names, INDEX_TTL_MS)]).await.map(drop)
    }

    async fn withdraw(&self, node: &NodeId) -> Result<()> {
        let forget = vec![Cmd::del(self.node_key(&node.0)), Cmd::srem(self.redis.key("nodes"), &node.0)];
        self.redis.all::<Value>(forget).await.map(drop)
    }

    async fn nodes(&self) -> Result<Vec<NodeInfo>> {
        let mut names: Vec<String> = self.redis.query(&Cmd::smembers(self.redis.key("nodes"))).await?;
        names.sort();
        let leased: Vec<Option<String>> = self.redis.all(names.iter().map(|name| Cmd::get(self.node_key(name))).collect()).await?;
        let mut nodes = Vec::new();
        for (name, leased) in names.iter().zip(leased) {
            match leased {
                Some(leased) => nodes.extend(self.live::<NodeInfo>(&leased).await?),
                None => self.redis.query::<Value>(&Cmd::srem(self.redis.key("nodes"), name)).await.map(drop)?,
            }
        }
        Ok(nodes)
    }

    async fn put_ticket(&self, ticket: SecretHash, session: SessionId, node: NodeId, ttl_ms: i64) -> Result<()> {
        self.put(self.ticket_key(ticket), &Ticket { session, node }, ttl_ms).await.map(drop)
    }

    async fn take_ticket(&self, ticket: SecretHash, node: &NodeId) -> Result<Option<SessionId>> {
        let Some(leased): Option<String> = self.redis.query(&Cmd::get_del(self.ticket_key(ticket))).await? else {
            return Ok(None);
        };
        let ticket: Option<Ticket> = self.live(&leased).await?;
        Ok(ticket.filter(|ticket| ticket.node == *node).map(|ticket| ticket.session))
    }
}
