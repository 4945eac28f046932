//! Friends, requests and blocks: [`ContactStore`].
//!
//! **Invariant:** a friendship has a row on both sides or on none. A block is never told: a request to somebody who blocks
//! the sender is kept as `HIDDEN`, which its sender sees as pending and nobody else sees.

use super::Store;
use super::contact_views::{
    ACCEPTED, BLOCKED, DECLINED, FRIENDS, HIDDEN, PENDING, REQUESTS_RECEIVED, REQUESTS_SENT, expect_friend, expect_request, read_friend,
    read_request,
};
use super::conversations::{direct_of, open_direct};
use super::effects::check_user;
use super::engine::{Sql, params};
use super::failure::{Outcome, not_found, refuse};
use super::transaction::{Transaction, many, one};
use super::user_log::{self, Subject};
use super::views;
use async_trait::async_trait;
use skein_domain::contact::{Friend, FriendRequest};
use skein_domain::conversation::Standing;
use skein_domain::id::{Millis, RequestId, Uid};
use skein_domain::port::ContactStore;
use skein_domain::{Code, Result};

const BYTES: usize = 512;

#[async_trait]
impl ContactStore for Store {
    async fn apply(&self, from: Uid, to: Uid, greeting: String, at: Millis, friends_max: u32) -> Result<FriendRequest> {
        self.writer().submit(BYTES + greeting.len(), move |tx| apply(tx, from, to, &greeting, at, friends_max)).await
    }

    async fn answer(&self, uid: Uid, request: RequestId, accept: bool, at: Millis, friends_max: u32) -> Result<FriendRequest> {
        self.writer().submit(BYTES, move |tx| answer(tx, uid, request, accept, at, friends_max)).await
    }

    async fn change_remark(&self, uid: Uid, peer: Uid, remark: String) -> Result<Friend> {
        let write = move |tx: &mut Transaction<'_>| {
            let sql = "UPDATE contact SET remark = ?3 WHERE uid = ?1 AND peer = ?2";
            if tx.execute(sql, params![uid.0, peer.0, remark])? == 0 {
                return not_found("no such contact");
            }
            user_log::put(tx, uid, Subject::Friend(peer))?;
            expect_friend(tx.connection, uid, peer)
        };
        self.writer().submit(BYTES, write).await
    }

    async fn delete_friend(&self, uid: Uid, peer: Uid) -> Result<()> {
        self.writer().submit(BYTES, move |tx| delete_friend(tx, uid, peer)).await
    }

    async fn block(&self, uid: Uid, peer: Uid, on: bool, at: Millis) -> Result<Friend> {
        self.writer().submit(BYTES, move |tx| block(tx, uid, peer, on, at)).await
    }

    async fn standings(&self, uid: Uid, others: &[Uid]) -> Result<Vec<Standing>> {
        let others = others.to_vec();
        let read = move |connection: &dyn Sql| others.iter().map(|other| views::standing(connection, uid, *other)).collect();
        self.readers().read(read).await
    }

    async fn friends(&self, uid: Uid, after: Uid, limit: u32) -> Result<Vec<Friend>> {
        self.readers().read(move |connection| many(connection, FRIENDS, params![uid.0, after.0, limit], read_friend)).await
    }

    async fn blocked(&self, uid: Uid, after: Uid, limit: u32) -> Result<Vec<Friend>> {
        self.readers().read(move |connection| many(connection, BLOCKED, params![uid.0, after.0, limit], read_friend)).await
    }

    async fn requests(&self, uid: Uid, before: Option<RequestId>, limit: u32) -> Result<Vec<FriendRequest>> {
        let before = before.map_or(i64::MAX, |id| id.0);
        let read = move |connection: &dyn Sql| {
            let mut requests = many(connection, REQUESTS_SENT, params![uid.0, before, limit], |row| read_request(row, uid))?;
            requests.extend(many(connection, REQUESTS_RECEIVED, params![uid.0, before, limit], |row| read_request(row, uid))?);
            requests.sort_unstable_by_key(|request| std::cmp::Reverse(request.id));
            requests.truncate(limit as usize);
            Ok(requests)
        };
        self.readers().read(read).await
    }
}

// === requests ===

fn apply(tx: &mut Transaction<'_>, from: Uid, to: Uid, greeting: &str, at: Millis, friends_max: u32) -> Outcome<FriendRequest> {
    if from == to {
        return refuse(Code::NotSelf, "that is you");
    }
    check_user(tx.connection, from)?;
    check_user(tx.connection, to)?;
    if views::standing(tx.connection, from, to)?.friends {
        return refuse(Code::AlreadyMember, "you are friends already");
    }
    check_room(tx.connection, from, friends_max)?;
    let is_blocked = blocks(tx.connection, to, from)?;
    if !is_blocked && let Some(id) = open_request(tx.connection, to, from, PENDING)? {
        return accept(tx, id, to, from, at, friends_max, from);
    }
    let state = if is_blocked { HIDDEN } else { PENDING };
    let sql = "SELECT id FROM friend_request WHERE from_uid = ?1 AND to_uid = ?2 AND state IN (0, 3)";
    let id = match one(tx.connection, sql, params![from.0, to.0], |row| row.get(0).map(RequestId))? {
        Some(id) => {
            let sql = "UPDATE friend_request SET greeting = ?2, state = ?3, at = ?4 WHERE id = ?1";
            tx.execute(sql, params![id.0, greeting, state, at.0])?;
            id
        }
        None => {
            tx.execute(
                "INSERT INTO friend_request (from_uid, to_uid, greeting, state, at) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![from.0, to.0, greeting, state, at.0],
            )?;
            RequestId(tx.connection.last_insert_id())
        }
    };
    user_log::put(tx, from, Subject::Request(id))?;
    if !is_blocked {
        user_log::put(tx, to, Subject::Request(id))?;
    }
    expect_request(tx.connection, from, id)
}

fn answer(tx: &mut Transaction<'_>, uid: Uid, id: RequestId, yes: bool, at: Millis, friends_max: u32) -> Outcome<FriendRequest> {
    let sql = "SELECT from_uid, state FROM friend_request WHERE id = ?1 AND to_uid = ?2";
    let found = one(tx.connection, sql, params![id.0, uid.0], |row| Ok((Uid(row.get(0)?), row.get(1)?)))?;
    match (found, yes) {
        (Some((from, PENDING)), true) => accept(tx, id, from, uid, at, friends_max, uid),
        (Some((from, PENDING)), false) => {
            set_state(tx, id, DECLINED)?;
            user_log::put(tx, from, Subject::Request(id))?;
            user_log::put(tx, uid, Subject::Request(id))?;
            expect_request(tx.connection, uid, id)
        }
        (Some((_, ACCEPTED)), true) | (Some((_, DECLINED)), false) => expect_request(tx.connection, uid, id),
        _ => not_found("no such request"),
    }
}

/// Makes both friends and opens their direct conversation. Answers the request as `reader` sees it.
fn accept(
    tx: &mut Transaction<'_>,
    id: RequestId,
    from: Uid,
    to: Uid,
    at: Millis,
    friends_max: u32,
    reader: Uid,
) -> Outcome<FriendRequest> {
    for (uid, peer) in [(from, to), (to, from)] {
        if !is_friend(tx.connection, uid, peer)? {
            check_room(tx.connection, uid, friends_max)?;
        }
        let known = tx.execute("UPDATE contact SET friend = 1, since = ?3 WHERE uid = ?1 AND peer = ?2", params![uid.0, peer.0, at.0])?;
        if known == 0 {
            tx.execute("INSERT INTO contact (uid, peer, friend, since) VALUES (?1, ?2, 1, ?3)", params![uid.0, peer.0, at.0])?;
        }
    }
    set_state(tx, id, ACCEPTED)?;
    // What the other applied for meanwhile is settled with it.
    if let Some(counter) = open_request(tx.connection, to, from, PENDING)? {
        set_state(tx, counter, ACCEPTED)?;
        user_log::put(tx, from, Subject::Request(counter))?;
        user_log::put(tx, to, Subject::Request(counter))?;
    }
    open_direct(tx, from, to, at)?;
    move_policy(tx, from, to)?;
    for (uid, peer) in [(from, to), (to, from)] {
        user_log::put(tx, uid, Subject::Request(id))?;
        user_log::put(tx, uid, Subject::Friend(peer))?;
    }
    expect_request(tx.connection, reader, id)
}

fn set_state(tx: &Transaction<'_>, id: RequestId, state: i64) -> Outcome<()> {
    tx.execute("UPDATE friend_request SET state = ?2 WHERE id = ?1", params![id.0, state])?;
    Ok(())
}

fn open_request(connection: &dyn Sql, from: Uid, to: Uid, state: i64) -> Outcome<Option<RequestId>> {
    let sql = "SELECT id FROM friend_request WHERE from_uid = ?1 AND to_uid = ?2 AND state IN (0, 3) AND state = ?3";
    one(connection, sql, params![from.0, to.0, state], |row| row.get(0).map(RequestId))
}

// === friends ===

fn delete_friend(tx: &mut Transaction<'_>, uid: Uid, peer: Uid) -> Outcome<()> {
    if !is_friend(tx.connection, uid, peer)? {
        return Ok(());
    }
    for (uid, peer) in [(uid, peer), (peer, uid)] {
        tx.execute("UPDATE contact SET friend = 0 WHERE uid = ?1 AND peer = ?2", params![uid.0, peer.0])?;
        user_log::put(tx, uid, Subject::Friend(peer))?;
    }
    move_policy(tx, uid, peer)
}

fn block(tx: &mut Transaction<'_>, uid: Uid, peer: Uid, on: bool, at: Millis) -> Outcome<Friend> {
    if uid == peer {
        return refuse(Code::NotSelf, "that is you");
    }
    check_user(tx.connection, peer)?;
    if blocks(tx.connection, uid, peer)? != on {
        let known = tx.execute("UPDATE contact SET blocked = ?3 WHERE uid = ?1 AND peer = ?2", params![uid.0, peer.0, on])?;
        if known == 0 {
            let sql = "INSERT INTO contact (uid, peer, blocked, since) VALUES (?1, ?2, ?3, ?4)";
            tx.execute(sql, params![uid.0, peer.0, on, at.0])?;
        }
        user_log::put(tx, uid, Subject::Friend(peer))?;
        move_policy(tx, uid, peer)?;
    }
    expect_friend(tx.connection, uid, peer)
}

/// Whoever judged by the old standing of the two must judge again.
fn move_policy(tx: &Transaction<'_>, a: Uid, b: Uid) -> Outcome<()> {
    if let Some(direct) = direct_of(tx.connection, a, b)? {
        tx.execute("UPDATE conversation SET policy_version = policy_version + 1 WHERE id = ?1", params![direct.0])?;
    }
    Ok(())
}

fn is_friend(connection: &dyn Sql, uid: Uid, peer: Uid) -> Outcome<bool> {
    let sql = "SELECT 1 FROM contact WHERE uid = ?1 AND peer = ?2 AND friend = 1";
    Ok(one(connection, sql, params![uid.0, peer.0], |_| Ok(()))?.is_some())
}

fn blocks(connection: &dyn Sql, uid: Uid, peer: Uid) -> Outcome<bool> {
    let sql = "SELECT 1 FROM contact WHERE uid = ?1 AND peer = ?2 AND blocked = 1";
    Ok(one(connection, sql, params![uid.0, peer.0], |_| Ok(()))?.is_some())
}

pub(crate) const FRIEND_COUNT: &str = "SELECT count(*) FROM contact WHERE uid = ?1 AND friend = 1";

fn check_room(connection: &dyn Sql, uid: Uid, friends_max: u32) -> Outcome<()> {
    let friends: i64 = one(connection, FRIEND_COUNT, params![uid.0], |row| row.get(0))?.unwrap_or(0);
    if friends >= i64::from(friends_max) { refuse(Code::FriendsFull, "the list of friends is full") } else { Ok(()) }
}

pub(crate) const FRIEND_UIDS: &str = "SELECT peer FROM contact WHERE uid = ?1 AND friend = 1 ORDER BY peer";

/// Friendship is mutual: these have `uid` as a friend, too.
pub(crate) fn friend_uids(connection: &dyn Sql, uid: Uid) -> Outcome<Vec<Uid>> {
    many(connection, FRIEND_UIDS, params![uid.0], |row| row.get(0).map(Uid))
}
