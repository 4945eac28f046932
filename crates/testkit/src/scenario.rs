//! Behaviour told in the words of the domain, over real sockets and processes:
//!
//! ```no_run
//! # use skein_testkit::{cluster::Topology, scenario::World, wire::Transport};
//! # async fn tell() -> anyhow::Result<()> {
//! let world = World::new(Topology::Split).user("ann", Transport::Tcp).user("bob", Transport::WebSocket);
//! let mut world = world.room("room", "ann", &["bob"]).start().await?;
//! world.user("ann").send("room", "hi").await;
//! world.user("bob").expects("room", ["hi"]).await;
//! # Ok(())
//! # }
//! ```
//!
//! The same text runs with every topology, on every engine. What does not come true within [`PATIENCE`] fails the test, with what the devices
//! heard and what the servers logged.

use crate::cluster::{Cluster, Links, Part, Setup, Topology};
use crate::database::{Database, Engine, shared_servers};
use crate::device::deed::{Act, Deed, Outcome};
use crate::device::{Board, Description, Device, Order};
use crate::seed::Seed;
use crate::server::ServerProcess;
use crate::wire::{Buffers, Endpoints, Transport};
use anyhow::{Context, Result};
use skein_domain::account::DeviceClass;
use skein_domain::id::{ConversationId, Uid};
use skein_powercut::{PowerCut, Switches};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How a world is deployed, and on what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    pub topology: Topology,
    pub engine: Engine,
}

impl From<Topology> for Stage {
    fn from(topology: Topology) -> Self {
        Self { topology, engine: Engine::Sqlite }
    }
}

/// A world before it begins: who there is.
pub struct Draft {
    stage: Stage,
    setup: Setup,
    devices: Vec<(String, Transport, Buffers)>,
    conversations: Vec<(String, Kind)>,
    database: Option<Database>,
    has_disk: bool,
}

enum Kind {
    Direct(String, String),
    Group(String, Vec<String>),
    Room(String, Vec<String>),
}

/// Running servers, and people at their devices.
pub struct World {
    cluster: Cluster,
    devices: BTreeMap<String, Device>,
    users: BTreeMap<String, Uid>,
    conversations: BTreeMap<String, ConversationId>,
    tokens: BTreeMap<String, String>,
    board: Board,
    keys: AtomicU32,
    folder: TempDir,
    disk: Option<Switches>,
    /// Removed after the servers that use it.
    _database: Option<Database>,
}

/// One device of the world; named after its user, or `user/class` for a further one.
pub struct Hand<'w> {
    world: &'w World,
    name: String,
}

impl World {
    #[expect(clippy::new_ret_no_self, reason = "a world is drafted before it is started")]
    pub fn new(stage: impl Into<Stage>) -> Draft {
        let (setup, devices, conversations) = (Setup::default(), Vec::new(), Vec::new());
        Draft { stage: stage.into(), setup, devices, conversations, database: None, has_disk: false }
    }

    /// The one device of a user who has one, or the named one: `ann`, `ann/mobile`.
    pub fn user(&self, name: &str) -> Hand<'_> {
        assert!(self.devices.contains_key(name), "no device {name} in this world");
        Hand { world: self, name: name.to_owned() }
    }

    pub fn uid(&self, name: &str) -> i64 {
        self.users[name].0
    }

    pub fn token(&self, device: &str) -> &str {
        &self.tokens[device]
    }

    pub fn endpoints(&self) -> Endpoints {
        self.cluster.address().borrow().expect("the world runs")
    }

    pub fn core(&self) -> &ServerProcess {
        self.cluster.core().expect("the core runs")
    }

    /// Where the core tells its metrics.
    pub fn admin(&self) -> SocketAddr {
        self.core().admin().expect("an admin listener")
    }

    /// Beside the core, on the same engines.
    pub async fn another_core(&self, name: &str) -> ServerProcess {
        self.cluster.another_core(name).await.expect("another core")
    }

    /// Between its two processes, in a world [`Draft::with_links`].
    pub fn links(&self) -> &Links {
        self.cluster.links().expect("a world with links")
    }

    /// Under the core, in a world [`Draft::with_disk`].
    pub fn disk(&self) -> &Switches {
        self.disk.as_ref().expect("a world with a disk")
    }

    /// Waits for the core to end because of its disk; its exit code.
    pub async fn core_ends(&mut self) -> Option<i32> {
        let ended = tokio::time::timeout(PATIENCE, self.cluster.core_ended()).await;
        ended.expect("the core ends in time").expect("the core ends").code()
    }

    /// Takes back what the dead core had not made durable.
    pub fn cut_power(&self) {
        self.cluster.cut_power().expect("cut the power");
    }

    pub async fn kill(&mut self, part: Part) {
        self.cluster.kill(part).await.expect("kill");
    }

    /// SIGTERM; whether it ended well.
    pub async fn terminate(&mut self, part: Part) -> bool {
        self.cluster.terminate(part).await.expect("terminate").success()
    }

    /// Starts what does not run.
    pub async fn restart(&mut self) {
        self.cluster.start(&skein_powercut::Options::default()).await.expect("restart");
    }

    /// Waits until `is_so`, looking whenever something moves.
    pub async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let started = Instant::now();
        let mut progress = self.board.progress.subscribe();
        while !is_so(self) {
            assert!(started.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}\n{}", self.story());
            let _ = tokio::time::timeout(LOOK_EVERY, progress.changed()).await;
        }
    }

    fn id(&self, conversation: &str) -> i64 {
        self.conversations[conversation].0
    }

    /// For whoever reads about a failure.
    fn story(&self) -> String {
        let told = self.devices.iter().map(|(name, device)| {
            let mind = device.mind();
            let from = mind.history.len().saturating_sub(40);
            let lines: Vec<&str> = mind.history.iter().skip(from).map(String::as_str).collect();
            format!("--- {name}\n{}\n{:?}\n", lines.join("\n"), mind.offences)
        });
        told.collect::<String>() + &self.cluster.last_words() + &format!("folder: {}", self.folder.path().display())
    }
}

// === impl Draft ===

impl Draft {
    /// With a device `name` of class desktop. All users are friends.
    pub fn user(self, name: &str, transport: Transport) -> Self {
        self.device(name, transport, Buffers::Usual)
    }

    /// As [`Draft::user`]; or `user/class` for a further device.
    pub fn device(mut self, name: &str, transport: Transport, buffers: Buffers) -> Self {
        self.devices.push((name.to_owned(), transport, buffers));
        self
    }

    pub fn direct(self, title: &str, a: &str, b: &str) -> Self {
        self.conversation(title, Kind::Direct(a.to_owned(), b.to_owned()))
    }

    pub fn group(self, title: &str, owner: &str, members: &[&str]) -> Self {
        self.conversation(title, Kind::Group(owner.to_owned(), owned(members)))
    }

    pub fn room(self, title: &str, owner: &str, members: &[&str]) -> Self {
        self.conversation(title, Kind::Room(owner.to_owned(), owned(members)))
    }

    fn conversation(mut self, title: &str, kind: Kind) -> Self {
        self.conversations.push((title.to_owned(), kind));
        self
    }

    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.setup.settings.push((key.to_owned(), value.to_owned()));
        self
    }

    /// On a MySQL database of the caller's, in place of the engine's.
    pub fn on_database(mut self, url: &str) -> Self {
        self.database = Some(Database::at(url));
        self
    }

    /// The links between its two processes can be harmed.
    pub fn with_links(mut self) -> Self {
        self.setup.has_links = true;
        self
    }

    /// The disk under the core can fail, and its power be cut.
    pub fn with_disk(mut self) -> Self {
        self.has_disk = true;
        self
    }

    pub async fn start(mut self) -> Result<World> {
        let folder = tempfile::Builder::new().prefix("skein-world-").tempdir().context("make a folder")?;
        let database = match self.stage.engine {
            _ if self.database.is_some() => self.database.take(),
            Engine::Sqlite => None,
            Engine::Mariadb | Engine::Servers => Some(tokio::task::spawn_blocking(Database::make).await??),
        };
        self.setup.settings.extend(database.iter().flat_map(Database::settings));
        if self.stage.engine == Engine::Servers {
            self.setup.settings.extend(tokio::task::spawn_blocking(shared_servers).await??);
        }
        let config = database.as_ref().map(Database::config).cloned().unwrap_or_default();
        let seed = Seed::open_on(&folder.path().join("data"), &config)?;
        let (users, tokens) = self.seed_people(&seed).await?;
        let conversations = self.seed_conversations(&seed, &users).await?;
        seed.close();
        let disk = self.plug_in_disk(folder.path())?;
        let mut cluster = Cluster::new(self.stage.topology, folder.path(), self.setup.clone())?;
        cluster.start(&skein_powercut::Options::default()).await?;
        let board = Board::default();
        let start = |(name, transport, buffers): &(String, Transport, Buffers)| {
            let uid = users[user_of(name)].0;
            let description =
                Description { label: name.clone(), uid, token: tokens[name].clone(), transport: *transport, buffers: *buffers };
            (name.clone(), Device::start(description, cluster.address(), board.clone()))
        };
        let devices = self.devices.iter().map(start).collect();
        let keys = AtomicU32::new(0);
        let world = World { cluster, devices, users, conversations, tokens, board, keys, folder, disk, _database: database };
        world.until("everybody online", |world| world.devices.values().all(|device| device.mind().unsettled().is_none())).await;
        Ok(world)
    }

    fn plug_in_disk(&mut self, folder: &Path) -> Result<Option<Switches>> {
        if !self.has_disk {
            return Ok(None);
        }
        let power = PowerCut::new(&folder.join("data"), &folder.join("journal"))?;
        let switches = power.switches()?;
        self.setup.power = Some(power);
        Ok(Some(switches))
    }

    async fn seed_people(&self, seed: &Seed) -> Result<(BTreeMap<String, Uid>, BTreeMap<String, String>)> {
        let (mut users, mut tokens) = (BTreeMap::new(), BTreeMap::new());
        for (name, _, _) in &self.devices {
            let user = user_of(name);
            if !users.contains_key(user) {
                let uid = seed.user(user).await?;
                for friend in users.values() {
                    seed.befriend(*friend, uid).await?;
                }
                users.insert(user.to_owned(), uid);
            }
            let class = name.split_once('/').map_or(Some(DeviceClass::Desktop), |(_, class)| DeviceClass::parse(class));
            tokens.insert(name.clone(), seed.session(users[user], class.context("a device class")?).await?);
        }
        Ok((users, tokens))
    }

    async fn seed_conversations(&self, seed: &Seed, users: &BTreeMap<String, Uid>) -> Result<BTreeMap<String, ConversationId>> {
        let uids = |names: &[String]| names.iter().map(|name| users[name]).collect::<Vec<_>>();
        let mut ids = BTreeMap::new();
        for (title, kind) in &self.conversations {
            let id = match kind {
                Kind::Direct(a, b) => seed.direct(users[a], users[b]).await?,
                Kind::Group(owner, members) => seed.group(title, users[owner], &uids(members)).await?,
                Kind::Room(owner, members) => seed.room(title, users[owner], &uids(members)).await?,
            };
            ids.insert(title.clone(), id);
        }
        Ok(ids)
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn user_of(device: &str) -> &str {
    device.split('/').next().unwrap_or(device)
}

// === impl Hand ===

impl Hand<'_> {
    fn device(&self) -> &Device {
        &self.world.devices[&self.name]
    }

    /// Says something, and waits for the ack.
    pub async fn send(&self, conversation: &str, text: &str) -> i64 {
        let key = self.says(conversation, text).await;
        self.acked(&key).await
    }

    /// Says something, and does not wait. Returns its key.
    pub async fn says(&self, conversation: &str, text: &str) -> String {
        self.does(conversation, Act::Send { text: text.to_owned() }).await
    }

    pub async fn does(&self, conversation: &str, act: Act) -> String {
        let key = format!("k-{}", self.world.keys.fetch_add(1, Ordering::Relaxed));
        self.device().order(Order::Do(Box::new(Deed::new(self.world.id(conversation), key.clone(), act)))).await;
        key
    }

    /// The seq of what was asked for under this key.
    pub async fn acked(&self, key: &str) -> i64 {
        match self.outcome(key).await {
            Outcome::Acked(seq) => seq,
            other => panic!("{} {key}: {other:?}\n{}", self.name, self.world.story()),
        }
    }

    pub async fn outcome(&self, key: &str) -> Outcome {
        let found = || self.device().mind().done.iter().find(|deed| deed.key == key).map(|deed| deed.outcome.clone());
        self.world.until(&format!("{} learns what became of {key}", self.name), |_| found().is_some()).await;
        found().unwrap_or(Outcome::Waiting)
    }

    /// The screen shows exactly these messages, in this order; a recalled one as the empty text.
    pub async fn expects<S: AsRef<str>>(&self, conversation: &str, texts: impl IntoIterator<Item = S>) {
        let expected: Vec<String> = texts.into_iter().map(|text| text.as_ref().to_owned()).collect();
        let what = format!("{} has {expected:.200?} in {conversation}, has {:.200?}", self.name, self.screen(conversation));
        self.world.until(&what, |_| self.screen(conversation) == expected).await;
        assert_eq!(self.device().mind().offences, Vec::<String>::new(), "{}", self.name);
    }

    pub async fn expects_unread(&self, conversation: &str, unread: i64) {
        let id = self.world.id(conversation);
        let what = format!("{} has {unread} unread in {conversation}", self.name);
        self.world.until(&what, |_| self.device().mind().timelines.get(&id).and_then(|timeline| timeline.unread()) == Some(unread)).await;
    }

    pub fn screen(&self, conversation: &str) -> Vec<String> {
        let mind = self.device().mind();
        let lines = mind.timelines.get(&self.world.id(conversation)).map(|timeline| timeline.lines()).unwrap_or_default();
        lines.into_values().map(|line| line.text.unwrap_or_default()).collect()
    }

    pub async fn goes_offline(&self) {
        self.device().order(Order::GoOffline).await;
        self.world.until("goes offline", |_| !self.device().mind().is_online()).await;
    }

    pub async fn comes_back(&self) {
        self.device().order(Order::GoOnline).await;
        self.world.until("comes back", |_| self.device().mind().is_online()).await;
    }

    pub async fn stops_reading(&self) {
        self.device().order(Order::PauseReading).await;
    }

    pub async fn reads_on(&self) {
        self.device().order(Order::ResumeReading).await;
    }

    /// Whether it knows what became of what was asked for under this key.
    pub fn is_done(&self, key: &str) -> bool {
        self.device().mind().done.iter().any(|deed| deed.key == key)
    }

    /// Codes of the errors it was answered with, and how often.
    pub fn refusals(&self) -> BTreeMap<String, u64> {
        self.device().mind().refusals.clone()
    }

    pub fn resyncs(&self) -> u64 {
        self.device().mind().tally.resyncs
    }

    pub fn connections(&self) -> u64 {
        self.device().mind().tally.connections
    }
}
