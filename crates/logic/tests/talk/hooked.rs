//! The real store, with somebody else writing at the worst moment.

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use skein_domain::conversation::{ConversationView, Member, RoomInfo, SettingsChange, Snapshot};
use skein_domain::delivery::UserEvent;
use skein_domain::entry::{Entry, HistoryPage, MessageState};
use skein_domain::id::*;
use skein_domain::port::*;
use skein_domain::{Error, Result};
use skein_storage::Store;
use std::sync::Mutex;
use tokio::sync::watch;

/// What somebody else appends right before an append; judged on the same policy version.
type BeforeAppend = Box<dyn FnMut(&Append) -> Option<Append> + Send>;
/// What somebody else does right before a look for changes.
type BeforeChanged = Box<dyn FnMut() -> BoxFuture<'static, ()> + Send>;

pub struct Hooked {
    pub store: Store,
    before_append: Mutex<Option<BeforeAppend>>,
    before_changed: Mutex<Option<BeforeChanged>>,
    /// False: what changes conversations is queued, but its commit does not return.
    commits: watch::Sender<bool>,
    /// What appends are answered, instead of being done.
    trouble: Mutex<Option<Error>>,
    /// What the store says of itself, if it is to lie.
    epoch: Mutex<Option<Epoch>>,
    revisions: Mutex<Option<Vec<Revision>>>,
    appended: watch::Sender<usize>,
    leaving: watch::Sender<usize>,
}

impl Hooked {
    pub fn new(store: Store) -> Self {
        Self {
            store,
            before_append: Mutex::default(),
            before_changed: Mutex::default(),
            commits: watch::Sender::new(true),
            trouble: Mutex::default(),
            epoch: Mutex::default(),
            revisions: Mutex::default(),
            appended: watch::Sender::new(0),
            leaving: watch::Sender::new(0),
        }
    }

    pub fn before_append(&self, hook: impl FnMut(&Append) -> Option<Append> + Send + 'static) {
        *self.before_append.lock().unwrap() = Some(Box::new(hook));
    }

    pub fn before_changed(&self, hook: impl FnMut() -> BoxFuture<'static, ()> + Send + 'static) {
        *self.before_changed.lock().unwrap() = Some(Box::new(hook));
    }

    pub fn hold_commits(&self, held: bool) {
        self.commits.send_replace(!held);
    }

    pub fn refuse_appends(&self, trouble: Option<Error>) {
        *self.trouble.lock().unwrap() = trouble;
    }

    /// As if another store stood in its place.
    pub fn change_epoch(&self) {
        *self.epoch.lock().unwrap() = Some(Epoch(78));
    }

    /// As if restored from an older copy.
    pub fn set_revisions(&self, revisions: Option<Vec<Revision>>) {
        *self.revisions.lock().unwrap() = revisions;
    }

    /// Waits until so many appends were queued.
    pub async fn until_appended(&self, times: usize) {
        until(&self.appended, times).await;
    }

    /// Waits until so many have left rooms, as far as the store goes.
    pub async fn until_leaving(&self, times: usize) {
        until(&self.leaving, times).await;
    }

    pub fn appended(&self) -> usize {
        *self.appended.borrow()
    }

    pub async fn entries_of(&self, conversation: ConversationId) -> Vec<Entry> {
        self.store.entries(conversation, Seq(1), Seq(100_000), 100_000).await.unwrap()
    }
}

async fn until(counted: &watch::Sender<usize>, times: usize) {
    let mut counted = counted.subscribe();
    let counted = counted.wait_for(|counted| *counted >= times);
    tokio::time::timeout(std::time::Duration::from_secs(30), counted).await.expect("so many are queued").unwrap();
}

#[async_trait]
impl MessageStore for Hooked {
    fn append(&self, append: Append) -> BoxFuture<'static, Result<Appended>> {
        if let Some(trouble) = self.trouble.lock().unwrap().clone() {
            return std::future::ready(Err(trouble)).boxed();
        }
        let before = self.before_append.lock().unwrap().as_mut().and_then(|hook| hook(&append));
        // Queued first, so stored first.
        let before = before.map(|append| tokio::spawn(self.store.append(append)));
        let appending = self.store.append(append);
        self.appended.send_modify(|appended| *appended += 1);
        let mut commits = self.commits.subscribe();
        async move {
            if let Some(before) = before {
                before.await.unwrap().unwrap();
            }
            let outcome = appending.await;
            commits.wait_for(|open| *open).await.unwrap();
            outcome
        }
        .boxed()
    }

    async fn entries(&self, conversation: ConversationId, from: Seq, to: Seq, limit: u32) -> Result<Vec<Entry>> {
        self.store.entries(conversation, from, to, limit).await
    }

    async fn newest(&self, conversation: ConversationId, to: Seq, after: Revision, limit: u32) -> Result<(Vec<Entry>, bool)> {
        self.store.newest(conversation, to, after, limit).await
    }

    async fn history(&self, conversation: ConversationId, query: HistoryQuery) -> Result<HistoryPage> {
        self.store.history(conversation, query).await
    }

    async fn state(&self, conversation: ConversationId, seq: Seq) -> Result<Option<MessageState>> {
        self.store.state(conversation, seq).await
    }

    fn epoch(&self) -> Epoch {
        self.epoch.lock().unwrap().unwrap_or_else(|| self.store.epoch())
    }

    fn shards(&self) -> u16 {
        self.store.shards()
    }

    async fn revisions(&self) -> Result<Vec<Revision>> {
        let lie = self.revisions.lock().unwrap().clone();
        match lie {
            Some(revisions) => Ok(revisions),
            None => self.store.revisions().await,
        }
    }
}

#[async_trait]
impl ConversationStore for Hooked {
    async fn snapshot(&self, conversation: ConversationId) -> Result<Option<Snapshot>> {
        self.store.snapshot(conversation).await
    }
    async fn member(&self, conversation: ConversationId, uid: Uid) -> Result<Option<Member>> {
        self.store.member(conversation, uid).await
    }
    async fn view(&self, conversation: ConversationId, uid: Uid) -> Result<Option<ConversationView>> {
        self.store.view(conversation, uid).await
    }
    async fn open_direct(&self, a: Uid, b: Uid, at: Millis) -> Result<ConversationId> {
        self.store.open_direct(a, b, at).await
    }
    async fn create_group(&self, create: CreateConversation) -> Result<ConversationId> {
        self.store.create_group(create).await
    }
    async fn create_room(&self, create: CreateConversation) -> Result<(ConversationId, bool)> {
        self.store.create_room(create).await
    }
    async fn join_room(&self, room: ConversationId, uid: Uid, at: Millis) -> Result<Member> {
        self.store.join_room(room, uid, at).await
    }
    async fn leave_room(&self, room: ConversationId, uid: Uid) -> Result<Member> {
        let left = self.store.leave_room(room, uid).await;
        self.leaving.send_modify(|leaving| *leaving += 1);
        self.commits.subscribe().wait_for(|open| *open).await.unwrap();
        left
    }
    async fn rooms_of(&self, uid: Uid) -> Result<Vec<ConversationId>> {
        self.store.rooms_of(uid).await
    }
    async fn rooms(&self, before: Option<ConversationId>, limit: u32) -> Result<Vec<RoomInfo>> {
        self.store.rooms(before, limit).await
    }
    async fn members(&self, conversation: ConversationId, after: Uid, limit: u32) -> Result<Vec<(Member, String)>> {
        self.store.members(conversation, after, limit).await
    }
    async fn mark(&self, conversation: ConversationId, uid: Uid, mark: Mark) -> Result<Member> {
        self.store.mark(conversation, uid, mark).await
    }
    async fn change_settings(&self, conversation: ConversationId, uid: Uid, change: SettingsChange) -> Result<Member> {
        self.store.change_settings(conversation, uid, change).await
    }
    async fn changed(&self, uid: Uid, shard: Shard, after: Revision, above: ConversationId, limit: u32) -> Result<Vec<ConversationView>> {
        let before = self.before_changed.lock().unwrap().as_mut().map(|hook| hook());
        if let Some(before) = before {
            before.await;
        }
        self.store.changed(uid, shard, after, above, limit).await
    }
    async fn user_log(&self, uid: Uid, after: Revision, limit: u32) -> Result<Vec<(Revision, UserEvent)>> {
        self.store.user_log(uid, after, limit).await
    }
    fn shard_of(&self, uid: Uid) -> Shard {
        self.store.shard_of(uid)
    }
}
