//! The world the tests act in: people with devices, one Logic, and Comets.

use crate::comets::{RecordingComet, RecordingComets};
use crate::hooked::Hooked;
use async_trait::async_trait;
use skein_domain::account::DeviceClass;
use skein_domain::body::Body;
use skein_domain::command::{Command, ConversationChange, Reply, SyncPage};
use skein_domain::conversation::ConversationView;
use skein_domain::door::{Caller, Logic};
use skein_domain::entry::EntryEvent;
use skein_domain::id::{ConversationId, Generation, IdempotencyKey, Millis, NodeId, Seq, SessionId, Uid};
use skein_domain::port::{
    AccountStore, Append, BroadcastQueue, ContactStore, ConversationStore, Mail, Mailer, MessageStore, NewUser, ReceiptStore, Route,
    SessionRegistry,
};
use skein_domain::testing::ManualClock;
use skein_domain::{Code, Limits, Result};
use skein_logic::account::rate::Rate;
use skein_logic::push::Goim;
use skein_logic::{Background, Config, LivePipeline, Parts, Pipeline, Service};
use skein_storage::{MemoryBroadcasts, MemoryCodes, MemoryGuests, MemoryNodes, MemoryReceipts, MemorySessions, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub struct World {
    pub logic: Service,
    pub store: Arc<Hooked>,
    pub registry: Arc<MemorySessions>,
    pub comets: Arc<RecordingComets>,
    pub clock: Arc<ManualClock>,
    folder: TempDir,
    background: Option<Background>,
    running: Vec<Running>,
}

struct Running {
    _logic: Service,
    shutdown: CancellationToken,
    task: JoinHandle<Result<()>>,
}

struct NoMail;

#[async_trait]
impl Mailer for NoMail {
    async fn send(&self, _: Mail) -> Result<()> {
        Ok(())
    }
}

/// What a test may want otherwise.
#[derive(Default)]
pub struct Setting {
    pub limits: Limits,
    pub page_bytes: Option<u32>,
    pub pipeline: Option<Pipeline>,
    pub live_log: Option<LivePipeline>,
    pub broadcasts: Option<Arc<dyn BroadcastQueue>>,
    pub unpublished_max: Option<u32>,
    pub goim: Goim,
    pub push: skein_logic::push::Config,
    pub receipts: Option<Arc<dyn ReceiptStore>>,
}

impl World {
    pub async fn new() -> Self {
        Self::with(Setting::default()).await
    }

    pub async fn with(setting: Setting) -> Self {
        let clock = Arc::new(ManualClock::at(1_800_000_000_000));
        let registry = Arc::new(MemorySessions::new(clock.clone()));
        Self::on(tempfile::tempdir().unwrap(), registry, clock, setting)
    }

    /// The same data, another process; its Comets still have their connections.
    pub async fn restarted(mut self) -> Self {
        self.end().await;
        self.store.store.close();
        Self::on(self.folder, self.registry, self.clock, Setting::default())
    }

    /// Nothing runs by itself any more.
    pub async fn end(&mut self) {
        for running in self.running.drain(..) {
            running.shutdown.cancel();
            running.task.await.unwrap().unwrap();
        }
    }

    fn on(folder: TempDir, registry: Arc<MemorySessions>, clock: Arc<ManualClock>, setting: Setting) -> Self {
        let real = Store::open(folder.path(), &skein_storage::Config::default()).unwrap();
        let store = Arc::new(Hooked::new(real));
        let comets = Arc::new(RecordingComets::default());
        let parts = parts("logic", &store, &registry, &comets, &clock, setting);
        let (logic, background) = Service::new(parts).unwrap();
        Self { logic, store, registry, comets, clock, folder, background: Some(background), running: Vec::new() }
    }

    /// Relay and all the rest, until the world ends or is restarted.
    pub fn run(&mut self) {
        let background = self.background();
        self.keep_running(self.logic.clone(), background);
    }

    /// Another node on the same store, with the same Comets.
    pub fn run_neighbour(&mut self) {
        let parts = parts("neighbour", &self.store, &self.registry, &self.comets, &self.clock, Setting::default());
        let (logic, background) = Service::new(parts).unwrap();
        self.keep_running(logic, background);
    }

    fn keep_running(&mut self, logic: Service, background: Background) {
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(background.run(shutdown.clone()));
        self.running.push(Running { _logic: logic, shutdown, task });
    }

    pub fn background(&mut self) -> Background {
        self.background.take().unwrap()
    }

    pub async fn people<const N: usize>(&self) -> [Uid; N] {
        let mut uids = [Uid(0); N];
        for (number, uid) in uids.iter_mut().enumerate() {
            let email = format!("{number}@example.org");
            let user = NewUser { email, nickname: format!("n{number}"), password_hash: String::new(), at: Millis(0) };
            *uid = self.store.store.create_user(user).await.unwrap();
        }
        uids
    }

    /// People who are all friends.
    pub async fn friends<const N: usize>(&self) -> [Uid; N] {
        let uids = self.people::<N>().await;
        for (number, uid) in uids.iter().enumerate() {
            for other in &uids[..number] {
                self.befriend(*uid, *other).await;
            }
        }
        uids
    }

    pub async fn befriend(&self, uid: Uid, other: Uid) {
        let contacts = &self.store.store;
        let request = contacts.apply(uid, other, String::new(), Millis(0), 5_000).await.unwrap();
        contacts.answer(other, request.id, true, Millis(0), 5_000).await.unwrap();
    }

    /// An entry by somebody else, past every policy.
    pub async fn say(&self, conversation: ConversationId, author: Uid, event: EntryEvent) {
        say(self.store.clone(), conversation, author, self.key(), event).await;
    }

    /// A device of `uid`, connected to `node`.
    pub async fn device(&self, uid: Uid, node: &str, session: i64) -> SessionId {
        let (session, node) = (SessionId(session), NodeId(node.into()));
        let route = Route { uid, class: DeviceClass::Cli, node, session, generation: Generation(1) };
        self.registry.register(route, 1_000_000).await.unwrap();
        session
    }

    pub fn comet(&self, name: &str) -> Arc<RecordingComet> {
        self.comets.add(name)
    }

    pub fn key(&self) -> IdempotencyKey {
        static KEYS: AtomicI64 = AtomicI64::new(0);
        IdempotencyKey::parse(&format!("k{}", KEYS.fetch_add(1, Ordering::Relaxed))).unwrap()
    }

    pub async fn call(&self, uid: Uid, command: Command) -> Result<Reply> {
        self.logic.call(caller(uid), command).await
    }

    pub fn send_with(&self, conversation: ConversationId, key: IdempotencyKey, text: &str) -> Command {
        Command::Send { conversation, key, body: Body::text(text), reply_to: None, after: None }
    }

    pub async fn send(&self, uid: Uid, conversation: ConversationId, text: &str) -> Result<Seq> {
        seq(self.call(uid, self.send_with(conversation, self.key(), text)).await)
    }

    pub async fn change(&self, uid: Uid, conversation: ConversationId, event: EntryEvent) -> Result<Seq> {
        seq(self.call(uid, Command::Change { conversation, key: self.key(), event }).await)
    }

    pub async fn group(&self, owner: Uid, uids: &[Uid]) -> ConversationId {
        let command = Command::CreateGroup { key: self.key(), title: "us".into(), uids: uids.to_vec() };
        view(self.call(owner, command).await).unwrap().conversation.id
    }

    pub async fn room(&self, owner: Uid, title: &str) -> Result<ConversationId> {
        let command = Command::CreateRoom { key: self.key(), title: title.into() };
        Ok(view(self.call(owner, command).await)?.conversation.id)
    }

    pub async fn direct(&self, uid: Uid, peer: Uid) -> Result<ConversationId> {
        Ok(view(self.call(uid, Command::OpenDirect { uid: peer }).await)?.conversation.id)
    }

    pub async fn sync(&self, uid: Uid, cursor: &str) -> Result<SyncPage> {
        match self.call(uid, Command::Sync { cursor: cursor.into() }).await? {
            Reply::Sync { page } => Ok(page),
            other => panic!("no page: {other:?}"),
        }
    }

    /// All pages from a cursor on.
    pub async fn sync_all(&self, uid: Uid, cursor: &str) -> Vec<SyncPage> {
        let mut pages = vec![self.sync(uid, cursor).await.unwrap()];
        while pages.last().unwrap().more {
            let cursor = pages.last().unwrap().cursor.clone();
            pages.push(self.sync(uid, &cursor).await.unwrap());
        }
        pages
    }
}

fn parts(
    name: &str,
    store: &Arc<Hooked>,
    registry: &Arc<MemorySessions>,
    comets: &Arc<RecordingComets>,
    clock: &Arc<ManualClock>,
    setting: Setting,
) -> Parts {
    let real = store.store.clone();
    let sends = Rate { burst: 1_000_000, every_ms: 1 };
    let page_bytes = setting.page_bytes.unwrap_or(Config::default().page_bytes);
    let unpublished_max = setting.unpublished_max.unwrap_or(Config::default().unpublished_max);
    Parts {
        node: NodeId(name.into()),
        accounts: Arc::new(real.clone()),
        contacts: Arc::new(real.clone()),
        conversations: store.clone(),
        messages: store.clone(),
        outbox: Arc::new(real.clone()),
        leases: Some(Arc::new(real.clone())),
        pushes: Arc::new(real),
        guests: Arc::new(MemoryGuests::new(clock.clone())),
        receipts: setting.receipts.unwrap_or_else(|| Arc::new(MemoryReceipts::new(clock.clone()))),
        broadcasts: setting.broadcasts.unwrap_or_else(|| Arc::new(MemoryBroadcasts::new(clock.clone()))),
        registry: registry.clone(),
        nodes: Arc::new(MemoryNodes::new(clock.clone())),
        codes: Arc::new(MemoryCodes::default()),
        mailer: Arc::new(NoMail),
        comets: comets.clone(),
        clock: clock.clone(),
        pipeline: setting.pipeline,
        live_log: setting.live_log,
        goim: setting.goim,
        limits: setting.limits,
        config: Config { sends, page_bytes, unpublished_max, push: setting.push, ..Config::default() },
    }
}

pub fn caller(uid: Uid) -> Caller {
    Caller { uid, session: SessionId(uid.0), class: DeviceClass::Cli, connection: None, address: "192.0.2.1".into(), trace: None }
}

pub fn seq(reply: Result<Reply>) -> Result<Seq> {
    match reply? {
        Reply::Ack { seq, .. } => Ok(seq),
        other => panic!("no ack: {other:?}"),
    }
}

pub fn view(reply: Result<Reply>) -> Result<ConversationView> {
    match reply? {
        Reply::Conversation { view } => Ok(*view),
        other => panic!("no conversation: {other:?}"),
    }
}

pub fn code<T: std::fmt::Debug>(outcome: Result<T>) -> Code {
    outcome.unwrap_err().code
}

pub fn message(text: &str) -> EntryEvent {
    EntryEvent::Message { body: Some(Body::text(text)), reply_to: None }
}

pub async fn say(store: Arc<Hooked>, conversation: ConversationId, author: Uid, key: IdempotencyKey, event: EntryEvent) {
    let policy_version = store.store.snapshot(conversation).await.unwrap().unwrap().conversation.policy_version;
    let append = Append { conversation, author, key, after: None, policy_version, event, at: Millis(1) };
    store.store.append(append).await.unwrap();
}

/// What a page says of one conversation.
pub fn of(page: &SyncPage, conversation: ConversationId) -> &ConversationChange {
    page.conversations.iter().find(|change| change.view.conversation.id == conversation).expect("the page has it")
}
