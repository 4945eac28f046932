//! [`MessageStore`] with the newest entries of conversations cached, which is what devices ask for that come back.
//!
//! The window of a conversation is a list, newest first, and a guard that says up to which seq it reaches. Entries never
//! change but for a recall, which blanks bodies: it bars the window. A message needs nothing: who asks beyond the window
//! reads what is missing from the store and adds it. What changes a room's line in the directory bars that.
//!
//! **Invariant:** a page is answered from the window only if it lies in it whole, seq by seq; else by the store.
//! **Bound:** [`WINDOW`] entries, at the start at most [`WINDOW_BYTES`]; kept for a minute after they were loaded.

use super::conversations::Directory;
use super::{Cache, CachedConversations, LOAD_MS, LOADING, LOOK_AGAIN, LOOK_RARELY, TTL_MS, bar_of_one_change, jittered, token, with_life};
use crate::redis::Redis;
use crate::redis::script::Script;
use async_trait::async_trait;
use futures_util::future::BoxFuture;
use redis::Value;
use skein_domain::entry::{Entry, EntryEvent, HistoryPage, MessageState};
use skein_domain::id::{ConversationId, Epoch, Revision, Seq};
use skein_domain::port::{Append, Appended, HistoryQuery, MessageStore};
use skein_domain::{Error, Result};
use std::sync::{Arc, LazyLock};
use tokio::time::Instant;

const WINDOW: u32 = 128;
const WINDOW_BYTES: usize = 256 * 1024;

/// KEYS: guard, list. ARGV: a load's token or "", its life, from, to. The guard, and of the window what lies in the range,
/// newest first.
static LOOK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(with_life!(
        r"local guard = redis.call('GET', KEYS[1])
        if not guard or (string.sub(guard, 1, 1) ~= 'B' and string.sub(guard, 2, 9) ~= life) then
            if ARGV[1] == '' then return {''} end
            guard = 'L' .. life .. ARGV[1]
            redis.call('SET', KEYS[1], guard, 'PX', ARGV[2])
            return {guard}
        end
        local head = string.match(guard, '^V.*:(%d+)$')
        if not head or tonumber(ARGV[4]) > tonumber(head) then return {guard} end
        local there = redis.call('LRANGE', KEYS[2], head - ARGV[4], head - ARGV[3])
        table.insert(there, 1, guard)
        return there"
    ))
});

/// Puts entries (oldest first) into the window, if the guard is still ARGV[1]; one made of ARGV[2] takes its place.
/// ARGV[3]: the life of a new window, or 0 to add to the one that is there.
static PUT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(with_life!(
        r"if redis.call('GET', KEYS[1]) ~= ARGV[1] or string.sub(ARGV[1], 2, 9) ~= life then return end
        local ttl = tonumber(ARGV[3])
        if ttl > 0 then redis.call('DEL', KEYS[2]) else ttl = redis.call('PTTL', KEYS[1]) end
        if ttl <= 0 then return end
        redis.call('LPUSH', KEYS[2], unpack(ARGV, 5))
        redis.call('LTRIM', KEYS[2], 0, ARGV[4] - 1)
        redis.call('PEXPIRE', KEYS[2], ttl)
        redis.call('SET', KEYS[1], 'V' .. life .. ARGV[2], 'PX', ttl)"
    ))
});

pub struct CachedMessages {
    store: Arc<dyn MessageStore>,
    cache: Cache,
    directory: Directory,
}

/// A window as it was looked at.
enum Seen {
    /// What lies in the range, ascending.
    Entries(Vec<Entry>),
    /// The window ends before the range does.
    Behind {
        guard: String,
        head: Seq,
    },
    Load(String),
    Loading,
    Bypass,
}

/// What a change has to do with.
enum Barred {
    Window(Cache, [String; 1]),
    Room(Directory, ConversationId),
}

impl Barred {
    async fn bar(&self, bar: &str) {
        match self {
            Self::Window(cache, guard) => cache.bar(guard, bar).await,
            Self::Room(directory, room) => directory.bar(*room, bar).await,
        }
    }

    async fn unbar(&self, bar: &str) {
        match self {
            Self::Window(cache, guard) => cache.unbar(guard, bar).await,
            Self::Room(directory, room) => directory.unbar(*room, bar).await,
        }
    }
}

impl CachedMessages {
    pub fn new(store: Arc<dyn MessageStore>, redis: Redis, conversations: &CachedConversations) -> Self {
        let cache = Cache::new(redis, "entries", store.epoch());
        Self { store, cache, directory: conversations.directory() }
    }

    fn keys(&self, conversation: ConversationId) -> [String; 2] {
        [self.cache.key("guard", conversation), self.cache.key("history", conversation)]
    }

    /// What the entry changes besides being added.
    fn barred_by(&self, append: &Append) -> Option<Barred> {
        use EntryEvent::*;
        match append.event {
            Recalled { .. } => {
                let [guard, _] = self.keys(append.conversation);
                Some(Barred::Window(self.cache.clone(), [guard]))
            }
            Joined { .. } | Left { .. } | RoleChanged { .. } | InfoChanged { .. } => {
                Some(Barred::Room(self.directory.clone(), append.conversation))
            }
            Message { .. } | Edited { .. } | Reacted { .. } | Silenced { .. } => None,
        }
    }

    async fn look(&self, conversation: ConversationId, from: Seq, to: Seq, load: &str) -> Seen {
        if !self.cache.is_trusted() {
            return Seen::Bypass;
        }
        let [guard, list] = self.keys(conversation);
        let mut script = LOOK.key(guard);
        script.key(list).arg(load).arg(LOAD_MS).arg(from.0).arg(to.0);
        match self.cache.ask(self.cache.redis.run::<Vec<String>>(&script)).await {
            Some(there) => seen(there, to, load),
            None => Seen::Bypass,
        }
    }

    async fn put(&self, conversation: ConversationId, guard: &str, entries: &[Entry], ttl_ms: i64) {
        let Some(head) = entries.last().map(|entry| entry.seq) else { return };
        let Some(next) = token() else { return };
        let [guard_key, list] = self.keys(conversation);
        let mut script = PUT.key(guard_key);
        script.key(list).arg(guard).arg(format!("{next}:{head}")).arg(ttl_ms).arg(WINDOW);
        for entry in entries {
            let Ok(json) = serde_json::to_string(entry) else { return };
            script.arg(json);
        }
        // What is not there is read again.
        let _ = self.cache.ask(self.cache.redis.run::<Value>(&script)).await;
    }

    /// Entries up to `to`, as many as the window has and at most `count`. `None`: ask the store.
    async fn window(&self, conversation: ConversationId, to: Seq, count: u32) -> Result<Option<Vec<Entry>>> {
        let Some(load) = token() else { return Ok(None) };
        let (patience, mut pause) = (Instant::now() + LOADING, LOOK_AGAIN);
        let from = Seq(to.0 - i64::from(count) + 1);
        loop {
            match self.look(conversation, from, to, &load).await {
                Seen::Entries(entries) => {
                    self.cache.count("redis", 1);
                    return Ok(Some(entries));
                }
                Seen::Behind { guard, head } => return self.extend(conversation, &guard, head, to).await,
                Seen::Load(guard) => return self.load(conversation, &guard, to).await.map(Some),
                Seen::Loading if Instant::now() < patience => {
                    tokio::time::sleep(pause).await;
                    pause = LOOK_RARELY.min(pause * 2);
                }
                Seen::Loading | Seen::Bypass => {
                    self.cache.bypassed();
                    return Ok(None);
                }
            }
        }
    }

    async fn load(&self, conversation: ConversationId, guard: &str, to: Seq) -> Result<Vec<Entry>> {
        self.cache.count("store", 1);
        let loaded = self.store.newest(conversation, to, Revision(0), WINDOW).await;
        let fitting = loaded.as_ref().map_or(&[][..], |(entries, _)| fitting(entries));
        if fitting.is_empty() {
            // Nobody need wait for it.
            self.cache.unbar(&self.keys(conversation)[..1], "").await;
        }
        self.put(conversation, guard, fitting, jittered(TTL_MS)).await;
        Ok(loaded?.0)
    }

    /// Adds what the window lacks; the page itself is left to the store this once.
    async fn extend(&self, conversation: ConversationId, guard: &str, head: Seq, to: Seq) -> Result<Option<Vec<Entry>>> {
        self.cache.count("store", 1);
        if to.0 - head.0 > i64::from(WINDOW) / 2 {
            // Another lookup loads it anew.
            self.cache.unbar(&self.keys(conversation)[..1], "").await;
            return Ok(None);
        }
        let missing = self.store.entries(conversation, head.next(), to, WINDOW).await?;
        let is_next = missing.first().is_some_and(|entry| entry.seq == head.next()) && missing.last().is_some_and(|entry| entry.seq == to);
        if is_next && fitting(&missing).len() == missing.len() {
            self.put(conversation, guard, &missing, 0).await;
        }
        Ok(None)
    }
}

#[async_trait]
impl MessageStore for CachedMessages {
    fn append(&self, append: Append) -> BoxFuture<'static, Result<Appended>> {
        let Some(barred) = self.barred_by(&append) else { return self.store.append(append) };
        // Queued before this returns, so the bar goes up while it waits for the disk.
        let appending = self.store.append(append);
        let changing = tokio::spawn(async move {
            let bar = bar_of_one_change()?;
            let ((), outcome) = tokio::join!(barred.bar(&bar), appending);
            barred.unbar(&bar).await;
            outcome
        });
        // A task of its own: the bar comes down also if nobody waits for the answer any more.
        Box::pin(async move { changing.await.unwrap_or_else(|_| Err(Error::internal())) })
    }

    async fn entries(&self, conversation: ConversationId, from: Seq, to: Seq, limit: u32) -> Result<Vec<Entry>> {
        let last = to.min(Seq(from.0.saturating_add(i64::from(limit) - 1)));
        if from.0 >= 1 && from <= last {
            if let Seen::Entries(entries) = self.look(conversation, from, last, "").await
                && entries.first().is_some_and(|entry| entry.seq == from)
            {
                self.cache.count("redis", 1);
                return Ok(entries);
            }
            self.cache.count("store", 1);
        }
        self.store.entries(conversation, from, to, limit).await
    }

    async fn newest(&self, conversation: ConversationId, to: Seq, after: Revision, limit: u32) -> Result<(Vec<Entry>, bool)> {
        if to.0 >= 1
            && limit < WINDOW
            && let Some(entries) = self.window(conversation, to, limit + 1).await?
            && let Some(page) = page(entries, after, limit as usize)
        {
            return Ok(page);
        }
        self.store.newest(conversation, to, after, limit).await
    }

    async fn history(&self, conversation: ConversationId, query: HistoryQuery) -> Result<HistoryPage> {
        self.store.history(conversation, query).await
    }

    async fn state(&self, conversation: ConversationId, seq: Seq) -> Result<Option<MessageState>> {
        self.store.state(conversation, seq).await
    }

    fn epoch(&self) -> Epoch {
        self.store.epoch()
    }

    fn shards(&self) -> u16 {
        self.store.shards()
    }

    async fn revisions(&self) -> Result<Vec<Revision>> {
        self.store.revisions().await
    }
}

fn seen(there: Vec<String>, to: Seq, load: &str) -> Seen {
    let mut there = there.into_iter();
    let guard = there.next().unwrap_or_default();
    match guard.as_bytes().first() {
        Some(b'V') => {}
        Some(b'L') if !load.is_empty() && guard.ends_with(load) => return Seen::Load(guard),
        Some(b'L') => return Seen::Loading,
        _ => return Seen::Bypass,
    }
    let head = guard.rsplit_once(':').and_then(|(_, head)| head.parse().ok()).map(Seq);
    match head {
        Some(head) if head < to => return Seen::Behind { guard, head },
        None => return Seen::Bypass,
        Some(_) => {}
    }
    let entries: Option<Vec<Entry>> = there.rev().map(|json| serde_json::from_str(&json).ok()).collect();
    // A list may be evicted without its guard.
    entries.filter(|entries| is_whole(entries, to)).map_or(Seen::Bypass, Seen::Entries)
}

fn is_whole(entries: &[Entry], to: Seq) -> bool {
    entries.last().is_some_and(|entry| entry.seq == to) && entries.windows(2).all(|two| two[0].seq.next() == two[1].seq)
}

/// The newest of them that fit.
fn fitting(entries: &[Entry]) -> &[Entry] {
    let mut bytes = 0;
    let fits = |entry: &&Entry| {
        bytes += serde_json::to_string(entry).map_or(WINDOW_BYTES, |json| json.len());
        bytes <= WINDOW_BYTES
    };
    let count = entries.iter().rev().take_while(fits).count();
    &entries[entries.len() - count..]
}

/// The newest `limit` of those after the revision, and whether there are more; `None` if that is not known from these.
fn page(mut entries: Vec<Entry>, after: Revision, limit: usize) -> Option<(Vec<Entry>, bool)> {
    let reaches_it = entries.first().is_some_and(|first| first.revision <= after || first.seq == Seq(1));
    entries.retain(|entry| entry.revision > after);
    let more = entries.len() > limit;
    entries.drain(..entries.len().saturating_sub(limit));
    (more || reaches_it).then_some((entries, more))
}
