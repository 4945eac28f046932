//! Rows to domain types, and the columns they are read from.
//!
//! **Invariant:** each reader takes the columns of its macro, in that order, from the given column on.

use super::engine::{Row, unreadable};
use super::failure::Outcome;
use serde::de::DeserializeOwned;
use skein_domain::account::{DeviceClass, Profile, Session, User, UserRole};
use skein_domain::conversation::{Conversation, Kind, Member, Role};
use skein_domain::entry::{Entry, MessageState};
use skein_domain::id::*;

type Read<T> = Outcome<T>;

macro_rules! conversation_columns {
    () => {
        "c.id, c.shard, c.kind, c.title, c.announcement, c.owner, c.head, c.head_revision, c.head_at, c.count, c.floor, \
         c.policy_version, c.muted_all, c.members, c.created_at"
    };
}
macro_rules! member_columns {
    () => {
        "m.conversation, m.uid, m.role, m.visible_from, m.visible_to, m.join_count, m.`read`, m.read_count, m.delivered, \
         m.pinned, m.muted, m.draft, m.silenced_until, m.revision"
    };
}
macro_rules! entry_columns {
    () => {
        "e.conversation, e.seq, e.revision, e.count, e.at, e.author, e.`key`, e.event"
    };
}
macro_rules! message_columns {
    () => {
        "s.conversation, s.seq, s.count, s.at, s.author, s.`key`, s.body, s.reply_to, s.edited_at"
    };
}
macro_rules! user_columns {
    () => {
        "u.uid, u.email, u.nickname, u.signature, u.findable_by_email, u.password_hash, u.role, u.disabled, u.created_at"
    };
}
macro_rules! session_columns {
    () => {
        "id, uid, class, client, created_at, seen_at, expires_at"
    };
}
pub(crate) use {conversation_columns, entry_columns, member_columns, message_columns, session_columns, user_columns};

pub(crate) const CONVERSATION_COLUMNS: usize = 15;
pub(crate) const ENTRY_COLUMNS: usize = 8;
pub(crate) const MEMBER_COLUMNS: usize = 14;

pub(crate) fn conversation(row: &Row<'_>, at: usize) -> Read<Conversation> {
    Ok(Conversation {
        id: ConversationId(row.get(at)?),
        shard: Shard(row.get(at + 1)?),
        kind: kind(row, at + 2)?,
        title: row.get(at + 3)?,
        announcement: row.get(at + 4)?,
        owner: row.get::<Option<i64>>(at + 5)?.map(Uid),
        head: Seq(row.get(at + 6)?),
        head_revision: Revision(row.get(at + 7)?),
        head_at: Millis(row.get(at + 8)?),
        count: CountNo(row.get(at + 9)?),
        floor: Seq(row.get(at + 10)?),
        policy_version: PolicyVersion(row.get(at + 11)?),
        muted_all: row.get(at + 12)?,
        members: row.get(at + 13)?,
        created_at: Millis(row.get(at + 14)?),
    })
}

pub(crate) fn member(row: &Row<'_>, at: usize) -> Read<Member> {
    Ok(Member {
        conversation: ConversationId(row.get(at)?),
        uid: Uid(row.get(at + 1)?),
        role: role(row, at + 2)?,
        visible_from: Seq(row.get(at + 3)?),
        visible_to: row.get::<Option<i64>>(at + 4)?.map(Seq),
        join_count: CountNo(row.get(at + 5)?),
        read: Seq(row.get(at + 6)?),
        read_count: CountNo(row.get(at + 7)?),
        delivered: Seq(row.get(at + 8)?),
        pinned: row.get(at + 9)?,
        muted: row.get(at + 10)?,
        draft: row.get(at + 11)?,
        silenced_until: Millis(row.get(at + 12)?),
        revision: Revision(row.get(at + 13)?),
    })
}

pub(crate) fn entry(row: &Row<'_>) -> Read<Entry> {
    Ok(Entry {
        conversation: ConversationId(row.get(0)?),
        seq: Seq(row.get(1)?),
        revision: Revision(row.get(2)?),
        count: CountNo(row.get(3)?),
        at: Millis(row.get(4)?),
        author: Uid(row.get(5)?),
        key: key(row, 6)?,
        event: json(row, 7)?,
    })
}

/// Without reactions, which live in rows of their own.
pub(crate) fn message(row: &Row<'_>) -> Read<MessageState> {
    let body = if row.is_null(6)? { None } else { Some(json(row, 6)?) };
    Ok(MessageState {
        conversation: ConversationId(row.get(0)?),
        seq: Seq(row.get(1)?),
        count: CountNo(row.get(2)?),
        at: Millis(row.get(3)?),
        author: Uid(row.get(4)?),
        key: key(row, 5)?,
        body,
        reply_to: row.get::<Option<i64>>(7)?.map(Seq),
        edited_at: row.get::<Option<i64>>(8)?.map(Millis),
        reactions: Vec::new(),
    })
}

pub(crate) fn user(row: &Row<'_>) -> Read<User> {
    Ok(User {
        uid: Uid(row.get(0)?),
        email: row.get(1)?,
        nickname: row.get(2)?,
        signature: row.get(3)?,
        findable_by_email: row.get(4)?,
        password_hash: row.get(5)?,
        role: if row.get(6)? { UserRole::Admin } else { UserRole::User },
        disabled: row.get(7)?,
        created_at: Millis(row.get(8)?),
    })
}

/// Of `uid, nickname, signature, findable_by_email`: as others see it.
pub(crate) fn profile(row: &Row<'_>) -> Read<Profile> {
    Ok(Profile { uid: Uid(row.get(0)?), nickname: row.get(1)?, signature: row.get(2)?, email: None, findable_by_email: row.get(3)? })
}

pub(crate) fn session(row: &Row<'_>) -> Read<Session> {
    let class: String = row.get(2)?;
    Ok(Session {
        id: SessionId(row.get(0)?),
        uid: Uid(row.get(1)?),
        class: DeviceClass::parse(&class).ok_or_else(|| unreadable(2, "unknown device class"))?,
        client: row.get(3)?,
        created_at: Millis(row.get(4)?),
        seen_at: Millis(row.get(5)?),
        expires_at: Millis(row.get(6)?),
    })
}

pub(crate) fn kind(row: &Row<'_>, at: usize) -> Read<Kind> {
    match row.get(at)? {
        0 => Ok(Kind::Direct),
        1 => Ok(Kind::Group),
        2 => Ok(Kind::Room),
        3 => Ok(Kind::Notice),
        _ => Err(unreadable(at, "unknown kind of conversation")),
    }
}

pub(crate) fn kind_number(kind: Kind) -> i64 {
    match kind {
        Kind::Direct => 0,
        Kind::Group => 1,
        Kind::Room => 2,
        Kind::Notice => 3,
    }
}

fn role(row: &Row<'_>, at: usize) -> Read<Role> {
    match row.get(at)? {
        0 => Ok(Role::Member),
        1 => Ok(Role::Admin),
        2 => Ok(Role::Owner),
        _ => Err(unreadable(at, "unknown role")),
    }
}

pub(crate) fn role_number(role: Role) -> i64 {
    match role {
        Role::Member => 0,
        Role::Admin => 1,
        Role::Owner => 2,
    }
}

fn key(row: &Row<'_>, at: usize) -> Read<IdempotencyKey> {
    IdempotencyKey::parse(&row.get::<String>(at)?).map_err(|_| unreadable(at, "bad key"))
}

fn json<T: DeserializeOwned>(row: &Row<'_>, at: usize) -> Read<T> {
    serde_json::from_slice(row.bytes(at)?).map_err(|error| unreadable(at, &error.to_string()))
}
