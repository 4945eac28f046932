//! The HTTP stack of a listener, until a socket leaves it.
//!
//! **Bound:** a request header and an idle connection have their time; a connection is asked to end after
//! `http_lifetime_ms`.

use crate::comet::{self, Comet};
use crate::listen::{Config, Permit, accept, handshake};
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, Response, StatusCode};
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service as _;

/// Where a WebSocket begins.
const WEBSOCKET_PATH: &str = "/ws";

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
