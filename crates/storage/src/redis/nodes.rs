//! Live nodes, and connect tickets: [`NodeRegistry`] on Redis.
//!
//! **Invariant:** a ticket is read and removed by one command, so two Comets cannot both take it.

use super::script::Script;
use super::{INDEX_TTL_MS, Redis};
use async_trait::async_trait;
use redis::{Cmd, Value};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use skein_domain::account::SecretHash;
use skein_domain::id::{NodeId, SessionId};
use skein_domain::port::{NodeInfo, NodeRegistry};
use skein_domain::{Error, Result};
use std::sync::LazyLock;

/// Writes ARGV[1] with its end, so long after the server's now.
static PUT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r#"local t = redis.call('TIME')
        local until_ms = t[1] * 1000 + math.floor(t[2] / 1000) + tonumber(ARGV[2]) + tonumber(ARGV[3])
        redis.call('SET', KEYS[1], '{"until_ms":' .. string.format('%d', until_ms) .. ',"what":' .. ARGV[1] .. '}', 'PX', ARGV[3])"#,
    )
});

pub struct RedisNodes {
    redis: Redis,
}

#[derive(Serialize, Deserialize)]
struct Leased<T> {
    until_ms: i64,
    what: T,
}

#[derive(Serialize, Deserialize)]
struct Ticket {
    session: SessionId,
    node: NodeId,
}

impl RedisNodes {
    pub fn new(redis: Redis) -> Self {
        Self { redis }
    }

    fn node_key(&self, node: &str) -> String {
        self.redis.key(format_args!("node:{node}"))
    }

    fn ticket_key(&self, ticket: SecretHash) -> String {
        let hex: String = ticket.0.iter().map(|byte| format!("{byte:02x}")).collect();
        self.redis.key(format_args!("ticket:{hex}"))
    }

    async fn put(&self, key: String, what: &impl Serialize, ttl_ms: i64) -> Result<()> {
        let mut script = PUT.key(key);
        script.arg(serde_json::to_string(what).map_err(|_| Error::internal())?).arg(self.redis.shift_ms()).arg(ttl_ms);
        self.redis.run(&script).await
    }

    async fn live<T: DeserializeOwned>(&self, leased: &str) -> Result<Option<T>> {
        let leased: Leased<T> = serde_json::from_str(leased).map_err(|_| Error::internal())?;
        Ok(if leased.until_ms > self.redis.now().await?.0 { Some(leased.what) } else { None })
    }
}

#[async_trait]
impl NodeRegistry for RedisNodes {
    async fn announce(&self, node: NodeInfo, lease_ms: i64) -> Result<()> {
        self.put(self.node_key(&node.node.0), &node, lease_ms).await?;
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
        self.put(self.ticket_key(ticket), &Ticket { session, node }, ttl_ms).await
    }

    async fn take_ticket(&self, ticket: SecretHash, node: &NodeId) -> Result<Option<SessionId>> {
        let Some(leased): Option<String> = self.redis.query(&Cmd::get_del(self.ticket_key(ticket))).await? else {
            return Ok(None);
        };
        let ticket: Option<Ticket> = self.live(&leased).await?;
        Ok(ticket.filter(|ticket| ticket.node == *node).map(|ticket| ticket.session))
    }
}
