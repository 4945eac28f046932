//! A logic that answers what a test tells it, keeps a registry, and remembers what it was asked.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use skein_domain::account::{DeviceClass, Session};
use skein_domain::command::{AccountCommand, AccountReply, Command, Reply, SyncPage};
use skein_domain::door::{Caller, Connect, Connected, Credential, Logic, NodeLoad, Origin};
use skein_domain::id::{ConnectionRef, ConversationId, Epoch, Generation, Millis, NodeId, Seq, SessionId, Uid};
use skein_domain::live::{GuestCommand, GuestReply, PushCommand, PushReply, Pusher};
use skein_domain::{Code, Error, Limits, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;

type Play = Box<dyn Fn(Caller, Command) -> BoxFuture<'static, Result<Reply>> + Send + Sync>;

/// Every user is in it.
pub const ROOM: ConversationId = ConversationId(900);

pub struct Script {
    pub registry: Mutex<HashMap<SessionId, Generation>>,
    pub asked: Mutex<Vec<Command>>,
    pub connects: Mutex<Vec<Connect>>,
    pub loads: Mutex<Vec<NodeLoad>>,
    /// Told to the next renewal.
    pub gone: Mutex<Vec<ConnectionRef>>,
    /// Commands wait for a permit when this is closed by taking all of them.
    pub gate: Arc<Semaphore>,
    pub connect_gate: Arc<Semaphore>,
    play: Play,
}

const OPEN: usize = 1 << 20;

impl Script {
    pub fn new(play: impl Fn(Caller, Command) -> BoxFuture<'static, Result<Reply>> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            registry: Mutex::default(),
            asked: Mutex::default(),
            connects: Mutex::default(),
            loads: Mutex::default(),
            gone: Mutex::default(),
            gate: Arc::new(Semaphore::new(OPEN)),
            connect_gate: Arc::new(Semaphore::new(OPEN)),
            play: Box::new(play),
        })
    }

    pub fn plain() -> Arc<Self> {
        Self::new(|_, command| async move { Ok(answer(command)) }.boxed())
    }

    pub fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    pub fn registered(&self) -> usize {
        self.registry.lock().unwrap().len()
    }

    pub fn shut(gate: &Semaphore) {
        gate.forget_permits(OPEN);
    }

    pub fn reopen(gate: &Semaphore) {
        gate.add_permits(OPEN);
    }
}

/// What most tests are content with.
pub fn answer(command: Command) -> Reply {
    match command {
        Command::Send { conversation, key, .. } => Reply::Ack { conversation, key, seq: Seq(1), at: Millis(5), epoch: Epoch(u64::MAX) },
        Command::Sync { cursor } => Reply::Sync { page: SyncPage { more: cursor == "more", cursor: "c1".into(), ..SyncPage::default() } },
        Command::ListRooms { .. } => Reply::Rooms { rooms: Vec::new(), cursor: String::new() },
        _ => Reply::Done,
    }
}

/// `7` is user 7 with session 7; `7.2` is user 7 with session 702.
fn who(secret: &str) -> Result<(Uid, SessionId)> {
    let unknown = || Error::new(Code::Unauthorized, "no such session");
    match secret {
        "disabled" => return Err(Error::new(Code::Disabled, "disabled")),
        "down" => return Err(Error::new(Code::Unavailable, "a part of the server is away")),
        _ => {}
    }
    let (uid, nth) = secret.split_once('.').unwrap_or((secret, ""));
    let uid: i64 = uid.parse().map_err(|_| unknown())?;
    let session = if nth.is_empty() { uid } else { uid * 100 + nth.parse::<i64>().map_err(|_| unknown())? };
    Ok((Uid(uid), SessionId(session)))
}

#[async_trait::async_trait]
impl Logic for Script {
    async fn connect(&self, connect: Connect) -> Result<Connected> {
        self.connects.lock().unwrap().push(connect.clone());
        self.connect_gate.acquire().await.unwrap().forget();
        self.connect_gate.add_permits(1);
        let (Credential::Token(secret) | Credential::Cookie(secret) | Credential::Ticket(secret)) = &connect.credential;
        let (uid, id) = who(secret)?;
        self.registry.lock().unwrap().insert(id, connect.generation);
        let session = Session {
            id,
            uid,
            class: DeviceClass::Cli,
            client: connect.client,
            created_at: Millis(1),
            seen_at: Millis(1),
            expires_at: Millis(2),
        };
        Ok(Connected {
            session,
            nickname: format!("user {uid}"),
            rooms: vec![ROOM],
            epoch: Epoch(u64::MAX),
            limits: Limits::default(),
            server_time_ms: 1_767_225_600_000,
            tags: Vec::new(),
        })
    }

    async fn disconnect(&self, _: NodeId, connection: ConnectionRef) -> Result<()> {
        let mut registry = self.registry.lock().unwrap();
        if registry.get(&connection.session) == Some(&connection.generation) {
            registry.remove(&connection.session);
        }
        Ok(())
    }

    async fn renew(&self, load: NodeLoad, live: Vec<ConnectionRef>) -> Result<Vec<ConnectionRef>> {
        self.loads.lock().unwrap().push(load);
        let gone = std::mem::take(&mut *self.gone.lock().unwrap());
        Ok(gone.into_iter().filter(|connection| live.contains(connection)).collect())
    }

    fn call(&self, caller: Caller, command: Command) -> BoxFuture<'static, Result<Reply>> {
        self.asked.lock().unwrap().push(command.clone());
        let (gate, play) = (self.gate.clone(), (self.play)(caller, command));
        async move {
            let _permit = gate.acquire().await;
            play.await
        }
        .boxed()
    }

    async fn account(&self, _: Origin, _: AccountCommand) -> Result<AccountReply> {
        Err(Error::internal())
    }

    async fn guest(&self, _: GuestCommand) -> Result<GuestReply> {
        Err(Error::internal())
    }

    async fn push(&self, _: Pusher, _: Origin, _: PushCommand) -> Result<PushReply> {
        Err(Error::internal())
    }
}
