//! The client as programs see it: a handle on what is stored here, and on the session that keeps it current.
//!
//! Reading never needs a network. Sending never waits for one: the message is stored, shown as an echo, and sent when
//! it can be. Everything else asks the server and waits for its answer, at most a few seconds.

mod builder;
mod contacts;
mod conversations;
mod messages;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use skein_protocol::{Reply, Request, v1};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use builder::{Builder, Transport};
pub use messages::{SendHandle, text, text_of};

use crate::connection::Connection;
use crate::error::{Error, Retry};
use crate::event::{Event, Events};
use crate::gate::{Account, Device, DeviceClass, Gate, Purpose};
use crate::session::{Input, LinkState};
use crate::store::Store;

/// What a request waits for the link to come up.
const ONLINE_WAIT: Duration = Duration::from_secs(5);
/// Times a request that is safe to repeat is made, and the longest pause the server may ask for in between.
const TRIES_MAX: u32 = 4;
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Clone freely: all clones are one client. It closes when the last one is dropped, or with [`Client::close`].
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    gate: Gate,
    device: DeviceClass,
    name: String,
    inputs: mpsc::Sender<Input>,
    state: watch::Receiver<LinkState>,
    /// The session holds the sender: with its end readers hear the end.
    events: broadcast::WeakSender<Event>,
    session: Mutex<Option<JoinHandle<()>>>,
    shutdown: CancellationToken,
    _end_on_drop: DropGuard,
}

impl Client {
    pub fn builder() -> Builder {
        Builder::default()
    }

    // === account ===

    /// Who was logged in here last, on line or not.
    pub async fn account(&self) -> Result<Option<Account>, Error> {
        self.inner.store.account().await
    }

    pub async fn request_code(&self, email: &str, purpose: Purpose) -> Result<(), Error> {
        self.inner.gate.request_code(email, purpose).await
    }

    /// The uid of the new account. It is not logged in yet.
    pub async fn register(&self, email: &str, code: &str, password: &str, nickname: &str) -> Result<i64, Error> {
        self.inner.gate.register(email, code, password, nickname).await
    }

    /// Ends all sessions of the account.
    pub async fn reset_password(&self, email: &str, code: &str, password: &str) -> Result<(), Error> {
        self.inner.gate.reset_password(email, code, password).await
    }

    /// Remembers the session in the store and connects. The store keeps one account: another one is refused.
    pub async fn log_in(&self, email: &str, password: &str) -> Result<Account, Error> {
        let inner = &self.inner;
        let account: Account = inner.gate.log_in(email, password, inner.device, &inner.name).await?.into();
        if let Some(owner) = inner.store.account().await?.filter(|owner| owner.uid != account.uid) {
            if let Some(token) = &account.token
                && let Err(error) = inner.gate.log_out(token).await
            {
                tracing::debug!(code = error.code(), "session that is not used was not ended");
            }
            return Err(Error::StoreOfAnother(owner.uid));
        }
        self.tell(|told| Input::LogIn(account.clone(), told)).await?;
        Ok(account)
    }

    /// Ends the session on the server and forgets the account with its history here, messages that wait included.
    pub async fn log_out(&self) -> Result<(), Error> {
        match self.token().await {
            Ok(token) => self.inner.gate.log_out(&token).await.or_else(unless_unauthorized)?,
            Err(Error::NotLoggedIn) => {}
            Err(error) => return Err(error),
        }
        self.tell(Input::Forget).await
    }

    /// Ends every session of the account, this one included.
    pub async fn log_out_everywhere(&self) -> Result<(), Error> {
        self.inner.gate.log_out_everywhere(&self.token().await?).await?;
        self.tell(Input::Forget).await
    }

    pub async fn devices(&self) -> Result<Vec<Device>, Error> {
        self.inner.gate.devices(&self.token().await?).await
    }

    pub async fn end_device(&self, session: i64) -> Result<(), Error> {
        self.inner.gate.end_device(&self.token().await?, session).await
    }

    async fn token(&self) -> Result<String, Error> {
        let account = self.inner.store.account().await?;
        account.and_then(|account| account.token).ok_or(Error::NotLoggedIn)
    }

    // === link ===

    /// What changes from now on. Read the state after subscribing, not before.
    pub fn events(&self) -> Events {
        let receiver = match self.inner.events.upgrade() {
            Some(sender) => sender.subscribe(),
            // Closed: a reader whose sender is gone hears just that.
            None => broadcast::channel(1).1,
        };
        Events::new(receiver)
    }

    pub fn is_online(&self) -> bool {
        matches!(*self.inner.state.borrow(), LinkState::Online { .. })
    }

    /// Waits until everything that was missed is here. Bound it with a time-out: off line it waits.
    pub async fn synced(&self) -> Result<(), Error> {
        let mut state = self.inner.state.clone();
        let settled = |state: &LinkState| !matches!(state, LinkState::Offline | LinkState::Online { is_synced: false, .. });
        match state.wait_for(settled).await.as_deref() {
            Ok(LinkState::Idle) => Err(Error::NotLoggedIn),
            Ok(LinkState::Closed) | Err(_) => Err(Error::ClientClosed),
            Ok(LinkState::Online { .. } | LinkState::Offline) => Ok(()),
        }
    }

    /// Tries at once instead of after the pause, or after [`Event::Stopped`].
    pub async fn reconnect(&self) -> Result<(), Error> {
        self.input(Input::Reconnect).await
    }

    /// Asks the server what was missed, without waiting for it.
    pub async fn sync(&self) -> Result<(), Error> {
        self.input(Input::Sync).await
    }

    /// Closes the connection and lets go of the store. Messages that wait are sent by the next client on this store.
    pub async fn close(&self) {
        self.inner.shutdown.cancel();
        let session = self.inner.session.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(session) = session
            && session.await.is_err()
        {
            tracing::error!("session task failed");
        }
    }

    async fn online(&self) -> Result<Connection, Error> {
        let mut state = self.inner.state.clone();
        let up = timeout(ONLINE_WAIT, state.wait_for(|state| !matches!(state, LinkState::Offline))).await;
        match up.map_err(|_| Error::NotConnected)?.as_deref() {
            Ok(LinkState::Online { connection, .. }) => Ok(connection.clone()),
            Ok(LinkState::Idle) => Err(Error::NotLoggedIn),
            Ok(LinkState::Offline) => Err(Error::NotConnected),
            Ok(LinkState::Closed) | Err(_) => Err(Error::ClientClosed),
        }
    }

    // === requests ===

    /// Any request of the protocol, once. What it changes is not kept here until sync brings it.
    pub async fn ask<R: TryFrom<Reply>>(&self, request: Request) -> Result<R, Error> {
        self.online().await?.ask(request).await
    }

    /// As [`Client::ask`], for requests that are safe to repeat: they carry a key, or ask only.
    pub async fn ask_again<R: TryFrom<Reply>>(&self, request: Request) -> Result<R, Error> {
        let mut tried = 1;
        loop {
            let error = match self.ask(request.clone()).await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            let pause = match error.retry() {
                Retry::SameKey | Retry::Network => Duration::from_millis(100) * 2_u32.pow(tried),
                Retry::After(pause) if pause <= PAUSE_MAX => pause,
                Retry::After(_) | Retry::Never => return Err(error),
            };
            if tried == TRIES_MAX || matches!(error, Error::NotConnected) {
                return Err(error);
            }
            tried += 1;
            tokio::time::sleep(pause).await;
        }
    }

    async fn input(&self, input: Input) -> Result<(), Error> {
        self.inner.inputs.send(input).await.map_err(|_| Error::ClientClosed)
    }

    /// Tells the session something and waits until it is in the store.
    async fn tell<T>(&self, input: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Input) -> Result<T, Error> {
        let (told, done) = oneshot::channel();
        self.input(input(told)).await?;
        done.await.map_err(|_| Error::ClientClosed)?
    }

    async fn keep_conversation(&self, reply: v1::ConversationReply) -> Result<v1::Conversation, Error> {
        let conversation = reply.conversation.ok_or_else(|| Error::Protocol("reply without its conversation".to_owned()))?;
        self.tell(|told| Input::Conversation(Box::new(conversation.clone()), told)).await?;
        Ok(conversation)
    }
}

/// A session that is over already is what log-out wants.
fn unless_unauthorized(error: Error) -> Result<(), Error> {
    if error.is(skein_protocol::ErrorCode::Unauthorized) { Ok(()) } else { Err(error) }
}

/// A fresh idempotency key.
pub(crate) fn new_key() -> String {
    uuid::Uuid::now_v7().to_string()
}
