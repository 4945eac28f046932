//! What [`skein_domain::port::ShardLeases`] must keep, and what an outbox makes of fences.

use super::Backend;
use super::world::World;
use skein_domain::id::{Fence, NodeId, Revision, Shard, Tenant};
use skein_domain::port::{Claim, Fenced, ShardLease};
use std::time::Duration;

/// Longer than any case takes.
const LONG: i64 = 3_600_000;
const SHORT: i64 = 50;
const ANN: Tenant = Tenant(11);
const BOB: Tenant = Tenant(-22);

async fn claimed(world: &World, node: &str, tenant: Tenant, term_ms: i64) -> Vec<ShardLease> {
    let claim = Claim { node: NodeId(node.into()), tenant, term_ms, succeeds: false };
    world.ports.leases.claim(claim).await.expect("claim")
}

/// All shards, with this fence.
fn all(world: &World, fence: i64) -> Vec<ShardLease> {
    (0..world.ports.messages.shards()).map(|shard| ShardLease { shard: Shard(shard), fence: Fence(fence) }).collect()
}

async fn is_free(world: &World) -> bool {
    let progress = world.ports.leases.progress().await.expect("progress");
    assert_eq!(progress.len(), usize::from(world.ports.messages.shards()));
    assert!(progress.iter().all(|shard| shard.is_free == progress[0].is_free));
    progress[0].is_free
}

pub async fn one_tenant_has_a_shard_until_its_lease_runs_out(backend: &dyn Backend) {
    let world = World::on(backend).await;
    assert!(is_free(&world).await, "nobody had it yet");
    assert_eq!(claimed(&world, "a", ANN, LONG).await, all(&world, 1));
    assert!(!is_free(&world).await);
    assert_eq!(claimed(&world, "b", BOB, LONG).await, []);
    assert_eq!(claimed(&world, "a", ANN, SHORT).await, all(&world, 1), "renewed, for a shorter time");
    let succeeded = async {
        while claimed(&world, "b", BOB, LONG).await != all(&world, 2) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), succeeded).await.expect("it runs out");
    assert_eq!(claimed(&world, "a", ANN, LONG).await, [], "whoever comes back too late has lost it");
}

pub async fn a_released_shard_is_free_at_once(backend: &dyn Backend) {
    let world = World::on(backend).await;
    claimed(&world, "a", ANN, LONG).await;
    world.ports.leases.release(BOB).await.expect("release");
    assert!(!is_free(&world).await, "only what is one's own");
    world.ports.leases.release(ANN).await.expect("release");
    assert!(is_free(&world).await);
    assert_eq!(claimed(&world, "b", BOB, LONG).await, all(&world, 2));
}

pub async fn a_process_succeeds_a_dead_one_of_its_name(backend: &dyn Backend) {
    let world = World::on(backend).await;
    claimed(&world, "a", ANN, LONG).await;
    let claim = |node: &str| Claim { node: NodeId(node.into()), tenant: BOB, term_ms: LONG, succeeds: true };
    assert_eq!(world.ports.leases.claim(claim("b")).await.expect("claim"), [], "another name");
    assert_eq!(world.ports.leases.claim(claim("a")).await.expect("claim"), all(&world, 2));
    assert_eq!(claimed(&world, "a", ANN, LONG).await, [], "the dead one, if it is not");
}

pub async fn a_position_of_an_earlier_owner_is_refused(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let (outbox, ann) = (&world.ports.outbox, world.user("ann").await);
    let group = world.group(ann, &[]).await;
    let shard = world.view(group, ann).await.conversation.shard;
    claimed(&world, "a", ANN, LONG).await;
    world.ports.leases.release(ANN).await.expect("release");
    claimed(&world, "b", BOB, LONG).await;

    // It does not know yet; the store does.
    outbox.advance(shard, Revision(1), Some(Fence(1))).await.expect("taken for later");
    world.say(group, ann, "goes its way").await;
    let late = outbox.advance(shard, Revision(2), Some(Fence(1))).await;
    assert_eq!(late, Err(Fenced { shard, fence: Fence(1) }));
    assert_eq!(world.ports.leases.progress().await.expect("progress")[usize::from(shard.0)].published, Revision(0));

    outbox.advance(shard, Revision(2), Some(Fence(2))).await.expect("the owner's");
    world.say(group, ann, "takes it along").await;
    outbox.advance(shard, Revision(2), Some(Fence(2))).await.expect("the owner's");
    assert_eq!(world.ports.leases.progress().await.expect("progress")[usize::from(shard.0)].published, Revision(2));
}

pub async fn what_was_published_is_durable_with_the_next_claim(backend: &dyn Backend) {
    let world = World::on(backend).await;
    world.user("ann").await;
    for (claims, to) in [(true, Revision(1)), (false, Revision(2))] {
        claimed(&world, "a", ANN, LONG).await;
        world.ports.outbox.advance(Shard(0), to, Some(Fence(1))).await.expect("advance");
        match claims {
            true => assert_eq!(claimed(&world, "a", ANN, LONG).await, all(&world, 1)),
            false => world.ports.leases.release(ANN).await.expect("release"),
        }
        assert_eq!(world.ports.leases.progress().await.expect("progress")[0].published, to);
    }
}
