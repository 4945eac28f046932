//! Contacts: finding people, friend requests, remarks, blocks.
//!
//! Owns what may be asked, how often, and how lists are paged. The store decides and writes an item into the user log of each side
//! a change concerns; from there it is pushed and synced like everything else, so nothing is pushed here.
//!
//! **Invariant:** a search shows nobody's e-mail address, no disabled user, and by address only who wants to be found that way.

use crate::account::email;
use crate::account::profile::hide_private;
use crate::account::rate::{Rate, RateLimit};
use crate::cursor::{self, CursorKind, bad_cursor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use skein_domain::account::Profile;
use skein_domain::command::SearchBy;
use skein_domain::contact::{Friend, FriendRequest};
use skein_domain::door::Caller;
use skein_domain::id::{RequestId, Uid};
use skein_domain::port::{AccountStore, Clock, ContactStore, fold_nickname};
use skein_domain::{Code, Error, Result, policy};
use std::sync::Arc;

const PREFIX_CHARS_MIN: usize = 2;
const SEARCH_PAGE: u32 = 20;
const LIST_PAGE: u32 = 50;
const LIST_PAGE_MAX: u32 = 200;

/// Contacts: how often one may search and ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Searches of one user.
    pub searches: Rate,
    /// Searches by e-mail address of one user, counted in addition.
    pub email_searches: Rate,
    /// Friend requests of one user; the default allows at most 30 in any hour.
    pub requests: Rate,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            searches: Rate { burst: 30, every_ms: 2_000 },
            email_searches: Rate { burst: 10, every_ms: 60_000 },
            requests: Rate { burst: 15, every_ms: 240_000 },
        }
    }
}

pub struct Contacts {
    store: Arc<dyn ContactStore>,
    accounts: Arc<dyn AccountStore>,
    clock: Arc<dyn Clock>,
    searches: RateLimit,
    email_searches: RateLimit,
    requests: RateLimit,
    friends_max: u32,
}

impl Contacts {
    /// `friends_max` is [`skein_domain::Limits::friends`].
    pub fn new(
        store: Arc<dyn ContactStore>,
        accounts: Arc<dyn AccountStore>,
        clock: Arc<dyn Clock>,
        friends_max: u32,
        config: &Config,
    ) -> Self {
        Self {
            store,
            accounts,
            searches: RateLimit::new("searches", config.searches, clock.clone()),
            email_searches: RateLimit::new("email_searches", config.email_searches, clock.clone()),
            requests: RateLimit::new("friend_requests", config.requests, clock.clone()),
            clock,
            friends_max,
        }
    }

    // === Search ===

    /// Up to 20 profiles, and the cursor of the next page; empty at the end.
    pub async fn search(&self, caller: &Caller, by: SearchBy, cursor: &str) -> Result<(Vec<Profile>, String)> {
        self.searches.check(caller.uid)?;
        let (mut profiles, cursor) = match by {
            SearchBy::Uid(uid) => (self.accounts.profiles(&[uid]).await?, String::new()),
            SearchBy::Email(address) => (self.search_email(caller, &address).await?, String::new()),
            SearchBy::NicknamePrefix(prefix) => self.search_nickname(&prefix, cursor).await?,
        };
        profiles.iter_mut().for_each(hide_private);
        Ok((profiles, cursor))
    }

    /// Exact, and only who may be found so; nobody looks the same as somebody hidden.
    async fn search_email(&self, caller: &Caller, address: &str) -> Result<Vec<Profile>> {
        let address = email::normalise(address)?;
        self.email_searches.check(caller.uid)?;
        match self.accounts.user_by_email(&address).await? {
            Some(user) if user.findable_by_email => self.accounts.profiles(&[user.uid]).await,
            _ => Ok(Vec::new()),
        }
    }

    async fn search_nickname(&self, prefix: &str, cursor: &str) -> Result<(Vec<Profile>, String)> {
        let prefix = fold_nickname(prefix);
        if !(PREFIX_CHARS_MIN..=policy::NICKNAME_CHARS_MAX).contains(&prefix.chars().count()) {
            return Err(Error::new(Code::BadRequest, "a nickname is searched by 2 to 32 characters"));
        }
        let after = open_nickname(cursor)?;
        let found = self.accounts.profiles_by_nickname(&prefix, after, SEARCH_PAGE + 1).await?;
        let (found, last) = page(found, SEARCH_PAGE, |profile| (fold_nickname(&profile.nickname), profile.uid));
        Ok((found, last.map(seal_nickname).unwrap_or_default()))
    }

    // === Requests ===

    /// `not_self`, `not_found`, `already_member` for friends, `friends_full`, `rate_limited`.
    pub async fn apply(&self, caller: &Caller, to: Uid, greeting: &str) -> Result<FriendRequest> {
        not_self(caller, to)?;
        let greeting = policy::checked_greeting(greeting)?;
        self.requests.check(caller.uid)?;
        self.must_exist(to).await?;
        self.store.apply(caller.uid, to, greeting, self.clock.now(), self.friends_max).await
    }

    pub async fn answer(&self, caller: &Caller, request: RequestId, accept: bool) -> Result<FriendRequest> {
        self.store.answer(caller.uid, request, accept, self.clock.now(), self.friends_max).await
    }

    /// From and to the caller, newest first.
    pub async fn requests(&self, caller: &Caller, cursor: &str) -> Result<(Vec<FriendRequest>, String)> {
        let before = cursor::open_id(CursorKind::Requests, cursor)?.map(RequestId);
        let requests = self.store.requests(caller.uid, before, LIST_PAGE + 1).await?;
        let (requests, last) = page(requests, LIST_PAGE, |request| request.id.0);
        Ok((requests, cursor::seal_id(CursorKind::Requests, last)))
    }

    // === Friends ===

    /// An empty remark takes it away.
    pub async fn change_remark(&self, caller: &Caller, peer: Uid, remark: &str) -> Result<Friend> {
        not_self(caller, peer)?;
        let remark = policy::checked_remark(remark)?;
        self.store.change_remark(caller.uid, peer, remark).await
    }

    pub async fn delete_friend(&self, caller: &Caller, peer: Uid) -> Result<()> {
        not_self(caller, peer)?;
        self.store.delete_friend(caller.uid, peer).await
    }

    pub async fn block(&self, caller: &Caller, peer: Uid, on: bool) -> Result<Friend> {
        not_self(caller, peer)?;
        // Who is blocked may have been disabled since, and can still be let go.
        if on {
            self.must_exist(peer).await?;
        }
        self.store.block(caller.uid, peer, on, self.clock.now()).await
    }

    /// By uid; `count` 0 means 50, and more than 200 means 200.
    pub async fn friends(&self, caller: &Caller, cursor: &str, count: u32) -> Result<(Vec<Friend>, String)> {
        let after = cursor::open_id(CursorKind::Friends, cursor)?.map(Uid).unwrap_or_default();
        let count = page_size(count);
        let friends = self.store.friends(caller.uid, after, count + 1).await?;
        let (friends, last) = page(friends, count, |friend| friend.uid.0);
        Ok((friends, cursor::seal_id(CursorKind::Friends, last)))
    }

    /// Whom the caller has blocked; pages like [`Self::friends`].
    pub async fn blocked(&self, caller: &Caller, cursor: &str, count: u32) -> Result<(Vec<Friend>, String)> {
        let after = cursor::open_id(CursorKind::Blocked, cursor)?.map(Uid).unwrap_or_default();
        let count = page_size(count);
        let blocked = self.store.blocked(caller.uid, after, count + 1).await?;
        let (blocked, last) = page(blocked, count, |friend| friend.uid.0);
        Ok((blocked, cursor::seal_id(CursorKind::Blocked, last)))
    }

    async fn must_exist(&self, uid: Uid) -> Result<()> {
        let found = self.accounts.profiles(&[uid]).await?;
        if found.is_empty() { Err(Error::new(Code::NotFound, "no such user")) } else { Ok(()) }
    }
}

fn not_self(caller: &Caller, other: Uid) -> Result<()> {
    if caller.uid == other { Err(Error::new(Code::NotSelf, "that is you")) } else { Ok(()) }
}

// === Pages ===

fn page_size(count: u32) -> u32 {
    if count == 0 { LIST_PAGE } else { count.min(LIST_PAGE_MAX) }
}

/// `found` holds one more than `size` if there is a next page; then the place of this one's last item comes with it.
fn page<T, P>(mut found: Vec<T>, size: u32, place: impl Fn(&T) -> P) -> (Vec<T>, Option<P>) {
    let more = found.len() > size as usize;
    found.truncate(size as usize);
    let last = found.last().filter(|_| more).map(place);
    (found, last)
}

/// Uid first: it has a fixed size.
fn seal_nickname((folded, uid): (String, Uid)) -> String {
    let mut payload = uid.0.to_be_bytes().to_vec();
    payload.extend_from_slice(folded.as_bytes());
    cursor::seal(CursorKind::Nicknames, &payload)
}

/// `None`: from the beginning.
fn open_nickname(text: &str) -> Result<Option<(String, Uid)>> {
    if text.is_empty() {
        return Ok(None);
    }
    let payload = cursor::open(CursorKind::Nicknames, text)?;
    let (uid, folded) = payload.split_first_chunk().ok_or_else(bad_cursor)?;
    let folded = String::from_utf8(folded.to_vec()).map_err(|_| bad_cursor())?;
    Ok(Some((folded, Uid(i64::from_be_bytes(*uid)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_names_the_next_only_if_there_is_one() {
        let place = |n: &i64| *n;
        assert_eq!(page(vec![1, 2, 3], 2, place), (vec![1, 2], Some(2)));
        assert_eq!(page(vec![1, 2], 2, place), (vec![1, 2], None));
        assert_eq!(page(Vec::<i64>::new(), 2, place), (vec![], None));
    }

    #[test]
    fn a_place_among_nicknames_survives_its_cursor() {
        let place = ("安 ann".to_owned(), Uid(7));
        let text = seal_nickname(place.clone());
        assert_eq!(open_nickname(&text).unwrap(), Some(place));
        assert_eq!(open_nickname("").unwrap(), None);
        let of_friends = cursor::seal_id(CursorKind::Friends, Some(7));
        for bad in [&text[1..], &of_friends, "!"] {
            assert_eq!(open_nickname(bad).unwrap_err().code, Code::BadCursor);
        }
    }

    #[test]
    fn pages_have_a_default_and_a_largest_size() {
        assert_eq!([page_size(0), page_size(1), page_size(200), page_size(1_000)], [50, 1, 200, 200]);
    }
}
