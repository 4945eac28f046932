//! The hops of a log-in leave their spans in order.

use crate::world::{PASSWORD, World};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Writes down the names of spans as they open.
#[derive(Default, Clone)]
struct Spans {
    names: Arc<Mutex<Vec<&'static str>>>,
    ids: Arc<AtomicU64>,
}

impl Subscriber for Spans {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.names.lock().unwrap().push(span.metadata().name());
        Id::from_u64(self.ids.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn a_log_in_is_verified_then_placed_then_connected() {
    let spans = Spans::default();
    let _recording = tracing::subscriber::set_default(spans.clone());
    let world = World::new().await;
    world.node("a", 0).await;
    world.user("ann").await;
    log_in_and_connect(&world).await;
    // Whether a span is wanted is remembered from its first use, which a test beside this one may have made while nobody
    // listened. All of them have been used now.
    tracing::callsite::rebuild_interest_cache();
    spans.names.lock().unwrap().clear();
    log_in_and_connect(&world).await;
    assert_eq!(*spans.names.lock().unwrap(), ["account.log_in", "status.choose", "status.connect"]);
}

async fn log_in_and_connect(world: &World) {
    let ann = world.log_in("ann@example.org", PASSWORD).await.unwrap();
    world.connect(&ann.token, &ann.comet.unwrap().node, 1).await.unwrap();
}
