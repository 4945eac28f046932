//! Who is where, read: by session, by the sets, and by user for the fan-out, which asks for every message.
//!
//! Lookups by user go together: while one is under way those that come wait, and the next takes all of them. So what Redis
//! is asked for grows with time, not with messages. An answer is always of a lookup that began after it was asked for.
//!
//! **Bound:** [`WAITING_MAX`] wait in a queue, beyond that whoever asks waits for room; [`TOGETHER_MAX`] go together.

use super::Redis;
use super::entry::{CHUNK, live, member, session_of};
use redis::{Cmd, FromRedisValue, Value};
use skein_domain::id::{Millis, NodeId, SessionId, Uid};
use skein_domain::port::Route;
use skein_domain::{Code, Error, Result};
use std::collections::{BTreeSet, HashMap};
use tokio::sync::{mpsc, oneshot};

const WAITING_MAX: usize = 1_024;
const TOGETHER_MAX: usize = 256;

pub(super) struct Lookups {
    asks: mpsc::Sender<Ask>,
}

struct Ask {
    uids: Vec<Uid>,
    answer: oneshot::Sender<Result<Vec<Route>>>,
}

impl Lookups {
    /// Looks for as long as this lives.
    pub fn start(redis: Redis) -> Self {
        let (asks, asked) = mpsc::channel(WAITING_MAX);
        tokio::spawn(look(redis, asked));
        Self { asks }
    }

    pub async fn routes(&self, uids: &[Uid]) -> Result<Vec<Route>> {
        let ended = || Error::new(Code::Unavailable, "the registry is closed");
        let (answer, answered) = oneshot::channel();
        self.asks.send(Ask { uids: uids.to_vec(), answer }).await.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}

async fn look(redis: Redis, mut asked: mpsc::Receiver<Ask>) {
    let mut together = Vec::with_capacity(TOGETHER_MAX);
    while asked.recv_many(&mut together, TOGETHER_MAX).await > 0 {
        metrics::histogram!("skein_registry_lookups_together").record(together.len() as f64);
        let uids: BTreeSet<Uid> = together.iter().flat_map(|ask| ask.uids.iter().copied()).collect();
        let found = of_users(&redis, &Vec::from_iter(uids)).await;
        for Ask { uids, answer } in together.drain(..) {
            let of_these = |found: &HashMap<Uid, Vec<Route>>| uids.iter().filter_map(|uid| found.get(uid)).flatten().cloned().collect();
            // Whoever does not wait any more needs none.
            let _ = answer.send(found.as_ref().map(of_these).map_err(Error::clone));
        }
    }
}

async fn of_users(redis: &Redis, uids: &[Uid]) -> Result<HashMap<Uid, Vec<Route>>> {
    let keys: Vec<String> = uids.iter().map(|uid| user_key(redis, *uid)).collect();
    let mut users: HashMap<Uid, Vec<Route>> = HashMap::new();
    for route in indexed(redis, &keys, |key, route| *key == user_key(redis, route.uid)).await? {
        users.entry(route.uid).or_default().push(route);
    }
    Ok(users)
}

pub(super) async fn at_node(redis: &Redis, node: &NodeId) -> Result<Vec<Route>> {
    indexed(redis, &[node_key(redis, node)], |_, route| route.node == *node).await
}

/// Live entries of these sessions, in their order.
pub(super) async fn of_sessions(redis: &Redis, sessions: &[SessionId]) -> Result<Vec<Route>> {
    entries(redis, sessions).await?.into_iter().filter_map(Result::transpose).collect()
}

/// What is there of each of these sessions: nothing, or an entry, which may be unreadable.
async fn entries(redis: &Redis, sessions: &[SessionId]) -> Result<Vec<Result<Option<Route>>>> {
    let mut entries = Vec::with_capacity(sessions.len());
    for some in sessions.chunks(CHUNK) {
        let mut asked = vec![redis::cmd("TIME")];
        asked.extend(some.iter().map(|session| Cmd::get(session_key(redis, *session))));
        let mut answers = redis.all::<Value>(asked).await?.into_iter();
        let now = redis.time(read(answers.next().ok_or_else(Error::internal)?)?);
        entries.extend(answers.map(|entry| route_of(entry, now)));
    }
    Ok(entries)
}

fn route_of(entry: Value, now: Millis) -> Result<Option<Route>> {
    let entry: Option<String> = read(entry)?;
    Ok(entry.map(|entry| live(&entry, now)).transpose()?.flatten())
}

fn read<T: FromRedisValue>(value: Value) -> Result<T> {
    redis::from_redis_value(value).map_err(|_| Error::internal())
}

/// Live entries of the connections that the sets under these keys name, if `is_there` agrees; of the others the sets are
/// cleaned.
async fn indexed(redis: &Redis, keys: &[String], is_there: impl Fn(&str, &Route) -> bool) -> Result<Vec<Route>> {
    let mut found = Vec::new();
    for some in keys.chunks(CHUNK) {
        let sets: Vec<BTreeSet<String>> = redis.all(some.iter().map(Cmd::smembers).collect()).await?;
        let all: BTreeSet<SessionId> = sets.iter().flatten().filter_map(|member| session_of(member)).collect();
        // One that cannot be read is as good as gone: others are asked for with it.
        let live = entries(redis, &Vec::from_iter(all)).await?.into_iter().filter_map(Result::ok).flatten();
        let live: HashMap<String, Route> = live.map(|route| (member(route.connection()), route)).collect();
        let mut stale = Vec::new();
        for (key, set) in some.iter().zip(&sets) {
            for member in set {
                match live.get(member).filter(|route| is_there(key, route)) {
                    Some(route) => found.push(route.clone()),
                    None => stale.push(Cmd::srem(key, member)),
                }
            }
        }
        redis.all::<Value>(stale).await?;
    }
    Ok(found)
}

pub(super) fn session_key(redis: &Redis, session: SessionId) -> String {
    redis.key(format_args!("session:{session}"))
}

pub(super) fn user_key(redis: &Redis, uid: Uid) -> String {
    redis.key(format_args!("user:{uid}"))
}

pub(super) fn node_key(redis: &Redis, node: &NodeId) -> String {
    redis.key(format_args!("at:{node}"))
}
