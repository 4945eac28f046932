//! A logic that lets guests in as goim's does, keeps a registry, and remembers what it was told.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value};
use skein_domain::account::{DeviceClass, Session};
use skein_domain::command::{AccountCommand, AccountReply, Command, Reply};
use skein_domain::door::{Caller, Connect, Connected, Credential, Logic, NodeLoad, Origin};
use skein_domain::id::{ConnectionRef, Epoch, Generation, Millis, NodeId, SessionId, Uid};
use skein_domain::live::*;
use skein_domain::{Code, Error, Limits, Result};
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use tokio::sync::Semaphore;

const OPEN: usize = 1 << 20;

pub struct Script {
    pub guests: Mutex<HashMap<GuestKey, Generation>>,
    pub sessions: Mutex<HashMap<SessionId, Generation>>,
    /// All but the regular reports.
    pub heard: Mutex<Vec<GuestCommand>>,
    pub asked: Mutex<Vec<Command>>,
    pub reports: Mutex<Vec<GuestCommand>>,
    pub loads: Mutex<Vec<NodeLoad>>,
    /// What other nodes have, told with the next report.
    pub elsewhere: Mutex<Vec<(RoomName, u32)>>,
    pub heartbeat_ms: AtomicI64,
    /// Nothing is answered but log-ins and reports.
    pub is_down: AtomicBool,
    /// Log-ins wait for it.
    pub door: Semaphore,
    /// Messages and moves of guests wait for it.
    pub desk: Semaphore,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            guests: Mutex::default(),
            sessions: Mutex::default(),
            heard: Mutex::default(),
            asked: Mutex::default(),
            reports: Mutex::default(),
            loads: Mutex::default(),
            elsewhere: Mutex::default(),
            heartbeat_ms: AtomicI64::new(480_000),
            is_down: AtomicBool::new(false),
            door: Semaphore::new(OPEN),
            desk: Semaphore::new(OPEN),
        }
    }
}

impl Script {
    pub fn shut(gate: &Semaphore) {
        gate.forget_permits(OPEN);
    }

    pub fn reopen(gate: &Semaphore) {
        gate.add_permits(OPEN);
    }

    pub fn registered(&self) -> usize {
        self.guests.lock().unwrap().len() + self.sessions.lock().unwrap().len()
    }

    /// Operations and bodies of the messages that guests sent.
    pub fn messages(&self) -> Vec<(i32, Vec<u8>)> {
        let heard = self.heard.lock().unwrap();
        let message = |command: &GuestCommand| match command {
            GuestCommand::Receive { operation, body, .. } => Some((*operation, body.clone())),
            _ => None,
        };
        heard.iter().filter_map(message).collect()
    }

    /// Rooms that guests went to.
    pub fn moves(&self) -> Vec<Option<String>> {
        let heard = self.heard.lock().unwrap();
        let moved = |command: &GuestCommand| match command {
            GuestCommand::Move { room, .. } => Some(room.as_ref().map(|room| room.as_str().to_owned())),
            _ => None,
        };
        heard.iter().filter_map(moved).collect()
    }

    fn let_in(&self, token: &[u8], generation: Generation) -> Result<GuestReply> {
        let Ok(Value::Object(fields)) = serde_json::from_slice(token) else {
            return Err(Error::new(Code::BadRequest, "no JSON object"));
        };
        let field = |name: &str| field(&fields, name);
        let text = |name: &str| field(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let key = Some(text("key")).filter(|key| !key.is_empty()).unwrap_or_else(|| format!("made-{}", generation.0));
        let accepts = field("accepts").and_then(Value::as_array).cloned().unwrap_or_default();
        let tags = field("tags").and_then(Value::as_array).cloned().unwrap_or_default();
        let guest = Guest {
            mid: Mid(field("mid").and_then(Value::as_i64).unwrap_or_default()),
            key: GuestKey::parse(&key)?,
            room: Some(text("room_id")).filter(|room| !room.is_empty()).map(|room| RoomName::parse(&room)).transpose()?,
            accepts: accepts.iter().filter_map(|operation| i32::try_from(operation.as_i64()?).ok()).collect(),
            platform: text("platform"),
            tags: tags.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        };
        let older = self.guests.lock().unwrap().insert(guest.key.clone(), generation);
        let replaced = older.map(|generation| GuestRef { key: guest.key.clone(), generation });
        Ok(GuestReply::Connected { guest, heartbeat_ms: self.heartbeat_ms.load(Relaxed), replaced })
    }
}

/// As Go's reader: a name in any case.
fn field<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    fields.iter().find(|(of, _)| of.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

#[async_trait::async_trait]
impl Logic for Script {
    /// `7` is user 7 with session 7.
    async fn connect(&self, connect: Connect) -> Result<Connected> {
        let (Credential::Token(secret) | Credential::Cookie(secret) | Credential::Ticket(secret)) = &connect.credential;
        let id: i64 = secret.parse().map_err(|_| Error::new(Code::Unauthorized, "no such session"))?;
        self.sessions.lock().unwrap().insert(SessionId(id), connect.generation);
        let times = (Millis(1), Millis(1), Millis(2));
        let session = Session {
            id: SessionId(id),
            uid: Uid(id),
            class: DeviceClass::Web,
            client: connect.client,
            created_at: times.0,
            seen_at: times.1,
            expires_at: times.2,
        };
        Ok(Connected {
            session,
            nickname: format!("user {id}"),
            rooms: Vec::new(),
            epoch: Epoch(1),
            limits: Limits::default(),
            server_time_ms: 1,
            tags: vec!["staff".to_owned()],
        })
    }

    async fn disconnect(&self, _: NodeId, connection: ConnectionRef) -> Result<()> {
        self.sessions.lock().unwrap().retain(|session, generation| (*session, *generation) != (connection.session, connection.generation));
        Ok(())
    }

    async fn renew(&self, load: NodeLoad, _: Vec<ConnectionRef>) -> Result<Vec<ConnectionRef>> {
        self.loads.lock().unwrap().push(load);
        Ok(Vec::new())
    }

    fn call(&self, _: Caller, command: Command) -> BoxFuture<'static, Result<Reply>> {
        self.asked.lock().unwrap().push(command.clone());
        let answer = match command {
            Command::JoinLive { room, .. } if room.as_str().starts_with("closed://") => Err(Error::new(Code::Forbidden, "closed")),
            Command::JoinLive { room, .. } => Ok(Reply::LiveRoom { room, count: 1, conversation: None, people: None }),
            _ => Ok(Reply::Done),
        };
        async move { answer }.boxed()
    }

    async fn account(&self, _: Origin, _: AccountCommand) -> Result<AccountReply> {
        Err(Error::internal())
    }

    async fn guest(&self, command: GuestCommand) -> Result<GuestReply> {
        match command {
            GuestCommand::Online { ref rooms, .. } => {
                let everywhere = [rooms.clone(), self.elsewhere.lock().unwrap().clone()].concat();
                self.reports.lock().unwrap().push(command);
                if self.is_down.load(Relaxed) {
                    return Err(Error::new(Code::Unavailable, "down"));
                }
                let mut sums: HashMap<RoomName, u32> = HashMap::new();
                everywhere.into_iter().for_each(|(room, count)| *sums.entry(room).or_default() += count);
                return Ok(GuestReply::Online { rooms: sums.into_iter().collect() });
            }
            GuestCommand::Renew { .. } => self.reports.lock().unwrap().push(command),
            GuestCommand::Connect { ref token, generation, .. } => {
                self.heard.lock().unwrap().push(command.clone());
                let _permit = self.door.acquire().await;
                return self.let_in(token, generation);
            }
            GuestCommand::Disconnect { ref guest, .. } => {
                let mut guests = self.guests.lock().unwrap();
                if guests.get(&guest.key) == Some(&guest.generation) {
                    guests.remove(&guest.key);
                }
                drop(guests);
                self.heard.lock().unwrap().push(command);
            }
            GuestCommand::Move { .. } | GuestCommand::Receive { .. } => {
                let _permit = self.desk.acquire().await;
                self.heard.lock().unwrap().push(command);
            }
        }
        if self.is_down.load(Relaxed) { Err(Error::new(Code::Unavailable, "down")) } else { Ok(GuestReply::Done) }
    }

    async fn push(&self, _: Pusher, _: Origin, _: PushCommand) -> Result<PushReply> {
        Err(Error::internal())
    }
}
