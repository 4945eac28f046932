//! Ids nobody can have, which are answered without the database: who asks for ids at random costs it nothing.
//!
//! Ids are given out one after the other. One that lies more than [`MARGIN`] above the highest there was a moment ago has
//! not been given to anybody.
//!
//! **Invariant:** an id that was given out is asked for, as long as fewer than [`MARGIN`] are given out within [`FRESH`],
//! by whatever process. **Bound:** one query in [`FRESH`], however many ask.

use super::engine::Sql;
use super::readers::Readers;
use super::transaction::one;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const MARGIN: i64 = 1 << 20;
const FRESH: Duration = Duration::from_secs(60);

pub(crate) const LAST_USER: &str = "SELECT coalesce(max(uid), 0) FROM user";
pub(crate) const LAST_CONVERSATION: &str = "SELECT coalesce(max(id), 0) FROM conversation";

/// Of the ids of one table.
pub(crate) struct Horizon {
    last: &'static str,
    known: Mutex<Option<Known>>,
    looking: tokio::sync::Mutex<()>,
}

#[derive(Clone, Copy)]
struct Known {
    highest: i64,
    since: Instant,
}

impl Horizon {
    /// `last`: the statement that answers the highest id.
    pub(crate) fn new(last: &'static str) -> Self {
        Self { last, known: Mutex::new(None), looking: tokio::sync::Mutex::new(()) }
    }

    /// Whether the database may know this id.
    pub(crate) async fn reaches(&self, id: i64, readers: &Readers) -> bool {
        if let Some(answer) = self.judged(id) {
            return answer;
        }
        let _alone = self.looking.lock().await;
        if let Some(answer) = self.judged(id) {
            return answer;
        }
        let (last, since) = (self.last, Instant::now());
        let highest = readers.read(move |connection: &dyn Sql| one(connection, last, &[], |row| row.get::<i64>(0))).await;
        match highest {
            Ok(highest) => {
                *self.known() = Some(Known { highest: highest.unwrap_or(0), since });
                self.judged(id).unwrap_or(true)
            }
            // Whoever asks for the id itself learns what is wrong.
            Err(_) => true,
        }
    }

    /// `None`: what is known is too old for that.
    fn judged(&self, id: i64) -> Option<bool> {
        if id <= 0 {
            return Some(false);
        }
        let known = (*self.known())?;
        if id <= known.highest.saturating_add(MARGIN) {
            return Some(true);
        }
        let is_fresh = known.since.elapsed() < FRESH;
        if is_fresh {
            metrics::counter!("skein_store_far_ids_total").increment(1);
        }
        is_fresh.then_some(false)
    }

    fn known(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Config, Store};
    use skein_domain::id::{ConversationId, Uid};
    use skein_domain::port::{AccountStore, ConversationStore};

    #[tokio::test]
    async fn ten_thousand_ids_at_random_cost_one_query() {
        let folder = tempfile::tempdir().expect("folder");
        let store = Store::open(folder.path(), &Config::default()).expect("store");
        let at_random = |n: i64| 2_000_000 + n.wrapping_mul(0x5851_f42d_4c95_7f2d).rem_euclid(1 << 52);
        let ask = async |n| {
            let id = at_random(n);
            let (conversation, uid) = (ConversationId(id), Uid(id));
            let found = store.snapshot(conversation).await?.is_some()
                || store.member(conversation, uid).await?.is_some()
                || store.view(conversation, uid).await?.is_some()
                || store.user(uid).await?.is_some()
                || !store.profiles(&[uid]).await?.is_empty();
            Ok::<_, skein_domain::Error>(found)
        };
        assert!(!ask(0).await.expect("asked of the database"));
        // From here on a query would fail.
        store.close();
        for n in 1..10_000 {
            assert!(!ask(n).await.expect("asked of nobody"));
        }
        assert!(store.snapshot(ConversationId(1)).await.is_err(), "an id that may be is asked for");
    }
}
