//! Accept loops, and TLS on what they accept.
//!
//! Listeners come bound: the server binds, tests bind port 0. What is spoken on a socket is [`crate::http`]'s and
//! [`crate::comet`]'s business.
//!
//! **Invariant:** no error of `accept` ends a loop (out of file descriptors: it waits and goes on), and no socket is
//! accepted without a permit for it.
//!
//! **Bound:** `connections_max` sockets per listener, beyond that the kernel's backlog waits; a TLS handshake has its time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

/// Pause after an `accept` that failed for want of something, doubled up to [`BACKOFF_MAX`].
const BACKOFF: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// The right to be a connection of a listener; moves along when a socket leaves the HTTP stack.
pub type Permit = Arc<OwnedSemaphorePermit>;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Sockets open at the same time per listener; further ones wait in the kernel's backlog.
    pub connections_max: u32,
    /// Time for a TLS handshake, in milliseconds.
    pub tls_timeout_ms: u32,
    /// Time for the header of a request, also of the next one on an idle connection, in milliseconds.
    pub header_timeout_ms: u32,
    /// Largest header of a request, in bytes.
    pub header_bytes_max: u32,
    /// Age at which an HTTP connection is asked to end after its present request, in milliseconds.
    pub http_lifetime_ms: u32,
    /// Time a request under way then has to end, in milliseconds.
    pub http_grace_ms: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connections_max: 200_000,
            tls_timeout_ms: 10_000,
            header_timeout_ms: 10_000,
            header_bytes_max: 32 * 1024,
            http_lifetime_ms: 600_000,
            http_grace_ms: 10_000,
        }
    }
}

impl Config {
    pub(crate) fn tls_timeout(&self) -> Duration {
        Duration::from_millis(self.tls_timeout_ms.into())
    }
}

/// Takes a permit, then a socket, and so on until `shutdown`. `serve` must not wait.
pub async fn accept(
    name: &'static str,
    listener: TcpListener,
    config: &Config,
    shutdown: &CancellationToken,
    serve: impl Fn(TcpStream, SocketAddr, Permit),
) {
    let permits = Arc::new(Semaphore::new(config.connections_max as usize));
    let accepted = metrics::counter!("skein_listener_accepted_total", "listener" => name);
    let failed = metrics::counter!("skein_listener_accept_errors_total", "listener" => name);
    let mut backoff = BACKOFF;
    let accept = async {
        // The semaphore is never closed.
        while let Ok(permit) = permits.clone().acquire_owned().await {
            match listener.accept().await {
                Ok((stream, from)) => {
                    backoff = BACKOFF;
                    accepted.increment(1);
                    // Fails only on a socket that is gone already.
                    let _ = stream.set_nodelay(true);
                    serve(stream, from, Arc::new(permit));
                }
                Err(error) if is_of_the_peer(&error) => {}
                Err(error) => {
                    failed.increment(1);
                    tracing::warn!(%error, listener = name, "accept failed");
                    tokio::time::sleep(backoff).await;
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                }
            }
        }
    };
    shutdown.run_until_cancelled(accept).await;
}

/// The peer went away between its handshake and ours.
fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::*;
    matches!(error.kind(), ConnectionRefused | ConnectionAborted | ConnectionReset)
}

/// `None`: no TLS client, or too slow. Boxed: it is many times the size of a socket.
pub(crate) async fn handshake(tls: &TlsAcceptor, stream: TcpStream, patience: Duration) -> Option<Box<TlsStream<TcpStream>>> {
    match tokio::time::timeout(patience, Box::pin(tls.accept(stream))).await {
        Ok(Ok(stream)) => Some(Box::new(stream)),
        Ok(Err(error)) => {
            tracing::debug!(%error, "tls handshake failed");
            None
        }
        Err(_) => None,
    }
}
