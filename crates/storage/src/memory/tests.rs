use super::{MemoryBroadcasts, MemoryCodes, MemoryGuests, MemoryNodes, MemoryReceipts, MemorySessions};
use crate::conformance::{broadcasts, codes, guests, nodes, receipts, sessions};
use skein_domain::Code;
use skein_domain::account::{CodePurpose, DeviceClass, SecretHash};
use skein_domain::id::{Generation, Millis, NodeId, SessionId, Uid};
use skein_domain::port::{CodeLimits, CodeStore, GuestRegistry, NodeRegistry, ReceiptStore, Registered, Route, SessionRegistry};
use skein_domain::testing::ManualClock;
use std::sync::Arc;

mod registry {
    use super::*;
    crate::session_registry_suite!((|clock| Arc::new(MemorySessions::new(clock))) as sessions::Maker);
    crate::guest_registry_suite!((|clock| Arc::new(MemoryGuests::new(clock))) as guests::Maker);
    crate::broadcast_queue_suite!((|clock, max| Arc::new(MemoryBroadcasts::bounded(clock, max))) as broadcasts::Maker);
    crate::receipt_store_suite!((|clock| Arc::new(MemoryReceipts::new(clock))) as receipts::Maker);
    crate::node_registry_suite!((|clock| Arc::new(MemoryNodes::new(clock))) as nodes::Maker);
    crate::code_store_suite!((|| Arc::new(MemoryCodes::default())) as codes::Maker);
}

fn route(session: i64) -> Route {
    let node = NodeId("a".into());
    Route { uid: Uid(session), class: DeviceClass::Web, node, session: SessionId(session), generation: Generation(1) }
}

#[tokio::test]
async fn a_full_session_registry_sweeps_and_then_refuses() {
    let clock = Arc::new(ManualClock::default());
    let registry = MemorySessions::bounded(clock.clone(), 2);
    registry.register(route(1), 1_000).await.unwrap();
    registry.register(route(2), 5_000).await.unwrap();
    assert_eq!(registry.register(route(3), 1_000).await.unwrap_err().code, Code::Busy);
    assert_eq!(registry.register(route(2), 5_000).await.unwrap(), Registered::New, "those who are in stay in");
    clock.advance(1_000);
    registry.register(route(3), 1_000).await.unwrap();
    assert_eq!(registry.count(&NodeId("a".into())).await.unwrap(), 2);
}

#[tokio::test]
async fn a_full_ticket_table_sweeps_and_then_refuses() {
    let clock = Arc::new(ManualClock::default());
    let registry = MemoryNodes::bounded(clock.clone(), 1);
    let put = async |n: u8| registry.put_ticket(SecretHash([n; 32]), SessionId(1), NodeId("a".into()), 1_000).await;
    put(1).await.unwrap();
    assert_eq!(put(2).await.unwrap_err().code, Code::Busy);
    clock.advance(1_000);
    put(2).await.unwrap();
}

#[tokio::test]
async fn a_full_code_store_forgets_what_is_over_and_then_refuses() {
    let codes = MemoryCodes::bounded(1);
    let limits = CodeLimits { ttl_ms: 1_000, codes_per_hour: 5, checks_per_hour: 5 };
    let put = async |email: &str, at: i64| codes.put(email, CodePurpose::Register, "1", Millis(at), limits).await;
    put("a@example.org", 0).await.unwrap();
    assert_eq!(put("b@example.org", 1).await.unwrap_err().code, Code::Busy);
    put("b@example.org", 3_600_000).await.unwrap();
}

#[tokio::test]
async fn a_full_guest_registry_sweeps_and_then_refuses() {
    let clock = Arc::new(ManualClock::default());
    let registry = MemoryGuests::bounded(clock.clone(), 1);
    let register = async |key: &str| registry.register(guests::route(key, 0, 1, "a"), 1_000).await;
    register("one").await.unwrap();
    assert_eq!(register("two").await.unwrap_err().code, Code::Busy);
    clock.advance(1_000);
    register("two").await.unwrap();
}

#[tokio::test]
async fn of_too_many_receipts_the_oldest_go() {
    let store = MemoryReceipts::bounded(Arc::new(ManualClock::default()), 2);
    for push in ["1", "2", "3"] {
        store.put(receipts::receipt(push)).await.unwrap();
    }
    assert_eq!(store.get(&"1".to_owned()).await.unwrap(), None);
    assert!(store.get(&"2".to_owned()).await.unwrap().is_some());
}
