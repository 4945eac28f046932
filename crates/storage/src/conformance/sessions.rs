//! What a [`SessionRegistry`] must keep. A maker hands over a fresh registry on the given clock.

use skein_domain::account::DeviceClass;
use skein_domain::id::{Generation, NodeId, SessionId, Uid};
use skein_domain::port::{Clock, Registered, Renewed, Route, SessionRegistry};
use skein_domain::testing::ManualClock;
use std::sync::Arc;

pub type Maker = fn(Arc<dyn Clock>) -> Arc<dyn SessionRegistry>;

const LEASE_MS: i64 = 90_000;
const SLACK_MS: i64 = 30_000;

fn route(uid: i64, session: i64, generation: i64, node: &str) -> Route {
    Route {
        uid: Uid(uid),
        class: DeviceClass::Web,
        node: NodeId(node.into()),
        session: SessionId(session),
        generation: Generation(generation),
    }
}

pub async fn the_newest_generation_wins(make: &Maker) {
    let registry = make(Arc::new(ManualClock::default()));
    let register = async |route: &Route| registry.register(route.clone(), LEASE_MS).await.expect("register");
    let (old, new) = (route(1, 10, 5, "a"), route(1, 10, 6, "b"));
    assert_eq!(register(&old).await, Registered::New);
    assert_eq!(register(&new).await, Registered::Replaced(old.clone()));
    assert_eq!(register(&old).await, Registered::Outdated);
    assert_eq!(register(&new).await, Registered::New, "the same connection again is no replacement");
    assert_eq!(registry.routes(&[Uid(1)]).await.expect("routes"), [new]);
    assert_eq!(registry.count(&NodeId("a".into())).await.expect("count"), 0);
}

pub async fn only_its_own_generation_is_removed(make: &Maker) {
    let registry = make(Arc::new(ManualClock::default()));
    let (old, new) = (route(1, 10, 5, "a"), route(1, 10, 6, "a"));
    registry.register(new.clone(), LEASE_MS).await.expect("register");
    assert!(!registry.remove(old.connection()).await.expect("remove"));
    assert_eq!(registry.routes(&[Uid(1)]).await.expect("routes").len(), 1);
    assert!(registry.remove(new.connection()).await.expect("remove"));
    assert!(!registry.remove(new.connection()).await.expect("remove"));
    assert_eq!(registry.routes(&[Uid(1)]).await.expect("routes"), []);
}

pub async fn a_lease_runs_out_unless_renewed(make: &Maker) {
    let clock = Arc::new(ManualClock::default());
    let registry = make(clock.clone());
    let (kept, lost, node) = (route(1, 10, 1, "a"), route(2, 20, 1, "a"), NodeId("a".into()));
    for route in [&kept, &lost] {
        registry.register(route.clone(), LEASE_MS).await.expect("register");
    }
    // Time goes on by itself, too, where the engine has a clock of its own.
    clock.advance(LEASE_MS - SLACK_MS);
    assert_eq!(registry.renew(&node, &[kept.connection()], LEASE_MS).await.expect("renew"), Renewed::default());
    clock.advance(SLACK_MS);
    assert_eq!(registry.routes(&[Uid(1), Uid(2)]).await.expect("routes"), std::slice::from_ref(&kept));
    assert_eq!(registry.users_of(&node, 10).await.expect("users"), [Uid(1)]);
    assert_eq!(registry.count(&node).await.expect("count"), 1);
    let unknown = route(3, 30, 1, "a").connection();
    let both = [kept.connection(), lost.connection(), unknown];
    let renewed = registry.renew(&node, &both, LEASE_MS).await.expect("renew");
    assert_eq!(renewed, Renewed { unknown: vec![lost.connection(), unknown], missed: Vec::new() });
    let elsewhere = NodeId("b".into());
    let renewed = registry.renew(&elsewhere, &[kept.connection()], LEASE_MS).await.expect("renew");
    assert_eq!(renewed, Renewed { unknown: vec![kept.connection()], missed: Vec::new() });
}

pub async fn routes_are_found_by_user_session_and_node(make: &Maker) {
    let registry = make(Arc::new(ManualClock::default()));
    let all = [route(1, 10, 1, "a"), route(1, 11, 1, "b"), route(2, 20, 1, "b")];
    for route in &all {
        registry.register(route.clone(), LEASE_MS).await.expect("register");
    }
    assert_eq!(registry.routes(&[Uid(1)]).await.expect("routes").len(), 2);
    assert_eq!(registry.routes(&[Uid(1), Uid(2), Uid(3)]).await.expect("routes").len(), 3);
    assert_eq!(registry.of_sessions(&[SessionId(20), SessionId(99)]).await.expect("routes"), all[2..]);
    assert_eq!(registry.users_of(&NodeId("b".into()), 1).await.expect("users").len(), 1);
    assert_eq!(registry.users_of(&NodeId("b".into()), 10).await.expect("users").len(), 2);
    assert_eq!(registry.count(&NodeId("b".into())).await.expect("count"), 2);
}
