//! What a [`GuestRegistry`] must keep. A maker hands over a fresh registry on the given clock.

use skein_domain::id::{Generation, Millis, NodeId};
use skein_domain::live::{GuestKey, GuestRef, Mid, RoomName};
use skein_domain::port::{Clock, GuestRegistry, GuestRoute, NodeOnline};
use skein_domain::testing::ManualClock;
use std::sync::Arc;

pub type Maker = fn(Arc<dyn Clock>) -> Arc<dyn GuestRegistry>;

const LEASE_MS: i64 = 90_000;
/// An engine with a clock of its own goes on while a case runs.
const MARGIN_MS: i64 = 1_000;

fn key(text: &str) -> GuestKey {
    GuestKey::parse(text).expect("good key")
}

pub fn route(name: &str, mid: i64, generation: i64, node: &str) -> GuestRoute {
    GuestRoute { mid: Mid(mid), key: key(name), node: NodeId(node.into()), generation: Generation(generation) }
}

pub async fn the_newest_connection_of_a_key_wins(make: &Maker) {
    let registry = make(Arc::new(ManualClock::default()));
    let register = async |route: &GuestRoute| registry.register(route.clone(), LEASE_MS).await.expect("register");
    let (old, new) = (route("k", 5, 1, "a"), route("k", 6, 2, "b"));
    assert_eq!(register(&old).await, None);
    assert_eq!(register(&new).await, Some(old.clone()));
    assert_eq!(register(&old).await, Some(old), "who comes late lost itself");
    assert_eq!(register(&new).await, None, "the same connection again is no replacement");
    assert_eq!(registry.by_keys(&[key("k")]).await.expect("routes"), std::slice::from_ref(&new));
    assert_eq!(registry.by_mids(&[Mid(5)]).await.expect("routes"), [], "the key went to another mid");
    assert_eq!(registry.by_mids(&[Mid(6)]).await.expect("routes"), [new]);
}

/// goim deletes what the newer connection of a key has just written.
pub async fn only_its_own_generation_is_removed_and_only_at_its_node(make: &Maker) {
    let registry = make(Arc::new(ManualClock::default()));
    let (old, new) = (route("k", 5, 1, "a"), route("k", 5, 2, "a"));
    for route in [&old, &new] {
        registry.register(route.clone(), LEASE_MS).await.expect("register");
    }
    let node = NodeId("a".into());
    assert!(!registry.remove(&node, &old.guest()).await.expect("remove"));
    assert!(!registry.remove(&NodeId("b".into()), &new.guest()).await.expect("remove"));
    assert_eq!(registry.by_mids(&[Mid(5)]).await.expect("routes").len(), 1);
    assert!(registry.remove(&node, &new.guest()).await.expect("remove"));
    assert!(!registry.remove(&node, &new.guest()).await.expect("remove"));
    assert_eq!(registry.by_keys(&[key("k")]).await.expect("routes"), []);
    assert_eq!(registry.by_mids(&[Mid(5)]).await.expect("routes"), []);
}

pub async fn a_forgotten_guest_is_registered_anew_unless_superseded(make: &Maker) {
    let clock = Arc::new(ManualClock::default());
    let registry = make(clock.clone());
    let node = NodeId("a".into());
    let renew = async |live: &[(Mid, GuestRef)]| registry.renew(&node, live, LEASE_MS).await.expect("renew");
    let (kept, lost, old) = (route("kept", 1, 1, "a"), route("lost", 2, 1, "a"), route("moved", 3, 1, "a"));
    for route in [&kept, &lost, &old, &route("moved", 3, 2, "b")] {
        registry.register(route.clone(), LEASE_MS).await.expect("register");
    }
    let all = [&kept, &lost, &old].map(|route| (route.mid, route.guest()));
    clock.advance(LEASE_MS - MARGIN_MS);
    assert_eq!(renew(&all[..1]).await, []);
    assert_eq!(renew(&all[2..]).await, [old.guest()], "a newer connection of the key is elsewhere");
    clock.advance(MARGIN_MS);
    let keys = [key("kept"), key("lost")];
    assert_eq!(registry.by_keys(&keys).await.expect("routes"), std::slice::from_ref(&kept), "a lease runs out");
    assert_eq!(registry.by_mids(&[Mid(2)]).await.expect("routes"), []);
    assert_eq!(renew(&all[..2]).await, []);
    assert_eq!(registry.by_keys(&keys).await.expect("routes"), [kept, lost]);
}

pub async fn guests_are_found_by_key_and_by_mid(make: &Maker) {
    let registry = make(Arc::new(ManualClock::default()));
    let all = [route("a1", 7, 1, "a"), route("a2", 7, 1, "b"), route("none", 0, 1, "a")];
    for route in &all {
        registry.register(route.clone(), LEASE_MS).await.expect("register");
    }
    let mut of_seven = registry.by_mids(&[Mid(7), Mid(8)]).await.expect("routes");
    of_seven.sort_by(|a, b| a.key.cmp(&b.key));
    assert_eq!(of_seven, all[..2]);
    assert_eq!(registry.by_mids(&[Mid(0)]).await.expect("routes"), [], "the anonymous are nobody in particular");
    let unknown = [key("none"), key("unknown")];
    assert_eq!(registry.by_keys(&unknown).await.expect("routes"), all[2..]);
}

/// goim keeps the counts of rooms that emptied for as long as their server lives.
pub async fn empty_rooms_and_silent_nodes_leave_no_counts(make: &Maker) {
    let clock = Arc::new(ManualClock::default());
    let registry = make(clock.clone());
    let room = |name: &str, count| (RoomName::parse(name).expect("good name"), count);
    let report =
        |node: &str, rooms| NodeOnline { node: NodeId(node.into()), rooms, connections: 3, addresses: 2, weight: 10, at: Millis(0) };
    let (full, other) = (report("a", vec![room("live://1", 2), room("live://2", 1)]), report("b", vec![room("live://1", 5)]));
    for online in [&full, &other] {
        registry.put_online(online.clone(), LEASE_MS).await.expect("put");
    }
    assert_eq!(registry.online().await.expect("online"), [full, other.clone()]);
    clock.advance(LEASE_MS - MARGIN_MS);
    let emptied = report("a", vec![room("live://2", 1)]);
    registry.put_online(emptied.clone(), LEASE_MS).await.expect("put");
    assert_eq!(registry.online().await.expect("online"), [emptied.clone(), other]);
    clock.advance(MARGIN_MS);
    assert_eq!(registry.online().await.expect("online"), [emptied]);
}
