//! What a [`ReceiptStore`] must keep. A maker hands over a fresh store on the given clock.

use skein_domain::id::{Millis, Uid};
use skein_domain::live::{PushState, Receipt};
use skein_domain::port::{Clock, ReceiptStore};
use skein_domain::testing::ManualClock;
use std::sync::Arc;

pub type Maker = fn(Arc<dyn Clock>) -> Arc<dyn ReceiptStore>;

const KEPT_MS: i64 = 600_000;
/// An engine with a clock of its own goes on while a case runs.
const MARGIN_MS: i64 = 1_000;

pub fn receipt(push: &str) -> Receipt {
    Receipt { push: push.into(), app: Uid(7), state: PushState::Waiting, at: Millis(1), found: 0, queued: 0, dropped: 0 }
}

pub async fn a_receipt_adds_up(make: &Maker) {
    let store = make(Arc::new(ManualClock::default()));
    store.put(receipt("p")).await.expect("put");
    let some = Receipt { found: 3, queued: 2, dropped: 1, at: Millis(2), ..receipt("p") };
    store.add(some.clone()).await.expect("add");
    store.add(Receipt { state: PushState::Delivered, at: Millis(3), ..some.clone() }).await.expect("add");
    let sum = Receipt { state: PushState::Delivered, at: Millis(3), found: 6, queued: 4, dropped: 2, ..receipt("p") };
    assert_eq!(store.get(&"p".to_owned()).await.expect("get"), Some(sum));
    store.add(Receipt { push: "unknown".into(), ..some }).await.expect("add");
    assert_eq!(store.get(&"unknown".to_owned()).await.expect("get"), None, "adding makes none");
}

pub async fn a_receipt_is_kept_ten_minutes_after_its_last_change(make: &Maker) {
    let clock = Arc::new(ManualClock::default());
    let store = make(clock.clone());
    let known = async |push: &str| store.get(&push.to_owned()).await.expect("get").is_some();
    store.put(receipt("left alone")).await.expect("put");
    store.put(receipt("changed")).await.expect("put");
    clock.advance(KEPT_MS - MARGIN_MS);
    store.add(receipt("changed")).await.expect("add");
    assert!(known("left alone").await);
    clock.advance(MARGIN_MS);
    store.put(receipt("new")).await.expect("put");
    assert!(!known("left alone").await && known("changed").await);
    clock.advance(KEPT_MS);
    store.put(receipt("newer")).await.expect("put");
    assert!(!known("changed").await && known("newer").await);
    store.add(receipt("changed")).await.expect("add");
    assert!(!known("changed").await, "what is forgotten does not come back");
}
