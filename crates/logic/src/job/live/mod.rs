//! Transient pushes on their way to the Comets: the transient log of `direct` mode.
//!
//! Each receiver (a guest, a session, a live room, everyone) has a lane at each node. A push that finds its lane empty
//! leaves at once; those that come while a delivery of the lane is in flight wait, and leave together.
//!
//! **Invariant:** a lane delivers one batch at a time, in the order in which pushes came, so a receiver and a room see them
//! in order. Every push is delivered, or counted as dropped or expired in its receipt, or refused `busy` to its caller.
//! A slow or failing node holds up its own lanes and nothing else.
//!
//! Bounds: [`lanes::Bounds`]; what finds no room at one node while others take it is dropped there and counted; what finds
//! room nowhere is answered `busy`. At most [`IN_FLIGHT`] deliveries at a time per node. A batch has at most
//! [`lanes::BATCH_MESSAGES`] messages and [`lanes::BATCH_BYTES`] bytes, so that it fits the queue of a connection.

mod intake;
mod lanes;
mod tally;

use crate::job::fanout::Fanout;
use async_trait::async_trait;
pub(crate) use intake::LiveIntake;
use lanes::{Batch, Bounds, Lane, Lanes, Receiver, Waiting};
use skein_domain::delivery::{Delivered, Envelope, Push, Target};
use skein_domain::id::NodeId;
use skein_domain::live::{Audience, LiveAddress, LiveRecord};
use skein_domain::port::{Clock, LiveLog, ReceiptStore};
use skein_domain::{Code, Error, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
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
    receipts: Arc<dyn ReceiptStore>,
    clock: Arc<dyn Clock>,
    lanes: Mutex<Lanes>,
    /// Places for deliveries, per node; as many nodes as there have been.
    places: Mutex<HashMap<NodeId, Arc<Semaphore>>>,
}

impl LiveDispatch {
    pub(crate) fn new(fanout: Fanout, receipts: Arc<dyn ReceiptStore>, clock: Arc<dyn Clock>) -> Self {
        let lanes = Mutex::new(Lanes::new(Bounds::default()));
        Self { inner: Arc::new(Inner { fanout, receipts, clock, lanes, places: Mutex::default() }) }
    }
}

#[async_trait]
impl LiveLog for LiveDispatch {
    async fn publish(&self, records: Vec<LiveRecord>) -> Result<()> {
        let Some(first) = records.first() else { return Ok(()) };
        let tally = Arc::new(Tally::new(first.push.clone(), first.app));
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
                metrics::counter!("skein_live_refused_total").increment(1);
                return Err(Error::new(Code::Busy, "too many pushes are under way").retry_after(BUSY_RETRY_MS));
            }
        }
        for lane in begun {
            tokio::spawn(self.clone().work(lane));
        }
        for _ in 0..refused {
            self.dropped("full", &tally).await;
        }
        if !any {
            self.inner.tell(&tally).await;
        }
        Ok(())
    }
}

impl LiveDispatch {
    /// Until the lane is empty; then it is gone.
    async fn work(self, lane: Lane) {
        loop {
            let place = self.inner.place(&lane.node);
            let Ok(place) = place.acquire_owned().await else { return };
            let batch = {
                let mut lanes = self.inner.lanes.lock().unwrap_or_else(PoisonError::into_inner);
                lanes.take(&lane, self.inner.clock.now())
            };
            let Some(Batch { messages, expired, audience }) = batch else { return };
            for waiting in &expired {
                waiting.tally.expire();
                self.inner.settle("expired", &waiting.tally).await;
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
                    self.inner.settle("delivered", &waiting.tally).await;
                }
            }
            Err(error) => {
                tracing::debug!(%error, node = %lane.node, "pushes dropped");
                let one = u64::from(matches!(lane.receiver, Receiver::Guest(_) | Receiver::Session(_)));
                for waiting in &messages {
                    // Who was in a room of a node that does not answer, nobody knows.
                    waiting.tally.deliver(one, 0);
                    self.inner.settle("unreachable", &waiting.tally).await;
                }
            }
        }
    }

    /// Pushes that found room nowhere, and whose caller has been answered.
    async fn give_up(&self, records: &[LiveRecord]) {
        for record in records {
            let tally = Tally::new(record.push.clone(), record.app);
            tally.expect(1);
            self.dropped("full", &tally).await;
        }
    }

    async fn dropped(&self, outcome: &'static str, tally: &Tally) {
        tally.deliver(1, 0);
        self.inner.settle(outcome, tally).await;
    }
}

impl Inner {
    fn place(&self, node: &NodeId) -> Arc<Semaphore> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.entry(node.clone()).or_insert_with(|| Arc::new(Semaphore::new(IN_FLIGHT))).clone()
    }

    /// One copy less is under way.
    async fn settle(&self, outcome: &'static str, tally: &Tally) {
        metrics::counter!("skein_live_copies_total", "outcome" => outcome).increment(1);
        if tally.settled() {
            self.tell(tally).await;
        }
    }

    async fn tell(&self, tally: &Tally) {
        if let Err(error) = self.receipts.add(tally.receipt(self.clock.now())).await {
            tracing::warn!(%error, "receipt not written");
        }
    }
}

/// One copy for each lane. A push to all at some speed shares it among the nodes.
fn copies(record: LiveRecord, nodes: &[NodeId], tally: &Arc<Tally>) -> Vec<(Lane, Waiting)> {
    let LiveRecord { address, message, expires, .. } = record;
    let message = Arc::new(message);
    let waiting = |audience| Waiting { message: message.clone(), audience, expires, tally: tally.clone(), since: Instant::now() };
    let copy = |node: &NodeId, receiver| (Lane { node: node.clone(), receiver }, waiting(None));
    match address {
        LiveAddress::Guests { node, keys } => keys.into_iter().map(|key| copy(&node, Receiver::Guest(key))).collect(),
        LiveAddress::Sessions { node, connections } => {
            connections.into_iter().map(|connection| copy(&node, Receiver::Session(connection))).collect()
        }
        LiveAddress::Room(room) => nodes.iter().map(|node| copy(node, Receiver::Room(room.clone()))).collect(),
        LiveAddress::All(audience) => {
            let share = |speed: u32| (speed / u32::try_from(nodes.len()).unwrap_or(u32::MAX).max(1)).max(1);
            let audience = Audience { speed: audience.speed.map(share), ..audience };
            let to = |node: &NodeId| (Lane { node: node.clone(), receiver: Receiver::All }, waiting(Some(audience.clone())));
            nodes.iter().map(to).collect()
        }
    }
}
