//! One live connection to a Comet: log-in, requests matched to replies, pushes, heartbeats, and why it ended.
//!
//! No store, no retries, no reconnects: those are [`crate::Client`]'s. Load generators and checkers use this directly.
//!
//! **Invariant:** every request ends: with its reply, at its deadline, or with the connection.
//!
//! Bounds: [`Options::in_flight_max`] requests wait for replies, further ones wait for room within their own deadline.
//! [`Options::pushes_max`] pushes wait for the reader of [`Pushes`]; at the bound new ones are discarded and one
//! `resync` takes their place, so a slow reader never holds up replies.

mod run;
mod transport;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use skein_protocol::{Codec, Frame, MAJOR, MINOR, Push, Reply, Request, v1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use crate::address::{Address, Scheme};
pub use crate::error::CloseReason;

use crate::error::Error;
use run::Call;
use transport::{Framing, Inbound, Socket, network};

/// What proves who connects. Prints no secret.
#[derive(Clone)]
pub enum Auth {
    /// From HTTP log-in.
    Token(String),
    /// For one connection to one Comet, within 60 s.
    Ticket(String),
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Auth::Token(_) => "Token",
            Auth::Ticket(_) => "Ticket",
        })
    }
}

#[derive(Clone, Debug)]
pub struct Options {
    /// Name and version of the client, for the list of devices.
    pub client: String,
    /// From the first packet to `hello`.
    pub connect_timeout: Duration,
    /// From [`Connection::request`] to its reply.
    pub request_timeout: Duration,
    /// The server's `hello` may shorten it.
    pub heartbeat: Duration,
    /// Silence of the server after which the connection counts as lost.
    pub liveness: Duration,
    pub in_flight_max: usize,
    pub pushes_max: usize,
    /// For `tls://` and `wss://`; without it, what the operating system trusts.
    pub tls: Option<Arc<rustls::ClientConfig>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            client: concat!("skein-sdk/", env!("CARGO_PKG_VERSION")).to_owned(),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(5),
            heartbeat: Duration::from_secs(30),
            liveness: Duration::from_secs(90),
            in_flight_max: 64,
            pushes_max: 256,
            tls: None,
        }
    }
}

/// Clone freely. The connection ends with [`Connection::close`] or when the last clone is dropped.
#[derive(Clone)]
pub struct Connection {
    calls: mpsc::Sender<Call>,
    in_flight: Arc<Semaphore>,
    request_timeout: Duration,
    reason: watch::Receiver<Option<CloseReason>>,
    closing: CancellationToken,
    _close_on_drop: Arc<DropGuard>,
}

/// What the server says unasked.
pub struct Pushes {
    queue: mpsc::Receiver<Push>,
    overflowed: Arc<AtomicBool>,
}

impl Pushes {
    /// `None` once the connection has ended and everything before was taken. Cancel-safe.
    pub async fn recv(&mut self) -> Option<Push> {
        if let Ok(push) = self.queue.try_recv() {
            return Some(push);
        }
        // The queue was full when the flag was set, so whoever emptied it comes by here.
        if self.overflowed.swap(false, Ordering::Relaxed) {
            return Some(Push::Resync(v1::Resync::default()));
        }
        self.queue.recv().await
    }
}

impl Connection {
    pub async fn connect(address: &Address, auth: Auth) -> Result<(Self, Pushes, v1::Hello), Error> {
        Self::connect_with(address, auth, &Options::default()).await
    }

    pub async fn connect_with(address: &Address, auth: Auth, options: &Options) -> Result<(Self, Pushes, v1::Hello), Error> {
        let (opened, hello) = timeout(options.connect_timeout, log_in(address, auth, options)).await.map_err(|_| Error::Timeout)??;
        let (calls, queue) = mpsc::channel(options.in_flight_max.max(1));
        let (pushed, pushes) = mpsc::channel(options.pushes_max.max(1));
        let (told, reason) = watch::channel(None);
        let closing = CancellationToken::new();
        let overflowed = Arc::new(AtomicBool::new(false));
        let outlet = run::Outlet { queue: pushed, overflowed: Arc::clone(&overflowed) };
        let runner = run::Runner::new(opened, queue, outlet, closing.clone(), heartbeat(options, &hello), options.liveness);
        tokio::spawn(runner.run(told));
        let connection = Connection {
            calls,
            in_flight: Arc::new(Semaphore::new(options.in_flight_max.max(1))),
            request_timeout: options.request_timeout,
            reason,
            _close_on_drop: Arc::new(closing.clone().drop_guard()),
            closing,
        };
        Ok((connection, Pushes { queue: pushes, overflowed }, hello))
    }

    /// A failed request is an error here: [`Reply::Error`] is never handed out.
    pub async fn request(&self, request: Request) -> Result<Reply, Error> {
        timeout(self.request_timeout, self.call(request)).await.map_err(|_| Error::Timeout)?
    }

    /// As [`Connection::request`], for the one kind of reply that belongs to the request.
    pub async fn ask<R: TryFrom<Reply>>(&self, request: Request) -> Result<R, Error> {
        let name = request.name();
        R::try_from(self.request(request).await?).map_err(|_| Error::Protocol(format!("wrong kind of reply to {name}")))
    }

    /// Queues a request at once, so that several stay in the order of their calls, and gives the wait for the reply.
    /// `None` when as many as may wait do.
    pub fn begin(&self, request: Request) -> Option<impl Future<Output = Result<Reply, Error>> + Send + use<>> {
        let permit = Arc::clone(&self.in_flight).try_acquire_owned().ok()?;
        let (reply, answered) = oneshot::channel();
        // Each queued call holds a permit and there are as many places: full means closed.
        let queued = self.calls.try_send(Call { request, reply });
        let (connection, deadline) = (self.clone(), self.request_timeout);
        Some(async move {
            let _permit = permit;
            match (queued, timeout(deadline, answered).await) {
                (Ok(()), Ok(Ok(answer))) => answer,
                (Ok(()), Err(_)) => Err(Error::Timeout),
                (Err(_), _) | (_, Ok(Err(_))) => Err(Error::Closed(connection.closed().await)),
            }
        })
    }

    async fn call(&self, request: Request) -> Result<Reply, Error> {
        let _permit = self.in_flight.acquire().await.map_err(|_| Error::NotConnected)?;
        let (reply, answered) = oneshot::channel();
        if self.calls.send(Call { request, reply }).await.is_err() {
            return Err(Error::Closed(self.closed().await));
        }
        match answered.await {
            Ok(answer) => answer,
            Err(_) => Err(Error::Closed(self.closed().await)),
        }
    }

    /// Waits for the end.
    pub async fn closed(&self) -> CloseReason {
        let mut reason = self.reason.clone();
        let ended = reason.wait_for(Option::is_some).await;
        ended.ok().and_then(|reason| reason.clone()).unwrap_or_else(|| CloseReason::lost("connection ended"))
    }

    /// `None` while it lives.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.reason.borrow().clone()
    }

    /// Ends it from this side.
    pub fn close(&self) {
        self.closing.cancel();
    }
}

/// What is known once `hello` was heard.
struct Opened {
    socket: Box<dyn Socket>,
    framing: Framing,
    inbound: BytesMut,
    outbound: BytesMut,
}

async fn log_in(address: &Address, auth: Auth, options: &Options) -> Result<(Opened, v1::Hello), Error> {
    let (socket, framing, inbound) = transport::open(address, options.tls.as_ref()).await?;
    let mut opened = Opened { socket, framing, inbound, outbound: BytesMut::new() };
    let frame = Frame::request(&Request::Auth(auth_request(auth, options)), AUTH_SEQ, Codec::Protobuf)
        .map_err(|e| Error::Protocol(e.to_string()))?;
    opened.framing.encode(&frame, &mut opened.outbound)?;
    opened.socket.write_all_buf(&mut opened.outbound).await.map_err(network)?;
    opened.socket.flush().await.map_err(network)?;
    loop {
        match opened.framing.decode(&mut opened.inbound, &mut opened.outbound).map_err(Error::Closed)? {
            Some(Inbound::Frame(frame)) => return hello_of(&frame).map(|hello| (opened, hello)),
            Some(Inbound::Closed(reason)) => return Err(Error::Closed(reason)),
            Some(Inbound::Alive) => {}
            None => {
                if opened.socket.read_buf(&mut opened.inbound).await.map_err(network)? == 0 {
                    return Err(Error::Network("closed before hello".to_owned()));
                }
            }
        }
    }
}

/// Seq of op 7; requests count on from here.
const AUTH_SEQ: i32 = 1;

fn auth_request(auth: Auth, options: &Options) -> v1::Auth {
    let (token, ticket) = match auth {
        Auth::Token(token) => (token, String::new()),
        Auth::Ticket(ticket) => (String::new(), ticket),
    };
    v1::Auth { token, ticket, major: MAJOR, minor: MINOR, client: options.client.clone(), deflate: true, ..v1::Auth::default() }
}

/// On TCP a refusal is an `error` whose code is the name of a close.
fn hello_of(frame: &Frame) -> Result<v1::Hello, Error> {
    match Reply::decode(frame.op, Codec::Protobuf, &frame.body) {
        Ok(Reply::Hello(hello)) => Ok(hello),
        Ok(Reply::Error(error)) => Err(match run::close_reason(&error) {
            reason if reason.code.is_some() => Error::Closed(reason),
            _ => error.into(),
        }),
        _ => Err(Error::Protocol(format!("op {} instead of hello", frame.op))),
    }
}

fn heartbeat(options: &Options, hello: &v1::Hello) -> Duration {
    let asked = hello.limits.as_ref().map_or(0, |limits| limits.heartbeat_interval_ms);
    match asked {
        0 => options.heartbeat,
        ms => options.heartbeat.min(Duration::from_millis(ms.into())),
    }
    .max(Duration::from_millis(10))
}
