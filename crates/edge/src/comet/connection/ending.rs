//! How a connection ends: the farewell, then silence, then the socket.
//!
//! **Invariant:** the farewell reaches a peer that reads: a socket closed on unread bytes would be reset, and the reset
//! overtakes what was written. So the writing side is shut first, and what still comes is thrown away.
//!
//! **Bound:** `linger_ms`, and [`DISCARD_BYTES_MAX`].

use super::{Connection, Lost, Stage, scratch_read};
use bytes::BytesMut;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};

/// What a closed peer may still send before the socket is dropped on it.
const DISCARD_BYTES_MAX: usize = 1024 * 1024;

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) fn poll_farewell(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Lost> {
        if self.line.stage == Stage::Closing {
            if !self.poll_write(cx)? {
                return Ok(Poll::Pending);
            }
            self.line.stage = Stage::ShuttingDown;
        }
        if self.line.stage == Stage::ShuttingDown {
            match Pin::new(&mut self.stream).poll_shutdown(cx) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(shut_down) => shut_down?,
            }
            self.line.stage = Stage::Discarding;
            self.line.unread = BytesMut::new();
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
