//! Comets that write down what they are told.

use async_trait::async_trait;
use skein_domain::Result;
use skein_domain::account::Ended;
use skein_domain::delivery::{Batch, Control, Delivered, Envelope, Push, Target};
use skein_domain::door::{Comets, Delivery};
use skein_domain::id::{ConnectionRef, ConversationId, Generation, NodeId, SessionId, Uid};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

#[derive(Default)]
pub struct RecordingComets {
    names: Mutex<BTreeSet<String>>,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    closed: Mutex<Vec<Closed>>,
    resynced: Mutex<Vec<ConnectionRef>>,
    subscribed: Mutex<Vec<(SessionId, ConversationId)>>,
    called: Notify,
    hangs: AtomicBool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    pub node: String,
    pub session: SessionId,
    pub up_to: Generation,
    pub reason: Ended,
}

impl RecordingComets {
    pub fn add(&self, name: &str) {
        self.names.lock().unwrap().insert(name.into());
    }

    /// From now on no Comet answers.
    pub fn hang(&self) {
        self.seen.hangs.store(true, Ordering::Relaxed);
    }

    /// Resolves when one is called.
    pub async fn called(&self) {
        self.seen.called.notified().await;
    }

    pub fn take_closed(&self) -> Vec<Closed> {
        std::mem::take(&mut *self.seen.closed.lock().unwrap())
    }

    /// Connections told to resync so far.
    pub fn resynced(&self) -> Vec<ConnectionRef> {
        self.seen.resynced.lock().unwrap().clone()
    }

    /// Subscriptions ordered so far.
    pub fn subscribed(&self) -> Vec<(SessionId, ConversationId)> {
        self.seen.subscribed.lock().unwrap().clone()
    }

    pub fn take_reasons(&self) -> Vec<(SessionId, Ended)> {
        self.take_closed().into_iter().map(|closed| (closed.session, closed.reason)).collect()
    }
}

impl Comets for RecordingComets {
    fn comet(&self, node: &NodeId) -> Option<Arc<dyn Delivery>> {
        let name = self.names.lock().unwrap().get(&node.0)?.clone();
        Some(Arc::new(RecordingComet { name, seen: self.seen.clone() }))
    }

    fn nodes(&self) -> Vec<NodeId> {
        self.names.lock().unwrap().iter().cloned().map(NodeId).collect()
    }
}

struct RecordingComet {
    name: String,
    seen: Arc<Seen>,
}

#[async_trait]
impl Delivery for RecordingComet {
    async fn deliver(&self, batch: Batch) -> Result<Delivered> {
        if self.seen.hangs.load(Ordering::Relaxed) {
            self.seen.called.notify_one();
            std::future::pending::<()>().await;
        }
        for Envelope { target, push } in batch.envelopes {
            if let (Target::Connections(connections), Push::Resync { .. }) = (target, push) {
                self.seen.resynced.lock().unwrap().extend(connections);
            }
        }
        for control in batch.controls {
            match control {
                Control::Close { session, up_to, reason } => {
                    self.seen.closed.lock().unwrap().push(Closed { node: self.name.clone(), session, up_to, reason });
                }
                Control::SubscribeExactly { session, rooms } => {
                    self.seen.subscribed.lock().unwrap().extend(rooms.into_iter().map(|room| (session, room)));
                }
                Control::Subscribe { .. } | Control::Unsubscribe { .. } | Control::CloseGuest { .. } => {}
            }
        }
        Ok(Delivered::default())
    }

    async fn connections(&self, _: Uid) -> Result<Vec<serde_json::Value>> {
        Ok(Vec::new())
    }
}
