//! [`ConversationStore`] with the directory of rooms cached, which everybody opens who looks for a room.
//!
//! The ids of the newest rooms are one value, what is told of a room a hash of its own: a new room changes the one, somebody
//! who comes or goes the other.
//!
//! **Invariant:** a page is answered from the cache only if each of its rooms is there; else whole by the store.
//! **Bound:** the newest [`NEWEST`] rooms; pages beyond them come from the store.

use super::hashes::{Hash, Hashes, Properties};
use super::{Cache, Found, LOADING, LOOK_AGAIN, LOOK_RARELY};
use crate::redis::Redis;
use async_trait::async_trait;
use skein_domain::Result;
use skein_domain::conversation::{ConversationView, Member, RoomInfo, SettingsChange, Snapshot};
use skein_domain::delivery::UserEvent;
use skein_domain::id::{ConversationId, Epoch, Millis, Revision, Shard, Uid};
use skein_domain::port::{ConversationStore, CreateConversation, Mark};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::time::Instant;

/// Two pages of most clients.
const NEWEST: u32 = 100;

pub struct CachedConversations {
    store: Arc<dyn ConversationStore>,
    directory: Directory,
}

/// Keys of the directory, for whoever changes what it tells. A cheap handle; clone it freely.
#[derive(Clone)]
pub(super) struct Directory {
    newest: Cache,
    rooms: Hashes,
}

impl Directory {
    fn newest_key(&self) -> String {
        self.newest.key("rooms", "newest")
    }

    fn room_key(&self, room: ConversationId) -> String {
        self.rooms.key("room", room)
    }

    pub async fn bar(&self, room: ConversationId, bar: &str) {
        self.rooms.bar(&self.room_key(room), bar).await;
    }

    pub async fn unbar(&self, room: ConversationId, bar: &str) {
        self.rooms.unbar(&[self.room_key(room)], bar).await;
    }
}

/// The rooms of a page as they were looked up.
enum Seen {
    Page(Vec<RoomInfo>),
    /// Some are missing; these are to be loaded, each under its load.
    Missing(HashMap<ConversationId, String>),
}

impl CachedConversations {
    pub fn new(store: Arc<dyn ConversationStore>, redis: Redis, epoch: Epoch) -> Self {
        let cache = Cache::new(redis, "rooms", epoch);
        Self { store, directory: Directory { newest: cache.clone(), rooms: Hashes::new(cache) } }
    }

    pub(super) fn directory(&self) -> Directory {
        self.directory.clone()
    }

    async fn changing_room<T>(&self, room: ConversationId, change: impl Future<Output = Result<T>>) -> Result<T> {
        self.directory.rooms.change(self.directory.room_key(room), change).await
    }

    /// Ids of the newest rooms, newest first. `None`: ask the store.
    async fn newest(&self) -> Result<Option<Vec<ConversationId>>> {
        let (cache, key) = (&self.directory.newest, self.directory.newest_key());
        let load = async || Ok(self.store.rooms(None, NEWEST).await?.iter().map(|room| room.conversation).collect());
        match cache.find(&key).await {
            Found::Value(ids) => Ok(Some(ids)),
            Found::Load(token) => cache.load(&key, token, load()).await.map(Some),
            Found::Loading | Found::Bypass => Ok(None),
        }
    }

    /// Waits for others who load what is missing, unless some of it is ours to load.
    async fn seen(&self, ids: &[ConversationId]) -> Seen {
        let keys: Vec<String> = ids.iter().map(|id| self.directory.room_key(*id)).collect();
        let (patience, mut pause) = (Instant::now() + LOADING, LOOK_AGAIN);
        loop {
            let found = self.directory.rooms.look::<RoomInfo>(&keys).await;
            let waits = found.iter().any(|room| matches!(room, Found::Loading))
                && !found.iter().any(|room| matches!(room, Found::Load(_) | Found::Bypass));
            if !waits || Instant::now() >= patience {
                return sorted(ids, found);
            }
            tokio::time::sleep(pause).await;
            pause = LOOK_RARELY.min(pause * 2);
        }
    }

    /// The page whole, and of its rooms those that are ours to load.
    async fn load(&self, mut loads: HashMap<ConversationId, String>, before: Option<ConversationId>, limit: u32) -> Result<Vec<RoomInfo>> {
        let loaded = self.store.rooms(before, limit).await;
        let rooms = loaded.as_ref().map_or(&[][..], Vec::as_slice);
        let ours = rooms.iter().filter_map(|room| loads.remove(&room.conversation).map(|load| (room, load)));
        let values = ours.map(|(room, load)| (self.directory.room_key(room.conversation), load, Some(room))).collect();
        self.directory.rooms.fill(values).await;
        // Nobody need wait for those that are not in the page any more.
        let left: Vec<String> = loads.keys().map(|room| self.directory.room_key(*room)).collect();
        self.directory.rooms.unbar(&left, "").await;
        loaded
    }
}

/// Whole, or what of it is missing.
fn sorted(ids: &[ConversationId], found: Vec<Found<Option<RoomInfo>>>) -> Seen {
    let (mut page, mut loads) = (Vec::new(), HashMap::new());
    for (id, found) in ids.iter().zip(found) {
        match found {
            Found::Value(Some(room)) => page.push(room),
            Found::Load(token) => drop(loads.insert(*id, token)),
            Found::Value(None) | Found::Loading | Found::Bypass => {}
        }
    }
    if page.len() == ids.len() { Seen::Page(page) } else { Seen::Missing(loads) }
}

/// The part of the newest rooms that is the page; `None` if that is not known from these.
fn page_of(newest: &[ConversationId], before: Option<ConversationId>, limit: u32) -> Option<&[ConversationId]> {
    // One that is not listed may be newer than all that are.
    let begins = before.map_or(Some(0), |before| newest.iter().position(|id| *id == before).map(|at| at + 1))?;
    let rest = newest.get(begins..)?;
    let is_all = newest.len() < NEWEST as usize;
    (is_all || rest.len() >= limit as usize).then(|| &rest[..rest.len().min(limit as usize)])
}

impl Hash for RoomInfo {
    fn properties(&self) -> Vec<(&'static str, String)> {
        vec![
            ("conversation", self.conversation.to_string()),
            ("title", self.title.clone()),
            ("owner", self.owner.map_or_else(String::new, |owner| owner.to_string())),
            ("members", self.members.to_string()),
            ("created_at", self.created_at.to_string()),
        ]
    }

    fn of(properties: &Properties) -> Option<Self> {
        let number = |name: &str| properties.get(name)?.parse().ok();
        let owner = properties.get("owner")?;
        Some(Self {
            conversation: ConversationId(number("conversation")?),
            title: properties.get("title")?.clone(),
            owner: if owner.is_empty() { None } else { Some(Uid(owner.parse().ok()?)) },
            members: properties.get("members")?.parse().ok()?,
            created_at: Millis(number("created_at")?),
        })
    }
}

#[async_trait]
impl ConversationStore for CachedConversations {
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
        self.directory.newest.change(&[self.directory.newest_key()], self.store.create_room(create)).await
    }

    async fn join_room(&self, room: ConversationId, uid: Uid, at: Millis) -> Result<Member> {
        self.changing_room(room, self.store.join_room(room, uid, at)).await
    }

    async fn leave_room(&self, room: ConversationId, uid: Uid) -> Result<Member> {
        self.changing_room(room, self.store.leave_room(room, uid)).await
    }

    async fn rooms_of(&self, uid: Uid) -> Result<Vec<ConversationId>> {
        self.store.rooms_of(uid).await
    }

    async fn rooms(&self, before: Option<ConversationId>, limit: u32) -> Result<Vec<RoomInfo>> {
        let newest = if limit <= NEWEST { self.newest().await? } else { None };
        let Some(ids) = newest.as_deref().and_then(|newest| page_of(newest, before, limit)) else {
            return self.store.rooms(before, limit).await;
        };
        match self.seen(ids).await {
            Seen::Page(page) => {
                self.directory.rooms.count("redis", page.len());
                Ok(page)
            }
            Seen::Missing(loads) => {
                self.directory.rooms.count("store", ids.len());
                self.load(loads, before, limit).await
            }
        }
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
        self.store.changed(uid, shard, after, above, limit).await
    }

    async fn user_log(&self, uid: Uid, after: Revision, limit: u32) -> Result<Vec<(Revision, UserEvent)>> {
        self.store.user_log(uid, after, limit).await
    }

    fn shard_of(&self, uid: Uid) -> Shard {
        self.store.shard_of(uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_taken_from_the_newest_if_they_have_all_of_it() {
        let ids = |from: i64, to: i64| (to..=from).rev().map(ConversationId).collect::<Vec<_>>();
        let few = ids(9, 5);
        assert_eq!(page_of(&few, None, 3), Some(&ids(9, 7)[..]));
        assert_eq!(page_of(&few, Some(ConversationId(7)), 3), Some(&ids(6, 5)[..]), "there are no more");
        assert_eq!(page_of(&few, Some(ConversationId(5)), 3), Some(&[][..]));
        assert_eq!(page_of(&few, Some(ConversationId(99)), 3), None, "newer than all of them, maybe");
        assert_eq!(page_of(&[], None, 3), Some(&[][..]));
        let many = ids(200, 101);
        assert_eq!(page_of(&many, Some(ConversationId(151)), 50), Some(&ids(150, 101)[..]));
        assert_eq!(page_of(&many, Some(ConversationId(150)), 50), None, "one of the page is not among them");
    }
}
