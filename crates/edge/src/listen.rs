//! Accept loops, and the HTTP stack until a socket leaves it.
//!
//! Listeners come bound: the server binds, tests bind port 0.
//!
//! **Invariant:** no error of `accept` ends a loop (out of file descriptors: it waits and goes on), and no socket is
//! accepted without a permit for it.
//!
//! **Bound:** `connections_max` sockets per listener, beyond that the kernel's backlog waits; a TLS handshake, a request
//! header and an idle connection have their time; an HTTP connection is asked to end after `http_lifetime_ms`.

use crate::comet::{self, Comet};
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, Response, StatusCode};
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service as _;

/// Where a WebSocket begins.
const WEBSOCKET_PATH: &str = "/ws";
/// Pause after an `accept` that failed for want of something, doubled up to [`BACKOFF_MAX`].
const BACKOFF: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// The right to be a connection of a listener; moves along when a socket leaves the HTTP stack.
pub(crate) type Permit = Arc<OwnedSemaphorePermit>;

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

/// Public HTTP: `/ws` goes to `comet`, everything else to `gate`. Accepts until `shutdown`, lets requests under way end,
/// and returns; WebSockets live on until they are drained.
pub async fn serve_http(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    gate: Router,
    comet: Option<Comet>,
    config: Config,
    shutdown: CancellationToken,
) {
    let tracker = TaskTracker::new();
    let site = Arc::new(Site { gate, comet, is_tls: tls.is_some(), config: config.clone(), shutdown: shutdown.clone() });
    let serve = |stream: TcpStream, from: SocketAddr, permit: Permit| {
        let (site, tls) = (site.clone(), tls.clone());
        tracker.spawn(async move {
            match tls {
                None => site.serve(stream, from, permit).await,
                Some(tls) => {
                    if let Some(stream) = handshake(&tls, stream, site.config.tls_timeout()).await {
                        site.serve(stream, from, permit).await;
                    }
                }
            }
        });
    };
    accept("http", listener, &config, &shutdown, serve).await;
    tracker.close();
    tracker.wait().await;
}

/// Takes a permit, then a socket, and so on until `shutdown`. `serve` must not wait.
pub(crate) async fn accept(
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

/// What one HTTP listener serves.
struct Site {
    gate: Router,
    comet: Option<Comet>,
    is_tls: bool,
    config: Config,
    shutdown: CancellationToken,
}

impl Site {
    async fn serve<S>(self: Arc<Self>, stream: S, from: SocketAddr, permit: Permit)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let site = self.clone();
        let service = service_fn(move |request| {
            let (site, permit) = (site.clone(), permit.clone());
            async move { Ok::<_, Infallible>(site.respond::<S>(request, from, permit).await) }
        });
        let ms = |ms: u32| Duration::from_millis(ms.into());
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(ms(self.config.header_timeout_ms))
            // hyper's own minimum.
            .max_buf_size((self.config.header_bytes_max as usize).max(8 * 1024))
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => return log(ended),
            () = self.shutdown.cancelled() => {}
            () = tokio::time::sleep(ms(self.config.http_lifetime_ms)) => {}
        }
        connection.as_mut().graceful_shutdown();
        if let Ok(ended) = tokio::time::timeout(ms(self.config.http_grace_ms), connection).await {
            log(ended);
        }
    }

    async fn respond<S>(&self, mut request: Request<Incoming>, from: SocketAddr, permit: Permit) -> Response<Body>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        match &self.comet {
            Some(comet) if request.uri().path() == WEBSOCKET_PATH => self.upgrade::<S>(comet, request, from, permit),
            _ => {
                request.extensions_mut().insert(ConnectInfo(from));
                match self.gate.clone().call(request.map(Body::new)).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                }
            }
        }
    }

    fn upgrade<S>(&self, comet: &Comet, mut request: Request<Incoming>, from: SocketAddr, permit: Permit) -> Response<Body>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        if comet.is_draining() || self.shutdown.is_cancelled() {
            let refusal = comet::Refusal { status: StatusCode::SERVICE_UNAVAILABLE, detail: "this node is going away" };
            return refusal.into_response();
        }
        let (response, opening) = match comet::upgrade_answer(request.method(), request.headers(), comet.config(), self.is_tls) {
            Ok(answer) => answer,
            Err(refusal) => return refusal.into_response(),
        };
        let upgrade = hyper::upgrade::on(&mut request);
        let opened = comet.clone();
        comet.spawn(async move {
            // The socket alone goes on; the HTTP connection and its buffers end here.
            match upgrade.await.map(|upgraded| upgraded.downcast::<TokioIo<S>>()) {
                Ok(Ok(parts)) => opened.open_websocket(parts.io.into_inner(), from.ip(), parts.read_buf, opening, permit),
                Ok(Err(_)) => tracing::error!("upgraded socket is of another kind"),
                Err(error) => tracing::debug!(%error, "upgrade not finished"),
            }
        });
        response
    }
}

fn log(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "http connection ended");
    }
}
