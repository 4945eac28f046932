//! The world the tests act in.

pub use crate::comets::Closed;
use crate::comets::RecordingComets;
use crate::hooked::HookedRegistry;
use crate::mailbox::Mailbox;
use crate::stores::{self, Stores};
use skein_domain::account::{CodePurpose, DeviceClass, Session};
use skein_domain::command::{AccountCommand, AccountReply, LoggedIn};
use skein_domain::door::{Caller, Connect, Connected, Credential, NodeLoad, Origin};
use skein_domain::id::{ConnectionRef, ConversationId, Epoch, Generation, IdempotencyKey, NodeId, SessionId, Uid};
use skein_domain::port::{AccountStore, Clock, CometAddress, ContactStore, CreateConversation, Mail, NodeRegistry, SessionRegistry};
use skein_domain::testing::ManualClock;
use skein_domain::{Limits, Result};
use skein_logic::account::rate::Rate;
use skein_logic::account::status::{Hello, Status, StatusPorts};
use skein_logic::account::{Accounts, Config};
use skein_logic::contact::Contacts;
use skein_logic::job::fanout::Fanout;
use std::future::Future;
use std::sync::Arc;
use tokio_util::sync::{CancellationToken, DropGuard};

pub const PASSWORD: &str = "correct horse battery";
const ADDRESS: &str = "192.0.2.1:4711";

pub struct World {
    pub accounts: Arc<Accounts>,
    pub status: Arc<Status>,
    pub contacts: Contacts,
    pub store: Arc<dyn AccountStore>,
    pub contact_store: Arc<dyn ContactStore>,
    pub nodes: Arc<dyn NodeRegistry>,
    pub registry: Arc<HookedRegistry>,
    pub comets: Arc<RecordingComets>,
    pub mails: Arc<Mailbox>,
    pub clock: Arc<ManualClock>,
    stores: Stores,
    _chores: DropGuard,
}

/// Cheap hashes; as good as no rate limits.
pub fn config() -> Config {
    let plenty = Rate { burst: 1_000_000, every_ms: 1 };
    Config {
        password_memory_kib: 8,
        password_passes: 1,
        code_requests_per_address: plenty,
        log_ins_per_address: plenty,
        log_ins_per_account: plenty,
        ..Config::default()
    }
}

impl World {
    pub async fn new() -> Self {
        Self::with(config()).await
    }

    pub async fn with(config: Config) -> Self {
        let clock = Arc::new(ManualClock::at(1_800_000_000_000));
        Self::on(stores::open(clock.clone()).await, clock, config)
    }

    /// The same data, another process.
    pub fn restarted(self, config: Config) -> Self {
        Self::on(self.stores.clone(), self.clock.clone(), config)
    }

    fn on(stores: Stores, clock: Arc<ManualClock>, config: Config) -> Self {
        let registry = Arc::new(HookedRegistry::new(stores.registry.clone()));
        let comets = Arc::new(RecordingComets::default());
        let mails = Arc::new(Mailbox::default());
        let fanout = Fanout::new(registry.clone(), comets.clone(), &NodeId("logic".into()));
        let ports = StatusPorts {
            nodes: stores.nodes.clone(),
            registry: registry.clone(),
            accounts: stores.accounts.clone(),
            conversations: stores.conversations.clone(),
        };
        let limits = Limits::default();
        let contacts = Contacts::new(stores.contacts.clone(), stores.accounts.clone(), clock.clone(), limits.friends, &Default::default());
        let status = Arc::new(Status::new(ports, fanout.clone(), clock.clone(), Hello { epoch: Epoch(7), limits }, config.clone()));
        let (accounts, chores) =
            Accounts::new(stores.accounts.clone(), stores.codes.clone(), mails.clone(), status.clone(), fanout, clock.clone(), config)
                .unwrap();
        let shutdown = CancellationToken::new();
        tokio::spawn(chores.run(shutdown.clone()));
        Self {
            accounts: Arc::new(accounts),
            status,
            contacts,
            store: stores.accounts.clone(),
            contact_store: stores.contacts.clone(),
            nodes: stores.nodes.clone(),
            registry,
            comets,
            mails,
            clock,
            stores,
            _chores: shutdown.drop_guard(),
        }
    }

    /// A room that `uid` joins while no Comet is told of it.
    pub async fn room_of(&self, uid: Uid) -> ConversationId {
        let key = IdempotencyKey::parse("room").unwrap();
        let create = CreateConversation { owner: uid, key, title: "room".into(), uids: Vec::new(), at: self.clock.now(), per_day_max: 9 };
        self.stores.conversations.create_room(create).await.unwrap().0
    }

    // === Strangers ===

    pub async fn account(&self, command: AccountCommand) -> Result<AccountReply> {
        self.accounts.handle(Origin { address: ADDRESS.into() }, command).await
    }

    pub async fn request_code(&self, email: &str, purpose: CodePurpose) -> Result<()> {
        self.account(AccountCommand::RequestCode { email: email.into(), purpose }).await.map(drop)
    }

    /// The code that was mailed.
    pub async fn code(&self, email: &str, purpose: CodePurpose) -> String {
        self.request_code(email, purpose).await.unwrap();
        let mail = self.mails.next().await;
        assert_eq!(mail.to, email);
        code_of(&mail)
    }

    pub async fn register(&self, email: &str, code: &str) -> Result<Uid> {
        let (email, code) = (email.into(), code.into());
        match self.account(AccountCommand::Register { email, code, password: PASSWORD.into(), nickname: "somebody".into() }).await? {
            AccountReply::Registered { uid } => Ok(uid),
            _ => panic!("another reply"),
        }
    }

    pub async fn reset(&self, email: &str, code: &str, password: &str) -> Result<()> {
        let command = AccountCommand::ResetPassword { email: email.into(), code: code.into(), password: password.into() };
        self.account(command).await.map(drop)
    }

    pub async fn log_in(&self, email: &str, password: &str) -> Result<LoggedIn> {
        self.log_in_from(ADDRESS, email, password).await
    }

    pub async fn log_in_from(&self, address: &str, email: &str, password: &str) -> Result<LoggedIn> {
        log_in(self.accounts.clone(), address, email, password, DeviceClass::Desktop).await
    }

    pub async fn log_in_as(&self, email: &str, class: DeviceClass) -> Result<LoggedIn> {
        log_in(self.accounts.clone(), ADDRESS, email, PASSWORD, class).await
    }

    /// To be spawned.
    pub fn log_in_later(&self, email: &'static str, password: &'static str) -> impl Future<Output = Result<LoggedIn>> + Send + use<> {
        log_in(self.accounts.clone(), ADDRESS, email, password, DeviceClass::Desktop)
    }

    pub async fn verify(&self, token: &str) -> Result<Session> {
        match self.account(AccountCommand::Verify { secret: token.into() }).await? {
            AccountReply::Verified { session, .. } => Ok(session),
            _ => panic!("another reply"),
        }
    }

    // === People ===

    /// A user with an address of this name at example.org and [`PASSWORD`].
    pub async fn user(&self, name: &str) -> Uid {
        self.accounts.create(&format!("{name}@example.org"), PASSWORD.into(), name).await.unwrap()
    }

    pub async fn hash_of(&self, uid: Uid) -> String {
        self.store.user(uid).await.unwrap().unwrap().password_hash
    }

    pub fn caller(&self, who: &LoggedIn) -> Caller {
        let Session { uid, id, class, .. } = who.session;
        Caller { uid, session: id, class, connection: None, address: ADDRESS.into(), trace: None }
    }

    pub async fn log_out_everywhere(&self, who: &LoggedIn) {
        self.accounts.log_out_everywhere(&self.caller(who)).await.unwrap();
    }

    // === Comets ===

    pub async fn node(&self, name: &str, connections: u32) {
        self.announce(name, connections, false, &[]).await;
    }

    pub async fn draining(&self, name: &str) {
        self.announce(name, 0, true, &[]).await;
    }

    pub async fn renew(&self, name: &str, live: &[ConnectionRef]) -> Vec<ConnectionRef> {
        self.announce(name, live.len() as u32, false, live).await
    }

    async fn announce(&self, name: &str, connections: u32, draining: bool, live: &[ConnectionRef]) -> Vec<ConnectionRef> {
        self.comets.add(name);
        let comet = CometAddress { node: name.into(), tcp: format!("{name}:3101"), websocket: String::new() };
        let load = NodeLoad { node: NodeId(name.into()), comet, connections, draining };
        self.status.renew(load, live.to_vec()).await.unwrap()
    }

    pub async fn connect(&self, token: &str, node: &str, generation: i64) -> Result<Connected> {
        let connect = Connect {
            credential: Credential::Token(token.into()),
            node: NodeId(node.into()),
            generation: Generation(generation),
            client: "test".into(),
            address: ADDRESS.into(),
        };
        self.status.connect(connect).await
    }

    /// Sessions with a live connection at the node.
    pub async fn registered(&self, node: &str) -> Vec<SessionId> {
        let uids = self.registry.users_of(&NodeId(node.into()), 100).await.unwrap();
        self.registry.routes(&uids).await.unwrap().into_iter().map(|route| route.session).collect()
    }
}

async fn log_in(accounts: Arc<Accounts>, address: &str, email: &str, password: &str, class: DeviceClass) -> Result<LoggedIn> {
    let command = AccountCommand::LogIn { email: email.into(), password: password.into(), class, client: "test".into() };
    match accounts.handle(Origin { address: address.into() }, command).await? {
        AccountReply::LoggedIn(logged_in) => Ok(*logged_in),
        _ => panic!("another reply"),
    }
}

pub fn code_of(mail: &Mail) -> String {
    let code: String = mail.text.chars().skip_while(|c| *c != ':').filter(char::is_ascii_digit).take(6).collect();
    assert_eq!(code.len(), 6, "{}", mail.text);
    code
}
