//! What the tests of both engines begin with: a store with something to append to, a writer that is held, and the suites.

use super::Store;
use crate::conformance::{Backend, Ports, World};
use async_trait::async_trait;
use futures_util::future::BoxFuture;
use skein_domain::Result;
use skein_domain::body::Body;
use skein_domain::entry::{Entry, EntryEvent};
use skein_domain::id::{IdempotencyKey, Seq};
use skein_domain::port::{Append, MessageStore};
use std::sync::mpsc::SyncSender;

/// A store with one group of one, and appends to it.
pub(crate) struct Lab {
    pub store: Store,
    pub draft: Append,
}

impl Lab {
    pub async fn new(store: Store) -> Self {
        struct Opened(Store);
        #[async_trait]
        impl Backend for Opened {
            async fn open(&self) -> Ports {
                Ports::of(self.0.clone())
            }
        }
        let world = World::on(&Opened(store.clone())).await;
        let ann = world.user("ann").await;
        let group = world.group(ann, &[]).await;
        let event = EntryEvent::Message { body: Some(Body::text("hi")), reply_to: None };
        let draft = world.draft(group, ann, event).await;
        Self { store, draft }
    }

    pub fn append(&self, key: &str) -> Append {
        Append { key: IdempotencyKey::parse(key).unwrap(), ..self.draft.clone() }
    }

    /// All entries of the group.
    pub async fn entries(&self) -> Vec<Entry> {
        self.store.entries(self.draft.conversation, Seq(1), Seq(i64::MAX), 10_000).await.unwrap()
    }
}

/// The writer sleeps over a command while others gather.
pub(crate) struct Held {
    done: BoxFuture<'static, Result<bool>>,
    wake: SyncSender<()>,
}

impl Held {
    pub async fn new(store: &Store) -> Self {
        let (wake, woken) = std::sync::mpsc::sync_channel::<()>(0);
        let (started, has_started) = tokio::sync::oneshot::channel();
        let mut started = Some(started);
        let done = store.writer().submit(0, move |_| Ok(started.take().is_some_and(|s| s.send(()).is_ok()) && woken.recv().is_ok()));
        has_started.await.unwrap();
        Self { done, wake }
    }

    pub async fn release(self) {
        self.wake.send(()).unwrap();
        assert!(self.done.await.unwrap());
    }
}

/// All suites of the SQL ports, with one shard and with several.
macro_rules! suites {
    ($backend:ident) => {
        mod conformance {
            use super::$backend;
            $crate::sql::lab::suites!($backend, 1);
        }

        mod conformance_with_shards {
            use super::$backend;
            $crate::sql::lab::suites!($backend, 3);
        }
    };
    ($backend:ident, $shards:literal) => {
        $crate::message_store_suite!($backend::new($shards));
        $crate::conversation_store_suite!($backend::new($shards));
        $crate::contact_store_suite!($backend::new($shards));
        $crate::account_store_suite!($backend::new($shards));
        $crate::outbox_suite!($backend::new($shards));
        $crate::shard_leases_suite!($backend::new($shards));
        $crate::push_store_suite!($backend::new($shards));
    };
}
pub(crate) use suites;
