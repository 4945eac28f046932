//! One connection, one task: reads, lets the one who speaks hear it, writes.
//!
//! Shaped for 100,000 idle peers: reading goes through a buffer of the thread, only unfinished bytes are kept; everything
//! queued leaves in one write; what only busy connections need is boxed and given back; there is no timer (the sweep looks
//! at the clock for all).
//!
//! **Invariant:** however it ends, the connection leaves hub, registry and roster: guards undo what was done. Calls under
//! way run to their end, because their outcome is somebody's message.
//!
//! **Bound:** what is read and not answered (see [`super::session`], [`super::guest`]), what waits to be written (see
//! [`super::outbound`]), and the time for a farewell (`linger_ms`).

use super::line::{Line, Stage};
use super::talk::Talk;
use bytes::BytesMut;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Size of a thread's read buffer, and so the most one read takes.
const SCRATCH_BYTES: usize = 32 * 1024;
/// Frames in one write.
const SLICES: usize = 64;
/// Reads, calls and writes in one wake before others get their turn.
const TURNS: usize = 16;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH_BYTES]);
}

mod ending;

pub(super) struct Connection<S> {
    stream: S,
    line: Line,
    talk: Talk,
    /// Something was written since the last flush.
    is_unflushed: bool,
    /// Bytes thrown away after the farewell.
    discarded: u32,
}

/// The peer is gone without a word.
struct Lost;

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Self {
        tracing::debug!(%error, "connection lost");
        Lost
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub fn new(stream: S, line: Line, talk: Talk) -> Self {
        Self { stream, line, talk, is_unflushed: false, discarded: 0 }
    }

    fn poll_turns(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Lost> {
        self.line.now_ms = self.line.hub().ticks.now_ms();
        self.line.peer.watch(cx.waker());
        if self.obey().is_break() {
            return Ok(Poll::Ready(()));
        }
        for _ in 0..TURNS {
            if !self.line.is_open() {
                self.talk.end();
                return self.poll_farewell(cx);
            }
            let worked = self.talk.poll_work(&mut self.line, cx);
            let read = self.poll_read(cx)?;
            let was_paused = self.talk.is_paused(&self.line);
            self.poll_write(cx)?;
            self.talk.judge(&mut self.line);
            // Nobody else would wake it for what is read already.
            let resumes = was_paused && !self.talk.is_paused(&self.line);
            if !worked && !read && !resumes && self.line.is_open() {
                self.tell();
                return Ok(Poll::Pending);
            }
        }
        self.tell();
        cx.waker().wake_by_ref();
        Ok(Poll::Pending)
    }

    fn tell(&self) {
        self.line.peer.tell(self.talk.in_flight(), self.line.unread.len());
    }

    fn obey(&mut self) -> ControlFlow<()> {
        let orders = self.line.peer.orders();
        let is_farewell_over = orders.expired && !self.line.is_open();
        if orders.abort || is_farewell_over {
            return ControlFlow::Break(());
        }
        if self.line.is_open() {
            self.talk.obey(&mut self.line, orders);
        }
        ControlFlow::Continue(())
    }

    // === in ===

    /// Whether anything happened.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<bool, Lost> {
        let mut has_read = false;
        let mut has_heard = false;
        loop {
            if !self.line.is_open() {
                return Ok(has_read || has_heard);
            }
            if self.talk.is_paused(&self.line) {
                let listens = self.talk.listens_while_paused() && self.line.unread.is_empty();
                return Ok((listens && self.read(cx)?) || has_read || has_heard);
            }
            if self.talk.hear(&mut self.line) {
                has_heard = true;
                continue;
            }
            if self.line.unread.is_empty() {
                self.line.unread = BytesMut::new();
            }
            if has_read || !self.read(cx)? {
                return Ok(has_read || has_heard);
            }
            has_read = true;
        }
    }

    /// `false`: there is nothing now.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, Lost> {
        let (stream, unread) = (&mut self.stream, &mut self.line.unread);
        match scratch_read(stream, cx, |bytes| unread.extend_from_slice(bytes)) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(0)) => Err(Lost),
            Poll::Ready(Ok(bytes)) => {
                self.line.hub().meters.bytes_in.increment(bytes as u64);
                Ok(true)
            }
            Poll::Ready(Err(error)) => Err(error.into()),
        }
    }

    // === out ===

    /// `true`: everything has left.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<bool, Lost> {
        loop {
            let line = &mut self.line;
            if line.writing.is_empty() {
                line.writing = VecDeque::new();
                line.peer.take(&mut line.writing, self.talk.take_bytes_max());
            }
            if line.writing.is_empty() {
                return self.poll_flush(cx);
            }
            let mut slices = [IoSlice::new(&[]); SLICES];
            let mut count = 0;
            for (slice, bytes) in slices.iter_mut().zip(&line.writing) {
                *slice = IoSlice::new(bytes);
                count += 1;
            }
            match Pin::new(&mut self.stream).poll_write_vectored(cx, &slices[..count]) {
                Poll::Pending => {
                    line.peer.stalled(line.now_ms);
                    return Ok(false);
                }
                Poll::Ready(Ok(0)) => return Err(Lost),
                Poll::Ready(Ok(bytes)) => {
                    line.wrote(bytes);
                    self.is_unflushed = true;
                    let meters = &self.line.hub().meters;
                    meters.writes.increment(1);
                    meters.bytes_out.increment(bytes as u64);
                }
                Poll::Ready(Err(error)) => return Err(error.into()),
            }
        }
    }

    /// TLS may hold back what was written.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Result<bool, Lost> {
        if !self.is_unflushed {
            return Ok(true);
        }
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Pending => {
                self.line.peer.stalled(self.line.now_ms);
                Ok(false)
            }
            Poll::Ready(flushed) => {
                flushed?;
                self.is_unflushed = false;
                Ok(true)
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for Connection<S> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.get_mut().poll_turns(cx).unwrap_or(Poll::Ready(()))
    }
}

/// One read through the thread's buffer: no connection holds one while it waits.
fn scratch_read<S: AsyncRead + Unpin>(stream: &mut S, cx: &mut Context<'_>, take: impl FnOnce(&[u8])) -> Poll<io::Result<usize>> {
    SCRATCH.with_borrow_mut(|scratch| {
        let mut buf = ReadBuf::new(scratch);
        match Pin::new(stream).poll_read(cx, &mut buf) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => {
                take(buf.filled());
                Poll::Ready(Ok(buf.filled().len()))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::peer::Peer;
    use super::*;
    use tokio::net::TcpStream;

    /// A hundred thousand of them in 40 MB.
    #[test]
    fn an_idle_connection_is_small() {
        assert!(size_of::<Connection<TcpStream>>() <= 400, "{} bytes", size_of::<Connection<TcpStream>>());
        assert!(size_of::<Peer>() <= 256, "{} bytes", size_of::<Peer>());
    }
}
