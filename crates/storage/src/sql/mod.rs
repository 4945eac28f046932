//! What the ports do, in SQL, whatever engine runs it.
//!
//! Owns the statements, the rules of the store (numbers, keys, effects), the queue of commands and the pool of readers. An
//! engine ([`crate::sqlite`], [`crate::mysql`]) opens connections, commits batches, and says how grave its errors are.
//!
//! **Invariant:** every write is a command in a batch of the one writer; every read runs on a reader of the pool. Nothing
//! runs SQL on a thread of the async runtime.

mod accounts;
pub(crate) mod append;
pub(crate) mod command;
mod contact_views;
mod contacts;
mod conversations;
mod effects;
pub(crate) mod engine;
pub(crate) mod failure;
mod horizon;
mod items;
#[cfg(test)]
pub(crate) mod lab;
pub(crate) mod leases;
mod messages;
mod outbox;
pub(crate) mod place;
mod push;
pub(crate) mod queue;
pub(crate) mod readers;
mod recent;
mod replica;
pub(crate) mod rows;
pub(crate) mod shared;
#[cfg(test)]
pub(crate) mod statements;
mod states;
pub(crate) mod transaction;
mod user_log;
mod views;
pub(crate) mod writer;

use horizon::Horizon;
use readers::Readers;
use recent::Recent;
use replica::Replica;
use shared::Shared;
pub use shared::Stats;
use skein_domain::id::{ConversationId, Uid};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use writer::Writer;

/// Told once that the disk failed; must not return control to a process that goes on serving.
pub type Fatal = Box<dyn Fn(&str) + Send + Sync>;

/// A handle to the store; clones share it. The last one dropped closes it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    parts: Parts,
    replica: Option<Replica>,
    users: Horizon,
    conversations: Horizon,
    running: Mutex<Option<Ending>>,
}

/// Waits for the engine's threads and lets go of what they held. Runs once, after the queue was closed.
pub(crate) type Ending = Box<dyn FnOnce() + Send>;

/// What an engine hands over once it is open.
pub(crate) struct Parts {
    pub writer: Writer,
    pub readers: Readers,
    /// For queries that may see the store as it was a moment ago, if there is a replica.
    pub replica: Option<Readers>,
    pub shared: Arc<Shared>,
    /// How often to look for commits of other processes; `None` where there can be none.
    pub look_every: Option<Duration>,
}

impl Store {
    pub(crate) fn running(mut parts: Parts, ending: Ending) -> Self {
        let replica = parts.replica.take().map(|readers| Replica { readers, recent: Recent::new(&parts.shared) });
        let (users, conversations) = (Horizon::new(horizon::LAST_USER), Horizon::new(horizon::LAST_CONVERSATION));
        Self { inner: Arc::new(Inner { parts, replica, users, conversations, running: Mutex::new(Some(ending)) }) }
    }

    /// Does what is queued and lets go of everything. Blocks; idempotent. Commands given later answer `unavailable`.
    pub fn close(&self) {
        self.inner.close();
    }

    pub fn stats(&self) -> Stats {
        self.inner.parts.shared.stats()
    }

    pub(crate) fn writer(&self) -> &Writer {
        &self.inner.parts.writer
    }

    pub(crate) fn readers(&self) -> &Readers {
        &self.inner.parts.readers
    }

    /// Whether there may be such a user.
    async fn may_be_user(&self, uid: Uid) -> bool {
        self.inner.users.reaches(uid.0, self.readers()).await
    }

    /// Whether there may be such a conversation.
    async fn may_be_conversation(&self, conversation: ConversationId) -> bool {
        self.inner.conversations.reaches(conversation.0, self.readers()).await
    }

    pub(crate) fn replica(&self) -> Option<&Replica> {
        self.inner.replica.as_ref()
    }

    pub(crate) fn look_every(&self) -> Option<Duration> {
        self.inner.parts.look_every
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.inner.parts.shared
    }
}

impl Inner {
    fn close(&self) {
        self.parts.writer.close();
        self.parts.readers.close();
        if let Some(replica) = &self.replica {
            replica.readers.close();
        }
        let ending = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(end) = ending {
            end();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}
