//! Who publishes each shard: [`ShardLeases`], a row for each.
//!
//! **Invariant:** the rows change in the writer's transactions alone, which come one after the other; so do the positions
//! that are judged by them (see [`super::transaction`]).

use super::Store;
use super::engine::{Sql, Statement, params};
use super::failure::Outcome;
use super::transaction::{Transaction, many, one};
use async_trait::async_trait;
use skein_domain::id::{Fence, Revision, Shard, Tenant};
use skein_domain::port::{Claim, ShardLease, ShardLeases, ShardProgress};
use skein_domain::{Error, Result};

/// Of the store, which is the same for all its processes.
const NOW: Statement =
    Statement::differing("SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER)", "SELECT CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)");
const PROGRESS: Statement = Statement::differing(
    "SELECT s.revision, s.published, l.expires_at <= CAST(unixepoch('subsec') * 1000 AS INTEGER)
     FROM shard s JOIN shard_lease l ON l.shard = s.id ORDER BY s.id",
    "SELECT s.revision, s.published, l.expires_at <= CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)
     FROM shard s JOIN shard_lease l ON l.shard = s.id ORDER BY s.id",
);
const RENEW: &str = "UPDATE shard_lease SET expires_at = ?2 WHERE tenant = ?1";
/// `?5` is a node whose processes are dead; a shard that nobody has had is free.
const TAKE: &str = "UPDATE shard_lease SET node = ?1, tenant = ?2, fence = fence + 1, expires_at = ?3
                    WHERE tenant <> ?2 AND (expires_at <= ?4 OR node = ?5)";
const HELD: &str = "SELECT shard, fence FROM shard_lease WHERE tenant = ?1 ORDER BY shard";
const RELEASE: &str = "UPDATE shard_lease SET expires_at = 0 WHERE tenant = ?1";
/// Of processes that are dead, or there would be no lock on the store.
pub(crate) const END_ALL: &str = "UPDATE shard_lease SET expires_at = 0 WHERE expires_at > 0";

#[async_trait]
impl ShardLeases for Store {
    fn is_contended(&self) -> bool {
        self.look_every().is_some()
    }

    async fn progress(&self) -> Result<Vec<ShardProgress>> {
        let read = |connection: &dyn Sql| {
            many(connection, PROGRESS, &[], |row| {
                Ok(ShardProgress { head: Revision(row.get(0)?), published: Revision(row.get(1)?), is_free: row.get(2)? })
            })
        };
        self.readers().read(read).await
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<ShardLease>> {
        self.writer().submit(0, move |transaction| take(transaction, &claim)).await
    }

    async fn release(&self, tenant: Tenant) -> Result<()> {
        self.writer().submit(0, move |transaction| transaction.execute(RELEASE, params![tenant.0]).map(drop)).await
    }
}

fn take(transaction: &mut Transaction<'_>, claim: &Claim) -> Outcome<Vec<ShardLease>> {
    // Not before the locks of the batch were waited for.
    let now = one(transaction.connection, NOW, &[], |row| row.get::<i64>(0))?.ok_or_else(Error::internal)?;
    let until = now.saturating_add(claim.term_ms);
    let dead = if claim.succeeds { claim.node.0.as_str() } else { "" };
    transaction.execute(RENEW, params![claim.tenant.0, until])?;
    transaction.execute(TAKE, params![claim.node.0, claim.tenant.0, until, now, dead])?;
    many(transaction.connection, HELD, params![claim.tenant.0], |row| {
        Ok(ShardLease { shard: Shard(row.get(0)?), fence: Fence(row.get(1)?) })
    })
}
