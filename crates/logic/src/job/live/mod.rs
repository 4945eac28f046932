//! Transient pushes on their way to the Comets: the transient log of `direct` mode.
//!
//! Each receiver (a guest, a session, a live room, everyone) has a lane at each node. A push that finds its lane empty
//! leaves at once; those that come while a delivery of the lane is in flight wait, and leave together, urgent ones first.
//! Broadcasts that take their time have no lane: they wait for their turn ([`broadcasts`]).
//!
//! **Invariant:** a lane delivers one batch at a time, of each priority in the order in which pushes came, so a receiver and
//! a room see them in order. Every push is delivered, or counted as dropped or expired in its receipt, or refused `busy` to its caller.
//! A slow or failing node holds up its own lanes and nothing else.
//!
//! Bounds: [`lanes::Bounds`]; what finds no room at one node while others take it is dropped there and counted; what finds
//! room nowhere is answered `busy`. At most [`IN_FLIGHT`] deliveries at a time per node. A batch has at most
//! [`lanes::BATCH_MESSAGES`] messages and [`lanes::BATCH_BYTES`] bytes, so that it fits the queue of a connection.

mod broadcasts;
mod intake;
mod kept;
mod lanes;
mod tally;

use crate::job::fanout::Fanout;
use async_trait::async_trait;
pub(crate) use broadcasts::Broadcasts;
use broadcasts::is_throttled;
pub(crate) use intake::LiveIntake;
use lanes::{Batch, Bounds, Lane, Lanes, Receiver, Waiting};
use skein_domain::delivery::{Delivered, Envelope, Push, Target};
use skein_domain::id::NodeId;
use skein_domain::live::{Audience, LiveAddress, LiveRecord};
use skein_domain::port::LiveLog;
use skein_domain::{Code, Error, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
pub(crate) use tally::Ledger;
use tally::Tally;
use tokio::sync::Semaphore;

const IN_FLIGHT: usize = 64;
const BUSY_RETRY_MS: i64 = 200;

/// A cheap handle; clone it freely.
#[derive(Clone)]
pub(crate) struct LiveDispatch {
    inner: Arc<Inner>,
}

struct Inner {
    fanout: Fanout,
    ledger: Ledger,
    broadcasts: Broadcasts,
    lanes: Mutex<Lanes>,
    /// Places for deliveries, per node; as many nodes as there have been.
    places: Mutex<HashMap<NodeId, Arc<Semaphore>>>,
}

impl LiveDispatch {
    pub(crate) fn new(fanout: Fanout, ledger: Ledger, broadcasts: Broadcasts) -> Self {
        let lanes = Mutex::new(Lanes::new(Bounds::default()));
        Self { inner: Arc::new(Inner { fanout, ledger, broadcasts, lanes, places: Mutex::default() }) }
    }
}

#[async_trait]
impl LiveLog for LiveDispatch {
    async fn publish(&self, records: Vec<LiveRecord>) -> Result<()> {
        let outcome = match records.first() {
            None => Ok(()),
            Some(first) if is_throttled(first) => self.wait_for_turns(records).await,
            Some(first) => self.offer(Arc::new(Tally::of(first)), records).await,
        };
        if outcome.as_ref().is_err_and(|error| error.code == Code::Busy) {
            metrics::counter!("skein_live_refused_total").increment(1);
        }
        outcome
    }
}

impl LiveDispatch {
    async fn wait_for_turns(&self, records: Vec<LiveRecord>) -> Result<()> {
        for record in records {
            self.inner.broadcasts.join(record).await?;
        }
        Ok(())
    }

    async fn offer(&self, tally: Arc<Tally>, records: Vec<LiveRecord>) -> Result<()> {
        let nodes = self.inner.fanout.nodes_in_reach();
        let copies: Vec<(Lane, Waiting)> = records.into_iter().flat_map(|record| copies(record, &nodes, &tally)).collect();
        let (mut begun, mut refused) = (Vec::new(), 0);
        tally.expect(copies.len());
        let any = !copies.is_empty();
        {
            let mut lanes = self.inner.lanes.lock().unwrap_or_else(PoisonError::into_inner);
            let mut taken = false;
            for (lane, waiting) in copies {
                match lanes.offer(&lane, waiting) {
                    lanes::Offered::Begun => begun.push(lane),
                    lanes::Offered::Queued => {}
                    lanes::Offered::Full => {
                        refused += 1;
                        continue;
                    }
                }
                taken = true;
            }
            if any && !taken {
                return Err(Error::new(Code::Busy, "too many pushes are under way").retry_after(BUSY_RETRY_MS));
            }
        }
        for lane in begun {
            tokio::spawn(self.clone().work(lane));
        }
        for _ in 0..refused {
            self.inner.ledger.dropped("full", &tally).await;
        }
        if !any {
            self.inner.ledger.tell(&tally).await;
        }
        Ok(())
    }

    /// Until the lane is empty; then it is gone.
    async fn work(self, lane: Lane) {
        loop {
            let place = self.inner.place(&lane.node);
            let Ok(place) = place.acquire_owned().await else { return };
            let batch = {
                let mut lanes = self.inner.lanes.lock().unwrap_or_else(PoisonError::into_inner);
                lanes.take(&lane, self.inner.ledger.now())
            };
            let Some(Batch { messages, expired, audience }) = batch else { return };
            for waiting in &expired {
                waiting.tally.expire();
                self.inner.ledger.settle("expired", &waiting.tally).await;
            }
            if !messages.is_empty() {
                self.deliver(&lane, messages, audience).await;
            }
            drop(place);
        }
    }

    async fn deliver(&self, lane: &Lane, messages: Vec<Waiting>, audience: Option<Audience>) {
        let wait = metrics::histogram!("skein_live_wait_seconds");
        messages.iter().for_each(|waiting| wait.record(waiting.since.elapsed().as_secs_f64()));
        metrics::histogram!("skein_live_batch_messages").record(messages.len() as f64);
        let (room, target) = match &lane.receiver {
            Receiver::Guest(key) => (None, Target::Guests(vec![key.clone()])),
            Receiver::Session(connection) => (None, Target::Connections(vec![*connection])),
            Receiver::Room(room) => (Some(room.clone()), Target::LiveRoom(room.clone())),
            Receiver::All => (None, Target::Audience(audience.unwrap_or_default())),
        };
        let push = Push::Live { room, messages: messages.iter().map(|waiting| (*waiting.message).clone()).collect() };
        match self.inner.fanout.deliver_once(&lane.node, Envelope { target, push }).await {
            Ok(Delivered { found, queued, .. }) => {
                for waiting in &messages {
                    waiting.tally.deliver(found, queued);
                    self.inner.ledger.settle("delivered", &waiting.tally).await;
                }
            }
            Err(error) => {
                tracing::debug!(%error, node = %lane.node, "pushes dropped");
                let one = u64::from(matches!(lane.receiver, Receiver::Guest(_) | Receiver::Session(_)));
                for waiting in &messages {
                    // Who was in a room of a node that does not answer, nobody knows.
                    waiting.tally.deliver(one, 0);
                    self.inner.ledger.settle("unreachable", &waiting.tally).await;
                }
            }
        }
    }

    /// Pushes that found room nowhere, and whose caller has been answered.
    async fn give_up(&self, records: &[LiveRecord]) {
        for record in records {
            let tally = Tally::of(record);
            tally.expect(1);
            self.inner.ledger.dropped("full", &tally).await;
        }
    }
}

impl Inner {
    fn place(&self, node: &NodeId) -> Arc<Semaphore> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.entry(node.clone()).or_insert_with(|| Arc::new(Semaphore::new(IN_FLIGHT))).clone()
    }
}

/// One copy for each lane.
fn copies(record: LiveRecord, nodes: &[NodeId], tally: &Arc<Tally>) -> Vec<(Lane, Waiting)> {
    let LiveRecord { address, message, expires, priority, .. } = record;
    let message = Arc::new(message);
    let waiting = |audience| Waiting { message: message.clone(), audience, expires, priority, tally: tally.clone(), since: Instant::now() };
    let copy = |node: &NodeId, receiver| (Lane { node: node.clone(), receiver }, waiting(None));
    match address {
        LiveAddress::Guests { node, keys } => keys.into_iter().map(|key| copy(&node, Receiver::Guest(key))).collect(),
        LiveAddress::Sessions { node, connections } => {
            connections.into_iter().map(|connection| copy(&node, Receiver::Session(connection))).collect()
        }
        LiveAddress::Room(room) => nodes.iter().map(|node| copy(node, Receiver::Room(room.clone()))).collect(),
        LiveAddress::All(audience) => {
            let to = |node: &NodeId| (Lane { node: node.clone(), receiver: Receiver::All }, waiting(Some(audience.clone())));
            nodes.iter().map(to).collect()
        }
    }
}
