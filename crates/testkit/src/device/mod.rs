//! A simulated device: one session of one person, over a real socket, reconnecting as a good client does.
//!
//! Owns the socket and the time; what it knows and wants is its [`mind::Mind`].
//!
//! **Invariant:** a device syncs after every connect and whenever it is told to resync, and otherwise only listens.
//!
//! Bound: 1,024 orders wait; a further one makes the caller wait.

pub mod deed;
pub mod mind;
pub mod timeline;

use crate::wire::{self, Buffers, Ears, Endpoints, Heard, Mouth, Transport};
use anyhow::Result;
use deed::Deed;
use mind::{Mind, Wish};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

const ORDERS_MAX: usize = 1_024;
/// Between attempts to connect; the server may just be starting.
const RECONNECT_PAUSE: Duration = Duration::from_millis(25);

/// What the one who plays a device may ask of it.
#[derive(Debug, Clone)]
pub enum Order {
    Do(Box<Deed>),
    /// Cut the connection and come back at once.
    Cut,
    /// Cut the connection and stay away.
    GoOffline,
    GoOnline,
    /// Take nothing from the socket, as a device on a bad network.
    PauseReading,
    ResumeReading,
}

/// Where all devices of a run say that something moved.
#[derive(Clone)]
pub struct Board {
    pub progress: watch::Sender<u64>,
    pub acks: watch::Sender<u64>,
}

impl Default for Board {
    fn default() -> Self {
        Self { progress: watch::Sender::new(0), acks: watch::Sender::new(0) }
    }
}

/// Who it is and how it speaks.
#[derive(Debug, Clone)]
pub struct Description {
    pub label: String,
    pub uid: i64,
    pub token: String,
    pub transport: Transport,
    pub buffers: Buffers,
}

/// A handle; dropping it ends the device.
pub struct Device {
    orders: mpsc::Sender<Order>,
    mind: Arc<Mutex<Mind>>,
    task: JoinHandle<()>,
}

impl Device {
    /// It connects as soon as `server` names an address.
    pub fn start(description: Description, server: watch::Receiver<Option<Endpoints>>, board: Board) -> Self {
        let (orders, inbox) = mpsc::channel(ORDERS_MAX);
        let mind = Arc::new(Mutex::new(Mind::new(description.label.clone(), description.uid, Instant::now())));
        let body = Body { description, server, board, inbox, mind: mind.clone(), is_away: false, is_reading: true, told: (0, 0) };
        let task = tokio::spawn(body.live());
        Self { orders, mind, task }
    }

    pub async fn order(&self, order: Order) {
        // A device that has ended shows in what it did not do.
        let _ = self.orders.send(order).await;
    }

    pub fn mind(&self) -> MutexGuard<'_, Mind> {
        self.mind.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Body {
    description: Description,
    server: watch::Receiver<Option<Endpoints>>,
    board: Board,
    inbox: mpsc::Receiver<Order>,
    mind: Arc<Mutex<Mind>>,
    is_away: bool,
    is_reading: bool,
    /// Progress and acks that the board knows of.
    told: (u64, u64),
}

/// Why a connection is over.
enum Over {
    Lost(String),
    CutByOrder,
    /// The server asked to come back after so long.
    Later(Duration),
    /// Nobody holds the device any more.
    Ended,
}

impl Body {
    async fn live(mut self) {
        loop {
            let over = if self.is_away { self.wait_for_orders().await } else { self.one_connection().await };
            let (why, pause) = match over {
                Over::Ended => return,
                Over::CutByOrder => ("cut".to_owned(), Duration::ZERO),
                Over::Lost(why) => (why, RECONNECT_PAUSE),
                Over::Later(after) => ("asked to go away".to_owned(), after.max(RECONNECT_PAUSE)),
            };
            self.mind().disconnected(&why, Instant::now());
            self.tell();
            if !self.is_away {
                tokio::time::sleep(pause).await;
            }
        }
    }

    fn mind(&self) -> MutexGuard<'_, Mind> {
        self.mind.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn wait_for_orders(&mut self) -> Over {
        while self.is_away {
            let Some(order) = self.inbox.recv().await else { return Over::Ended };
            self.take(order);
        }
        Over::CutByOrder
    }

    async fn one_connection(&mut self) -> Over {
        let Some(at) = self.address().await else { return Over::Ended };
        let Description { transport, buffers, token, .. } = &self.description;
        let (mut mouth, mut ears, hello) = match wire::log_in(at, *transport, *buffers, token).await {
            Ok(connected) => connected,
            Err(error) => return Over::Lost(format!("{error:#}")),
        };
        self.mind().connected(&hello, Instant::now());
        self.tell();
        match self.converse(&mut mouth, &mut ears).await {
            Ok(over) => over,
            Err(error) => Over::Lost(format!("{error:#}")),
        }
    }

    async fn address(&mut self) -> Option<Endpoints> {
        let named = self.server.wait_for(Option::is_some).await.ok()?;
        *named
    }

    async fn converse(&mut self, mouth: &mut Mouth, ears: &mut Ears) -> Result<Over> {
        loop {
            if let Some(over) = self.ask_what_is_due(mouth).await? {
                return Ok(over);
            }
            let wake = self.mind().next_wake(Instant::now());
            let alarm = async {
                match wake {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                order = self.inbox.recv() => {
                    let Some(order) = order else { return Ok(Over::Ended) };
                    if self.take(order) {
                        return Ok(Over::CutByOrder);
                    }
                }
                heard = ears.hear(), if self.is_reading => {
                    if let Some(over) = self.heard(heard?, mouth).await? {
                        return Ok(over);
                    }
                }
                () = alarm, if self.is_reading => {}
            }
        }
    }

    /// One who does not read asks for nothing either.
    async fn ask_what_is_due(&mut self, mouth: &mut Mouth) -> Result<Option<Over>> {
        if !self.is_reading {
            return Ok(None);
        }
        loop {
            let now = Instant::now();
            if self.mind().is_stuck(now) {
                return Ok(Some(Over::Lost("a request has no answer".to_owned())));
            }
            let Some(request) = self.mind().next_request(now) else { return Ok(None) };
            let seq = mouth.ask(&request).await?;
            self.mind().sent(seq, &request, Instant::now());
            if self.mind().forget_sent() {
                return Ok(Some(Over::CutByOrder));
            }
        }
    }

    async fn heard(&mut self, heard: Heard, mouth: &mut Mouth) -> Result<Option<Over>> {
        let now = Instant::now();
        let wish = match heard {
            Heard::Reply { seq, reply } => self.mind().answered(seq, reply, now),
            Heard::Push(push) => self.mind().pushed(push, now),
            Heard::Ping(payload) => {
                mouth.pong(&payload).await?;
                Wish::Nothing
            }
            Heard::Closed(code) => return Ok(Some(Over::Lost(format!("closed by the server: {code:?}")))),
        };
        self.tell();
        Ok(match wish {
            Wish::Nothing => None,
            Wish::Reconnect(after) => Some(Over::Later(after)),
        })
    }

    /// Returns whether the connection ends by it.
    fn take(&mut self, order: Order) -> bool {
        match order {
            Order::Do(deed) => self.mind().want(*deed),
            Order::Cut => return true,
            Order::GoOffline => {
                self.is_away = true;
                return true;
            }
            Order::GoOnline => self.is_away = false,
            Order::PauseReading => self.is_reading = false,
            Order::ResumeReading => self.is_reading = true,
        }
        false
    }

    /// Passes on what moved since the last time.
    fn tell(&mut self) {
        let (progress, acks) = {
            let mind = self.mind();
            (mind.progress(), mind.tally.acks)
        };
        let (told_progress, told_acks) = std::mem::replace(&mut self.told, (progress, acks));
        if acks > told_acks {
            self.board.acks.send_modify(|all| *all += acks - told_acks);
        }
        if progress > told_progress {
            self.board.progress.send_modify(|moved| *moved += 1);
        }
    }
}
