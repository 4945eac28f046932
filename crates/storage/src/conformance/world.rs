//! The words the cases are written in.

use super::{Backend, Ports};
use skein_domain::body::Body;
use skein_domain::conversation::{ConversationView, Member};
use skein_domain::entry::{Entry, EntryEvent};
use skein_domain::id::{ConversationId, IdempotencyKey, Millis, PolicyVersion, Revision, Seq, Uid};
use skein_domain::port::{Append, Appended, CreateConversation, LogRecord, NewUser};
use skein_domain::{Code, Error, Result};
use std::sync::atomic::{AtomicI64, Ordering};

/// A store with people in it.
pub struct World {
    pub ports: Ports,
    keys: AtomicI64,
}

pub const NOW: Millis = Millis(1_800_000_000_000);

impl World {
    pub async fn on(backend: &dyn Backend) -> Self {
        Self { ports: backend.open().await, keys: AtomicI64::new(0) }
    }

    /// Closes the store and opens it again.
    pub async fn reopened(self, backend: &dyn Backend) -> Self {
        let keys = self.keys;
        drop(self.ports);
        Self { ports: backend.open().await, keys }
    }

    pub async fn user(&self, name: &str) -> Uid {
        let user = NewUser { email: format!("{name}@example.org"), nickname: name.into(), password_hash: "hash".into(), at: NOW };
        self.ports.accounts.create_user(user).await.expect("create user")
    }

    pub async fn users(&self, count: usize) -> Vec<Uid> {
        let mut uids = Vec::new();
        for n in 0..count {
            uids.push(self.user(&format!("user{n}")).await);
        }
        uids
    }

    pub fn key(&self) -> IdempotencyKey {
        key(&format!("k{}", self.keys.fetch_add(1, Ordering::Relaxed)))
    }

    pub fn creation(&self, owner: Uid, title: &str, uids: &[Uid]) -> CreateConversation {
        CreateConversation { owner, key: self.key(), title: title.into(), uids: uids.to_vec(), at: NOW, per_day_max: u32::MAX }
    }

    pub async fn group(&self, owner: Uid, uids: &[Uid]) -> ConversationId {
        self.ports.conversations.create_group(self.creation(owner, "group", uids)).await.expect("create group")
    }

    pub async fn room(&self, owner: Uid) -> ConversationId {
        self.ports.conversations.create_room(self.creation(owner, "room", &[])).await.expect("create room").0
    }

    pub async fn policy(&self, conversation: ConversationId) -> PolicyVersion {
        let snapshot = self.ports.conversations.snapshot(conversation).await.expect("snapshot");
        snapshot.expect("conversation exists").conversation.policy_version
    }

    /// An append judged just now.
    pub async fn draft(&self, conversation: ConversationId, author: Uid, event: EntryEvent) -> Append {
        let policy_version = self.policy(conversation).await;
        Append { conversation, author, key: self.key(), after: None, policy_version, event, at: NOW }
    }

    pub async fn append(&self, conversation: ConversationId, author: Uid, event: EntryEvent) -> Result<Appended> {
        let draft = self.draft(conversation, author, event).await;
        self.ports.messages.append(draft).await
    }

    pub async fn say(&self, conversation: ConversationId, author: Uid, text: &str) -> Appended {
        self.append(conversation, author, message(text)).await.expect("say")
    }

    pub async fn entry(&self, conversation: ConversationId, seq: Seq) -> Entry {
        let mut entries = self.ports.messages.entries(conversation, seq, seq, 1).await.expect("entries");
        entries.pop().expect("entry exists")
    }

    pub async fn view(&self, conversation: ConversationId, uid: Uid) -> ConversationView {
        self.ports.conversations.view(conversation, uid).await.expect("view").expect("is a member")
    }

    pub async fn unread(&self, conversation: ConversationId, uid: Uid) -> i64 {
        self.view(conversation, uid).await.unread
    }

    pub async fn member(&self, conversation: ConversationId, uid: Uid) -> Member {
        self.ports.conversations.member(conversation, uid).await.expect("member").expect("has a row")
    }

    pub async fn befriend(&self, a: Uid, b: Uid) {
        let request = self.ports.contacts.apply(a, b, String::new(), NOW, 5_000).await.expect("apply");
        self.ports.contacts.answer(b, request.id, true, NOW, 5_000).await.expect("accept");
    }

    /// All records of all shards, by shard.
    pub async fn records(&self) -> Vec<LogRecord> {
        let mut records = Vec::new();
        for shard in 0..self.ports.messages.shards() {
            let shard = skein_domain::id::Shard(shard);
            records.extend(self.ports.outbox.records(shard, Revision(0), 10_000).await.expect("records"));
        }
        records
    }
}

pub fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::parse(text).expect("good key")
}

pub fn message(text: &str) -> EntryEvent {
    EntryEvent::Message { body: Some(Body::text(text)), reply_to: None }
}

pub fn code<T>(result: Result<T>) -> Code {
    result.err().map(|error: Error| error.code).expect("should have been refused")
}
