//! The Delivery door: who a push is for, and what became of it at each of them.
//!
//! **Invariant:** one receiver's full queue changes nothing for the next; nobody waits, and no lock is held while a batch
//! walks over connections.

use super::Hub;
use crate::comet::convert;
use crate::comet::outbound::Offered;
use crate::comet::peer::Peer;
use crate::comet::wire::Encoded;
use async_trait::async_trait;
use skein_domain::delivery::{Batch, Control, Delivered, Push, Target};
use skein_domain::door::Delivery;
use skein_domain::id::Uid;
use skein_domain::live::{Audience, Operation};
use skein_domain::trace::Trace;
use skein_domain::{Error, Result};
use std::sync::{Arc, PoisonError};
use tracing::Instrument;

/// Connections served before others get a turn.
const STRIDE: usize = 1_024;

impl Hub {
    /// Envelopes in order, then controls: whoever leaves a room hears of it first.
    async fn deliver_now(&self, batch: Batch) -> Delivered {
        let mut delivered = Delivered::default();
        let window = || self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if batch.origin.as_ref().is_some_and(|origin| window().has(origin)) {
            self.meters.batches_repeated.increment(1);
            delivered.repeated = true;
            return delivered;
        }
        for envelope in batch.envelopes {
            for (operation, push) in parts(&envelope.target, envelope.push) {
                self.push(&envelope.target, operation, push, &mut delivered).await;
            }
        }
        for control in batch.controls {
            self.obey(control);
        }
        // Only now: a call that was given up half-way must be repeatable.
        if let Some(origin) = batch.origin {
            window().add(origin);
        }
        delivered
    }

    async fn push(&self, target: &Target, operation: Option<Operation>, push: Push, delivered: &mut Delivered) {
        let receivers = self.receivers(target, operation, &push);
        delivered.found += receivers.len() as u64;
        let mut encoded = Encoded::new(convert::push(push));
        if let Target::Audience(Audience { speed: Some(per_second), .. }) = target {
            return self.push_slowly(encoded, receivers, *per_second, delivered);
        }
        for (at, peer) in receivers.into_iter().enumerate() {
            self.offer(&peer, &mut encoded, delivered);
            if at % STRIDE == STRIDE - 1 {
                tokio::task::yield_now().await;
            }
        }
    }

    fn push_slowly(&self, push: Encoded, receivers: Vec<Arc<Peer>>, per_second: u32, delivered: &mut Delivered) {
        let count = receivers.len() as u64;
        let receivers = receivers.into_iter().map(|peer| peer.generation).collect();
        if self.paced.begin(push, receivers, per_second) {
            delivered.queued += count;
        } else {
            delivered.dropped += count;
            self.meters.walks_refused.increment(1);
        }
    }

    /// `operation` is that of the push, where it is asked for.
    fn receivers(&self, target: &Target, operation: Option<Operation>, push: &Push) -> Vec<Arc<Peer>> {
        match (target, operation) {
            (Target::Connections(connections), _) => connections.iter().filter_map(|connection| self.seats.find(*connection)).collect(),
            (Target::Room(room), _) => self.seats.subscribers(*room),
            (Target::RoomWatchers, _) => self.seats.watchers(),
            (Target::Everyone, _) => self.seats.everyone(),
            (Target::LiveRoom(room), _) if matches!(push, Push::Presence { .. }) => self.index.rooms.watchers(room),
            (Target::LiveRoom(room), _) => self.index.rooms.listeners(room),
            (Target::Guests(keys), Some(operation)) => keys.iter().filter_map(|key| self.guests.accepting(key, operation)).collect(),
            (Target::Audience(audience), Some(operation)) => {
                let mut all = self.guests.audience(audience, operation);
                all.extend(self.seats.audience(audience, operation));
                all
            }
            (Target::Guests(_) | Target::Audience(_), None) => Vec::new(),
        }
    }

    pub(in crate::comet) fn offer(&self, peer: &Peer, push: &mut Encoded, delivered: &mut Delivered) {
        match peer.offer(push, self.config.queue_bytes_max as usize, self.config.resync_after_ms) {
            Offered::Queued => {
                delivered.queued += 1;
                self.meters.pushes_queued.increment(1);
            }
            Offered::Displacing(older) => {
                delivered.queued += 1;
                delivered.dropped += older as u64;
                self.meters.pushes_queued.increment(1);
                self.meters.live_pushes_dropped.increment(older as u64);
            }
            Offered::LeftOut => {
                delivered.resynced += 1;
                self.meters.pushes_left_out.increment(1);
            }
            Offered::Overflowed(discarded) => {
                delivered.resynced += 1;
                self.meters.pushes_discarded.increment(discarded as u64 + 1);
                self.meters.resyncs.increment(1);
            }
            Offered::NotForIt if !push.is_live() => {}
            Offered::Dropped | Offered::NotForIt => {
                delivered.dropped += 1;
                self.meters.live_pushes_dropped.increment(1);
            }
            Offered::Closed => {}
        }
    }

    // === orders ===

    pub(super) fn obey(&self, control: Control) {
        if !self.apply(&control) {
            self.meters.controls_missed.increment(1);
            self.index.missed.remember(self.ticks.now_ms(), control.clone());
            // It may have come in between the two looks.
            self.apply(&control);
        }
    }

    /// `false`: no such connection here.
    fn apply(&self, control: &Control) -> bool {
        match control {
            Control::CloseGuest { guest } => self.guests.close(guest),
            _ => self.seats.apply(control),
        }
    }
}

#[async_trait]
impl Delivery for Hub {
    async fn deliver(&self, batch: Batch) -> Result<Delivered> {
        let Some(trace) = Trace::after(batch.trace.as_deref()) else {
            return Ok(self.deliver_now(batch).await);
        };
        let parent = trace.parent().map(tracing::field::display);
        let span = tracing::info_span!("deliver", node = %self.node, queued = tracing::field::Empty, %trace, parent);
        let delivered = self.deliver_now(batch).instrument(span.clone()).await;
        span.record("queued", delivered.queued);
        Ok(delivered)
    }

    async fn connections(&self, uid: Uid) -> Result<Vec<serde_json::Value>> {
        let shown = |state| serde_json::to_value(state).map_err(|_| Error::internal());
        self.connections_of(uid).into_iter().map(shown).collect()
    }
}

/// Where receivers are asked for the operation, messages of one operation go together, in the order they had.
fn parts(target: &Target, push: Push) -> Vec<(Option<Operation>, Push)> {
    match (target, push) {
        (Target::Guests(_) | Target::Audience(_), Push::Live { room, messages }) => {
            let runs = messages.chunk_by(|one, next| one.operation == next.operation);
            runs.map(|run| (Some(run[0].operation), Push::Live { room: room.clone(), messages: run.to_vec() })).collect()
        }
        (_, push) => vec![(None, push)],
    }
}
