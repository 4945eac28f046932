//! The one task behind a client: keeps a connection up, applies what it brings, sends what waits.
//!
//! It alone writes the log and moves positions; everything it hears comes through one loop, one thing at a time:
//! what the client asks, what was under way, pushes, and the clock. Requests run beside it and report back.
//!
//! **Invariant:** what an event tells of is in the store before the event.
//!
//! **Invariant:** a failed store takes the link down; the session begins anew from what is stored.

mod link;
mod sends;
mod sync;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use skein_protocol::{Push, v1};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

pub(crate) use link::{Endpoints, LinkState};

use crate::backoff::Backoff;
use crate::connection::{Connection, Options};
use crate::error::Error;
use crate::event::Event;
use crate::gate::{Account, Gate};
use crate::outbox::Outbox;
use crate::store::{Place, Store};
use crate::timeline::Timeline;
use link::{Dialed, Link};

/// What the client's handles ask of the session; so many wait, further ones wait for room.
pub(crate) const INPUTS_MAX: usize = 256;

type Told<T> = oneshot::Sender<Result<T, Error>>;
/// Resolves when a message is stored, or refused for good.
pub(crate) type Stored = oneshot::Receiver<Result<v1::Ack, Error>>;

pub(crate) enum Input {
    LogIn(Account, Told<()>),
    /// Forgets the account and everything of it.
    Forget(Told<()>),
    Reconnect,
    Send(v1::Send, Told<Stored>),
    Retry(String, Told<bool>),
    Discard(String, Told<bool>),
    /// A conversation as a reply told it.
    Conversation(Box<v1::Conversation>, Told<()>),
    Membership(v1::MembershipReply, Told<()>),
    Sync,
}

/// What was under way. `link` is the connection it ran on: results of an earlier one are not taken for this one's.
enum Done {
    Dialed { link: u64, outcome: Result<Dialed, Error> },
    Page { link: u64, outcome: Result<v1::SyncPage, Error> },
    Pulled { link: u64, conversation: i64, outcome: Result<v1::Entries, Error> },
    Sent { conversation: i64, key: String, attempt: u32, outcome: Result<v1::Ack, Error> },
    Delivered,
}

pub(crate) struct Setup {
    pub store: Store,
    pub gate: Gate,
    pub endpoints: Endpoints,
    pub options: Options,
    pub events: broadcast::Sender<Event>,
    pub state: watch::Sender<LinkState>,
    pub inputs: mpsc::Receiver<Input>,
}

pub(crate) struct Session {
    store: Store,
    gate: Gate,
    endpoints: Endpoints,
    options: Options,
    events: broadcast::Sender<Event>,
    state: watch::Sender<LinkState>,
    inputs: mpsc::Receiver<Input>,
    tasks: JoinSet<Done>,

    account: Option<Account>,
    place: Place,
    conversations: HashMap<i64, Tracked>,
    outbox: Outbox,
    /// Who waits for an ack.
    waiters: HashMap<String, oneshot::Sender<Result<v1::Ack, Error>>>,
    /// Memory is what the store says.
    is_loaded: bool,

    link: Link,
    link_number: u64,
    backoff: Backoff,
    breaks: link::Breaks,
    sync: sync::Schedule,
    /// Conversations whose delivery is not told yet.
    undelivered: BTreeSet<i64>,
    deliver_at: Option<Instant>,
}

struct Tracked {
    timeline: Timeline,
    kind: v1::ConversationKind,
}

/// First pause before reconnecting, and the longest.
const RECONNECT_FIRST: Duration = Duration::from_millis(200);
const RECONNECT_MAX: Duration = Duration::from_secs(30);
/// Something is always due then; the loop just looks.
const IDLE: Duration = Duration::from_secs(3600);

impl Session {
    pub fn new(setup: Setup) -> Self {
        let Setup { store, gate, endpoints, options, events, state, inputs } = setup;
        Self {
            store,
            gate,
            endpoints,
            options,
            events,
            state,
            inputs,
            tasks: JoinSet::new(),
            account: None,
            place: Place::default(),
            conversations: HashMap::new(),
            outbox: Outbox::default(),
            waiters: HashMap::new(),
            is_loaded: false,
            link: Link::Idle,
            link_number: 0,
            backoff: Backoff::new(RECONNECT_FIRST, RECONNECT_MAX),
            breaks: link::Breaks::default(),
            sync: sync::Schedule::default(),
            undelivered: BTreeSet::new(),
            deliver_at: None,
        }
    }

    pub async fn run(mut self, shutdown: CancellationToken) {
        if let Err(error) = self.load().await {
            self.recover(error);
        } else {
            self.link_from_account();
        }
        loop {
            if let Err(error) = self.start_due(Instant::now()).await {
                self.recover(error);
            }
            let wake_at = self.wake_at();
            // Every arm is cancel-safe; what it took is handled before the next turn.
            let outcome = tokio::select! {
                () = shutdown.cancelled() => break,
                Some(input) = self.inputs.recv() => self.on_input(input).await,
                Some(done) = self.tasks.join_next() => match done {
                    Ok(done) => self.on_done(done).await,
                    Err(error) => Err(Error::Store(format!("task failed: {error}"))),
                },
                push = self.link.next_push() => match push {
                    Some(push) => self.on_push(push).await,
                    None => self.link_ended().await,
                },
                () = sleep_until(wake_at) => Ok(()),
            };
            if let Err(error) = outcome {
                self.recover(error);
            }
        }
        self.link.close();
        self.state.send_replace(LinkState::Closed);
    }

    /// Memory from the store.
    async fn load(&mut self) -> Result<(), Error> {
        self.account = self.store.account().await?;
        self.place = self.store.place().await?;
        let windows = self.store.windows().await?;
        self.conversations = windows
            .into_iter()
            .map(|window| (window.conversation, Tracked { timeline: Timeline::new(window.from, window.position), kind: window.kind }))
            .collect();
        self.outbox.restore(self.store.waiting().await?);
        self.is_loaded = true;
        Ok(())
    }

    fn recover(&mut self, error: Error) {
        tracing::warn!(code = error.code(), error = %error, "session starts over from its store");
        metrics::counter!("skein_sdk_store_failures_total").increment(1);
        self.is_loaded = false;
        self.tell(Event::StoreFailed(error.to_string()));
        self.drop_link();
        self.wait_to_dial(&error);
    }

    async fn start_due(&mut self, now: Instant) -> Result<(), Error> {
        if self.link.is_due(now) {
            if !self.is_loaded {
                self.load().await?;
            }
            self.dial();
        }
        if let Some(connection) = self.link.connection().cloned() {
            self.leave_if_asked(now);
            self.start_sync(&connection, now);
            self.start_pulls(&connection, now);
            self.start_sends(&connection, now);
            self.start_deliveries(&connection, now);
        }
        Ok(())
    }

    fn wake_at(&self) -> Instant {
        let idle = Instant::now() + IDLE;
        let mut due = vec![self.link.wake_at()];
        if self.link.connection().is_some() {
            due.push(self.sync.wake_at());
            due.push(self.outbox.wake_at());
            due.push(self.deliver_at);
            due.push(self.pull_at());
        }
        due.into_iter().flatten().min().map_or(idle, |at| at.min(idle))
    }

    async fn on_input(&mut self, input: Input) -> Result<(), Error> {
        match input {
            Input::LogIn(account, told) => answer(told, self.log_in(account).await),
            Input::Forget(told) => answer(told, self.forget().await),
            Input::Reconnect => self.link_from_account(),
            Input::Send(send, told) => self.on_send(send, told).await,
            Input::Retry(key, told) => answer(told, self.retry(&key).await),
            Input::Discard(key, told) => answer(told, self.discard(&key).await),
            Input::Conversation(conversation, told) => {
                let learned = self.learn_conversation(*conversation).await;
                answer(told, learned.clone());
                return learned;
            }
            Input::Membership(reply, told) => answer(told, self.learn_membership(reply).await),
            Input::Sync => self.sync.want(Instant::now()),
        }
        Ok(())
    }

    async fn on_done(&mut self, done: Done) -> Result<(), Error> {
        match done {
            Done::Dialed { link, outcome } if link == self.link_number => self.on_dialed(outcome).await,
            Done::Page { link, outcome } if link == self.link_number => self.on_page(outcome).await,
            Done::Pulled { link, conversation, outcome } if link == self.link_number => self.on_pulled(conversation, outcome).await,
            Done::Sent { conversation, key, attempt, outcome } => self.on_sent(conversation, key, attempt, outcome).await,
            Done::Dialed { .. } | Done::Page { .. } | Done::Pulled { .. } | Done::Delivered => Ok(()),
        }
    }

    async fn on_push(&mut self, push: Push) -> Result<(), Error> {
        let now = Instant::now();
        self.sync.heard_push(now);
        match push {
            Push::ServerMessages(messages) => self.on_messages(messages).await?,
            Push::UserEvents(events) => self.on_user_events(events.events).await?,
            Push::Cursors(cursors) => {
                let conversation = cursors.conversation;
                self.store.apply_cursors(cursors, self.my_uid()).await?;
                self.tell(Event::ConversationChanged(conversation));
            }
            Push::TypingPush(typing) => self.tell(Event::Typing { conversation: typing.conversation, uid: typing.uid }),
            Push::RoomsChanged(rooms) => self.tell(Event::RoomsChanged(rooms.rooms)),
            Push::Resync(resync) => self.sync.want(now + millis(resync.after_ms)),
            Push::Notice(notice) => self.tell(Event::Notice(notice)),
            Push::GoAway(go_away) => self.link.leave_at(now + millis(go_away.after_ms)),
            // Live rooms are joined by their op, which this client does not have.
            Push::LivePush(_) | Push::Presence(_) => {}
            // The connection keeps errors for itself, and this client has no cookie.
            Push::Error(_) | Push::Hello(_) => {}
        }
        Ok(())
    }

    fn my_uid(&self) -> i64 {
        self.account.as_ref().map_or(0, |account| account.uid)
    }

    /// Nobody listening is fine.
    fn tell(&self, event: Event) {
        drop(self.events.send(event));
    }

    fn run_beside(&mut self, work: impl Future<Output = Done> + Send + 'static) {
        self.tasks.spawn(work);
    }
}

fn answer<T>(told: Told<T>, outcome: Result<T, Error>) {
    // The caller may have gone.
    drop(told.send(outcome));
}

/// Bounded: a server cannot send a client away for good.
fn millis(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0)).min(Duration::from_secs(300))
}

fn now_ms() -> i64 {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
}

/// The kind of reply that belongs to a request.
fn expect<R: TryFrom<skein_protocol::Reply>>(reply: skein_protocol::Reply) -> Result<R, Error> {
    R::try_from(reply).map_err(|_| Error::Protocol("wrong kind of reply".to_owned()))
}

async fn ask<R: TryFrom<skein_protocol::Reply>>(connection: Connection, request: skein_protocol::Request) -> Result<R, Error> {
    connection.request(request).await.and_then(expect)
}
