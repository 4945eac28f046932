//! Snapshots of conversations in memory: what policies are judged from, and whom fan-out serves.
//!
//! **Invariant:** a snapshot here may be old, never wrong for its `policy_version`. So whoever allows something by it lets
//! the store check the version, whoever refuses something by it reads again first, and fan-out asks for at least the
//! version of its event. Of a conversation's row only what moves the version may be used.
//!
//! Bound: [`Snapshots::new`]'s `members_max`, over all conversations; the least used are forgotten. None is older than
//! [`KEPT`]: what others changed nobody tells this node, and who hears of typing and cursors is checked by no store.

use metrics::{Counter, counter};
use moka::sync::Cache;
use skein_domain::Result;
use skein_domain::conversation::Snapshot;
use skein_domain::id::{ConversationId, PolicyVersion};
use skein_domain::port::ConversationStore;
use std::sync::Arc;
use std::time::Duration;

const KEPT: Duration = Duration::from_secs(30);
/// What a conversation costs besides its members.
const CONVERSATION_WEIGHT: u32 = 4;

#[derive(Clone)]
pub(crate) struct Snapshots {
    store: Arc<dyn ConversationStore>,
    cache: Cache<ConversationId, Arc<Snapshot>>,
    hits: Counter,
    misses: Counter,
}

impl Snapshots {
    pub(crate) fn new(store: Arc<dyn ConversationStore>, members_max: u64) -> Self {
        Self::kept_for(KEPT, store, members_max)
    }

    fn kept_for(kept: Duration, store: Arc<dyn ConversationStore>, members_max: u64) -> Self {
        let weigh = |_: &ConversationId, snapshot: &Arc<Snapshot>| CONVERSATION_WEIGHT + snapshot.members.len() as u32;
        let cache = Cache::builder().weigher(weigh).max_capacity(members_max).time_to_live(kept).build();
        let looked_up = |from: &'static str| counter!("skein_snapshots_total", "from" => from);
        Self { store, cache, hits: looked_up("memory"), misses: looked_up("store") }
    }

    /// Maybe old. `None`: no such conversation.
    pub(crate) async fn get(&self, conversation: ConversationId) -> Result<Option<Arc<Snapshot>>> {
        match self.cache.get(&conversation) {
            Some(snapshot) => {
                self.hits.increment(1);
                Ok(Some(snapshot))
            }
            None => self.fresh(conversation).await,
        }
    }

    /// As of now.
    pub(crate) async fn fresh(&self, conversation: ConversationId) -> Result<Option<Arc<Snapshot>>> {
        self.misses.increment(1);
        let Some(mut snapshot) = self.store.snapshot(conversation).await? else {
            return Ok(None);
        };
        // Nobody judges by drafts, and they would be most of the memory.
        snapshot.members.iter_mut().for_each(|member| member.draft = String::new());
        let snapshot = Arc::new(snapshot);
        self.cache.insert(conversation, snapshot.clone());
        Ok(Some(snapshot))
    }

    /// At least of that version.
    pub(crate) async fn at_least(&self, conversation: ConversationId, version: PolicyVersion) -> Result<Option<Arc<Snapshot>>> {
        match self.cache.get(&conversation) {
            Some(snapshot) if snapshot.conversation.policy_version >= version => {
                self.hits.increment(1);
                Ok(Some(snapshot))
            }
            _ => self.fresh(conversation).await,
        }
    }

    pub(crate) fn forget(&self, conversation: ConversationId) {
        self.cache.invalidate(&conversation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skein_domain::id::Millis;
    use skein_domain::port::{AccountStore, ContactStore, NewUser};
    use skein_storage::Store;

    #[tokio::test]
    async fn what_another_node_changed_is_seen_after_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(folder.path(), &skein_storage::Config::default()).unwrap());
        let mut uids = Vec::new();
        for name in ["ann", "bob"] {
            let (email, nickname) = (format!("{name}@example.org"), name.to_owned());
            uids.push(store.create_user(NewUser { email, nickname, password_hash: String::new(), at: Millis(0) }).await.unwrap());
        }
        let direct = store.open_direct(uids[0], uids[1], Millis(0)).await.unwrap();
        let snapshots = Snapshots::kept_for(Duration::from_millis(1), store.clone(), 1_000);
        let before = snapshots.get(direct).await.unwrap().unwrap().conversation.policy_version;
        store.block(uids[1], uids[0], true, Millis(0)).await.unwrap();
        let seen = async {
            while snapshots.get(direct).await.unwrap().unwrap().conversation.policy_version == before {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), seen).await.expect("it is not kept for ever");
    }
}
