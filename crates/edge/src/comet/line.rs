//! A connection without its socket: what was read and not understood, what was taken for writing, whether it is closing.
//!
//! **Invariant:** a line is in the roster for as long as it exists, and leaves it however it ends.

use super::Config;
use super::hub::Hub;
use super::peer::Peer;
use super::shared::Shared;
use super::wire::{Transport, Variant};
use crate::listen::Permit;
use bytes::{Buf, Bytes, BytesMut};
use skein_protocol::CloseCode;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Open,
    /// The farewell is queued.
    Closing,
    /// All is written.
    ShuttingDown,
    /// Until the peer closes too: closing on unread bytes would reset the farewell away.
    Discarding,
}

pub(super) struct Line {
    pub shared: Arc<Shared>,
    pub peer: Arc<Peer>,
    pub address: IpAddr,
    /// Read, and not yet a whole message. Without memory while empty.
    pub unread: BytesMut,
    pub now_ms: u64,
    /// Taken from the queue, not yet written. Without memory while empty.
    pub writing: VecDeque<Bytes>,
    /// Part of the first of `writing` has left.
    is_front_cut: bool,
    pub stage: Stage,
    code: Option<CloseCode>,
    _permit: Permit,
}

impl Line {
    /// `unread` is what the peer said right behind its upgrade request.
    pub fn new(shared: Arc<Shared>, variant: Variant, address: IpAddr, unread: &[u8], permit: Permit) -> Self {
        let hub = &shared.hub;
        let now_ms = hub.ticks.now_ms();
        let deadline_ms = now_ms + u64::from(hub.config.auth_timeout_ms);
        let peer = Arc::new(Peer::new(hub.ticks.next_generation(), variant, now_ms, deadline_ms));
        hub.roster.add(peer.clone());
        hub.meters.connections(variant.transport).increment(1.0);
        if shared.is_draining() {
            peer.order(|orders| orders.drain_after_ms = Some(0));
        }
        Self {
            peer,
            address,
            unread: BytesMut::from(unread),
            now_ms,
            writing: VecDeque::new(),
            is_front_cut: false,
            stage: Stage::Open,
            code: None,
            _permit: permit,
            shared,
        }
    }

    pub fn hub(&self) -> &Hub {
        &self.shared.hub
    }

    pub fn config(&self) -> &Config {
        &self.shared.hub.config
    }

    pub fn transport(&self) -> Transport {
        self.peer.transport
    }

    pub fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    /// `last` is the farewell. Only the first close counts.
    pub fn close(&mut self, code: CloseCode, last: Option<Bytes>) {
        if !self.is_open() {
            return;
        }
        self.stage = Stage::Closing;
        self.code = Some(code);
        tracing::debug!(conn = self.peer.generation.0, code = code.name(), "connection closes");
        let is_slow = code == CloseCode::Slow;
        if is_slow {
            // A frame that has begun must end, or the farewell would be taken for its rest.
            self.writing.truncate(usize::from(self.is_front_cut));
        }
        self.peer.close(is_slow, last);
        self.peer.set_deadline(Some(self.now_ms + u64::from(self.config().linger_ms)));
    }

    /// So many bytes of `writing` have left.
    pub fn wrote(&mut self, bytes: usize) {
        self.peer.written(bytes);
        let mut left = bytes;
        while let Some(front) = self.writing.front_mut() {
            if front.len() > left {
                front.advance(left);
                self.is_front_cut |= left > 0;
                return;
            }
            left -= front.len();
            self.writing.pop_front();
            self.is_front_cut = false;
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let hub = &self.shared.hub;
        hub.roster.remove(self.peer.generation);
        hub.meters.connections(self.transport()).decrement(1.0);
        hub.meters.closed(self.code);
    }
}
