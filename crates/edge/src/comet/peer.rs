//! What the rest of the node holds of a connection: its queue, its orders, and when it was last heard.
//!
//! **Invariant:** only the connection's own task touches its socket; everybody else leaves frames and orders here and wakes
//! it. The lock is held for a few moves of bytes, never across IO.

use super::outbound::{Offered, Outbound};
use super::wire::{Encoded, Form, Transport, Variant};
use bytes::Bytes;
use futures_util::task::AtomicWaker;
use skein_domain::id::Generation;
use skein_protocol::{CloseCode, Push, v1};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

const NEVER: u64 = u64::MAX;

/// Times are milliseconds of the node's [`super::ticks::Ticks`].
pub(super) struct Peer {
    pub generation: Generation,
    pub transport: Transport,
    variant: AtomicU8,
    heard_ms: AtomicU64,
    pinged_ms: AtomicU64,
    /// When the present stage (log-in, closing) is over at the latest.
    deadline_ms: AtomicU64,
    /// Since when the peer has taken nothing of what waits.
    stalled_ms: AtomicU64,
    in_flight: AtomicU32,
    unread_bytes: AtomicU32,
    waker: AtomicWaker,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    outbound: Outbound,
    orders: Orders,
}

/// What others want of a connection. A later order of a kind replaces the earlier.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Orders {
    pub close: Option<CloseCode>,
    pub ping: bool,
    /// Tell the client to come back elsewhere after so many milliseconds, finish, close.
    pub drain_after_ms: Option<i64>,
    /// The deadline of the present stage has passed.
    pub expired: bool,
    /// End without a word.
    pub abort: bool,
}

/// What is known of a connection without asking its task.
pub(super) struct Told {
    pub heard_ms: u64,
    pub stalled_ms: Option<u64>,
    pub in_flight: u32,
    pub unread_bytes: u32,
    pub queue_bytes: usize,
    pub is_resyncing: bool,
    pub is_closed: bool,
}

/// Limits the sweep holds connections to, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub heartbeat_ms: u64,
    pub ping_ms: u64,
    pub stall_ms: u64,
}

impl Peer {
    pub fn new(generation: Generation, variant: Variant, now_ms: u64, deadline_ms: u64) -> Self {
        Self {
            generation,
            transport: variant.transport,
            variant: AtomicU8::new(variant.index()),
            heard_ms: AtomicU64::new(now_ms),
            pinged_ms: AtomicU64::new(now_ms),
            deadline_ms: AtomicU64::new(deadline_ms),
            stalled_ms: AtomicU64::new(NEVER),
            in_flight: AtomicU32::new(0),
            unread_bytes: AtomicU32::new(0),
            waker: AtomicWaker::new(),
            inner: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // === for everybody ===

    /// Puts a push on the queue, in the form this peer reads.
    pub fn offer(&self, push: &mut Encoded, bytes_max: usize, resync_after_ms: u32) -> Offered {
        let is_live = push.is_live();
        let Some(bytes) = push.bytes(self.variant()) else {
            return Offered::NotForIt;
        };
        let offered = if is_live {
            self.lock().outbound.offer_live(bytes, bytes_max)
        } else {
            self.lock().outbound.offer(bytes, bytes_max, || self.resync(resync_after_ms))
        };
        self.waker.wake();
        offered
    }

    pub fn order(&self, change: impl FnOnce(&mut Orders)) {
        change(&mut self.lock().orders);
        self.waker.wake();
    }

    pub fn order_close(&self, code: CloseCode) {
        self.order(|orders| orders.close = orders.close.or(Some(code)));
    }

    /// Holds the connection to its limits. A guest's only sign of life is op 2, which moves its deadline; it is not pinged.
    pub fn sweep(&self, now_ms: u64, patience: Patience) {
        let since = |at_ms: u64| now_ms.saturating_sub(at_ms);
        let heard_ms = self.heard_ms.load(Relaxed);
        let is_guest = self.variant().form == Form::Goim;
        if self.deadline_ms.load(Relaxed) <= now_ms {
            self.order(|orders| orders.expired = true);
        } else if !is_guest && since(heard_ms) >= patience.heartbeat_ms {
            self.order_close(CloseCode::HeartbeatTimeout);
        } else if since(self.stalled_ms.load(Relaxed)) >= patience.stall_ms {
            self.order_close(CloseCode::Slow);
        } else if !is_guest
            && self.transport == Transport::WebSocket
            && since(heard_ms.max(self.pinged_ms.load(Relaxed))) >= patience.ping_ms
        {
            self.pinged_ms.store(now_ms, Relaxed);
            self.order(|orders| orders.ping = true);
        }
    }

    pub fn told(&self) -> Told {
        let (queue_bytes, is_resyncing, is_closed) = {
            let outbound = &self.lock().outbound;
            (outbound.waiting_bytes(), outbound.is_resyncing(), outbound.is_closed())
        };
        Told {
            heard_ms: self.heard_ms.load(Relaxed),
            stalled_ms: Some(self.stalled_ms.load(Relaxed)).filter(|since_ms| *since_ms != NEVER),
            in_flight: self.in_flight.load(Relaxed),
            unread_bytes: self.unread_bytes.load(Relaxed),
            queue_bytes,
            is_resyncing,
            is_closed,
        }
    }

    // === for the connection ===

    pub fn variant(&self) -> Variant {
        Variant::from_index(self.variant.load(Relaxed))
    }

    pub fn set_variant(&self, variant: Variant) {
        self.variant.store(variant.index(), Relaxed);
    }

    pub fn watch(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    pub fn orders(&self) -> Orders {
        std::mem::take(&mut self.lock().orders)
    }

    pub fn heard(&self, now_ms: u64) {
        self.heard_ms.store(now_ms, Relaxed);
    }

    /// What the task leaves here whenever it rests.
    pub fn tell(&self, in_flight: u32, unread_bytes: usize) {
        self.in_flight.store(in_flight, Relaxed);
        self.unread_bytes.store(unread_bytes as u32, Relaxed);
    }

    pub fn set_deadline(&self, at_ms: Option<u64>) {
        self.deadline_ms.store(at_ms.unwrap_or(NEVER), Relaxed);
    }

    /// At this time, or before.
    pub fn shorten_deadline(&self, at_ms: u64) {
        self.deadline_ms.fetch_min(at_ms, Relaxed);
    }

    /// Keeps the time of the first stall until something is taken.
    pub fn stalled(&self, now_ms: u64) {
        let _ = self.stalled_ms.compare_exchange(NEVER, now_ms, Relaxed, Relaxed);
    }

    pub fn written(&self, bytes: usize) {
        self.stalled_ms.store(NEVER, Relaxed);
        self.lock().outbound.written(bytes);
    }

    pub fn keep(&self, bytes: Bytes) {
        self.lock().outbound.keep(bytes);
    }

    pub fn take(&self, writing: &mut VecDeque<Bytes>, bytes_max: usize) {
        self.lock().outbound.take(writing, bytes_max);
    }

    pub fn is_over(&self, bytes_max: usize) -> bool {
        self.lock().outbound.is_over(bytes_max)
    }

    pub fn queued_bytes(&self) -> usize {
        self.lock().outbound.waiting_bytes()
    }

    pub fn kept_bytes(&self) -> usize {
        self.lock().outbound.kept_bytes()
    }

    pub fn sync_begins(&self) {
        self.lock().outbound.sync_begins();
    }

    pub fn sync_ends(&self, more: bool, resync_after_ms: u32) -> bool {
        self.lock().outbound.sync_ends(more, || self.resync(resync_after_ms))
    }

    pub fn close(&self, discard: bool, last: Option<Bytes>) {
        self.lock().outbound.close(discard, last);
    }

    fn resync(&self, after_ms: u32) -> Option<Bytes> {
        // Connections that overflowed together come back apart.
        let after_ms = i64::from(after_ms) + self.generation.0 % i64::from(after_ms.max(1));
        self.variant().push(&Push::Resync(v1::Resync { after_ms }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skein_protocol::Codec;

    const PATIENCE: Patience = Patience { heartbeat_ms: 90, ping_ms: 30, stall_ms: 40 };

    fn peer(transport: Transport) -> Peer {
        let variant = Variant { transport, form: Form::Frame(Codec::Protobuf), deflate: false };
        let peer = Peer::new(Generation(1), variant, 0, 8);
        peer.set_deadline(None);
        peer
    }

    fn swept(peer: &Peer, now_ms: u64) -> Orders {
        peer.sweep(now_ms, PATIENCE);
        peer.orders()
    }

    #[test]
    fn silence_is_pinged_once_per_interval_and_then_closed() {
        let websocket = peer(Transport::WebSocket);
        assert_eq!(swept(&websocket, 29), Orders::default());
        assert!(swept(&websocket, 30).ping);
        assert_eq!(swept(&websocket, 59), Orders::default());
        assert!(swept(&websocket, 60).ping);
        websocket.heard(60);
        assert_eq!(swept(&websocket, 89), Orders::default());
        assert_eq!(swept(&websocket, 150).close, Some(CloseCode::HeartbeatTimeout));
        let tcp = peer(Transport::Tcp);
        assert_eq!(swept(&tcp, 89), Orders::default(), "TCP has no ping");
        assert_eq!(swept(&tcp, 90).close, Some(CloseCode::HeartbeatTimeout));
    }

    #[test]
    fn a_peer_that_takes_nothing_is_slow_and_one_that_takes_a_little_is_not() {
        let tcp = peer(Transport::Tcp);
        tcp.stalled(10);
        tcp.stalled(30);
        assert_eq!(swept(&tcp, 49), Orders::default());
        tcp.written(1);
        tcp.stalled(49);
        assert_eq!(swept(&tcp, 88), Orders::default());
        tcp.heard(88);
        assert_eq!(swept(&tcp, 89).close, Some(CloseCode::Slow));
    }

    #[test]
    fn a_guest_lives_by_its_deadline_alone() {
        let guest = peer(Transport::WebSocket);
        guest.set_variant(Variant { transport: Transport::WebSocket, form: Form::Goim, deflate: false });
        assert_eq!(swept(&guest, 10_000), Orders::default(), "neither pinged nor closed for its silence");
        guest.set_deadline(Some(10_001));
        guest.heard(10_001);
        assert!(swept(&guest, 10_001).expired);
    }

    #[test]
    fn a_passed_deadline_is_told() {
        let tcp = peer(Transport::Tcp);
        tcp.set_deadline(Some(8));
        assert!(!swept(&tcp, 7).expired);
        assert!(swept(&tcp, 8).expired);
    }
}
