//! Friends and requests as one of the two sees them.

use super::engine::{Row, Sql, params};
use super::failure::{Outcome, not_found};
use super::transaction::one;
use skein_domain::contact::{Friend, FriendRequest, RequestState};
use skein_domain::id::{ConversationId, Millis, RequestId, Uid};

pub(super) const PENDING: i64 = 0;
pub(super) const ACCEPTED: i64 = 1;
pub(super) const DECLINED: i64 = 2;
pub(super) const HIDDEN: i64 = 3;

macro_rules! request_columns {
    () => {
        "r.id, r.from_uid, r.to_uid, r.greeting, r.state, r.at, u.nickname"
    };
}

pub(crate) const REQUESTS_SENT: &str = concat!(
    "SELECT ",
    request_columns!(),
    " FROM friend_request r JOIN user u ON u.uid = r.to_uid WHERE r.from_uid = ?1 AND r.id < ?2 ORDER BY r.id DESC LIMIT ?3"
);
pub(crate) const REQUESTS_RECEIVED: &str = concat!(
    "SELECT ",
    request_columns!(),
    " FROM friend_request r JOIN user u ON u.uid = r.from_uid
      WHERE r.to_uid = ?1 AND r.state <> 3 AND r.id < ?2 ORDER BY r.id DESC LIMIT ?3"
);

/// The request as `uid`, one of the two, sees it.
pub(crate) fn request(connection: &dyn Sql, uid: Uid, id: RequestId) -> Outcome<Option<FriendRequest>> {
    one(
        connection,
        concat!(
            "SELECT ",
            request_columns!(),
            " FROM friend_request r JOIN user u ON u.uid = CASE r.from_uid WHEN ?2 THEN r.to_uid ELSE r.from_uid END WHERE r.id = ?1"
        ),
        params![id.0, uid.0],
        |row| read_request(row, uid),
    )
}

pub(super) fn expect_request(connection: &dyn Sql, uid: Uid, id: RequestId) -> Outcome<FriendRequest> {
    request(connection, uid, id)?.map_or_else(|| not_found("no such request"), Ok)
}

pub(super) fn read_request(row: &Row<'_>, reader: Uid) -> Outcome<FriendRequest> {
    let from = Uid(row.get(1)?);
    let state = match row.get(4)? {
        PENDING => RequestState::Pending,
        ACCEPTED => RequestState::Accepted,
        HIDDEN if from == reader => RequestState::Pending,
        _ => RequestState::Declined,
    };
    Ok(FriendRequest {
        id: RequestId(row.get(0)?),
        from,
        to: Uid(row.get(2)?),
        greeting: row.get(3)?,
        state,
        at: Millis(row.get(5)?),
        nickname: row.get(6)?,
    })
}

macro_rules! select_friend {
    ($condition:literal) => {
        concat!(
            "SELECT f.peer, u.nickname, f.remark, f.friend, f.blocked, f.since, c.id
               FROM contact f JOIN user u ON u.uid = f.peer
               LEFT JOIN conversation c ON c.direct_a = CASE WHEN f.uid < f.peer THEN f.uid ELSE f.peer END
                   AND c.direct_b = CASE WHEN f.uid < f.peer THEN f.peer ELSE f.uid END
              WHERE f.uid = ?1 AND ",
            $condition
        )
    };
}

pub(crate) const FRIENDS: &str = select_friend!("f.friend = 1 AND f.peer > ?2 ORDER BY f.peer LIMIT ?3");
pub(crate) const BLOCKED: &str = select_friend!("f.blocked = 1 AND f.peer > ?2 ORDER BY f.peer LIMIT ?3");

pub(crate) fn friend(connection: &dyn Sql, uid: Uid, peer: Uid) -> Outcome<Option<Friend>> {
    one(connection, select_friend!("f.peer = ?2"), params![uid.0, peer.0], read_friend)
}

pub(super) fn expect_friend(connection: &dyn Sql, uid: Uid, peer: Uid) -> Outcome<Friend> {
    friend(connection, uid, peer)?.map_or_else(|| not_found("no such contact"), Ok)
}

pub(super) fn read_friend(row: &Row<'_>) -> Outcome<Friend> {
    Ok(Friend {
        uid: Uid(row.get(0)?),
        nickname: row.get(1)?,
        remark: row.get(2)?,
        friend: row.get(3)?,
        blocked: row.get(4)?,
        since: Millis(row.get(5)?),
        conversation: row.get::<Option<i64>>(6)?.map(ConversationId),
    })
}
