//! How a connection ends: the farewell, then silence, then the socket.
//!
//! **Invariant:** the farewell reaches a peer that reads: a socket closed on unread bytes would be reset, and the reset
//! overtakes what was written. So the writing side is shut first, and what still comes is thrown away.
//!
//! **Bound:** `linger_ms`, and [`DISCARD_BYTES_MAX`].

use super::{Connection, Lost, Stage, scratch_read};
use crate::comet::wire::close_frame;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use skein_protocol::CloseCode;
use skein_protocol::websocket::{CloseFrame, Opcode, server_frame};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};

/// What a closed peer may still send before the socket is dropped on it.
const DISCARD_BYTES_MAX: usize = 1024 * 1024;

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) fn close(&mut self, code: CloseCode) {
        self.close_with(code, self.peer.variant().close(code));
    }

    /// The peer said goodbye: the same code goes back.
    pub(super) fn close_back(&mut self, close: Option<CloseFrame>) {
        let last = match close {
            Some(close) => close_frame(close.code, ""),
            None => server_frame(Opcode::Close, b""),
        };
        self.close_with(CloseCode::Normal, Some(last));
    }

    pub(super) fn close_with(&mut self, code: CloseCode, last: Option<Bytes>) {
        if self.stage != Stage::Open {
            return;
        }
        self.stage = Stage::Closing;
        self.code = Some(code);
        tracing::debug!(conn = self.peer.generation.0, code = code.name(), "connection closes");
        if let Err(refused) = self.session.close() {
            tracing::error!(%refused, "illegal move");
        }
        self.registered = None;
        self.let_calls_end();
        let is_slow = code == CloseCode::Slow;
        if is_slow {
            // A frame that has begun must end, or the farewell would be taken for its rest.
            self.writing.truncate(usize::from(self.is_front_cut));
        }
        self.peer.close(is_slow, last);
        self.peer.set_deadline(Some(self.now_ms + u64::from(self.shared.hub.config.linger_ms)));
    }

    pub(super) fn poll_farewell(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Lost> {
        if self.stage == Stage::Closing {
            if !self.poll_write(cx)? {
                return Ok(Poll::Pending);
            }
            self.stage = Stage::ShuttingDown;
        }
        if self.stage == Stage::ShuttingDown {
            match Pin::new(&mut self.stream).poll_shutdown(cx) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(shut_down) => shut_down?,
            }
            self.stage = Stage::Discarding;
            self.unread = BytesMut::new();
        }
        while (self.discarded as usize) < DISCARD_BYTES_MAX {
            match scratch_read(&mut self.stream, cx, |_| ()) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Ok(0) | Err(_)) => return Ok(Poll::Ready(())),
                Poll::Ready(Ok(bytes)) => self.discarded = self.discarded.saturating_add(bytes as u32),
            }
        }
        Ok(Poll::Ready(()))
    }
}

impl<S> Connection<S> {
    pub(super) fn let_calls_end(&mut self) {
        let Some(work) = self.work.take() else { return };
        let mut calls = work.calls;
        self.shared.hub.meters.in_flight.decrement(calls.len() as f64);
        if !calls.is_empty() {
            self.shared.spawn(async move { while calls.next().await.is_some() {} });
        }
    }
}
