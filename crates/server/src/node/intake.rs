//! Sockets of gRPC listeners: accepted like those of every other listener, and let go when the peer says nothing.
//!
//! **Bound:** `connections_max` sockets per listener; a peer has begun to speak HTTP/2 within `header_timeout_ms`. From then on
//! the HTTP/2 server asks for signs of life.

use skein_edge::listen::Permit;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// `PRI * HTTP/2.0 …`; a TLS peer says more than that before it has finished its handshake.
const PREFACE_BYTES: usize = 24;

pub(super) struct Socket {
    stream: TcpStream,
    /// Until the peer has said something that is an answer to what we said.
    greeting: Option<Greeting>,
    _permit: Permit,
}

struct Greeting {
    heard_bytes: usize,
    has_spoken: bool,
    deadline: Pin<Box<Sleep>>,
}

impl Socket {
    pub fn new(stream: TcpStream, permit: Permit, patience: Duration) -> Self {
        let deadline = Box::pin(tokio::time::sleep(patience));
        Self { stream, greeting: Some(Greeting { heard_bytes: 0, has_spoken: false, deadline }), _permit: permit }
    }

    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        self.greeting.as_mut().is_some_and(|greeting| greeting.deadline.as_mut().poll(context).is_ready())
    }

    fn heard(&mut self, bytes: usize) {
        let Some(greeting) = &mut self.greeting else { return };
        greeting.heard_bytes += bytes;
        if greeting.has_spoken && greeting.heard_bytes >= PREFACE_BYTES {
            self.greeting = None;
        }
    }

    fn spoke(&mut self) {
        if let Some(greeting) = &mut self.greeting {
            greeting.has_spoken = true;
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.is_late(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        if outcome.is_ready() {
            self.heard(buffer.filled().len() - before);
        }
        outcome
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.spoke();
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.spoke();
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl Connected for Socket {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}
