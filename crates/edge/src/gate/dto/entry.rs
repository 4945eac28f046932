//! Entries: what happened in a conversation.

use super::body::Body;
use super::role::Role;
use super::{Int64, all};
use serde::Serialize;
use skein_domain::entry as domain;
use utoipa::ToSchema;

/// One fact of a conversation's change log; `seq` is dense.
#[derive(Serialize, ToSchema)]
pub struct Entry {
    pub conversation: Int64,
    pub seq: Int64,
    pub at_ms: Int64,
    pub author: Int64,
    /// Running number of countable entries; unread is a difference of two of these.
    pub count: Int64,
    /// The author's idempotency key.
    pub key: String,
    #[serde(flatten)]
    pub event: Event,
}

impl From<domain::Entry> for Entry {
    fn from(entry: domain::Entry) -> Self {
        Self {
            conversation: entry.conversation.into(),
            seq: entry.seq.into(),
            at_ms: entry.at.into(),
            author: entry.author.into(),
            count: entry.count.into(),
            key: entry.key.as_str().to_owned(),
            event: entry.event.into(),
        }
    }
}

/// What happened: one of these fields is there.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    Message(MessageEvent),
    Edited(Edited),
    Recalled(Recalled),
    Reacted(Reacted),
    Joined(Joined),
    Left(Left),
    Role(RoleChanged),
    Info(InfoChanged),
    Muted(Muted),
}

#[derive(Serialize, ToSchema)]
pub struct MessageEvent {
    /// Absent once recalled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Body>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<Int64>,
}

#[derive(Serialize, ToSchema)]
pub struct Edited {
    pub target: Int64,
    /// Absent once the target was recalled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Body>,
}

#[derive(Serialize, ToSchema)]
pub struct Recalled {
    pub target: Int64,
}

#[derive(Serialize, ToSchema)]
pub struct Reacted {
    pub target: Int64,
    pub emoji: String,
    pub on: bool,
}

#[derive(Serialize, ToSchema)]
pub struct Joined {
    pub uids: Vec<Int64>,
}

/// `uid` = author of the entry: left by themself; else removed.
#[derive(Serialize, ToSchema)]
pub struct Left {
    pub uid: Int64,
}

#[derive(Serialize, ToSchema)]
pub struct RoleChanged {
    pub uid: Int64,
    pub role: Role,
}

/// Only what changed is there.
#[derive(Serialize, ToSchema)]
pub struct InfoChanged {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub announcement: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub muted_all: Option<bool>,
}

/// `until_ms` 0 lifts it.
#[derive(Serialize, ToSchema)]
pub struct Muted {
    pub uid: Int64,
    pub until_ms: Int64,
}

impl From<domain::EntryEvent> for Event {
    fn from(event: domain::EntryEvent) -> Self {
        use domain::EntryEvent as E;
        match event {
            E::Message { body, reply_to } => {
                Event::Message(MessageEvent { body: body.map(Body::from), reply_to: reply_to.map(Int64::from) })
            }
            E::Edited { target, body } => Event::Edited(Edited { target: target.into(), body: body.map(Body::from) }),
            E::Recalled { target } => Event::Recalled(Recalled { target: target.into() }),
            E::Reacted { target, emoji, on } => Event::Reacted(Reacted { target: target.into(), emoji, on }),
            E::Joined { uids } => Event::Joined(Joined { uids: all(uids) }),
            E::Left { uid } => Event::Left(Left { uid: uid.into() }),
            E::RoleChanged { uid, role } => Event::Role(RoleChanged { uid: uid.into(), role: role.into() }),
            E::InfoChanged { title, announcement, muted_all } => Event::Info(InfoChanged { title, announcement, muted_all }),
            E::Silenced { uid, until } => Event::Muted(Muted { uid: uid.into(), until_ms: until.into() }),
        }
    }
}
