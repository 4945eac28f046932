//! A link that can be harmed: a TCP proxy between two parts that are all well.
//!
//! Owns what happens to bytes under way. It knows nothing of what they mean, but for a word it may be told to cut after.
//!
//! **Invariant:** the bytes that arrive are those that were sent, in order, up to the end of the connection; a fault changes
//! when they arrive and where they end, never what they are.
//!
//! Bound: 64 pieces of 64 KiB wait in each direction of a connection; then its sender waits.

use anyhow::{Context, Result};
use socket2::SockRef;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

const PIECES_MAX: usize = 64;
const PIECE_BYTES: usize = 64 * 1024;

/// How a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// What is sent arrives so much later.
    Fair(Duration),
    /// Connections are reset, and new ones as soon as they are made.
    Cut,
    /// Nothing arrives and nothing is closed; what was sent meanwhile arrives afterwards, as after a short loss of packets.
    Silent,
    /// The far side is gone without a word: connections stay open at the near side and are reset once they are used
    /// in fair weather again.
    HalfOpen,
}

/// Cuts a connection on which one word was said once another has been passed on and before that is answered.
#[derive(Debug, Clone, Copy)]
pub struct Trap {
    pub on: &'static str,
    pub after: &'static str,
}

pub struct Proxy {
    address: SocketAddr,
    link: Link,
    accepting: JoinHandle<()>,
}

#[derive(Clone)]
struct Link {
    weather: Arc<watch::Sender<Weather>>,
    trap: Arc<Mutex<Option<Trap>>>,
}

impl Proxy {
    /// Passes on to `server`, which need not be there yet. Must be called within a runtime.
    pub fn to(server: SocketAddr) -> Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen")?;
        listener.set_nonblocking(true).context("listen")?;
        let address = listener.local_addr().context("listen")?;
        let listener = TcpListener::from_std(listener).context("listen")?;
        let link = Link { weather: Arc::new(watch::Sender::new(Weather::Fair(Duration::ZERO))), trap: Arc::default() };
        let accepting = tokio::spawn(link.clone().accept(listener, server));
        Ok(Self { address, link, accepting })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn turns(&self, weather: Weather) {
        self.link.weather.send_replace(weather);
    }

    pub fn mends(&self) {
        self.turns(Weather::Fair(Duration::ZERO));
    }

    /// For one connection. [`Proxy::has_sprung`] tells whether it happened.
    pub fn sets(&self, trap: Trap) {
        *self.link.trap() = Some(trap);
    }

    pub fn has_sprung(&self) -> bool {
        self.link.trap().is_none()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.turns(Weather::Cut);
    }
}

impl Link {
    fn trap(&self) -> MutexGuard<'_, Option<Trap>> {
        self.trap.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Weather {
        *self.weather.borrow()
    }

    async fn accept(self, listener: TcpListener, server: SocketAddr) {
        while let Ok((client, _)) = listener.accept().await {
            match self.now() {
                Weather::Cut => reset(client),
                _ => drop(tokio::spawn(self.clone().connect(client, server))),
            }
        }
    }

    /// In silence nobody answers; half-open are those that were there before.
    async fn connect(self, client: TcpStream, server: SocketAddr) {
        let mut weather = self.weather.subscribe();
        let passes = |weather: &Weather| matches!(weather, Weather::Fair(_) | Weather::Cut);
        if weather.wait_for(passes).await.is_err() || self.now() == Weather::Cut {
            return reset(client);
        }
        let Ok(server) = TcpStream::connect(server).await else { return reset(client) };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        self.carry(client, server).await;
    }

    async fn carry(&self, mut client: TcpStream, mut server: TcpStream) {
        let is_cut_off = AtomicBool::new(false);
        let end = {
            let ((client_in, client_out), (server_in, server_out)) = (client.split(), server.split());
            tokio::select! {
                end = self.harmed() => end,
                end = self.pass(client_in, server_out, Direction { is_cut_off: &is_cut_off, is_there: true }) => end,
                end = self.pass(server_in, client_out, Direction { is_cut_off: &is_cut_off, is_there: false }) => end,
            }
        };
        match end {
            End::Closed => {}
            End::Reset => {
                reset(client);
                reset(server);
            }
            // What the server did with the word, it has done.
            End::CutOff => reset(client),
            End::HalfOpen => {
                drop(server);
                self.forsake(client).await;
            }
        }
    }

    async fn harmed(&self) -> End {
        let mut weather = self.weather.subscribe();
        match weather.wait_for(|weather| matches!(weather, Weather::Cut | Weather::HalfOpen)).await.map(|weather| *weather) {
            Ok(Weather::HalfOpen) => End::HalfOpen,
            _ => End::Reset,
        }
    }

    /// Nobody is at the other end. What is sent gets no answer, and once packets travel again, a reset.
    async fn forsake(&self, mut client: TcpStream) {
        let mut weather = self.weather.subscribe();
        let mut bytes = vec![0; PIECE_BYTES];
        let (mut was_used, mut is_fair) = (false, false);
        while !(was_used && is_fair) {
            tokio::select! {
                read = client.read(&mut bytes) => match read {
                    Ok(1..) => was_used = true,
                    _ => return,
                },
                fair = weather.wait_for(|weather| *weather != Weather::HalfOpen), if !is_fair => {
                    is_fair = fair.is_ok();
                }
            }
        }
        reset(client);
    }

    async fn pass(&self, from: ReadHalf<'_>, to: WriteHalf<'_>, direction: Direction<'_>) -> End {
        let (queue, waiting) = mpsc::channel(PIECES_MAX);
        let giving = self.give(to, waiting, direction);
        tokio::pin!(giving);
        tokio::select! {
            end = &mut giving => end,
            () = self.take(from, queue, direction) => giving.await,
        }
    }

    /// Ends with its sender; what it sent before is still to be given.
    async fn take(&self, mut from: ReadHalf<'_>, queue: mpsc::Sender<Piece>, direction: Direction<'_>) {
        let mut is_marked = false;
        let mut bytes = vec![0; PIECE_BYTES];
        while let Ok(length @ 1..) = from.read(&mut bytes).await {
            let piece = &bytes[..length];
            if direction.is_there && self.springs(piece, &mut is_marked) {
                direction.is_cut_off.store(true, Ordering::SeqCst);
            }
            if queue.send((Instant::now(), piece.to_vec())).await.is_err() {
                return;
            }
        }
    }

    async fn give(&self, mut to: WriteHalf<'_>, mut waiting: mpsc::Receiver<Piece>, direction: Direction<'_>) -> End {
        let mut weather = self.weather.subscribe();
        while let Some((read_at, piece)) = waiting.recv().await {
            let Ok(fair) = weather.wait_for(|weather| matches!(weather, Weather::Fair(_))).await.map(|weather| *weather) else {
                return End::Closed;
            };
            if let Weather::Fair(delay) = fair {
                tokio::time::sleep_until(read_at + delay).await;
            }
            if !direction.is_there && direction.is_cut_off.load(Ordering::SeqCst) {
                return End::CutOff;
            }
            if to.write_all(&piece).await.is_err() {
                return End::Closed;
            }
        }
        End::Closed
    }

    /// Whether the connection is to be cut after this piece.
    fn springs(&self, piece: &[u8], is_marked: &mut bool) -> bool {
        let mut trap = self.trap();
        let Some(set) = *trap else { return false };
        let springs = *is_marked && has(piece, set.after);
        *is_marked |= has(piece, set.on);
        if springs {
            *trap = None;
        }
        springs
    }
}

/// How a connection ended.
enum End {
    Closed,
    Reset,
    HalfOpen,
    CutOff,
}

/// When it was read, and what.
type Piece = (Instant, Vec<u8>);

#[derive(Clone, Copy)]
struct Direction<'c> {
    /// No answer passes any more.
    is_cut_off: &'c AtomicBool,
    /// From the one who connected.
    is_there: bool,
}

fn has(piece: &[u8], word: &str) -> bool {
    piece.windows(word.len()).any(|window| window == word.as_bytes())
}

fn reset(stream: TcpStream) {
    // One that is gone already needs none.
    let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
}
