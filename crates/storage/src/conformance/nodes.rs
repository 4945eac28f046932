//! What a [`NodeRegistry`] must keep. A maker hands over a fresh registry on the given clock.

use skein_domain::account::SecretHash;
use skein_domain::id::{NodeId, SessionId};
use skein_domain::port::{Clock, CometAddress, NodeInfo, NodeRegistry};
use skein_domain::testing::ManualClock;
use std::sync::Arc;

pub type Maker = fn(Arc<dyn Clock>) -> Arc<dyn NodeRegistry>;

fn node(name: &str, connections: u32) -> NodeInfo {
    NodeInfo { node: NodeId(name.into()), comet: CometAddress::default(), connections, draining: false }
}

pub async fn a_node_lives_as_long_as_its_lease(make: &Maker) {
    let clock = Arc::new(ManualClock::default());
    let registry = make(clock.clone());
    registry.announce(node("a", 1), 1_000).await.expect("announce");
    registry.announce(node("b", 2), 2_000).await.expect("announce");
    registry.announce(node("b", 3), 2_000).await.expect("announce");
    assert_eq!(registry.nodes().await.expect("nodes"), [node("a", 1), node("b", 3)]);
    clock.advance(1_000);
    assert_eq!(registry.nodes().await.expect("nodes"), [node("b", 3)]);
    registry.withdraw(&NodeId("b".into())).await.expect("withdraw");
    assert_eq!(registry.nodes().await.expect("nodes"), []);
}

pub async fn a_ticket_is_taken_once_and_only_at_its_node(make: &Maker) {
    let clock = Arc::new(ManualClock::default());
    let registry = make(clock.clone());
    let (a, b) = (NodeId("a".into()), NodeId("b".into()));
    let put = async |n: u8| registry.put_ticket(SecretHash([n; 32]), SessionId(7), a.clone(), 60_000).await.expect("put");
    let take = async |n: u8, node: &NodeId| registry.take_ticket(SecretHash([n; 32]), node).await.expect("take");
    put(1).await;
    assert_eq!(take(1, &a).await, Some(SessionId(7)));
    assert_eq!(take(1, &a).await, None, "single use");
    put(2).await;
    assert_eq!(take(2, &b).await, None, "another node's");
    put(3).await;
    clock.advance(60_000);
    assert_eq!(take(3, &a).await, None, "expired");
    assert_eq!(take(4, &a).await, None, "unknown");
}
