//! Comets that write down what they are told, and fail on demand.

use async_trait::async_trait;
use skein_domain::delivery::{Batch, Control, Delivered, Push, Target};
use skein_domain::door::{Comets, Delivery};
use skein_domain::id::{ConversationId, NodeId, Seq, SessionId, Uid};
use skein_domain::{Code, Error, Result};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Up,
    Fails,
    Hangs,
    /// As long as it stays so.
    Held,
}

#[derive(Default)]
pub struct RecordingComets {
    nodes: Mutex<BTreeMap<NodeId, Arc<RecordingComet>>>,
}

pub struct RecordingComet {
    mood: watch::Sender<Mood>,
    /// How many it finds for an envelope.
    receivers: Mutex<u64>,
    calls: watch::Sender<usize>,
    batches: watch::Sender<Vec<Batch>>,
}

impl RecordingComets {
    pub fn add(&self, name: &str) -> Arc<RecordingComet> {
        let comet = Arc::new(RecordingComet {
            mood: watch::Sender::new(Mood::Up),
            receivers: Mutex::new(0),
            calls: watch::Sender::new(0),
            batches: watch::Sender::new(Vec::new()),
        });
        self.nodes.lock().unwrap().insert(NodeId(name.into()), comet.clone());
        comet
    }
}

impl Comets for RecordingComets {
    fn comet(&self, node: &NodeId) -> Option<Arc<dyn Delivery>> {
        self.nodes.lock().unwrap().get(node).map(|comet| comet.clone() as Arc<dyn Delivery>)
    }

    fn nodes(&self) -> Vec<NodeId> {
        self.nodes.lock().unwrap().keys().cloned().collect()
    }
}

impl RecordingComet {
    pub fn set(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    pub fn set_receivers(&self, receivers: u64) {
        *self.receivers.lock().unwrap() = receivers;
    }

    pub fn calls(&self) -> usize {
        *self.calls.borrow()
    }

    pub fn batches(&self) -> Vec<Batch> {
        self.batches.borrow().clone()
    }

    pub async fn until_called(&self, times: usize) {
        let mut calls = self.calls.subscribe();
        let called = calls.wait_for(|calls| *calls >= times);
        tokio::time::timeout(Duration::from_secs(60), called).await.expect("the comet is called").unwrap();
    }

    /// Waits until what was told satisfies `told`.
    pub async fn until(&self, told: impl FnMut(&Vec<Batch>) -> bool) {
        let mut batches = self.batches.subscribe();
        let told = batches.wait_for(told);
        if tokio::time::timeout(Duration::from_secs(60), told).await.is_err() {
            panic!("the comet was told something else: {:#?}", self.batches());
        }
    }

    /// The seqs of a conversation that a session was told of, in order.
    pub fn seqs(&self, session: SessionId, conversation: ConversationId) -> Vec<Seq> {
        seqs(&self.batches.borrow(), session, conversation)
    }

    pub fn pushes(&self) -> Vec<(Target, Push)> {
        pushes(&self.batches.borrow())
    }

    pub fn controls(&self) -> Vec<Control> {
        self.batches.borrow().iter().flat_map(|batch| batch.controls.clone()).collect()
    }
}

pub fn pushes(batches: &[Batch]) -> Vec<(Target, Push)> {
    batches.iter().flat_map(|batch| &batch.envelopes).map(|envelope| (envelope.target.clone(), envelope.push.clone())).collect()
}

pub fn seqs(batches: &[Batch], session: SessionId, in_conversation: ConversationId) -> Vec<Seq> {
    let reaches = |target: &Target| match target {
        Target::Connections(connections) => connections.iter().any(|connection| connection.session == session),
        _ => false,
    };
    let entries = |push| match push {
        Push::Entries { conversation, entries } if conversation == in_conversation => entries,
        _ => Vec::new(),
    };
    let told = pushes(batches).into_iter().filter(|(target, _)| reaches(target));
    told.flat_map(|(_, push)| entries(push)).map(|entry| entry.seq).collect()
}

#[async_trait]
impl Delivery for RecordingComet {
    async fn deliver(&self, batch: Batch) -> Result<Delivered> {
        self.calls.send_modify(|calls| *calls += 1);
        let mood = *self.mood.subscribe().wait_for(|mood| *mood != Mood::Held).await.unwrap();
        match mood {
            Mood::Up | Mood::Held => {}
            Mood::Fails => return Err(Error::new(Code::Unavailable, "down")),
            Mood::Hangs => std::future::pending().await,
        }
        let found = *self.receivers.lock().unwrap() * batch.envelopes.len() as u64;
        self.batches.send_modify(|batches| batches.push(batch));
        Ok(Delivered { found, queued: found, ..Delivered::default() })
    }

    async fn connections(&self, _: Uid) -> Result<Vec<serde_json::Value>> {
        Ok(Vec::new())
    }
}
